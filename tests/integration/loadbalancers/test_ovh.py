"""Type OVH against the emulator: every scenario by real calls over HTTP, time moved by hand."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Gone
from certfront.loadbalancers.ovh.kind import KIND
from certfront.loadbalancers.ovh.reasons import ORDER_OVERDUE, REFRESH_FAILED
from certfront.loadbalancers.protocol import Plan, Wish
from certfront.model.loadbalancer import LoadBalancerSpec, OVHSettings
from certfront.model.references import LocalReference
from sandbox.emulators.ovh import OVH
from sandbox.emulators.server import Fault, Running, SteppedClock, serving
from tests.contract.driver import Driver, environment
from tests.unit.loadbalancers.ovh.builders import (
    binding,
    frontend,
    listener,
    managed,
    names,
    wish,
    without_material,
)

SERVICE = "loadbalancer-0123456789abcdef"
KEYS = {
    "applicationKey": b"emulatedAppKey00",
    "applicationSecret": b"emulatedApplicationSecret0000000",
    "consumerKey": b"emulatedConsumerKey0000000000000",
}
ACCOUNT = {"clientID": b"EU.0123456789abcdef", "clientSecret": b"emulatedClientSecret000000000000"}


@dataclass
class World:
    """An emulated service and a driver for it."""

    running: Running
    clock: SteppedClock
    driver: Driver

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.running.emulator.snapshot()["services"][SERVICE]
        return found

    def steer(self, what: str, value: Any) -> None:
        self.running.emulator.steer(what, value)

    def calls(self, pattern: str) -> list[str]:
        return [one.name for one in self.running.calls if re.fullmatch(pattern, one.name)]

    async def settle(self, wanted: Wish | None = None) -> Plan[Any]:
        if wanted is not None:
            self.driver.want(wanted)
        _, plan = await self.driver.settle()
        return plan

    async def restart(self, credentials: dict[str, bytes] | None = None) -> None:
        """Another process: nothing is known but what status remembers."""
        await self.driver.provider.close()
        self.driver.provider = _provider(self.running.url, self.clock, credentials or KEYS)


def _provider(url: str, clock: SteppedClock, credentials: dict[str, bytes]) -> Any:
    spec = LoadBalancerSpec(
        type="OVH",
        ovh=OVHSettings(
            endpoint=f"{url}/1.0",
            service_name=SERVICE,
            credentials_secret_ref=LocalReference(name="ovh"),
        ),
    )
    return KIND.build(spec, credentials, environment(clock))


@pytest.fixture
def free_ports() -> dict[str, int]:
    """Two ports of this machine for 443 and 80."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return {"443": one.getsockname()[1], "80": two.getsockname()[1]}


@asynccontextmanager
async def world(*, credentials: dict[str, bytes] = KEYS, **options: Any) -> AsyncIterator[World]:
    clock = SteppedClock()
    emulator = OVH(clock=clock, **options)
    if "ports" not in options:
        # What would be served is read from the applied configuration: no port is opened for it.
        emulator.offers = lambda: ()  # type: ignore[method-assign]  # ports stay free
    async with serving(emulator) as running:
        provider = _provider(running.url, clock, credentials)
        driver = Driver(provider=provider, wish=wish(now=clock.now()), time=clock)
        found = World(running, clock, driver)
        try:
            yield found
        finally:
            await driver.provider.close()
            assert running.failures == []


def _served(found: World) -> set[str]:
    """Names of the certificates that every zone has applied."""
    state = found.state
    titles = {one["id"]: one["displayName"] for one in state["ssl"]}
    applied = [set(zone["ssl"]) for zone in state["applied"].values()]
    return {titles.get(one) or str(one) for one in set.intersection(*applied)}


