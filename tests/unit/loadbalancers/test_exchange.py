"""A name that leads to loopback is told as refused, not as one that does not resolve; odd CA bundles."""

from datetime import UTC, datetime

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, ProviderError
from certfront.loadbalancers.exchange import Exchange, Pace
from certfront.model.addresses import AllowedAddresses
from certfront.model.clock import FrozenClock


def made(**given):
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    return Exchange(
        addresses=AllowedAddresses(()), clock=clock, pace=Pace(clock), user_agent="t", **given
    )


async def test_a_name_that_leads_to_loopback_is_refused():
    exchange = made()
    with pytest.raises(Denied) as caught:
        await exchange.send("GET", "http://localhost:1/")
    assert caught.value.reason == reasons.ENDPOINT_REFUSED
    await exchange.close()


async def test_a_ca_bundle_that_is_none_is_a_provider_error():
    with pytest.raises(ProviderError):
        made(ca_bundle=b"not a certificate")
