"""A cluster that is built anew: what its installation made is found again, what another made stays."""

from __future__ import annotations

import pytest

from tests.contract.material import binding
from tests.contract.stage import Stage

A, A2, B = binding("a"), binding("a", version=2), binding("b")


@pytest.mark.needs("reads", "memoryless")
async def test_with_the_same_installation_everything_is_found_again(stage: Stage) -> None:
    """From a backup without any status: nothing is uploaded a second time."""
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    stage.start(memory={})
    stage.mark()
    plan = await stage.want(web)
    assert stage.changes() == []
    stage.assert_done(plan, web)
    stage.assert_only(A)
    web = stage.adapter.listener("web", A2)
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A2)
    plan = await stage.want(releasing=["web"])
    assert plan.left == frozenset()
    stage.assert_only()


@pytest.mark.needs("memoryless")
async def test_without_reading_or_memory_nothing_is_there_twice(stage: Stage) -> None:
    """Where nothing can be read, names tell: the second upload is refused as a duplicate."""
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    stage.start(memory={})
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A)


async def test_another_installation_changes_and_removes_nothing_of_the_former(
    stage: Stage,
) -> None:
    former = stage.adapter.listener("web", A)
    await stage.want(former)
    before = stage.adapter.certificates(stage.snapshot())
    stage.start(memory={}, installation="another-installation")
    await stage.want(
        stage.adapter.second("other", B),
        # Where the former's listener is in the way, one may go on looking whether it goes.
        until=lambda plan: (
            not plan.operations and any(one.problems for one in plan.outlooks.values())
        ),
    )
    stage.assert_serves(former)
    after = stage.adapter.certificates(stage.snapshot())
    assert set(before) <= set(after)
    await stage.want(releasing=["other"])
    stage.assert_serves(former)
    assert set(before) <= set(stage.adapter.certificates(stage.snapshot()))