@pytest.mark.parametrize("form", ["sha1-colons", "sha256-colons", "sha1", "sha256"])
async def test_a_certificate_is_installed_with_one_refresh(form: str) -> None:
    async with world(fingerprint_form=form) as found:
        plan = await found.settle(wish(listener("site", binding("a"))))
        outlook = plan.outlooks[frontend("site")]
        assert outlook.configured
        assert [one.bound for one in outlook.standings] == [True]
        assert outlook.probe == ("127.0.0.1", 443)
        assert outlook.task is not None
        assert (outlook.task.action, outlook.task.status) == ("refresh", "done")
        assert len(found.calls("POST /ssl")) == 1
        assert len(found.calls("POST /http/frontend")) == 1
        assert len(found.calls("POST /refresh")) == 1
        (made,) = found.state["frontends"]
        assert (made["port"], made["zone"], made["ssl"]) == ("443", "all", True)
        assert made["defaultFarmId"] == 1001
        assert made["defaultSslId"] is None
        assert str(made["frontendId"]) == outlook.frontend_id


async def test_a_settled_service_costs_reads_only_and_observes_the_same_again() -> None:
    async with world() as found:
        await found.settle(wish(listener("site", binding("a"))))
        before = await found.driver.provider.observe(found.driver.current())
        found.running.calls.clear()
        after = await found.driver.provider.observe(found.driver.current())
        assert after == before
        assert found.driver.provider.plan(found.driver.current(), after).operations == ()
        assert all(one.method == "GET" for one in found.running.calls)
        assert len(found.running.calls) <= 10


async def test_the_sdk_free_client_works_with_a_service_account() -> None:
    async with world(credentials=ACCOUNT) as found:
        plan = await found.settle(wish(listener("site", binding("a"))))
        assert plan.outlooks[frontend("site")].standings[0].bound
        assert len(found.calls("POST /auth/oauth2/token")) == 1


async def test_many_certificates_cost_one_refresh_and_their_rotation_two() -> None:
    """One refresh shows the new ones, one takes the old ones down."""
    async with world() as found:
        many = [binding(f"n{number}") for number in range(12)]
        await found.settle(wish(listener("site", *many)))
        assert len(found.calls("POST /refresh")) == 1
        assert len(found.calls("POST /ssl")) == 12
        found.running.calls.clear()
        renewed = [binding(f"n{number}", version=1) for number in range(12)]
        await found.settle(wish(listener("site", *renewed)))
        assert len(found.calls("POST /refresh")) == 2
        assert len(found.calls("POST /ssl")) == 12
        assert len(found.calls("DELETE /ssl/{id}")) == 12
        assert len(_served(found)) == 12


async def test_there_is_never_a_moment_without_the_certificate_in_a_rotation() -> None:
    async with world() as found:
        await found.settle(wish(listener("site", binding("a"))))
        found.driver.on_step = lambda _: _some_serve(found)
        await found.settle(wish(listener("site", binding("a", version=1))))
        assert len(found.state["ssl"]) == 1


def _some_serve(found: World) -> None:
    for zone in found.state["applied"].values():
        assert zone["ssl"], "a zone serves no certificate"


async def test_the_default_certificate_follows_a_rotation_and_keeps_the_old_until_then() -> None:
    async with world() as found:
        one = binding("a")
        await found.settle(wish(listener("site", one, default_certificate=one.source)))
        old = found.state["frontends"][0]["defaultSslId"]
        assert old is not None
        new = binding("a", version=1)
        plan = await found.settle(wish(listener("site", new, default_certificate=new.source)))
        assert found.state["frontends"][0]["defaultSslId"] not in (None, old)
        assert [one["id"] for one in found.state["ssl"]] == [
            found.state["frontends"][0]["defaultSslId"]
        ]
        assert plan.outlooks[frontend("site")].standings[0].bound
        assert found.driver.errors == []


async def test_a_client_sees_the_certificate_and_the_redirect(free_ports: dict[str, int]) -> None:
    """From outside: a handshake by name, and plain HTTP sent to HTTPS with path and arguments."""
    async with world(ports=free_ports) as found:
        one = binding("a")
        await found.settle(wish(listener("site", one, http_port=80, redirect_status=307)))
        await found.running.refresh()
        shown = await asyncio.to_thread(_handshake, free_ports["443"], "a.example.org")
        assert one.pair is not None
        assert shown == one.pair.leaf.public_bytes(Encoding.DER)
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"http://127.0.0.1:{free_ports['80']}/x/y?q=1",
                headers={"Host": "a.example.org"},
                allow_redirects=False,
            ) as answer,
        ):
            assert answer.status == 307
            assert answer.headers["Location"] == "https://a.example.org/x/y?q=1"


