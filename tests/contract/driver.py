"""Drives one provider as the reconciler does: observe, plan, execute one step, until it is quiet.

Shared by the tests of every provider. It keeps what the status of frontends would remember (claims,
ids, fingerprints), puts operations that failed off by their key, lets a removal rest for a minute and
plans it again on a fresh observation, and moves the time of clock and emulator on instead of waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from certfront.loadbalancers.errors import (
    NotYet,
    ProviderError,
    Refused,
    Throttled,
    Unavailable,
)
from certfront.loadbalancers.exchange import Pace
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kinds import Environment
from certfront.loadbalancers.protocol import (
    Installation,
    Memory,
    Operation,
    Plan,
    Provider,
    Wish,
)
from certfront.model.addresses import AllowedAddresses
from certfront.model.clock import Clock
from certfront.model.meta import ObjectName

REST_BEFORE_REMOVAL = 60.0
"""So many seconds a removal has been planned before it is done."""

MAIN = ObjectName("balancers", "main")
"""The LoadBalancer that tests are about unless they say otherwise."""

_AFTER_AN_ERROR = 5.0


class Stepped(Protocol):
    """A time that can be moved on, as the emulators have one."""

    def now(self) -> datetime: ...

    def advance(self, seconds: float) -> None: ...


class SteppedTime:
    """The time of a test that moves only when it is told to; for models without an emulator."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class ClockOf:
    """The clock of certfront's own code, in step with that of an emulator."""

    def __init__(self, time: Stepped) -> None:
        self._time = time
        self._start = time.now()

    def now(self) -> datetime:
        return self._time.now()

    def monotonic(self) -> float:
        return (self._time.now() - self._start).total_seconds()


class NotSettled(AssertionError):
    """The provider was still at work after all rounds; the message has the last operations."""


def environment(
    time: Stepped,
    *,
    installation: str = "test-installation",
    load_balancer: ObjectName = MAIN,
    allowed: tuple[str, ...] = ("127.0.0.0/8",),
    clock: Clock | None = None,
    per_second: float = 1000.0,
) -> Environment:
    """What `ProviderKind.build` is given of a process: this machine's addresses may be reached."""
    clock = clock or ClockOf(time)
    paces: dict[str, Pace] = {}

    def pace(account: str) -> Pace:
        if account not in paces:
            paces[account] = Pace(clock, per_second=per_second, burst=1000)
        return paces[account]

    return Environment(
        scope=Scope(installation=installation, load_balancer=load_balancer),
        clock=clock,
        addresses=AllowedAddresses(allowed),
        pace=pace,
        executor=ThreadPoolExecutor(max_workers=2),
        user_agent="certfront-test",
    )


