"""A listener that is there already: refused, handed over, or only given certificates."""

from __future__ import annotations

from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.protocol import Plan
from tests.contract.material import binding, frontend
from tests.contract.stage import Stage

A, A2 = binding("a"), binding("a", version=2)
pytestmark = pytest.mark.needs("listener")


def _has_problems(plan: Plan[Any]) -> bool:
    """A provider may go on looking whether the listener comes or goes."""
    return not plan.operations and any(one.problems for one in plan.outlooks.values())


async def test_a_listener_of_somebody_else_is_refused_and_left_alone(stage: Stage) -> None:
    stage.adapter.add_listener(stage.emulator)
    stage.mark()
    plan = await stage.want(stage.adapter.listener("web", A), until=_has_problems)
    (problem,) = plan.outlooks[frontend("web")].problems
    assert problem.reason == reasons.LISTENER_EXISTS
    assert stage.changes() == []
    plan = await stage.want(releasing=["web"])
    assert plan.left == frozenset()
    assert stage.changes() == []


async def test_a_listener_that_is_handed_over_is_adopted(stage: Stage) -> None:
    stage.adapter.add_listener(stage.emulator)
    for bound in (A, A2):
        web = stage.adapter.listener("web", bound, adopt=True)
        plan = await stage.want(web)
        stage.assert_done(plan, web)
        stage.assert_only(bound)
        stage.restart()


async def test_only_certificates_come_and_go_on_a_listener_made_elsewhere(stage: Stage) -> None:
    stage.adapter.add_listener(stage.emulator)
    for bound in (A, A2):
        web = stage.adapter.listener("web", bound, manage="CertificatesOnly")
        plan = await stage.want(web)
        stage.assert_done(plan, web)
        stage.assert_only(bound)
        stage.restart()


async def test_certificates_alone_need_a_listener(stage: Stage) -> None:
    stage.mark()
    only = stage.adapter.listener("web", A, manage="CertificatesOnly")
    plan = await stage.want(only, until=_has_problems)
    reasons_told = [one.reason for one in plan.outlooks[frontend("web")].problems]
    assert reasons_told == [reasons.LISTENER_NOT_FOUND]
    assert stage.changes() == []