def _handshake(port: int, name: str) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as connection,
    ):
        return connection.getpeercert(binary_form=True)


async def test_two_frontends_share_a_port_and_a_certificate() -> None:
    async with world() as found:
        both = wish(listener("one", binding("a")), listener("two", binding("a"), binding("b")))
        plan = await found.settle(both)
        assert len(found.state["frontends"]) == 1
        assert len(found.state["ssl"]) == 2
        assert all(one.bound for o in plan.outlooks.values() for one in o.standings)
        assert not any(o.problems for o in plan.outlooks.values())


async def test_the_younger_is_refused_where_it_asks_something_else_of_the_port() -> None:
    async with world() as found:
        both = wish(
            listener("one", binding("a")),
            listener("two", binding("b"), redirect_location="https://elsewhere.example.org/"),
        )
        plan = await found.settle(both)
        assert [one.reason for one in plan.outlooks[frontend("two")].problems] == [
            reasons.PORT_CONFLICT
        ]
        assert plan.outlooks[frontend("one")].configured
        assert len(found.state["frontends"]) == 1


async def test_a_released_frontend_takes_its_own_along_and_leaves_what_is_shared() -> None:
    async with world() as found:
        one, two = listener("one", binding("a"), binding("b")), listener("two", binding("b"))
        await found.settle(wish(one, two))
        plan = await found.settle(wish(two, releasing=names("one")))
        assert plan.left == frozenset()
        assert len(found.state["ssl"]) == 1
        assert len(found.state["frontends"]) == 1
        assert plan.outlooks[frontend("two")].configured
        plan = await found.settle(wish(releasing=names("two")))
        assert plan.left == frozenset()
        assert found.state["ssl"] == []
        assert found.state["frontends"] == []
        assert found.state["pendingChanges"] == []


async def test_what_others_made_is_never_touched() -> None:
    async with world() as found:
        provider = found.driver.provider
        foreign = await provider._client.create_frontend(
            {"port": "8443", "zone": "all", "ssl": True, "displayName": "by hand"}
        )
        await found.settle(wish(listener("site", binding("a"))))
        await found.settle(wish(releasing=names("site")))
        assert [one["frontendId"] for one in found.state["frontends"]] == [foreign.frontend_id]


@pytest.mark.parametrize("adopt", [False, True])
async def test_a_listener_that_exists_is_refused_unless_it_is_handed_over(adopt: bool) -> None:
    async with world() as found:
        await found.driver.provider._client.create_frontend(
            {"port": "443", "zone": "all", "ssl": True, "httpHeader": ["X-Kept: yes"]}
        )
        plan = await found.settle(wish(listener("site", binding("a"), adopt=adopt)))
        outlook = plan.outlooks[frontend("site")]
        (there,) = found.state["frontends"]
        if adopt:
            assert outlook.configured
            assert there["defaultFarmId"] == 1001
            assert there["httpHeader"] == ["X-Kept: yes"]
        else:
            assert [one.reason for one in outlook.problems] == [reasons.LISTENER_EXISTS]
            assert there["displayName"] is None


async def test_certificates_only_brings_certificates_and_takes_its_own_away() -> None:
    async with world() as found:
        client = found.driver.provider._client
        await client.create_frontend({"port": "443", "zone": "all", "ssl": True})
        one = binding("a")
        only = listener(
            "site", one, manage="CertificatesOnly", farm_name="", default_certificate=one.source
        )
        plan = await found.settle(wish(only))
        assert plan.outlooks[frontend("site")].standings[0].bound
        (there,) = found.state["frontends"]
        assert there["defaultSslId"] == found.state["ssl"][0]["id"]
        assert there["displayName"] is None
        plan = await found.settle(wish(releasing=names("site")))
        assert plan.left == frozenset()
        (there,) = found.state["frontends"]
        assert there["defaultSslId"] is None
        assert found.state["ssl"] == []


async def test_certificates_only_needs_a_listener() -> None:
    async with world() as found:
        plan = await found.settle(
            wish(listener("site", binding("a"), manage="CertificatesOnly", farm_name=""))
        )
        assert [one.reason for one in plan.outlooks[frontend("site")].problems] == [
            reasons.LISTENER_NOT_FOUND
        ]


