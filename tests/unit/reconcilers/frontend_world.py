"""A small world for the frontends' and load balancers' reconcilers: an API in memory, and agents.

The API keeps resourceVersions, compares them, knows server-side apply as far as the reconcilers use
it, deletes with finalizers, and tells the store of every change as a watch would.
"""

import base64
import copy
import itertools
import random
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from certfront.engine.domains import Domains
from certfront.engine.keys import Key
from certfront.engine.queue import WorkQueue
from certfront.kube.client import Listing
from certfront.kube.errors import Conflict, NotFound
from certfront.loadbalancers.haproxy import watermark
from certfront.loadbalancers.haproxy.handover import Manifest, read_manifest
from certfront.model.clock import FrozenClock
from certfront.model.meta import ObjectName
from certfront.model.settings import Settings
from certfront.pki.pair import KeyPair
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends import FrontendReconciler
from certfront.reconcilers.frontends.handover import manifest_name
from certfront.reconcilers.loadbalancers import LoadBalancerReconciler
from certfront.reconcilers.stores import new_store
from certfront.reconcilers.targets import Targets
from certfront.reconcilers.wakeups import keys_to_wake

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
API = "certfront.io/v1alpha1"
EDGE = ObjectName("edge", "haproxy")


class FakeApi:
    """What the reconcilers use of `certfront.kube.client.ApiClient`."""

    clock_offset = timedelta(0)

    def __init__(self, clock: FrozenClock) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.writes: list[str] = []
        self.reads = 0
        self.listeners: list[Any] = []
        self._clock = clock
        self._revisions = itertools.count(100)
        self._uids = itertools.count(1)

    async def get(self, resource: Any, namespace: str | None, name: str) -> dict[str, Any]:
        self.reads += 1
        found = self.objects.get((resource.kind, namespace or "", name))
        if found is None:
            raise NotFound(404, "NotFound", "no such object")
        return copy.deepcopy(found)

    async def apply(
        self, resource: Any, body: Mapping[str, Any], *, force: bool, **_: Any
    ) -> dict[str, Any]:
        metadata = body["metadata"]
        key = (resource.kind, metadata["namespace"], metadata["name"])
        held = self.objects.get(key)
        self.writes.append(f"apply {resource.kind} {metadata['name']}")
        if metadata.get("resourceVersion") == "1" and not force:
            if held is not None:
                raise Conflict(409, "Conflict", "exists")
            made = copy.deepcopy(dict(body))
            del made["metadata"]["resourceVersion"]
            return self.put(resource.kind, made)
        if held is None:
            raise NotFound(404, "NotFound", "no such object")
        self._compare(held, metadata["resourceVersion"], metadata["uid"])
        merged = copy.deepcopy(held)
        merged["data"] = body["data"]
        for part in ("labels", "annotations"):
            merged["metadata"][part] = {
                **(merged["metadata"].get(part) or {}),
                **(metadata.get(part) or {}),
            }
        return self.put(resource.kind, merged)

    async def patch_status(
        self,
        resource: Any,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str,
        status: Mapping[str, Any],
        **_: Any,
    ) -> dict[str, Any]:
        held = await self.get(resource, namespace, name)
        self.writes.append(f"status {resource.kind} {name}")
        self._compare(held, resource_version, uid)
        held["status"] = copy.deepcopy(dict(status))
        return self.put(resource.kind, held)

    async def patch_finalizers(
        self,
        resource: Any,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str,
        finalizers: Iterable[str],
    ) -> dict[str, Any]:
        held = await self.get(resource, namespace, name)
        self.writes.append(f"metadata {resource.kind} {name}")
        self._compare(held, resource_version, uid)
        held["metadata"]["finalizers"] = list(finalizers)
        if held["metadata"].get("deletionTimestamp") and not held["metadata"]["finalizers"]:
            self.remove(resource.kind, namespace, name)
            return held
        return self.put(resource.kind, held)

    async def delete(
        self,
        resource: Any,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        held = await self.get(resource, namespace, name)
        self.writes.append(f"delete {resource.kind} {name}")
        self._compare(held, resource_version, uid)
        self.remove(resource.kind, namespace, name)

    async def list(self, resource: Any, namespace: str | None = None, **_: Any) -> Listing:
        self.reads += 1
        found = [
            copy.deepcopy(obj)
            for (kind, where, _name), obj in self.objects.items()
            if kind == resource.kind and namespace in (None, where)
        ]
        return Listing(items=found, resource_version="1")

    async def create(self, resource: Any, body: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        self.writes.append(f"create {resource.kind} {body['reason']}")
        return dict(body)

    def put(self, kind: str, obj: dict[str, Any]) -> dict[str, Any]:
        """Store an object as the server would, and tell whoever watches."""
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        key = (kind, metadata.get("namespace", ""), metadata["name"])
        before = self.objects.get(key)
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        metadata.setdefault("creationTimestamp", self._clock.now().isoformat())
        if before is None or before.get("spec") != obj.get("spec"):
            metadata["generation"] = metadata.get("generation", 0) + 1
        metadata["resourceVersion"] = str(next(self._revisions))
        self.objects[key] = obj
        for listener in self.listeners:
            listener(kind, before, obj)
        return copy.deepcopy(obj)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Remove an object, finalizers or not, and tell whoever watches."""
        gone = self.objects.pop((kind, namespace, name))
        for listener in self.listeners:
            listener(kind, gone, None)

    @staticmethod
    def _compare(held: Mapping[str, Any], version: str | None, uid: str | None) -> None:
        metadata = held["metadata"]
        if version is not None and metadata["resourceVersion"] != version:
            raise Conflict(409, "Conflict", "changed")
        if uid is not None and metadata["uid"] != uid:
            raise Conflict(409, "Conflict", "another object")


class World:
    """Objects, reconcilers and agents. Everything happens when it is told to."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FrozenClock(START)
        self.api = FakeApi(self.clock)
        self.woken: dict[Key, None] = {}
        self.events: list[str] = []
        self.restart(**settings)
        self.api.listeners.append(self._watch)
        self.namespace("edge")
        self.namespace("shop")
        self.balancer()

    def restart(self, **settings: Any) -> None:
        """Start the operator again, with other settings: what it kept in memory is lost."""
        defaults = {"default_load_balancer": str(EDGE), "documentation_url": "https://docs"}
        self.settings = Settings(**{**defaults, **settings})
        self.store, indices = new_store(self.settings)
        for (kind, _, _), obj in self.api.objects.items():
            labelled = "certfront.io/secret" in (obj["metadata"].get("labels") or {})
            if kind in self.store.kinds and (kind != "Secret" or labelled):
                self.store.upsert(kind, copy.deepcopy(obj))
        self.context = Context(
            client=self.api,  # type: ignore[arg-type] # as much of it as is used
            store=self.store,
            indices=indices,
            queue=WorkQueue(self.clock, random.Random(1)),  # noqa: S311 - jitter
            clock=self.clock,
            settings=self.settings,
            domains=Domains(),
            executor=ThreadPoolExecutor(1),
            on_event=self.events.append,
        )
        self.targets = Targets(self.context)
        self.frontends = FrontendReconciler(self.context, self.targets)
        self.balancers = LoadBalancerReconciler(self.context, self.frontends, self.targets)

    def _watch(
        self, kind: str, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        """As the watches do, for the kinds and labels that are watched."""
        obj = after or before
        assert obj is not None
        metadata = obj["metadata"]
        if kind == "Secret" and "certfront.io/secret" not in (metadata.get("labels") or {}):
            return
        if kind not in self.store.kinds:
            return
        if after is None:
            self.store.remove(kind, metadata.get("namespace", ""), metadata["name"])
        else:
            self.store.upsert(kind, copy.deepcopy(after))
        context = self.context
        woken = keys_to_wake(context.store, context.indices, kind, before, after)
        self.woken.update(dict.fromkeys(woken))

    async def queued(self) -> set[Key]:
        """The keys that the reconcilers themselves have queued, taken off the queue."""
        found = set()
        while self.context.queue.depth():
            key = await self.context.queue.get()
            self.context.queue.done(key)
            found.add(key)
        return found

    # --- what users do

    def namespace(self, name: str, **labels: str) -> None:
        self._apply("Namespace", "v1", "", name, labels=labels)

    def balancer(self, name: ObjectName = EDGE, **spec: Any) -> None:
        grant = {
            "namespaces": {"names": ["shop"]},
            "hostnames": ["*"],
            "backendCIDRs": ["10.1.0.0/16"],
        }
        wanted = {"type": "HAProxy", "haproxy": {"minNodes": 1}, "grants": [grant], **spec}
        self._apply("LoadBalancer", API, *name, spec=wanted)

    def frontend(self, name: str = "shop", namespace: str = "shop", **spec: Any) -> Key:
        servers = [{"address": "10.1.0.1", "port": 8080}]
        wanted = {
            "certificates": [{"name": name}],
            "redirectLocation": "https://other.example/",
            "port": 443,
            **spec,
        }
        if spec.get("farms") == "own":
            wanted["farms"] = [{"name": "web", "servers": servers}]
            del wanted["redirectLocation"]
        self._apply("LoadBalancerFrontend", API, namespace, name, spec=wanted)
        return Key("LoadBalancerFrontend", namespace, name)

    def certificate(
        self, name: str = "shop", namespace: str = "shop", *, names: list[str], **spec: Any
    ) -> None:
        wanted = {"type": "SelfSigned", "dnsNames": names, **spec}
        self._apply("Certificate", API, namespace, name, spec=wanted)

    def secret(
        self,
        pair: KeyPair,
        name: str = "shop",
        namespace: str = "shop",
        *,
        of: str | None = "shop/shop",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        metadata: dict[str, Any] = {"labels": labels or {"certfront.io/secret": "certificate"}}
        if of is not None:
            metadata["annotations"] = {"certfront.io/certificate": of}
        data = {
            "tls.crt": base64.b64encode(pair.tls_crt).decode(),
            "tls.key": base64.b64encode(pair.private_key_pem).decode(),
        }
        self._apply("Secret", "v1", namespace, name, data=data, **metadata)

    def service(self, name: str, namespace: str = "shop", **spec: Any) -> None:
        wanted = {"type": "ClusterIP", "clusterIP": "10.96.0.10", "ports": [{"port": 8080}], **spec}
        self._apply("Service", "v1", namespace, name, spec=wanted)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        held = copy.deepcopy(self.api.objects[kind, namespace, name])
        if not held["metadata"].get("finalizers"):
            self.api.remove(kind, namespace, name)
            return
        held["metadata"]["deletionTimestamp"] = self.clock.now().isoformat()
        self.api.put(kind, held)

    def _apply(self, kind: str, version: str, namespace: str, name: str, **parts: Any) -> None:
        held = copy.deepcopy(self.api.objects.get((kind, namespace, name)))
        obj = held or {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        }
        for part in ("labels", "annotations"):
            if part in parts:
                obj["metadata"][part] = dict(parts.pop(part))
        self.api.put(kind, {**obj, **parts})

    # --- what agents do

    def node(
        self,
        name: str = "node-1",
        *,
        target: ObjectName = EDGE,
        failed: Iterable[watermark.Failed] = (),
        revision: int | None = None,
        behind: timedelta = timedelta(),
    ) -> None:
        """A node's heartbeat and report: by default it has applied everything.

        `behind`: so far its clock is behind that of the operator.
        """
        newest = max(int(o["metadata"]["resourceVersion"]) for o in self.api.objects.values())
        mark = watermark.render(str(newest if revision is None else revision), failed)
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "namespace": target.namespace,
                "name": watermark.lease_name(target.name, name),
                "labels": {"certfront.io/load-balancer": target.name},
                "annotations": {watermark.ANNOTATION: mark},
            },
            "spec": {
                "renewTime": (self.clock.now() - behind).isoformat(),
                "leaseDurationSeconds": 15,
            },
        }
        held = self.api.objects.get(("Lease", target.namespace, lease["metadata"]["name"]))
        if held is not None:
            lease["metadata"]["uid"] = held["metadata"]["uid"]
        self.api.put("Lease", lease)

    # --- what is there then

    async def run(self, key: Key, times: int = 1) -> float | None:
        """`times` passes over one object; returns when the last wants to be called again."""
        delay: float | None = None
        for _ in range(times):
            kind = key.kind
            reconciler = self.balancers if kind == "LoadBalancer" else self.frontends
            delay = (await reconciler.reconcile(key)).delay
        return delay

    async def settle(self, key: Key) -> None:
        """Hand over, let the nodes follow, report."""
        await self.run(key)
        self.node()
        await self.run(key)

    def status(self, key: Key) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects[tuple(key)].get("status") or {}
        return status

    def condition(self, key: Key, kind: str) -> tuple[str, str]:
        """Status and reason of a condition; ("", "") if it is absent."""
        found = self._condition(key, kind)
        return (found["status"], found["reason"]) if found else ("", "")

    def message(self, key: Key, kind: str = "Ready") -> str:
        found = self._condition(key, kind)
        return str(found.get("message", "")) if found else ""

    def _condition(self, key: Key, kind: str) -> dict[str, Any] | None:
        held = self.status(key).get("conditions") or ()
        return next((c for c in held if c["type"] == kind), None)

    def manifest(self, key: Key, target: ObjectName = EDGE) -> Manifest | None:
        name = manifest_name(target, ObjectName(key.namespace, key.name))
        secret = self.api.objects.get(("Secret", target.namespace, name))
        return None if secret is None else read_manifest(secret["data"])

    def bundles(self, target: ObjectName = EDGE) -> list[dict[str, Any]]:
        return [
            obj
            for (kind, namespace, name), obj in self.api.objects.items()
            if kind == "Secret" and namespace == target.namespace and name.startswith("bundle-")
        ]
