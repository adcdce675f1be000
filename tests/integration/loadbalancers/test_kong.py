"""Kong by its Admin API: the provider against the strict emulator, every call of it lost once.

No cluster is needed. The emulator refuses what a Kong 3.9.3 refuses and serves by TLS what it has.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Gone, Throttled, Unavailable
from certfront.loadbalancers.handshake import context_for, probe
from certfront.loadbalancers.kong.ownership import certificate_id
from certfront.loadbalancers.kong.provider import KIND
from certfront.loadbalancers.kong.reasons import DATABASE_REQUIRED
from certfront.loadbalancers.protocol import Plan, Wish
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import KongAdmin, LoadBalancerSpec
from certfront.model.references import LocalReference
from sandbox.emulators.kong import Kong as Emulator
from sandbox.emulators.server import Fault, Running, StoppedClock, serving
from tests.contract.driver import Driver, environment
from tests.unit.loadbalancers.kong.builders import (
    ECDSA,
    RSA,
    SCOPE,
    binding,
    fingerprint,
    frontend,
    listener,
    pair,
    source,
    wish,
)

TOKEN = "canary-admin-token-5b1f"


class Setup:
    """An emulated Kong, and certfront's driver on it."""

    def __init__(self, running: Running, *, path: str = "", token: str = "") -> None:
        self.running = running
        self.kong: Emulator = running.emulator  # type: ignore[assignment]  # it is what we started
        spec = LoadBalancerSpec(
            type="Kong",
            kong=KongAdmin(
                admin_url=running.url + path,
                proxy_address=f"127.0.0.1:{self.kong.state.https_port}",
                credentials_secret_ref=LocalReference(name="kong-admin") if token else None,
            ),
        )
        self._spec = spec
        self._credentials = {"token": token.encode() + b"\n"} if token else {}
        self.driver: Driver | None = None
        self.restart()

    def restart(self) -> None:
        """What a new process begins with."""
        clock = self.running.clock
        self.provider = KIND.build(self._spec, self._credentials, environment(clock))  # type: ignore[arg-type]  # it moves

    async def make(self, wanted: Wish) -> Plan[Any]:
        if self.driver is None:
            self.driver = Driver(provider=self.provider, wish=wanted, time=self.running.clock)  # type: ignore[arg-type]  # it moves
        else:
            self.driver.want(wanted)
        _, plan = await self.driver.settle()
        await self.running.refresh()
        return plan

    def act(self, method: str, path: str, body: Any = None) -> None:
        """Do something as someone else would, with no line in the journal."""
        self.kong.steer("request", {"method": method, "path": path, "body": body})

    def calls(self) -> list[str]:
        return [call.name for call in self.running.calls]

    def state(self) -> Any:
        return self.kong.snapshot()

    def names(self) -> dict[str, str]:
        return {sni["name"]: sni["certificate"]["id"] for sni in self.state()["snis"]}

    async def shown(self, name: str, key_type: KeyAlgorithm = ECDSA) -> str:
        """The fingerprint that a client gets."""
        address = ("127.0.0.1", self.kong.state.https_port)
        return (await probe(address, name, context_for(key_type))).fingerprint


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def emulated(
    *, path: str = "", token: str = "", asked: str = "", **options: Any
) -> AsyncIterator[Setup]:
    clock = StoppedClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    emulator = Emulator(clock=clock, https_port=free_port(), token=asked or token, **options)
    async with serving(emulator) as running:
        setup = Setup(running, path=path, token=token)
        try:
            yield setup
        finally:
            await setup.provider.close()
        assert not running.failures


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    async with emulated() as made:
        yield made


def plain(text: str) -> str:
    return text.replace(":", "")


def key_of(*names: str) -> str:
    return certificate_id(SCOPE, frozenset(map(source, names)))


def add_route(setup: Setup, name: str = "shop") -> None:
    setup.act("POST", "/services", {"name": "web", "host": "backend.example"})
    body = {"name": name, "hosts": ["a.example"], "service": {"name": "web"}, "tags": ["mine"]}
    setup.act("POST", "/routes", body)


def redirected(*, version: int = 1, names: Iterable[str] = ("a.example",)) -> Wish:
    bound = binding("a", *names, version=version)
    return wish(listener("web", bound, routes=["shop"], redirect_status=308))


async def test_installed_rotated_and_released_with_handshakes(setup: Setup) -> None:
    web = listener("web", binding("a", "a.example", "*.a.example"))
    plan = await setup.make(wish(web))
    assert await setup.shown("a.example") == plain(fingerprint("a"))
    assert await setup.shown("x.a.example") == plain(fingerprint("a"))
    assert plan.outlooks[frontend("web")].probe == ("127.0.0.1", setup.kong.state.https_port)

    setup.running.calls.clear()
    await setup.make(wish(listener("web", binding("a", "a.example", "*.a.example", version=2))))
    assert await setup.shown("a.example") == plain(fingerprint("a", 2))
    assert setup.calls() == [
        "GET /certificates",
        "GET /snis",
        "GET /routes",
        "PUT /certificates/{}",
        "GET /certificates/{}",
    ]

    plan = await setup.make(wish(releasing=["web"]))
    state = setup.state()
    assert (state["certificates"], state["snis"], plan.left) == ([], [], frozenset())


