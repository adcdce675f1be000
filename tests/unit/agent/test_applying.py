"""The order of disk and memory: what is killed in between, and pairs that HAProxy refuses.

The HAProxy is the simulated one of `tests/model/node`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from certfront.kube.errors import Unreachable
from tests.model.node.haproxy import Leaf, leaf_of
from tests.model.node.material import VARIANTS, bundle_name, manifest_name
from tests.model.node.world import World, pem_of

A = f"certs/{bundle_name('a')}.pem"


@pytest.fixture
def world() -> Iterator[World]:
    """A node that serves a.example."""
    made = World()
    try:
        made.put_bundle("a", "one")
        made.put_manifest(VARIANTS["one"])
        made.one_pass()
        yield made
    finally:
        made.close()


def leaf(source: str, kind: str) -> Leaf:
    found = leaf_of(pem_of(source, kind))
    assert found is not None
    return found


def shown(world: World, name: str, port: int = 443) -> Leaf | None:
    assert world.haproxy.worker is not None
    return world.haproxy.worker.shows(f"{world.root}/proof-{port}.sock", name)


def failures(world: World) -> list[str]:
    return [one["reason"] for one in json.loads(world.lease.annotation).get("failed", [])]


def killed_after(world: World, step: str) -> None:
    """A pass that ends with the agent's death after its first such step."""
    moment = world._moment

    def and_die(label: str, change: object, *, changes: bool) -> object:
        if label.startswith(step):
            world._plan[world.moments + 1] = "kill after"
        return moment(label, change, changes=changes)

    world._moment = and_die  # type: ignore[method-assign] - a fault at a named step
    assert not world.one_pass()
    world._moment = moment  # type: ignore[method-assign]


def test_what_was_tried_is_finished_by_a_recovery_and_keeps_its_bundle(world: World) -> None:
    """HAProxy was reloaded and nothing was accepted yet; the bundle is gone when the agent is back."""
    world.put_bundle("c", "one")
    world.put_manifest(VARIANTS["two on 8443"])
    killed_after(world, "reload")
    assert shown(world, "c.example", 8443) == leaf("c", "one")
    world.drop_bundle("c")
    reloads = world.haproxy.reloads
    world.one_pass()
    assert shown(world, "c.example", 8443) == leaf("c", "one")
    assert world.haproxy.reloads == reloads
    world.start_haproxy()
    assert shown(world, "c.example", 8443) == leaf("c", "one")


def test_what_was_tried_is_served_on_without_an_api_server(world: World) -> None:
    world.put_bundle("c", "one")
    world.put_manifest(VARIANTS["two on 8443"])
    killed_after(world, "reload")
    world.outage(Unreachable)
    world.one_pass()
    assert shown(world, "c.example", 8443) == leaf("c", "one")
    assert shown(world, "a.example") == leaf("a", "one")


def test_what_was_tried_and_is_refused_gives_way_to_what_was_accepted(world: World) -> None:
    """Killed before the reload: HAProxy refuses it when the next agent comes to it."""
    world.put_bundle("c", "one")
    world.put_manifest(VARIANTS["two on 8443"])
    killed_after(world, "disk haproxy.cfg")
    world.haproxy.refuses.add(leaf("c", "one").sha1)
    assert world.one_pass()
    assert shown(world, "a.example") == leaf("a", "one")
    assert failures(world) != []
    assert "tried" not in json.loads(world.disk.files["state.json"])
    world.start_haproxy()
    assert shown(world, "a.example") == leaf("a", "one")
    assert manifest_name("shop/one") in json.loads(world.disk.files["state.json"])["manifests"]


def test_a_pair_that_haproxy_cannot_read_never_gets_to_the_disk(world: World) -> None:
    world.haproxy.cannot_read.add(leaf("a", "two").sha1)
    held = set()
    world.seen_files = lambda files: held.add(files[A])
    world.put_bundle("a", "two")
    world.put_bundle("b", "one")
    world.put_manifest(VARIANTS["one+b"])
    world.one_pass()
    assert held == {pem_of("a", "one")}
    assert failures(world) == ["RefusedByHAProxy"]
    assert shown(world, "a.example") == leaf("a", "one")
    assert shown(world, "b.example") == leaf("b", "one")


def test_a_pair_that_a_commit_refuses_is_aborted_and_taken_off_the_disk(world: World) -> None:
    world.haproxy.refuses.add(leaf("a", "two").sha1)
    world.put_bundle("a", "two")
    world.one_pass()
    assert world.disk.files[A] == pem_of("a", "one")
    assert failures(world) == ["RefusedByHAProxy"]
    assert world.haproxy.worker is not None
    assert world.haproxy.worker.transaction is None
    world.start_haproxy()
    assert shown(world, "a.example") == leaf("a", "one")


def test_a_refused_pair_that_a_kill_left_on_the_disk_is_told_and_replaced(world: World) -> None:
    world.haproxy.refuses.add(leaf("a", "two").sha1)
    world.put_bundle("a", "two")
    killed_after(world, f"disk {A}")
    world.one_pass()
    assert failures(world) == ["HAProxyDown"]
    assert shown(world, "a.example") == leaf("a", "one")
    world.put_bundle("a", "short")
    world.one_pass()
    assert failures(world) == []
    assert shown(world, "a.example") == leaf("a", "short")


def test_a_transaction_is_aborted_if_the_disk_does_not_take_the_pair(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    world.put_bundle("a", "two")
    with monkeypatch.context() as patch:
        patch.setattr("certfront.agent.disk.Disk._stage", full)
        with pytest.raises(AssertionError, match="no space left"):
            world.one_pass()
    assert world.haproxy.worker is not None
    assert world.haproxy.worker.transaction is None
    world.one_pass()
    assert shown(world, "a.example") == leaf("a", "two")
