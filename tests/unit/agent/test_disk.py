"""Files: complete or not there, private, and in the order they were asked for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from certfront.agent.disk import Disk
from certfront.agent.state import STATE_FILE, State, load, save
from tests.unit.loadbalancers.haproxy.manifests import manifest


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    made = Disk(tmp_path / "node")
    made.prepare()
    return made


def test_files_are_private_and_leave_nothing_else(disk: Disk) -> None:
    os.umask(0)
    disk.write({"certs/a.pem": b"1", "haproxy.cfg": b"2"})
    assert stat.S_IMODE((disk.root / "certs/a.pem").stat().st_mode) == 0o600
    assert disk.files("certs") == ("certs/a.pem",)
    assert [path.name for path in disk.root.iterdir() if path.is_file()] == ["haproxy.cfg"]
    assert stat.S_IMODE((disk.root / "certs").stat().st_mode) == 0o700


def test_an_interrupted_write_leaves_the_old_file_and_is_cleaned_up(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write({"certs/a.pem": b"old"})

    def power_cut(_: str) -> None:
        raise OSError("cut")

    monkeypatch.setattr(disk, "changing", power_cut)
    with pytest.raises(OSError, match="cut"):
        disk.write({"certs/a.pem": b"new"})
    assert disk.read("certs/a.pem") == b"old"
    assert len(list((disk.root / "certs").iterdir())) == 2
    disk.prepare()
    assert len(list((disk.root / "certs").iterdir())) == 1


def test_removal_and_quarantine_do_not_mind_what_is_gone(disk: Disk) -> None:
    disk.write({"certs/a.pem": b"1"})
    disk.quarantine("certs/a.pem")
    disk.quarantine("certs/a.pem")
    disk.remove(["certs/a.pem", "certs/b.pem"])
    assert disk.files("certs") == ()
    assert disk.files("quarantine") == ("quarantine/a.pem",)
    assert disk.read("certs/a.pem") is None


def test_the_state_survives_and_is_written_only_when_it_changes(disk: Disk) -> None:
    state = State(synced=True, manifests={"m": manifest()})
    save(disk, state)
    assert load(disk) == state
    before = (disk.root / STATE_FILE).stat().st_ino
    save(disk, state)
    assert (disk.root / STATE_FILE).stat().st_ino == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"manifests": {"m": {}}}', b'{"version": 2}', b"\xff"],
    ids=str,
)
def test_a_state_that_cannot_be_read_is_an_empty_one(disk: Disk, content: bytes) -> None:
    disk.write({STATE_FILE: content})
    assert load(disk) == State()


def test_a_manifest_of_the_state_that_is_not_fit_is_left_out(disk: Disk) -> None:
    bad = manifest(hostnames=("a b",))
    disk.write({STATE_FILE: msgspec.json.encode(State(manifests={"a": manifest(), "b": bad}))})
    assert list(load(disk).manifests) == ["a"]


def test_a_state_in_another_order_is_no_change(disk: Disk) -> None:
    """A list comes in another order than events: a restart must not write because of that."""
    one, two = manifest("shop/one"), manifest("shop/two")
    save(disk, State(manifests={"one": one, "two": two}))
    before = (disk.root / STATE_FILE).stat().st_ino
    save(disk, State(manifests={"two": two, "one": one}))
    assert (disk.root / STATE_FILE).stat().st_ino == before


def test_a_start_makes_durable_what_an_earlier_process_has_renamed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    disk.prepare()
    assert {str(disk.root), str(disk.root / "certs"), str(disk.root / "crt-lists")} <= set(synced)
