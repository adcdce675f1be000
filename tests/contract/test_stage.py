"""The stage itself: what it is there to notice, it notices."""

# ruff: noqa: PT012 - what is judged is the stage, as it is left

from __future__ import annotations

import asyncio

import pytest

from certfront.model.meta import ObjectName
from tests.contract.kong import Kong
from tests.contract.material import binding
from tests.contract.stage import assert_hides_secrets, key_lines, secret_values, staged

A = binding("a")


async def test_a_hostname_that_is_served_no_more_is_noticed() -> None:
    adapter = Kong()
    with pytest.raises(AssertionError, match="is not served any more"):
        async with staged(adapter) as stage:
            await stage.want(adapter.listener("web", A))
            adapter.forget_certificate(stage.emulator, stage.snapshot())
            stage.clock.advance(1)


async def test_a_changed_object_of_somebody_else_is_noticed() -> None:
    adapter = Kong()
    with pytest.raises(AssertionError):
        async with staged(adapter) as stage:
            gone = {"method": "DELETE", "path": f"/snis/foreign.{A.hostnames[0].partition('.')[2]}"}
            stage.emulator.steer("request", gone)


async def test_two_changes_at_once_are_noticed() -> None:
    adapter = Kong()
    with pytest.raises(AssertionError, match="two changes were under way"):
        async with staged(adapter) as stage:
            stage.slow = 0.01
            first = stage.driver
            stage.ask(adapter.listener("web", A))
            stage.start(load_balancer=ObjectName("balancers", "second"))
            stage.ask(adapter.listener("other", binding("b")))
            await asyncio.gather(first.settle(), stage.driver.settle())


@pytest.mark.parametrize("kind", ["key", "credential"])
def test_a_secret_in_a_text_is_noticed(kind: str) -> None:
    credential = secret_values(Kong())[0].decode().strip()
    secret = key_lines()[0] if kind == "key" else credential
    with pytest.raises(AssertionError, match="a secret is shown"):
        assert_hides_secrets(Kong(), ["nothing here", f"Refused({secret})"])
