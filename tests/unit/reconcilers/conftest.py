"""A load balancer at a provider in memory, and what handshakes with it show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from certfront.loadbalancers import registry
from certfront.loadbalancers.handshake import HandshakeFailed, Seen
from certfront.reconcilers.targets import probing
from tests.unit.reconcilers.remote_world import RemoteWorld
from tests.unit.reconcilers.shelf import CAPABILITIES, Shelf


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def world(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RemoteWorld]:
    monkeypatch.setitem(registry.KINDS, "OVH", shelf.kind())  # type: ignore[arg-type]
    monkeypatch.setitem(registry.CAPABILITIES, "OVH", CAPABILITIES)  # type: ignore[arg-type]
    made = RemoteWorld(shelf)
    yield made
    await made.targets.stop(1)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What handshakes show, the last of it for ever; "" for none."""
    answers: list[str] = []

    async def probe(target: Any, server_name: Any, context: Any) -> Seen:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if not answer:
            raise HandshakeFailed("no connection")
        return Seen(fingerprint=answer, pid=None)

    async def resolve(host: str, port: int, addresses: Any) -> str:
        return host

    monkeypatch.setattr(probing, "probe", probe)
    monkeypatch.setattr(probing, "_resolve", resolve)
    return answers
