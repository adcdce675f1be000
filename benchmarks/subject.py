"""The operator under measurement: started and stopped, its processor time, its memory, its queue."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp
import psutil

from benchmarks.errors import BenchError
from benchmarks.measures import Quiet, sample
from sandbox import lifecycle, operator, processes, state

LOOK_AGAIN = 0.2
"""Seconds between two looks at the queue: a scrape lists every certificate and is not free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Processor seconds (user and system) since the process started, and resident bytes."""

    cpu_seconds: float
    rss: int


class Subject:
    """The operator of the sandbox called `name`, which is not running at first."""

    def __init__(self, name: str) -> None:
        self._name = name
        prepared = operator.prepare(state.load(name), None)
        state.save(prepared)
        if prepared.operator is None:
            raise BenchError("the sandbox describes no operator")
        self._metrics = f"http://{prepared.operator.metrics_address}/metrics"
        self._root = prepared.root

    async def start(self) -> None:
        """Start it; returns when its store is covered."""
        await asyncio.to_thread(lifecycle.start, self._name, operator.NAME)

    async def stop(self) -> None:
        """Stop it as a supervisor would, so that it gives its Lease away."""
        await asyncio.to_thread(lifecycle.stop, self._name, operator.NAME)

    @property
    def pid(self) -> int:
        """Its process. Raises BenchError while there is none."""
        handle = processes.running(self._root, operator.NAME)
        if handle is None:
            raise BenchError("the operator is not running; its log says why")
        return handle.pid

    def usage(self) -> Usage:
        """What it has used so far."""
        process = psutil.Process(self.pid)
        times = process.cpu_times()
        return Usage(cpu_seconds=times.user + times.system, rss=process.memory_info().rss)

    async def settled(self, certificates: int, seconds: float) -> float:
        """Return when at least `certificates` passes were made and the queue has stayed empty.

        The answer is when (monotonic) it was first seen empty. Raises BenchError.
        """
        deadline = time.monotonic() + seconds
        quiet = Quiet(at_least=certificates)
        async with aiohttp.ClientSession() as session:
            while True:
                looked = time.monotonic()
                text = await self._scrape(session)
                passes = sample(text, "certfront_reconciles_total", kind="Certificate")
                depth = sample(text, "certfront_queue_depth")
                since = quiet.look(looked, passes=passes, depth=depth)
                if since is not None:
                    return since
                if looked > deadline:
                    raise BenchError(f"the queue did not become empty within {seconds:.0f} s")
                await asyncio.sleep(LOOK_AGAIN)

    async def _scrape(self, session: aiohttp.ClientSession) -> str:
        async with session.get(self._metrics) as answer:
            answer.raise_for_status()
            return await answer.text()
