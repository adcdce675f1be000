"""A target becomes what HAProxy serves: at run time where that is safe, else by a reload.

Files come first, then memory (a pair is staged in memory before); additions, then removals, so no
name is ever without its certificate. Used by `reconcile`; `runtime` and `master` are the sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from certfront.agent.exchange import NoAnswer
from certfront.agent.filing import Files, Target
from certfront.agent.master import Master, Sparing
from certfront.agent.memory import Memory, observe
from certfront.agent.proving import Prover
from certfront.agent.runtime import LARGEST_COMMAND, Locked, Refused, Runtime
from certfront.loadbalancers.haproxy.configuration import Layout
from certfront.loadbalancers.haproxy.watermark import Failed
from certfront.model.clock import Clock

_log: Final = logging.getLogger(__name__)

# So many changes take longer one by one than a reload does.
_MOST_CHANGES_AT_RUNTIME: Final = 2000
_NEW_WORKER_SECONDS: Final = 30.0


class BundlesRefused(Exception):
    """HAProxy did not take these bundles; their files are as before."""

    def __init__(self, failed: Iterable[Failed]) -> None:
        self.failed = tuple(failed)
        super().__init__("bundles refused")


class Applier:
    """Brings one HAProxy to targets, one after another."""

    def __init__(
        self,
        layout: Layout,
        files: Files,
        runtime: Runtime,
        master: Master | Sparing,
        prover: Prover,
        clock: Clock,
    ) -> None:
        self._layout = layout
        self._files = files
        self._runtime = runtime
        self._master = master
        self._prover = prover
        self._clock = clock
        self._memory: Memory | None = None

    @property
    def worker(self) -> int | None:
        """The pid of the worker whose memory is known."""
        return self._memory.worker if self._memory is not None else None

    def forget(self) -> None:
        """Observe everything anew at the next target."""
        self._memory = None

    async def apply(
        self, target: Target, *, trying: Callable[[], None], accepted: Callable[[], None]
    ) -> None:
        """Make disk and memory what the target says; does nothing where they are.

        `trying` is called, in a thread, before a reload, once all bundles are on disk and before
        anything names them: from then on HAProxy may be started from what is written.
        `accepted` is called, in a thread, once HAProxy takes the configuration and the bundles, and
        before the first name is added or removed: an agent that is killed after that must not take
        back what is served, should there be no API server when it starts again.

        Raises NoAnswer if HAProxy is down, ReloadRefused if it does not take the configuration, and
        BundlesRefused if it does not take a pair at run time (its file is as before then).
        """
        worker = await self._runtime.info()
        if self._memory is not None and self._memory.worker != worker.pid:
            # It was restarted by its supervisor: nothing counts any more.
            self._prover.forget()
            self._memory = None
        memory = self._memory
        if memory is None:
            memory = await self._observed(worker.pid, target)
        other = not self._layout.foreign and worker.description != target.rendered.digest
        if other or not self._fits_runtime(memory, target):
            memory = await self._by_reload(target, trying)
        try:
            await self._at_runtime(memory, target, accepted)
        except Refused as refused:
            _log.warning("a run-time change was refused, reloading: %s", refused)
            memory = await self._by_reload(target, trying)
            await self._after_reload(memory, target, accepted)

    async def _observed(self, worker: int, target: Target) -> Memory:
        self._memory = await observe(
            self._runtime,
            worker,
            self._map_paths(target),
            below=self._layout.path("") + "/" if self._layout.foreign else "/",
        )
        return self._memory

    async def _after_reload(
        self, memory: Memory, target: Target, accepted: Callable[[], None]
    ) -> None:
        try:
            await self._at_runtime(memory, target, accepted)
        except Refused as refused:
            raise NoAnswer(f"HAProxy refuses run-time changes: {refused}") from None

    async def _by_reload(self, target: Target, trying: Callable[[], None]) -> Memory:
        self._memory = None
        await self._master.prepare()
        await asyncio.to_thread(self._files.write_bundles, target)
        await asyncio.to_thread(trying)
        await asyncio.to_thread(self._files.write, target)
        pid = await self._master.reload()
        deadline = self._clock.monotonic() + _NEW_WORKER_SECONDS
        while (await self._answering()) != pid:
            if self._clock.monotonic() > deadline:
                raise NoAnswer("the new worker does not answer")
            await asyncio.sleep(0.02)
        _log.info("HAProxy was reloaded; the worker is %d", pid)
        memory = await self._observed(pid, target)
        self._prover.new_worker()
        return memory

    async def _answering(self) -> int | None:
        try:
            return (await self._runtime.info()).pid
        except NoAnswer:
            return None

    def unused(self, target: Target) -> frozenset[str]:
        """The crt-lists of the target that the worker does not have: someone else's to name."""
        held = self._memory.lists if self._memory is not None else {}
        return frozenset(
            file for file in target.rendered.crt_lists if self._layout.path(file) not in held
        )

    def _in_use(self, memory: Memory, target: Target) -> frozenset[str]:
        """The bundles that belong into memory: HAProxy can take a certificate that no list names.

        It would be lost with the next reload, which is what makes an absent list be used.
        """
        if not self._layout.foreign:
            return target.rendered.bundles
        return frozenset(
            line.bundle
            for file, lines in target.rendered.crt_lists.items()
            if self._layout.path(file) in memory.lists
            for line in lines
        )

    def _fits_runtime(self, memory: Memory, target: Target) -> bool:
        """Whether memory can be brought to the target by commands that are safe in every version."""
        used = self._in_use(memory, target)
        stale = [
            bundle
            for name, bundle in target.bundles.items()
            if name in used
            and not bundle.is_shown_as(memory.certificates.get(self._layout.pem(name), ""))
        ]
        lists_there = self._layout.foreign or all(
            self._layout.path(one) in memory.lists for one in target.rendered.crt_lists
        )
        maps_there = all(self._layout.path(one) in memory.maps for one in target.rendered.maps)
        lines_fit = all(
            len(line) < LARGEST_COMMAND - 500
            for lines in target.rendered.list_texts.values()
            for line in lines
        )
        return (
            lists_there
            and maps_there
            and lines_fit
            # A reload of someone else's HAProxy is for what is impossible otherwise.
            and (self._layout.foreign or len(stale) <= _MOST_CHANGES_AT_RUNTIME)
            and all(bundle.fits_command for bundle in stale)
        )

    async def _at_runtime(
        self, memory: Memory, target: Target, accepted: Callable[[], None]
    ) -> None:
        """Files, then memory; additions, then removals. Does nothing where all is right."""
        await self._install_bundles(memory, target)
        await asyncio.to_thread(accepted)
        await asyncio.to_thread(self._files.write, target)
        for file in target.rendered.crt_lists:
            await self._adjust_list(memory, file, target)
        for file, entries in target.rendered.maps.items():
            await self._adjust_map(memory, file, entries)
        await self._remove_surplus(memory, target)
        await asyncio.to_thread(self._files.clean_up, target)

    async def _install_bundles(self, memory: Memory, target: Target) -> None:
        """Stage in memory, then disk, then commit: what HAProxy cannot read never gets to the disk."""
        before = dict(self._files.bundles)
        stale = sorted(
            name
            for name in self._in_use(memory, target)
            if not target.bundles[name].is_shown_as(
                memory.certificates.get(self._layout.pem(name), "")
            )
        )
        await asyncio.to_thread(partial(self._files.write_bundles, target, but=stale))
        refused = []
        for name in stale:
            bundle, path = target.bundles[name], self._layout.pem(name)
            try:
                await self._runtime.install(
                    path,
                    bundle.pem,
                    is_ours=bundle.is_shown_as,
                    known=path in memory.certificates,
                    staged=partial(asyncio.to_thread, self._files.put_bundle, name, bundle),
                )
                memory.certificates[path] = bundle.sha1
            except Locked:
                raise
            except Refused as error:
                await asyncio.to_thread(self._files.put_bundle, name, before.get(name))
                memory.certificates.setdefault(path, "")
                refused.append(Failed(secret=name, reason="RefusedByHAProxy", message=str(error)))
        if refused:
            raise BundlesRefused(refused)

    async def _adjust_list(self, memory: Memory, file: str, target: Target) -> None:
        path = self._layout.path(file)
        if self._layout.foreign and path not in memory.lists:
            return
        wanted = target.rendered.list_texts[file]
        present = [line.text for line in memory.lists.get(path, ())]
        if present == list(wanted):
            return
        missing = [line for line in wanted if line not in present]
        for text in missing:
            await self._runtime.add_line(path, text)
        kept: set[str] = set()
        for line in await self._runtime.list_lines(path):
            if line.text in wanted and line.text not in kept:
                kept.add(line.text)
            else:
                await self._runtime.delete_line(path, line)
        memory.lists[path] = await self._runtime.list_lines(path)
        if sorted(one.text for one in memory.lists[path]) != sorted(wanted):
            raise NoAnswer("a crt-list in memory has other lines than ours")

    async def _adjust_map(self, memory: Memory, file: str, entries: Mapping[str, str]) -> None:
        path = self._layout.path(file)
        if memory.maps.get(path) != dict(entries):
            await self._runtime.replace_map(path, entries)
            memory.maps[path] = dict(entries)

    async def _remove_surplus(self, memory: Memory, target: Target) -> None:
        """Take certificates that no line names out of memory; their files go afterwards."""
        wanted = {self._layout.pem(name) for name in target.rendered.bundles}
        for path in [one for one in memory.certificates if one not in wanted]:
            await self._runtime.delete_certificate(path)
            del memory.certificates[path]

    def _map_paths(self, target: Target) -> tuple[str, ...]:
        return tuple(self._layout.path(file) for file in target.rendered.maps)
