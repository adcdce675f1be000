"""What the operator writes: two requests for a local certificate, and none at rest."""

import pytest

from tests.e2e import clients
from tests.e2e.world import Tenant, World, condition, total

COUNT = 50


@pytest.fixture
def converged(tenant: Tenant, world: World) -> Tenant:
    """Fifty self-signed certificates that are Ready."""
    for number in range(COUNT):
        tenant.certificate(f"c{number}", dnsNames=[tenant.host(f"h{number}")])
    for number in range(COUNT):
        tenant.ready(f"c{number}", seconds=60)
    world.quiet()
    return tenant


def test_a_local_certificate_costs_two_writes_and_no_event(
    world: World, request: pytest.FixtureRequest
) -> None:
    """Counted by the API server itself, and again per object in the audit log."""
    world.alone()
    before, offset = world.api.text("metrics"), world.audit_size()
    tenant: Tenant = request.getfixturevalue("converged")
    after = world.api.text("metrics")
    writes = _writes(after) - _writes(before)
    assert writes == 2.0 * COUNT
    lines = [
        line
        for line in world.written(offset)
        if line["objectRef"].get("namespace") == tenant.namespace
    ]
    made = {
        (line["objectRef"]["resource"], line["objectRef"].get("subresource", "")) for line in lines
    }
    assert len(lines) == 2 * COUNT
    assert made == {("secrets", ""), ("certificates", "status")}
    assert not world.journal.of("Event", tenant.namespace)
    assert world.sample("certfront_certificate_ready", namespace=tenant.namespace) == COUNT


def _writes(exposition: str) -> float:
    """Writes of Secrets and of Certificates' status, as the API server counts them."""
    return sum(
        total(
            exposition,
            "apiserver_request_total",
            verb=verb,
            resource=resource,
            subresource=subresource,
        )
        for verb in ("POST", "PUT", "PATCH", "APPLY", "DELETE")
        for resource, subresource in (("secrets", ""), ("certificates", "status"))
    )


def test_converged_objects_cost_nothing_after_a_restart(
    converged: Tenant, disturbed: World
) -> None:
    """A frontend and certificates of several types are there, too."""
    converged.certificate("site", "ACME")
    converged.frontend("site", ["site", "c0"])
    converged.ready("site", seconds=60)
    converged.ready("site", kind="LoadBalancerFrontend")
    disturbed.alone()
    offset = disturbed.audit_size()
    disturbed.stop("operator")
    disturbed.start("operator")
    clients.eventually(
        lambda: (
            disturbed.sample("certfront_reconciles_total", kind="Certificate") >= COUNT + 1
            and disturbed.sample("certfront_reconciles_total", kind="LoadBalancerFrontend") >= 1
            and disturbed.sample("certfront_queue_depth") == 0
        ),
        seconds=60,
        why="everything looked at again",
    )
    disturbed.quiet()
    assert [
        (line["verb"], line["objectRef"], line["stageTimestamp"])
        for line in disturbed.written(offset)
    ] == []


def test_a_frontend_at_rest_is_not_written(tenant: Tenant, world: World) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    body = tenant.ready("site", kind="LoadBalancerFrontend")
    assert condition(body, "Progressing") is None
    world.alone()
    mark = world.journal.mark()
    # A whole turn of the agents' heartbeats, seen as their Leases.
    for node in world.nodes:
        world.journal.wait_entry(
            mark,
            lambda entry, name=node.name: (  # type: ignore[misc]
                entry.kind == "Lease" and entry.body["metadata"]["name"].endswith(name)
            ),
            seconds=20,
            why=f"a heartbeat of {node.name}",
        )
    changed = [e for e in world.journal.since(mark) if e.kind != "Lease" and not e.gone]
    assert [
        (e.kind, e.body["metadata"]["name"])
        for e in changed
        if e.body["metadata"].get("namespace") in (tenant.namespace, "edge")
    ] == []
