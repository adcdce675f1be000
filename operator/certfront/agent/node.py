"""The agent's main loop: Secrets in, HAProxy converged, a watermark out.

One task watches, one converges, one keeps the Lease; each goes on while the others wait. `cli`
calls `initialise` and `run`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from certfront.agent.inbox import Inbox
from certfront.agent.options import AgentOptions
from certfront.agent.reconcile import Node, Outcome
from certfront.agent.report import heartbeat, report
from certfront.agent.watching import Watcher
from certfront.endpoints import health, served
from certfront.kube.client import ApiClient
from certfront.kube.leases import HeartbeatLease
from certfront.model.clock import Clock, SystemClock

_log: Final = logging.getLogger(__name__)

ClientFactory = Callable[[], Awaitable[AbstractAsyncContextManager[ApiClient]]]

_AUDIT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 2.0
_GATHERING_SECONDS: Final = 0.03
# Ten thousand certificates by disk and reload take well below this.
_LONGEST_PASS_SECONDS: Final = 300.0
_AFTER_AN_ERROR: Final = 5.0


def initialise(options: AgentOptions) -> None:
    """Write a directory that HAProxy starts from; one that is there is kept and mended. Blocking.

    Raises ValueError for an unusable directory or address, and OSError.
    """
    Node(options, SystemClock()).recover()


async def run(options: AgentOptions, client_factory: ClientFactory) -> None:
    """Serve as one node until SIGTERM or SIGINT. Then the Lease is deleted; HAProxy serves on."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        async with await client_factory() as client:
            await Agent(options, client, SystemClock()).serve(stopping)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class Agent:
    """One node's agent with its client of the API server."""

    def __init__(self, options: AgentOptions, client: ApiClient, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._client = client
        self._inbox = Inbox(options.load_balancer, certificates_only=options.certificates_only)
        self._changed = asyncio.Event()
        self._node = Node(options, clock)
        self._outcome: Outcome | None = None
        self._progress_at = clock.monotonic()

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the last pass."""
        return self._outcome

    async def serve(self, stopping: asyncio.Event) -> None:
        """Mend the directory, then watch, converge and report until `stopping` is set."""
        await asyncio.to_thread(self._node.recover)
        lease = heartbeat(self._client, self._clock, self._options)
        watcher = Watcher(
            self._client,
            self._clock,
            self._inbox,
            namespace=self._options.namespace,
            load_balancer=self._options.load_balancer,
            changed=self._changed.set,
        )
        endpoint = health(self._stuck, self._not_ready)
        async with served(endpoint, self._options.health_address):
            tasks = (lease.run(), watcher.run(), self._converging(lease))
            async with _running(tasks, stopping):
                await stopping.wait()
        await lease.stop()

    async def _converging(self, lease: HeartbeatLease) -> None:
        audited_at = self._clock.monotonic()
        while True:
            self._changed.clear()
            if self._clock.monotonic() - audited_at > _AUDIT_SECONDS:
                await asyncio.to_thread(self._node.audit)
                audited_at = self._clock.monotonic()
            seconds = await self._pass(lease)
            self._progress_at = self._clock.monotonic()
            await self._rest(min(seconds, _AUDIT_SECONDS))

    async def _rest(self, seconds: float) -> None:
        """Wait for a change, for so long at most, or until HAProxy is another one or gone."""
        until = self._clock.monotonic() + seconds
        while (remaining := until - self._clock.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(remaining, _LOOK_SECONDS)):
                    await self._changed.wait()
                # A bundle and the manifest that names it are written together: one pass for both.
                await asyncio.sleep(_GATHERING_SECONDS)
                return
            except TimeoutError:
                if not await self._node.is_as_left():
                    return

    async def _pass(self, lease: HeartbeatLease) -> float:
        """Converge once and report; the seconds until the next pass is due by itself."""
        try:
            outcome = await self._node.converge(self._inbox.snapshot())
        except Exception:  # noqa: BLE001 - one surprise must not end an agent that keeps a node serving
            _log.exception("a pass failed; what is served stays")
            await asyncio.to_thread(self._node.audit)
            return _AFTER_AN_ERROR
        if outcome != self._outcome:
            _log_outcome(self._outcome, outcome)
        self._outcome = outcome
        # A report costs the next one a second: while more has come, the next pass will tell.
        if not self._changed.is_set():
            report(lease, outcome)
        if outcome.look_again is None:
            return _AUDIT_SECONDS
        return max(0.1, (outcome.look_again - self._clock.now()).total_seconds())

    def _stuck(self) -> str:
        idle = self._clock.monotonic() - self._progress_at
        return "" if idle < _LONGEST_PASS_SECONDS else "no progress"

    def _not_ready(self) -> str:
        """Follows the node's own handshakes: one that serves without the API server is ready."""
        outcome = self._outcome
        if outcome is None:
            return "starting"
        if not outcome.alive:
            return "HAProxy does not answer"
        return "" if outcome.proven else "nothing is proven to be served yet"


@asynccontextmanager
async def _running(
    coroutines: tuple[Awaitable[None], ...], stopping: asyncio.Event
) -> AsyncIterator[None]:
    """Run the coroutines in the background; one that ends by itself stops everything."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _log_outcome(before: Outcome | None, after: Outcome) -> None:
    known = before.failed if before is not None else ()
    for failure in after.failed:
        if failure not in known:
            _log.warning("%s: %s: %s", failure.secret or "node", failure.reason, failure.message)
    if before is not None and before.failed and not after.failed:
        _log.info("everything is served again")
