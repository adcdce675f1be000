"""The invariants of one ACME certificate's life, each over every state that the searches reach.

The product's own passes run; what can happen to them is in `search`. Which invariants these are, and
what is not modelled: docs/model.md. That each test can fail is proven in `test_mutations`.
"""

import pytest

from tests.model.scenarios import searched
from tests.model.state import OBJECTS, Invariant

FEWEST_STATES = 50_000


def _holds(invariant: Invariant) -> None:
    broken = [
        f"{scenario.name}\n{found.trace(invariant)}"
        for scenario, found in searched()
        if invariant in found.violations
    ]
    assert not broken, "\n\n".join(broken)


def test_one_finalized_order_for_one_need() -> None:
    _holds("OneFinalized")


def test_key_before_request_and_until_the_pair_is_stored() -> None:
    _holds("KeyBeforeRequest")


def test_recorded_before_finalize() -> None:
    _holds("RecordedBeforeFinalize")


def test_pair_atomic_and_of_the_need_it_names() -> None:
    _holds("PairAtomic")


def test_revision_monotone() -> None:
    _holds("RevisionMonotone")


def test_no_foreign_write_nor_to_an_earlier_incarnation() -> None:
    _holds("NoForeignWrite")


def test_quiescence_at_rest_and_over_a_restart() -> None:
    _holds("Quiescence")


def test_bounded_orders_for_one_need_and_no_need_without_a_reason() -> None:
    _holds("BoundedOrders")


def test_convergence_wherever_nothing_more_happens() -> None:
    _holds("Convergence")


def test_no_pass_ends_with_a_defect() -> None:
    _holds("NoDefect")


def test_the_searches_are_whole_and_large_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """A model that reaches little proves little."""
    total = 0
    with capsys.disabled():
        print()
        for scenario, found in searched():
            print(
                f"  model: {scenario.name}: {found.states} states, {found.transitions} transitions,"
                f" {found.ends} ends, {found.passes} points of passes"
            )
            assert found.complete, f"{scenario.name} is cut off"
            assert found.ends, f"{scenario.name} comes to no end"
            total += found.states
    assert total >= FEWEST_STATES
    assert OBJECTS.intact()
