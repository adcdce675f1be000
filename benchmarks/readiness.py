"""Who is Ready, learned from one watch: nothing is listed and nothing is polled."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from benchmarks.api import CERTIFICATES, Api
from benchmarks.errors import BenchError

Name = tuple[str, str]
"""Namespace and name."""

_AGAIN_SECONDS = 0.2


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    namespace: str = ""
    name: str = ""
    generation: int = 0
    resource_version: str = ""


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    observed_generation: int = -1
    fingerprint: str = ""
    conditions: list[_Condition] = []


class _Certificate(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    # A Status object, which ends a watch, has a word there.
    status: _Status | str | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: _Certificate


class Readiness:
    """Watches all Certificates while the context lasts. Times are those of the wall clock."""

    def __init__(self, api: Api) -> None:
        self.changed_at = 0.0
        self._api = api
        self._ready: dict[Name, str] = {}
        self._known: set[Name] = set()
        self._news = asyncio.Event()
        self._decoder = msgspec.json.Decoder(_Event)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        revision = await self._api.revision(CERTIFICATES)
        self._task = asyncio.create_task(self._follow(revision), name="watch")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def fingerprint(self, name: Name) -> str:
        """The fingerprint in status, lower-case without colons; empty while it is not Ready."""
        return self._ready.get(name, "")

    async def all_ready(self, names: Iterable[Name], seconds: float) -> float:
        """Return when all are Ready, and at what time the last one was. Raises BenchError."""
        missing = set(names)

        def done() -> bool:
            missing.difference_update(self._ready)
            return not missing

        await self._until(done, seconds, lambda: f"{len(missing)} Certificates to be Ready")
        return self.changed_at

    async def all_known(self, names: Iterable[Name], seconds: float) -> None:
        """Return when the watch has shown all of them. Raises BenchError."""
        wanted = set(names)
        await self._until(lambda: wanted <= self._known, seconds, lambda: "the watch to catch up")

    async def all_gone(self, seconds: float) -> None:
        """Return when there is no Certificate left. Raises BenchError."""
        await self._until(
            lambda: not self._known, seconds, lambda: f"{len(self._known)} Certificates to be gone"
        )

    async def _until(
        self, done: Callable[[], bool], seconds: float, what: Callable[[], str]
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    self._check()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise BenchError(f"waited {seconds:.0f} s for {what()}") from None

    def _check(self) -> None:
        if self._task is not None and self._task.done():
            self._task.result()

    async def _follow(self, revision: str) -> None:
        try:
            while True:
                revision = await self._watch(revision)
                await asyncio.sleep(_AGAIN_SECONDS)
        finally:
            self._news.set()

    async def _watch(self, revision: str) -> str:
        with suppress(aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
            async for line in self._api.watched(CERTIFICATES, revision):
                event = self._decoder.decode(line)
                if event.type == "ERROR":
                    raise BenchError("the watch was ended by the server: its revision is too old")
                revision = event.object.metadata.resource_version
                if event.type != "BOOKMARK":
                    self._learn(event)
        return revision

    def _learn(self, event: _Event) -> None:
        name = (event.object.metadata.namespace, event.object.metadata.name)
        if event.type == "DELETED":
            self._known.discard(name)
            self._ready.pop(name, None)
        else:
            self._known.add(name)
            self._note(name, event.object)
        self._news.set()

    def _note(self, name: Name, certificate: _Certificate) -> None:
        status = certificate.status
        if not isinstance(status, _Status) or not _is_ready(certificate, status):
            self._ready.pop(name, None)
        elif self._ready.get(name) != (shown := status.fingerprint.replace(":", "").lower()):
            self._ready[name] = shown
            self.changed_at = time.time()


def _is_ready(certificate: _Certificate, status: _Status) -> bool:
    return status.observed_generation == certificate.metadata.generation and any(
        condition.type == "Ready" and condition.status == "True" for condition in status.conditions
    )
