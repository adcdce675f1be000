"""Least privilege, proved from the API server's own audit log."""

from urllib.parse import parse_qs, urlsplit

import requests

from tests.e2e.api import Object
from tests.e2e.world import AGENT, OPERATOR, WRITES, Tenant, World

OWN = ("certificates", "issuers", "loadbalancers", "loadbalancerfrontends")


def _a_day(tenant: Tenant) -> None:
    """Every kind of thing that the operator and the agents do."""
    tenant.certificate("root", commonName="CA", isCA=True, secret={"deletionPolicy": "Delete"})
    tenant.ready("root")
    tenant.apply("Issuer", "private", {"type": "CA", "ca": {"secretRef": {"name": "root"}}})
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}})
    tenant.certificate("acme", "ACME", dnsNames=[tenant.host("acme")])
    tenant.certificate("absent", "Uploaded", uploaded={"secretRef": {"name": "absent"}})
    tenant.frontend("site", ["site", "acme"])
    tenant.ready("acme", seconds=60)
    tenant.ready("site", kind="LoadBalancerFrontend")
    tenant.annotate("Certificate", "site", renew="1")
    tenant.revision("site", 2)
    tenant.delete("LoadBalancerFrontend", "site")
    tenant.delete("Certificate", "acme")


def _by(world: World, user: str, offset: int = 0) -> list[Object]:
    lines = [line for line in world.audit(offset) if line["user"]["username"] == user]
    assert lines, user
    return lines


def test_every_request_was_allowed_and_secrets_are_listed_by_label(
    tenant: Tenant, world: World
) -> None:
    """Not of the moment after a start of the API server, which knows no roles then."""
    offset = world.audit_size()
    _a_day(tenant)
    for user in (OPERATOR, AGENT):
        lines = _by(world, user)
        refused = [
            (line["verb"], line["requestURI"])
            for line in _by(world, user, offset)
            if line["annotations"].get("authorization.k8s.io/decision") != "allow"
            or line.get("responseStatus", {}).get("code") == 403
        ]
        # A namespace that is being deleted takes nothing new: that is no want of rights.
        assert [each for each in refused if not _terminating(world, each[1])] == [], user
        listed = [
            line["requestURI"]
            for line in lines
            if line["verb"] in ("list", "watch")
            and line.get("objectRef", {}).get("resource") == "secrets"
        ]
        assert listed, user
        for uri in listed:
            selector = parse_qs(urlsplit(uri).query).get("labelSelector", [""])[0]
            assert "certfront.io/" in selector, uri


def _terminating(world: World, uri: str) -> bool:
    parts = uri.split("/")
    if "namespaces" not in parts:
        return False
    name = parts[parts.index("namespaces") + 1].partition("?")[0]
    found = world.api.get("Namespace", "", name)
    return found is None or "deletionTimestamp" in found["metadata"]


def test_nothing_is_ever_written_to_a_spec(tenant: Tenant, world: World) -> None:
    _a_day(tenant)
    for line in _by(world, OPERATOR):
        reference = line.get("objectRef", {})
        if line["verb"] not in WRITES or reference.get("resource") not in OWN:
            continue
        if line["responseStatus"]["code"] == requests.codes.forbidden:
            continue  # refused before it was read
        assert line["verb"] == "patch", line["requestURI"]
        body = line["requestObject"]
        if reference.get("subresource") == "status":
            assert set(body) <= {"apiVersion", "kind", "metadata", "status"}, line["requestURI"]
            assert "resourceVersion" in body["metadata"], "compare-and-set"
        else:
            assert set(body) == {"metadata"}, line["requestURI"]
            assert set(body["metadata"]) <= {"finalizers", "resourceVersion", "uid"}


def test_agents_write_nothing_but_their_own_lease(tenant: Tenant, world: World) -> None:
    _a_day(tenant)
    written = {
        (line["objectRef"]["resource"], line["objectRef"]["namespace"])
        for line in _by(world, AGENT)
        if line["verb"] in WRITES
    }
    assert written == {("leases", "edge")}
    read = {
        (line["objectRef"]["resource"], line["objectRef"].get("namespace"))
        for line in _by(world, AGENT)
        if line["verb"] not in WRITES and "objectRef" in line
    }
    assert read <= {("leases", "edge"), ("secrets", "edge")}
