"""LoadBalancers: nodes folded into the status, what is left over, and the end of one."""

import base64
import copy
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from certfront.engine.keys import Key
from certfront.kube.errors import Forbidden
from certfront.loadbalancers.haproxy.handover import ManifestCertificate, manifest_secret
from certfront.loadbalancers.haproxy.watermark import Failed
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.reconcilers.frontends.handover import manifest_name
from certfront.reconcilers.parsed import Parsed
from certfront.reconcilers.wakeups import matters_to_frontends
from tests.unit.reconcilers.frontend_world import EDGE, World
from tests.unit.reconcilers.test_frontends import pair, served

BALANCER = Key("LoadBalancer", "edge", "haproxy")


@pytest.fixture
def world() -> World:
    return World()


async def test_nodes_are_folded_into_the_status_and_a_heartbeat_changes_nothing(
    world: World,
) -> None:
    world.node("node-2", revision=7)
    world.node("node-1", revision=7)
    await world.run(BALANCER)
    status = world.status(BALANCER)
    assert [node["name"] for node in status["nodes"]] == ["node-1", "node-2"]
    assert status["readyNodes"] == 2
    assert world.condition(BALANCER, "Ready") == ("True", "Available")
    assert status["capabilities"]["keyTypes"] == ["ECDSA", "RSA", "Ed25519"]
    world.api.writes.clear()
    world.clock.advance(5)
    world.node("node-1", revision=7)
    await world.run(BALANCER)
    assert world.api.writes == []


async def test_a_node_that_falls_silent_is_noticed_by_time_alone(world: World) -> None:
    world.balancer(haproxy={"minNodes": 2})
    world.node("node-1", revision=7)
    world.node("node-2", revision=7)
    assert await world.run(BALANCER) == pytest.approx(15.2)
    world.clock.advance(15.2)
    world.node("node-1", revision=7)
    delay = await world.run(BALANCER)
    assert delay is not None
    assert world.condition(BALANCER, "Ready") == ("False", "TooFewNodes")
    assert world.condition(BALANCER, "Reconciling") == ("True", "TooFewNodes")
    assert "node-2 sent no heartbeat" in world.message(BALANCER)
    assert world.events == ["TooFewNodes"]


async def test_how_far_a_node_is_beyond_what_there_is_to_serve_is_no_news(world: World) -> None:
    """Every bookmark of a watch brings a higher revision, in a cluster that others write to."""
    await served(world)
    world.node(revision=10_000)
    await world.run(BALANCER)
    shown = world.status(BALANCER)["nodes"][0]["revision"]
    assert 100 <= int(shown) < 10_000
    world.api.writes.clear()
    for revision in range(10_001, 10_004):
        world.clock.advance(11)
        world.node(revision=revision)
        await world.run(BALANCER)
    assert world.api.writes == []


async def test_a_burst_of_progress_is_folded_in_once(world: World) -> None:
    await served(world)
    world.node(revision=7)
    await world.run(BALANCER)
    world.api.writes.clear()
    for revision in range(8, 17):
        world.clock.advance(1)
        world.node(revision=revision)
        await world.run(BALANCER)
    assert world.api.writes == []
    world.clock.advance(1)
    world.node(revision=18)
    delay = await world.run(BALANCER)
    assert delay is not None
    world.clock.advance(1)
    await world.run(BALANCER)
    assert world.api.writes == ["status LoadBalancer haproxy"]
    assert world.status(BALANCER)["nodes"][0]["revision"] == "18"


async def test_a_report_queues_the_frontends_that_wait_for_it(world: World) -> None:
    key = await served(world)
    await world.queued()
    await world.run(BALANCER)
    assert key not in await world.queued()
    world.secret(pair("shop.example.com"))
    await world.run(key)
    await world.queued()
    world.node()
    await world.run(BALANCER)
    assert key in await world.queued()


def test_the_progress_of_nodes_does_not_matter_to_frontends_but_their_state_does() -> None:
    node = {"name": "node-1", "revision": "7"}
    before = {"metadata": {"generation": 1}, "status": {"readyNodes": 1, "nodes": [node]}}
    moved = {**before, "status": {"readyNodes": 1, "nodes": [{**node, "revision": "8"}]}}
    stale = {**before, "status": {"readyNodes": 0, "nodes": [{**node, "state": "Stale"}]}}
    edited = {**before, "metadata": {"generation": 2}}
    assert matters_to_frontends(before) == matters_to_frontends(moved)
    assert matters_to_frontends(before) != matters_to_frontends(stale)
    assert matters_to_frontends(before) != matters_to_frontends(edited)


