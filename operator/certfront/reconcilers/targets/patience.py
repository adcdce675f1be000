"""When an operation may be tried: after a failure, and before something is removed. Pure.

`target` asks for the next operation of a plan and tells how it went; nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from certfront.loadbalancers.errors import NotYet, ProviderError, Refused
from certfront.loadbalancers.protocol import Operation, Plan

REMOVE_AFTER: Final = 60.0
"""So long after the switch the old one stays (DESIGN section 5)."""

REST: Final = 1.0
"""Wishes have come to rest when none has changed for so long."""

_FIRST_WAIT: Final = 2.0
_LONGEST_WAIT: Final = 60.0
_FIRST_WAIT_REFUSED: Final = 30.0
_LONGEST_WAIT_REFUSED: Final = 600.0


@dataclass(frozen=True, slots=True)
class PutOff:
    """An operation that failed so often, why it did last, and when it may be tried again."""

    until: float
    failures: int
    error: ProviderError


class Patience:
    """Times are seconds of the monotonic clock, handed in."""

    def __init__(self) -> None:
        self._put_off: dict[str, PutOff] = {}
        self._removals: dict[str, float] = {}

    def failed(self, operation: Operation[Any], error: ProviderError, now: float) -> None:
        """Put an operation off: for what the provider asks, or longer with each failure."""
        before = self._put_off.get(operation.key)
        failures = 1 if before is None else before.failures + 1
        refused = isinstance(error, Refused)
        first = _FIRST_WAIT_REFUSED if refused else _FIRST_WAIT
        longest = _LONGEST_WAIT_REFUSED if refused else _LONGEST_WAIT
        wait = min(first * 2 ** min(failures - 1, 12), longest)
        if isinstance(error, NotYet) and error.retry_after is not None:
            wait = max(wait, error.retry_after)
        self._put_off[operation.key] = PutOff(until=now + wait, failures=failures, error=error)

    def done(self, operation: Operation[Any]) -> None:
        """Forget the failures of an operation."""
        self._put_off.pop(operation.key, None)

    def forgive(self) -> None:
        """Everything may be tried at once: something outside has changed."""
        self._put_off.clear()

    def error_of(self, operation: Operation[Any]) -> ProviderError | None:
        """Why an operation is put off, if it is."""
        held = self._put_off.get(operation.key)
        return None if held is None else held.error

    def keep(self, plan: Plan[Any], now: float) -> None:
        """Note what is planned: who waits to be removed, and what is not wanted any more.

        A provider that is busy lists nothing for a while: nobody loses the time that he has waited.
        """
        keys = set()
        for operation in plan.operations:
            keys.add(operation.key)
            if operation.removes:
                self._removals.setdefault(operation.key, now)
        if plan.look_again is not None and not plan.operations:
            return
        self._removals = {key: since for key, since in self._removals.items() if key in keys}
        self._put_off = {key: held for key, held in self._put_off.items() if key in keys}

    def next(
        self,
        operations: Sequence[Operation[Any]],
        now: float,
        *,
        rested: bool,
        may_remove: Callable[[Operation[Any]], bool],
        at_once: Callable[[Operation[Any]], bool],
    ) -> Operation[Any] | None:
        """The operation that may be done now: by the plan's order, what removes or is last at the end.

        `may_remove` says whether nothing else speaks against a removal, `at_once` whether it need not
        wait (its frontend is being deleted).
        """
        ready = [one for one in operations if not self._is_put_off(one, now)]
        for operation in ready:
            if not operation.removes and not operation.last:
                return operation
        for operation in ready:
            if operation.last and rested:
                return operation
            waited = now - self._removals.get(operation.key, now) >= REMOVE_AFTER
            if operation.removes and (waited or at_once(operation)) and may_remove(operation):
                return operation
        return None

    def _is_put_off(self, operation: Operation[Any], now: float) -> bool:
        held = self._put_off.get(operation.key)
        return held is not None and held.until > now

    def wait(self, operations: Iterable[Operation[Any]], now: float) -> float | None:
        """After how many seconds one of them may be tried that may not now."""
        waits = []
        for operation in operations:
            held = self._put_off.get(operation.key)
            if held is not None and held.until > now:
                waits.append(held.until - now)
            elif operation.removes:
                since = self._removals.get(operation.key, now)
                waits.append(max(since + REMOVE_AFTER - now, REST))
            elif operation.last:
                waits.append(REST)
        return min(waits, default=None)
