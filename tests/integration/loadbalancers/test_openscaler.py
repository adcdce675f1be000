"""OpenScaler by its API: the provider against the strict emulator, with answers lost at every call.

No cluster is needed. Reading and deletion are documented nowhere, so most tests run with them and
without. The emulator serves by TLS what it was given.
"""

from __future__ import annotations

import json
import logging
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Gone, NotYet, Refused, Throttled, Unavailable
from certfront.loadbalancers.exchange import Answer, Exchange
from certfront.loadbalancers.handshake import any_context, probe
from certfront.loadbalancers.openscaler.kind import KIND
from certfront.loadbalancers.protocol import Plan, Wish
from certfront.loadbalancers.reasons import LEFT_AT_PROVIDER
from certfront.model.loadbalancer import LoadBalancerSpec, OpenScalerSettings
from certfront.model.references import LocalReference
from sandbox.emulators.openscaler import OpenScaler as Emulator
from sandbox.emulators.server import Fault, Running, StoppedClock, serving
from tests.contract.driver import environment
from tests.unit.loadbalancers.openscaler.builders import (
    NOW,
    binding,
    fingerprint,
    frontend,
    listener,
    managed,
    name_of,
    pair,
    source,
    wish,
)
from tests.unit.loadbalancers.openscaler.model import StatusDriver

TOKEN = "canary-openscaler-token-77a1"
BOTH = pytest.mark.parametrize("listing", [True, False], ids=["list", "no list"])


class Setup:
    """An emulated OpenScaler, and certfront's driver on it."""

    def __init__(self, running: Running, port: int, *, lb: str = "42", token: str = TOKEN) -> None:
        self.running = running
        self.port = port
        self.openscaler: Emulator = running.emulator  # type: ignore[assignment]  # it is what we started
        self.spec = LoadBalancerSpec(
            type="OpenScaler",
            open_scaler=OpenScalerSettings(
                endpoint=running.url,
                load_balancer_id=lb,
                credentials_secret_ref=LocalReference(name="openscaler"),
            ),
        )
        self.token = token
        self.opened: list[Any] = []
        self.driver = StatusDriver(provider=self.start(), wish=wish(), time=running.clock)  # type: ignore[arg-type]  # it moves

    def start(self) -> Any:
        """A provider as after a start of the operator."""
        made = environment(self.running.clock)  # type: ignore[arg-type]  # it moves
        self.opened.append(KIND.build(self.spec, {"token": self.token.encode() + b"\n"}, made))
        return self.opened[-1]

    async def make(self, wanted: Wish) -> Plan[Any]:
        self.driver.want(wanted)
        _, plan = await self.driver.settle()
        await self.running.refresh()
        return plan

    def calls(self) -> Counter[str]:
        return Counter(call.method for call in self.running.calls)

    def there(self) -> list[str]:
        return [one["name"] for one in self.openscaler.snapshot()["lbs"]["42"]]

    async def shown(self, name: str) -> str:
        """The fingerprint that a client gets."""
        return (await probe(("127.0.0.1", self.port), name, any_context())).fingerprint


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def emulated(*, lb: str = "42", token: str = TOKEN, **options: Any) -> AsyncIterator[Setup]:
    port = free_port()
    options.setdefault("issuance_seconds", 0)
    emulator = Emulator(
        clock=StoppedClock(datetime(2026, 11, 24, 12, tzinfo=UTC)),
        token=TOKEN,
        lbs={"42": port},
        **options,
    )
    async with serving(emulator) as running:
        setup = Setup(running, port, lb=lb, token=token)
        try:
            yield setup
        finally:
            for one in setup.opened:
                await one.close()
        assert not running.failures


def plain(text: str) -> str:
    return text.replace(":", "")


WEB, WEB2 = listener("web", binding("a")), listener("web", binding("a", version=2))
M = wish(listener("web", managed("m")))


@BOTH
async def test_installed_rotated_and_released_with_handshakes(listing: bool) -> None:
    async with emulated(listing=listing, deletion=True) as setup:
        plan = await setup.make(wish(WEB))
        assert await setup.shown("a.example") == plain(fingerprint("a"))
        [standing] = plan.outlooks[frontend("web")].standings
        assert (standing.bound, standing.provider_id) == (True, name_of("a"))

        await setup.make(wish(WEB2))
        assert await setup.shown("a.example") == plain(fingerprint("a", 2))
        assert setup.there() == [name_of("a", 2)]
        plan = await setup.make(wish(releasing=["web"]))
        assert (setup.there(), plan.left) == ([], frozenset())
        assert setup.calls()["POST"] == setup.calls()["DELETE"] == 2


