"""DiskLoadable, exhaustively: HAProxy starts from every prefix of the writes of every two changes.

Each change alone and every two of them, in one pass and in two, killed before each step and
recovered; each state of the directory, and all that a power cut may leave of it, is loaded by the
simulation, and each state that is another one is given to the real `haproxy -c` as well.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.model.node.disorder import (
    configuration_before_lists,
    file_after_line,
    file_removed_before_line,
)
from tests.model.node.haproxy import WillNotStart, digest, load
from tests.model.node.material import MORE, TWO, VARIANTS
from tests.model.node.world import Violation, World
from tests.unit.loadbalancers.haproxy.manifests import programs

Change = Callable[[World], None]
Files_ = Mapping[str, bytes]

DEEP: Final = bool(os.environ.get("CERTFRONT_MODEL_EXAMPLES"))
_ROOT: Final = b"/node"
_LONGEST_PASS: Final = 45


def rotate(world: World) -> None:
    world.put_bundle("a", "two")


def add_a_certificate(world: World) -> None:
    world.put_bundle("d", "one")
    world.put_manifest(MORE["one+b+d"])


def remove_a_certificate(world: World) -> None:
    world.put_manifest(VARIANTS["one"])


def set_a_default(world: World) -> None:
    world.put_manifest(VARIANTS["one+b, default b"])


def change_the_default(world: World) -> None:
    world.put_bundle("d", "one")
    world.put_manifest(VARIANTS["one, default d"])


def add_a_manifest(world: World) -> None:
    world.put_bundle("d", "one")
    world.put_manifest(MORE["three"])


def remove_a_manifest(world: World) -> None:
    world.release(TWO)


CHANGES: Final = (
    rotate,
    add_a_certificate,
    remove_a_certificate,
    set_a_default,
    change_the_default,
    add_a_manifest,
    remove_a_manifest,
)


class States:
    """All states of the directory that were seen, by content; paths in them begin with /node."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, bytes]] = {}
        self.cut = 0
        self.alone: tuple[str, ...] = ()
        """Those of one change without a kill: looked at by every HAProxy, every time."""

    def watch(self, world: World) -> None:
        def see(files: Files_) -> None:
            root = str(world.root).encode()
            loaded = {
                name: content if name.startswith("certs/") else content.replace(root, _ROOT)
                for name, content in files.items()
                if name != "state.json"
            }
            self.held.setdefault(digest(loaded), loaded)
            for left in world.disk.after_power_cuts():
                self.cut += 1
                said = world.starts_from(left)
                if said:
                    world.violated("DiskLoadable", f"after a power cut: {said}")

        world.seen_files = see


def life(states: States, *passes: tuple[Change, ...], kill: int = 0) -> bool:
    """Make the changes pass by pass; in the last, kill the agent before a step and recover.

    Returns whether there was such a step.
    """
    world = World(watch={"DiskLoadable", "PairAtomic", "NeverUncovered"})
    try:
        for source in "abc":
            world.put_bundle(source, "one")
        world.put_manifest(VARIANTS["one+b"])
        world.put_manifest(VARIANTS["two"])
        world.one_pass()
        states.watch(world)
        lives = True
        for number, changes in enumerate(passes, start=1):
            for change in changes:
                change(world)
            last = number == len(passes)
            lives = world.one_pass({kill: "kill before"} if last and kill else None)
        if not lives:
            world.one_pass()
        return not lives
    finally:
        world.close()


def lives(states: States) -> None:
    """Everything within the bounds."""
    for change in CHANGES:
        life(states, (change,))
    states.alone = tuple(states.held)
    for change in CHANGES:
        for step in range(1, _LONGEST_PASS):
            if not life(states, (change,), kill=step):
                break
    for two in itertools.permutations(CHANGES, 2):
        life(states, two)
        life(states, (two[0],), (two[1],))
        if DEEP:
            for step in range(1, 2 * _LONGEST_PASS):
                if not life(states, two, kill=step):
                    break


@pytest.fixture(scope="module")
def states() -> States:
    made = States()
    lives(made)
    return made


def write(files: Files_, root: Path) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        is_pair = name.startswith("certs/")
        (root / name).write_bytes(
            content if is_pair else content.replace(_ROOT, str(root).encode())
        )


def starts(program: str, files: Files_, root: Path) -> str:
    """Empty if HAProxy takes the files, else what it says."""
    write(files, root)
    result = subprocess.run(
        [program, "-c", "-f", str(root / "haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    for name in files:
        (root / name).unlink()
    return "" if result.returncode == 0 else result.stdout + result.stderr


def test_disk_loadable_within_all_bounds(states: States) -> None:
    """The simulation has loaded each of them (a Violation would have ended the search)."""
    print(f"{len(states.held)} states of the directory, {states.cut} after power cuts")
    assert len(states.held) > 200
    assert states.cut > 2000


@pytest.mark.parametrize("program", programs())
def test_disk_loadable_says_the_real_haproxy(program: str, states: States, tmp_path: Path) -> None:
    # The program takes some fifty milliseconds: of the states of two changes, a part.
    part = list(states.held)[:: 1 if DEEP else 30] if DEEP or "ray" in program else []
    for name in dict.fromkeys((*states.alone, *part)):
        said = starts(program, states.held[name], tmp_path)
        assert said == "", said


def broken(files: Files_) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The same directory with each kind of damage."""
    pem = next(name for name in files if name.startswith("certs/"))
    others = [name for name in files if name.startswith("certs/") and name != pem]
    crt_list = next(name for name in files if name.startswith("crt-lists/") and files[name])
    a_map = next(name for name in files if name.startswith("maps/"))
    held = dict(files)
    yield "a missing PEM", {name: one for name, one in held.items() if name != pem}
    yield "an empty PEM", held | {pem: b""}
    yield "a truncated PEM", held | {pem: held[pem][:400]}
    key, end, _ = held[pem].partition(b"-----END PRIVATE KEY-----\n")
    _, _, chain = held[others[0]].partition(b"-----END PRIVATE KEY-----\n")
    yield "a mismatched PEM", held | {pem: key + end + chain}
    yield "a missing list", {name: one for name, one in held.items() if name != crt_list}
    yield "a missing map", {name: one for name, one in held.items() if name != a_map}
    configuration = held["haproxy.cfg"].replace(b" strict-sni", b"")
    yield (
        "no certificate and no strict-sni",
        held
        | {
            crt_list: b"",
            "haproxy.cfg": configuration,
        },
    )


@pytest.mark.parametrize("program", programs())
def test_the_simulation_and_haproxy_refuse_the_same(program: str, tmp_path: Path) -> None:
    states = States()
    life(states, (add_a_certificate,))
    whole = list(states.held.values())[-1]
    assert starts(program, whole, tmp_path) == ""
    load(whole, _ROOT.decode(), 0)
    for what, files in broken(whole):
        assert starts(program, files, tmp_path) != "", what
        with pytest.raises(WillNotStart):
            load(files, _ROOT.decode(), 0)


# --- the order of the writes taken out


@pytest.mark.parametrize(
    ("mutation", "change"),
    [
        (file_after_line, add_a_certificate),
        (file_removed_before_line, remove_a_certificate),
        (configuration_before_lists, change_the_default),
    ],
    ids=lambda value: value.__name__,
)
def test_in_another_order_a_prefix_does_not_load(
    mutation: Callable[[pytest.MonkeyPatch], None],
    change: Change,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation(monkeypatch)
    with pytest.raises(Violation, match="DiskLoadable"):
        life(States(), (change,))
