"""The sweep: our own list of every kind, against what the store holds.

Watches lose things: deletions across a relist, everything after a restore of etcd. So workers start
only after our own first list is covered, and the same list every few minutes repairs the store in
both directions. Neighbours: `store`, `handlers` (through `repaired`), and a `Source` made by `app`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from certfront.engine.keys import Key
from certfront.engine.store import Listing, Object, Store, key_of
from certfront.model.clock import Clock
from certfront.model.meta import revision_of

_log: Final = logging.getLogger(__name__)
_READS_AT_A_TIME: Final = 16
_LOOK_AGAIN: Final = 0.02


class HistoryChanged(Exception):
    """The cluster went back in time (a restore): what this process remembers is worth nothing.

    End the process and start cold.
    """


class Source(Protocol):
    """Live reads of the kinds that the store holds."""

    async def list_metadata(self, kind: str) -> Listing:
        """The metadata of all objects that the kind's watch would give, by a quorum read."""
        ...

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object as it is now, or None if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What one sweep repaired: numbers of objects over all kinds."""

    missed: int
    """Listed, but absent from the store or older there."""
    ghosts: int
    """In the store, but deleted."""


class Sweep:
    """Covers the store at the start and repairs it afterwards.

    `repaired` gets the key of everything that was put right, what was held before and what is there
    now (None: nothing). `patience` is for how many seconds nothing of what is missing may come
    before it is read one by one.
    """

    def __init__(
        self,
        *,
        source: Source,
        store: Store,
        repaired: Callable[[Key, Object | None, Object | None], None],
        clock: Clock,
        interval: float = 300.0,
        patience: float = 5.0,
    ) -> None:
        self._source = source
        self._store = store
        self._repaired = repaired
        self._clock = clock
        self._interval = interval
        self._patience = patience
        self._highest = dict.fromkeys(store.kinds, 0)
        self._covered = asyncio.Event()
        self._last_sweep: float | None = None

    @property
    def covered(self) -> bool:
        """Whether the gate is open: the store has everything of our first list."""
        return self._covered.is_set()

    @property
    def last_sweep(self) -> float | None:
        """When (monotonic seconds) the store was last known to be complete; None: not yet."""
        return self._last_sweep

    async def wait_covered(self) -> None:
        """Return once the gate is open."""
        await self._covered.wait()

    async def cover(self) -> None:
        """List every kind and return once the store covers it; then the gate is open.

        Raises what the source raises: nothing is assumed about a kind that cannot be listed.
        """
        for kind in self._store.kinds:
            listing = await self._list(kind)
            await self._await_store(kind, listing.items)
        self._covered.set()
        self._last_sweep = self._clock.monotonic()

    async def sweep(self) -> SweepReport:
        """List every kind once more and repair the store. Raises HistoryChanged."""
        missed = ghosts = 0
        for kind in self._store.kinds:
            listing = await self._list(kind)
            missed += await self._repair(self._strange(kind, listing))
            ghosts += await self._repair(self._unlisted(kind, listing))
        self._last_sweep = self._clock.monotonic()
        if missed or ghosts:
            _log.warning("the sweep repaired %d missed and %d vanished objects", missed, ghosts)
        return SweepReport(missed=missed, ghosts=ghosts)

    async def run(self, *, transient: tuple[type[Exception], ...] = ()) -> None:
        """Sweep every `interval` seconds for ever; `transient` exceptions wait for the next round.

        Raises HistoryChanged, and every other exception of the source.
        """
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.sweep()
            except transient as error:
                _log.warning("the sweep could not read: %s", error)

    async def _list(self, kind: str) -> Listing:
        # Before the request: what is committed by then is in the answer of a quorum read.
        seen = max(self._highest[kind], self._store.highest_revision(kind))
        listing = await self._source.list_metadata(kind)
        text = listing.resource_version
        revision = int(text) if text.isdecimal() else 0
        if revision < seen:
            raise HistoryChanged(f"the revision of {kind} fell from {seen} to {revision}")
        self._highest[kind] = revision
        return listing

    async def _await_store(self, kind: str, items: list[Object]) -> None:
        waiting = deque(items)
        looked = since = self._clock.monotonic()
        left = len(items)
        while True:
            # Only the next one is looked at: each look at all of thousands would delay their coming.
            while waiting and not self._store.uncovered(kind, (waiting[0],)):
                waiting.popleft()
            if not waiting:
                return
            now = self._clock.monotonic()
            if now - looked >= self._patience / 5:
                # Patience ends with what is missing: other changes, such as heartbeats, never end.
                missing, looked = self._store.uncovered(kind, waiting), now
                if len(missing) != left:
                    left, since = len(missing), now
                elif now - since >= self._patience:
                    # Deleted before the watch began, or lost by it.
                    await self._repair(missing)
                    return
            await asyncio.sleep(_LOOK_AGAIN)

    def _strange(self, kind: str, listing: Listing) -> list[Key]:
        """Listed objects that the store does not have in that incarnation and revision."""
        revision = self._highest[kind]
        strange = []
        for item in listing.items:
            key = key_of(kind, item)
            held = self._store.find(key)
            if held is None or held["metadata"].get("uid") != item["metadata"].get("uid"):
                strange.append(key)
            elif revision_of(held) != revision_of(item) and revision_of(held) <= revision:
                # Newer than the list is news; different below it is history that was lost.
                strange.append(key)
        return strange

    def _unlisted(self, kind: str, listing: Listing) -> list[Key]:
        """Held objects that the list does not have, unless they are newer than the list."""
        listed = {key_of(kind, item) for item in listing.items}
        revision = self._highest[kind]
        return [
            key
            for key in (key_of(kind, obj) for obj in self._store.items(kind))
            if key not in listed and self._held_revision(key) <= revision
        ]

    def _held_revision(self, key: Key) -> int:
        held = self._store.find(key)
        return 0 if held is None else revision_of(held)

    async def _repair(self, keys: Iterable[Key]) -> int:
        """Read each key live into the store; how many were different."""
        repaired = 0
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, _READS_AT_A_TIME)):
            # All of a batch end before an exception of one goes on.
            results = await asyncio.gather(*map(self._read_live, batch), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
                repaired += result
        return repaired

    async def _read_live(self, key: Key) -> bool:
        held = self._store.find(key)
        live = await self._source.get(*key)
        if self._store.find(key) is not held:
            # The watch was faster: what it said is at least as new.
            return False
        if live is None:
            changed = held is not None and self._store.remove(*key)
        else:
            changed = self._store.upsert(key.kind, live)
        if changed:
            self._repaired(key, held, live)
        return changed