async def test_what_a_node_could_not_apply_is_listed(world: World) -> None:
    world.node(failed=[Failed(secret="bundle-x", reason="KeyMismatch", message="no pair")])
    await world.run(BALANCER)
    assert world.status(BALANCER)["nodes"][0]["failed"] == [
        {"secret": "bundle-x", "reason": "KeyMismatch", "message": "no pair"}
    ]
    assert world.condition(BALANCER, "Ready") == ("True", "NodeFailed")


async def test_a_lease_is_deleted_after_an_hour_of_silence(world: World) -> None:
    world.node()
    world.clock.advance(timedelta(minutes=59))
    await world.run(BALANCER)
    assert ("Lease", "edge", "haproxy.node-1") in world.api.objects
    world.clock.advance(timedelta(minutes=2))
    await world.run(BALANCER)
    assert ("Lease", "edge", "haproxy.node-1") not in world.api.objects


async def test_a_lease_that_may_not_be_deleted_holds_up_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs a load balancer of their own may not have given the right."""

    async def refused(resource: Any, *_: Any, **__: Any) -> None:
        raise Forbidden(403, "Forbidden", "no")

    world.node()
    world.clock.advance(timedelta(hours=2))
    monkeypatch.setattr(world.api, "delete", refused)
    await world.run(BALANCER)
    assert ("Lease", "edge", "haproxy.node-1") in world.api.objects


async def test_a_lease_is_not_deleted_by_a_clock_that_is_wrong(world: World) -> None:
    world.node()
    world.clock.advance(timedelta(hours=2))
    world.api.clock_offset = timedelta(hours=-2)
    await world.run(BALANCER)
    assert ("Lease", "edge", "haproxy.node-1") in world.api.objects


UNSUPPORTED = ("OVH", "AWSClassic", "AWSApplication", "Rackspace", "Kong", "OpenScaler")


async def test_a_bundle_that_no_manifest_names_goes_once_the_nodes_have_read_that(
    world: World,
) -> None:
    world.certificate("old", names=["old.example.com"])
    key = await served(world)
    world.frontend(certificates=[{"name": "old"}], hostnames=["shop.example.com"], farms="own")
    await world.run(key)
    assert world.manifest(key).certificates == ()
    await world.run(BALANCER)
    assert len(world.bundles()) == 1
    world.node()
    await world.run(BALANCER)
    assert world.bundles() == []


async def test_a_bundle_left_over_goes_after_a_minute_without_nodes(world: World) -> None:
    world.certificate("old", names=["old.example.com"])
    key = await served(world)
    world.frontend(certificates=[{"name": "old"}], hostnames=["shop.example.com"], farms="own")
    await world.run(key)
    await world.run(BALANCER)
    world.clock.advance(61)
    await world.run(BALANCER)
    assert world.bundles() == []


async def test_a_manifest_whose_frontend_was_removed_by_force_is_taken_off(world: World) -> None:
    key = await served(world)
    world.api.remove(*key)
    await world.run(BALANCER)
    assert world.manifest(key).disabled is True
    world.node()
    await world.run(BALANCER)
    assert world.manifest(key) is None
    world.node()
    await world.run(BALANCER)
    await world.run(BALANCER)
    assert world.bundles() == []


async def test_a_load_balancer_goes_when_everything_is_off_it(world: World) -> None:
    key = await served(world)
    world.delete("LoadBalancer", *EDGE)
    await world.run(BALANCER)
    assert tuple(BALANCER) in world.api.objects
    assert key in world.woken
    await world.run(key)
    world.node()
    await world.run(key)
    assert world.manifest(key) is None
    await world.run(BALANCER)
    assert tuple(BALANCER) not in world.api.objects
    assert world.condition(key, "Ready") == ("False", "LoadBalancerNotFound")
    assert world.api.objects[tuple(key)]["metadata"]["finalizers"] == []


async def test_a_load_balancer_is_not_held_for_ever_by_what_is_left(world: World) -> None:
    await served(world)
    world.delete("LoadBalancer", *EDGE)
    world.clock.advance(151)
    await world.run(BALANCER)
    assert tuple(BALANCER) not in world.api.objects
    assert world.bundles() == []


async def test_two_load_balancers_of_one_namespace_do_not_share_bundles(world: World) -> None:
    key = await served(world)
    second = ObjectName("edge", "second")
    world.balancer(second, **copy.deepcopy(world.api.objects[tuple(BALANCER)]["spec"]))
    other = world.frontend(
        "other",
        farms="own",
        certificates=[{"name": "shop"}],
        loadBalancerRef={"name": "second", "namespace": "edge"},
    )
    await world.run(other)
    labels = sorted(b["metadata"]["labels"]["certfront.io/load-balancer"] for b in world.bundles())
    assert labels == ["haproxy", "second"]
    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.settle(key)
    assert len(world.bundles()) == 1


async def test_a_probe_address_is_refused_on_haproxy(world: World) -> None:
    world.balancer(probeAddress="192.0.2.10")
    world.node()
    await world.run(BALANCER)
    assert world.condition(BALANCER, "Ready") == ("False", "UnsupportedField")
    assert world.condition(BALANCER, "Stalled") == ("True", "UnsupportedField")
    assert "spec.probeAddress" in world.message(BALANCER)
    assert world.status(BALANCER)["readyNodes"] == 1


async def test_a_failing_node_and_its_recovery_are_told(world: World) -> None:
    world.node()
    await world.run(BALANCER)
    world.node(failed=[Failed(secret="bundle-x", reason="KeyMismatch", message="no pair")])
    await world.run(BALANCER)
    world.node()
    await world.run(BALANCER, 2)
    assert world.events == ["NodeFailed", "Available"]


async def test_an_edit_that_does_not_parse_keeps_nodes_and_since_when(world: World) -> None:
    world.node()
    world.balancer(haproxy={"minNodes": 2})
    await world.run(BALANCER)
    before = world.status(BALANCER)
    world.clock.advance(60)
    world.balancer(haproxy={"minNodes": "many"})
    await world.run(BALANCER)
    after = world.status(BALANCER)
    assert after["nodes"] == before["nodes"]
    assert after["conditions"][0]["type"] == "Ready"
    assert (
        after["conditions"][0]["lastTransitionTime"]
        == before["conditions"][0]["lastTransitionTime"]
    )


async def test_a_spec_that_does_not_parse_is_told_once(world: World) -> None:
    world.balancer(haproxy={"minNodes": "SECRET-VALUE"})
    await world.run(BALANCER, 2)
    assert world.condition(BALANCER, "Stalled") == ("True", "InvalidSpec")
    assert "SECRET-VALUE" not in str(world.status(BALANCER))
    assert len([w for w in world.api.writes if w.startswith("status")]) == 1


async def test_a_node_that_is_down_is_named_and_told_once(world: World) -> None:
    world.node("node-1")
    world.node("node-2")
    await world.run(BALANCER)
    world.node("node-2", failed=[Failed(secret="", reason="HAProxyDown", message="no answer")])
    await world.run(BALANCER, 2)
    assert world.condition(BALANCER, "Ready") == ("True", "NodesDown")
    assert world.status(BALANCER)["readyOfNodes"] == "1/2"
    assert [node["state"] for node in world.status(BALANCER)["nodes"]] == ["Current", "Failed"]
    assert world.message(BALANCER).startswith("1 of 2 nodes ready; node-2: HAProxyDown.")
    world.clock.advance(16)
    world.node("node-1")
    await world.run(BALANCER, 2)
    assert "node-2 sent no heartbeat" in world.message(BALANCER)
    assert world.events == ["NodesDown"]
    world.node("node-2")
    await world.run(BALANCER, 2)
    assert world.events == ["NodesDown", "Available"]


async def test_a_refusal_by_a_node_ends_like_a_sentence(world: World) -> None:
    world.node(failed=[Failed(secret="manifest-x", reason="PortInUse", message="443 is taken")])
    await world.run(BALANCER)
    assert world.message(BALANCER) == (
        "1 of 1 node ready. node-1 could not apply manifest-x: PortInUse: 443 is taken. "
        "See https://docs/PortInUse"
    )


async def left_over(world: World) -> Key:
    """A frontend whose bundle no manifest names any more, all nodes having read that."""
    world.certificate("old", names=["old.example.com"])
    key = await served(world)
    world.frontend(certificates=[{"name": "old"}], hostnames=["shop.example.com"], farms="own")
    await world.run(key)
    world.node()
    return key


async def test_a_bundle_that_a_manifest_names_which_the_store_has_not_seen_stays(
    world: World,
) -> None:
    key = await left_over(world)
    name = manifest_name(EDGE, ObjectName(key.namespace, key.name))
    unseen = world.store.get("Secret", "edge", name)
    assert unseen is not None
    bundle = world.bundles()[0]["metadata"]["name"]
    manifest = world.manifest(key)
    assert manifest is not None
    entry = ManifestCertificate(
        bundle=bundle, key_type=KeyAlgorithm.ECDSA, hostnames=("shop.example.com",)
    )
    newer = manifest_secret(EDGE, msgspec.structs.replace(manifest, certificates=(entry,)))
    world.api.objects["Secret", "edge", name]["data"] = newer["data"]
    await world.run(BALANCER)
    world.clock.advance(61)
    await world.run(BALANCER, 2)
    assert len(world.bundles()) == 1


async def test_a_manifest_that_cannot_be_read_keeps_all_bundles(world: World) -> None:
    await left_over(world)
    data = {"manifest.json": base64.b64encode(b'{"version": 99}').decode()}
    labels = {"certfront.io/secret": "manifest", "certfront.io/load-balancer": "haproxy"}
    world._apply("Secret", "v1", "edge", "manifest-newer", data=data, labels=labels)
    await world.run(BALANCER)
    world.clock.advance(61)
    await world.run(BALANCER, 2)
    assert len(world.bundles()) == 1


async def test_a_load_balancer_that_cannot_be_read_can_be_deleted(world: World) -> None:
    key = await served(world)
    world.balancer(haproxy={"minNodes": "many"})
    world.delete("LoadBalancer", *EDGE)
    await world.run(BALANCER)
    await world.run(key)
    world.node()
    await world.run(key)
    await world.run(BALANCER, 2)
    assert tuple(BALANCER) not in world.api.objects


async def test_what_was_parsed_of_objects_that_are_gone_is_forgotten() -> None:
    alive: set[str] = set()
    held = Parsed(lambda obj: str(obj["metadata"]["name"]), lambda _, name: name in alive)
    for number in range(2000):
        name = f"n{number}"
        alive = {name}
        held.of({"metadata": {"namespace": "shop", "name": name}})
    assert len(held) <= 256


def challenge(world: World, of: str) -> None:
    labels = {"certfront.io/secret": "challenge", "certfront.io/load-balancer": "haproxy"}
    annotations = {"certfront.io/certificate": of}
    world._apply("Secret", "v1", "edge", "challenge-1", labels=labels, annotations=annotations)


@pytest.mark.parametrize("there", [True, False])
async def test_a_challenge_whose_certificate_is_gone_is_cleaned_up_by_its_reconciler(
    world: World, *, there: bool
) -> None:
    """Its deletion may have been missed while the operator was down."""
    if there:
        world.certificate(names=["a.example"])
    challenge(world, "shop/shop")
    world.restart()
    await world.run(BALANCER)
    assert (Key("Certificate", "shop", "shop") in await world.queued()) is not there


async def test_challenges_go_with_their_load_balancer(world: World) -> None:
    await served(world)
    challenge(world, "shop/shop")
    world.delete("LoadBalancer", *EDGE)
    world.clock.advance(151)
    await world.run(BALANCER)
    assert tuple(BALANCER) not in world.api.objects
    assert ("Secret", "edge", "challenge-1") not in world.api.objects


def test_failures_that_are_not_listed_matter_to_frontends_by_their_number() -> None:
    node = {"name": "n1", "state": "Current", "failedCount": 9}
    balancer = {"metadata": {}, "status": {"nodes": [node]}}
    more = {"metadata": {}, "status": {"nodes": [{**node, "failedCount": 10}]}}
    assert matters_to_frontends(balancer) != matters_to_frontends(more)
