"""A change wakes the object itself and whoever refers to it, and nobody else."""

import copy
from typing import Any

import pytest

from certfront.engine.keys import Key
from certfront.engine.store import Store
from certfront.model.settings import Settings
from certfront.reconcilers.stores import Indices, new_store
from certfront.reconcilers.wakeups import keys_to_wake

Object = dict[str, Any]

CERTIFICATE = Key("Certificate", "shop", "site")
FRONTEND = Key("LoadBalancerFrontend", "shop", "web")
ISSUER = Key("Issuer", "shop", "private")
BALANCER = Key("LoadBalancer", "edge", "haproxy")


def _object(kind: str, namespace: str, name: str, **parts: Any) -> Object:
    metadata: Object = {
        "namespace": namespace,
        "name": name,
        "uid": f"{kind}-{name}",
        "resourceVersion": "1",
    }
    for part in ("labels", "annotations"):
        if part in parts:
            metadata[part] = parts.pop(part)
    return {"kind": kind, "metadata": metadata, **parts}


SITE = _object(
    "Certificate",
    "shop",
    "site",
    spec={"type": "CA", "ca": {"issuerRef": {"name": "private"}}, "dnsNames": ["a.example"]},
)
UPLOADED = _object(
    "Certificate",
    "shop",
    "up",
    spec={
        "type": "Uploaded",
        "uploaded": {
            "secretRef": {"name": "given"},
            "passwordSecretRef": {"name": "password"},
            "trustBundleRef": {"name": "roots"},
        },
    },
)
ORDERED = _object("Certificate", "shop", "acme", spec={"type": "ACME"})
WEB = _object("LoadBalancerFrontend", "shop", "web", spec={"certificates": [{"name": "site"}]})
PRIVATE = _object(
    "Issuer", "shop", "private", spec={"type": "CA", "ca": {"secretRef": {"name": "authority"}}}
)
SHARED = _object("Issuer", "edge", "acme", spec={"type": "ACME", "acme": {}})
HAPROXY = _object("LoadBalancer", "edge", "haproxy", spec={"type": "HAProxy"})


@pytest.fixture
def world() -> tuple[Store, Indices]:
    store, indices = new_store(
        Settings(default_issuer="edge/acme", default_load_balancer="edge/haproxy")
    )
    for obj in (SITE, UPLOADED, ORDERED, WEB, PRIVATE, SHARED, HAPROXY):
        store.upsert(obj["kind"], copy.deepcopy(obj))
    return store, indices


def _woken(
    world: tuple[Store, Indices], kind: str, before: Object | None, after: Object | None
) -> set[Key]:
    found = keys_to_wake(*world, kind, before, after)
    assert len(list(found)) == len(set(found)), "each once"
    return set(found)


UP = Key("Certificate", "shop", "up")
ACME = Key("Certificate", "shop", "acme")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("site", {CERTIFICATE, FRONTEND}, id="of a certificate that is used"),
        pytest.param("up", {UP}, id="of one that nobody uses"),
        pytest.param("given", {UP}, id="a source"),
        pytest.param("password", {UP}, id="a password"),
        pytest.param("roots", {UP}, id="a trust bundle"),
        pytest.param("authority", {ISSUER, CERTIFICATE}, id="a CA"),
        pytest.param("nobodys", set(), id="nobody's"),
    ],
)
def test_a_secret_wakes_who_reads_it(
    world: tuple[Store, Indices], name: str, expected: set[Key]
) -> None:
    secret = _object("Secret", "shop", name)
    assert _woken(world, "Secret", None, secret) == expected
    assert _woken(world, "Secret", secret, None) == expected


def test_a_secret_of_the_same_name_elsewhere_wakes_nobody(world: tuple[Store, Indices]) -> None:
    assert _woken(world, "Secret", None, _object("Secret", "other", "site")) == set()


def test_a_secret_wakes_the_certificate_that_made_it(world: tuple[Store, Indices]) -> None:
    """A pending key has a name that no spec mentions."""
    made = _object(
        "Secret",
        "shop",
        "pending-1",
        labels={"certfront.io/secret": "pending"},
        annotations={"certfront.io/certificate": "shop/acme"},
    )
    assert _woken(world, "Secret", made, None) == {ACME}


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        pytest.param(PRIVATE, {ISSUER, CERTIFICATE}, id="named"),
        pytest.param(SHARED, {Key("Issuer", "edge", "acme"), ACME}, id="the default"),
    ],
)
def test_an_issuer_wakes_those_that_it_issues_for(
    world: tuple[Store, Indices], issuer: Object, expected: set[Key]
) -> None:
    assert _woken(world, "Issuer", issuer, {**issuer, "status": {}}) == expected


def test_a_load_balancer_wakes_its_frontends(world: tuple[Store, Indices]) -> None:
    changed = copy.deepcopy(HAPROXY)
    changed["metadata"]["generation"] = 2
    assert _woken(world, "LoadBalancer", HAPROXY, changed) == {BALANCER, FRONTEND}


def test_a_namespace_wakes_its_own_where_its_labels_change(world: tuple[Store, Indices]) -> None:
    before = {"metadata": {"name": "shop", "uid": "n", "labels": {}}}
    after = {"metadata": {"name": "shop", "uid": "n", "labels": {"tenant": "true"}}}
    annotated = {"metadata": {**before["metadata"], "annotations": {"a": "b"}}}
    assert {CERTIFICATE, FRONTEND} <= _woken(world, "Namespace", before, after)
    assert _woken(world, "Namespace", before, annotated) == set()


def test_what_was_referred_to_before_is_woken_too(world: tuple[Store, Indices]) -> None:
    """A certificate that is no longer used has to take back what it says about that."""
    after = copy.deepcopy(WEB)
    after["spec"]["certificates"] = [{"name": "acme"}]
    assert {FRONTEND, CERTIFICATE, ACME} <= _woken(world, "LoadBalancerFrontend", WEB, after)


def test_a_frontend_that_goes_wakes_its_certificates(world: tuple[Store, Indices]) -> None:
    assert {FRONTEND, CERTIFICATE} <= _woken(world, "LoadBalancerFrontend", WEB, None)


def test_a_heartbeat_wakes_nobody_and_a_new_node_its_load_balancer(
    world: tuple[Store, Indices],
) -> None:
    labels = {"certfront.io/load-balancer": "haproxy"}
    mark = {"certfront.io/watermark": '{"resourceVersion":"7"}'}
    before = _object("Lease", "edge", "haproxy.node-1", labels=labels, annotations=mark)
    after = copy.deepcopy(before)
    after["spec"] = {"renewTime": "later"}
    assert _woken(world, "Lease", before, after) == set()
    assert BALANCER in _woken(world, "Lease", None, before)
    assert BALANCER in _woken(world, "Lease", before, None)


@pytest.mark.parametrize(
    ("name", "label"),
    [("haproxy.node-1", ""), (".node-1", ""), ("other.node-1", "haproxy"), ("haproxy", "haproxy")],
)
def test_a_lease_that_is_no_agents_wakes_nobody(
    world: tuple[Store, Indices], name: str, label: str
) -> None:
    held = _object("Lease", "edge", name, labels={"certfront.io/load-balancer": label})
    assert _woken(world, "Lease", None, held) == set()
