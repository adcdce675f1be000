"""What goes wrong at the provider, or with the process that talks to it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, Literal

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Refused
from certfront.loadbalancers.protocol import Listener
from sandbox.emulators.server import Fault
from tests.contract.material import binding, frontend
from tests.contract.stage import Adapter, Arrival, Stage, staged

A, A2, B = binding("a"), binding("a", version=2), binding("b")
HOUR = timedelta(hours=1)
MOST_CALLS = 120


@pytest.mark.parametrize("kind", ["status", "html", "reset"])
async def test_a_provider_that_is_down_for_an_hour_is_asked_again_until_it_is_back(
    stage: Stage, kind: Any
) -> None:
    """An install and a rotation begin within the hour; nothing is lost, nothing is done twice."""
    down_until = stage.clock.now()
    stage.gate.decide = lambda _: (
        Fault(kind=kind, status=503) if stage.clock.now() < down_until else None
    )
    for bound in (A, A2):
        down_until = stage.clock.now() + HOUR
        web = stage.adapter.listener("web", bound)
        plan = await stage.want(web, rounds=2000)
        assert stage.clock.now() >= down_until
        stage.assert_done(plan, web)
        stage.assert_only(bound)


async def test_wrong_credentials_change_nothing_and_right_ones_go_on(stage: Stage) -> None:
    await stage.want(stage.adapter.listener("web", A))
    stage.mark()
    web = stage.adapter.listener("web", A2)
    stage.restart(credentials=stage.adapter.wrong_credentials)
    with pytest.raises(Denied) as told:
        await stage.want(web)
    assert told.value.reason == reasons.CREDENTIALS_REFUSED
    stage.told += [str(told.value), repr(told.value)]
    assert not any(_changed(stage, one) for one in stage.running.calls[stage.marked :])
    stage.assert_serves(stage.adapter.listener("web", A))
    stage.restart()
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A2)


def _changed(stage: Stage, call: Any) -> bool:
    return stage.adapter.is_change(call.method, call.name) and 200 <= call.status < 300


@pytest.mark.needs("quota")
async def test_a_full_quota_holds_those_that_came_late_and_nobody_else(stage: Stage) -> None:
    one, two = stage.adapter.listener("one", A), stage.adapter.second("two", B)
    stage.adapter.set_quota(stage.emulator, 1)
    plan = await stage.want(one, two)
    stage.assert_done(plan, one)
    refused = [error for error in stage.driver.errors if isinstance(error, Refused)]
    problems = [problem.reason for problem in plan.outlooks[frontend("two")].problems]
    assert {*(error.reason for error in refused), *problems} == {reasons.QUOTA_EXCEEDED}
    stage.assert_only(A)
    stage.adapter.raise_quota(stage.emulator)
    plan = await stage.want(one, two)
    stage.assert_done(plan, one, two)
    stage.assert_only(A, B)


async def test_an_answer_that_is_lost_is_no_second_time(adapter: Adapter) -> None:
    """Every changing call of an install and of a rotation in turn is done, and nobody hears of it."""
    for number in range(MOST_CALLS):
        async with staged(adapter) as stage:
            lost: list[str] = []
            stage.gate.decide = partial(_lose, number, lost)
            for bound in (A, A2):
                web = adapter.listener("web", bound)
                plan = await stage.want(web)
                stage.assert_done(plan, web)
                stage.assert_only(bound)
        if not lost:
            return
    raise AssertionError("there is no end of changes")


def _lose(number: int, lost: list[str], arrival: Arrival) -> Fault | None:
    if arrival.change != number:
        return None
    lost.append(arrival.name)
    return Fault(kind="lost")


@pytest.mark.parametrize(
    ("when", "behind"),
    [("before", False), ("after", True)],
    ids=["before it is done", "after it is done, with its status not written"],
)
@pytest.mark.parametrize("what", ["install", "rotation"])
async def test_a_process_that_dies_at_any_call_is_followed_by_one_that_goes_on(
    adapter: Adapter, what: str, when: Literal["before", "after"], behind: bool
) -> None:
    """Swept over every call. The next process knows what status had, and no more."""
    first: Listener | None = adapter.listener("web", A) if what == "rotation" else None
    web = adapter.listener("web", A2)
    for number in range(MOST_CALLS):
        async with staged(adapter) as stage:
            if first is not None:
                await stage.want(first)
            stage.ask(web)
            died = await stage.killed_at(number, when)
            if died:
                stage.restart(behind=behind)
                stage.driver.want(stage.driver.wish)
            plan = await stage.settle()
            stage.assert_done(plan, web)
            stage.assert_only(A2)
        if not died:
            return
    raise AssertionError("there is no end of calls")