async def test_what_is_settled_costs_three_reads(setup: Setup) -> None:
    wanted = wish(listener("web", binding("a", "a.example")))
    await setup.make(wanted)
    setup.running.calls.clear()
    await setup.make(wanted)
    assert setup.calls() == ["GET /certificates", "GET /snis", "GET /routes"]


async def test_a_pair_is_served_by_key_type(setup: Setup) -> None:
    rsa = binding("r", "a.example", key_type=RSA)
    await setup.make(wish(listener("web", binding("e", "a.example"), rsa)))
    assert await setup.shown("a.example", ECDSA) == plain(fingerprint("e"))
    assert await setup.shown("a.example", RSA) == plain(fingerprint("r", 1, RSA))
    await setup.make(wish(listener("web", binding("e", "a.example", version=2), rsa)))
    assert await setup.shown("a.example", ECDSA) == plain(fingerprint("e", 2))
    assert [one["id"] for one in setup.state()["certificates"]] == [key_of("e", "r")]


async def test_a_half_is_replaced_where_the_key_of_the_other_is_gone(setup: Setup) -> None:
    rsa = binding("r", "a.example", key_type=RSA)
    await setup.make(wish(listener("web", binding("e", "a.example"), rsa)))
    gone = binding("r", "a.example", key_type=RSA, at_hand=False)
    await setup.make(wish(listener("web", binding("e", "a.example", version=2), gone)))
    assert await setup.shown("a.example", ECDSA) == plain(fingerprint("e", 2))
    assert await setup.shown("a.example", RSA) == plain(fingerprint("r", 1, RSA))


async def test_names_move_to_a_pair_without_a_gap(setup: Setup) -> None:
    names = ("a.example", "b.example")
    rsa = binding("r", *names, key_type=RSA)
    await setup.make(wish(listener("web", rsa)))
    assert setup.driver is not None
    missing: list[set[str]] = []
    setup.driver.on_step = lambda _: missing.append(set(names) - setup.names().keys())
    await setup.make(wish(listener("web", rsa, binding("e", *names))))
    assert missing
    assert not any(missing)
    assert setup.names() == dict.fromkeys(names, key_of("e", "r"))
    assert len(setup.state()["certificates"]) == 1


async def test_a_second_frontend_shares_the_certificate(setup: Setup) -> None:
    one = listener("one", binding("a", "a.example"), age=2)
    await setup.make(wish(one, listener("two", binding("a", "b.example"), age=1)))
    assert setup.names() == dict.fromkeys(("a.example", "b.example"), key_of("a"))
    assert len(setup.state()["certificates"]) == 1
    await setup.make(wish(one, releasing=["two"]))
    assert setup.names() == {"a.example": key_of("a")}


async def test_a_name_that_someone_has_is_not_taken_and_adopted_on_request(setup: Setup) -> None:
    theirs = pair("z")
    body = {
        "cert": theirs.tls_crt.decode(),
        "key": theirs.private_key_pem.decode(),
        "snis": ["b.example"],
    }
    setup.act("POST", "/certificates", body)
    bound = binding("a", "a.example", "b.example")
    plan = await setup.make(wish(listener("web", bound)))
    assert [p.reason for p in plan.outlooks[frontend("web")].problems] == [reasons.NAME_TAKEN]
    assert await setup.shown("b.example") == plain(fingerprint("z"))
    await setup.make(wish(listener("web", bound, adopt=True)))
    assert await setup.shown("b.example") == plain(fingerprint("a"))
    assert len(setup.state()["certificates"]) == 2


async def test_a_name_taken_between_reading_and_writing_is_left_to_the_other(
    setup: Setup,
) -> None:
    assert setup.driver is None
    setup.driver = Driver(
        provider=setup.provider,
        wish=wish(listener("web", binding("a", "a.example", "b.example"))),
        time=setup.running.clock,  # type: ignore[arg-type]  # it moves
    )
    theirs = pair("z")
    body = {
        "cert": theirs.tls_crt.decode(),
        "key": theirs.private_key_pem.decode(),
        "snis": ["b.example"],
    }
    raced: list[bool] = []

    def race(*_: Any) -> None:
        if not raced:
            raced.append(True)
            setup.act("POST", "/certificates", body)

    setup.driver.on_operation = race
    _, plan = await setup.driver.settle()
    assert set(setup.names()) == {"a.example", "b.example"}
    assert setup.names()["a.example"] == key_of("a") != setup.names()["b.example"]
    assert [p.reason for p in plan.outlooks[frontend("web")].problems] == [reasons.NAME_TAKEN]


