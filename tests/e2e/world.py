"""The sandbox as tests use it, and one tenant's namespace in it.

Nothing here knows how certfront works: it applies manifests, waits for what the API server tells
(:mod:`tests.e2e.journal`), and looks at the nodes from outside (:mod:`tests.e2e.clients`).
"""

import base64
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from sandbox import lifecycle, objects, state
from sandbox.kubectl import Kubectl
from sandbox.report import report
from sandbox.state import Node, State
from tests.e2e import clients
from tests.e2e.api import Api, Object
from tests.e2e.journal import Journal

GROUP = "certfront.io/v1alpha1"
OPERATOR = "system:serviceaccount:certfront:certfront"
AGENT = "system:serviceaccount:edge:certfront-agent"
WRITES = ("create", "update", "patch", "delete", "deletecollection")
_LONGEST_LINE = 1 << 18
FARM = {"name": "web", "servers": [{"address": "127.0.0.1", "port": 9}]}


@dataclass
class World:
    """A running sandbox: API server, operator, Pebble and two HAProxy nodes."""

    name: str
    api: Api
    journal: Journal

    @property
    def state(self) -> State:
        """The record as it is now: nodes come and go."""
        return state.load(self.name)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The load balancer nodes."""
        return self.state.nodes

    @cached_property
    def kubectl(self) -> Kubectl:
        """kubectl as the admin."""
        return objects.kubectl(self.state)

    @property
    def pebble_root(self) -> str:
        """The root that Pebble's certificates lead to, in PEM."""
        pebble = self.state.pebble
        assert pebble is not None
        return Path(pebble.root).read_text()

    def start(self, target: str) -> None:
        """Start a process or a node."""
        lifecycle.start(self.name, target)

    def stop(self, target: str) -> None:
        """Stop it as its supervisor would."""
        self._await_ends(target)
        lifecycle.stop(self.name, target)

    def kill(self, target: str) -> None:
        """Kill it with SIGKILL."""
        self._await_ends(target)
        lifecycle.kill(self.name, target)

    def _await_ends(self, target: str) -> None:
        """Let namespaces of earlier tests end before the API server goes.

        For a moment after its start it does not offer our kinds, and a namespace that ends just
        then leaves their objects behind.
        """
        if target in ("apiserver", "etcd"):
            self.await_namespaces()

    def remove(self, node: str) -> None:
        """Take a node away for good."""
        lifecycle.remove_node(self.name, node)

    def log(self, name: str) -> str:
        """What a process has written so far."""
        return Path(self.state.service(name).log).read_text(errors="replace")

    def dns(self, path: str, **body: object) -> None:
        """Tell the DNS server something, as its management API spells it."""
        pebble = self.state.pebble
        assert pebble is not None
        url = f"{pebble.dns_management_url}/{path}"
        requests.post(url, json=body, timeout=10).raise_for_status()

    def metrics(self) -> str:
        """The operator's metrics."""
        operator = self.state.operator
        assert operator is not None
        url = f"http://{operator.metrics_address}/metrics"
        answer = requests.get(url, timeout=10)
        answer.raise_for_status()
        return answer.text

    def audit(self, offset: int = 0) -> list[Object]:
        """The lines of the API server's audit log from byte `offset` on."""
        with Path(self.state.audit_log).open("rb") as log:
            log.seek(offset)
            return [json.loads(line) for line in log if line.endswith(b"\n")]

    def audit_size(self) -> int:
        """Where the last whole line of the audit log ends now."""
        with Path(self.state.audit_log).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            start = log.seek(max(0, size - _LONGEST_LINE))
            return start + log.read(size - start).rfind(b"\n") + 1

    def written(self, offset: int = 0) -> list[Object]:
        """What the operator has written since, without Leases: lines of the audit log."""
        return [
            line
            for line in self.audit(offset)
            if line["user"]["username"] == OPERATOR
            and line["verb"] in WRITES
            and line["objectRef"]["resource"] != "leases"
        ]

    def quiet(self, seconds: float = 2.0) -> None:
        """Return once the operator has written nothing but Leases for that long."""

        offset, since = self.audit_size(), time.monotonic()

        def still() -> bool:
            nonlocal offset, since
            size = self.audit_size()
            if self.written(offset):
                since = time.monotonic()
            offset = size
            return time.monotonic() - since > seconds

        clients.eventually(still, seconds=60, why="quiet")

    def alone(self) -> None:
        """Return once the namespaces of earlier tests are gone, and everything is quiet."""
        self.await_namespaces()
        clients.eventually(self._folded, seconds=60, why="told how far the nodes are")
        self.quiet()

    def await_namespaces(self) -> None:
        """Return once no namespace is being deleted."""
        clients.eventually(
            lambda: (
                not any(
                    "deletionTimestamp" in namespace["metadata"]
                    for namespace in self.api.found("Namespace")
                )
            ),
            seconds=90,
            why="alone",
        )

    def _folded(self) -> bool:
        """Whether the load balancer's status has the last reports of its nodes, a while later.

        As far as there is something to serve: what nodes have read beyond that is no news.
        """
        balancer = self.journal.current("LoadBalancer", "edge", "haproxy") or {}
        told = {
            node["name"]: int(node.get("revision") or 0)
            for node in balancer.get("status", {}).get("nodes", ())
        }
        handed = self.api.found(
            "Secret", "edge", selector="certfront.io/secret in (manifest, bundle)"
        )
        newest = max((int(one["metadata"]["resourceVersion"]) for one in handed), default=0)
        reported = {}
        for lease in self.api.found("Lease", "edge", selector="certfront.io/load-balancer"):
            mark = lease["metadata"].get("annotations", {}).get("certfront.io/watermark", "{}")
            node = lease["metadata"]["name"].removeprefix("haproxy.")
            reported[node] = min(int(json.loads(mark).get("resourceVersion") or 0), newest)
        return told.keys() == reported.keys() and all(
            told[node] >= revision for node, revision in reported.items()
        )

    def sample(self, name: str, **labels: str) -> float:
        """The sum of the operator's samples called `name` with these labels."""
        return total(self.metrics(), name, **labels)

    def everything_started(self) -> None:
        """Start what a test has stopped, so that the next one finds a whole world."""
        for name, process in report(self.state).processes.items():
            if process.state != "ready":
                self.start(name)


