"""What is put into a process of `certfront` for a fault does what it is for."""

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import os, sys
from pathlib import Path
from tests.faults.launch import Writes
directory = Path(sys.argv[1])
sys.addaudithook(Writes(int(sys.argv[2]), str(directory), ""))
(directory / "a.new").write_bytes(b"1")
print("written", flush=True)
os.replace(directory / "a.new", directory / "a")
print("renamed", flush=True)
(directory / "a").read_bytes()
(directory / "a").unlink()
print("removed", flush=True)
"""


@pytest.mark.parametrize(
    ("at", "left", "told"),
    [
        pytest.param(1, [], [], id="before the file"),
        pytest.param(2, ["a.new"], ["written"], id="before the rename"),
        pytest.param(3, ["a"], ["written", "renamed"], id="before the removal"),
        pytest.param(4, [], ["written", "renamed", "removed"], id="not at all"),
    ],
)
def test_a_process_is_killed_between_its_writes(
    tmp_path: Path, at: int, left: list[str], told: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path), str(at)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [path.name for path in tmp_path.iterdir()] == left
    lines = [each for each in done.stdout.split() if each in ("written", "renamed", "removed")]
    assert lines == told
    assert done.returncode == (0 if at == 4 else -9)


def test_another_clock_is_handed_to_the_product() -> None:
    program = (
        "import datetime as dt; from tests.faults.launch import _move_clock;"
        "_move_clock(dt.timedelta(days=40)); from certfront.model.clock import SystemClock;"
        "print((SystemClock().now() - dt.datetime.now(dt.UTC)).days)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("39", "40")


def test_rounds_of_the_product_can_be_made_short() -> None:
    """The names that are replaced exist; else a fault run would wait for minutes and prove less."""
    program = "from tests.faults.launch import _shorten_rounds; _shorten_rounds(4.0)"
    subprocess.run([sys.executable, "-c", program], check=True)