async def test_a_route_is_redirected_and_put_back(setup: Setup) -> None:
    add_route(setup)
    before = setup.state()["routes"][0]
    plan = await setup.make(redirected())
    (route,) = setup.state()["routes"]
    assert (route["protocols"], route["https_redirect_status_code"]) == (["https"], 308)
    assert plan.outlooks[frontend("web")].configured
    await setup.make(wish(releasing=["web"]))
    (after,) = setup.state()["routes"]
    for field in ("protocols", "https_redirect_status_code", "tags"):
        assert after[field] == before[field]


async def test_the_default_certificate_answers_for_unknown_names_only(setup: Setup) -> None:
    web = listener("web", binding("a", "a.example"), default_certificate=source("a"))
    await setup.make(wish(web))
    assert await setup.shown("unknown.example") == plain(fingerprint("a"))
    assert await setup.shown("") != plain(fingerprint("a"))


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("skip", range(6))
@pytest.mark.parametrize("kind", ["lost", "reset", "status", "html"])
async def test_a_lost_answer_or_a_failure_at_any_call_leaves_no_trace(
    setup: Setup, method: str, skip: int, kind: Any
) -> None:
    """Install with a redirect, rotate, change the names, release: each call fails once."""
    add_route(setup)
    status = 500 if kind == "status" else 502
    fault = Fault(
        method=method, path=r"[A-Z]+ /.+", kind=kind, skip=skip, status=status, body="<html>"
    )
    setup.running.faults.arm(fault)
    served: list[bool] = []
    await setup.make(redirected())
    assert setup.driver is not None
    setup.driver.on_step = lambda _: served.append("a.example" in setup.names())
    await setup.make(redirected(version=2))
    await setup.make(redirected(version=2, names=("a.example", "b.example")))
    await setup.make(redirected(version=2))
    assert all(served)
    assert setup.names() == {"a.example": key_of("a")}
    assert await setup.shown("a.example") == plain(fingerprint("a", 2))
    setup.driver.on_step = None
    await setup.make(wish(releasing=["web"]))
    state = setup.state()
    assert (state["certificates"], state["snis"]) == ([], [])
    assert state["routes"][0]["protocols"] == ["http", "https"]
    assert state["routes"][0]["tags"] == ["mine"]


class Killed(Exception):
    """The process has ended here."""


@pytest.mark.parametrize("after", range(6))
async def test_killed_after_any_step_a_new_process_that_remembers_nothing_goes_on(
    setup: Setup, after: int
) -> None:
    add_route(setup)
    steps = iter(range(after))

    def kill(_: Any) -> None:
        if next(steps, None) is None:
            raise Killed

    wishes = [
        redirected(),
        redirected(version=2, names=("a.example", "b.example")),
        wish(releasing=["web"]),
    ]
    for wanted in wishes:
        driver = Driver(provider=setup.provider, wish=wanted, time=setup.running.clock)  # type: ignore[arg-type]  # it moves
        driver.on_step = kill
        try:
            await driver.settle()
        except Killed:
            await setup.provider.close()
            setup.restart()
            driver = Driver(provider=setup.provider, wish=wanted, time=setup.running.clock)  # type: ignore[arg-type]  # it moves
            _, plan = await driver.settle()
            assert not plan.operations
    state = setup.state()
    assert (state["certificates"], state["snis"]) == ([], [])
    assert state["routes"][0]["protocols"] == ["http", "https"]


async def test_a_pause_that_is_asked_for_is_kept(setup: Setup) -> None:
    setup.running.faults.arm(Fault(kind="status", status=429, headers={"Retry-After": "17"}))
    began = setup.running.clock.now()
    await setup.make(wish(listener("web", binding("a", "a.example"))))
    assert setup.driver is not None
    (error,) = setup.driver.errors
    assert isinstance(error, Throttled)
    assert (setup.running.clock.now() - began).total_seconds() >= 17
    assert setup.names() == {"a.example": key_of("a")}


async def test_without_a_database_nothing_is_written() -> None:
    async with emulated(dbless=True) as setup:
        with pytest.raises(Denied) as caught:
            await setup.make(wish(listener("web", binding("a", "a.example"))))
        assert caught.value.reason is DATABASE_REQUIRED
        assert setup.calls() == ["GET /"]


async def test_without_a_database_a_write_says_so_too(setup: Setup) -> None:
    """Where `GET /` may not be read, or the database was taken away since."""
    await setup.make(wish(listener("web", binding("a", "a.example"))))
    setup.kong.steer("dbless", True)
    with pytest.raises(Denied) as caught:
        await setup.make(wish(listener("web", binding("a", "a.example", "b.example"))))
    assert caught.value.reason is DATABASE_REQUIRED


