"""The agent's loop with a real HAProxy and an API server in memory: watch, serve, report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import pytest

from certfront.agent.node import Agent
from certfront.kube.client import ApiClient
from certfront.kube.errors import ApiError, Forbidden, Unreachable
from certfront.loadbalancers.handshake import HandshakeFailed
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.watermark import served
from certfront.model.clock import SystemClock
from certfront.model.meta import ObjectName
from tests.integration.agent.harness import (
    LOAD_BALANCER,
    Site,
    bundle_name,
    fingerprint,
    manifest,
    manifest_name,
    pair,
    until,
)
from tests.integration.agent.test_node import shown
from tests.unit.agent.fake_api import FakeApi


def bundle(source: str, tls: tuple[bytes, bytes]) -> dict[str, Any]:
    return handover.bundle_secret(
        LOAD_BALANCER,
        kind="Certificate",
        source=ObjectName("shop", source),
        tls_crt=tls[0],
        tls_key=tls[1],
    )


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@asynccontextmanager
async def running(site: Site, api: FakeApi) -> AsyncIterator[Agent]:
    port = site.port(8443)
    options = replace(site.options, health_address=f"{site.address}:{port}")
    agent = Agent(options, cast("ApiClient", api), SystemClock())
    stopping = asyncio.Event()
    task = asyncio.create_task(agent.serve(stopping))
    try:
        yield agent
    finally:
        stopping.set()
        async with asyncio.timeout(20):
            await task


def has_passed(api: FakeApi, *secrets: str, name: str = "node-1") -> Callable[[], bool]:
    """Whether the node's watermark says that these Secrets, as they are now, are served."""
    wanted = max(int(api.secrets[one]["metadata"]["resourceVersion"]) for one in secrets)

    def ask() -> bool:
        lease = api.node(name)
        verdict = served(
            [lease] if lease else [],
            resource_version=str(wanted),
            secrets=secrets,
            min_nodes=1,
            now=datetime.now(UTC),
        )
        return verdict.served

    return ask


async def ready(site: Site, path: str = "readyz") -> bool:
    """Whether the endpoint answers 200."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{site.address}:{site.port(8443)}/{path}") as response,
        ):
            return response.status == 200
    except aiohttp.ClientConnectorError:
        return False


async def test_secrets_are_served_and_reported_and_the_lease_goes_with_the_agent(
    site: Site, api: FakeApi
) -> None:
    tls = pair("a.example")
    api.put(bundle("a", tls))
    api.put(handover.manifest_secret(LOAD_BALANCER, manifest()))
    async with running(site, api):
        await until(has_passed(api, bundle_name("a"), manifest_name("shop/shop")))
        assert await shown(site, "a.example") == fingerprint(tls[0])
        assert await ready(site)
        assert await ready(site, "healthz")
        rotated = pair("a.example")
        api.put(bundle("a", rotated))
        await until(has_passed(api, bundle_name("a")))
        assert await shown(site, "a.example") == fingerprint(rotated[0])
    assert api.leases == {}
    assert await shown(site, "a.example") == fingerprint(rotated[0])


async def test_a_bad_bundle_is_listed_and_heals(site: Site, api: FakeApi) -> None:
    tls = pair("a.example")
    api.put(bundle("a", (tls[0], pair("a.example")[1])))
    api.put(handover.manifest_secret(LOAD_BALANCER, manifest()))
    async with running(site, api):
        await until(lambda: bool((node := api.node()) and node.watermark))
        node = api.node()
        assert node is not None
        assert node.watermark is not None
        assert [(one.secret, one.reason) for one in node.watermark.failed] == [
            (bundle_name("a"), "KeyMismatch")
        ]
        assert not has_passed(api, bundle_name("a"))()
        api.put(bundle("a", tls))
        await until(has_passed(api, bundle_name("a")))


@pytest.mark.parametrize("error", [Unreachable, Forbidden], ids=["away", "RBAC"])
async def test_an_api_server_that_fails_takes_nothing_away_and_is_caught_up_with(
    site: Site, api: FakeApi, error: type[ApiError]
) -> None:
    tls = pair("a.example")
    api.put(bundle("a", tls))
    api.put(handover.manifest_secret(LOAD_BALANCER, manifest()))
    async with running(site, api):
        await until(has_passed(api, bundle_name("a")))
        api.outage(error)
        rotated = pair("a.example")
        api.put(bundle("a", rotated), silently=True)
        assert await shown(site, "a.example") == fingerprint(tls[0])
        assert await ready(site)
        api.outage(None)
        await until(has_passed(api, bundle_name("a")))
        assert await shown(site, "a.example") == fingerprint(rotated[0])


async def test_an_agent_without_an_api_server_is_ready_from_disk(site: Site, api: FakeApi) -> None:
    tls = pair("a.example")
    api.put(bundle("a", tls))
    api.put(handover.manifest_secret(LOAD_BALANCER, manifest()))
    async with running(site, api):
        await until(has_passed(api, bundle_name("a")))
    site.haproxy.stop()
    api.outage(Unreachable)
    await site.haproxy.start()
    async with running(site, api):
        await until(lambda: ready(site))
        assert await shown(site, "a.example") == fingerprint(tls[0])


async def test_haproxy_down_makes_the_node_not_ready_and_no_longer_counted(
    site: Site, api: FakeApi
) -> None:
    api.put(bundle("a", pair("a.example")))
    api.put(handover.manifest_secret(LOAD_BALANCER, manifest()))
    async with running(site, api):
        passed = has_passed(api, bundle_name("a"))
        await until(passed)
        site.haproxy.stop()

        async def not_ready() -> bool:
            return not await ready(site)

        await until(not_ready)
        await until(lambda: not passed())
        await site.haproxy.start()
        await until(lambda: ready(site))
        await until(passed)


async def test_a_deleted_manifest_is_served_on_and_a_released_one_is_not(
    site: Site, api: FakeApi
) -> None:
    tls = pair("a.example")
    api.put(bundle("a", tls))
    api.put(handover.manifest_secret(LOAD_BALANCER, manifest()))
    async with running(site, api):
        await until(has_passed(api, manifest_name("shop/shop")))
        api.delete_secret(manifest_name("shop/shop"))
        api.put(bundle("b", pair("b.example")))
        await until(has_passed(api, bundle_name("b")))
        assert await shown(site, "a.example") == fingerprint(tls[0])
        api.put(handover.manifest_secret(LOAD_BALANCER, handover.released(manifest())))
        await until(has_passed(api, manifest_name("shop/shop")))
        with pytest.raises(HandshakeFailed):
            await shown(site, "a.example")
