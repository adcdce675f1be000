"""The world of the reconcilers with a load balancer that a provider runs, worked off until it rests."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from certfront.engine.keys import Key
from certfront.model.meta import ObjectName
from certfront.pki.pair import KeyPair
from tests.unit.reconcilers.frontend_world import World
from tests.unit.reconcilers.shelf import Shelf
from tests.unit.reconcilers.test_frontends import pair

TARGET = ObjectName("shop", "iplb")
BALANCER = Key("LoadBalancer", *TARGET)


class RemoteWorld(World):
    """The world with a service at a provider, its credentials, and a queue that is worked off."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__()
        self.shelf = shelf
        self.namespace("shop")
        self.service_balancer()
        self.credentials("right")

    def service_balancer(self, name: str = "iplb", **spec: Any) -> None:
        ovh = {
            "endpoint": "ovh-eu",
            "serviceName": "ip-1",
            "credentialsSecretRef": {"name": "ovh-api"},
        }
        self._apply(
            "LoadBalancer",
            "certfront.io/v1alpha1",
            "shop",
            name,
            spec={"type": "OVH", "ovh": ovh, **spec},
        )

    def credentials(self, token: str) -> None:
        data = {"token": base64.b64encode(token.encode()).decode()}
        labels = {"certfront.io/secret": "source"}
        self._apply("Secret", "v1", "shop", "ovh-api", data=data, labels=labels)

    def remote_frontend(self, name: str = "shop", **spec: Any) -> Key:
        given = {"loadBalancerRef": {"name": "iplb"}, "redirectLocation": "", **spec}
        return self.frontend(name, **{key: value for key, value in given.items() if value != ""})

    async def work(self, seconds: float = 0.0) -> None:
        """Let time pass and everything that is woken run, tasks included, until nothing moves."""
        if seconds:
            self.clock.advance(seconds)
        for _ in range(200):
            self.context.queue.promote_due()
            ready = {*self.woken, *await self.queued()}
            self.woken.clear()
            for key in sorted(ready):
                if key.kind in ("LoadBalancer", "LoadBalancerFrontend"):
                    delay = await self.run(key)
                    if delay is not None:
                        self.context.queue.add_after(key, delay)
            working = [
                target._task
                for target in self.targets._targets.values()
                if target._task is not None and not target._task.done()
            ]
            if working:
                await asyncio.wait(working)
            self.context.queue.promote_due()
            if not (self.woken or working or self.context.queue.depth()):
                return
        raise AssertionError("it never comes to rest")

    async def begin_again(self) -> None:
        """Another process, with nothing in memory but what the store holds."""
        await self.targets.stop(1)
        self.restart()
        self.woken.clear()
        for kind, namespace, name in list(self.api.objects):
            if kind in ("LoadBalancer", "LoadBalancerFrontend"):
                self.context.queue.add(Key(kind, namespace, name))

    def writes_of(self, kind: str) -> list[str]:
        return [one for one in self.api.writes if kind in one]


def issued(
    world: World, name: str = "shop", hostname: str = "shop.example.com", **given: Any
) -> KeyPair:
    found = pair(hostname, **given)
    world.certificate(name, names=[hostname])
    world.secret(found, name, of=f"shop/{name}")
    return found