async def test_an_unknown_farm_holds_the_frontend_and_not_the_others() -> None:
    async with world() as found:
        plan = await found.settle(
            wish(
                listener("one", binding("a"), farm_name="nowhere", port=8443),
                listener("two", binding("b"), farm_name="1001"),
            )
        )
        assert [one.reason for one in plan.outlooks[frontend("one")].problems] == [
            reasons.FARM_NOT_FOUND
        ]
        assert plan.outlooks[frontend("two")].configured


async def test_a_certificate_without_its_object_stays_as_it_is() -> None:
    async with world() as found:
        one = binding("a")
        await found.settle(wish(listener("site", one)))
        found.running.calls.clear()
        await found.restart()
        plan = await found.settle(wish(listener("site", without_material(one))))
        assert plan.outlooks[frontend("site")].standings[0].bound
        assert all(call.method == "GET" for call in found.running.calls)


async def test_nothing_of_a_frontend_that_stays_is_removed() -> None:
    async with world() as found:
        await found.settle(wish(listener("one", binding("a")), listener("two", binding("b"))))
        found.running.calls.clear()
        await found.restart()
        await found.settle(wish(listener("two", binding("b")), staying=names("one")))
        assert len(found.state["ssl"]) == 2
        assert all(call.method == "GET" for call in found.running.calls)


async def test_drift_is_put_right() -> None:
    async with world() as found:
        await found.settle(wish(listener("site", binding("a"))))
        (there,) = found.state["frontends"]
        found.steer("alter-frontend", {"id": there["frontendId"], "fields": {"hsts": True}})
        found.steer("forget-ssl", {"id": found.state["ssl"][0]["id"]})
        await found.restart()
        plan = await found.settle()
        assert plan.outlooks[frontend("site")].standings[0].bound
        assert found.state["frontends"][0]["hsts"] is False


STEPS = [
    "POST /ssl",
    "POST /http/route",
    "PUT /http/route/{routeId}",
    "DELETE /http/route/{routeId}",
    "POST /http/frontend",
    "PUT /http/frontend/{frontendId}",
    "POST /refresh",
    "DELETE /ssl/{id}",
    "DELETE /http/frontend/{frontendId}",
]


@pytest.mark.parametrize("kind", ["lost", "reset", "status", "html"])
@pytest.mark.parametrize("step", STEPS)
async def test_nothing_is_done_twice_after_an_answer_that_did_not_come(
    step: str, kind: Any
) -> None:
    """Install, rotate with a new default, release: with one fault at the call, and a new process."""
    async with world() as found:
        found.running.faults.arm(Fault(path=_path(step), method=step.split()[0], kind=kind))
        one, new = binding("a"), binding("a", version=1)
        for version, status in ((one, 301), (new, 308)):
            wanted = listener(
                "site",
                version,
                default_certificate=version.source,
                http_port=80,
                redirect_status=status,
            )
            await found.settle(wish(wanted))
            await found.restart()
            assert len(found.state["ssl"]) == 1
            assert len(found.state["frontends"]) == 2
            assert [one["action"]["status"] for one in found.state["routes"]] == [status]
        plan = await found.settle(wish(releasing=names("site")))
        assert plan.left == frozenset()
        assert found.state["ssl"] == []
        assert found.state["frontends"] == []
        assert found.state["routes"] == []
        # PUT and DELETE are sent once more by the HTTP client where a kept connection broke off.
        assert len(found.driver.errors) <= 1
        assert len(found.calls("POST /ssl")) <= 3


def _path(step: str) -> str:
    tail = re.sub(r"\{\w+\}", r"\\d+", step.split()[1])
    return rf".*/{SERVICE}{tail}"


async def test_a_pause_that_ovh_asks_for_is_kept() -> None:
    async with world() as found:
        found.running.faults.arm(
            Fault(method="POST", status=429, headers={"Retry-After": "77"}, path=r".*/ssl")
        )
        before = found.clock.now()
        plan = await found.settle(wish(listener("site", binding("a"))))
        assert plan.outlooks[frontend("site")].configured
        assert found.driver.errors[0].retry_after == 77
        assert (found.clock.now() - before).total_seconds() >= 77


