"""Taking things off: after a while, only what nobody uses, and nothing that stays wanted."""

from __future__ import annotations

from sandbox.emulators.server import Fault
from tests.contract.material import binding
from tests.contract.stage import Arrival, Stage

A, B, A2 = binding("a"), binding("b"), binding("a", version=2)


async def test_a_frontend_that_is_deleted_takes_everything_of_its_own_along(stage: Stage) -> None:
    await stage.want(stage.adapter.listener("web", A))
    plan = await stage.want(releasing=["web"])
    assert plan.left == frozenset()
    stage.assert_only()
    stage.mark()
    await stage.settle()
    assert stage.changes() == []


async def test_a_frontend_that_is_deleted_and_made_again_is_served(stage: Stage) -> None:
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    await stage.want(releasing=["web"], until=lambda plan: bool(plan.left))
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A)


async def test_a_certificate_that_is_deleted_first_stays_installed_as_it_is(stage: Stage) -> None:
    await stage.want(stage.adapter.listener("web", A))
    kept = stage.adapter.listener("web", binding("a", at_hand=False))
    for restarted in (False, True):
        if restarted:
            stage.restart()
        stage.mark()
        plan = await stage.want(kept)
        assert stage.changes() == []
        stage.assert_done(plan, kept)
        stage.assert_only(A)
    plan = await stage.want(releasing=["web"])
    assert plan.left == frozenset()
    stage.assert_only()


async def test_the_successor_of_a_deleted_certificate_takes_its_place(stage: Stage) -> None:
    """The Certificate was deleted and made again under its name."""
    await stage.want(stage.adapter.listener("web", A))
    await stage.want(stage.adapter.listener("web", binding("a", at_hand=False)))
    web = stage.adapter.listener("web", A2)
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A2)


async def test_a_certificate_in_use_is_removed_later_and_holds_nobody(stage: Stage) -> None:
    """The provider refuses its removal three times; meanwhile a second frontend is served."""
    refused: list[str] = []

    def decide(arrival: Arrival) -> Fault | None:
        if not stage.adapter.removes_certificate(arrival.name) or arrival.change is None:
            return None
        if arrival.method == "PUT" or len(refused) == 3:
            return None
        refused.append(arrival.name)
        return stage.adapter.in_use(arrival.name)

    one, two = stage.adapter.listener("one", A), stage.adapter.second("two", B)
    await stage.want(one)
    stage.gate.decide = decide
    plan = await stage.want(two, releasing=["one"])
    stage.assert_done(plan, two)
    assert plan.left == frozenset()
    stage.assert_only(B)
