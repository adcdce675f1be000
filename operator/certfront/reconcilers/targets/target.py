"""One load balancer that a provider runs: from what its frontends want to what it does.

A task of its own observes, plans, executes one operation at a time and proves by handshake, so no
worker waits for a provider. What it knows is a hint: at a start, after any failure and every ten
minutes it looks again. What it learns wakes the frontends that it concerns; they write it down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Protocol

from certfront.kube.errors import ApiError
from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import (
    NotYet,
    ProviderError,
    Refused,
    Throttled,
    Unavailable,
)
from certfront.loadbalancers.protocol import (
    CertificateSource,
    Installation,
    Listener,
    ManagedState,
    Memory,
    Operation,
    Plan,
    Provider,
    Standing,
    Wish,
)
from certfront.model.addresses import AllowedAddresses
from certfront.model.clock import Clock
from certfront.model.meta import ObjectName
from certfront.reconcilers.targets.advice import astray
from certfront.reconcilers.targets.patience import REST, Patience
from certfront.reconcilers.targets.probing import AT_ONCE, MOST_AT_A_TIME, ask, question
from certfront.reconcilers.targets.situation import PASSING, Proof, Situation, Trouble, trouble_of

_log: Final = logging.getLogger(__name__)


LOOK_AGAIN: Final = 600.0
"""So often what was installed is read back, in case someone changed it behind our back."""

_FRESH: Final = 30.0
_FEW: Final = 25
_ADVICE_KEPT: Final = 60.0
_OLD_ENOUGH: Final = 5.0
_FIRST_WAIT: Final = 2.0
_LONGEST_WAIT: Final = 60.0
_DENIED_WAIT: Final = 30.0
_FAILURES_TOLD: Final = 3
_PROOF_WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class Surroundings(Protocol):
    """What a target asks of the process it runs in."""

    clock: Clock
    addresses: AllowedAddresses

    def frontends(self) -> Iterable[ObjectName]:
        """All frontends of the load balancer, by the store."""
        ...

    def memory(self, frontend: ObjectName) -> Memory:
        """What the status of a frontend remembers."""
        ...

    def orphaned(self) -> frozenset[ObjectName]:
        """The frontends that the status of the LoadBalancer tells as orphaned."""
        ...

    async def confirm(self) -> bool:
        """Whether a live list shows no other frontends than those of the store."""
        ...

    def may_act(self) -> bool:
        """Whether this process leads."""
        ...

    def probe_address(self) -> str:
        """`spec.probeAddress`, "" where there is none."""
        ...

    def wake(
        self, frontends: Iterable[ObjectName], certificates: Iterable[CertificateSource]
    ) -> None:
        """Have these looked at again."""
        ...

    def wake_in(self, seconds: float) -> None:
        """Have `start` called in so many seconds."""
        ...


class Target:
    """See the module. Use it from one event loop."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._clock = surroundings.clock
        self._listeners: dict[ObjectName, Listener] = {}
        self._staying: set[ObjectName] = set()
        self._releasing: set[ObjectName] = set()
        self._orphaned: set[ObjectName] = set()
        self._nothing: set[ObjectName] = set()
        self._provider: Provider[Any, Any] | None = None
        self._former: list[Provider[Any, Any]] = []
        self.asked = False
        """Whether the provider that it has now was asked and has answered."""
        self._observed: Any = None
        self._observed_at = 0.0
        self._looked_at = 0.0
        # A start is a sign of life: nothing was asked yet, so nothing is given up.
        self._done_at = self._clock.monotonic()
        self._plan: Plan[Any] | None = None
        self._planned: dict[ObjectName, Listener] = {}
        self._planned_releasing: frozenset[ObjectName] = frozenset()
        self._patience = Patience()
        self._proofs: dict[tuple[ObjectName, CertificateSource], tuple[Proof, int, float]] = {}
        self._trouble: ProviderError | None = None
        self._trouble_until = 0.0
        self._failures = 0
        self._changed_at = 0.0
        self._changes = 0
        self._planned_changes = 0
        self._now_doing: Operation[Any] | None = None
        self._retried: dict[CertificateSource, datetime] = {}
        self._unsent: set[tuple[ObjectName, CertificateSource, str]] = set()
        self._told: dict[ObjectName, Situation | None] = {}
        self._told_of_itself: object = None
        self._advice: dict[CertificateSource, str] = {}
        self._advised_until = float("-inf")
        self._told_managed: Mapping[CertificateSource, tuple[ManagedState, str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    # --- what is wanted

    def ask(self, frontend: ObjectName, listener: Listener) -> bool:
        """The frontend wants this; whether that is new."""
        new = self._listeners.get(frontend) != listener
        if new:
            self._changed()
        self._forget_but(frontend, "listeners")
        self._listeners[frontend] = listener
        return new

    def pass_over(self, frontend: ObjectName) -> None:
        """The frontend may have nothing here, and nothing of it was ever installed."""
        if frontend not in self._nothing:
            self._changed()
        self._forget_but(frontend, "nothing")
        self._nothing.add(frontend)

    def keep(self, frontend: ObjectName) -> None:
        """Nothing new was decided about the frontend: what is installed of it stays."""
        if frontend not in self._staying:
            self._changed()
        self._forget_but(frontend, "staying")
        self._staying.add(frontend)

    def retry(self, source: CertificateSource) -> None:
        """Forget what is remembered of a certificate that the provider issues: it is asked for again."""
        if self.managed(source) is not None:
            self._retried[source] = self._clock.now().replace(microsecond=0)
            self._changed()

    def narrow(self, frontend: ObjectName, hostnames: frozenset[str]) -> bool:
        """Let the frontend have no other hostnames than these; False if nothing would be left of it."""
        listener = self._listeners.get(frontend)
        if listener is None:
            self.keep(frontend)
            return bool(hostnames)
        kept = tuple(name for name in listener.hostnames if name in hostnames)
        bindings = (
            replace(one, hostnames=tuple(name for name in one.hostnames if name in hostnames))
            for one in listener.bindings
        )
        left = tuple(one for one in bindings if one.hostnames)
        if not kept:
            return False
        self.ask(frontend, replace(listener, hostnames=kept, bindings=left))
        return True

    def release(self, frontend: ObjectName) -> None:
        """The frontend wants nothing any more."""
        if frontend not in self._releasing:
            self._changed()
        self._forget_but(frontend, "releasing")
        self._releasing.add(frontend)

    def orphan(self, frontend: ObjectName) -> bool:
        """Leave alone for ever what is installed of the frontend; whether that is written down."""
        if frontend in self._surroundings.orphaned():
            self._orphaned.discard(frontend)
            self.forget(frontend)
            return True
        self._orphaned.add(frontend)
        self.keep(frontend)
        self._surroundings.wake_in(0)
        return False

    def orphans(self) -> frozenset[ObjectName]:
        """The frontends that were deleted and of which everything is left alone.

        One that is there again owns what it finds.
        """
        told = self._orphaned.union(self._surroundings.orphaned())
        return frozenset(told - self._listeners.keys() - self._releasing)

    def forget(self, frontend: ObjectName) -> None:
        """The frontend is gone, or was never here."""
        known = self._listeners.keys() | self._staying | self._releasing | self._nothing
        if frontend in known:
            self._changed()
        self._forget_but(frontend, "")

    def _forget_but(self, frontend: ObjectName, where: str) -> None:
        if where != "listeners":
            self._listeners.pop(frontend, None)
        if where != "staying":
            self._staying.discard(frontend)
        if where != "releasing":
            self._releasing.discard(frontend)
        if where != "nothing":
            self._nothing.discard(frontend)

    def _changed(self) -> None:
        self._changed_at = self._clock.monotonic()
        self._changes += 1
        self._surroundings.wake_in(0)

    # --- what is known

    @property
    def plan(self) -> Plan[Any] | None:
        """The last plan; None before the first since the start."""
        return self._plan

    @property
    def trouble(self) -> Trouble | None:
        """What keeps the whole load balancer from being looked at or changed.

        One answer that did not come is no trouble yet.
        """
        error = self._trouble
        if error is None:
            return None
        passing = isinstance(error, PASSING)
        return None if passing and self._failures < _FAILURES_TOLD else trouble_of(error)

    def idle_seconds(self) -> float:
        """How long ago an operation has succeeded."""
        return self._clock.monotonic() - self._done_at

    def is_released(self, frontend: ObjectName) -> bool:
        """Whether a plan has shown that nothing of a released frontend is there any more."""
        plan = self._plan
        return (
            plan is not None
            and frontend in self._planned_releasing
            and frontend not in plan.left
            and frontend in self._releasing
        )

    def situation(self, frontend: ObjectName) -> Situation | None:
        """How the frontend stands; None while what it wants now was not planned yet."""
        plan = self._plan
        return (
            None if plan is None else self._situation(frontend, plan, _Excerpts(plan, self._proofs))
        )

    def _situation(
        self, frontend: ObjectName, plan: Plan[Any], excerpts: _Excerpts
    ) -> Situation | None:
        listener, outlook = self._listeners.get(frontend), plan.outlooks.get(frontend)
        if listener is None or outlook is None or self._planned.get(frontend) != listener:
            return None
        doing = self._now_doing
        step = doing.step if doing is not None and frontend in doing.about else ""
        host, _ = self._address(frontend)
        return Situation(
            listener=listener,
            outlook=outlook,
            step=step,
            claims=tuple(
                (*one.claims[1:], self._retried.get(one.claims[1]))
                for one in excerpts.claims.get(frontend, ())
                if one.claims is not None
            ),
            trouble=self._trouble_for(excerpts.waiting.get(frontend, ())),
            proofs=excerpts.proofs.get(frontend, {}),
            probed=bool(host),
        )

    def managed(self, source: CertificateSource) -> ManagedState | None:
        """How a certificate that the provider issues stands."""
        return None if self._plan is None else self._plan.managed.get(source)

    def advice(self, source: CertificateSource) -> str:
        """Which names of a certificate that the provider is to issue lead elsewhere, "" for none."""
        return self._advice.get(source, "")

    def _trouble_for(self, waiting: Iterable[Operation[Any]]) -> Trouble | None:
        """What keeps the next of the operations from being done."""
        held = tuple(waiting)
        for operation in held:
            error = self._patience.error_of(operation)
            if error is not None:
                return trouble_of(error)
        return self.trouble if held else None

    # --- the task

    async def equip(
        self, provider: Provider[Any, Any] | None, trouble: ProviderError | None
    ) -> None:
        """Give it its provider, or say why there is none. A new one looks at everything anew."""
        if provider is self._provider and (provider is not None or self._is_same(trouble)):
            return
        former, self._provider = self._provider, provider
        self._observed = None
        self._trouble = trouble
        self._trouble_until = 0.0
        self._failures = 0
        self._patience.forgive()
        self.asked = False
        if former is not None and former is not provider:
            self._former.append(former)
            if self._task is None or self._task.done():
                await self._close_former()
        if provider is None:
            self._tell()
            self._surroundings.wake(self._listeners, ())

    async def _close_former(self) -> None:
        """Let the connections go of providers that are not used any more."""
        while self._former:
            await self._former.pop().close()

    def _is_same(self, trouble: ProviderError | None) -> bool:
        held = self._trouble
        if held is None or trouble is None:
            return held is trouble
        return (held.reason, held.message) == (trouble.reason, trouble.message)

    def start(self) -> None:
        """Go on, unless it is at work: called for every change and whenever it asked for it."""
        if self._provider is None or self._closing or not self._surroundings.may_act():
            return
        if self._task is not None and not self._task.done():
            return
        if self._clock.monotonic() < self._trouble_until:
            self._surroundings.wake_in(self._trouble_until - self._clock.monotonic())
            return
        self._task = asyncio.create_task(self._work(), name="target")

    async def stop(self, deadline: float) -> None:
        """Begin nothing new; an exchange that runs may end within the deadline."""
        self._closing = True
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=deadline)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close_former()
        if self._provider is not None:
            await self._provider.close()

    async def _work(self) -> None:
        try:
            while not self._closing and self._surroundings.may_act():
                provider = self._provider
                if provider is None or not await self._step(provider):
                    break
            await self._prove()
            await self._advise()
        except Exception:  # noqa: BLE001 -- a defect with one load balancer must not end its task
            _log.exception("work on a load balancer failed")
            self._fail(_defect())
        await self._close_former()
        self._tell()
        if not self._closing:
            self._surroundings.wake_in(self._wait())

    async def _step(self, provider: Provider[Any, Any]) -> bool:
        """Look where it is time to, plan, and do what may be done; whether there may be more at once."""
        try:
            changes, wish = self._changes, self._wish()
            if await self._look(provider, wish):
                changes, wish = self._changes, self._wish()
            if self._observed is None:
                return provider is not self._provider
            self._take(await self._planned_for(provider, wish), wish, changes)
        except ProviderError as error:
            self._fail(error)
            return False
        batch = 1 if self._plan is None else self._plan.batch
        for done in range(max(batch, 1)):
            operation = self._next()
            if operation is None and not done:
                self._recovered()
                return False
            if operation is None:
                break
            if not await self._do(provider, operation):
                return self._observed is None and self._trouble is None
            self._strike_out(operation)
            if operation.removes or operation.last or self._is_wanted_otherwise():
                break
        return True

    async def _planned_for(self, provider: Provider[Any, Any], wish: Wish) -> Plan[Any]:
        """The plan; for many frontends it takes a moment that the event loop does not have."""
        if len(wish.listeners) <= _FEW:
            return provider.plan(wish, self._observed)
        return await asyncio.to_thread(provider.plan, wish, self._observed)

    async def _do(self, provider: Provider[Any, Any], operation: Operation[Any]) -> bool:
        """Do one operation, if it may be done; whether the next one of the plan may be tried."""
        if operation.claims is not None and not self._is_claimed(operation):
            self._surroundings.wake([operation.claims[0]], ())
            return False
        if operation.removes and not await self._may_be_removed(operation):
            return False
        if operation.claims is not None:
            self._unsent.discard(operation.claims)
        self._now_doing = operation
        if len(self._listeners) <= _FEW:
            # The step that is being made; of many, only where it leads is told.
            self._tell()
        try:
            observed = await provider.execute(operation, self._observed)
        except (Refused, NotYet) as error:
            _log.info("%s: %s", operation.key, error)
            self._patience.failed(operation, error, self._clock.monotonic())
            if self._clock.monotonic() - self._observed_at > _OLD_ENOUGH:
                # It may have been decided on something that is so no more.
                self._observed = None
            return self._observed is not None
        except ProviderError as error:
            self._fail(error)
            return False
        except Exception:  # noqa: BLE001 -- a defect about one frontend must not hold up the others
            _log.exception("%s failed", operation.key)
            self._patience.failed(operation, _defect(), self._clock.monotonic())
            self._observed = None
            return False
        finally:
            self._now_doing = None
        self._looked_at = self._done_at = self._clock.monotonic()
        self._patience.done(operation)
        return self._seen_by(provider, observed)

    def _seen_by(self, provider: Provider[Any, Any], observed: Any) -> bool:
        """Keep what a provider saw, unless another has taken its place: it sees for itself."""
        current = provider is self._provider
        self._observed = observed if current else None
        return current

    def _strike_out(self, operation: Operation[Any]) -> None:
        """What is done, or has failed just now, is not next any more."""
        if self._plan is not None:
            left = tuple(one for one in self._plan.operations if one.key != operation.key)
            self._plan = replace(self._plan, operations=left)

    def _wish(self) -> Wish:
        known = set(self._surroundings.frontends())
        decided = self._listeners.keys() | self._staying | self._releasing
        listeners = sorted(self._listeners.values(), key=lambda one: (one.created, one.frontend))
        return Wish(
            listeners=tuple(listeners),
            staying=self.orphans() | self._staying,
            releasing=frozenset(self._releasing),
            memory={frontend: self._sent(frontend) for frontend in decided},
            complete=known <= decided | self._nothing,
            now=self._clock.now(),
        )

    def _sent(self, frontend: ObjectName) -> Memory:
        """What the status remembers, without claims under which this process has sent nothing yet.

        To the provider a claim means that it may be there; these were only written down.
        """
        held = self._memory(frontend)
        if not self._unsent:
            return held
        sent = (
            one
            for one in held.installed
            if one.provider_id or (frontend, one.source, one.fingerprint) not in self._unsent
        )
        return replace(held, installed=tuple(sent))

    def _memory(self, frontend: ObjectName) -> Memory:
        """What the status remembers, but nothing from before a retry."""
        held = self._surroundings.memory(frontend)
        if not self._retried:
            return held
        return replace(
            held, installed=tuple(one for one in held.installed if not self._is_given_up(one))
        )

    def _is_given_up(self, one: Installation) -> bool:
        since = self._retried.get(one.source)
        return since is not None and (one.since is None or one.since < since)

    async def _look(self, provider: Provider[Any, Any], wish: Wish) -> bool:
        """Observe where it is time to: all of it, or only what the provider is at."""
        now = self._clock.monotonic()
        asked = None if self._plan is None else self._plan.look_again
        if self._observed is None or now - self._observed_at >= LOOK_AGAIN:
            self._seen_by(provider, await provider.observe(wish))
            self._observed_at = self._clock.monotonic()
        elif asked is not None and now - self._looked_at >= asked:
            self._seen_by(provider, await provider.look(wish, self._observed))
        else:
            return False
        self._looked_at = self._clock.monotonic()
        return True

    def _is_wanted_otherwise(self) -> bool:
        """Whether something else is wanted than what the plan is about."""
        return self._changes != self._planned_changes

    def _take(self, plan: Plan[Any], wish: Wish, changes: int) -> None:
        self._plan = plan
        self._unsent |= {
            one.claims
            for one in plan.operations
            if one.claims is not None and not self._is_claimed(one)
        }
        self.asked = True
        self._planned_changes = changes
        self._planned = {listener.frontend: listener for listener in wish.listeners}
        self._planned_releasing = wish.releasing
        self._patience.keep(plan, self._clock.monotonic())
        wanted = {
            (frontend, standing.source)
            for frontend, outlook in plan.outlooks.items()
            for standing in outlook.standings
        }
        self._proofs = {key: held for key, held in self._proofs.items() if key in wanted}

    def _next(self) -> Operation[Any] | None:
        if self._plan is None:
            return None
        now = self._clock.monotonic()
        return self._patience.next(
            self._plan.operations,
            now,
            rested=now - self._changed_at >= REST,
            may_remove=self._is_proven,
            at_once=self._is_of_released_only,
        )

    def _is_of_released_only(self, operation: Operation[Any]) -> bool:
        return bool(operation.about) and self._releasing.issuperset(operation.about)

    def _is_claimed(self, operation: Operation[Any]) -> bool:
        if operation.claims is None:
            return True
        frontend, source, fingerprint = operation.claims
        return any(
            one.source == source and one.fingerprint == fingerprint
            for one in self._memory(frontend).installed
        )

    def _is_proven(self, operation: Operation[Any]) -> bool:
        """Whether the frontends that it is about were seen to serve what replaces it."""
        return all(
            self._all_proven(frontend)
            for frontend in operation.about
            if frontend in self._listeners
        )

    def _all_proven(self, frontend: ObjectName) -> bool:
        plan, listener = self._plan, self._listeners[frontend]
        outlook = None if plan is None else plan.outlooks.get(frontend)
        if outlook is None or not outlook.configured:
            return False
        host, _ = self._address(frontend)
        if not host or not listener.ssl or listener.disabled:
            return all(one.bound for one in outlook.standings)
        for standing in outlook.standings:
            held = self._proofs.get((frontend, standing.source))
            if not standing.bound:
                return False
            if (
                standing.fingerprint
                and _is_asked(listener, standing.source)
                and (held is None or held[0].wanted != standing.fingerprint or not held[0].ok)
            ):
                return False
        return True

    async def _may_be_removed(self, operation: Operation[Any]) -> bool:
        """A removal needs a look of just now, and that no frontend is unknown to the store."""
        if self._clock.monotonic() - self._observed_at > _FRESH:
            self._observed = None
            return False
        try:
            if await self._surroundings.confirm():
                return True
        except ApiError as error:
            _log.info("no live list of frontends: %s", error)
        unknown = NotYet(reasons.IN_USE, "Not all frontends of the load balancer are known yet.")
        self._patience.failed(operation, unknown, self._clock.monotonic())
        return False

    def _fail(self, error: ProviderError) -> None:
        """Nothing goes on for a while, and then everything is looked at anew."""
        if self._trouble is None or self._trouble.reason != error.reason:
            _log.warning("%s", error)
        self._failures += 1
        first = _FIRST_WAIT if error.retry_after or isinstance(error, PASSING) else _DENIED_WAIT
        wait = min(first * 2 ** min(self._failures - 1, 8), max(first, _LONGEST_WAIT))
        wait = max(wait, error.retry_after or 0.0)
        if not isinstance(error, Throttled):
            self._observed = None
        self._trouble = error
        self._trouble_until = self._clock.monotonic() + wait

    def _recovered(self) -> None:
        self._trouble = None
        self._trouble_until = 0.0
        self._failures = 0

    def _wait(self) -> float:
        """Until when nothing can be new but by a change."""
        now = self._clock.monotonic()
        if self._trouble is not None:
            return max(self._trouble_until - now, 0.0)
        if self._is_wanted_otherwise():
            return 0.0
        waits = [max(self._observed_at + LOOK_AGAIN - now, REST)]
        plan = self._plan
        if plan is not None:
            waits += [plan.look_again] if plan.look_again is not None else []
            # Whoever writes a claim down wakes this; unless that news is lost.
            waits += [REST] if not all(map(self._is_claimed, plan.operations)) else []
            waiting = self._patience.wait(plan.operations, now)
            waits += [waiting] if waiting is not None else []
        waits += [max(at - now, 0.05) for proof, _, at in self._proofs.values() if not proof.ok]
        waits += [0.05] if any(key not in self._proofs for key in self._provable()) else []
        return min(waits)

    # --- handshakes

    async def _prove(self) -> None:
        """Try the handshakes that are due, a few at a time."""
        due = sorted((key for key in self._provable() if self._is_due(key)), key=self._tried_at)
        for start in range(0, min(len(due), MOST_AT_A_TIME), AT_ONCE):
            # Handshakes take seconds where nobody answers: what is wanted anew goes first.
            if self._closing or self._is_wanted_otherwise():
                return
            still = set(self._provable())
            batch = [key for key in due[start : start + AT_ONCE] if key in still]
            await asyncio.gather(*(self._prove_one(key) for key in batch))

    def _tried_at(self, key: tuple[ObjectName, CertificateSource]) -> float:
        held = self._proofs.get(key)
        return float("-inf") if held is None else held[2]

    async def _advise(self) -> None:
        """See where the names of certificates lead that the provider does not have yet."""
        plan, now = self._plan, self._clock.monotonic()
        if plan is None or now < self._advised_until:
            return
        wanting = {
            binding.source: (listener.frontend, binding.managed.names)
            for listener in self._listeners.values()
            for binding in listener.bindings
            if binding.managed is not None and binding.managed.kind == "Public"
        }
        advice = {}
        for source, (frontend, names) in wanting.items():
            state = plan.managed.get(source)
            host, _ = self._address(frontend)
            if host and (state is None or not state.provider_id or not state.routed):
                advice[source] = await astray(names, host)
        if advice:
            self._advised_until = now + _ADVICE_KEPT
        self._advice = {source: text for source, text in advice.items() if text}

    def _provable(self) -> Iterable[tuple[ObjectName, CertificateSource]]:
        plan = self._plan
        for frontend, listener in self._listeners.items():
            outlook = None if plan is None else plan.outlooks.get(frontend)
            if outlook is None or not outlook.configured or self._planned.get(frontend) != listener:
                continue
            if not self._address(frontend)[0] or not listener.ssl or listener.disabled:
                continue
            for standing in outlook.standings:
                provable = standing.bound and standing.fingerprint
                if provable and _is_asked(listener, standing.source):
                    yield frontend, standing.source

    def _is_due(self, key: tuple[ObjectName, CertificateSource]) -> bool:
        held = self._proofs.get(key)
        if held is None:
            return True
        proof, _, at = held
        wanted = self._standing(key).fingerprint
        return proof.wanted != wanted or self._clock.monotonic() >= at

    async def _prove_one(self, key: tuple[ObjectName, CertificateSource]) -> None:
        frontend, source = key
        listener, standing = self._listeners[frontend], self._standing(key)
        binding = next(one for one in listener.bindings if one.source == source)
        asked = question(listener, binding, standing, *self._address(frontend))
        proof = await ask(asked, self._surroundings.addresses)
        held = self._proofs.get(key)
        tries = held[1] + 1 if held is not None and not proof.ok and not held[0].ok else 0
        wait = LOOK_AGAIN if proof.ok else _PROOF_WAITS[min(tries, len(_PROOF_WAITS) - 1)]
        self._proofs[key] = (proof, tries, self._clock.monotonic() + wait)

    def _standing(self, key: tuple[ObjectName, CertificateSource]) -> Standing:
        plan = self._plan
        if plan is None:
            raise LookupError("there is no plan")
        return next(one for one in plan.outlooks[key[0]].standings if one.source == key[1])

    def _address(self, frontend: ObjectName) -> tuple[str, int]:
        """Where handshakes are tried: where users go, else where the provider says; else nowhere."""
        listener, plan = self._listeners.get(frontend), self._plan
        told = self._surroundings.probe_address()
        if told and listener is not None:
            return told, listener.port
        outlook = None if plan is None else plan.outlooks.get(frontend)
        return ("", 0) if outlook is None or outlook.probe is None else outlook.probe

    # --- news

    def _tell(self) -> None:
        """Wake whom something new concerns."""
        plan = self._plan
        now: dict[ObjectName, Situation | None] = dict.fromkeys(self._listeners)
        if plan is not None:
            excerpts = _Excerpts(plan, self._proofs)
            now = {one: self._situation(one, plan, excerpts) for one in self._listeners}
        news = [
            one for one, found in now.items() if found is not None and found != self._told.get(one)
        ]
        news += [frontend for frontend in self._releasing if self.is_released(frontend)]
        self._told = now
        managed = {} if self._plan is None else self._plan.managed
        managed_now = {one: (state, self.advice(one)) for one, state in managed.items()}
        issued = [one for one, told in managed_now.items() if told != self._told_managed.get(one)]
        self._told_managed = managed_now
        self._surroundings.wake(news, issued)
        limits = None if self._plan is None else (self._plan.limits, self._plan.notices)
        if (self.trouble, limits) != self._told_of_itself:
            self._told_of_itself = (self.trouble, limits)
            self._surroundings.wake_in(0)
            # Who has no situation yet waits for nothing else.
            self._surroundings.wake([one for one, found in now.items() if found is None], ())


class _Excerpts:
    """What a plan and the proofs say of each frontend, looked up once for all of them."""

    def __init__(
        self,
        plan: Plan[Any],
        proofs: Mapping[tuple[ObjectName, CertificateSource], tuple[Proof, int, float]],
    ) -> None:
        self.waiting: dict[ObjectName, list[Operation[Any]]] = {}
        self.claims: dict[ObjectName, list[Operation[Any]]] = {}
        self.proofs: dict[ObjectName, dict[CertificateSource, Proof]] = {}
        for operation in plan.operations:
            for frontend in () if operation.removes else operation.about:
                self.waiting.setdefault(frontend, []).append(operation)
            if operation.claims is not None:
                self.claims.setdefault(operation.claims[0], []).append(operation)
        for (frontend, source), (proof, _, _) in proofs.items():
            self.proofs.setdefault(frontend, {})[source] = proof


def _defect() -> ProviderError:
    return Unavailable(reasons.PROVIDER_UNAVAILABLE, "A defect of certfront: see its log.")


def _is_asked(listener: Listener, source: CertificateSource) -> bool:
    """Whether a client could be shown the certificate: it answers for a name, or for all others."""
    if source == listener.default_certificate:
        return True
    return any(one.source == source and one.hostnames for one in listener.bindings)
