"""Five seeds of faults, each in a tenant of its own; `make faults` does the same with fresh seeds."""

from collections.abc import Iterator

import pytest

from tests.faults.plan import plan
from tests.faults.runner import guarded, report
from tests.faults.setting import Setting, started
from tests.sandboxes import own_name, remove_leftovers

SEEDS = range(5)


@pytest.fixture(scope="module")
def made() -> Iterator[Setting]:
    """One sandbox behind a gate for all seeds."""
    remove_leftovers("f")
    with started(own_name("f")) as setting:
        yield setting


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_ready_after(made: Setting, seed: int) -> None:
    outcome = guarded(made, plan(seed))
    report(made, outcome, f"--seed {seed} --runs 1")
    assert outcome.problems == []
