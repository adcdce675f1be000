"""A copy of etcd brings back what was, with or without a history that goes on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import backup, lifecycle, objects
from sandbox.kubectl import Kubectl
from sandbox.state import State


@pytest.fixture(scope="module")
def cluster() -> Iterator[State]:
    """A cluster of its own: no other test can stand it."""
    name = f"t-copy-{os.getpid()}"
    yield lifecycle.up(lifecycle.Wishes(name=name, nodes=0, operator=False))
    lifecycle.down(name)


def _make(run: Kubectl, name: str) -> int:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    run.apply(made)
    found: str = run.json("get", "configmap", name)["metadata"]["resourceVersion"]
    return int(found)


def _names(run: Kubectl) -> set[str]:
    return {each["metadata"]["name"] for each in run.json("get", "configmaps")["items"]}


@pytest.mark.parametrize("bump", [False, True], ids=["in a hurry", "by the runbook"])
def test_a_restored_copy_knows_nothing_of_what_came_later(
    cluster: State, tmp_path: Path, bump: bool
) -> None:
    run = objects.kubectl(cluster)
    _make(run, f"before-{bump}".lower())
    revision = backup.copy(cluster.name, tmp_path / "copy")
    later = [_make(run, f"after-{bump}-{number}".lower()) for number in range(5)]
    assert later[0] > revision
    backup.restore(cluster.name, tmp_path / "copy", bump=bump)
    names = _names(run)
    assert f"before-{bump}".lower() in names
    assert not [name for name in names if name.startswith(f"after-{bump}".lower())]
    listed = int(
        json.loads(run("get", "--raw", "/api/v1/configmaps"))["metadata"]["resourceVersion"]
    )
    assert (listed > max(later)) == bump, "the history goes on only with a bump"
