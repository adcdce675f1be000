"""Installing: one certificate, nothing more, and quiet afterwards."""

from __future__ import annotations

import pytest

from certfront.loadbalancers.errors import NotYet
from certfront.loadbalancers.handshake import any_context, probe, sni_for
from tests.contract.material import binding, plain
from tests.contract.stage import Adapter, Stage, staged

A = binding("a")


async def test_a_certificate_is_installed_and_served(stage: Stage) -> None:
    web = stage.adapter.listener("web", A)
    plan = await stage.want(web)
    stage.assert_done(plan, web)
    stage.assert_only(A)
    # A new certificate may not be known everywhere at once.
    assert {type(error) for error in stage.driver.errors} <= {NotYet}


async def test_a_client_is_shown_what_was_installed_and_then_what_was_renewed(
    adapter: Adapter,
) -> None:
    """By a handshake over TCP with what listens."""
    async with staged(adapter, open_ports=True) as stage:
        for version in (1, 2):
            bound = binding("a", version=version)
            await stage.want(adapter.listener("web", bound))
            await stage.running.refresh()
            (host,) = bound.hostnames
            seen = await probe(("127.0.0.1", stage.fronts[443]), sni_for(host), any_context())
            assert plain(seen.fingerprint) == plain(bound.fingerprint)


async def test_what_is_settled_is_left_alone(stage: Stage) -> None:
    """Looking again, by the same process or another, costs reads only and shows the same."""
    web = stage.adapter.listener("web", A)
    await stage.want(web)
    before = await stage.driver.provider.observe(stage.driver.current())
    stage.mark()
    after = await stage.driver.provider.observe(stage.driver.current())
    assert after == before
    assert stage.driver.provider.plan(stage.driver.current(), after).operations == ()
    for _ in range(2):
        stage.clock.advance(600)
        plan = await stage.settle()
        stage.assert_done(plan, web)
        stage.restart()
    assert stage.changes() == []
    stage.assert_only(A)


async def test_a_plan_is_a_matter_of_what_it_is_given(stage: Stage) -> None:
    """Asked twice it says the same: no hidden state, no chance."""
    stage.ask(stage.adapter.listener("web", A))
    provider, wish = stage.driver.provider, stage.driver.current()
    observed = await provider.observe(wish)
    assert provider.plan(wish, observed) == provider.plan(wish, observed)


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "incomplete"])
async def test_an_install_does_not_wait_for_all_frontends_to_be_known(
    stage: Stage, complete: bool
) -> None:
    web = stage.adapter.listener("web", A)
    plan = await stage.want(web, complete=complete)
    stage.assert_done(plan, web)
    stage.assert_only(A)