@pytest.mark.parametrize(
    "wrong",
    [
        {**KEYS, "applicationKey": b"anotherAppKey000"},
        {**KEYS, "applicationSecret": b"wrongSecret"},
        {**KEYS, "consumerKey": b"wrongConsumer"},
        {**ACCOUNT, "clientSecret": b"wrongSecret"},
    ],
    ids=["application", "secret", "consumer", "account"],
)
async def test_wrong_credentials_are_said_and_never_shown(wrong: dict[str, bytes]) -> None:
    async with world(credentials=wrong) as found:
        with pytest.raises(Denied) as caught:
            await found.settle(wish(listener("site", binding("a"))))
        assert caught.value.reason == reasons.CREDENTIALS_REFUSED
        assert not any(value.decode() in str(caught.value) for value in wrong.values())
        await found.restart(KEYS)
        await found.settle()
        assert len(found.state["ssl"]) == 1


async def test_an_unknown_service_is_gone() -> None:
    async with world(services=("loadbalancer-another",)) as found:
        with pytest.raises(Gone):
            await found.settle(wish(listener("site", binding("a"))))


async def test_a_full_quota_holds_the_new_certificate_only() -> None:
    async with world(ssl_quota=1) as found:
        plan = await found.settle(wish(listener("site", binding("a"), binding("b"))))
        assert [one.bound for one in plan.outlooks[frontend("site")].standings] == [True, False]
        assert found.driver.errors[0].reason == reasons.QUOTA_EXCEEDED


async def test_a_refresh_that_fails_is_told_and_tried_again() -> None:
    async with world() as found:
        found.steer("plan-task", {"action": "refreshIplb", "status": "error"})
        plan = await found.settle(wish(listener("site", binding("a"))))
        assert plan.outlooks[frontend("site")].configured
        assert len(found.calls("POST /refresh")) == 2


async def test_an_open_refresh_of_someone_else_is_waited_for() -> None:
    async with world(refresh_seconds=30) as found:
        await found.driver.provider._client.create_frontend({"port": "99", "zone": "all"})
        await found.driver.provider._client.refresh()
        plan = await found.settle(wish(listener("site", binding("a"))))
        assert plan.outlooks[frontend("site")].configured
        assert found.driver.errors == []
        assert len(found.calls("POST /refresh")) == 2


async def test_the_task_in_status_is_ovhs_own_field_by_field() -> None:
    async with world(refresh_seconds=30) as found:
        seen: dict[str, Any] = {}

        def compare(plan: Plan[Any]) -> bool:
            outlook = plan.outlooks[frontend("site")]
            if outlook.task is None:
                return False
            (own,) = found.state["tasks"]
            seen[outlook.task.status] = outlook.task
            assert outlook.task.id == str(own["id"])
            assert outlook.task.created is not None
            assert outlook.task.created == datetime.fromisoformat(own["creationDate"])
            assert outlook.task.progress <= own["progress"]
            return outlook.task.status == "done"

        found.driver.want(wish(listener("site", binding("a"))))
        await found.driver.settle(until=compare)
        assert list(seen) == ["todo", "doing", "done"]
        assert seen["done"].progress == 100
        assert seen["done"].done is not None


# --- certificates that OVH issues


async def test_a_free_certificate_with_several_names_is_ordered_once() -> None:
    async with world(resolves=("*",)) as found:
        one = managed("free", "a.example.org", "b.example.org")
        plan = await found.settle(wish(listener("site", one)))
        state = plan.managed[one.source]
        assert state.domains == ("a.example.org", "b.example.org")
        assert state.fingerprint
        assert state.routed
        assert state.problem is None
        assert state.task is not None
        assert (state.task.action, state.task.status) == ("orderFreeCertificate", "done")
        assert plan.outlooks[frontend("site")].standings[0].bound
        await found.restart()
        found.running.calls.clear()
        await found.settle()
        assert all(call.method == "GET" for call in found.running.calls)


