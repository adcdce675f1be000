"""For any row of wishes on any Kong: it comes to rest, nothing is taken, no name is ever unserved."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from certfront.loadbalancers.kong import ownership
from certfront.loadbalancers.kong.ownership import certificate_id
from certfront.loadbalancers.kong.provider import KongProvider
from certfront.loadbalancers.kong.state import Observed
from certfront.loadbalancers.kong.wanting import gather
from certfront.loadbalancers.protocol import Binding, Listener, Wish
from tests.contract.driver import Driver
from tests.unit.loadbalancers.kong.builders import (
    ECDSA,
    RSA,
    SCOPE,
    binding,
    frontend,
    listener,
    wish,
)
from tests.unit.loadbalancers.kong.model import ModelKong

_NAMES = ["a.example", "b.example", "*.example", "c.example"]
_CERTIFICATES = {"e1": ECDSA, "e2": ECDSA, "r1": RSA}


@st.composite
def _bindings(draw: st.DrawFn) -> tuple[Binding, ...]:
    """Bindings as `bindings.bind` makes them: one certificate for each name and key type."""
    taken: set[tuple[str, Any]] = set()
    found = []
    for name in draw(st.permutations(sorted(_CERTIFICATES))):
        key_type = _CERTIFICATES[name]
        wanted = draw(st.lists(st.sampled_from(_NAMES), unique=True, max_size=3))
        free = tuple(n for n in wanted if (n, key_type) not in taken)
        taken |= {(n, key_type) for n in free}
        version = draw(st.integers(1, 3))
        if free:
            found.append(binding(name, *free, version=version, key_type=key_type))
    return tuple(found)


@st.composite
def _wishes(draw: st.DrawFn) -> list[Wish]:
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        listeners, staying = [], []
        for age, name in enumerate(("one", "two", "three")):
            state = draw(st.sampled_from(["there", "there", "staying", "gone"]))
            if state == "there":
                redirect = draw(st.sampled_from([None, 301, 308]))
                listeners.append(
                    listener(
                        name,
                        *draw(_bindings()),
                        age=age,
                        routes=["shop"] if draw(st.booleans()) else [],
                        redirect_status=redirect,
                    )
                )
            elif state == "staying":
                staying.append(name)
        names = {one.frontend for one in listeners} | set(map(frontend, staying))
        releasing = [n for n in ("one", "two", "three") if frontend(n) not in names]
        rows.append(
            wish(*listeners, staying=staying, releasing=releasing, complete=draw(st.booleans()))
        )
    return rows


@settings(max_examples=40, deadline=None)
@given(rows=_wishes(), foreign=st.sets(st.sampled_from(_NAMES), max_size=1))
def test_any_row_of_wishes_converges_without_a_gap_a_theft_or_a_rest(
    rows: list[Wish], foreign: set[str]
) -> None:
    asyncio.run(_run(rows, foreign))


async def _run(rows: list[Wish], foreign: set[str]) -> None:
    api = ModelKong()
    theirs = api.add_foreign(*foreign)
    route = api.add_route("shop")
    was = dict(api.all_routes[route])
    provider = KongProvider(api, SCOPE, None)  # type: ignore[arg-type]  # the same methods
    driver = Driver(provider=provider, wish=rows[0])
    for row in rows:
        driver.want(row)
        wanted = set(gather(SCOPE, row).holder)
        served = {name for name in api.snis if name in wanted}
        kept = _names_of(api, row)

        def check(_: Any, served: set[str] = served, kept: set[str] = kept) -> None:
            assert (served | kept) <= api.snis.keys()
            assert set(api.snis.values()) <= api.stored.keys()
            assert {name for name, key in api.snis.items() if key == theirs} == foreign

        driver.on_step = check
        observed, plan = await driver.settle()
        check(None)
        assert not plan.operations
        assert _known(await provider.observe(driver.current())) == _known(observed)
        _check_bound(row.listeners, plan, foreign)
    driver.on_step = None
    driver.want(wish(releasing=["one", "two", "three"]))
    _, plan = await driver.settle()
    assert set(api.stored) == {theirs}
    assert not plan.left
    restored = api.all_routes[route]
    assert (restored["protocols"], restored["tags"] or None) == (was["protocols"], was["tags"])
    assert restored["https_redirect_status_code"] == was["https_redirect_status_code"]


def _known(observed: Observed) -> Any:
    """What is compared: routes that nobody asks for any more may be known or not."""
    marked = {key: r for key, r in observed.routes.items() if ownership.is_of(SCOPE, r.tags)}
    return observed.certificates, observed.names, observed.taken, marked


def _names_of(api: ModelKong, row: Wish) -> set[str]:
    """SNIs on certificates that a frontend uses about which nothing is decided now."""
    marks = {f"certfront-frontend:{f.namespace}:{f.name}" for f in row.staying}
    held = {key for key, kept in api.stored.items() if marks & set(kept["tags"] or ())}
    return {name for name, key in api.snis.items() if key in held}


def _check_bound(listeners: tuple[Listener, ...], plan: Any, foreign: set[str]) -> None:
    for one in listeners:
        outlook = plan.outlooks[one.frontend]
        for standing in outlook.standings:
            bindings = [b for b in one.bindings if b.source == standing.source]
            free = set(bindings[0].hostnames) - foreign
            assert standing.bound or not free or outlook.problems or _is_behind(listeners, standing)


def _is_behind(listeners: tuple[Listener, ...], standing: Any) -> bool:
    """Another frontend knows of another version of the same certificate already."""
    versions = {b.fingerprint for one in listeners for b in one.bindings}
    same = {b.fingerprint for one in listeners for b in one.bindings if b.source == standing.source}
    return len(same) > 1 and standing.fingerprint in versions


def test_the_id_depends_on_the_set_of_certificates_and_not_on_its_order() -> None:
    one, other = binding("e1", "a.example").source, binding("r1", "a.example").source
    assert certificate_id(SCOPE, frozenset([one, other])) == certificate_id(
        SCOPE, frozenset([other, one])
    )
    assert certificate_id(SCOPE, frozenset([one])) != certificate_id(SCOPE, frozenset([one, other]))
