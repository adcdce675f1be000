"""Who may have what: references, grants, farms, fields."""

import pytest

from certfront.loadbalancers import acceptance
from certfront.loadbalancers.acceptance import Permission
from certfront.loadbalancers.registry import HAPROXY
from certfront.model.frontend import Frontend, FrontendSpec, Server
from certfront.model.grants import Grant, GrantNamespaces
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName, parse
from certfront.model.settings import Settings


def frontend(**spec: object) -> Frontend:
    return parse(Frontend, {"metadata": {"namespace": "shop", "name": "web"}, "spec": spec})


def balancer(namespace: str = "edge", kind: str = "HAProxy", **spec: object) -> LoadBalancer:
    metadata = {"namespace": namespace, "name": "haproxy"}
    return parse(LoadBalancer, {"metadata": metadata, "spec": {"type": kind, **spec}})


REFERENCES = {
    "own namespace": ({"loadBalancerRef": {"name": "lb"}}, "", ObjectName("shop", "lb")),
    "another": ({"loadBalancerRef": {"name": "lb", "namespace": "x"}}, "", ObjectName("x", "lb")),
    "default": ({}, "edge/haproxy", ObjectName("edge", "haproxy")),
    "none": ({}, "", None),
}


@pytest.mark.parametrize(("spec", "default", "wanted"), REFERENCES.values(), ids=REFERENCES)
def test_the_target_is_the_reference_or_the_default(
    spec: dict[str, object], default: str, wanted: ObjectName | None
) -> None:
    settings = Settings(default_load_balancer=default)
    assert acceptance.target_of(frontend(**spec), settings) == wanted


def test_the_own_namespace_needs_no_grant() -> None:
    permission = acceptance.permission_of(balancer("shop"), "shop", {})
    assert permission.unrestricted
    assert permission.withheld(["any.example"]) == ()
    assert permission.allows_backend("192.0.2.1")


def test_without_a_grant_nothing_is_permitted() -> None:
    permission = acceptance.permission_of(balancer(), "shop", {})
    assert not permission.anything
    assert permission.withheld(["any.example"]) == ("any.example",)
    assert not permission.allows_backend("192.0.2.1")


GRANTED = {
    "exact": ("shop.example", True),
    "one label": ("a.shop.example", True),
    "two labels": ("a.b.shop.example", False),
    "wildcard as granted": ("*.shop.example", True),
    "another": ("shop.example.org", False),
    "suffix trick": ("evilshop.example", False),
}


@pytest.mark.parametrize(("name", "granted"), GRANTED.values(), ids=GRANTED)
def test_a_hostname_is_granted_by_name_or_by_one_label(name: str, granted: bool) -> None:
    grant = Grant(
        namespaces=GrantNamespaces(names=("shop",)),
        hostnames=("$(namespace).example", "*.$(namespace).example"),
    )
    permission = Permission(namespace="shop", unrestricted=False, grants=(grant,))
    assert (permission.withheld([name]) == ()) is granted


def test_addresses_of_servers_are_granted_by_range() -> None:
    grant = Grant(hostnames=("*",), backend_cidrs=("10.0.0.0/8", "2001:db8::/32"))
    permission = Permission(namespace="shop", unrestricted=False, grants=(grant,))
    inside = [Server(address="10.1.2.3", port=80), Server(address="2001:db8::1", port=80)]
    assert acceptance.check_servers(inside, permission) is None
    outside = [*inside, Server(address="169.254.169.254", port=80)]
    problem = acceptance.check_servers(outside, permission)
    assert problem is not None
    assert problem.reason.name == "BackendNotGranted"
    assert not problem.stalled
    assert "169.254.169.254" in problem.message
    assert "10.1.2.3" not in problem.message


def test_not_permitted_reads_like_absent() -> None:
    settings = Settings(default_load_balancer="edge/other")
    target = ObjectName("edge", "haproxy")
    refused = acceptance.refuse_load_balancer(
        target, balancer(), acceptance.permission_of(balancer(), "shop", {}), settings
    )
    absent = acceptance.refuse_load_balancer(target, None, None, settings)
    assert refused == absent
    assert refused is not None
    assert refused.withholds_all


def test_several_farms_need_a_default_and_one_is_its_own() -> None:
    servers = [{"address": "10.0.0.1", "port": 80}]
    one = frontend(farms=[{"name": "a", "servers": servers}]).spec
    chosen = acceptance.chosen_farm(one)
    assert chosen is not None
    assert chosen.name == "a"
    two = frontend(farms=[{"name": "a", "servers": servers}, {"name": "b", "servers": servers}])
    assert acceptance.chosen_farm(two.spec) is None
    named = frontend(
        defaultFarm="b",
        farms=[{"name": "a", "servers": servers}, {"name": "b", "servers": servers}],
    )
    chosen = acceptance.chosen_farm(named.spec)
    assert chosen is not None
    assert chosen.name == "b"
    assert acceptance.check_target(named.spec, HAPROXY) is None
    assert (
        acceptance.check_target(FrontendSpec(redirect_location="https://a.example"), HAPROXY)
        is None
    )


def test_every_unsupported_field_is_named() -> None:
    problem = acceptance.check_supported(
        frontend(zone="gra", adopt=True, kong={}).spec, "HAProxy", HAPROXY
    )
    assert problem is not None
    assert problem.stalled
    for field in ("spec.zone", "spec.adopt", "spec.kong"):
        assert field in problem.message


def test_hostnames_are_folded_to_one_spelling() -> None:
    names, problem = acceptance.normalised(["Shop.Example.", "shop.example", "bücher.example"])
    assert names == ("shop.example", "xn--bcher-kva.example")
    assert problem is None


def test_what_is_not_a_hostname_is_told_by_its_place_never_by_its_text() -> None:
    names, problem = acceptance.normalised(["a.example", "-----BEGIN KEY-----"])
    assert names == ("a.example",)
    assert problem is not None
    assert "spec.hostnames[1]" in problem.message
    assert "BEGIN" not in problem.message
