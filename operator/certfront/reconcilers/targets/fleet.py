"""All targets of this process, and how each reaches the cluster: the store, the queue, a live list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.kube.resources import FRONTENDS
from certfront.loadbalancers.exchange import Pace
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kinds import Environment
from certfront.loadbalancers.protocol import (
    CertificateSource,
    Installation,
    ManagedState,
    Memory,
)
from certfront.model.addresses import AllowedAddresses
from certfront.model.clock import Clock
from certfront.model.frontend import FrontendStatus, InstalledCertificate
from certfront.model.meta import FINALIZER, ObjectName, parsed
from certfront.model.times import from_text
from certfront.reconcilers.context import Context
from certfront.reconcilers.parsed import Parsed
from certfront.reconcilers.stores import CERTIFICATE, FRONTEND, LOADBALANCER
from certfront.reconcilers.targets.target import Target

USER_AGENT: Final = "certfront"


class Targets:
    """The load balancers that are driven from here, by name."""

    def __init__(self, context: Context, *, may_act: Callable[[], bool] = lambda: True) -> None:
        self._context = context
        self._may_act = may_act
        self._targets: dict[ObjectName, Target] = {}
        self._paces: dict[str, Pace] = {}
        self._addresses = AllowedAddresses(context.settings.allow_endpoints)

    def of(self, name: ObjectName) -> Target:
        """The target of that name; a new one knows nothing yet."""
        found = self._targets.get(name)
        if found is None:
            surroundings = _Surroundings(self._context, name, self._addresses, self._may_act)
            found = self._targets[name] = Target(surroundings)
        return found

    def find(self, name: ObjectName) -> Target | None:
        """The target of that name, if something was ever asked of it."""
        return self._targets.get(name)

    async def drop(self, name: ObjectName) -> None:
        """Forget a target whose LoadBalancer is gone."""
        found = self._targets.pop(name, None)
        if found is not None:
            await found.stop(0)

    def managed(self, source: CertificateSource) -> Iterator[tuple[ObjectName, ManagedState]]:
        """What providers tell of a certificate that they are to issue, by load balancer."""
        for name, target in sorted(self._targets.items()):
            state = target.managed(source)
            if state is not None:
                yield name, state

    def advice(self, source: CertificateSource) -> str:
        """Which names of a certificate that a provider is to issue lead elsewhere."""
        told = (target.advice(source) for _, target in sorted(self._targets.items()))
        return next((text for text in told if text), "")

    def retry(self, source: CertificateSource) -> None:
        """Order a certificate again although an order of it has failed."""
        for target in self._targets.values():
            target.retry(source)

    def environment(self, name: ObjectName) -> Environment:
        """What a provider for the target of that name is made with."""
        settings = self._context.settings
        return Environment(
            scope=Scope(installation=settings.installation_id, load_balancer=name),
            clock=self._context.clock,
            addresses=self._addresses,
            pace=self._pace,
            executor=self._context.executor,
            user_agent=USER_AGENT,
            ambient=name.namespace == settings.namespace,
        )

    async def stop(self, deadline: float) -> None:
        """End the work of all targets; exchanges that run may end within the deadline."""
        await asyncio.gather(*(target.stop(deadline) for target in self._targets.values()))

    def _pace(self, account: str) -> Pace:
        return self._paces.setdefault(account, Pace(self._context.clock))


class _Surroundings:
    """The cluster as one target sees it (`target.Surroundings`)."""

    def __init__(
        self,
        context: Context,
        name: ObjectName,
        addresses: AllowedAddresses,
        may_act: Callable[[], bool],
    ) -> None:
        self.clock: Clock = context.clock
        self.addresses = addresses
        self._context = context
        self._name = name
        self.may_act = may_act
        self._memories = Parsed(
            lambda raw: memory_of(raw, name),
            lambda *frontend: context.store.get(FRONTEND, *frontend) is not None,
        )

    def frontends(self) -> Iterator[ObjectName]:
        """Those that name it, and those that were installed on it and name another by now."""
        indices = self._context.indices
        named = set(indices.frontends_by_load_balancer.lookup(tuple(self._name)))
        for key in indices.frontends_at(*self._name):
            metadata = (self._context.store.find(key) or {}).get("metadata") or {}
            ours = FINALIZER in (metadata.get("finalizers") or ())
            if ours or (key in named and not metadata.get("deletionTimestamp")):
                yield ObjectName(key.namespace, key.name)

    def memory(self, frontend: ObjectName) -> Memory:
        raw = self._context.store.get(FRONTEND, *frontend)
        return Memory() if raw is None else self._memories.of(raw) or Memory()

    def orphaned(self) -> frozenset[ObjectName]:
        raw = self._context.store.get(LOADBALANCER, *self._name) or {}
        told = (raw.get("status") or {}).get("orphaned") or ()
        names = (ObjectName.parse(one) for one in told)
        return frozenset(name for name in names if name is not None)

    async def confirm(self) -> bool:
        for namespace in self._context.settings.watch_namespaces or (None,):
            listing = await self._context.client.list(FRONTENDS, namespace, metadata_only=True)
            if self._context.store.uncovered(FRONTEND, listing.items):
                return False
        return True

    def probe_address(self) -> str:
        raw = self._context.store.get(LOADBALANCER, *self._name) or {}
        told: str = (raw.get("spec") or {}).get("probeAddress") or ""
        return told

    def wake(
        self, frontends: Iterable[ObjectName], certificates: Iterable[CertificateSource]
    ) -> None:
        self._context.enqueue(Key(FRONTEND, *frontend) for frontend in frontends)
        self._context.enqueue(
            Key(CERTIFICATE, source.namespace, source.name) for source in certificates
        )

    def wake_in(self, seconds: float) -> None:
        self._context.queue.add_after(Key(LOADBALANCER, *self._name), seconds)


def memory_of(raw: Object, target: ObjectName) -> Memory:
    """What the status of a frontend remembers of one load balancer."""
    frontend = ObjectName(raw["metadata"]["namespace"], raw["metadata"]["name"])
    status = parsed(FrontendStatus, raw.get("status") or {})
    if status is None or status.load_balancer != str(target):
        return Memory()
    return Memory(
        frontend_id=status.frontend_id,
        installed=tuple(
            Installation(
                source=source_of_installed(entry, frontend),
                fingerprint=entry.fingerprint,
                provider_id=entry.provider_id,
                since=_moment(entry.since),
            )
            for entry in status.installed
        ),
    )


def source_of_installed(entry: InstalledCertificate, frontend: ObjectName) -> CertificateSource:
    """Which certificate an entry of `status.installed` is of."""
    if entry.name.startswith("secret/"):
        return CertificateSource("Secret", frontend.namespace, entry.name.removeprefix("secret/"))
    return CertificateSource("Certificate", entry.namespace or frontend.namespace, entry.name)


def named_installed(source: CertificateSource, frontend: ObjectName) -> dict[str, Any]:
    """The fields of an entry of `status.installed` that say which certificate it is of."""
    if source.kind == "Secret":
        return {"name": f"secret/{source.name}"}
    if source.namespace == frontend.namespace:
        return {"name": source.name}
    return {"name": source.name, "namespace": source.namespace}


def _moment(text: str) -> datetime | None:
    try:
        return from_text(text) if text else None
    except ValueError:
        return None
