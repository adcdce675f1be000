"""Sandboxes stand side by side, survive what is done to their parts, and leave nothing behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import binaries, lifecycle, objects, processes, state
from sandbox.errors import SandboxError, UnknownTargetError
from sandbox.report import report
from sandbox.state import State

PARTS = ("etcd", "apiserver", "controllers", "dns", "pebble")
REPOSITORY = Path(__file__).resolve().parents[3]


def run(*arguments: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout


def sandbox(suffix: str) -> Iterator[State]:
    name = f"t-{suffix}-{os.getpid()}"
    yield lifecycle.up(lifecycle.Wishes(name=name, nodes=0, operator=False))
    if state.exists(name):
        lifecycle.down(name)


@pytest.fixture(scope="module")
def first() -> Iterator[State]:
    yield from sandbox("a")


@pytest.fixture(scope="module")
def second() -> Iterator[State]:
    yield from sandbox("b")


def test_two_sandboxes_share_no_address_and_no_object(first: State, second: State) -> None:
    assert first.number != second.number
    assert first.server != second.server
    objects.kubectl(first)("create", "namespace", "only-here")
    names = objects.kubectl(second)("get", "namespaces", "-o", "name")
    assert "only-here" not in names


def test_status_tells_tools_where_everything_is(first: State) -> None:
    found: dict[str, Any] = json.loads(run("status", "--name", first.name, "-o", "json"))
    assert set(found) == {
        *("name", "number", "directory", "server", "kubeconfig", "operatorKubeconfig"),
        *(
            "agentKubeconfig",
            "auditLog",
            "caRoots",
            "pebble",
            "operator",
            "processes",
            "nodes",
            "emulators",
        ),
    }
    assert set(found["processes"]) == set(PARTS)
    for process in found["processes"].values():
        assert process["state"] == "ready"
        assert isinstance(process["pid"], int)
        assert Path(process["log"]).is_file()
    for path in (found["kubeconfig"], found["auditLog"], *found["caRoots"].values()):
        assert Path(path).is_file()
    assert found["pebble"]["directoryUrl"].startswith("https://127.10.")


@pytest.mark.parametrize("target", ["apiserver", "etcd"])
def test_what_is_stored_outlives_a_kill(first: State, target: str) -> None:
    kubectl = objects.kubectl(first)
    kubectl("create", "namespace", f"before-{target}")
    before = report(first).processes[target].pid
    lifecycle.kill(first.name, target)
    assert report(first).processes[target].state == "stopped"
    lifecycle.start(first.name, target)
    assert report(first).processes[target].pid != before
    lifecycle.start(first.name, "apiserver")
    assert kubectl("get", "namespace", f"before-{target}", "-o", "name")


def test_a_restarted_pebble_has_a_new_root(first: State) -> None:
    assert first.pebble is not None
    before = Path(first.pebble.root).read_text()
    run("restart", "pebble", "--name", first.name)
    assert Path(first.pebble.root).read_text() != before


def test_starting_what_runs_changes_nothing(first: State) -> None:
    before = report(first).processes["dns"].pid
    lifecycle.start(first.name, "dns")
    assert report(first).processes["dns"].pid == before


def test_an_unknown_part_is_told_with_those_that_there_are(first: State) -> None:
    with pytest.raises(UnknownTargetError, match=r"it has .*apiserver"):
        lifecycle.stop(first.name, "scheduler")


def test_an_existing_cluster_is_used_and_left_running(
    first: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first.kubeconfigs is not None
    monkeypatch.setenv("USE_EXISTING_CLUSTER", "1")
    monkeypatch.setenv("KUBECONFIG", first.kubeconfigs.admin)
    name = f"t-d-{os.getpid()}"
    guest = lifecycle.up(lifecycle.Wishes(name=name, nodes=0, operator=False))
    assert {service.name for service in guest.services} == {"dns", "pebble"}
    assert objects.kubectl(guest)("get", "namespace", "default", "-o", "name")
    lifecycle.down(name)
    assert report(first).processes["apiserver"].state == "ready"


def test_a_name_is_taken_once(first: State) -> None:
    with pytest.raises(SandboxError, match="already"):
        lifecycle.up(lifecycle.Wishes(name=first.name, nodes=0, operator=False))
    assert report(first).processes["dns"].state == "ready"


@pytest.mark.parametrize("name", ["", "../x", "Upper", "a" * 21, "-a"])
def test_a_name_that_is_no_directory_is_refused(name: str) -> None:
    with pytest.raises(SandboxError, match="letters"):
        state.sandbox_directory(name)


def test_nothing_is_left_after_down(second: State) -> None:
    pids = [process.pid for process in report(second).processes.values()]
    assert all(pids)
    run("down", "--name", second.name)
    assert processes.survivors(second.root) == []
    assert not second.root.exists()
    assert not state.exists(second.name)


def test_a_start_that_fails_leaves_its_logs_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"t-c-{os.getpid()}"
    programs = binaries.ensure(lifecycle.PROGRAMS, print)
    monkeypatch.setattr(
        lifecycle, "_programs", lambda _tell: {**programs, "kube-apiserver": Path("/bin/false")}
    )
    with pytest.raises(SandboxError, match=r"the logs are in (.*)") as caught:
        lifecycle.up(lifecycle.Wishes(name=name, nodes=0, operator=False))
    logs = Path(str(caught.value).rpartition("the logs are in ")[2])
    assert (logs / "etcd.log").exists()
    shutil.rmtree(logs)
    assert not state.exists(name)
    assert processes.survivors(state.sandbox_directory(name)) == []
