"""Delivery to the nodes of a HAProxy load balancer: Secrets that the agents read, Leases that answer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.kube.resources import SECRETS
from certfront.loadbalancers import reasons
from certfront.loadbalancers.claims import Installed
from certfront.loadbalancers.haproxy import reasons as node_reasons
from certfront.loadbalancers.haproxy.handover import Manifest
from certfront.loadbalancers.haproxy.watermark import Verdict, served
from certfront.loadbalancers.listeners import Decision, View
from certfront.loadbalancers.protocol import CertificateSource, Listener
from certfront.model.frontend import Frontend
from certfront.model.meta import ObjectName, revision_of
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends import finalizers, release
from certfront.reconcilers.frontends.delivery import Delivered, Prior
from certfront.reconcilers.frontends.handover import (
    Handed,
    HAProxyProvider,
    bundle_name,
    installed_of,
    manifest_name,
    prior_binding,
    prior_farm,
    read_manifest,
    source_of_bundle,
)
from certfront.reconcilers.frontends.leases import nodes_of
from certfront.reconcilers.frontends.progress import Installing, Part, Progress
from certfront.reconcilers.parsed import Parsed
from certfront.reconcilers.stores import LOADBALANCER, SECRET

_MOST_NODES_TOLD = 5


class NodeDelivery:
    """`delivery.Delivery` for load balancers of type HAProxy."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._manifests = Parsed(
            read_manifest,
            lambda namespace, name: context.store.get(SECRET, namespace, name) is not None,
        )
        self._handed_at: dict[ObjectName, float] = {}

    def manifest(self, secret: Object | None) -> Manifest | None:
        """The manifest in a Secret."""
        return None if secret is None else self._manifests.of(secret)

    def handed_at(self, frontend: ObjectName) -> float | None:
        """When something was handed over last, by the monotonic clock."""
        return self._handed_at.get(frontend)

    async def prior(
        self, frontend: Frontend, target: ObjectName, sources: Iterable[CertificateSource]
    ) -> Prior:
        """What the agents were told last."""
        name = manifest_name(target, frontend.metadata.object_name)
        held = await self._context.known(SECRETS, target.namespace, name)
        manifest = self.manifest(held)
        found = {}
        for source in sources:
            bundle = bundle_name(target, source)
            one = prior_binding(manifest, bundle, self._bundle(target, bundle))
            if one is not None:
                found[source] = one
        for entry in () if manifest is None else manifest.certificates:
            secret = self._bundle(target, entry.bundle)
            source_ = None if secret is None else source_of_bundle(target, secret)
            one = prior_binding(manifest, entry.bundle, secret)
            if source_ is not None and one is not None:
                found.setdefault(source_, one)
        unread = held is not None and manifest is None
        return Prior(
            installed=None if unread else installed_by(manifest),
            farm=prior_farm(manifest),
            bindings=found,
            seen={} if held is None else {name: held},
        )

    def _bundle(self, target: ObjectName, name: str) -> Object | None:
        return self._context.store.get(SECRET, target.namespace, name)

    async def deliver(self, raw: Object, view: View, decision: Decision, prior: Prior) -> Delivered:
        """Write the Secrets that differ, and see how far the nodes are."""
        target, listener = view.target, decision.listener
        if target is None:
            return Delivered(frontend=raw)
        if listener is None:
            await self._withdraw(target, view.frontend.metadata.object_name, decision)
            return Delivered(frontend=raw)
        provider = HAProxyProvider(self._context, target, prior.seen)
        operations = provider.plan(listener, await provider.observe(listener))
        if operations:
            raw = await finalizers.ensure(self._context, raw, target)
            for operation in operations:
                await provider.execute(operation)
            self._handed_at[listener.frontend] = self._context.clock.monotonic()
            self._context.enqueue([Key(LOADBALANCER, *target)])
        handed = await HAProxyProvider(self._context, target).observe(listener)
        return Delivered(frontend=raw, progress=self._progress(view, target, listener, handed))

    async def _withdraw(self, target: ObjectName, frontend: ObjectName, decision: Decision) -> None:
        """Take off what may not stay although nothing new is programmed."""
        if decision.keeps is None:
            return
        if await release.withdraw(self._context, target, frontend, decision.keeps):
            self._context.enqueue([Key(LOADBALANCER, *target)])

    def _progress(
        self, view: View, target: ObjectName, listener: Listener, handed: Handed
    ) -> Progress | None:
        if handed.manifest is None:
            return None
        balancer = view.load_balancer
        haproxy = None if balancer is None else balancer.spec.haproxy
        nodes = nodes_of(self._context, target)
        min_nodes, now = haproxy.min_nodes if haproxy else 1, self._context.clock.now()
        revision, name = revision_of(handed.manifest), handed.manifest["metadata"]["name"]

        def verdict(up_to: int, names: frozenset[str]) -> Verdict:
            return served(
                nodes, resource_version=str(up_to), secrets=names, min_nodes=min_nodes, now=now
            )

        configuration = verdict(revision, frozenset((name,)))
        certificates = []
        for binding in listener.bindings:
            if not binding.hostnames:
                continue
            bundle = bundle_name(target, binding.source)
            secret = handed.bundles.get(bundle)
            newest = revision if secret is None else max(revision, revision_of(secret))
            part = part_of(verdict(newest, frozenset((bundle, name))))
            certificates.append(
                Installing(binding=binding, part=part, fingerprint=binding.fingerprint)
            )
        return Progress(
            configuration=part_of(configuration),
            certificates=tuple(certificates),
            where=_count(configuration),
            down=_down(configuration),
        )

    async def take_off(self, target: ObjectName, frontend: Frontend, *, since: datetime) -> bool:
        """Empty the manifest, wait for the nodes, delete the Secrets."""
        return await release.take_off(self._context, target, frontend, since=since)

    def waited_for(self, target: ObjectName, frontend: Frontend) -> tuple[str, ...]:
        """The nodes that have still to read that the frontend is taken off."""
        return release.waited_for(self._context, target, frontend)

    def forget(self, frontend: ObjectName) -> None:
        """Drop what is kept of a frontend that is gone."""
        self._handed_at.pop(frontend, None)


