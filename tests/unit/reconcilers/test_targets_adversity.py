"""What kills, stale views, hand-overs, tenants and slow providers may not break at a provider."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from certfront.engine.keys import Key
from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Throttled, Unavailable
from certfront.loadbalancers.handshake import HandshakeFailed, Seen
from certfront.model.meta import FINALIZER, ObjectName
from certfront.reconcilers.targets import probing
from tests.unit.reconcilers.remote_world import BALANCER, RemoteWorld, issued
from tests.unit.reconcilers.shelf import Shelf

DOWN = Unavailable(reasons.PROVIDER_UNAVAILABLE, "No answer.")


async def pass_time(world: RemoteWorld, seconds: float, step: float = 3) -> None:
    for _ in range(int(seconds / step)):
        await world.work(step)


async def test_a_release_that_began_while_the_operator_was_away_is_done_all_the_same(
    world: RemoteWorld,
):
    issued(world)
    key = world.remote_frontend()
    await world.work()
    world.delete(*key)  # the operator is down
    world.clock.advance(200)
    await world.begin_again()
    await pass_time(world, 30)
    assert world.shelf.ports == {}
    assert world.shelf.certificates == {}


async def test_what_is_asked_during_a_handshake_is_done_at_once(
    world: RemoteWorld, monkeypatch: pytest.MonkeyPatch
):
    world.service_balancer(probeAddress="192.0.2.10")
    issued(world)
    issued(world, "other", "other.example.com")
    began, go = asyncio.Event(), asyncio.Event()

    async def probe(target, server_name, context):
        began.set()
        await go.wait()
        return Seen(
            fingerprint=next(
                iter(
                    f
                    for n, f in world.shelf.certificates.items()
                    if n in world.shelf.ports[target[1]]
                )
            ),
            pid=None,
        )

    async def resolve(host, port, addresses):
        return host

    monkeypatch.setattr(probing, "probe", probe)
    monkeypatch.setattr(probing, "_resolve", resolve)
    world.remote_frontend()
    working = asyncio.create_task(world.work())
    await began.wait()
    # while the handshake runs, another frontend comes
    key = world.remote_frontend("other", port=8443)
    await world.run(key)
    await world.queued()
    await world.run(BALANCER)
    world.woken.clear()
    go.set()
    await working
    await pass_time(world, 60)
    assert 8443 in world.shelf.ports


async def test_a_frontend_that_may_not_use_the_balancer_holds_no_removal(world: RemoteWorld):
    """Anyone may create a frontend that names the balancer; it has no grant and no finalizer."""
    issued(world)
    world.remote_frontend()
    await world.work()
    world.namespace("stranger")
    world.frontend("evil", "stranger", loadBalancerRef={"name": "iplb", "namespace": "shop"})
    await world.work()
    old = next(iter(world.shelf.certificates))
    issued(world)
    await pass_time(world, 200)
    assert old not in world.shelf.certificates


async def test_a_foreign_finalizer_on_a_deleted_frontend_holds_no_removal(world: RemoteWorld):
    issued(world)
    issued(world, "other", "other.example.com")
    world.remote_frontend()
    key = world.remote_frontend("other", port=8443)
    await world.work()
    held = world.api.objects[tuple(key)]
    held["metadata"]["finalizers"].append("example.com/mine")
    world.api.put(key.kind, held)
    world.delete(*key)
    await pass_time(world, 120)
    assert FINALIZER not in world.api.objects[tuple(key)]["metadata"]["finalizers"]
    old = next(n for n in world.shelf.certificates if n in world.shelf.ports[443])
    issued(world)
    await pass_time(world, 200)
    assert old not in world.shelf.certificates


async def test_a_renewal_with_claims_is_not_held_for_minutes(world: RemoteWorld):
    world.shelf.claims = True
    issued(world)
    world.remote_frontend()
    await world.work()
    await pass_time(world, 60)
    old = world.shelf.ports[443]
    issued(world)
    await pass_time(world, 30)
    assert world.shelf.ports[443] != old


async def test_a_new_frontend_says_why_it_waits_while_the_provider_is_down(world: RemoteWorld):
    issued(world)
    world.remote_frontend()
    await world.work()
    world.shelf.fail("observe", *[DOWN] * 400)
    await pass_time(world, 900, 5)  # it was noticed at the look of every ten minutes
    assert world.condition(BALANCER, "Ready") == ("False", "ProviderUnavailable")
    issued(world, "other", "other.example.com")
    key = world.remote_frontend("other", port=8443)
    await pass_time(world, 300)
    assert world.status(key).get("observedGeneration") == 1
    assert world.condition(key, "Ready")[0] == "False"


async def test_a_start_while_the_provider_is_down_forgets_no_handle(world: RemoteWorld):
    issued(world)
    key = world.remote_frontend()
    await world.work()
    before = world.status(key)["installed"]
    assert before[0]["providerID"]
    world.shelf.fail("observe", *[DOWN] * 400)
    issued(world)  # renewed
    await world.begin_again()
    await pass_time(world, 120)
    after = world.status(key).get("installed", [])
    assert before[0]["fingerprint"] in [one["fingerprint"] for one in after]
    assert before[0]["providerID"] in [one.get("providerID") for one in after]


async def test_a_start_while_the_provider_is_down_keeps_the_provider_id(world: RemoteWorld):
    issued(world)
    key = world.remote_frontend()
    await world.work()
    before = world.status(key)["installed"]
    spec = {**world.api.objects[tuple(key)]["spec"], "redirectLocation": "https://new.example/"}
    world.shelf.fail("observe", *[DOWN] * 400)
    world._apply(key.kind, "certfront.io/v1alpha1", "shop", "shop", spec=spec)
    await world.begin_again()
    await pass_time(world, 120)
    assert world.status(key)["installed"][0].get("providerID") == before[0]["providerID"]


async def test_a_changed_default_moves_nothing_that_is_installed_at_a_provider(
    world: RemoteWorld, shelf: Shelf
):
    """What was installed there is told apart from what is new only once one of the two is gone."""
    issued(world)
    world.restart(default_load_balancer="shop/iplb")
    world.woken.clear()
    key = world.frontend("shop")
    await world.work()
    await world.targets.stop(1)
    world.balancer()
    world.restart(default_load_balancer="edge/haproxy")
    world.woken.clear()
    for kind, namespace, name in list(world.api.objects):
        if kind in ("LoadBalancer", "LoadBalancerFrontend"):
            world.context.queue.add(Key(kind, namespace, name))
    for _ in range(40):
        await world.work(5)
    assert world.condition(key, "Ready") == ("True", "Served")
    assert world.status(key)["loadBalancer"] == "shop/iplb"
    assert 443 in shelf.ports
    assert shelf.certificates


async def test_a_frontend_follows_the_default_when_its_load_balancer_goes(
    world: RemoteWorld, shelf: Shelf
):
    issued(world)
    world.balancer()
    world.restart(default_load_balancer="shop/iplb")
    world.woken.clear()
    key = world.frontend("shop")
    await world.work()
    await world.targets.stop(1)
    world.restart(default_load_balancer="edge/haproxy")
    world.woken.clear()
    for kind, namespace, name in list(world.api.objects):
        if kind in ("LoadBalancer", "LoadBalancerFrontend"):
            world.context.queue.add(Key(kind, namespace, name))
    await world.work()
    world.delete("LoadBalancer", "shop", "iplb")
    for _ in range(60):
        world.node()
        await world.work(5)
    assert world.status(key)["loadBalancer"] == "edge/haproxy"
    assert world.condition(key, "Ready") == ("True", "Served")
    assert shelf.ports == {}
    assert shelf.certificates == {}


async def test_a_secret_that_goes_just_after_a_renewal_brings_the_old_one_not_back(
    world: RemoteWorld, shelf: Shelf
):
    issued(world)
    world.remote_frontend()
    await world.work()
    issued(world)
    await world.work()
    new = shelf.ports[443]
    world.delete("Secret", "shop", "shop")
    await pass_time(world, 200)
    assert shelf.ports[443] == new


async def test_another_service_is_not_planned_on_what_the_former_had(
    world: RemoteWorld, shelf: Shelf
):
    """The spec changes while an exchange with the former service runs."""
    issued(world)
    world.remote_frontend()
    gate, inside = asyncio.Event(), asyncio.Event()
    kind_build = shelf._build
    provider_calls: list[tuple[int, str]] = []

    working = None
    world.targets.of(ObjectName("shop", "iplb"))

    class Slow:
        def __init__(self, inner, number):
            self.inner, self.number, self.closed = inner, number, False

        async def observe(self, wish):
            provider_calls.append((self.number, "observe"))
            return await self.inner.observe(wish)

        async def look(self, wish, seen):
            return await self.inner.look(wish, seen)

        def plan(self, wish, seen):
            return self.inner.plan(wish, seen)

        async def execute(self, operation, seen):
            provider_calls.append(
                (self.number, operation.key.split()[0] + (" closed" if self.closed else ""))
            )
            if self.number == 1 and not gate.is_set():
                inside.set()
                await gate.wait()
            return await self.inner.execute(operation, seen)

        async def close(self):
            self.closed = True

    import dataclasses

    from certfront.loadbalancers import registry

    counter = [0]

    def build(spec, credentials, environment):
        counter[0] += 1
        return Slow(kind_build(spec, credentials, environment), counter[0])

    registry.KINDS["OVH"] = dataclasses.replace(registry.KINDS["OVH"], build=build)
    working = asyncio.create_task(world.work())
    await inside.wait()
    world.credentials("other")
    await world.run(BALANCER)
    gate.set()
    await working
    await world.work(3)
    second = [what for number, what in provider_calls if number == 2]
    assert second[:1] == ["observe"], provider_calls


async def test_a_younger_balancer_takes_over_when_the_older_is_gone(world: RemoteWorld):
    await world.work()
    world.clock.advance(60)
    world.service_balancer("again")
    await world.work()
    again = Key("LoadBalancer", "shop", "again")
    world.delete(*BALANCER)
    await pass_time(world, 900, 10)
    assert tuple(BALANCER) not in world.api.objects
    assert world.condition(again, "Ready") == ("True", "Available")


async def test_nothing_is_asked_without_a_pause_where_retry_after_is_zero(
    world: RemoteWorld, shelf: Shelf
):
    issued(world)
    world.remote_frontend()
    shelf.fail("observe", *[Throttled(reasons.RATE_LIMITED, "Pause.", retry_after=0.0)] * 5000)
    with contextlib.suppress(AssertionError):
        await world.work()
    assert len(shelf.calls) < 10


async def test_a_balancer_whose_spec_changed_is_not_ready_before_it_was_asked(
    world: RemoteWorld, shelf: Shelf
):
    issued(world)
    world.remote_frontend()
    await world.work()
    shelf.fail("observe", *[Denied(reasons.CREDENTIALS_REFUSED, "No.")] * 100)
    spec = world.api.objects[tuple(BALANCER)]["spec"]
    world._apply(
        "LoadBalancer",
        "certfront.io/v1alpha1",
        "shop",
        "iplb",
        spec={**spec, "ovh": {**spec["ovh"], "serviceName": "ip-2"}},
    )
    seen = []
    original = world.api.patch_status

    async def watching(resource, namespace, name, **given):
        if resource.kind == "LoadBalancer" and name == "iplb":
            ready = next(c for c in given["status"]["conditions"] if c["type"] == "Ready")
            seen.append((given["status"]["observedGeneration"], ready["status"], ready["reason"]))
        return await original(resource, namespace, name, **given)

    world.api.patch_status = watching
    await world.work()
    await world.work(3)
    generation = world.api.objects[tuple(BALANCER)]["metadata"]["generation"]
    assert (generation, "True", "Available") not in seen, seen


async def test_a_frontend_deleted_while_handshakes_run_is_no_defect(
    world, shelf, monkeypatch, caplog
):
    world.service_balancer(probeAddress="192.0.2.10")
    for n in range(10):
        issued(world, f"c{n}", f"c{n}.example.com")
        world.remote_frontend(f"c{n}", port=9000 + n)
    began, go = asyncio.Event(), asyncio.Event()

    async def probe(target, server_name, context):
        began.set()
        await go.wait()
        raise HandshakeFailed("no connection")

    async def resolve(host, port, addresses):
        return host

    monkeypatch.setattr(probing, "probe", probe)
    monkeypatch.setattr(probing, "_resolve", resolve)
    working = asyncio.create_task(world.work())
    await began.wait()
    world.delete("LoadBalancerFrontend", "shop", "c9")
    await world.run(Key("LoadBalancerFrontend", "shop", "c9"))
    go.set()
    await working
    assert "work on a load balancer failed" not in caplog.text


async def test_a_defect_about_one_frontend_holds_no_other(world: RemoteWorld, shelf: Shelf):
    issued(world)
    issued(world, "other", "other.example.com")
    shelf.fail("upload", *[ValueError("odd")] * 1000)
    called = shelf.called

    def only_first(call):
        if call.startswith("upload") and "shop-other" in call:
            shelf.calls.append(call)
            return
        called(call)

    shelf.called = only_first
    world.remote_frontend()
    second = world.remote_frontend("other", port=8443)
    await pass_time(world, 120)
    assert world.condition(second, "Ready") == ("True", "Served")


async def test_a_withdrawn_grant_leaves_removals_possible(world: RemoteWorld, shelf: Shelf):
    world.namespace("guest")
    world.service_balancer(grants=[{"namespaces": {"names": ["guest"]}, "hostnames": ["*"]}])
    issued(world)
    world.remote_frontend()
    made_pair = __import__("tests.unit.reconcilers.test_frontends", fromlist=["pair"]).pair(
        "g.example.com"
    )
    world.certificate("g", "guest", names=["g.example.com"])
    world.secret(made_pair, "g", "guest", of="guest/g")
    world.frontend("g", "guest", loadBalancerRef={"name": "iplb", "namespace": "shop"}, port=8443)
    await world.work()
    assert 8443 in shelf.ports
    world.service_balancer(grants=[])
    await pass_time(world, 60)
    assert 8443 not in shelf.ports
    old = next(n for n in shelf.certificates if n in shelf.ports[443])
    issued(world)
    await pass_time(world, 200)
    assert old not in shelf.certificates
