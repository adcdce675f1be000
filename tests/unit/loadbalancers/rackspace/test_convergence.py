"""Whatever is wished and whatever is there: it comes to rest, and takes nothing away on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certfront.loadbalancers.protocol import Listener, Memory, Operation, Wish
from certfront.loadbalancers.rackspace import state
from tests.contract.driver import Driver
from tests.unit.loadbalancers.rackspace.builders import (
    binding,
    frontend,
    listener,
    mapping,
    memory,
    observed,
    termination,
    wish,
)
from tests.unit.loadbalancers.rackspace.model import Model

HOSTS = ("a.example", "b.example", "x.a.example", "*.example", "*.a.example")
NAMES = ("a", "b", "c")
FOREIGN = "c.example"

hosts = st.lists(st.sampled_from(HOSTS), max_size=3, unique=True)
bindings = st.builds(lambda name, names: binding(name, *names), st.sampled_from(NAMES), hosts)


def _listener(name: str, age: int) -> st.SearchStrategy[Listener]:
    return st.builds(
        lambda several, default, https_only, adopt: listener(
            name,
            *_free(several),
            age=age,
            default=default if any(one.source.name == default for one in several) else "",
            https_only=https_only,
            adopt=adopt,
        ),
        st.lists(bindings, min_size=1, max_size=3, unique_by=lambda one: one.source),
        st.sampled_from(["", *NAMES]),
        st.booleans(),
        st.booleans(),
    )


def _free(several: list[Any]) -> list[Any]:
    """As `bindings.bind` does it: every name is bound once."""
    taken: set[str] = set()
    found = []
    for one in several:
        names = tuple(name for name in one.hostnames if name not in taken)
        taken.update(names)
        found.append(replace(one, hostnames=names))
    return found


def _apart(old: Listener, late: Listener) -> tuple[Listener, ...]:
    """As `claims` does it: a host name is one frontend's."""
    held = set(old.hostnames)
    narrowed = tuple(
        replace(one, hostnames=tuple(n for n in one.hostnames if n not in held))
        for one in late.bindings
    )
    left = tuple(name for name in late.hostnames if name not in held)
    return old, replace(late, hostnames=left, bindings=narrowed)


def _of_one_version(one: Listener, renewed: str) -> Listener:
    """A certificate has one version at a time, whoever binds it."""
    return replace(
        one,
        bindings=tuple(
            binding(b.source.name, *b.hostnames, version=2) if b.source.name == renewed else b
            for b in one.bindings
        ),
    )


wishes = st.builds(
    lambda old, late, count, renewed: wish(
        *(_of_one_version(one, renewed) for one in _apart(old, late)[:count])
    ),
    _listener("old", 9),
    _listener("late", 0),
    st.integers(1, 2),
    st.sampled_from(["", *NAMES]),
)

starts = st.sampled_from(
    [
        (observed(), {}),
        (observed(termination("c")), {}),
        (observed(termination("c", secure_only=True), https_redirect=True), {}),
        (
            observed(termination("a"), mapping(7, "b.example", "b"), mapping(9, FOREIGN)),
            {frontend("old"): memory(True, a="termination", b="7")},
        ),
        (
            observed(
                termination("b", secure_only=True),
                mapping(7, "*.example", "a"),
                https_redirect=True,
            ),
            {frontend("late"): memory(True, b="termination", a="7")},
        ),
        (observed(termination("c"), mapping(9, "a.example", "c")), {}),
    ]
)


def _served(there: state.Observed, host: str) -> str:
    """What a client asking for `host` is shown: the most specific mapping, else the default."""
    fitting = [
        one
        for one in there.mappings
        if one.host == host or (one.host.startswith("*.") and host.endswith(one.host[1:]))
    ]
    # An exact name is the longest one that fits; a wildcard fits itself.
    fitting.sort(key=lambda one: (one.host == host, len(one.host)))
    return fitting[-1].fingerprint if fitting else there.at(state.TERMINATION)


class Watch:
    """Says whether a name that is served as wished ever stops being so."""

    def __init__(self, wanted: Wish) -> None:
        self.wanted = {
            host: one.fingerprint
            for listener in reversed(wanted.listeners)
            for one in reversed(listener.bindings)
            for host in one.hostnames
        }
        self.good: set[str] = set()

    def see(self, there: state.Observed) -> None:
        for host, fingerprint in self.wanted.items():
            shown = _served(there, host)
            if shown == fingerprint:
                self.good.add(host)
            assert host not in self.good or shown == fingerprint, f"{host} was served before"


async def _settled(model: Model, wanted: Wish, known: dict[Any, Memory]) -> Driver:
    watch = Watch(wanted)
    driver = Driver(provider=model, wish=replace(wanted, memory=known), on_step=watch.see)
    watch.see(model.there)
    there, plan = await driver.settle(rounds=400)
    assert plan.operations == ()
    assert there == await model.observe(wanted)
    assert model.plan(driver.current(), there).operations == ()
    return driver


def _foreign(
    there: state.Observed, known: dict[Any, Memory], wanted: tuple[Wish, ...]
) -> set[state.Mapping]:
    """Mappings that are someone else's: not remembered, and not just as they are wanted."""
    remembered = {
        place for one in known.values() for i in one.installed for place in i.provider_id.split()
    }
    equal = {
        (host, one.fingerprint)
        for each in wanted
        for _, one in each.bindings()
        for host in one.hostnames
    }
    return {
        one
        for one in there.mappings
        if one.id not in remembered and (one.host, one.fingerprint) not in equal
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=wishes, second=wishes, start=starts)
def test_it_comes_to_rest_and_takes_nothing_away(
    first: Wish, second: Wish, start: tuple[state.Observed, dict[Any, Memory]]
) -> None:
    there, known = start
    model = Model(there)
    adopts = any(one.adopt for one in (*first.listeners, *second.listeners))

    async def run() -> None:
        driver = await _settled(model, first, known)
        asked = {one.frontend for one in second.listeners}
        gone = [f.name for f in driver.memory if f not in asked]
        later = replace(second, releasing=frozenset(map(frontend, gone)))
        driver = await _settled(model, later, driver.memory)
        names = [one.host for one in model.there.mappings]
        assert len(names) == len(set(names))
        if not adopts:
            assert _foreign(there, known, (first, second)) <= set(model.there.mappings)
            unknown = there.termination is not None and not known
            if unknown and not any(
                one.fingerprint == there.termination.fingerprint  # type: ignore[union-attr]
                for wanted in (first, second)
                for _, one in wanted.bindings()
            ):
                assert model.there.termination == there.termination

    asyncio.run(run())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=wishes, start=starts)
def test_a_release_leaves_what_was_there_before(
    first: Wish, start: tuple[state.Observed, dict[Any, Memory]]
) -> None:
    """Everything of ours goes; mappings and a termination of someone else's stay."""
    there, known = start
    model = Model(there)
    steps: list[Operation[Any]] = []

    async def run() -> None:
        driver = await _settled(model, first, known)
        gone = frozenset(driver.memory) | {one.frontend for one in first.listeners}
        driver.want(replace(wish(), releasing=gone))
        driver.on_operation = lambda operation, _: steps.append(operation)
        driver.on_step = None
        _, plan = await driver.settle(rounds=400)
        assert plan.left == frozenset()
        assert all(one.removes for one in steps)
        if model.there.termination is None:
            assert not model.there.https_redirect
        else:
            ours = {
                place
                for one in driver.memory.values()
                for i in one.installed
                for place in i.provider_id.split()
            }
            assert not ours & {one.id for one in model.there.mappings}

    asyncio.run(run())
