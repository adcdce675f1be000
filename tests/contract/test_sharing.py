"""Several frontends on one service: what is shared stays until the last one is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from certfront.loadbalancers.protocol import Binding, Listener
from certfront.model.meta import ObjectName
from tests.contract.material import binding, frontend, plain
from tests.contract.stage import Stage

A, B = binding("a"), binding("b")


async def test_a_second_frontend_on_the_service(stage: Stage) -> None:
    one, two = stage.adapter.listener("one", A), stage.adapter.second("two", B)
    await stage.want(one)
    plan = await stage.want(one, two)
    stage.assert_done(plan, one, two)
    stage.assert_only(A, B)
    plan = await stage.want(two, releasing=["one"])
    stage.assert_done(plan, two)
    assert plan.left == frozenset()
    stage.assert_only(B)


async def test_a_shared_certificate_is_there_once_and_stays_for_the_one_that_is_left(
    stage: Stage,
) -> None:
    shared = binding("s", "a", "b")
    one, two = stage.adapter.listener("one", shared), stage.adapter.second("two", shared)
    if stage.adapter.second_port == 443:
        one = stage.adapter.listener("one", _only(shared, "a"))
        two = stage.adapter.second("two", _only(shared, "b"))
    plan = await stage.want(one, two)
    stage.assert_done(plan, one, two)
    stage.assert_only(shared)
    renewed = binding("s", "a", "b", version=2)
    one = stage.adapter.listener("one", _for(one, renewed))
    two = stage.adapter.second("two", _for(two, renewed))
    plan = await stage.want(one, two)
    stage.assert_done(plan, one, two)
    stage.assert_only(renewed)
    plan = await stage.want(two, releasing=["one"])
    assert plan.left == frozenset()
    stage.assert_done(plan, two)
    stage.assert_only(renewed)
    plan = await stage.want(releasing=["two"])
    assert plan.left == frozenset()
    stage.assert_only()


def _only(bound: Binding, host: str) -> Binding:
    """The binding for one label only."""
    return replace(bound, hostnames=tuple(h for h in bound.hostnames if h.startswith(f"{host}.")))


def _for(listener: Listener, bound: Binding) -> Binding:
    """The binding for the hostnames of a listener."""
    return replace(bound, hostnames=listener.bindings[0].hostnames)


async def test_a_frontend_about_which_nothing_was_decided_keeps_everything(stage: Stage) -> None:
    one, two = stage.adapter.listener("one", A), stage.adapter.second("two", B)
    await stage.want(one, two)
    for restarted in (False, True):
        if restarted:
            stage.restart()
        stage.mark()
        plan = await stage.want(two, staying=["one"])
        assert stage.changes() == []
        stage.assert_done(plan, two)
        stage.assert_serves(one)
    stage.assert_only(A, B)


async def test_nothing_is_removed_while_some_frontends_are_not_known_yet(stage: Stage) -> None:
    one, two = stage.adapter.listener("one", A), stage.adapter.second("two", B)
    await stage.want(one, two)
    stage.mark()
    await stage.want(two, complete=False)
    stage.assert_serves(one, two)
    stage.assert_only(A, B)


@pytest.mark.needs("claims")
async def test_of_two_that_claim_one_name_the_one_that_has_it_keeps_it(stage: Stage) -> None:
    """The other belongs to another LoadBalancer of the installation, which knows nothing of it."""
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    held = stage.adapter.certificates(stage.snapshot())
    stage.start(load_balancer=ObjectName("balancers", "second"))
    rival = binding("r", "a", version=2)
    plan = await stage.want(
        stage.adapter.listener("rival", rival),
        until=lambda plan: (
            not plan.operations and any(one.problems for one in plan.outlooks.values())
        ),
    )
    assert plan.outlooks[frontend("rival")].problems != ()
    stage.assert_serves(web)
    await stage.want(releasing=["rival"])
    stage.assert_serves(web)
    assert stage.adapter.certificates(stage.snapshot()) == held == [plain(A.fingerprint)]