@dataclass(kw_only=True)
class Driver:
    """One LoadBalancer's task. Its fields are what a test may look at afterwards.

    `wish` may be replaced at any time; its `now` and `memory` are filled in here. `on_operation` is
    called before each operation with what was observed, `on_step` after each with what is there then.
    """

    provider: Provider[Any, Any]
    wish: Wish
    time: Stepped = field(default_factory=SteppedTime)
    on_operation: Callable[[Operation[Any], Any], None] | None = None
    on_step: Callable[[Any], None] | None = None
    done: list[Operation[Any]] = field(default_factory=list)
    errors: list[ProviderError] = field(default_factory=list)
    memory: dict[ObjectName, Memory] = field(default_factory=dict)
    _put_off: dict[str, datetime] = field(default_factory=dict)
    _for_good: set[str] = field(default_factory=set)
    _removal_since: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = dict(self.wish.memory)

    def want(self, wish: Wish) -> None:
        """From now on this is wanted; what was learned is kept, what was put off is tried again."""
        self.wish = wish
        self.memory = {**dict(wish.memory), **self.memory}
        self._put_off.clear()
        self._for_good.clear()

    def current(self) -> Wish:
        """The wish with the time and the memory of now."""
        return replace(self.wish, now=self.time.now(), memory=dict(self.memory))

    async def settle(
        self, *, rounds: int = 200, until: Callable[[Plan[Any]], bool] | None = None
    ) -> tuple[Any, Plan[Any]]:
        """Go on until nothing is left to do (or `until` says so); what is there then, and the plan.

        Operations that were refused stay put off. Raises NotSettled after `rounds`, and Denied and
        Gone at once.
        """
        observed: Any = None
        fresh = False
        for _ in range(rounds):
            try:
                if observed is None:
                    observed = await self.provider.observe(self.current())
                    fresh = True
                plan = self.provider.plan(self.current(), observed)
                self._remember(plan)
                if until is not None and until(plan):
                    return observed, plan
                operation = self._next(plan)
                if operation is None:
                    if not self._wait(plan):
                        return observed, plan
                    if plan.look_again is None:
                        observed = None
                    else:
                        observed = await self.provider.look(self.current(), observed)
                        fresh = False
                    continue
                if operation.removes and not fresh:
                    observed = None
                    continue
                observed = await self._execute(operation, observed)
                fresh = False
            except (Throttled, Unavailable) as error:
                self.errors.append(error)
                self.time.advance(error.retry_after or _AFTER_AN_ERROR)
                observed = None
        raise NotSettled(
            "not quiet; the last operations: " + ", ".join(o.key for o in self.done[-12:])
        )

    async def _execute(self, operation: Operation[Any], observed: Any) -> Any:
        """What is there after the operation; None where it has to be observed again."""
        if operation.claims is not None:
            self._claim(operation)
        if self.on_operation is not None:
            self.on_operation(operation, observed)
        try:
            after = await self.provider.execute(operation, observed)
        except NotYet as error:
            self.errors.append(error)
            wait = timedelta(seconds=error.retry_after or _AFTER_AN_ERROR)
            self._put_off[operation.key] = self.time.now() + wait
            return None
        except Refused as error:
            self.errors.append(error)
            self._for_good.add(operation.key)
            return None
        self.done.append(operation)
        self._removal_since.pop(operation.key, None)
        if self.on_step is not None:
            self.on_step(after)
        return after

    def _next(self, plan: Plan[Any]) -> Operation[Any] | None:
        """The first that may be done now; removals and what is applied at the end come last."""
        now = self.time.now()
        planned = {operation.key for operation in plan.operations if operation.removes}
        if plan.look_again is None or planned:
            # While the provider is busy it may list none; their minute goes on.
            self._removal_since = {
                key: since for key, since in self._removal_since.items() if key in planned
            }
        for key in planned:
            self._removal_since.setdefault(key, now)
        open_now = [operation for operation in plan.operations if not self._is_put_off(operation)]
        for operation in open_now:
            if not operation.last and not operation.removes:
                return operation
        for operation in open_now:
            if operation.last or self._has_rested(operation):
                return operation
        return None

    def _has_rested(self, operation: Operation[Any]) -> bool:
        rested = self.time.now() - self._removal_since[operation.key]
        return rested >= timedelta(seconds=REST_BEFORE_REMOVAL)

    def _is_put_off(self, operation: Operation[Any]) -> bool:
        until = self._put_off.get(operation.key)
        return operation.key in self._for_good or (until is not None and self.time.now() < until)

    def _wait(self, plan: Plan[Any]) -> bool:
        """Move the time on to when there may be news; False where there will be none."""
        now = self.time.now()
        waits = [] if plan.look_again is None else [max(plan.look_again, 0.1)]
        for operation in plan.operations:
            if operation.key in self._for_good:
                continue
            own = []
            if operation.key in self._put_off:
                own.append((self._put_off[operation.key] - now).total_seconds())
            if operation.key in self._removal_since:
                rest = now - self._removal_since[operation.key]
                own.append(REST_BEFORE_REMOVAL - rest.total_seconds())
            if own:
                # One that has rested may still be put off, and the other way round.
                waits.append(max(own))
        if not waits:
            return False
        self.time.advance(max(min(waits), 0.1))
        return True

    def _claim(self, operation: Operation[Any]) -> None:
        assert operation.claims is not None
        frontend, source, fingerprint = operation.claims
        known = self.memory.get(frontend, Memory())
        rest = tuple(
            one for one in known.installed if (one.source, one.fingerprint) != (source, fingerprint)
        )
        claim = Installation(source=source, fingerprint=fingerprint, since=self.time.now())
        self.memory[frontend] = replace(known, installed=(*rest, claim))

    def _remember(self, plan: Plan[Any]) -> None:
        """As the status of each frontend would: certificates that are there, claims until they are."""
        for frontend, outlook in plan.outlooks.items():
            known = self.memory.get(frontend, Memory())
            stored = {
                (standing.source, standing.fingerprint): standing
                for standing in outlook.standings
                if standing.stored
            }
            sources = {source for source, _ in stored}
            kept = [
                one
                for one in known.installed
                if (one.source, one.fingerprint) not in stored
                and (not one.provider_id or one.source not in sources)
            ]
            since = {(one.source, one.fingerprint): one.since for one in known.installed}
            new = [
                Installation(
                    source=source,
                    fingerprint=fingerprint,
                    provider_id=standing.provider_id,
                    since=since.get((source, fingerprint)) or self.time.now(),
                )
                for (source, fingerprint), standing in stored.items()
            ]
            self.memory[frontend] = Memory(
                frontend_id=outlook.frontend_id or known.frontend_id,
                installed=(*kept, *new),
            )


async def settle(
    provider: Provider[Any, Any],
    wish: Wish,
    *,
    rounds: int = 200,
    on_operation: Callable[[Operation[Any], Any], None] | None = None,
    time: Stepped | None = None,
    memory: Mapping[ObjectName, Memory] | None = None,
) -> tuple[Any, Plan[Any]]:
    """Bring one wish about and return what is observed and planned then; see `Driver`."""
    driver = Driver(
        provider=provider,
        wish=replace(wish, memory=dict(memory or wish.memory)),
        time=time or SteppedTime(wish.now),
        on_operation=on_operation,
    )
    return await driver.settle(rounds=rounds)
