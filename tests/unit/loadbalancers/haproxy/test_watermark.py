"""Watermarks: what nodes report, and when that means served on every node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from certfront.loadbalancers.haproxy.handover import secret_name
from certfront.loadbalancers.haproxy.watermark import (
    ANNOTATION,
    Failed,
    NodeLease,
    Watermark,
    lease_name,
    node_lease,
    parse,
    render,
    served,
)
from certfront.model.meta import ObjectName

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def lease(
    node: str = "n1",
    mark: Any = ("120",),
    *,
    age: float = 1.0,
    **changes: Any,
) -> dict[str, Any]:
    """A Lease whose watermark is (revision, failures …), or text, or None for no annotation."""
    annotations = {}
    if isinstance(mark, tuple):
        annotations = {ANNOTATION: render(mark[0], mark[1:])}
    elif mark is not None:
        annotations = {ANNOTATION: mark}
    renewed = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"renewTime": renewed, "leaseDurationSeconds": 15} | changes
    return {"metadata": {"name": f"haproxy.{node}", "annotations": annotations}, "spec": spec}


def leases(*raw: dict[str, Any]) -> list[NodeLease]:
    held = [node_lease("haproxy", one) for one in raw]
    return [one for one in held if one is not None]


FAILED_A = Failed(secret="bundle-a", reason="Expired", message="m")
FAILED_B = Failed(secret="bundle-b", reason="Expired", message="m")
NODE_DOWN = Failed(secret="", reason="HAProxyDown", message="m")
MANY = tuple(Failed(secret=f"bundle-{n}", reason="Expired") for n in range(20))
TOO_MANY = tuple(Failed(secret=f"bundle-{n}", reason="Expired") for n in range(5000))


@pytest.mark.parametrize(
    ("nodes", "minimum", "state"),
    [
        ([lease("n1"), lease("n2")], 2, "Served"),
        ([lease(mark=("100",))], 1, "Served"),
        ([lease(mark=("99",))], 1, "Pending"),
        ([lease("n1"), lease("n2", mark=("99",))], 1, "Pending"),
        ([lease(mark=("99", FAILED_A))], 1, "Pending"),
        ([lease(mark=("120", FAILED_A))], 1, "Failed"),
        ([lease(mark=("120", FAILED_B))], 1, "Served"),
        ([lease(mark=("120", *MANY))], 1, "Served"),
        ([lease(mark=("120", *TOO_MANY))], 1, "Unknown"),
        ([lease(mark=None)], 1, "Pending"),
        ([lease(mark="garbage")], 1, "Pending"),
        ([lease(mark='{"resourceVersion": "abc"}')], 1, "Pending"),
        ([lease(mark=("200",))], 1, "Unknown"),
        ([], 1, "TooFewNodes"),
        ([], 0, "TooFewNodes"),
        ([lease()], 2, "TooFewNodes"),
        ([lease(age=15.1)], 1, "TooFewNodes"),
        ([lease(age=-3600)], 1, "TooFewNodes"),
        ([lease(renewTime=None)], 1, "TooFewNodes"),
        ([lease("n1"), lease("n2", mark=("1",), age=16)], 1, "Served"),
        ([lease("n1"), lease("n2", mark=("120", NODE_DOWN))], 1, "Served"),
        ([lease("n1"), lease("n2", mark=("120", NODE_DOWN))], 2, "TooFewNodes"),
    ],
    ids=[
        "all have passed",
        "exactly passed",
        "not yet passed",
        "one has not passed",
        "an older failure",
        "listed as failed",
        "another one failed",
        "many others failed",
        "more failures than are listed",
        "no report yet",
        "garbage",
        "no number",
        "beyond what exists",
        "no node",
        "no node, none needed",
        "too few",
        "stale",
        "from the future",
        "never renewed",
        "a stale node blocks no one",
        "a node whose HAProxy is down blocks no one",
        "a node whose HAProxy is down does not count",
    ],
)
def test_a_certificate_is(nodes: list[dict[str, Any]], minimum: int, state: str) -> None:
    verdict = served(
        leases(*nodes),
        resource_version="100",
        secrets={"bundle-a", "manifest-a"},
        min_nodes=minimum,
        now=NOW,
        newest="150",
    )
    assert verdict.state == state
    assert verdict.served == (state == "Served")


def test_revisions_are_compared_as_numbers() -> None:
    verdict = served(
        leases(lease(mark=("1000",))),
        resource_version="999",
        secrets=(),
        min_nodes=1,
        now=NOW,
    )
    assert verdict.served


def test_a_verdict_names_who_decided_it() -> None:
    verdict = served(
        leases(lease("a"), lease("b", mark=("120", FAILED_A)), lease("c", age=60)),
        resource_version="100",
        secrets={"bundle-a"},
        min_nodes=1,
        now=NOW,
    )
    assert (verdict.current, verdict.total) == (2, 3)
    assert verdict.failed == (("b", FAILED_A),)
    assert verdict.waiting == ("b",)
    assert verdict.down == (("c", "no heartbeat"),)


def test_a_watermark_has_messages_for_eight_failures_and_counts_all() -> None:
    told = [msgspec.structs.replace(one, message="m") for one in MANY]
    mark = parse(render("7", [*told, *told]))
    assert mark is not None
    assert (len(mark.failed), mark.failed_count, mark.resource_version) == (20, 20, "7")
    assert sum(one.message == "m" for one in mark.failed) == 8


def test_the_failure_of_the_node_is_always_listed() -> None:
    mark = parse(render("7", [*MANY, NODE_DOWN]))
    assert mark is not None
    assert NODE_DOWN in mark.failed


def test_messages_are_bounded() -> None:
    text = render("7", [Failed(secret="a", reason="R", message="x" * 5000)])
    assert len(text) < 500


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "x" * 20_000, '{"resourceVersion":"-1"}'])
def test_garbage_is_no_watermark(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("name", ["other.n1", "haproxy", "haproxy.", "haproxy2.n1"], ids=str)
def test_leases_of_others_are_no_nodes(name: str) -> None:
    assert node_lease("haproxy", {"metadata": {"name": name}}) is None


def test_a_lease_is_read_back_under_its_name() -> None:
    raw = lease("n.1", ("5", FAILED_A))
    raw["metadata"]["name"] = lease_name("haproxy", "n.1")
    held = node_lease("haproxy", raw)
    assert held is not None
    assert held.node == "n.1"
    assert held.watermark == Watermark(resource_version="5", failed=(FAILED_A,), failed_count=1)


def test_hundreds_of_failures_of_others_leave_a_verdict() -> None:
    """One tenant must not make every frontend of a load balancer unproven."""
    edge = ObjectName("edge", "haproxy")
    names = [secret_name(edge, "bundle", "Certificate", "shop", f"c{n}") for n in range(250)]
    failed = [Failed(secret=name, reason="TooManyListeners", message="m" * 400) for name in names]
    text = render("120", failed)
    assert len(text) <= 16 * 1024
    node = leases(lease(mark=text))
    ask = {"resource_version": "100", "min_nodes": 1, "now": NOW}
    assert served(node, secrets={"bundle-a"}, **ask).state == "Served"
    assert all(served(node, secrets={name}, **ask).state == "Failed" for name in names)


def test_a_secret_that_fails_twice_alike_counts_once_where_it_has_no_message() -> None:
    twice = [msgspec.structs.replace(one, message=text) for one in MANY for text in ("m", "n")]
    mark = parse(render("120", twice))
    assert mark is not None
    assert mark.failed_count == len(mark.failed)
    assert {one.secret for one in mark.failed} == {one.secret for one in MANY}
