"""The sweep: the gate at the start, repair in both directions, and changed history."""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from certfront.engine.keys import Key
from certfront.engine.store import Store
from certfront.engine.sweep import HistoryChanged, Sweep, SweepReport
from certfront.model.clock import SystemClock
from tests.unit.engine.surroundings import until

KIND = "Certificate"


@dataclass
class Listed:
    resource_version: str
    items: list[dict[str, Any]] = field(default_factory=list)


class Cluster:
    """What the API server has: objects and one revision."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.reads: list[str] = []
        self.before_read: Callable[[], None] = lambda: None
        self.after_read: Callable[[], None] = lambda: None
        self.broken: Exception | None = None

    def put(self, name: str, *, uid: str = "u1", **spec: Any) -> dict[str, Any]:
        self.revision += 1
        metadata = {
            "namespace": "shop",
            "name": name,
            "uid": uid,
            "resourceVersion": str(self.revision),
        }
        obj = {"metadata": metadata, "spec": spec}
        self.objects["shop", name] = obj
        return copy.deepcopy(obj)

    def delete(self, name: str) -> None:
        self.revision += 1
        del self.objects["shop", name]

    async def list_metadata(self, kind: str) -> Listed:
        assert kind == KIND
        if self.broken is not None:
            raise self.broken
        items = [{"metadata": obj["metadata"]} for obj in self.objects.values()]
        return Listed(str(self.revision), copy.deepcopy(items))

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        assert kind == KIND
        self.reads.append(name)
        if self.broken is not None:
            raise self.broken
        self.before_read()
        answer = copy.deepcopy(self.objects.get((namespace, name)))
        self.after_read()
        return answer


class Setting:
    def __init__(self, *, patience: float = 60.0) -> None:
        self.cluster = Cluster()
        self.store = Store({KIND: lambda obj: obj})
        self.enqueued: list[str] = []
        self.sweep = Sweep(
            source=self.cluster,
            store=self.store,
            repaired=lambda key, _before, _after: self.enqueued.append(key.name),
            clock=SystemClock(),
            interval=0.001,
            patience=patience,
        )

    def watch_says(self, obj: dict[str, Any]) -> None:
        self.store.upsert(KIND, obj)


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_the_gate_opens_once_the_store_has_everything_listed(setting: Setting) -> None:
    first, second = setting.cluster.put("a"), setting.cluster.put("b")
    covering = asyncio.create_task(setting.sweep.cover())
    setting.watch_says(first)
    await asyncio.sleep(0.05)
    assert not setting.sweep.covered
    setting.watch_says(second)
    await covering
    await setting.sweep.wait_covered()
    assert setting.cluster.reads == []
    assert setting.enqueued == []


async def test_an_empty_cluster_is_covered_at_once(setting: Setting) -> None:
    await setting.sweep.cover()
    assert setting.sweep.covered


async def test_an_object_deleted_before_the_watch_began_does_not_hold_the_gate() -> None:
    setting = Setting(patience=0.01)
    setting.cluster.put("a")
    setting.cluster.before_read = lambda: setting.cluster.objects.clear()
    await setting.sweep.cover()
    assert setting.cluster.reads == ["a"]
    assert list(setting.store.items(KIND)) == []


async def test_an_object_that_the_watch_never_brings_is_read(setting: Setting) -> None:
    setting = Setting(patience=0.01)
    setting.cluster.put("a", text="read")
    await setting.sweep.cover()
    held = setting.store.get(KIND, "shop", "a")
    assert held is not None
    assert held["spec"] == {"text": "read"}
    assert setting.enqueued == ["a"]


async def test_the_gate_stays_shut_where_a_kind_cannot_be_listed(setting: Setting) -> None:
    setting.cluster.broken = PermissionError()
    with pytest.raises(PermissionError):
        await setting.sweep.cover()
    assert not setting.sweep.covered


async def test_a_sweep_over_a_current_store_reads_and_enqueues_nothing(setting: Setting) -> None:
    for name in "abc":
        setting.watch_says(setting.cluster.put(name))
    assert await setting.sweep.sweep() == SweepReport(missed=0, ghosts=0)
    assert setting.cluster.reads == []
    assert setting.enqueued == []
    assert setting.sweep.last_sweep is not None


async def test_what_the_watch_missed_is_found(setting: Setting) -> None:
    setting.watch_says(setting.cluster.put("changed", text="old"))
    setting.watch_says(setting.cluster.put("recreated", uid="u1"))
    setting.cluster.put("changed", text="new")
    setting.cluster.put("recreated", uid="u2")
    setting.cluster.put("created")
    assert await setting.sweep.sweep() == SweepReport(missed=3, ghosts=0)
    assert sorted(setting.enqueued) == ["changed", "created", "recreated"]
    changed = setting.store.get(KIND, "shop", "changed")
    assert changed is not None
    assert changed["spec"] == {"text": "new"}


async def test_what_was_deleted_is_forgotten_after_a_live_read(setting: Setting) -> None:
    setting.watch_says(setting.cluster.put("a"))
    setting.cluster.delete("a")
    assert await setting.sweep.sweep() == SweepReport(missed=0, ghosts=1)
    assert setting.cluster.reads == ["a"]
    assert setting.enqueued == ["a"]
    assert list(setting.store.items(KIND)) == []


async def test_an_object_that_only_left_the_selection_is_kept_as_it_is_now(
    setting: Setting,
) -> None:
    """A label stripped by a user looks like a deletion in a selective list, but is none."""
    setting.watch_says(setting.cluster.put("a", label=True))
    unlisted = setting.cluster.put("a", label=False)

    async def nothing(kind: str) -> Listed:
        return Listed(str(setting.cluster.revision))

    setting.cluster.list_metadata = nothing  # type: ignore[method-assign] # one selective list
    assert await setting.sweep.sweep() == SweepReport(missed=0, ghosts=1)
    assert setting.store.get(KIND, "shop", "a") == unlisted
    assert setting.enqueued == ["a"]
    # It is read again at each sweep, and enqueued only if it has changed.
    assert await setting.sweep.sweep() == SweepReport(missed=0, ghosts=0)
    assert setting.enqueued == ["a"]


async def test_what_is_newer_than_the_list_is_left_alone(setting: Setting) -> None:
    listed = await setting.cluster.list_metadata(KIND)
    setting.watch_says(setting.cluster.put("created-after-the-list"))

    async def early(kind: str) -> Listed:
        return listed

    setting.cluster.list_metadata = early  # type: ignore[method-assign] # a list that was slow
    # The list is older than what the watch has brought since, but not older than what was known
    # when it was asked for: take that back, as `_list` would have seen it.
    setting.store._highest[KIND] = 0
    assert await setting.sweep.sweep() == SweepReport(missed=0, ghosts=0)
    assert setting.cluster.reads == []


async def test_the_watch_wins_over_a_live_read_that_was_slower(setting: Setting) -> None:
    setting.watch_says(setting.cluster.put("a", text="old"))
    setting.cluster.put("a", text="middle")
    newest = {}

    def meanwhile() -> None:
        newest.update(setting.cluster.put("a", text="newest"))
        setting.watch_says(dict(newest))

    setting.cluster.after_read = meanwhile
    assert await setting.sweep.sweep() == SweepReport(missed=0, ghosts=0)
    assert setting.store.get(KIND, "shop", "a") == newest


async def test_a_revision_that_fell_is_changed_history(setting: Setting) -> None:
    for name in "abc":
        setting.watch_says(setting.cluster.put(name))
    await setting.sweep.sweep()
    setting.cluster.revision = 2
    with pytest.raises(HistoryChanged, match="from 3 to 2"):
        await setting.sweep.sweep()


async def test_a_restore_is_also_seen_against_what_only_the_watch_brought(
    setting: Setting,
) -> None:
    setting.watch_says(setting.cluster.put("a"))
    setting.cluster.revision = 0
    with pytest.raises(HistoryChanged):
        await setting.sweep.cover()


async def test_lost_history_below_the_present_revision_is_repaired(setting: Setting) -> None:
    """A restore, and then so many writes that the revision has grown past the highest seen."""
    setting.cluster.revision = 10
    setting.watch_says(setting.cluster.put("a", text="lost"))
    setting.cluster.revision = 4
    setting.cluster.put("a", text="restored")
    setting.cluster.revision = 20
    assert await setting.sweep.sweep() == SweepReport(missed=1, ghosts=0)
    held = setting.store.get(KIND, "shop", "a")
    assert held is not None
    assert held["spec"] == {"text": "restored"}


async def test_a_sweep_that_cannot_read_is_repeated(setting: Setting) -> None:
    setting.cluster.put("a")
    setting.cluster.broken = ConnectionError("away")
    task = asyncio.create_task(setting.sweep.run(transient=(ConnectionError,)))
    await asyncio.sleep(0.02)
    assert setting.enqueued == []
    setting.cluster.broken = None
    await until(lambda: setting.enqueued)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_one_live_read_is_the_sweeps_error(setting: Setting) -> None:
    for name in "abc":
        setting.cluster.put(name)

    def broken() -> None:
        raise ConnectionError("away")

    setting.cluster.before_read = broken
    with pytest.raises(ConnectionError):
        await setting.sweep.sweep()
    assert setting.store.find(Key(KIND, "shop", "a")) is None


async def test_other_changes_do_not_keep_the_gate_shut() -> None:
    """Heartbeats come for ever; an object that was deleted before the watch began never does."""
    setting = Setting(patience=0.1)
    setting.cluster.put("a")
    setting.cluster.before_read = setting.cluster.objects.clear

    async def beating() -> None:
        revision = 10
        while True:
            revision += 1
            metadata = {"namespace": "edge", "name": "node-1", "uid": "u2"}
            setting.watch_says({"metadata": {**metadata, "resourceVersion": str(revision)}})
            await asyncio.sleep(0.02)

    beats = asyncio.create_task(beating())
    try:
        async with asyncio.timeout(5):
            await setting.sweep.cover()
    finally:
        beats.cancel()
    assert setting.cluster.reads == ["a"]
