"""What the engine's tests share."""

import asyncio
from collections.abc import Callable
from random import Random

from certfront.engine.queue import WorkQueue
from certfront.model.clock import Clock


def new_queue(clock: Clock) -> WorkQueue:
    """A queue whose jitter is the same in every run."""
    return WorkQueue(clock, Random(1))  # noqa: S311 - jitter


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0)
