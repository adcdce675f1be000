"""A worker: bounded threads, and a cancelled caller that waits for its thread."""

import asyncio
import threading

import pytest

from certfront.issuance.acme import transport
from certfront.issuance.acme.worker import AccountWorker


async def test_a_call_returns_and_raises_what_its_function_does(worker: AccountWorker) -> None:
    assert await worker.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 // 0)
    assert worker.in_flight == 0


async def test_a_cancelled_caller_waits_until_its_thread_has_ended(worker: AccountWorker) -> None:
    """The key that a caller holds must not be free while a thread still acts for it."""
    begun, release = threading.Event(), threading.Event()
    ended: list[bool] = []

    def slow() -> None:
        begun.set()
        release.wait(20)
        ended.append(True)

    caller = asyncio.create_task(worker.call(slow))
    await asyncio.to_thread(begun.wait, 20)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == [True]


async def test_a_cancelled_call_that_has_not_begun_never_runs(worker: AccountWorker) -> None:
    release = threading.Event()
    busy = [asyncio.create_task(worker.call(lambda: release.wait(20))) for _ in range(4)]
    ran: list[bool] = []
    waiting = asyncio.create_task(worker.call(lambda: ran.append(True)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    await asyncio.gather(*busy)
    assert ran == []


async def test_no_more_than_the_bound_run_at_a_time(worker: AccountWorker) -> None:
    lock, running, most = threading.Lock(), [0], [0]
    all_in = threading.Barrier(4)

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        all_in.wait(20)
        with lock:
            running[0] -= 1

    await asyncio.gather(*(worker.call(work) for _ in range(16)))
    assert most == [4]


async def test_a_call_carries_its_deadline_into_the_thread(worker: AccountWorker) -> None:
    left = await worker.call(transport.remaining_seconds, deadline=7.0)
    assert 0 < left <= 7.0
