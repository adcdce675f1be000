"""The watch that tells who is Ready, against an API that is a list of lines."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from benchmarks.api import Api
from benchmarks.errors import BenchError
from benchmarks.readiness import Readiness

NAME = ("shop", "www")


class Lines:
    """Stands for the API server: shows what is put into it, and never ends."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = asyncio.Queue[dict[str, Any]]()
        for event in events:
            self.show(event)

    def show(self, event: dict[str, Any]) -> None:
        self._events.put_nowait(event)

    async def revision(self, _template: str) -> str:
        return "1"

    async def watched(self, _template: str, _revision: str) -> AsyncIterator[bytes]:
        while True:
            yield json.dumps(await self._events.get()).encode() + b"\n"


def event(
    kind: str = "MODIFIED", *, ready: str = "True", generation: int = 1, observed: int = 1
) -> dict[str, Any]:
    return {
        "type": kind,
        "object": {
            "metadata": {
                "namespace": "shop",
                "name": "www",
                "generation": generation,
                "resourceVersion": "2",
            },
            "status": {
                "observedGeneration": observed,
                "fingerprint": "AB:CD",
                "conditions": [{"type": "Ready", "status": ready, "reason": "x"}],
            },
        },
    }


def watching(*events: dict[str, Any]) -> tuple[Lines, Readiness]:
    lines = Lines(*events)
    return lines, Readiness(cast("Api", lines))


async def test_a_ready_certificate_is_told_with_its_fingerprint() -> None:
    _, readiness = watching({"type": "BOOKMARK", "object": {"metadata": {}}}, event())
    async with readiness:
        assert await readiness.all_ready([NAME], 10) > 0
        assert readiness.fingerprint(NAME) == "abcd"


@pytest.mark.parametrize(
    "shown",
    [
        event(ready="False"),
        event(generation=2),
        event("ADDED", observed=-1),
        {"type": "ADDED", "object": {"metadata": event()["object"]["metadata"]}},
    ],
    ids=["not-ready", "older-generation", "untouched", "no-status"],
)
async def test_what_is_not_ready_is_waited_for(shown: dict[str, Any]) -> None:
    lines, readiness = watching(shown)
    async with readiness:
        await readiness.all_known([NAME], 10)
        assert readiness.fingerprint(NAME) == ""
        lines.show(event())
        await readiness.all_ready([NAME], 10)


async def test_a_deleted_certificate_is_gone() -> None:
    lines, readiness = watching(event())
    async with readiness:
        await readiness.all_ready([NAME], 10)
        lines.show(event("DELETED"))
        await readiness.all_gone(10)
        assert readiness.fingerprint(NAME) == ""


async def test_what_never_comes_is_named() -> None:
    _, readiness = watching()
    async with readiness:
        with pytest.raises(BenchError, match="1 Certificates to be Ready"):
            await readiness.all_ready([NAME], 0.01)


async def test_a_watch_that_the_server_gives_up_ends_the_wait() -> None:
    gone = {"type": "ERROR", "object": {"metadata": {}, "status": "Failure", "code": 410}}
    _, readiness = watching(gone)
    with pytest.raises(BenchError, match="too old"):
        async with readiness:
            await readiness.all_ready([NAME], 10)