@pytest.mark.parametrize("kind", ["lost", "reset"])
async def test_an_order_whose_answer_is_lost_is_not_placed_twice(kind: Any) -> None:
    async with world(resolves=("*",)) as found:
        found.running.faults.arm(Fault(path=r".*/freeCertificate", kind=kind))
        await found.settle(wish(listener("site", managed("free"))))
        assert len([one for one in found.state["ssl"] if one["type"] == "built"]) == 1
        orders = [one for one in found.state["tasks"] if one["action"] == "orderFreeCertificate"]
        assert len(orders) == 1


async def test_one_bad_domain_holds_no_other_certificate() -> None:
    async with world(resolves=("good.example.org",), order_gives_up_seconds=1200) as found:
        bad, good = managed("bad", "bad.example.org"), managed("good", "good.example.org")
        plan = await found.settle(wish(listener("site", bad, good)))
        assert plan.managed[good.source].fingerprint
        trouble = plan.managed[bad.source].problem
        assert trouble is not None
        assert trouble.reason == reasons.MANAGED_ORDER_FAILED
        assert len(found.calls("POST /freeCertificate")) == 2
        await found.settle()
        assert len(found.calls("POST /freeCertificate")) == 2


async def test_an_order_that_never_ends_is_said_after_an_hour_and_holds_no_other() -> None:
    async with world(resolves=("good.example.org",), order_gives_up_seconds=1e9) as found:
        bad, good = managed("bad", "bad.example.org"), managed("good", "good.example.org")
        found.driver.want(wish(listener("site", bad, good)))
        _, plan = await found.driver.settle(
            rounds=600, until=lambda plan: bool(plan.managed[good.source].fingerprint)
        )
        trouble = plan.managed[bad.source].problem
        assert trouble is not None
        assert trouble.reason == ORDER_OVERDUE


async def test_names_that_no_longer_lead_to_the_service_are_told() -> None:
    async with world(resolves=("*",)) as found:
        one = managed("free")
        await found.settle(wish(listener("site", one)))
        found.steer("route", {"id": found.state["ssl"][0]["id"], "routed": False})
        plan = await found.settle()
        state = plan.managed[one.source]
        assert not state.routed
        assert state.problem is not None
        assert state.problem.reason == reasons.NOT_ROUTED


async def test_a_renewal_by_ovh_shows_without_a_call_of_ours() -> None:
    async with world(resolves=("*",)) as found:
        one = managed("free")
        before = (await found.settle(wish(listener("site", one)))).managed[one.source]
        found.steer("renew", {"id": found.state["ssl"][0]["id"]})
        found.running.calls.clear()
        after = (await found.settle()).managed[one.source]
        assert after.fingerprint != before.fingerprint
        assert after.provider_id == before.provider_id
        assert all(call.method == "GET" for call in found.running.calls)


async def test_a_managed_certificate_of_ours_goes_with_its_frontend() -> None:
    async with world(resolves=("*",)) as found:
        await found.settle(wish(listener("site", managed("free"))))
        plan = await found.settle(wish(releasing=names("site")))
        assert plan.left == frozenset()
        assert found.state["ssl"] == []


async def test_no_plan_shows_a_key_or_a_credential() -> None:
    async with world() as found:
        one = binding("a")
        assert one.pair is not None
        lines = one.pair.private_key_pem.decode().splitlines()[1:-1]
        shown: list[str] = []
        found.driver.on_operation = lambda operation, observed: shown.append(
            f"{operation!r} {observed!r}"
        )
        await found.settle(wish(listener("site", one)))
        assert shown
        assert not any(line in text for line in lines for text in shown)
        assert not any(value.decode() in text for value in KEYS.values() for text in shown)


async def test_a_blocked_refresh_is_told_and_found_done_once_ovh_goes_on() -> None:
    async with world() as found:
        found.steer("plan-task", {"action": "refreshIplb", "status": "blocked"})
        found.driver.want(wish(listener("site", binding("a"))))

        def told(plan: Plan[Any]) -> bool:
            problems = plan.outlooks[frontend("site")].problems
            return [one.reason for one in problems] == [REFRESH_FAILED]

        await found.driver.settle(until=told)
        (task,) = found.state["tasks"]
        assert task["status"] == "blocked"
        found.steer("task", {"id": task["id"], "status": "doing"})
        plan = await found.settle()
        assert plan.outlooks[frontend("site")].configured
