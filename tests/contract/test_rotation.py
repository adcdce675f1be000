"""Renewing, and names that come and go: the new one is served before the old one goes."""

from __future__ import annotations

import pytest

from tests.contract.material import binding
from tests.contract.stage import Stage

A, A2 = binding("a"), binding("a", version=2)


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "new process"])
async def test_a_renewed_certificate_takes_the_place_of_the_old_one(
    stage: Stage, restarted: bool
) -> None:
    await stage.want(stage.adapter.listener("web", A))
    if restarted:
        stage.restart()
    web = stage.adapter.listener("web", A2)
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A2)


async def test_renewals_in_a_row_leave_the_last_one_only(stage: Stage) -> None:
    """Each comes before the removal of the one before."""
    await stage.want(stage.adapter.listener("web", A))
    for version in (2, 3, 4):
        await stage.want(
            stage.adapter.listener("web", binding("a", version=version)),
            until=lambda plan: any(
                standing.bound for one in plan.outlooks.values() for standing in one.standings
            ),
        )
    web = stage.adapter.listener("web", binding("a", version=5))
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(binding("a", version=5))


async def test_a_name_is_added_and_taken_away_again(stage: Stage) -> None:
    """The certificate is issued anew with other names; those that stay are served all the time."""
    for bound in (A, binding("a", "a", "b", version=2), binding("a", "b", version=3)):
        web = stage.adapter.listener("web", bound)
        plan = await stage.want(web)
        stage.assert_done(plan, web)
        stage.assert_only(bound)


async def test_a_certificate_is_added_and_taken_away_again(stage: Stage) -> None:
    if stage.adapter.one_certificate:
        pytest.skip("a listener has one certificate")
    b = binding("b")
    for several in ((A,), (A, b), (b,), (b, A2)):
        web = stage.adapter.listener("web", *several)
        plan = await stage.want(web)
        stage.assert_done(plan, web)
        stage.assert_only(*several)
