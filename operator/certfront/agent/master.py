"""The master process's command line: reload, and who the worker is.

Versions differ: 2.6 answers `reload` with nothing and shows the outcome in `show proc` alone; 2.8
and newer answer `Success=1` or `0` and the log. The master refuses connections while it replaces
itself. Used by `applying`.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from certfront.agent.exchange import NoAnswer, exchange
from certfront.model.clock import Clock

_LINE: Final = re.compile(r"(\d+)\s+(master|worker)\s+(\d+)(?:\s+\[failed: (\d+)\])?\s.*")
_PAUSE: Final = 0.05
# Ten thousand certificates take twelve seconds to load.
_RELOAD_SECONDS: Final = 120.0
_SPARED_SECONDS: Final = 60.0


class ReloadRefused(Exception):
    """The new worker did not start; the old one goes on. `log` is HAProxy's own, maybe empty."""

    def __init__(self, log: str) -> None:
        self.log = log
        super().__init__("HAProxy refused the configuration at a reload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What `show proc` says: reloads asked for, failures since the last success, the worker."""

    master: int
    reloads: int
    failed: int
    worker: int | None


class Sparing:
    """Reloads of an HAProxy that is someone else's: after a failure none for a minute.

    A master that does not answer is a failure like any other here: the worker may well serve.
    """

    def __init__(self, master: Master, clock: Clock) -> None:
        self._master = master
        self._clock = clock
        self._refused: tuple[float, str] | None = None

    async def prepare(self) -> None:
        """Raises ReloadRefused where there is no use in a reload now; nothing is written then."""
        if self._refused is not None and self._clock.monotonic() < self._refused[0]:
            raise ReloadRefused(self._refused[1])
        try:
            await self._master.processes()
        except NoAnswer as error:
            raise self._not_again(f"the master does not answer: {error}") from None

    async def reload(self) -> int:
        """Like `Master.reload`. Raises ReloadRefused alone."""
        try:
            return await self._master.reload()
        except ReloadRefused as refused:
            raise self._not_again(refused.log) from None
        except NoAnswer as error:
            raise self._not_again(f"the reload failed: {error}") from None

    def _not_again(self, log: str) -> ReloadRefused:
        self._refused = (self._clock.monotonic() + _SPARED_SECONDS, log)
        return ReloadRefused(log)


class Master:
    """The command line of one master."""

    def __init__(self, socket_path: str, clock: Clock) -> None:
        self._path = socket_path
        self._clock = clock

    async def processes(self) -> Processes:
        """Master and current worker. Raises NoAnswer while the master replaces itself, or is down."""
        answer = await exchange(self._path, b"show proc\n", seconds=5.0, half_close=True)
        # Old workers, of earlier configurations, come after this line.
        current, _, _ = answer.partition("# old workers")
        found = [match for line in current.splitlines() if (match := _LINE.match(line.strip()))]
        masters = [match for match in found if match[2] == "master"]
        workers = [match for match in found if match[2] == "worker"]
        if not masters:
            raise NoAnswer("show proc names no master")
        return Processes(
            master=int(masters[0][1]),
            reloads=int(masters[0][3]),
            failed=int(masters[0][4] or 0),
            worker=int(workers[0][1]) if workers else None,
        )

    async def prepare(self) -> None:
        """A master of ours can always be asked."""

    async def reload(self) -> int:
        """Reload, wait for the new worker, and return its pid. Raises ReloadRefused or NoAnswer."""
        before = await self._reachable()
        log = await self._ask_for_reload()
        deadline = self._clock.monotonic() + _RELOAD_SECONDS
        while self._clock.monotonic() < deadline:
            try:
                after = await self.processes()
            except NoAnswer:
                await asyncio.sleep(_PAUSE)
                continue
            if after.worker is not None and after.worker != before.worker and not after.failed:
                return after.worker
            if after.failed > before.failed or log.startswith("Success=0"):
                raise ReloadRefused(log.partition("--\n")[2])
            await asyncio.sleep(_PAUSE)
        raise NoAnswer("the reload did not end")

    async def _ask_for_reload(self) -> str:
        try:
            while True:
                log = await exchange(
                    self._path, b"reload\n", seconds=_RELOAD_SECONDS, half_close=True
                )
                if "reload is still in progress" not in log:
                    return log
                await asyncio.sleep(_PAUSE)
        except NoAnswer:
            # The master replaced itself before it answered: show proc will tell.
            return ""

    async def _reachable(self) -> Processes:
        deadline = self._clock.monotonic() + 10.0
        while True:
            try:
                return await self.processes()
            except NoAnswer:
                if self._clock.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)
