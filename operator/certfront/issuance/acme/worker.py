"""The asyncio side of an account: its blocking session in a bounded executor of its own.

A slow CA occupies the threads of its own accounts and nobody else's. A call's deadline is kept by
the transport in the thread itself, so the thread really ends; a caller that is cancelled waits
for that, because the key it works for must stay locked until then.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from certfront.issuance.acme import transport
from certfront.issuance.acme.problems import CaUnreachable
from certfront.issuance.acme.session import Session
from certfront.model.clock import Clock

Result = TypeVar("Result")

CALL_SECONDS = 60.0
"""The default deadline of a call, bad nonces and redirects included."""

_CLOSED = "the account is being opened anew"


class AccountWorker:
    """Runs calls of one account's session, at most `threads` at a time."""

    def __init__(self, session: Session, *, clock: Clock, threads: int = 4) -> None:
        self.session = session
        self._clock = clock
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="acme")
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Calls that have been handed over and have not ended."""
        return self._in_flight

    async def call(self, function: Callable[[], Result], deadline: float = CALL_SECONDS) -> Result:
        """Run `function` in a thread; everything it sends ends within `deadline` seconds.

        Raises what it raises, and CaUnreachable where the account is closed meanwhile. When the
        caller is cancelled, a call that has begun is awaited first, and another never runs.
        """

        def bounded() -> Result:
            with transport.deadline(deadline, self._clock):
                return function()

        try:
            future = self._executor.submit(bounded)
        except RuntimeError:
            raise CaUnreachable(_CLOSED) from None
        waiting = asyncio.wrap_future(future)
        self._in_flight += 1
        waiting.add_done_callback(self._ended)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if future.cancelled() and (task is None or not task.cancelling()):
                # Not the caller was cancelled, but the call: the account was closed meanwhile.
                raise CaUnreachable(_CLOSED) from None
            if not future.cancel():
                await _settled(waiting)
            raise

    async def aclose(self) -> None:
        """Take no more calls, wait for those in flight, close the connections."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
        self.session.close()

    def _ended(self, _: object) -> None:
        self._in_flight -= 1


async def _settled(waiting: "asyncio.Future[Result]") -> None:
    """Wait until the thread has ended, however often the waiting itself is cancelled."""
    while not waiting.done():
        try:
            await asyncio.wait({waiting})
        except asyncio.CancelledError:
            continue
    if not waiting.cancelled():
        waiting.exception()
