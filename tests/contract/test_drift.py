"""What others change or delete behind our back is put right at the next look."""

from __future__ import annotations

import pytest

from tests.contract.material import binding
from tests.contract.stage import Stage

A, A2 = binding("a"), binding("a", version=2)


@pytest.mark.needs("reads")
@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "new process"])
async def test_a_certificate_that_is_deleted_comes_back(stage: Stage, restarted: bool) -> None:
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    stage.watch.forgive()
    stage.adapter.forget_certificate(stage.emulator, stage.snapshot())
    if restarted:
        stage.restart()
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A)


@pytest.mark.needs("listener", "listener-deleted")
async def test_a_listener_that_is_deleted_comes_back(stage: Stage) -> None:
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    stage.watch.forgive()
    stage.adapter.forget_listener(stage.emulator, stage.snapshot())
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A)


@pytest.mark.needs("listener", "listener-changed")
async def test_a_listener_that_is_changed_is_put_right(stage: Stage) -> None:
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    stage.watch.forgive()
    stage.adapter.change_listener(stage.emulator, stage.snapshot())
    stage.mark()
    plan = await stage.want(web)
    assert stage.changes() != []
    stage.assert_done(plan, web)
    stage.assert_only(A)


@pytest.mark.needs("reads")
async def test_a_certificate_that_is_deleted_during_its_renewal_is_not_missed(stage: Stage) -> None:
    await stage.want(stage.adapter.listener("web", A))
    stage.watch.forgive()
    stage.adapter.forget_certificate(stage.emulator, stage.snapshot())
    web = stage.adapter.listener("web", A2)
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A2)
