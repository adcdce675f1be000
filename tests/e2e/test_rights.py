"""Least privilege, proved from the API server's own audit log."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from certfront.config import read_settings
from certfront.engine.sweep import Sweep
from certfront.kube.client import ApiClient
from certfront.kube.source import LiveSource
from certfront.model.clock import SystemClock
from certfront.reconcilers.stores import new_store, watched
from tests.e2e import clients
from tests.e2e.api import Object
from tests.e2e.world import AGENT, OPERATOR, WRITES, Tenant, World

OWN = ("certificates", "issuers", "loadbalancers", "loadbalancerfrontends")
KUBE_SYSTEM_GROUPS = ("authentication.k8s.io", "authorization.k8s.io")


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource (`secrets`, `certificates/status`), as a rule grants it.

    `namespace` and `name` are empty for all of them.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def covers(self, request: "Right") -> bool:
        """Whether a rule that grants this allows `request`."""
        return (
            (self.verb, self.group, self.resource)
            == (request.verb, request.group, request.resource)
            and self.namespace in ("", request.namespace)
            and self.name in ("", request.name)
        )

    @property
    def narrowness(self) -> int:
        """How much it says: a request counts for the narrowest right that covers it."""
        return bool(self.namespace) + bool(self.name)


def granted(world: World, user: str) -> set[Right]:
    """What the bindings of the cluster grant to the service account itself."""
    namespace, name = user.split(":")[2:]
    found: set[Right] = set()
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in world.kubectl.json("get", kind, "--all-namespaces")["items"]:
            subjects = binding.get("subjects") or ()
            if not any(
                (each["kind"], each.get("namespace"), each["name"])
                == ("ServiceAccount", namespace, name)
                for each in subjects
            ):
                continue
            within = binding["metadata"].get("namespace", "")
            role = binding["roleRef"]
            place = [f"--namespace={within}"] if role["kind"] == "Role" else []
            rules = world.kubectl.json("get", role["kind"], role["name"], *place)["rules"]
            found.update(_of_rules(rules, within))
    return found


def _of_rules(rules: Iterable[Object], namespace: str) -> Iterator[Right]:
    for rule in rules:
        assert "*" not in (*rule["verbs"], *rule["apiGroups"], *rule["resources"]), rule
        for verb in rule["verbs"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", ("",)):
                        yield Right(verb, group, resource, namespace, name)


def used(lines: Iterable[Object]) -> set[Right]:
    """What requests in the audit log asked for; those without an object have a role for everybody."""
    found = set()
    for line in lines:
        reference = line.get("objectRef")
        if not reference or reference.get("apiGroup") in KUBE_SYSTEM_GROUPS:
            continue
        parts = filter(None, (reference["resource"], reference.get("subresource")))
        # A name is not known yet when something is created.
        name = "" if line["verb"] == "create" else reference.get("name", "")
        place = "" if reference["resource"] == "namespaces" else reference.get("namespace", "")
        group = reference.get("apiGroup", "")
        found.add(Right(line["verb"], group, "/".join(parts), place, name))
    return found


def unused(rights: set[Right], requests_made: set[Right]) -> set[Right]:
    """The rights that no request needs: each request needs the narrowest that covers it."""
    needed = set()
    for request in requests_made:
        covering = [right for right in rights if right.covers(request)]
        if covering:
            needed.add(max(covering, key=lambda right: right.narrowness))
    return rights - needed


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


def _a_rare_day(tenant: Tenant) -> None:
    """What happens when people, nodes and watches go away."""
    world = tenant.world
    world.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": tenant.namespace},
            "spec": {"ports": [{"port": 80}]},
        }
    )
    # Agents of a node that vanished an hour ago have left a Lease.
    world.api.apply(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "haproxy.vanished",
                "namespace": "edge",
                "labels": {"certfront.io/load-balancer": "haproxy"},
            },
            "spec": {
                "holderIdentity": "vanished",
                "leaseDurationSeconds": 15,
                "renewTime": "2026-01-01T00:00:00.000000Z",
            },
        }
    )
    tenant.certificate("shop")
    farm = {"name": "web", "serviceRef": {"name": "web", "port": 80}}
    tenant.frontend("shop", ["shop"], farms=[farm])
    tenant.ready("shop", kind="LoadBalancerFrontend")
    # A Certificate whose Issuer and whose load balancer are not there.
    tenant.certificate("lost", "CA", ca={"issuerRef": {"name": "nowhere"}})
    tenant.frontend("lost", ["lost"], loadBalancerRef={"name": "nowhere"})
    tenant.condition("lost", "Ready", "False")
    tenant.condition("lost", "Accepted", "False", kind="LoadBalancerFrontend")
    world.stop("node-2")
    world.start("node-2")
    clients.eventually(
        lambda: world.api.get("Lease", "edge", "haproxy.vanished") is None,
        seconds=30,
        why="without the Lease of a node that vanished",
    )
    _sweep(world)


def _sweep(world: World) -> None:
    """Repair a store that has missed everything, as the operator does when its watches go deaf."""
    files = world.state.operator
    assert files is not None
    settings = read_settings(Path(files.config))

    async def sweep() -> None:
        clock = SystemClock()
        async with await ApiClient.from_environment(clock=clock) as client:
            store, _ = new_store(settings)
            source = LiveSource(client, watched(settings))
            report = await Sweep(
                source=source, store=store, repaired=lambda *_: None, clock=clock
            ).sweep()
            assert report.missed

    kubeconfigs = world.state.kubeconfigs
    assert kubeconfigs is not None
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", kubeconfigs.operator)
        asyncio.run(sweep())


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


def test_every_right_granted_is_in_use(tenant: Tenant, disturbed: World) -> None:
    """And every request is covered by a right granted to the account itself."""
    _a_day(tenant)
    _a_rare_day(tenant)
    for user in (OPERATOR, AGENT):
        rights, asked = granted(disturbed, user), used(_by(disturbed, user))
        assert rights, user
        assert unused(rights, asked) == set(), user
        uncovered = {each for each in asked if not any(right.covers(each) for right in rights)}
        assert uncovered == set(), user


def test_a_right_that_nothing_uses_is_found() -> None:
    """A narrower right takes the requests that it covers; the wide one beside it is too much."""
    own = Right("get", "coordination.k8s.io", "leases", "certfront", "certfront-operator")
    wide = Right("get", "coordination.k8s.io", "leases")
    other = Right("delete", "", "secrets")
    asked = used(
        [
            {
                "verb": "get",
                "objectRef": {
                    "apiGroup": "coordination.k8s.io",
                    "resource": "leases",
                    "namespace": "certfront",
                    "name": "certfront-operator",
                },
            },
            {"verb": "get", "requestURI": "/version"},
        ]
    )
    assert asked == {own}
    assert unused({own, wide, other}, asked) == {wide, other}
    assert unused({wide}, asked) == set()
    assert not wide.covers(Right("get", "", "leases", "certfront"))
    assert not own.covers(Right("get", "coordination.k8s.io", "leases", "edge"))


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
