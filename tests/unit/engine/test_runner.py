"""Workers: what they do with each way a pass can end, and how they stop."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from certfront.engine.keys import Key
from certfront.engine.queue import WorkQueue
from certfront.engine.results import Result, Retry
from certfront.engine.runner import Runner, reconcile_id
from certfront.model.clock import FrozenClock, SystemClock
from tests.unit.engine.surroundings import new_queue, until

KEY = Key("Certificate", "shop", "a")


class StaleDecisionError(Exception):
    pass


class ServerBusyError(Exception):
    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("the server is busy")
        self.retry_after = retry_after


class Counts:
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.ended = asyncio.Event()

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        assert kind == "Certificate"
        assert seconds >= 0
        self.outcomes[outcome] += 1
        self.ended.set()


@asynccontextmanager
async def running(runner: Runner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        assert await runner.stop(5)
        await task


def raising(error: Exception) -> Callable[[Key], Awaitable[Result]]:
    async def reconcile(key: Key) -> Result:
        raise error

    return reconcile


async def one_pass(
    reconcile: Callable[[Key], Awaitable[Result]], clock: FrozenClock
) -> tuple[WorkQueue, Counts]:
    """The queue and the counts just after the first pass over KEY."""
    queue = new_queue(clock)
    counts = Counts()
    runner = Runner(
        queue,
        {"Certificate": reconcile},
        clock=clock,
        workers=1,
        observer=counts,
        conflicts=(StaleDecisionError,),
        transient=(ServerBusyError,),
    )
    queue.add(KEY)
    async with running(runner):
        await counts.ended.wait()
    return queue, counts


async def no_time(key: Key) -> Result:
    return Result()


async def in_a_minute(key: Key) -> Result:
    return Result(after=timedelta(minutes=1))


@pytest.mark.parametrize(
    ("reconcile", "outcome", "earliest", "latest", "failures"),
    [
        pytest.param(in_a_minute, "requeue", 60.0, 60.0, 0, id="result-with-a-time"),
        pytest.param(raising(Retry("no answer yet", after=7)), "retry", 7.0, 7.0, 0, id="retry"),
        pytest.param(raising(Retry("odd")), "retry", 0.1, 0.2, 1, id="retry-by-back-off"),
        pytest.param(raising(ServerBusyError()), "unavailable", 0.1, 0.2, 1, id="transient"),
        pytest.param(raising(ServerBusyError(9)), "unavailable", 9.0, 9.0, 1, id="retry-after"),
        pytest.param(raising(ValueError("bug")), "error", 0.1, 0.2, 1, id="defect"),
    ],
)
async def test_a_pass_comes_back_when_its_end_says(
    reconcile: Callable[[Key], Awaitable[Result]],
    outcome: str,
    earliest: float,
    latest: float,
    failures: int,
) -> None:
    clock = FrozenClock()
    queue, counts = await one_pass(reconcile, clock)
    assert counts.outcomes == {outcome: 1}
    assert queue.failures(KEY) == failures
    assert earliest <= queue._due[KEY] <= latest


async def test_a_result_without_a_time_waits_for_a_change() -> None:
    queue, counts = await one_pass(no_time, FrozenClock())
    assert counts.outcomes == {"success": 1}
    assert (queue.depth(), queue.delayed(), queue.in_progress()) == (0, 0, 0)


async def test_a_conflict_is_asked_again_at_once_but_not_for_ever() -> None:
    clock = FrozenClock()
    queue = new_queue(clock)
    counts = Counts()
    runner = Runner(
        queue,
        {"Certificate": raising(StaleDecisionError())},
        clock=clock,
        workers=2,
        observer=counts,
        conflicts=(StaleDecisionError,),
    )
    queue.add(KEY)
    async with running(runner):
        await until(lambda: queue.delayed() != 0)
    assert counts.outcomes == {"conflict": 4}


async def test_success_forgets_earlier_failures() -> None:
    passes = 0

    async def twice_then_fine(key: Key) -> Result:
        nonlocal passes
        passes += 1
        if passes <= 2:
            raise ServerBusyError
        return Result()

    clock = FrozenClock()
    queue = new_queue(clock)
    counts = Counts()
    runner = Runner(
        queue,
        {"Certificate": twice_then_fine},
        clock=clock,
        observer=counts,
        transient=(ServerBusyError,),
    )
    queue.add(KEY)
    async with running(runner):
        while counts.outcomes["success"] == 0:
            await asyncio.sleep(0)
            clock.advance(1)
            queue.promote_due()
    assert queue.failures(KEY) == 0


async def test_a_defect_is_logged_with_key_and_number_and_the_worker_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    numbers = []

    async def reconcile(key: Key) -> Result:
        numbers.append(reconcile_id.get())
        if key.name == "bad":
            raise ZeroDivisionError
        return Result()

    clock = FrozenClock()
    queue = new_queue(clock)
    counts = Counts()
    runner = Runner(queue, {"Certificate": reconcile}, clock=clock, workers=1, observer=counts)
    queue.add(Key("Certificate", "shop", "bad"))
    queue.add(Key("Certificate", "shop", "good"))
    async with running(runner):
        await until(lambda: counts.outcomes["success"] == 1)
    assert numbers == ["1", "2"]
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "pass 1 over Certificate shop/bad failed" in record.getMessage()
    assert reconcile_id.get() == ""


async def test_one_key_is_never_with_two_workers() -> None:
    running_now: set[Key] = set()
    passes = 0

    async def reconcile(key: Key) -> Result:
        nonlocal passes
        assert key not in running_now
        running_now.add(key)
        queue.add(key)
        for _ in range(3):
            await asyncio.sleep(0)
        running_now.discard(key)
        passes += 1
        return Result(after=0)

    clock = SystemClock()
    queue = new_queue(clock)
    counts = Counts()
    runner = Runner(queue, {"Certificate": reconcile}, clock=clock, workers=8, observer=counts)
    for name in "abc":
        queue.add(Key("Certificate", "shop", name))
    async with running(runner):
        await until(lambda: passes >= 200)
    assert set(counts.outcomes) == {"requeue"}


async def test_passes_that_wait_for_nothing_leave_others_their_turn() -> None:
    """Thousands of converged objects at a start must not hold up the renewal of the Lease."""
    clock = FrozenClock()
    queue = new_queue(clock)
    keys, workers = 320, 32
    for number in range(keys):
        queue.add(Key("Certificate", "shop", f"c{number}"))

    async def converged(key: Key) -> Result:
        return Result()

    runner = Runner(queue, {"Certificate": converged}, clock=clock, workers=workers)
    turns = 0
    async with running(runner):
        while queue.depth():
            await asyncio.sleep(0)
            turns += 1
    assert turns >= keys / workers


async def test_a_stop_waits_for_the_pass_that_runs_and_starts_no_other() -> None:
    started, proceed = asyncio.Event(), asyncio.Event()
    seen = []

    async def reconcile(key: Key) -> Result:
        seen.append(key.name)
        started.set()
        await proceed.wait()
        return Result()

    clock = FrozenClock()
    queue = new_queue(clock)
    runner = Runner(queue, {"Certificate": reconcile}, clock=clock, workers=1)
    queue.add(Key("Certificate", "shop", "first"))
    queue.add(Key("Certificate", "shop", "second"))
    task = asyncio.create_task(runner.run())
    await started.wait()
    clock.advance(3)
    assert runner.oldest_running() == (Key("Certificate", "shop", "first"), 3)
    assert not await runner.stop(0.01)
    proceed.set()
    assert await runner.stop(5)
    await task
    assert seen == ["first"]
    assert runner.oldest_running() is None


async def test_nothing_is_done_while_we_may_not_act() -> None:
    allowed = False
    seen = []

    async def reconcile(key: Key) -> Result:
        seen.append(key)
        return Result()

    clock = FrozenClock()
    queue = new_queue(clock)
    runner = Runner(
        queue, {"Certificate": reconcile}, clock=clock, workers=1, may_act=lambda: allowed
    )
    queue.add(KEY)
    async with running(runner):
        await until(lambda: queue.delayed() != 0)
        assert seen == []
        allowed = True
        clock.advance(1)
        queue.promote_due()
        await until(lambda: seen)


async def test_a_cancelled_runner_cancels_its_passes_and_frees_their_keys() -> None:
    started = asyncio.Event()

    async def reconcile(key: Key) -> Result:
        started.set()
        await asyncio.Event().wait()
        return Result()

    clock = FrozenClock()
    queue = new_queue(clock)
    runner = Runner(queue, {"Certificate": reconcile}, clock=clock)
    queue.add(KEY)
    task = asyncio.create_task(runner.run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert queue.in_progress() == 0
