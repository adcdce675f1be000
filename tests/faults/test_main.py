"""The command line says what it was given wrongly, and that there was nothing to hit."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults import __main__ as command
from tests.faults.plan import Plan
from tests.faults.runner import Outcome

EFFECTS = 3


@pytest.fixture(autouse=True)
def _without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is good, and has three effects."""

    @contextmanager
    def started(*_: object) -> Iterator[None]:
        yield

    def guarded(_made: None, plan: Plan) -> Outcome:
        return Outcome(plan=plan, missed=plan.from_start and plan.faults[0].at > EFFECTS)

    monkeypatch.setattr(command, "started", started)
    monkeypatch.setattr(command, "guarded", guarded)
    monkeypatch.setattr(command, "report", lambda *_: None)
    monkeypatch.setattr(command, "remove_leftovers", lambda _: None)


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["faults", *arguments])
    return command.main()


def test_an_effect_that_never_came_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(monkeypatch, "--effect", "after:3") == 0
    assert main(monkeypatch, "--effect", "after:9999") == 1
    assert "there was no such effect" in capsys.readouterr().out


def test_a_sweep_ends_well_behind_the_last_effect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(monkeypatch, "--sweep") == 0
    assert "7 runs, 0 with problems" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["nonsense:3", "after", "after:0", "before:-1", "before:3 "])
def test_what_is_no_effect_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(monkeypatch, "--effect", given)
