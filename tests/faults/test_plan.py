"""A seed decides everything about a run, and five in a row bring every kind of fault."""

import pytest

from tests.faults.plan import KINDS, at_effect, only_kills, plan


def test_a_seed_repeats_its_run() -> None:
    assert plan(7) == plan(7)
    assert plan(7).faults != plan(12).faults, "of the same group, with other numbers"


@pytest.mark.parametrize("first", [0, 3, 1000])
def test_five_seeds_in_a_row_bring_every_kind(first: int) -> None:
    assert set().union(*(plan(seed).kinds() for seed in range(first, first + 5))) == set(KINDS)


def test_a_run_of_kills_has_so_many() -> None:
    assert [fault.kind for fault in only_kills(1, 50).faults] == ["kill"] * 50


def test_no_two_runs_have_the_same_name() -> None:
    runs = [plan(1), plan(2), only_kills(1, 3), at_effect(1, "before"), at_effect(1, "after")]
    assert len({run.name for run in runs}) == len(runs)
