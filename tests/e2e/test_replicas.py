"""Two replicas, one Lease: the standby acts after the leader is killed or leaves, and never beside it."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import lifecycle, objects, state
from sandbox.kubectl import Kubectl
from sandbox.state import State
from tests.e2e.clients import eventually

SECONDS = 45.0


@pytest.fixture
def pair() -> Iterator[State]:
    """A cluster with an operator that leads and one that stands by; no nodes."""
    name = f"replicas-{os.getpid()}"
    lifecycle.up(lifecycle.Wishes(name=name, nodes=0))
    try:
        eventually(
            lambda: "leading as" in _log(state.load(name), "operator"),
            seconds=SECONDS,
            why="the first one leads",
        )
        yield lifecycle.start(name, "operator-2")
    finally:
        lifecycle.down(name)


@pytest.mark.parametrize("end", [lifecycle.kill, lifecycle.stop], ids=["killed", "stopped"])
def test_the_standby_takes_over(pair: State, end: Callable[[str, str], State]) -> None:
    """What is applied while nobody leads is issued by the other one, with two writes."""
    run = objects.kubectl(pair)
    end(pair.name, "operator")
    run.apply(_certificate("late"))
    eventually(lambda: _ready(run, "late"), seconds=SECONDS, why="the standby has issued")
    assert "leading as" in _log(pair, "operator-2")
    assert _revision(run, "late") == 1


def test_the_standby_is_warm_and_silent(pair: State) -> None:
    """It is ready, it knows everything, and it writes nothing while another one leads."""
    run = objects.kubectl(pair)
    run.apply(_certificate("early"))
    eventually(lambda: _ready(run, "early"), seconds=SECONDS, why="the leader has issued")
    log = _log(pair, "operator-2")
    assert "leading as" not in log
    assert not re.search(r"Certificate \S+: Ready", log)


def _certificate(name: str) -> dict[str, object]:
    return {
        "apiVersion": "certfront.io/v1alpha1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "SelfSigned", "dnsNames": [f"{name}.example.com"]},
    }


def _ready(run: Kubectl, name: str) -> bool:
    found = run.json("get", "lbcert", name, "-n", "default").get("status", {})
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in found.get("conditions", ())
    )


def _revision(run: Kubectl, name: str) -> int:
    found: int = run.json("get", "lbcert", name, "-n", "default")["status"]["revision"]
    return found


def _log(current: State, name: str) -> str:
    return Path(current.service(name).log).read_text()
