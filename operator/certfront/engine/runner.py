"""The workers: they take keys from the queue and call the reconciler of their kind.

Neighbours: `queue` gives the keys, reconcilers return a `Result` or raise, `app` starts it after
the store is covered and while it leads, and reads its facts for the probes.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from certfront.engine.keys import Key
from certfront.engine.queue import QueueShutDown, WorkQueue
from certfront.engine.results import Result, Retry
from certfront.model.clock import Clock

_log: Final = logging.getLogger(__name__)

Reconcile = Callable[[Key], Awaitable[Result]]

reconcile_id: Final[contextvars.ContextVar[str]] = contextvars.ContextVar(
    "reconcile_id", default=""
)
"""The number of the pass that runs in this task, for log lines."""
current_key: Final[contextvars.ContextVar[Key | None]] = contextvars.ContextVar(
    "current_key", default=None
)
"""The key of the pass that runs in this task: what it learns of its own writes does not wake it."""


class Observer(Protocol):
    """Who counts passes."""

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        """A pass has ended; outcome: success, requeue, retry, conflict, unavailable or error."""
        ...


class Runner:
    """`workers` workers on one queue.

    - A `Result` forgets the key's failures and keeps its time.
    - `Retry` comes back after its time, or after the key's back-off.
    - `conflicts` (the decision was made on an older state) are asked again at once, three times in
      a row, then after the back-off.
    - `transient` exceptions come back after the back-off, or after their `retry_after` seconds if
      that is longer; one log line each.
    - Anything else is a defect: logged with its traceback, and comes back after the back-off.

    `may_act` is asked before each pass: where it says no (the Lease is about to be lost), the key
    waits for its back-off and nothing is done.
    """

    def __init__(
        self,
        queue: WorkQueue,
        reconcilers: Mapping[str, Reconcile],
        *,
        clock: Clock,
        workers: int = 32,
        observer: Observer | None = None,
        conflicts: tuple[type[Exception], ...] = (),
        transient: tuple[type[Exception], ...] = (),
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._queue = queue
        self._reconcilers = dict(reconcilers)
        self._clock = clock
        self._count = workers
        self._observer = observer
        self._conflicts = conflicts
        self._transient = transient
        self._may_act = may_act
        self._ids = itertools.count(1)
        self._running: dict[Key, float] = {}
        self._conflicts_in_a_row: dict[Key, int] = {}
        self._workers: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Work until the queue is shut down and every pass has ended. Cancelling it cancels them."""
        async with asyncio.TaskGroup() as group:
            self._workers = [group.create_task(self._work()) for _ in range(self._count)]

    async def stop(self, deadline: float) -> bool:
        """Take no more keys and wait for the passes that run; False if some did not end in time."""
        self._queue.shutdown()
        if not self._workers:
            return True
        _, running = await asyncio.wait(self._workers, timeout=deadline)
        return not running

    def oldest_running(self) -> tuple[Key, float] | None:
        """The key that has been with a worker longest, and for how many seconds."""
        for key, since in self._running.items():
            return key, self._clock.monotonic() - since
        return None

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except QueueShutDown:
                return
            try:
                await self._one_pass(key)
            finally:
                self._queue.done(key)
            # A pass over a converged object waits for nothing: without this, thousands of them would
            # run in one go, and the Lease be lost meanwhile.
            await asyncio.sleep(0)

    async def _one_pass(self, key: Key) -> None:
        if not self._may_act():
            self._queue.add_failed(key)
            return
        started = self._clock.monotonic()
        self._running[key] = started
        token = reconcile_id.set(f"{next(self._ids):x}")
        key_token = current_key.set(key)
        try:
            outcome = await self._outcome(key)
        finally:
            del self._running[key]
            reconcile_id.reset(token)
            current_key.reset(key_token)
        if self._observer is not None:
            self._observer.reconciled(key.kind, outcome, self._clock.monotonic() - started)

    async def _outcome(self, key: Key) -> str:
        try:
            result = await self._reconcilers[key.kind](key)
        except Retry as retry:
            return self._retry(key, retry)
        except self._conflicts:
            return self._conflict(key)
        except self._transient as error:
            return self._unavailable(key, error)
        except Exception:  # noqa: BLE001 - a defect in one pass must not end the worker
            delay = self._queue.add_failed(key)
            _log.exception(
                "pass %s over %s failed, again in %.1f s", reconcile_id.get(), key, delay
            )
            return "error"
        self._queue.forget(key)
        self._conflicts_in_a_row.pop(key, None)
        if result.delay is None:
            return "success"
        self._queue.add_after(key, result.delay)
        return "requeue"

    def _retry(self, key: Key, retry: Retry) -> str:
        self._conflicts_in_a_row.pop(key, None)
        if retry.delay is None:
            self._queue.add_failed(key)
        else:
            self._queue.add_after(key, retry.delay)
        return "retry"

    def _conflict(self, key: Key) -> str:
        row = self._conflicts_in_a_row.get(key, 0) + 1
        if row <= 3:
            self._conflicts_in_a_row[key] = row
            self._queue.add(key)
        else:
            self._conflicts_in_a_row.pop(key, None)
            self._queue.add_failed(key)
        return "conflict"

    def _unavailable(self, key: Key, error: Exception) -> str:
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, int | float) and asked > 0:
            # A lower bound set by the other side; ours grows beside it.
            self._queue.add_after(key, max(float(asked), self._queue.next_backoff(key)))
        else:
            self._queue.add_failed(key)
        _log.warning("pass %s over %s: %s", reconcile_id.get(), key, error)
        return "unavailable"
