"""Domains of serialization: what may not be changed by two hands at a time.

A domain is a text that names a load balancer (one mutation at a time) or an ACME account (some orders
at a time). Reconcilers enter a domain around an external step. `owns` is for replicas that share the
work: one active replica, as there is now, owns every domain.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from certfront.engine.results import Retry

_ASK_AGAIN: Final = 0.5


class DomainBusy(Retry):
    """Others are at work in the domain: the worker is freed and the key asked again soon."""


class _Slots:
    """The free places of one domain, and how many hold or wait for one."""

    __slots__ = ("free", "limit", "users")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.free = asyncio.Semaphore(limit)
        self.users = 0


def shard_of(domain: str, shards: int) -> int:
    """The shard, of so many, that a domain belongs to: stable over processes and versions."""
    return int.from_bytes(hashlib.sha256(domain.encode()).digest()[:8], "big") % shards


class Domains:
    """The domains in use by this process; those not in use take no memory."""

    def __init__(self, *, shard: int = 0, shards: int = 1) -> None:
        if not 0 <= shard < shards:
            raise ValueError("the shard is one of the shards")
        self._shard = shard
        self._shards = shards
        self._slots: dict[str, _Slots] = {}

    def owns(self, domain: str) -> bool:
        """Whether this replica acts for the domain."""
        return shard_of(domain, self._shards) == self._shard

    @asynccontextmanager
    async def exclusive(self, domain: str, *, patience: float | None = None) -> AsyncIterator[None]:
        """Be the only one in the domain. After `patience` seconds of waiting raises DomainBusy.

        Without patience it waits; with 0 it takes a free domain or none.
        """
        async with self.bounded(domain, limit=1, patience=patience):
            yield

    @asynccontextmanager
    async def bounded(
        self, domain: str, *, limit: int = 8, patience: float | None = None
    ) -> AsyncIterator[None]:
        """Be one of at most `limit` in the domain; `patience` as in `exclusive`.

        Raises ValueError if the domain is in use with another limit.
        """
        slots = self._slots.get(domain)
        if slots is None:
            slots = self._slots[domain] = _Slots(limit)
        if slots.limit != limit:
            raise ValueError("a domain has one limit")
        slots.users += 1
        try:
            await _enter(slots.free, patience)
            try:
                yield
            finally:
                slots.free.release()
        finally:
            slots.users -= 1
            if slots.users == 0:
                del self._slots[domain]

    def in_use(self) -> int:
        """How many domains someone holds or waits for."""
        return len(self._slots)


async def _enter(free: asyncio.Semaphore, patience: float | None) -> None:
    if patience is None:
        await free.acquire()
        return
    try:
        async with asyncio.timeout(patience):
            await free.acquire()
    except TimeoutError:
        raise DomainBusy("the domain is in use", after=_ASK_AGAIN) from None
