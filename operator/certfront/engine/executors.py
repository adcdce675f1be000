"""Blocking calls in threads, whose keys and domains stay locked until the thread has ended.

A thread cannot be stopped from outside. If its caller went on before it ended, a retry would run
beside a request that is still being sent; so the caller waits, whatever happens. Real deadlines
are the blocking library's own (socket time-outs and byte caps).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, TypeVar

_log: Final = logging.getLogger(__name__)
T = TypeVar("T")


async def run_blocking(executor: Executor, function: Callable[[], T], deadline: float) -> T:
    """The function's result, which may raise what it raises.

    Returns only after the thread has ended: past `deadline` seconds that is logged, because the
    library's own time-out should have come first, and the late result is still returned, for it may
    be the only trace of what was done outside. A cancellation is delivered after the end as well.
    """
    in_thread = executor.submit(contextvars.copy_context().run, function)
    future = asyncio.wrap_future(in_thread)
    cancelled = False
    late = False
    while not future.done():
        try:
            # asyncio.wait neither cancels the future nor raises its exception.
            await asyncio.wait([future], timeout=None if late else deadline)
        except asyncio.CancelledError:
            cancelled = True
            if in_thread.cancel():
                # It had not begun, and never will.
                raise
            continue
        if not late and not future.done():
            late = True
            _log.warning("a blocking call is past its deadline of %g s", deadline)
    if cancelled:
        if future.exception() is not None:
            _log.info("a cancelled call ended with %s", type(future.exception()).__name__)
        raise asyncio.CancelledError
    return future.result()
