"""Whatever is wished for one after the other, both kinds of balancer come to rest at the last wish.

The models raise where something in use is deleted; here it is seen that what is wanted is offered,
that nothing is twice, that what others made is untouched, and that a release leaves nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certfront.loadbalancers.aws.application.client import ApplicationAPI
from certfront.loadbalancers.aws.application.provider import ApplicationProvider
from certfront.loadbalancers.aws.application.state import Forward
from certfront.loadbalancers.aws.application.state import Listener as ApplicationListener
from certfront.loadbalancers.aws.classic.client import ClassicAPI
from certfront.loadbalancers.aws.classic.provider import ClassicProvider
from certfront.loadbalancers.aws.classic.state import Listener as ClassicListener
from certfront.loadbalancers.aws.material import leaf_of
from certfront.loadbalancers.protocol import Listener, Plan, Wish
from tests.contract.driver import ClockOf, Driver, SteppedTime
from tests.unit.loadbalancers.aws.builders import (
    NOW,
    RSA,
    SCOPE,
    WEB,
    binding,
    fingerprint,
    frontend,
    listener,
    pair,
    wish,
)
from tests.unit.loadbalancers.aws.model import ApplicationModel, ClassicModel

NAMES = ("one", "two", "three")
CERTIFICATES = ("a", "b")
MANY = 60


@st.composite
def frontends(draw: st.DrawFn, *, manages: tuple[str, ...], many: bool) -> list[Listener]:
    """What frontends ask for at some time; the older always come first."""
    versions = {name: draw(st.integers(1, 2)) for name in CERTIFICATES}
    key_type = draw(st.sampled_from([RSA, None]))
    found = []
    for age, name in enumerate(NAMES):
        if not draw(st.booleans()):
            continue
        wanted = draw(st.lists(st.sampled_from(CERTIFICATES), min_size=1, max_size=2, unique=True))
        bindings = [
            binding(one, version=versions[one], **({"key_type": key_type} if key_type else {}))
            for one in (wanted if many else wanted[:1])
        ]
        manage = draw(st.sampled_from(manages))
        port = 8443 if manage == "CertificatesOnly" else 443
        http = draw(st.sampled_from([None, 80])) if manage == "Listener" else None
        found.append(
            listener(
                name,
                *bindings,
                age=10 - age,
                port=port,
                manage=manage,
                http_port=http,
                classic=WEB,
                farm_name="web",
            )
        )
    return found


def wishes(listeners: list[Listener], before: set[str]) -> Wish:
    """The frontends that were there and are not asked for are released."""
    now = {one.frontend.name for one in listeners}
    return wish(*listeners, releasing=sorted(before - now))


def settled(plan: Plan[Any], wanted: Wish) -> None:
    for one in wanted.listeners:
        outlook = plan.outlooks[one.frontend]
        assert outlook.configured or outlook.problems
        if not outlook.problems:
            assert all(standing.bound for standing in outlook.standings)
    assert not plan.operations


@settings(max_examples=MANY, deadline=None)
@given(
    steps=st.lists(
        frontends(manages=("Listener", "CertificatesOnly", "StoreOnly"), many=False),
        min_size=1,
        max_size=4,
    )
)
def test_a_classic_balancer_comes_to_rest(steps: list[list[Listener]]) -> None:
    asyncio.run(classic(steps))


async def classic(steps: list[list[Listener]]) -> None:
    time = SteppedTime(NOW)
    model = ClassicModel(time=time)
    foreign = model.put("terraform", leaf_of(pair("foreign").leaf))
    model.listeners[8443] = ClassicListener(
        port=8443,
        protocol="HTTPS",
        instance_port=8080,
        instance_protocol="HTTP",
        certificate=foreign.arn,
    )
    before = dict(model.listeners)
    provider = ClassicProvider(cast("ClassicAPI", model), SCOPE, ClockOf(time))
    driver = Driver(provider=provider, wish=wish(), time=time)
    asked: set[str] = set()
    for listeners in [*steps, []]:
        wanted = wishes(listeners, asked)
        asked |= {one.frontend.name for one in listeners}
        driver.want(wanted)
        observed, plan = await driver.settle()
        settled(plan, wanted)
        assert await provider.observe(driver.current()) == observed
        leaves = [one.leaf.fingerprint for one in model.stored.values() if one.leaf is not None]
        assert len(set(leaves)) == len(leaves)
    assert model.listeners == before
    assert list(model.stored) == ["terraform"]
    assert model.balancer_tags == {}


@settings(max_examples=MANY, deadline=None)
@given(
    steps=st.lists(
        frontends(manages=("Listener", "CertificatesOnly", "StoreOnly"), many=True),
        min_size=1,
        max_size=4,
    )
)
def test_an_application_balancer_comes_to_rest(steps: list[list[Listener]]) -> None:
    asyncio.run(application(steps))


async def application(steps: list[list[Listener]]) -> None:
    time = SteppedTime(NOW)
    model = ApplicationModel(time=time)
    foreign = model.put(leaf_of(pair("foreign").leaf), {"made-by": "terraform"})
    made = ApplicationListener(
        arn="arn:listener/terraform",
        port=8443,
        protocol="HTTPS",
        action=Forward(target_group="arn:group/web"),
        policy="ELBSecurityPolicy-2016-08",
        default=foreign,
    )
    model.listeners_by_arn[made.arn] = made
    provider = ApplicationProvider(cast("ApplicationAPI", model), SCOPE, ClockOf(time))
    driver = Driver(provider=provider, wish=wish(), time=time)
    asked: set[str] = set()
    for listeners in [*steps, []]:
        wanted = wishes(listeners, asked)
        asked |= {one.frontend.name for one in listeners}
        driver.want(wanted)
        observed, plan = await driver.settle()
        settled(plan, wanted)
        assert await provider.observe(driver.current()) == observed
        leaves = [leaf.fingerprint for _, leaf, _ in model.stored.values()]
        assert len(set(leaves)) == len(leaves)
    assert model.listeners_by_arn == {made.arn: made}
    assert list(model.stored) == [foreign]


@pytest.mark.parametrize("version", [1, 2])
async def test_the_newest_version_of_a_certificate_is_the_one(version: int) -> None:
    """Two frontends that share a certificate are told of a new version one after the other."""
    time = SteppedTime(NOW)
    model = ApplicationModel(time=time)
    provider = ApplicationProvider(cast("ApplicationAPI", model), SCOPE, ClockOf(time))
    one = listener("one", binding("a", version=version), farm_name="web", age=2)
    two = listener("two", binding("a", version=3 - version), farm_name="web", age=1)
    driver = Driver(provider=provider, wish=wish(one, two), time=time)
    _, plan = await driver.settle()
    leaves = [leaf.fingerprint for _, leaf, _ in model.stored.values()]
    assert leaves == [fingerprint("a", 2)]
    bound = {name: plan.outlooks[frontend(name)].standings[0].bound for name in ("one", "two")}
    assert bound == {"one": version == 2, "two": version == 1}