def installed_by(manifest: Manifest | None) -> Installed:
    """What the agents were told, in the terms of `claims`."""
    return Installed() if manifest is None else installed_of(manifest)


def part_of(verdict: Verdict) -> Part:
    """A verdict about the nodes, in the terms of every type of load balancer."""
    if verdict.state == "Served":
        return Part(state="Served", message=_count(verdict))
    if verdict.state == "Failed":
        told = "; ".join(
            f"{node}: {failure.reason}: {failure.message.rstrip('.')}".removesuffix(": ")
            for node, failure in verdict.failed[:3]
        )
        given = verdict.failed[0][1].reason if verdict.failed else ""
        return Part(
            state="Failed",
            reason=reasons.NODE_FAILED,
            message=f"{told}.",
            page=node_reasons.page_of(given, reasons.NODE_FAILED),
        )
    if verdict.state == "TooFewNodes":
        return Part(
            state="Short",
            reason=reasons.TOO_FEW_NODES,
            message=f"{_count(verdict)} can serve{_down(verdict)}: fewer than the load balancer "
            "needs.",
        )
    if verdict.state == "Unknown":
        return Part(
            state="Failed",
            reason=reasons.NODE_FAILED,
            message=f"{', '.join(verdict.waiting[:5])}: more failures than are listed; "
            "see the agent's log.",
        )
    return Part(
        state="Pending",
        reason=reasons.WAITING_FOR_NODES,
        message=f"Waiting for {', '.join(verdict.waiting[:5])}.",
    )


def _count(verdict: Verdict) -> str:
    return f"{verdict.current} of {verdict.total} node{'s' if verdict.total != 1 else ''}"


def _down(verdict: Verdict) -> str:
    """Which nodes do not count, and why; nothing where all do."""
    told = "; ".join(f"{node}: {why}" for node, why in verdict.down[:_MOST_NODES_TOLD])
    return f"; {told}" if told else ""
