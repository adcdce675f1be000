"""Blocking calls: the caller goes on only after the thread has ended."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from certfront.engine.executors import run_blocking
from tests.unit.engine.surroundings import until


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


async def test_the_result_is_handed_back(executor: ThreadPoolExecutor) -> None:
    assert await run_blocking(executor, lambda: 42, 5) == 42


async def test_an_exception_is_handed_back(executor: ThreadPoolExecutor) -> None:
    def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await run_blocking(executor, fails, 5)


async def test_the_thread_sees_the_context_of_its_caller(executor: ThreadPoolExecutor) -> None:
    number: ContextVar[int] = ContextVar("number", default=0)
    number.set(7)
    assert await run_blocking(executor, number.get, 5) == 7


async def test_a_late_result_is_logged_and_still_returned(
    executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    proceed = threading.Event()

    def slow() -> str:
        assert proceed.wait(10)
        return "order"

    task = asyncio.create_task(run_blocking(executor, slow, 0.01))
    await until(lambda: "past its deadline" in caplog.text)
    assert not task.done()
    proceed.set()
    assert await task == "order"


@pytest.mark.parametrize("fails", [False, True], ids=["result", "exception"])
async def test_a_cancelled_call_ends_only_with_its_thread(
    executor: ThreadPoolExecutor, fails: bool
) -> None:
    started, proceed, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        assert proceed.wait(10)
        ended.set()
        if fails:
            raise ConnectionError

    task = asyncio.create_task(run_blocking(executor, slow, 5))
    await until(lambda: started.is_set())
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.005)
    assert not task.done()
    proceed.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_cancelled_call_that_has_not_begun_never_does(
    executor: ThreadPoolExecutor,
) -> None:
    proceed = threading.Event()
    called = []
    first = asyncio.create_task(run_blocking(executor, lambda: proceed.wait(10), 5))
    await asyncio.sleep(0)
    second = asyncio.create_task(run_blocking(executor, lambda: called.append(1), 5))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    proceed.set()
    await first
    assert called == []