async def test_leaf_chain_and_key_go_up_in_one_pem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain's order is refused by the emulator, too; it takes the key anywhere."""
    sent: list[bytes] = []
    send = Exchange.send

    async def listen(exchange: Exchange, *args: Any, **options: Any) -> Answer:
        sent.append(options.get("body") or b"")
        return await send(exchange, *args, **options)

    monkeypatch.setattr(Exchange, "send", listen)
    async with emulated(listing=True) as setup:
        await setup.make(wish(WEB))
        content = json.loads(sent[-1])["cert_content"]
        assert re.findall("BEGIN ([A-Z ]+)-", content) == ["CERTIFICATE"] * 2 + ["PRIVATE KEY"]
        assert "\n\n" not in content
        [state] = setup.openscaler.snapshot()["lbs"]["42"]
        material = pair("a")
        assert len(material.chain) == 2
        assert state["size"] == len(material.tls_crt + material.private_key_pem)
        assert state["fingerprint"] == plain(fingerprint("a")).lower()


async def test_nothing_is_deleted_where_deletion_is_not_offered_and_it_is_told() -> None:
    async with emulated() as setup:
        await setup.make(wish(WEB))
        await setup.make(wish(WEB2))
        assert await setup.shown("a.example") == plain(fingerprint("a", 2))
        plan = await setup.make(wish(releasing=["web"]))
        assert plan.left == frozenset()
        assert [one.reason for one in plan.notices] == [LEFT_AT_PROVIDER]
        assert setup.there() == [name_of("a"), name_of("a", 2)]
        assert setup.calls() == Counter(GET=1, POST=2, DELETE=1)


@BOTH
async def test_a_settled_load_balancer_costs_no_more_than_a_read(listing: bool) -> None:
    async with emulated(listing=listing) as setup:
        await setup.make(wish(WEB))
        for _ in range(3):
            await setup.make(wish(WEB))
        assert setup.calls() == Counter(GET=4 if listing else 1, POST=1)
        setup.driver.provider = setup.start()
        await setup.make(wish(WEB))
        assert setup.calls() == Counter(GET=5 if listing else 2, POST=1)


@BOTH
async def test_a_second_frontend_shares_a_certificate_and_keeps_it(listing: bool) -> None:
    async with emulated(listing=listing, deletion=True) as setup:
        await setup.make(wish(WEB))
        late = listener("late", binding("a"), binding("b"))
        await setup.make(wish(WEB, late))
        assert setup.calls()["POST"] == 2
        plan = await setup.make(wish(late, releasing=["web"]))
        assert plan.left == frozenset()
        assert await setup.shown("a.example") == plain(fingerprint("a"))
        setup.driver.memory.pop(frontend("web"))
        await setup.make(wish(releasing=["late"]))
        assert setup.there() == []


async def test_what_somebody_removed_is_uploaded_again_where_it_can_be_seen() -> None:
    async with emulated(listing=True) as setup:
        await setup.make(wish(WEB))
        setup.openscaler.steer("remove", ["42", name_of("a")])
        await setup.make(wish(WEB))
        assert await setup.shown("a.example") == plain(fingerprint("a"))


