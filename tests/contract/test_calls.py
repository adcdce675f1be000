"""Calls are counted: none without need, and one change at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from certfront.loadbalancers.errors import Throttled
from sandbox.emulators.server import Fault
from tests.contract.material import binding
from tests.contract.stage import Adapter, Arrival, Stage, staged

A, A2 = binding("a"), binding("a", version=2)
MOST_CALLS = 120
SEVERAL = [binding(name) for name in "abcd"]


async def test_an_install_and_a_rotation_cost_these_changes_and_no_others(
    adapter: Adapter,
) -> None:
    async with staged(adapter, **adapter.exact) as stage:
        await stage.want(adapter.listener("web", A))
        assert stage.changes() == list(adapter.install)
        stage.mark()
        await stage.want(adapter.listener("web", A2))
        assert stage.changes() == list(adapter.rotation)


async def test_one_change_at_a_time(stage: Stage) -> None:
    """Each is held for a moment, so that a second beside it would be seen (by the stage)."""
    stage.slow = 0.005
    several = [A] if stage.adapter.one_certificate else SEVERAL
    await stage.want(stage.adapter.listener("web", *several))
    renewed = [binding(one.source.name, version=2) for one in several]
    await stage.want(stage.adapter.listener("web", *renewed))
    await stage.want(releasing=["web"])
    assert stage.most_under_way == 1


async def test_a_pause_that_is_asked_for_is_kept(stage: Stage) -> None:
    """At every call of a rotation in turn: no other call comes before its end."""
    for number in range(MOST_CALLS):
        pauses: list[datetime] = []
        early: list[str] = []
        stage.gate.reset()
        stage.gate.decide = partial(_pause, stage, number, pauses, early)
        before = len(stage.driver.errors)
        # Where nothing can be removed, an old version never becomes a new one again.
        version = 1 + (number % 2 if stage.adapter.removes else number)
        web = stage.adapter.listener("web", binding("a", version=version))
        plan = await stage.want(web)
        stage.assert_done(plan, web)
        assert early == []
        if not pauses:
            return
        told = stage.driver.errors[before:]
        assert any(isinstance(one, Throttled) for one in told)
    raise AssertionError("there is no end of calls")


def _pause(
    stage: Stage, number: int, pauses: list[datetime], early: list[str], arrival: Arrival
) -> Fault | None:
    """Ask for a pause at the call of that number, and note what comes before its end."""
    asked = 77
    ends = [begun + timedelta(seconds=stage.adapter.pause(asked)) for begun in pauses]
    if any(stage.clock.now() < end for end in ends):
        early.append(arrival.name)
    if arrival.number != number:
        return None
    pauses.append(stage.clock.now())
    return stage.adapter.throttled(asked, arrival.name)
