"""Whatever is wished, offered, lost or restarted: it comes to rest, and nothing in use is removed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certfront.loadbalancers.openscaler.state import Delete, Facts
from certfront.loadbalancers.protocol import Listener, Operation, Plan, Wish
from certfront.loadbalancers.reasons import LEFT_AT_PROVIDER
from tests.contract.driver import SteppedTime
from tests.unit.loadbalancers.openscaler.builders import (
    NOW,
    SCOPE,
    binding,
    frontend,
    listener,
    managed,
    name_of,
    source,
    wish,
)
from tests.unit.loadbalancers.openscaler.model import OpenScaler, StatusDriver

NAMES = ("a", "b", "c")


class Life:
    """A load balancer with its driver, over restarts of the operator."""

    def __init__(self, **options: Any) -> None:
        self.time = SteppedTime(NOW)
        self.openscaler = OpenScaler(self.time, **options)
        self.good: set[str] = set()
        self.driver = StatusDriver(
            provider=self.openscaler.provider(), wish=wish(), time=self.time, on_step=self._watch
        )

    def restart(self) -> None:
        self.driver.provider = self.openscaler.provider()

    async def make(self, wanted: Wish) -> Plan[Any]:
        """Settle, and see that it stays so, also when it is observed anew."""
        self.driver.want(wanted)
        self.good = names_of(wanted) & set(self.openscaler.there)
        return await self.settle(wanted)

    async def settle(self, wanted: Wish) -> Plan[Any]:
        """Go on with what is wanted."""
        observed, plan = await self.driver.settle()
        assert plan.operations == ()
        again = await self.driver.provider.observe(self.driver.current())
        assert again == observed
        assert self.driver.provider.plan(self.driver.current(), again).operations == ()
        for released in wanted.releasing - plan.left:
            # It is gone from the cluster, or its status says that nothing is installed.
            self.driver.memory.pop(released, None)
        return plan

    def _watch(self, _: object) -> None:
        """What is wanted and was there since it is wanted stays there."""
        there = set(self.openscaler.there)
        assert self.good <= there
        self.good |= names_of(self.driver.wish) & there


def names_of(wanted: Wish) -> set[str]:
    """The names of what is to be uploaded."""
    return {
        SCOPE.certificate_name(one.source, one.fingerprint)
        for _, one in wanted.bindings()
        if one.pair is not None
    }


def _listener(name: str) -> st.SearchStrategy[Listener]:
    some = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
    return st.builds(
        lambda names, versions: listener(
            name, *(binding(one, version=versions[one]) for one in names)
        ),
        some,
        st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(1, 2))),
    )


steps = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["one", "two"]), unique=True).flatmap(
            lambda names: st.tuples(*(_listener(name) for name in names))
        ),
        st.integers(0, 2),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(steps=steps, listing=st.booleans(), deletion=st.booleans())
def test_it_comes_to_rest(steps: Any, listing: bool, deletion: bool) -> None:
    async def run() -> None:
        life = Life(listing=listing, deletion=deletion)
        life.openscaler.there["by-hand"] = Facts(name="by-hand")
        known: set[str] = set()
        for listeners, lost, restarts in steps:
            if restarts:
                life.restart()
            life.openscaler.lose = lost
            mine = {one.frontend.name for one in listeners}
            known |= mine
            plan = await life.make(wish(*listeners, releasing=known - mine))
            assert plan.left == frozenset()
            there = set(life.openscaler.there) - {"by-hand"}
            wanted = names_of(life.driver.wish)
            assert wanted <= there
            if listing and deletion:
                assert there == wanted
            assert "by-hand" in life.openscaler.there
            known = mine
        assert max(Counter(life.openscaler.created).values(), default=0) <= len(steps)

    asyncio.run(run())


@pytest.mark.parametrize("listing", [True, False])
async def test_a_settled_load_balancer_costs_one_read_at_a_start(listing: bool) -> None:
    life = Life(listing=listing)
    await life.make(wish(listener("web", binding("a"))))
    life.openscaler.calls.clear()
    life.restart()
    await life.make(wish(listener("web", binding("a"))))
    assert life.openscaler.calls == Counter(GET=2 if listing else 1)


async def test_what_is_not_offered_is_asked_once_a_start() -> None:
    life = Life()
    for version in (1, 2):
        await life.make(wish(listener("web", binding("a", version=version))))
    await life.make(wish(releasing=["web"]))
    assert life.openscaler.calls == Counter(GET=1, POST=2, DELETE=1)


async def test_a_rotation_deletes_the_old_one_after_a_minute_also_after_a_restart() -> None:
    life = Life(deletion=True)
    await life.make(wish(listener("web", binding("a"))))
    life.restart()
    await life.make(wish(listener("web", binding("a", version=2))))
    assert set(life.openscaler.there) == {name_of("a", 2)}
    assert life.time.now() - NOW >= timedelta(seconds=60)
    await life.make(wish(releasing=["web"]))
    assert life.openscaler.there == {}


async def test_a_release_gives_up_where_deletion_is_not_offered_and_says_what_is_left() -> None:
    life = Life()
    await life.make(wish(listener("web", binding("a"))))
    plan = await life.make(wish(releasing=["web"]))
    assert plan.left == frozenset()
    [notice] = plan.notices
    assert notice.reason == LEFT_AT_PROVIDER
    assert name_of("a") in notice.message
    assert (await life.make(wish())).notices == plan.notices

    plan = await life.make(wish(listener("web", binding("a"))))
    assert plan.notices == ()
    assert life.openscaler.created == [name_of("a")]


async def test_a_deletion_whose_answer_is_lost_does_not_end_deletion() -> None:
    """A 404 after it does not say that deletion is not offered."""
    life = Life(deletion=True)
    await life.make(wish(listener("web", binding("a"))))

    def lose(operation: Operation[Any], _: object) -> None:
        life.openscaler.lose = int(isinstance(operation.act, Delete))
        life.driver.on_operation = lose if life.openscaler.lose == 0 else None

    life.driver.on_operation = lose
    plan = await life.make(wish(listener("web", binding("a", version=2))))
    assert [one.reason for one in plan.notices] == [LEFT_AT_PROVIDER]
    await life.make(wish(listener("web", binding("b"))))
    assert set(life.openscaler.there) == {name_of("b")}


@pytest.mark.parametrize("listing", [True, False])
async def test_lost_answers_create_nothing_twice(listing: bool) -> None:
    life = Life(listing=listing, deletion=True)
    life.openscaler.lose = 1
    await life.make(wish(listener("web", binding("a"))))
    life.openscaler.lose = 1
    await life.make(wish(listener("web", managed("m"))))
    assert len(life.openscaler.created) == 2
    assert len(life.openscaler.there) == 1


@pytest.mark.parametrize("kind", ["Public", "SelfSigned"])
@pytest.mark.parametrize("listing", [True, False])
async def test_what_is_issued_is_replaced_in_time_for_years(kind: str, listing: bool) -> None:
    life = Life(listing=listing, deletion=True)
    wanted = wish(
        listener("web", managed("m", kind=kind)), listener("late", managed("m", kind=kind))
    )
    days = 0
    for _ in range(12):
        life.restart()
        plan = await life.make(wanted)
        state = plan.managed[source("m")]
        assert len(life.openscaler.there) == 1
        end = life.openscaler.there[state.provider_id].not_after
        assert end is not None
        assert end > life.time.now()
        life.time.advance(20 * 86400)
        days += 20
    assert len(life.openscaler.created) == 1 + (days - 20) // (60 if kind == "Public" else 365)


async def test_a_refused_order_waits_and_is_tried_again() -> None:
    life = Life()
    life.openscaler.refuses = {"m.example"}
    wanted = wish(listener("web", managed("m"), binding("a")))
    life.driver.want(wanted)
    await life.driver.settle(until=lambda plan: bool(plan.managed[source("m")].problem))
    assert life.openscaler.created == []
    life.openscaler.refuses = set()
    plan = await life.settle(wanted)
    assert plan.managed[source("m")].problem is None
    assert life.time.now() - NOW >= timedelta(minutes=30)
    assert len(life.openscaler.created) == 2
    assert plan.outlooks[frontend("web")].standings[0].bound


async def test_a_renewal_that_is_asked_for_is_ordered_once() -> None:
    """The reconciler drops the entry of the certificate; what it was called stays in `frontendID`."""
    life = Life(deletion=True)
    wanted = wish(listener("web", managed("m")))
    await life.make(wanted)
    [first] = life.openscaler.created
    held = life.driver.memory[frontend("web")]
    life.driver.memory[frontend("web")] = replace(held, installed=())
    life.restart()
    await life.make(wanted)
    assert len(life.openscaler.created) == 2
    assert set(life.openscaler.there) == set(life.openscaler.created) - {first}