@BOTH
@pytest.mark.parametrize("kind", ["lost", "reset", "html"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_call_that_fails_is_made_good(kind: Any, method: str, listing: bool) -> None:
    async with emulated(listing=listing, deletion=True, points_here=("m.example",)) as setup:
        for wanted in (wish(WEB), wish(WEB2), M, wish(releasing=["web"])):
            setup.running.faults.arm(Fault(method=method, kind=kind))
            plan = await setup.make(wanted)
            assert plan.left == frozenset()
            wants = {one.provider_id for out in plan.outlooks.values() for one in out.standings}
            assert all(wants)
            # A deletion whose answer was lost cannot be told from one that is not offered.
            exact = listing or (kind, method) != ("lost", "DELETE")
            assert set(setup.there()) == wants or not exact
            setup.running.faults.clear()
        assert setup.calls()["POST"] <= 3 + 3 * (method == "POST")


async def test_a_pause_that_is_asked_for_is_kept() -> None:
    async with emulated() as setup:
        setup.running.faults.arm(Fault(method="POST", status=429, headers={"Retry-After": "120"}))
        await setup.make(wish(WEB))
        [error] = setup.driver.errors
        assert isinstance(error, Throttled)
        assert setup.running.clock.now() - NOW >= timedelta(seconds=120)
        assert setup.there() == [name_of("a")]


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_an_error_of_the_server_is_tried_again(status: int) -> None:
    async with emulated() as setup:
        setup.running.faults.arm(Fault(status=status, times=3))
        await setup.make(wish(WEB))
        assert [type(one) for one in setup.driver.errors] == [Unavailable] * 3
        assert setup.there() == [name_of("a")]


@BOTH
async def test_a_wrong_token_is_told(listing: bool) -> None:
    async with emulated(listing=listing, token="canary-other") as setup:
        with pytest.raises(Denied) as caught:
            await setup.make(wish(WEB))
        assert caught.value.reason == reasons.CREDENTIALS_REFUSED
        assert "canary" not in str(caught.value)


async def test_a_token_is_replaced() -> None:
    async with emulated() as setup:
        await setup.make(wish(WEB))
        setup.openscaler.steer("token", "canary-next")
        with pytest.raises(Denied):
            await setup.make(wish(WEB2))
        setup.token = "canary-next"
        setup.driver.provider = setup.start()
        await setup.make(wish(WEB2))
        assert await setup.shown("a.example") == plain(fingerprint("a", 2))


async def test_a_load_balancer_that_is_not_there_is_told() -> None:
    async with emulated(lb="43") as setup:
        with pytest.raises(Gone) as caught:
            await setup.make(wish(WEB))
        assert caught.value.reason == reasons.TARGET_NOT_FOUND


async def test_what_is_over_the_limit_does_not_hold_the_others() -> None:
    async with emulated(quota=1) as setup:
        plan = await setup.make(wish(listener("web", binding("a"), binding("b"))))
        [error] = setup.driver.errors
        assert isinstance(error, Refused)
        assert "as many certificates as it may" in error.message
        assert [one.stored for one in plan.outlooks[frontend("web")].standings] == [True, False]


@BOTH
@pytest.mark.parametrize("kind", ["Public", "SelfSigned"])
async def test_a_certificate_is_issued_and_told(kind: str, listing: bool) -> None:
    async with emulated(listing=listing, points_here=("m.example",)) as setup:
        plan = await setup.make(wish(listener("web", managed("m", kind=kind))))
        state = plan.managed[source("m")]
        assert (state.provider_id, state.domains) == (setup.there()[0], ("m.example",))
        assert state.subject == "CN=m.example"
        assert state.not_before is not None
        assert state.not_after is not None
        assert state.serial
        assert state.size
        [told] = setup.openscaler.snapshot()["lbs"]["42"]
        assert await setup.shown("m.example") == told["fingerprint"].upper()
        [standing] = plan.outlooks[frontend("web")].standings
        assert (standing.bound, standing.not_after) == (True, state.not_after)
        setup.driver.provider = setup.start()
        await setup.make(wish(listener("web", managed("m", kind=kind))))
        assert setup.calls()["POST"] == 1


async def test_a_public_certificate_is_replaced_before_its_end() -> None:
    async with emulated(points_here=("m.example",), deletion=True) as setup:
        first = (await setup.make(M)).managed[source("m")]
        setup.running.clock.advance(61 * 86400)  # type: ignore[union-attr]  # it moves
        setup.driver.provider = setup.start()
        second = (await setup.make(M)).managed[source("m")]
        assert first.not_after is not None
        assert second.not_after is not None
        assert second.not_after > first.not_after
        assert setup.there() == [second.provider_id]


async def test_a_name_that_points_elsewhere_is_told_and_tried_again() -> None:
    async with emulated() as setup:
        setup.driver.want(M)
        _, plan = await setup.driver.settle(
            until=lambda found: found.managed[source("m")].problem is not None
        )
        problem = plan.managed[source("m")].problem
        assert problem is not None
        assert problem.reason == reasons.MANAGED_ORDER_FAILED
        assert "does not point to this load balancer" in problem.message
        assert isinstance(setup.driver.errors[0], NotYet)
        setup.openscaler.steer("points_here", ["m.example"])
        _, plan = await setup.driver.settle()
        assert plan.managed[source("m")].problem is None
        assert setup.running.clock.now() - NOW >= timedelta(minutes=30)


@pytest.mark.parametrize("status", ["200", "201", "202"])
async def test_success_is_taken_in_each_of_its_forms(status: str) -> None:
    async with emulated(success_status=status) as setup:
        await setup.make(wish(WEB))
        assert setup.calls() == Counter(GET=1, POST=1)


async def test_an_endpoint_may_name_the_version() -> None:
    async with emulated() as setup:
        setup.spec = LoadBalancerSpec(
            type="OpenScaler",
            open_scaler=OpenScalerSettings(
                endpoint=f"{setup.running.url}/v1/",
                load_balancer_id="42",
                credentials_secret_ref=LocalReference(name="openscaler"),
            ),
        )
        setup.driver.provider = setup.start()
        await setup.make(wish(WEB))
        assert setup.there() == [name_of("a")]


@pytest.mark.parametrize("token", [b"", b" \n", b"two words", "t\xf6ken".encode(), b"a\x01b"])
async def test_a_token_that_is_none_is_refused_without_showing_it(token: bytes) -> None:
    async with emulated() as setup:
        made = environment(setup.running.clock)  # type: ignore[arg-type]  # it moves
        with pytest.raises(Denied) as caught:
            KIND.build(setup.spec, {"token": token}, made)
        assert token.strip() == b"" or token.decode() not in str(caught.value)


async def test_no_key_and_no_token_gets_into_logs_errors_and_plans(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with emulated(quota=1) as setup:
        setup.running.faults.arm(Fault(method="POST", status=500, body=TOKEN))
        plan = await setup.make(wish(listener("web", binding("a"), binding("b"))))
        shown = "\n".join([caplog.text, repr(plan), *map(repr, setup.driver.errors)])
        assert "PRIVATE" not in shown
        assert TOKEN not in shown
