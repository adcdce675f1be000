"""What the sandbox promises about processes: none of others is touched, none of ours is left."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from sandbox import processes
from sandbox.errors import StartError
from sandbox.state import Service, State, TcpReady, UnixReady

LISTEN = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    listener.accept()
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LISTEN
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]])
child.wait()
"""


def service(directory: Path, code: str, *arguments: str, stop_seconds: float = 5.0) -> Service:
    path = str(directory / "listener.sock")
    return Service(
        name="listener",
        argv=(sys.executable, "-c", code, path, *arguments),
        environment={"PATH": os.environ["PATH"]},
        log=str(directory / "listener.log"),
        ready=UnixReady(path=path),
        stop_seconds=stop_seconds,
    )


def state(directory: Path, *services: Service) -> State:
    return State(name="test", number=1, directory=str(directory), services=services)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    processes.kill(tmp_path)


def test_a_process_is_ready_when_its_condition_holds_and_gone_after_stop(tmp_path: Path) -> None:
    wanted = service(tmp_path, LISTEN)
    handle = processes.spawn(wanted, tmp_path)
    processes.wait_until_ready(wanted, handle)
    assert processes.running(tmp_path, "listener") == handle
    assert processes.stop(state(tmp_path, wanted), "listener")
    assert not handle.alive()
    assert processes.running(tmp_path, "listener") is None
    assert processes.survivors(tmp_path) == []


def test_what_ignores_sigterm_is_killed_and_told(tmp_path: Path) -> None:
    wanted = service(tmp_path, DEAF, stop_seconds=0.2)
    handle = processes.spawn(wanted, tmp_path)
    processes.wait_until_ready(wanted, handle)
    assert not processes.stop(state(tmp_path, wanted), "listener")
    assert not handle.alive()


@pytest.mark.parametrize("leader_first", [False, True], ids=["together", "leader died before"])
def test_children_end_with_their_parent(tmp_path: Path, leader_first: bool) -> None:
    wanted = service(tmp_path, PARENT, LISTEN)
    handle = processes.spawn(wanted, tmp_path)
    processes.wait_until_ready(wanted, handle)
    children = psutil.Process(handle.pid).children()
    assert len(children) == 1
    if leader_first:
        os.kill(handle.pid, 9)
        assert processes._wait(lambda: not handle.alive(), 5)
    processes.kill(tmp_path, "listener")
    assert not handle.alive()
    assert not processes.is_ready(wanted)
    assert processes.survivors(tmp_path) == []


@pytest.mark.parametrize("kill", [False, True], ids=["stop", "kill"])
def test_a_pid_that_somebody_else_has_now_is_left_alone(tmp_path: Path, kill: bool) -> None:
    """The record names a pid that the kernel gave to a stranger after our process had ended."""
    wanted = service(tmp_path, LISTEN)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        record = tmp_path / "run" / "listener.json"
        record.parent.mkdir()
        reused = processes.Handle(pid=stranger.pid, started=1)
        record.write_bytes(msgspec.json.encode(reused))
        assert processes.running(tmp_path, "listener") is None
        if kill:
            processes.kill(tmp_path, "listener")
        else:
            processes.stop(state(tmp_path, wanted), "listener")
        processes.kill(tmp_path)
        assert stranger.poll() is None
        stranger.communicate(b"\n")
        assert stranger.returncode == 0


def test_a_process_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    wanted = service(tmp_path, "print('the reason'); raise SystemExit(3)")
    handle = processes.spawn(wanted, tmp_path)
    with pytest.raises(StartError, match=r"(?s)listener ended; its log, .*the reason"):
        processes.wait_until_ready(wanted, handle)


def test_a_program_that_is_not_there_is_reported(tmp_path: Path) -> None:
    wanted = msgspec.structs.replace(service(tmp_path, LISTEN), argv=("/nonexistent",))
    with pytest.raises(StartError, match="No such file"):
        processes.spawn(wanted, tmp_path)


def test_what_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    # Port 0 takes no connection, ever.
    never = TcpReady(addresses=("127.0.0.1:0",))
    wanted = msgspec.structs.replace(service(tmp_path, LISTEN), ready=never)
    handle = processes.spawn(wanted, tmp_path)
    with pytest.raises(StartError, match="not ready after"):
        processes.wait_until_ready(wanted, handle, seconds=0.1)
