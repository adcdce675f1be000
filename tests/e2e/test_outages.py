"""The API server or a node is away: what is served stays, and everything converges afterwards."""

from collections.abc import Iterator

import pytest

from tests.e2e import clients
from tests.e2e.world import Tenant, World, condition


def test_nodes_serve_and_restart_from_disk_while_the_api_server_is_away(
    tenant: Tenant, disturbed: World
) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    first = tenant.ready("site")["status"]["fingerprint"]
    root = tenant.tls("site")[0]
    tenant.served(tenant.host(), first, root)
    tenant.ready("site", kind="LoadBalancerFrontend")
    disturbed.kill("apiserver")
    tenant.served(tenant.host(), first, root)
    for part in ("agent-1", "haproxy-1"):
        disturbed.kill(part)
        disturbed.start(part)
        tenant.served(tenant.host(), first, root)
    disturbed.start("apiserver")
    clients.eventually(lambda: _annotated(tenant), seconds=30, why="the API server is back")
    second = tenant.revision("site", 2, seconds=60)["status"]["fingerprint"]
    tenant.served(tenant.host(), second, tenant.tls("site")[0], seconds=40)
    tenant.ready("site", kind="LoadBalancerFrontend", seconds=60)


def _annotated(tenant: Tenant) -> bool:
    tenant.annotate("Certificate", "site", renew="back")
    return True


def test_a_node_that_is_down_is_told_and_blocks_nobody(tenant: Tenant, disturbed: World) -> None:
    """Its Lease runs out; the others go on; it catches up when it is back."""
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    first = tenant.ready("site")["status"]["fingerprint"]
    tenant.served(tenant.host(), first, tenant.tls("site")[0])
    disturbed.kill("agent-2")
    tenant.annotate("Certificate", "site", renew="1")
    second = tenant.revision("site", 2)["status"]["fingerprint"]
    tenant.served(
        tenant.host(), second, tenant.tls("site")[0], nodes=disturbed.nodes[:1], seconds=30
    )
    told = disturbed.journal.wait(
        "LoadBalancer",
        "edge",
        "haproxy",
        lambda body: any(
            node["name"] == "node-2" and node["state"] != "Current"
            for node in body["status"].get("nodes", ())
        ),
        seconds=60,
        why="told that node-2 is down",
    )
    assert condition(told, "Ready")["status"] == "True", "one node is enough"  # type: ignore[index]
    frontend = tenant.condition(
        "site", "Served", "True", kind="LoadBalancerFrontend", message="1 of ", seconds=60
    )
    assert condition(frontend, "Ready")["status"] == "True"  # type: ignore[index]
    disturbed.start("agent-2")
    tenant.served(tenant.host(), second, tenant.tls("site")[0], seconds=40)


@pytest.fixture
def three_nodes(disturbed: World) -> Iterator[World]:
    """A load balancer that needs three nodes, and has two."""
    patch = {"spec": {"haproxy": {"minNodes": 3}}}
    disturbed.api.merge("LoadBalancer", "edge", "haproxy", patch)
    yield disturbed
    patch["spec"]["haproxy"]["minNodes"] = 1
    disturbed.api.merge("LoadBalancer", "edge", "haproxy", patch)
    if "node-3" in {node.name for node in disturbed.nodes}:
        disturbed.remove("node-3")


def test_too_few_nodes_are_told_and_a_new_one_serves_everything(
    tenant: Tenant, three_nodes: World
) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    fingerprint = tenant.ready("site")["status"]["fingerprint"]
    told = tenant.condition(
        "site", "Ready", "False", kind="LoadBalancerFrontend", reason="TooFewNodes"
    )
    assert condition(told, "Stalled") is None
    assert condition(told, "Served")["status"] == "False"  # type: ignore[index]
    three_nodes.journal.wait_event(tenant.namespace, "site", "TooFewNodes")
    root = tenant.tls("site")[0]
    tenant.served(tenant.host(), fingerprint, root)
    three_nodes.start("node-3")
    assert len(three_nodes.nodes) == 3
    tenant.served(tenant.host(), fingerprint, root)
    tenant.ready("site", kind="LoadBalancerFrontend")


def test_a_deleted_certificate_stays_served(tenant: Tenant) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    fingerprint = tenant.ready("site")["status"]["fingerprint"]
    root = tenant.tls("site")[0]
    tenant.served(tenant.host(), fingerprint, root)
    tenant.delete("Certificate", "site")
    tenant.condition(
        "site",
        "ResolvedRefs",
        "False",
        kind="LoadBalancerFrontend",
        reason="CertificateNotFound",
    )
    tenant.served(tenant.host(), fingerprint, root)


def test_a_deleted_frontend_is_served_no_longer(tenant: Tenant, world: World) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    fingerprint = tenant.ready("site")["status"]["fingerprint"]
    root = tenant.tls("site")[0]
    tenant.served(tenant.host(), fingerprint, root)
    tenant.delete("LoadBalancerFrontend", "site")

    def gone() -> bool:
        for node in world.nodes:
            try:
                clients.handshake(node, tenant.host(), root=root)
            except OSError:
                continue
            return False
        return True

    clients.eventually(gone, seconds=20, why="gone from every node")
    assert tenant.tls("site"), "its Secret stays"
