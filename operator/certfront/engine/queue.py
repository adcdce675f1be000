"""The queue of keys between the watches and the workers.

Neighbours: handlers and the sweep add, `runner` gets and marks as done. One heap holds all future
times and one timer waits for the earliest of them, however many objects there are.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict, deque
from enum import IntEnum
from random import Random
from typing import Final

from certfront.engine.keys import Key
from certfront.model.clock import Clock

_FIRST_BACKOFF: Final = 0.2
_LONGEST_BACKOFF: Final = 300.0
# Every so many pops the lowest waiting lane has its turn, so that a stream of changes cannot
# starve renewals or the initial list for ever.
_TURN_OF_THE_LAST: Final = 8
# Far times are waited for in steps: a timer of sixty days is no better than one of an hour.
_LONGEST_TIMER: Final = 3600.0


class Priority(IntEnum):
    """Which keys go first."""

    FRESH = 0
    """A change that was just made: someone is waiting for it."""
    INITIAL = 1
    """Objects of the first list: most are unchanged since the last run."""
    DEFERRED = 2
    """Work caused by time: renewals, retries, polls."""


class QueueShutDown(Exception):
    """The queue hands out no more keys."""


class _Lane:
    """The keys of one priority: first come first served in a namespace, namespaces in turn."""

    __slots__ = ("_namespaces", "_turns")

    def __init__(self) -> None:
        self._namespaces: dict[str, OrderedDict[Key, None]] = {}
        self._turns: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._namespaces)

    def push(self, key: Key) -> None:
        keys = self._namespaces.get(key.namespace)
        if keys is None:
            keys = self._namespaces[key.namespace] = OrderedDict()
            self._turns.append(key.namespace)
        keys[key] = None

    def remove(self, key: Key) -> None:
        keys = self._namespaces[key.namespace]
        del keys[key]
        if not keys:
            del self._namespaces[key.namespace]
            self._turns.remove(key.namespace)

    def pop(self) -> Key:
        namespace = self._turns.popleft()
        keys = self._namespaces[namespace]
        key, _ = keys.popitem(last=False)
        if keys:
            self._turns.append(namespace)
        else:
            del self._namespaces[namespace]
        return key


class WorkQueue:
    """Keys to reconcile: each at most once in the queue and with at most one worker.

    - `add` of a key that is with a worker is remembered once and queued again at `done`.
    - FRESH goes before INITIAL before DEFERRED (the last lane has every eighth turn), and a higher
      priority lifts a key that already waits. Inside a priority namespaces take turns.
    - Of several times for one key the earliest holds; a key whose time has come is DEFERRED.

    Not thread-safe: use it from the event loop only. Delays count on `clock.monotonic`.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._lanes = {priority: _Lane() for priority in Priority}
        self._lane_of: dict[Key, Priority] = {}
        # In the order of becoming ready, so that the first is always the oldest.
        self._ready_since: dict[Key, float] = {}
        self._processing: set[Key] = set()
        self._again: dict[Key, Priority] = {}
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._failures: dict[Key, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._pops = 0
        self._shut_down = False

    def add(self, key: Key, priority: Priority = Priority.FRESH) -> None:
        """Queue the key now; after `shutdown` it is dropped silently."""
        if self._shut_down:
            return
        if key in self._processing:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        waiting = self._lane_of.get(key)
        if waiting is not None:
            if priority < waiting:
                self._lanes[waiting].remove(key)
                self._push(key, priority)
            return
        self._ready_since[key] = self._clock.monotonic()
        self._push(key, priority)
        self._wake_a_getter()

    def add_after(self, key: Key, delay_seconds: float) -> None:
        """Queue the key in so many seconds, unless an earlier time is already kept for it."""
        if self._shut_down:
            return
        if delay_seconds <= 0:
            self.add(key, Priority.DEFERRED)
            return
        due = self._clock.monotonic() + delay_seconds
        kept = self._due.get(key)
        if kept is not None and kept <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        self._shrink_heap()
        self._arm_timer()

    def add_failed(self, key: Key) -> float:
        """Queue the key after its back-off, 0.2 s doubling to 300 s with jitter; returns the delay."""
        delay = self.next_backoff(key)
        self.add_after(key, delay)
        return delay

    def next_backoff(self, key: Key) -> float:
        """Count one failure of the key; the seconds it should wait for it."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # Doubling is stopped before it overflows; 2^11 * 0.2 s is past the longest delay.
        longest = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * (1 << min(failures, 11)))
        return longest * self._random.uniform(0.5, 1.0)

    def forget(self, key: Key) -> None:
        """The key has succeeded: its next failure starts at the shortest back-off again."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """How many failures in a row were counted for the key."""
        return self._failures.get(key, 0)

    async def get(self) -> Key:
        """The next key, which now belongs to the caller until `done`.

        Raises QueueShutDown once `shutdown` was called, also to those who wait.
        """
        while True:
            if self._shut_down:
                raise QueueShutDown
            self.promote_due()
            if self._lane_of:
                return self._pop()
            await self._wait()

    def done(self, key: Key) -> None:
        """The caller has finished with the key; it is queued again if it was added meanwhile."""
        self._processing.discard(key)
        again = self._again.pop(key, None)
        if again is not None:
            self.add(key, again)

    def promote_due(self) -> None:
        """Queue the keys whose time has come. The queue's own timer and `get` call it."""
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            # An entry that no longer is the key's time was replaced by an earlier one.
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key, Priority.DEFERRED)

    def depth(self) -> int:
        """How many keys are ready and wait for a worker."""
        return len(self._lane_of)

    def delayed(self) -> int:
        """How many keys have a time in the future."""
        return len(self._due)

    def in_progress(self) -> int:
        """How many keys are with workers."""
        return len(self._processing)

    def oldest_age(self) -> float:
        """For how many seconds the oldest ready key has waited; 0 if none is ready."""
        for since in self._ready_since.values():
            return self._clock.monotonic() - since
        return 0.0

    def shutdown(self) -> None:
        """Hand out no more keys; whoever waits in `get` is told at once. `done` still works."""
        self._shut_down = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._getters:
            self._wake_a_getter()

    def _push(self, key: Key, priority: Priority) -> None:
        self._lane_of[key] = priority
        self._lanes[priority].push(key)

    def _pop(self) -> Key:
        self._pops += 1
        waiting = [priority for priority in Priority if self._lanes[priority]]
        key = self._lanes[waiting[-1 if self._pops % _TURN_OF_THE_LAST == 0 else 0]].pop()
        del self._lane_of[key]
        del self._ready_since[key]
        self._processing.add(key)
        return key

    async def _wait(self) -> None:
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        # Times may have been kept before there was a loop to time them.
        self._arm_timer()
        try:
            await getter
        except asyncio.CancelledError:
            if getter in self._getters:
                self._getters.remove(getter)
            elif self._lane_of:
                # It was woken and cancelled in the same turn: the key is for someone else.
                self._wake_a_getter()
            raise

    def _wake_a_getter(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm_timer(self) -> None:
        if not self._heap or self._shut_down:
            return
        due = self._heap[0][0]
        if self._timer is not None and self._timer_at <= due:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = min(max(0.0, due - self._clock.monotonic()), _LONGEST_TIMER)
        self._timer_at = due
        self._timer = loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.promote_due()
        self._arm_timer()

    def _shrink_heap(self) -> None:
        """Drop replaced entries once they are the majority."""
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
