"""Delivery by a provider's API: the target is told what is wanted, and tells how far it is.

What was installed is remembered in the frontend's status; the provider's own answer decides.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from certfront.engine.store import Object
from certfront.loadbalancers import reasons
from certfront.loadbalancers.bindings import PriorBinding
from certfront.loadbalancers.claims import Installed, Protocol, http_port_of
from certfront.loadbalancers.listeners import Decision, View
from certfront.loadbalancers.problems import listed
from certfront.loadbalancers.protocol import (
    Binding,
    CertificateSource,
    Listener,
    Outlook,
    Standing,
)
from certfront.model.frontend import Frontend
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import FINALIZER, ObjectName
from certfront.model.reasons import Reason
from certfront.model.times import from_text
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends import finalizers
from certfront.reconcilers.frontends.delivery import Delivered, Prior
from certfront.reconcilers.frontends.progress import Installing, Part, Progress
from certfront.reconcilers.stores import FRONTEND
from certfront.reconcilers.targets import Situation, Targets
from certfront.reconcilers.targets.fleet import source_of_installed
from certfront.reconcilers.targets.situation import Trouble

_log: Final = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=150)
"""A provider that does nothing for so long holds a release no longer."""

_SETTLING_PATIENCE = timedelta(minutes=15)
_POLL = timedelta(seconds=60)


class RemoteDelivery:
    """`delivery.Delivery` for load balancers that a provider runs."""

    def __init__(self, context: Context, targets: Targets) -> None:
        self._context = context
        self._targets = targets
        self._handed_at: dict[ObjectName, float] = {}

    def handed_at(self, frontend: ObjectName) -> float | None:
        """When something new was asked of a target, by the monotonic clock."""
        return self._handed_at.get(frontend)

    async def prior(
        self,
        frontend: Frontend,
        target: ObjectName,
        sources: Iterable[CertificateSource],  # noqa: ARG002 -- the status has all of them at once
    ) -> Prior:
        """What the status of the frontend remembers of the target."""
        bindings: dict[CertificateSource, PriorBinding] = {}
        for source, binding in _remembered(frontend, target):
            # Former versions follow the one in force.
            bindings.setdefault(source, binding)
        return Prior(installed=installed_by(frontend, target), bindings=bindings)

    async def deliver(
        self,
        raw: Object,
        view: View,
        decision: Decision,
        prior: Prior,  # noqa: ARG002 -- the target has its own memory
    ) -> Delivered:
        """Tell the target what is wanted, and see how far it is."""
        if view.target is None:
            return Delivered(frontend=raw)
        target, frontend = self._targets.of(view.target), view.frontend.metadata.object_name
        listener = decision.listener
        if listener is None:
            if FINALIZER not in view.frontend.metadata.finalizers:
                target.pass_over(frontend)
            elif decision.keeps is None:
                target.keep(frontend)
            elif not target.narrow(frontend, decision.keeps):
                target.release(frontend)
            return Delivered(frontend=raw)
        raw = await finalizers.ensure(self._context, raw, view.target)
        if target.ask(frontend, listener):
            self._handed_at[frontend] = self._context.clock.monotonic()
        situation = target.situation(frontend)
        if situation is None:
            trouble = target.trouble
            if trouble is None or _is_as_told(view.frontend, listener):
                # Nothing is left to do, and what is served does not hang on being asked.
                return Delivered(frontend=raw, known=False)
            return Delivered(frontend=raw, progress=_troubled(listener, trouble, view))
        return Delivered(frontend=raw, progress=progress_of(situation, view))

    async def take_off(self, target: ObjectName, frontend: Frontend, *, since: datetime) -> bool:
        """Have everything of the frontend removed; whether it is, or was given up."""
        found, name = self._targets.of(target), frontend.metadata.object_name
        waited = self._context.clock.now() - since >= PATIENCE
        if frontend.spec.deletion_policy == "Orphan":
            return found.orphan(name) or waited
        found.release(name)
        given_up = waited and found.idle_seconds() >= PATIENCE.total_seconds()
        released = found.is_released(name)
        if given_up and not released:
            await self._tell_what_is_left(target, frontend)
        if given_up or released:
            found.forget(name)
            return True
        return False

    async def _tell_what_is_left(self, target: ObjectName, frontend: Frontend) -> None:
        """A release that was given up leaves things behind, and says which."""
        left = tuple(one.provider_id for one in frontend.status.installed if one.provider_id)
        name = frontend.metadata.object_name
        what = listed(left) if left else "what was installed of it"
        message = f"{target} did not take it off in time; left there: {what}."
        _log.warning("frontend %s: %s", name, message)
        raw = self._context.store.get(FRONTEND, *name)
        if raw is not None:
            await self._context.event(
                raw,
                warning=True,
                reason=reasons.LEFT_AT_PROVIDER.name,
                message=message,
                action="Release",
            )

    def waited_for(
        self,
        target: ObjectName,
        frontend: Frontend,  # noqa: ARG002 -- all frontends of a target wait for it alike
    ) -> tuple[str, ...]:
        """The load balancer that the frontend is being taken off, and what keeps it from that."""
        found = self._targets.find(target)
        trouble = None if found is None else found.trouble
        return (str(target) if trouble is None else f"{target} ({trouble.message})",)

    def forget(self, frontend: ObjectName) -> None:
        """Drop what is kept of a frontend that is gone; targets are told by `take_off`."""
        self._handed_at.pop(frontend, None)


def installed_by(frontend: Frontend, target: ObjectName) -> Installed:
    """What the target has of the frontend as its status says, in the terms of `claims`."""
    status, spec = frontend.status, frontend.spec
    if FINALIZER not in frontend.metadata.finalizers or status.load_balancer != str(target):
        return Installed()
    if not status.hostnames:
        return Installed()
    ports: dict[int, Protocol] = {spec.port: "TLS" if spec.ssl else "HTTP"}
    twin = http_port_of(spec)
    if twin is not None:
        ports.setdefault(twin, "HTTP")
    routed = frozenset(status.hostnames)
    bound = frozenset(name for one in status.installed for name in one.hostnames)
    return Installed(
        ports=ports,
        routed=routed,
        bound=bound if spec.ssl else routed,
        bound_plain=bound if spec.ssl and spec.https_only else routed,
    )


def _remembered(
    frontend: Frontend, target: ObjectName
) -> Iterator[tuple[CertificateSource, PriorBinding]]:
    status = frontend.status
    if status.load_balancer != str(target):
        return
    for entry in status.installed:
        try:
            key_type = KeyAlgorithm(entry.key_algorithm)
            not_after = from_text(entry.not_after) if entry.not_after else None
        except ValueError:
            continue
        yield (
            source_of_installed(entry, frontend.metadata.object_name),
            PriorBinding(
                hostnames=entry.hostnames,
                key_type=key_type,
                fingerprint=entry.fingerprint,
                not_after=not_after,
            ),
        )


def _is_as_told(frontend: Frontend, listener: Listener) -> bool:
    """Whether the status says that this very listener is served."""
    told = {
        (source_of_installed(one, frontend.metadata.object_name), one.fingerprint)
        for one in frontend.status.installed
    }
    wanted = {(one.source, one.fingerprint) for one in listener.bindings if one.hostnames}
    ready = any(c.type == "Ready" and c.status == "True" for c in frontend.status.conditions)
    same = frontend.status.observed_generation == frontend.metadata.generation
    return ready and same and wanted <= told


def progress_of(situation: Situation, view: View) -> Progress:
    """A situation, in the terms of every type of load balancer."""
    listener, outlook = situation.listener, situation.outlook
    held = {standing.source: standing for standing in outlook.standings}
    where = "" if view.load_balancer is None else view.load_balancer.spec.type
    return Progress(
        configuration=_configuration(situation, where),
        certificates=tuple(
            _installing(situation, binding, held.get(binding.source))
            for binding in listener.bindings
            if binding.hostnames or binding.source in held
        ),
        where=where,
        patience=_SETTLING_PATIENCE,
        poll=_POLL,
        problems=outlook.problems,
        notices=outlook.notices,
        task=outlook.task,
        frontend_id=outlook.frontend_id,
        claims=situation.claims,
    )


def _configuration(situation: Situation, where: str) -> Part:
    outlook = situation.outlook
    if outlook.configured:
        return Part(state="Served", message=where)
    if situation.trouble is not None:
        return _failed(situation.trouble)
    return Part(state="Pending", reason=_step(outlook), message=_doing(situation))


def _installing(situation: Situation, binding: Binding, standing: Standing | None) -> Installing:
    part = _certificate(situation, binding, standing)
    if standing is None:
        return Installing(binding=binding, part=part, fingerprint=binding.fingerprint, there=None)
    if standing.not_after is not None:
        # What the provider issued itself is known from it alone.
        binding = replace(binding, not_after=standing.not_after)
    return Installing(
        binding=binding,
        part=part,
        fingerprint=standing.fingerprint,
        provider_id=standing.provider_id,
        there=standing.stored,
        superseded=standing.superseded,
    )


def _certificate(situation: Situation, binding: Binding, standing: Standing | None) -> Part:
    outlook = situation.outlook
    if standing is None or not standing.bound:
        if situation.trouble is not None:
            return _failed(situation.trouble)
        return Part(state="Pending", reason=_step(outlook), message=_doing(situation))
    if not (situation.probed and binding.hostnames and standing.fingerprint):
        return Part(state="Unprobed", reason=reasons.NOTHING_TO_PROBE)
    proof = situation.proofs.get(binding.source)
    if proof is not None and proof.ok and proof.wanted == standing.fingerprint:
        return Part(state="Served", message=f"a handshake at {proof.address}")
    if proof is None or proof.ok:
        return Part(
            state="Pending",
            reason=reasons.WAITING_FOR_HANDSHAKE,
            message="Looking whether a handshake shows the certificate.",
        )
    return Part(
        state="Pending",
        reason=reasons.WAITING_FOR_HANDSHAKE,
        message=f"At {proof.address}: {proof.message}. It is tried again.",
    )


def _step(outlook: Outlook) -> Reason:
    return reasons.WAITING_FOR_PROVIDER if outlook.waits or outlook.task else reasons.APPLYING


def _doing(situation: Situation) -> str:
    told = situation.outlook.waits or situation.step or "Its load balancer is being changed"
    return f"{told.rstrip('.')}."


def _failed(trouble: Trouble) -> Part:
    """What passes by itself is waited for; `report` says for how long a renewal may."""
    return Part(
        state="Pending" if trouble.passing else "Failed",
        reason=trouble.reason,
        message=trouble.message,
        stalled=trouble.stalled,
        wrong=True,
    )


def _troubled(listener: Listener, trouble: Trouble, view: View) -> Progress:
    part = _failed(trouble)
    where = "" if view.load_balancer is None else view.load_balancer.spec.type
    return Progress(
        configuration=part,
        certificates=tuple(
            Installing(binding=one, part=part, fingerprint=one.fingerprint, there=None)
            for one in listener.bindings
            if one.hostnames
        ),
        where=where,
    )
