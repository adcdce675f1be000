"""The planner of type OVH on a service in memory: single scenarios, then many at random."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.ovh import orders
from certfront.loadbalancers.ovh.client import (
    Frontend,
    OVHTask,
    Route,
    RouteAction,
    Service,
    Ssl,
)
from certfront.loadbalancers.ovh.provider import OVHProvider
from certfront.loadbalancers.ovh.reasons import HSTS_AGE_BY_PROVIDER, OLD_TLS_PERMITTED
from certfront.loadbalancers.ovh.state import Observed, RemoveFrontend
from certfront.loadbalancers.ovh.stock import spelled
from certfront.loadbalancers.protocol import (
    Installation,
    Memory,
    Operation,
    Plan,
    Wish,
)
from certfront.model.frontend import HSTS
from certfront.model.meta import ObjectName
from tests.contract.driver import Driver, SteppedTime
from tests.unit.loadbalancers.ovh.builders import (
    NOW,
    binding,
    frontend,
    keys_of,
    listener,
    managed,
    names,
    source,
    wish,
    without_material,
)
from tests.unit.loadbalancers.ovh.model import Model

SCOPE = Scope(installation="test", load_balancer=ObjectName("balancers", "main"))


class World:
    """A model with a driver on it; `restart` is another process."""

    def __init__(self) -> None:
        self.time = SteppedTime(NOW)
        self.model = Model(time=self.time)
        self.driver = Driver(provider=self._provider(), wish=wish(), time=self.time)

    def _provider(self) -> Any:
        return OVHProvider(self.model, SCOPE)  # type: ignore[arg-type]  # the same methods

    def restart(self) -> None:
        self.driver.provider = self._provider()

    async def settle(self, wanted: Wish | None = None) -> Plan[Any]:
        if wanted is not None:
            self.driver.want(wanted)
        _, plan = await self.driver.settle()
        return plan

    async def plan(self) -> Plan[Any]:
        current = self.driver.current()
        return self.driver.provider.plan(current, await self.driver.provider.observe(current))


async def test_plain_http_is_redirected_by_a_route_of_ours_with_the_status_asked_for() -> None:
    world = World()
    world.model.redirecting = {80}
    one = listener("site", binding("a"), http_port=80, redirect_status=307)
    plan = await world.settle(wish(one))
    assert plan.outlooks[frontend("site")].configured
    (route,) = world.model.applied_routes.values()
    assert route.action == RouteAction(
        type="redirect", status=307, target="https://${host}${path}${arguments}"
    )
    twin = world.model.applied_http[route.frontend_id or 0]
    assert (twin.port, twin.ssl, twin.disabled) == ("80", False, False)
    assert world.model.calls.count("refresh") == 1


async def test_the_redirect_names_the_port_where_it_is_not_the_usual_one() -> None:
    world = World()
    await world.settle(
        wish(listener("site", binding("a"), port=8443, http_port=8080, redirect_status=308))
    )
    (route,) = world.model.routes.values()
    assert route.action.target == "https://${domain}:8443${path}${arguments}"


async def test_a_redirect_changes_and_goes_without_serving_plain_http_in_between() -> None:
    world = World()
    world.model.redirecting = {80}
    one = listener("site", binding("a"), http_port=80, redirect_status=307)
    await world.settle(wish(one))
    await world.settle(wish(replace(one, redirect_status=301)))
    (route,) = world.model.applied_routes.values()
    assert route.action.status == 301
    plan = await world.settle(wish(releasing=names("site")))
    assert plan.left == frozenset()
    assert world.model.routes == {}
    assert world.model.applied_http == {}


async def test_a_redirect_that_is_not_asked_for_any_more_goes() -> None:
    world = World()
    one = listener("site", binding("a"), http_port=80, redirect_status=307)
    await world.settle(wish(one))
    plan = await world.settle(wish(replace(one, redirect_status=None)))
    assert plan.outlooks[frontend("site")].configured
    assert world.model.applied_routes == {}
    assert [one.disabled for one in world.model.applied_http.values()] == [False, False]


async def test_routes_of_others_are_never_touched() -> None:
    world = World()
    one = listener("site", binding("a"), http_port=80)
    await world.settle(wish(one))
    twin = next(one for one in world.model.http.values() if one.port == "80")
    world.model.routes[7] = Route(route_id=7, frontend_id=twin.frontend_id, display_name="foreign")
    await world.settle(wish(replace(one, redirect_status=301)))
    await world.settle(wish(releasing=names("site")))
    assert list(world.model.routes) == [7]


async def test_a_tls_frontend_waits_for_its_first_certificate_and_the_twin_does_not() -> None:
    world = World()
    pending = replace(binding("a"), pair=None, fingerprint="")
    plan = await world.settle(wish(listener("site", pending, http_port=80)))
    assert [one.port for one in world.model.http.values()] == ["80"]
    assert plan.outlooks[frontend("site")].waits == "a certificate"


async def test_an_upload_that_exists_is_used_and_never_removed_if_it_is_not_ours() -> None:
    world = World()
    one = binding("a")
    assert one.pair is not None
    world.model.ssl[5] = Ssl(
        id=5,
        display_name="foreign",
        type="custom",
        fingerprint=one.fingerprint.replace(":", "").lower(),
        san=one.hostnames,
    )
    plan = await world.settle(wish(listener("site", one)))
    assert plan.outlooks[frontend("site")].standings[0].provider_id == "5"
    assert "upload" not in world.model.calls
    await world.settle(wish(releasing=names("site")))
    assert list(world.model.ssl) == [5]


async def test_a_shared_certificate_goes_over_to_the_name_of_who_uses_it_still() -> None:
    world = World()
    one = binding("a")
    other = replace(one, source=source("copy"))
    await world.settle(wish(listener("one", one), listener("two", other)))
    plan = await world.settle(wish(listener("two", other), releasing=names("one")))
    assert plan.left == frozenset()
    (ssl,) = world.model.ssl.values()
    assert SCOPE.is_certificate(ssl.display_name or "", other.source)


async def test_what_may_still_answer_is_told_until_it_is_removed() -> None:
    world = World()
    old = binding("a")
    await world.settle(wish(listener("site", old)))
    new = binding("a", version=1)
    seen: list[frozenset[str]] = []

    def watch(plan: Plan[Any]) -> bool:
        seen.append(plan.outlooks[frontend("site")].standings[0].superseded)
        return False

    world.driver.want(wish(listener("site", new)))
    await world.driver.settle(until=watch)
    assert frozenset({old.fingerprint}) in seen
    assert seen[-1] == frozenset()


async def test_others_stay_bound_while_one_more_is_added() -> None:
    """What has been applied is not doubted because something else is pending."""
    world = World()
    first = listener("one", binding("a"))
    await world.settle(wish(first))
    flags: list[bool] = []

    def watch(plan: Plan[Any]) -> bool:
        outlook = plan.outlooks[frontend("one")]
        flags.append(outlook.configured and outlook.standings[0].bound)
        return False

    world.driver.want(wish(first, listener("two", binding("b"))))
    await world.driver.settle(until=watch)
    assert all(flags)


async def test_nothing_is_removed_while_some_frontend_was_not_looked_at() -> None:
    world = World()
    await world.settle(wish(listener("one", binding("a")), listener("two", binding("b"))))
    world.restart()
    await world.settle(wish(listener("one", binding("a", version=1)), complete=False))
    assert len(world.model.ssl) == 3


async def test_a_certificate_that_only_status_remembers_protects_what_stays() -> None:
    world = World()
    shared = binding("a")
    await world.settle(wish(listener("one", shared), listener("two", shared)))
    renewed = binding("a", version=1)
    world.restart()
    await world.settle(wish(listener("two", renewed), staying=names("one")))
    assert shared.fingerprint in {one.fingerprint for one in world.model.ssl.values()}


async def test_a_port_that_moves_leaves_the_old_one_only_when_the_new_one_is_live() -> None:
    world = World()
    one = listener("site", binding("a"))
    await world.settle(wish(one))
    world.driver.on_step = lambda _: _served(world)
    await world.settle(wish(replace(one, port=8443)))
    assert [one.port for one in world.model.applied_http.values()] == ["8443"]


def _served(world: World) -> None:
    assert world.model.served(), "nothing is served"


async def test_a_frontend_that_someone_renamed_gets_its_name_back() -> None:
    world = World()
    await world.settle(wish(listener("site", binding("a"))))
    (made,) = world.model.http.values()
    world.model.http[made.frontend_id] = msgspec.structs.replace(made, display_name="mine")
    world.restart()
    plan = await world.settle()
    assert plan.outlooks[frontend("site")].configured
    assert world.model.http[made.frontend_id].display_name == made.display_name


async def test_a_farm_that_was_renamed_is_found_under_its_new_name() -> None:
    world = World()
    await world.settle(wish(listener("site", binding("a"))))
    world.model.farms_by_id = {1001: "old", 1002: "web"}
    await world.settle()
    assert [one.default_farm_id for one in world.model.http.values()] == [1002]
    world.model.calls.clear()
    await world.plan()
    assert world.model.calls.count("farm") == 1
    assert world.model.calls.count("farms") == 1


async def test_an_order_that_failed_stays_failed_when_its_task_has_disappeared() -> None:
    world = World()
    one = managed("one")
    world.driver.want(wish(listener("site", one)))
    await world.driver.settle(rounds=30, until=lambda _: bool(world.model.task_list))
    (task,) = world.model.task_list.values()
    world.model.task_list[task.id] = msgspec.structs.replace(task, status="error")
    await world.settle()
    world.model.task_list.clear()
    world.time.advance(7200)
    plan = await world.settle()
    assert plan.managed[one.source].problem is not None
    assert world.model.calls.count("order") == 1


async def test_an_older_broken_frontend_keeps_its_place() -> None:
    """Its farm is gone; a younger one does not take over what is still served."""
    world = World()
    await world.settle(wish(listener("old", binding("a"))))
    plan = await world.settle(
        wish(
            listener("old", binding("a"), farm_name="gone"),
            listener("new", binding("b"), farm_name="api"),
        )
    )
    assert [one.reason for one in plan.outlooks[frontend("new")].problems] == [
        reasons.PORT_CONFLICT
    ]
    assert [one.default_farm_id for one in world.model.http.values()] == [1001]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"zone": "bhs"}, reasons.REFUSED_BY_PROVIDER),
        ({"port": 50000}, reasons.UNSUPPORTED_FIELD),
        (
            {"allowed_sources": ("10.0.0.0/8",), "denied_sources": ("10.1.0.0/16",)},
            reasons.UNSUPPORTED_FIELD,
        ),
    ],
    ids=["zone", "port", "sources"],
)
async def test_what_the_service_cannot_do_is_refused(changes: Any, reason: Any) -> None:
    world = World()
    plan = await world.settle(wish(listener("site", binding("a"), **changes)))
    assert [one.reason for one in plan.outlooks[frontend("site")].problems] == [reason]
    assert world.model.http == {}


async def test_settings_reach_the_frontend_and_are_compared_in_any_spelling() -> None:
    world = World()
    one = listener(
        "site",
        binding("a"),
        zone="gra",
        hsts=HSTS(max_age=60),
        allowed_sources=("192.0.2.1",),
        display_name="My shop",
        disabled=True,
    )
    plan = await world.settle(wish(one))
    (made,) = world.model.applied_http.values()
    assert made.hsts
    assert made.disabled
    assert made.zone == "gra"
    assert (made.display_name or "").startswith("My shop cf")
    assert [one.reason for one in plan.outlooks[frontend("site")].notices] == [HSTS_AGE_BY_PROVIDER]
    world.model.http[made.frontend_id] = msgspec.structs.replace(
        made, allowed_source=("192.0.2.1/32",)
    )
    world.model.applied_http = dict(world.model.http)
    world.restart()
    assert (await world.plan()).operations == ()


async def test_a_service_that_permits_old_tls_is_told() -> None:
    world = World()
    world.model.ssl_configuration = None
    assert [one.reason for one in (await world.plan()).notices] == [OLD_TLS_PERMITTED]


async def test_one_order_at_a_time_and_a_second_after_an_hour() -> None:
    world = World()
    await world.driver.provider.observe(world.driver.current())
    world.driver.want(wish(listener("site", managed("one"), managed("two"))))
    world.driver.time = world.time
    await world.driver.settle(rounds=30, until=lambda _: len(world.model.task_list) == 2)
    assert world.model.calls.count("order") == 1
    await world.driver.settle(rounds=400, until=lambda _: world.model.calls.count("order") == 2)
    assert world.time.now() - NOW >= orders.ORDER_DEADLINE


@pytest.mark.parametrize("status", ["error", "cancelled", "blocked"])
async def test_a_failed_order_is_a_problem_and_is_not_placed_again(status: Any) -> None:
    """Known by its claim alone: the process that placed it is gone."""
    world = World()
    one = managed("one")
    world.model.task_list[9] = OVHTask(
        id=9, action="orderFreeCertificate", status=status, creation_date=NOW
    )
    memory = {
        frontend("site"): Memory(
            installed=(Installation(source=one.source, fingerprint="", since=NOW),)
        )
    }
    world.driver.want(wish(listener("site", one), memory=memory))
    world.time.advance(timedelta(minutes=30).total_seconds())
    plan = await world.plan()
    trouble = plan.managed[one.source].problem
    assert trouble is not None
    assert trouble.reason == reasons.MANAGED_ORDER_FAILED
    assert not any(key.startswith("order") for key in keys_of(plan.operations))


async def test_a_certificate_with_the_same_names_is_used_instead_of_an_order() -> None:
    world = World()
    one = managed("free", "a.example.org", "b.example.org")
    world.model.ssl[5] = Ssl(
        id=5, type="built", fingerprint="ab" * 32, san=("B.example.org", "a.example.org")
    )
    plan = await world.settle(wish(listener("site", one)))
    assert "order" not in world.model.calls
    assert plan.managed[one.source].fingerprint == spelled("ab" * 32)
    assert plan.outlooks[frontend("site")].standings[0].bound
    await world.settle(wish(releasing=names("site")))
    assert list(world.model.ssl) == [5]


# --- at random

_FRONTENDS = ("one", "two", "three")


@st.composite
def _wishes(draw: st.DrawFn) -> Wish:
    """Any of three frontends, on two ports, with any versions of three certificates."""
    listeners = []
    staying = set()
    for name in _FRONTENDS:
        state = draw(st.sampled_from(["absent", "wanted", "wanted", "wanted", "staying"]))
        if state == "staying":
            staying.add(frontend(name))
        if state != "wanted":
            continue
        chosen = draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3))
        bindings = []
        for certificate in chosen:
            one = binding(certificate, version=draw(st.integers(0, 1)))
            bindings.append(without_material(one) if draw(st.booleans()) else one)
        listeners.append(
            listener(
                name,
                *bindings,
                port=draw(st.sampled_from([443, 8443])),
                http_port=draw(st.sampled_from([None, 80, 8080])),
                redirect_status=draw(st.sampled_from([None, 301, 308])),
                default_certificate=draw(
                    st.sampled_from([None, *(one.source for one in bindings)])
                ),
                farm_name=draw(st.sampled_from(["web", "1002", "gone"])),
                manage=draw(st.sampled_from(["Listener", "Listener", "CertificatesOnly"])),
            )
        )
    wanted = {one.frontend for one in listeners}
    gone = {frontend(name) for name in _FRONTENDS} - wanted - staying
    return wish(
        *listeners,
        staying=frozenset(staying),
        releasing=frozenset(gone) if draw(st.booleans()) else frozenset(),
        complete=draw(st.sampled_from([True, True, True, False])),
    )


@settings(max_examples=60, deadline=None)
@given(history=st.lists(_wishes(), min_size=1, max_size=4), restarts=st.booleans())
async def test_any_history_settles_without_duplicates_and_leaves_nothing(
    history: list[Wish], restarts: bool
) -> None:
    """The model itself refuses removing what is in use, double uploads and double frontends."""
    world = World()
    for wanted in history:
        plan = await world.settle(wanted)
        marks = [one.fingerprint for one in world.model.ssl.values()]
        assert len(marks) == len(set(marks))
        again = await world.driver.provider.observe(world.driver.current())
        assert world.driver.provider.plan(world.driver.current(), again).operations == ()
        assert plan.look_again is None
        if restarts:
            world.restart()
    everyone = frozenset(frontend(name) for name in _FRONTENDS)
    plan = await world.settle(wish(releasing=everyone))
    assert plan.left == frozenset()
    assert world.model.ssl == {}
    assert world.model.http == {}
    assert world.model.routes == {}
    assert world.model.changes == 0


# --- what is not planned yet


async def _up_to(world: World, key: str) -> Plan[Any]:
    """The plan right after the first operation whose key begins so."""
    found: list[Plan[Any]] = []

    def watch(plan: Plan[Any]) -> bool:
        if world.driver.done and world.driver.done[-1].key.startswith(key):
            found.append(plan)
        return bool(found)

    await world.driver.settle(until=watch)
    return found[0]


async def test_the_old_certificate_is_not_up_for_removal_before_the_new_one_is_live() -> None:
    world = World()
    await world.settle(wish(listener("site", binding("a"))))
    world.driver.want(wish(listener("site", binding("a", version=1))))
    after_upload = await _up_to(world, "upload")
    assert keys_of(after_upload.operations) == ["refresh"]
    assert not after_upload.outlooks[frontend("site")].standings[0].bound
    again = await world.plan()
    assert not again.outlooks[frontend("site")].standings[0].bound
    assert keys_of(again.operations) == ["refresh"]


async def test_the_frontend_of_one_that_stays_is_not_removed() -> None:
    world = World()
    one, two = listener("one", binding("a")), listener("two", binding("b"), port=8443)
    await world.settle(wish(one, two))
    world.restart()
    world.driver.want(wish(two, staying=names("one")))
    assert (await world.plan()).operations == ()


async def test_certificates_go_after_the_frontends_that_are_released_with_them() -> None:
    world = World()
    await world.settle(wish(listener("site", binding("a"))))
    world.driver.want(wish(releasing=names("site")))
    plan = await world.plan()
    assert [key.split()[:2] for key in keys_of(plan.operations)] == [["remove", "frontend"]]
    assert plan.left == names("site")


async def test_an_order_that_was_just_claimed_is_not_placed_again() -> None:
    """Its answer was lost, and its task may not be listed yet."""
    world = World()
    one = managed("one")
    claim = Installation(source=one.source, fingerprint="", since=NOW)
    world.driver.want(
        wish(listener("site", one), memory={frontend("site"): Memory(installed=(claim,))})
    )
    assert not any(key.startswith("order") for key in keys_of((await world.plan()).operations))
    world.time.advance(orders.LISTED_WITHIN.total_seconds())
    assert any(key.startswith("order") for key in keys_of((await world.plan()).operations))


async def test_a_certificate_that_a_foreign_frontend_uses_is_let_go_of_first() -> None:
    world = World()
    one = binding("a")
    world.model.http[7] = Frontend(
        frontend_id=7, port="443", zone="all", ssl=True, display_name="foreign"
    )
    await world.settle(
        wish(
            listener(
                "site", one, manage="CertificatesOnly", farm_name="", default_certificate=one.source
            )
        )
    )
    assert world.model.http[7].default_ssl_id is not None
    world.driver.want(wish(releasing=names("site")))
    assert keys_of((await world.plan()).operations) == ["default 7"]
    plan = await world.settle()
    assert plan.left == frozenset()
    assert world.model.ssl == {}
    assert list(world.model.http) == [7]


def test_a_frontend_that_redirects_is_disabled_before_its_route_goes() -> None:
    """Seen from the calls of a removal; a refresh of someone else may come between any two."""
    act = RemoveFrontend(frontend_id=1, route_ids=(2,))
    calls: list[str] = []

    class _Client:
        async def change_frontend(self, frontend_id: int, settings: Any) -> None:
            calls.append(f"change {frontend_id} {settings}")

        async def delete_route(self, route_id: int) -> None:
            calls.append(f"delete route {route_id}")

        async def delete_frontend(self, frontend_id: int) -> None:
            calls.append(f"delete frontend {frontend_id}")

    provider = OVHProvider(_Client(), SCOPE)  # type: ignore[arg-type]  # three methods are used
    operation = Operation(key="x", act=act, step="Deleting", about=(), removes=True)
    asyncio.run(provider.execute(operation, Observed(service=Service())))
    assert calls == ["change 1 {'disabled': True}", "delete route 2", "delete frontend 1"]