@dataclass
class Tenant:
    """A namespace of its own with hostnames of its own."""

    world: World
    namespace: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        self.world.api.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )

    def remove(self) -> None:
        """Delete the namespace and all that is in it, without waiting for the end of it."""
        self.world.api.delete("Namespace", "", self.namespace)

    def host(self, label: str = "www") -> str:
        """A hostname that no other test uses."""
        return f"{label}.{self.namespace}.example.com"

    def apply(
        self,
        kind: str,
        name: str,
        spec: Object,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> Object:
        """Apply one of our kinds."""
        metadata: Object = {"name": name, "namespace": self.namespace}
        if annotations:
            metadata["annotations"] = dict(annotations)
        return self.world.api.apply(
            {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": spec}
        )

    def certificate(self, name: str, kind: str = "SelfSigned", **spec: Any) -> Object:
        """Apply a Certificate of type `kind`, for `www` of this tenant unless it names others."""
        if kind != "Uploaded" and not {"dnsNames", "ipAddresses", "commonName"} & set(spec):
            spec["dnsNames"] = [self.host()]
        return self.apply("Certificate", name, {"type": kind, **spec})

    def frontend(self, name: str, certificates: Sequence[str], **spec: Any) -> Object:
        """Apply a frontend with these Certificates and a farm that need not answer."""
        entries = [{"name": each} for each in certificates]
        if "redirectLocation" not in spec:
            spec.setdefault("farms", [FARM])
        return self.apply("LoadBalancerFrontend", name, {"certificates": entries, **spec})

    def secret(
        self,
        name: str,
        data: Mapping[str, bytes],
        *,
        type_: str = "Opaque",
        labelled: bool = True,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Object:
        """Apply a Secret, as a source that is noticed at once unless it is not to be."""
        wanted = {**({"certfront.io/secret": "source"} if labelled else {}), **(labels or {})}
        return self.world.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": type_,
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "labels": wanted,
                    "annotations": dict(annotations or {}),
                },
                "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
            }
        )

    def pair(self, name: str, certificate: bytes, key: bytes, **more: Any) -> Object:
        """Apply a TLS Secret."""
        data = {"tls.crt": certificate, "tls.key": key}
        return self.secret(name, data, type_="kubernetes.io/tls", **more)

    def annotate(self, kind: str, name: str, **annotations: str) -> Object:
        """Set annotations under certfront.io/."""
        found = {f"certfront.io/{key}": value for key, value in annotations.items()}
        patch = {"metadata": {"annotations": found}}
        return self.world.api.merge(kind, self.namespace, name, patch)

    def delete(self, kind: str, name: str) -> None:
        """Delete it and return when it is gone."""
        self.world.api.delete(kind, self.namespace, name)
        self.world.journal.wait_gone(kind, self.namespace, name)

    def get(self, kind: str, name: str) -> Object:
        """The object, live."""
        found = self.world.api.get(kind, self.namespace, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def wait(
        self,
        name: str,
        holds: Callable[[Object], bool],
        *,
        kind: str = "Certificate",
        seconds: float = 20,
        why: str = "as it should be",
    ) -> Object:
        """The object once `holds` is true of it."""
        return self.world.journal.wait(kind, self.namespace, name, holds, seconds=seconds, why=why)

    def ready(
        self, name: str, *, kind: str = "Certificate", reason: str = "", seconds: float = 20
    ) -> Object:
        """The object once it is Ready for its current generation."""
        return self.condition(name, "Ready", "True", kind=kind, reason=reason, seconds=seconds)

    def condition(
        self,
        name: str,
        type_: str,
        status: str,
        *,
        kind: str = "Certificate",
        reason: str = "",
        message: str = "",
        seconds: float = 20,
    ) -> Object:
        """The object once the condition has this status, reason and part of a message."""

        def holds(body: Object) -> bool:
            found = condition(body, type_)
            return (
                current(body)
                and found is not None
                and found["status"] == status
                and found["reason"] == (reason or found["reason"])
                and message in found.get("message", "")
            )

        why = f"{type_}={status} {reason} {message!r}"
        return self.wait(name, holds, kind=kind, seconds=seconds, why=why)

    def revision(self, name: str, at_least: int, *, seconds: float = 20) -> Object:
        """The Certificate once it is Ready with that revision."""
        return self.wait(
            name,
            lambda body: body["status"].get("revision", 0) >= at_least and is_ready(body),
            seconds=seconds,
            why=f"Ready with revision {at_least}",
        )

    def tls(self, name: str) -> tuple[str, str]:
        """The chain and the key in a TLS Secret, live."""
        data = self.get("Secret", name)["data"]
        return (
            base64.b64decode(data["tls.crt"]).decode(),
            base64.b64decode(data["tls.key"]).decode(),
        )

    def served(
        self,
        host: str,
        fingerprint: str,
        root: str,
        *,
        port: int = 443,
        seconds: float = 20,
        nodes: Sequence[Node] | None = None,
    ) -> float:
        """Wait until every node shows this certificate for `host`; returns after how long."""

        def shown() -> bool:
            return all(
                clients.handshake(node, host, root=root, port=port) == clients.spelled(fingerprint)
                for node in nodes or self.world.nodes
            )

        return clients.eventually(shown, seconds=seconds, why=f"{host} served by every node")


def total(exposition: str, name: str, **labels: str) -> float:
    """The sum of the samples called `name` with these labels, in Prometheus' text format."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def condition(body: Object, type_: str) -> Object | None:
    """The condition of that type."""
    found = (body.get("status") or {}).get("conditions") or ()
    return next((each for each in found if each["type"] == type_), None)


def current(body: Object) -> bool:
    """Whether the status belongs to the current generation."""
    generation = (body.get("status") or {}).get("observedGeneration", -1)
    wanted: int = body["metadata"]["generation"]
    return bool(generation == wanted)


def is_ready(body: Object) -> bool:
    """Whether it is Ready for its current generation."""
    found = condition(body, "Ready")
    return current(body) and found is not None and found["status"] == "True"
