"""Several frontends on one node: who gets what, and who is told why not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from certfront.loadbalancers.haproxy.merging import Entry, Merged, merge
from certfront.model.keys import KeyAlgorithm
from tests.unit.loadbalancers.haproxy.manifests import certificate, entry

ECDSA, RSA = KeyAlgorithm.ECDSA, KeyAlgorithm.RSA
TYPES = {"bundle-a": ECDSA, "bundle-b": ECDSA, "bundle-r": RSA}


def merged(*entries: Entry, **ports: int) -> Merged:
    return merge(entries, TYPES, {443: 8443} if not ports else {})


def reasons(result: Merged) -> list[tuple[str, str]]:
    return [(one.secret, one.reason) for one in result.failed]


OLD = "2025-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"created": OLD}, {}),
        ({}, {}),
        ({"own_namespace": True}, {"created": OLD}),
        ({}, {"created": OLD, "own_namespace": True, "present": False}),
    ],
    ids=["the older", "by name", "the load balancer's own namespace", "one that is still there"],
)
def test_a_host_name_goes_to(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Whatever the order they come in."""
    winner = entry("a/winner", **first)
    loser = entry("b/loser", **second, certificates=(certificate("bundle-b", "a.example"),))
    for order in itertools.permutations([winner, loser]):
        result = merged(*order)
        tls = next(one for one in result.listeners if one.tls)
        assert tls.routes == {"a.example": "a/winner"}
        assert [line.bundle for line in tls.lines] == ["bundle-a"]
        assert set(reasons(result)) == {("manifest-loser", "HostnameConflict")}


def test_only_the_contested_name_is_withheld() -> None:
    result = merged(
        entry("a/one", created=OLD),
        entry(
            "b/two",
            hostnames=("a.example", "b.example"),
            certificates=(certificate("bundle-b", "a.example", "b.example"),),
        ),
    )
    tls = next(one for one in result.listeners if one.tls)
    assert tls.routes == {"a.example": "a/one", "b.example": "b/two"}
    assert [line.hostnames for line in tls.lines] == [("a.example",), ("b.example",)]


def test_a_port_is_tls_or_plain_by_its_first_frontend() -> None:
    result = merged(
        entry("a/one", created=OLD), entry("b/two", ssl=False, port=443, http_port=None)
    )
    assert [(one.port, one.tls) for one in result.listeners] == [(80, False), (443, True)]
    assert reasons(result) == [("manifest-two", "PortConflict")]


def test_two_ports_cannot_be_one_port_of_the_node() -> None:
    result = merged(entry("a/one", created=OLD), entry("b/two", port=8443, http_port=None))
    assert reasons(result) == [("manifest-two", "PortConflict")]


def test_disabled_frontends_have_no_part() -> None:
    assert merged(entry(disabled=True)) == Merged(listeners=(), entries=(), failed=())


def test_the_default_certificate_is_that_of_the_first_that_has_one() -> None:
    result = merged(
        entry("a/one", created=OLD),
        entry("b/two", hostnames=("b.example",), default_bundle="bundle-b"),
        entry("c/three", hostnames=("c.example",), default_bundle="bundle-a"),
    )
    tls = next(one for one in result.listeners if one.tls)
    assert tls.default_bundle == "bundle-b"


@pytest.mark.parametrize("own", [True, False], ids=["own namespace", "guest"])
def test_only_the_load_balancers_own_namespace_gets_hosts_that_nobody_was_granted(
    own: bool,
) -> None:
    """And that on the TLS port alone: plain HTTP has no handshake that a certificate answers."""
    result = merged(entry("b/two", default_bundle="bundle-b", own_namespace=own))
    assert {one.port: one.catch_all for one in result.listeners} == {
        443: "b/two" if own else None,
        80: None,
    }


def test_a_default_bundle_that_is_not_at_hand_is_no_default() -> None:
    tls = next(one for one in merged(entry(default_bundle="bundle-x")).listeners if one.tls)
    assert tls.default_bundle is None


def test_one_name_has_one_certificate_of_each_key_type() -> None:
    result = merged(
        entry(
            certificates=(
                certificate("bundle-a", "a.example"),
                certificate("bundle-r", "a.example"),
                certificate("bundle-b", "a.example"),
            )
        )
    )
    tls = next(one for one in result.listeners if one.tls)
    assert [line.bundle for line in tls.lines] == ["bundle-a", "bundle-r"]
    assert reasons(result) == [("manifest-shop", "CertificateConflict")]


@pytest.mark.parametrize(
    ("certificates", "expected"),
    [
        ((certificate("bundle-a", "*.example"), certificate("bundle-r", "a.example")), 1),
        (
            (
                certificate("bundle-a", "*.example"),
                certificate("bundle-r", "a.example"),
                certificate("bundle-b", "a.example"),
            ),
            0,
        ),
        ((certificate("bundle-r", "*.example"), certificate("bundle-a", "a.example")), 0),
        ((certificate("bundle-a", "*.x.example"), certificate("bundle-r", "a.example")), 0),
    ],
    ids=["shadowed", "with its own ECDSA", "the other way round", "another wildcard"],
)
def test_an_exact_rsa_name_under_an_ecdsa_wildcard(certificates: Any, expected: int) -> None:
    names = ("*.example", "*.x.example", "a.example")
    result = merged(entry(hostnames=names, certificates=certificates))
    assert [one.reason for one in result.failed] == ["ShadowedByWildcard"] * expected


def test_a_certificate_has_at_most_ten_instances() -> None:
    """A commit that is cut off crashes HAProxy at eleven."""
    entries = [entry(f"a/f{number}", port=1000 + number, http_port=None) for number in range(7)]
    result = merged(*entries)
    assert sum(len(one.lines) for one in result.listeners) == 5
    assert {one.secret for one in result.failed} == {"bundle-a"}
    assert {one.reason for one in result.failed} == {"TooManyListeners"}


def test_bundles_that_are_not_at_hand_have_no_line_but_the_name_is_routed() -> None:
    result = merged(entry(certificates=(certificate("bundle-x", "a.example"),)))
    tls = next(one for one in result.listeners if one.tls)
    assert tls.lines == ()
    assert tls.routes == {"a.example": "shop/shop"}


def test_a_frontend_without_names_takes_no_host() -> None:
    result = merged(
        entry("a/one"), entry("b/any", ssl=False, port=80, http_port=None, hostnames=())
    )
    plain = next(one for one in result.listeners if not one.tls)
    assert plain.catch_all is None
    assert plain.routes == {"a.example": "a/one"}


@pytest.mark.parametrize("bound", [443, 8443])
def test_what_another_port_is_bound_as_is_no_port_to_ask_for(bound: int) -> None:
    """However old the frontend is that asks for it: the port 443 is everybody's."""
    guest = entry("a/guest", created=OLD, port=8443, http_port=None)
    result = merge([guest, entry("b/one", created="2026-02-01T00:00:00Z")], TYPES, {443: bound})
    failed = [("manifest-guest", "PortConflict")] if bound == 8443 else []
    assert [one for one in reasons(result) if one[1] == "PortConflict"] == failed
    assert 443 in [one.port for one in result.listeners if one.tls]