@pytest.mark.parametrize("token", ["", "wrong"], ids=["none", "a wrong one"])
async def test_a_refused_token_is_denied(token: str) -> None:
    async with emulated(token=token, asked=TOKEN) as setup:
        with pytest.raises(Denied) as caught:
            await setup.make(wish(listener("web", binding("a", "a.example"))))
        assert caught.value.reason is reasons.CREDENTIALS_REFUSED


async def test_a_workspace_is_a_path() -> None:
    async with emulated(path="/team", token=TOKEN, workspaces=("team", "other")) as setup:
        await setup.make(wish(listener("web", binding("a", "a.example"))))
        assert await setup.shown("a.example") == plain(fingerprint("a"))
        assert all(call.path.startswith("/team/") for call in setup.running.calls)


async def test_a_name_of_another_workspace_is_told_from_a_free_one() -> None:
    """SNIs are unique in all of Kong, and those of other workspaces cannot be listed."""
    async with emulated(path="/team", token=TOKEN, workspaces=("team", "other")) as setup:
        theirs = pair("z")
        body = {
            "cert": theirs.tls_crt.decode(),
            "key": theirs.private_key_pem.decode(),
            "snis": ["b.example"],
        }
        setup.act("POST", "/other/certificates", body)
        plan = await setup.make(wish(listener("web", binding("a", "a.example", "b.example"))))
        assert [p.reason for p in plan.outlooks[frontend("web")].problems] == [reasons.NAME_TAKEN]
        assert await setup.shown("a.example") == plain(fingerprint("a"))
        assert await setup.shown("b.example") == plain(fingerprint("z"))


@pytest.mark.parametrize("path", ["/nowhere", "/team"])
async def test_a_workspace_that_is_not_there_is_gone(path: str) -> None:
    async with emulated(path=path) as setup:
        with pytest.raises(Gone) as caught:
            await setup.make(wish(listener("web", binding("a", "a.example"))))
        assert caught.value.reason is reasons.TARGET_NOT_FOUND


async def test_kong_without_its_database_server_is_unavailable(setup: Setup) -> None:
    await setup.make(wish(listener("web", binding("a", "a.example"))))
    setup.kong.steer("reachable", False)
    with pytest.raises(Unavailable):
        await setup.provider.observe(wish())


async def test_a_certificate_that_a_service_uses_is_removed_later(setup: Setup) -> None:
    """Kong removes the names and then refuses the rest; it is asked again until it is free."""
    await setup.make(wish(listener("web", binding("a", "a.example"))))
    body = {
        "name": "user",
        "host": "x.example",
        "protocol": "https",
        "client_certificate": {"id": key_of("a")},
    }
    setup.act("POST", "/services", body)
    assert setup.driver is not None
    setup.driver.want(wish(releasing=["web"]))
    _, plan = await setup.driver.settle(until=lambda _: bool(setup.driver and setup.driver.errors))
    assert setup.driver.errors[-1].reason is reasons.IN_USE
    assert plan.left == {frontend("web")}
    setup.act("DELETE", "/services/user")
    await setup.make(wish(releasing=["web"]))
    assert setup.state()["certificates"] == []


async def test_more_certificates_than_a_page_are_all_seen(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certfront.loadbalancers.kong.admin._CERTIFICATES_A_PAGE", 2)
    monkeypatch.setattr("certfront.loadbalancers.kong.admin._OTHERS_A_PAGE", 2)
    wanted = wish(listener("web", *(binding(f"c{i}", f"c{i}.example") for i in range(5))))
    await setup.make(wanted)
    setup.running.calls.clear()
    await setup.make(wanted)
    assert len(setup.names()) == 5
    assert not [call for call in setup.running.calls if call.method != "GET"]


async def test_no_key_and_no_token_is_told_to_anyone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with emulated(token=TOKEN) as setup:
        web = listener("web", binding("a", "a.example"))
        await setup.make(wish(web))
        assert setup.driver is not None
        secret = pair("a").private_key_pem.decode().splitlines()[1]
        told = [caplog.text, repr(setup.driver.done), repr(await setup.provider.observe(wish(web)))]
        for method in ("GET", "PUT"):
            for body in (f'{{"message": "{TOKEN} {secret}"}}', f"{TOKEN}{secret}"):
                for status in (400, 401, 500):
                    fault = Fault(method=method, kind="status", status=status, body=body)
                    setup.running.faults.arm(fault)
                    setup.act("DELETE", f"/certificates/{key_of('a')}")
                    try:
                        await setup.make(wish(web))
                    except Denied as error:
                        told.append(str(error))
        told += [str(error) for error in setup.driver.errors]
        assert len(told) > 6
        assert not [text for text in told if TOKEN in text or secret in text]
