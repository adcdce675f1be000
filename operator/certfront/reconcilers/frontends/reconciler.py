"""One pass over a frontend: observe, decide, act, report.

Level-triggered: it may be called at any time, does what is missing, writes the status once if
something but time has changed, and says when it wants to be called again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from certfront.engine.keys import Key
from certfront.engine.results import Result
from certfront.engine.store import Object
from certfront.kube.resources import FRONTENDS
from certfront.loadbalancers import acceptance, reasons
from certfront.loadbalancers.listeners import Decision, View, decide
from certfront.model.frontend import Frontend, FrontendStatus
from certfront.model.meta import FINALIZER, InvalidObject, ObjectName, parse
from certfront.reconcilers import statuses, unreadable
from certfront.reconcilers.context import POLL_UNLABELLED, Context
from certfront.reconcilers.frontends import finalizers
from certfront.reconcilers.frontends.deliveries import Deliveries
from certfront.reconcilers.frontends.observation import Observation, Observer, places_of
from certfront.reconcilers.frontends.progress import Progress
from certfront.reconcilers.frontends.report import releasing, report
from certfront.reconcilers.frontends.waiting import Waiting
from certfront.reconcilers.stores import LOADBALANCER
from certfront.reconcilers.targets import Targets
from certfront.reconcilers.transitions import announce_ready

_POLL_NODES = 5.0
_POLL_UNRESOLVED = 10.0
_PATIENCE_FOR_DOMAIN = 5.0
_AFTER_EXPIRY = 0.1
_MOMENT = timedelta(seconds=3)
_GRACE = 1.5
"""Nodes that follow within so many seconds are not reported as waited for."""

_EXPECTED = frozenset(
    reason.name
    for reason in (
        reasons.CERTIFICATE_NOT_FOUND,
        reasons.CERTIFICATE_NOT_READY,
        reasons.WAITING_FOR_CERTIFICATE,
        reasons.WAITING_FOR_NODES,
    )
)
"""Reasons that are no news while a frontend becomes ready for the first time."""


def target_domain(target: ObjectName) -> str:
    """The domain of serialization of a load balancer."""
    return f"target:{target}"


class FrontendReconciler:
    """Reconciles LoadBalancerFrontends. Its own state is a hint for waking, nothing else."""

    def __init__(self, context: Context, targets: Targets) -> None:
        self._context = context
        self._deliveries = Deliveries(context, targets)
        self._observer = Observer(context, self._deliveries)
        self._pending = Waiting()
        self._losers = Waiting()
        self._leaving: dict[Key, datetime] = {}
        self._held: dict[Key, tuple[ObjectName, int, frozenset[str]]] = {}

    async def reconcile(self, key: Key) -> Result:
        """One pass. Raises what the API client raises; the runner asks again."""
        raw = await self._context.known(FRONTENDS, key.namespace, key.name)
        if raw is None:
            self._forget(key)
            return Result()
        try:
            frontend = self._observer.frontend(raw) or parse(Frontend, raw)
        except InvalidObject as error:
            bare = unreadable.bare_frontend(raw)
            if bare is not None and bare.metadata.deletion_timestamp is not None:
                return await self._delete(key, raw, bare)
            return await self._unreadable(raw, error)
        if frontend.metadata.deletion_timestamp is not None:
            return await self._delete(key, raw, frontend)
        observation = await self._observer.observe(frontend)
        if observation.leave or observation.barred:
            observation = await self._observer.confirmed(frontend)
        if observation.leave:
            return await self._leave(key, raw, frontend)
        return await self._advance(key, raw, observation)

    def pending_on(self, target: ObjectName) -> tuple[Key, ...]:
        """The frontends that wait for nodes of `target`, to be reconciled when one reports."""
        return self._pending.on(target)

    # --- one pass

    async def _advance(self, key: Key, raw: Object, observation: Observation) -> Result:
        view = observation.view
        progress, known = None, True
        target = view.target
        balancer = view.load_balancer
        if target is None or balancer is None:
            decision = decide(view)
        else:
            domain = target_domain(target)
            async with self._context.domains.exclusive(domain, patience=_PATIENCE_FOR_DOMAIN):
                view = await self._observer.with_rivals(view)
                decision = decide(view)
                delivery = self._deliveries.of(balancer)
                delivered = await delivery.deliver(raw, view, decision, observation.prior)
            raw, progress, known = delivered.frontend, delivered.progress, delivered.known
            decision = _with_findings(decision, progress)
        self._note(key, view, decision, progress)
        if known and not self._in_grace(view, decision, progress):
            status = report(view, decision, progress)
            former = await self._left_former(key, view, progress, observation.barred)
            if former is not None:
                status = msgspec.structs.replace(status, load_balancer=str(former))
            await self._report(raw, view, status)
            if progress is not None and progress.claims and target is not None:
                self._context.enqueue([Key(LOADBALANCER, *target)])
        return Result(after=self._next(key, observation, decision, progress))

    async def _left_former(
        self, key: Key, view: View, progress: Progress | None, barred: frozenset[ObjectName]
    ) -> ObjectName | None:
        """Take a frontend off the load balancer that it has moved from, once the new one serves it.

        Only a changed default moves one; from one that is `barred` it is taken off at once. Returns
        the former load balancer while it is not left.
        """
        told = ObjectName.parse(view.frontend.status.load_balancer)
        installed = FINALIZER in view.frontend.metadata.finalizers
        if told is None or told == view.target or not installed:
            self._leaving.pop(key, None)
            return None
        if told in barred or (progress is not None and progress.settled):
            left = told
        elif view.target is not None and view.target in barred:
            left = view.target
        else:
            return told
        since = self._leaving.setdefault(key, self._context.clock.now())
        async with self._context.domains.exclusive(
            target_domain(left), patience=_PATIENCE_FOR_DOMAIN
        ):
            delivery = self._deliveries.at(left)
            gone = await delivery.take_off(left, view.frontend, since=since)
        if gone:
            self._leaving.pop(key, None)
            return None if left == told else told
        self._pending.set(key, left)
        return told

    def _note(self, key: Key, view: View, decision: Decision, progress: Progress | None) -> None:
        unsettled = progress is not None and not progress.settled
        self._pending.set(key, view.target if unsettled else None)
        lost = any(
            problem.reason in (reasons.HOSTNAME_CONFLICT, reasons.PORT_CONFLICT)
            for problem in decision.problems
        )
        self._losers.set(key, view.target if lost else None)
        self._note_hold(key, view, decision)

    def _note_hold(self, key: Key, view: View, decision: Decision) -> None:
        """Wake those who wait for a hostname when what this frontend wants or holds has changed.

        Those too that were told one of its names before they could serve it: they give it up.
        """
        if view.target is None:
            return
        names = _held_names(view, decision)
        hold = (view.target, view.frontend.metadata.generation, names)
        before = self._held.get(key)
        self._held[key] = hold
        if before == hold:
            return
        # Also on the first pass since a start: those who lost to what it held before wait already.
        for target in {hold[0]} if before is None else {before[0], hold[0]}:
            self._wake_losers(key, target)
        if decision.listener is not None:
            self._context.enqueue(
                Key(key.kind, *rival.frontend)
                for rival in view.rivals
                if not names.isdisjoint(rival.installed.routed)
            )

    def _wake_losers(self, key: Key, target: ObjectName) -> None:
        self._context.enqueue(loser for loser in self._losers.on(target) if loser != key)

    def _in_grace(self, view: View, decision: Decision, progress: Progress | None) -> bool:
        """Whether the only news is that its load balancer is at work on what was handed over just now."""
        if decision.problems or progress is None or progress.worst.state != "Pending":
            return False
        if progress.claims or progress.task is not None:
            return False
        handed = self._deliveries.handed_at(view.frontend.metadata.object_name)
        return handed is not None and self._context.clock.monotonic() - handed < _GRACE

    def _next(
        self, key: Key, observation: Observation, decision: Decision, progress: Progress | None
    ) -> float | None:
        """Seconds until the next pass is needed if nothing changes before."""
        now = self._context.clock.now()
        waits = [_POLL_NODES] if key in self._leaving else []
        if progress is not None and not progress.settled:
            waits.append(
                _GRACE
                if self._in_grace(observation.view, decision, progress)
                else progress.poll.total_seconds()
            )
        if observation.unresolved:
            waits.append(_POLL_UNRESOLVED)
        if observation.polled:
            waits.append(POLL_UNLABELLED.total_seconds())
        bindings = decision.listener.bindings if decision.listener is not None else ()
        waits += [
            (binding.not_after - now).total_seconds() + _AFTER_EXPIRY
            for binding in bindings
            if binding.not_after is not None and binding.not_after > now
        ]
        return min(waits, default=None)

    async def _report(self, raw: Object, view: View, status: FrontendStatus) -> None:
        before = view.frontend.status
        if await statuses.write(self._context, FRONTENDS, raw, status):
            await self._announce(raw, before, status)

    async def _announce(self, raw: Object, before: FrontendStatus, after: FrontendStatus) -> None:
        await announce_ready(
            self._context,
            raw,
            before.conditions,
            after.conditions,
            action="Install",
            expected=_EXPECTED,
        )

    async def _unreadable(self, raw: Object, error: InvalidObject) -> Result:
        before, status = unreadable.status_of(
            FrontendStatus, raw, error, self._context, false=("Ready", "Accepted")
        )
        if await statuses.write(self._context, FRONTENDS, raw, status):
            await self._announce(raw, before, status)
        return Result()

    # --- the end of a frontend, or of its load balancer

    async def _delete(self, key: Key, raw: Object, frontend: Frontend) -> Result:
        if FINALIZER not in frontend.metadata.finalizers:
            self._forget(key)
            return Result()
        since = frontend.metadata.deletion_timestamp or self._context.clock.now()
        if not await self._taken_off(key, frontend, since):
            await self._tell_release(raw, frontend, since)
            return Result(after=_POLL_NODES)
        await finalizers.drop(self._context, FRONTENDS, raw)
        self._forget(key)
        return Result()

    async def _tell_release(self, raw: Object, frontend: Frontend, since: datetime) -> None:
        """Say whom a deletion waits for, when it takes longer than a moment."""
        now = self._context.clock.now()
        if now - since < _MOMENT:
            return
        waiting = [
            node
            for target in self._places(frontend)
            for node in self._deliveries.at(target).waited_for(target, frontend)
        ]
        status = releasing(frontend, waiting, now)
        await statuses.write(self._context, FRONTENDS, raw, status)

    async def _leave(self, key: Key, raw: Object, frontend: Frontend) -> Result:
        """The load balancer is gone or no longer granted: take everything off it, and say so."""
        since = self._leaving.setdefault(key, self._context.clock.now())
        if not await self._taken_off(key, frontend, since):
            return Result(after=_POLL_NODES)
        self._forget(key)
        raw = await finalizers.drop(self._context, FRONTENDS, raw)
        view = (await self._observer.observe(parse(Frontend, raw))).view
        await self._report(raw, view, report(view, decide(view), None))
        return Result()

    async def _taken_off(self, key: Key, frontend: Frontend, since: datetime) -> bool:
        """Do the next step of the release everywhere; whether nothing is installed any more."""
        for target in self._places(frontend):
            async with self._context.domains.exclusive(
                target_domain(target), patience=_PATIENCE_FOR_DOMAIN
            ):
                delivery = self._deliveries.at(target)
                gone = await delivery.take_off(target, frontend, since=since)
            self._wake_losers(key, target)
            if not gone:
                self._pending.set(key, target)
                return False
            self._context.enqueue([Key(LOADBALANCER, *target)])
        return True

    def _places(self, frontend: Frontend) -> tuple[ObjectName, ...]:
        """Where something of the frontend may be installed."""
        return places_of(frontend, acceptance.target_of(frontend, self._context.settings))

    def _forget(self, key: Key) -> None:
        self._pending.set(key, None)
        self._losers.set(key, None)
        held = self._held.pop(key, None)
        if held is not None:
            self._wake_losers(key, held[0])
        self._deliveries.forget(ObjectName(key.namespace, key.name))
        self._leaving.pop(key, None)
        self._observer.forget(key.namespace, key.name)


def _with_findings(decision: Decision, progress: Progress | None) -> Decision:
    """The decision with what its load balancer has found wrong with it."""
    if progress is None or not progress.problems:
        return decision
    return replace(decision, problems=(*decision.problems, *progress.problems))


def _held_names(view: View, decision: Decision) -> frozenset[str]:
    """The hostnames that nodes are told after this pass."""
    if decision.listener is not None:
        return frozenset(decision.listener.hostnames)
    routed = view.installed.routed if view.installed is not None else frozenset[str]()
    return routed if decision.keeps is None else routed & decision.keeps
