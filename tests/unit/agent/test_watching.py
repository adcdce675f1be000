"""The watch over the Secrets: it catches up after everything, and a failure takes nothing away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from certfront.agent.inbox import Inbox
from certfront.agent.watching import Watcher
from certfront.kube import backoff
from certfront.kube.errors import ApiError, Forbidden, Unreachable
from certfront.loadbalancers.haproxy import handover
from certfront.model.clock import FrozenClock
from certfront.model.meta import ObjectName
from tests.unit.agent.fake_api import FakeApi
from tests.unit.loadbalancers.haproxy.manifests import manifest

LB = ObjectName("edge", "haproxy")
ONE, TWO = manifest("shop/one"), manifest("shop/two")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_SHORTEST", 0.001)


class Watched:
    """A watcher that runs, its inbox and its API server."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.inbox = Inbox("haproxy")
        self.clock = FrozenClock()
        self.changed = asyncio.Event()
        self.watcher = Watcher(
            self.api,
            self.clock,
            self.inbox,
            namespace="edge",
            load_balancer="haproxy",
            changed=self.changed.set,
        )

    def put(self, held: handover.Manifest, *, silently: bool = False) -> None:
        self.api.put(handover.manifest_secret(LB, held), silently=silently)

    def held(self) -> set[str]:
        return {one.frontend for one in self.inbox.snapshot().manifests.values()}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - conditions of many kinds
                await asyncio.sleep(0.001)


@asynccontextmanager
async def watched(*manifests: handover.Manifest) -> AsyncIterator[Watched]:
    made = Watched()
    for held in manifests:
        made.put(held)
    task = asyncio.create_task(made.watcher.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_list_and_every_event_are_taken() -> None:
    async with watched(ONE) as world:
        await world.until(lambda: world.held() == {"shop/one"})
        world.put(TWO)
        await world.until(lambda: world.held() == {"shop/one", "shop/two"})
        world.api.delete_secret(handover.manifest_secret(LB, ONE)["metadata"]["name"])
        await world.until(lambda: world.held() == {"shop/two"})
        assert world.inbox.resource_version == str(world.api.revision)
        assert world.changed.is_set()


@pytest.mark.parametrize("error", [Unreachable, Forbidden])
async def test_errors_take_nothing_and_what_was_missed_is_caught_up(error: type[ApiError]) -> None:
    async with watched(ONE) as world:
        await world.until(lambda: world.held() == {"shop/one"})
        world.api.outage(error)
        world.put(TWO, silently=True)
        await world.until(lambda: world.api.refused > 2)
        assert world.held() == {"shop/one"}
        world.api.outage(None)
        await world.until(lambda: world.held() == {"shop/one", "shop/two"})
        # By the watch, from where it was: no second list.
        assert world.api.lists == 1


async def test_an_api_server_that_is_away_at_the_start_is_waited_for() -> None:
    made = Watched()
    made.api.outage(Unreachable)
    made.put(ONE)
    task = asyncio.create_task(made.watcher.run())
    await made.until(lambda: made.api.refused > 2)
    assert made.inbox.resource_version == ""
    made.api.outage(None)
    await made.until(lambda: made.held() == {"shop/one"})
    task.cancel()


async def test_history_that_went_back_is_listed_anew() -> None:
    """A restored etcd answers "too large resource version": what it holds is the truth."""
    async with watched(ONE, TWO) as world:
        await world.until(lambda: len(world.held()) == 2)
        world.api.secrets.pop(handover.manifest_secret(LB, TWO)["metadata"]["name"])
        world.api.revision -= 500
        for secret in world.api.secrets.values():
            secret["metadata"]["resourceVersion"] = "400"
        world.api.outage(None)
        await world.until(lambda: world.held() == {"shop/one"})
        assert world.inbox.resource_version == str(world.api.revision)


async def test_a_deaf_watch_is_noticed_by_the_audit() -> None:
    async with watched(ONE) as world:
        await world.until(lambda: world.held() == {"shop/one"})
        world.put(TWO, silently=True)
        # The server ends the watch after some minutes; the next one starts after what was missed.
        world.inbox.reached(str(world.api.revision))
        world.clock.advance(301)
        world.api.outage(None)
        await world.until(lambda: world.held() == {"shop/one", "shop/two"})
