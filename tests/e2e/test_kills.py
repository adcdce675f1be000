"""Something is killed in the middle: everything is Ready afterwards, and nothing is left over."""

import re

import pytest

from tests.e2e.journal import Entry
from tests.e2e.world import Tenant, World, condition, is_ready


def _at_step(tenant: Tenant, name: str, step: str) -> None:
    """Return when the issue of a Certificate has reached a step."""
    tenant.wait(
        name,
        lambda body: (
            (found := condition(body, "Progressing")) is not None and found["reason"] == step
        ),
        seconds=60,
        why=f"at {step}",
    )


def _left_over(world: World, tenant: Tenant) -> list[str]:
    """Secrets of orders that are there although no order is open."""
    own = world.api.found("Secret", tenant.namespace, selector="certfront.io/secret=pending")
    handed = world.api.found("Secret", "edge", selector="certfront.io/secret=challenge")
    marker = f"{tenant.namespace}/site"
    return [
        secret["metadata"]["name"]
        for secret in (*own, *handed)
        if secret["metadata"].get("annotations", {}).get("certfront.io/certificate") == marker
    ]


def _orders(world: World, tenant: Tenant) -> set[str]:
    """The orders that were ever recorded for the Certificate."""
    entries = world.journal.of("Certificate", tenant.namespace, "site")
    found = (entry.body.get("status", {}).get("order", {}) for entry in entries)
    return {order["orderURL"].rpartition("/")[2] for order in found if order.get("orderURL")}


def _finalized(world: World, orders: set[str]) -> int:
    """How many certificates Pebble has issued for these orders."""
    issued = re.findall(r"Issued certificate serial \w+ for order (\S+)", world.log("pebble"))
    return sum(order in orders for order in issued)


@pytest.mark.parametrize("step", ["OrderCreated", "ChallengePresented"])
def test_the_operator_is_killed_in_the_middle_of_an_order(
    tenant: Tenant, disturbed: World, step: str
) -> None:
    tenant.certificate("site", "ACME")
    tenant.frontend("site", ["site"])
    _at_step(tenant, "site", step)
    disturbed.kill("operator")
    before = tenant.get("Certificate", "site")["status"]
    disturbed.start("operator")
    after = tenant.ready("site", seconds=90)["status"]
    assert after["revision"] == 1
    orders = _orders(disturbed, tenant)
    assert (before.get("order") or {}).get("orderURL", "").rpartition("/")[2] in orders
    assert len(orders) == 1, "the open order is resumed"
    assert _finalized(disturbed, orders) == 1
    tenant.served(tenant.host(), after["fingerprint"], disturbed.pebble_root)
    tenant.ready("site", kind="LoadBalancerFrontend")
    disturbed.quiet()
    assert _left_over(disturbed, tenant) == []
    stored = [
        entry.body["metadata"]["annotations"]["certfront.io/revision"]
        for entry in disturbed.journal.of("Secret", tenant.namespace, "site")
        if not entry.gone
    ]
    assert set(stored) == {"1"}


@pytest.mark.parametrize("part", ["agent-1", "haproxy-1"])
def test_a_part_of_a_node_is_killed_during_an_installation(
    tenant: Tenant, disturbed: World, part: str
) -> None:
    """One that is served already stays so; the new one is served as soon as the part is back."""
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    first = tenant.ready("site")["status"]["fingerprint"]
    tenant.served(tenant.host(), first, tenant.tls("site")[0])
    mark = disturbed.journal.mark()
    tenant.certificate("more", dnsNames=[tenant.host("more")])
    tenant.frontend("more", ["more"], port=8443)
    tenant.annotate("Certificate", "site", renew="1")
    disturbed.journal.wait_entry(mark, _is_handed_over, seconds=20, why="handed over")
    disturbed.kill(part)
    second = tenant.revision("site", 2)["status"]["fingerprint"]
    tenant.served(
        tenant.host(), second, tenant.tls("site")[0], nodes=disturbed.nodes[1:], seconds=30
    )
    disturbed.start(part)
    more = tenant.ready("more")["status"]["fingerprint"]
    tenant.served(tenant.host(), second, tenant.tls("site")[0], seconds=40)
    tenant.served(tenant.host("more"), more, tenant.tls("more")[0], port=8443, seconds=40)
    for name in ("site", "more"):
        tenant.ready(name, kind="LoadBalancerFrontend", seconds=40)


def test_a_part_is_killed_while_it_answers_challenges(tenant: Tenant, disturbed: World) -> None:
    """The order goes on: at the worst a validation fails, is told, and is made again."""
    tenant.certificate("site", "ACME")
    tenant.frontend("site", ["site"])
    _at_step(tenant, "site", "ChallengePresented")
    disturbed.kill("agent-1")
    disturbed.start("agent-1")
    ended = tenant.wait(
        "site", lambda body: is_ready(body) or "lastFailure" in body["status"], seconds=90
    )
    if not is_ready(ended):
        assert ended["status"]["lastFailure"]["reason"] == "ChallengeFailed"
        tenant.annotate("Certificate", "site", renew="1")
    after = tenant.ready("site", seconds=60)["status"]
    tenant.served(tenant.host(), after["fingerprint"], disturbed.pebble_root)
    disturbed.quiet()
    assert _left_over(disturbed, tenant) == []


def _is_handed_over(entry: Entry) -> bool:
    labels = entry.body["metadata"].get("labels") or {}
    return entry.kind == "Secret" and labels.get("certfront.io/secret") in ("bundle", "manifest")
