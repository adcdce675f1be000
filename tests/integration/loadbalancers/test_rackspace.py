"""Type Rackspace against the emulator: every scenario by real calls over HTTP, time moved by hand."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Gone, Throttled, Unavailable
from certfront.loadbalancers.handshake import any_context, probe, sni_for
from certfront.loadbalancers.identity import same_fingerprint
from certfront.loadbalancers.protocol import Plan, Wish
from certfront.loadbalancers.rackspace import KIND
from certfront.loadbalancers.rackspace.material import fingerprint as fingerprint_of
from certfront.model.loadbalancer import LoadBalancerSpec, RackspaceSettings
from certfront.model.references import LocalReference
from sandbox.emulators.rackspace import API_KEY, Rackspace
from sandbox.emulators.server import Fault, Running, StoppedClock, serving
from tests.contract.driver import Driver, environment
from tests.unit.loadbalancers.rackspace.builders import (
    NOW,
    binding,
    fingerprint,
    frontend,
    listener,
    wish,
)

CREDENTIALS = {"username": b"certfront", "apiKey": API_KEY.encode() + b"\n"}
WEB = frontend("web")
CHANGES = "PUT|POST|DELETE"


@dataclass
class World:
    """An emulated load balancer and a driver for it."""

    running: Running
    clock: StoppedClock
    driver: Driver

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.running.emulator.snapshot()["loadBalancers"][0]
        return found

    def steer(self, what: str, value: Any = None) -> None:
        self.running.emulator.steer(what, value)

    def calls(self, methods: str = "GET|PUT|POST|DELETE") -> list[tuple[str, str]]:
        """What was asked of the load balancer: method, and path from there on."""
        return [
            (one.method, path)
            for one in self.running.calls
            if re.fullmatch(methods, one.method)
            if (path := one.path.partition("/loadbalancers/71")[2]) or "/71" in one.path
        ]

    async def settle(self, wanted: Wish | None = None, **more: Any) -> Plan[Any]:
        if wanted is not None:
            self.driver.want(wanted)
        _, plan = await self.driver.settle(**more)
        return plan

    async def restart(self, **credentials: bytes) -> None:
        """Another process: nothing is known but what status remembers."""
        await self.driver.provider.close()
        self.driver.provider = provider(
            self.running.url, self.clock, {**CREDENTIALS, **credentials}
        )


def provider(
    url: str, clock: StoppedClock, credentials: dict[str, bytes], *, region: str = "dfw"
) -> Any:
    spec = LoadBalancerSpec(
        type="Rackspace",
        rackspace=RackspaceSettings(
            region=region,
            load_balancer_id="71",
            identity_url=f"{url}/v2.0",
            credentials_secret_ref=LocalReference(name="rackspace"),
        ),
    )
    return KIND.build(spec, credentials, environment(clock))


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    clock = StoppedClock(NOW)
    options.setdefault("rate_limits", False)
    emulator = Rackspace(clock=clock, **options)
    async with serving(emulator) as running:
        made = provider(running.url, clock, CREDENTIALS)
        found = World(running, clock, Driver(provider=made, wish=wish(), time=clock))
        try:
            yield found
        finally:
            await found.driver.provider.close()
            assert running.failures == []


A = binding("a", "a.example")
B = binding("b", "b.example")


def installed(found: World) -> dict[str, str]:
    """The fingerprint of every host name, the default under ""."""
    served = found.state["served"]
    termination = served.get("sslTermination")
    if termination is None:
        return {}
    mappings = served["certificateMappings"]
    default = {"": fingerprint_of(termination["certificate"])}
    return default | {one["hostName"]: fingerprint_of(one["certificate"]) for one in mappings}


def is_done(plan: Plan[Any], name: str = "web") -> bool:
    outlook = plan.outlooks[frontend(name)]
    return outlook.configured and all(one.bound for one in outlook.standings)


async def test_a_certificate_and_fifteen_mappings_are_installed_one_at_a_time() -> None:
    """The user of reference/users.md, number 7."""
    hosts = [f"s{number}.example" for number in range(15)]
    async with world() as found:
        several = [binding(f"s{n}", host) for n, host in enumerate(hosts)]
        plan = await found.settle(wish(listener("web", A, *several)))
        assert is_done(plan)
        assert installed(found) == {
            "": fingerprint("a"),
            **{host: fingerprint(f"s{n}") for n, host in enumerate(hosts)},
        }
        assert len(found.calls(CHANGES)) == 16
        assert found.driver.errors == []
        before = len(found.calls())
        await found.settle()
        assert [method for method, _ in found.calls()[before:]] == ["GET"] * 18


async def test_a_handshake_shows_what_was_installed() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    async with world(port_map={"443": port}) as found:
        await found.settle(wish(listener("web", A, B)))
        await found.running.fronts.refresh()
        for name in ("a", "b"):
            seen = await probe(("127.0.0.1", port), sni_for(f"{name}.example"), any_context())
            assert same_fingerprint(seen.fingerprint, fingerprint(name))


async def test_intermediates_go_along() -> None:
    async with world() as found:
        chained = binding("b", "b.example", chained=True)
        assert is_done(await found.settle(wish(listener("web", A, chained))))
        done = len(found.driver.done)
        assert is_done(await found.settle(wish(listener("web", chained, A))))
        assert is_done(await found.settle(wish(listener("web", A, B))))
        assert len(found.driver.done) > done


async def test_intermediates_of_a_mapping_go_when_the_new_certificate_has_none() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A, binding("b", "b.example", chained=True))))
        assert found.state["served"]["certificateMappings"][0].get("intermediateCertificate")
        assert is_done(await found.settle(wish(listener("web", A, B))))
        assert not found.state["served"]["certificateMappings"][0].get("intermediateCertificate")
        assert len(found.driver.done) == 3


async def test_a_renewed_certificate_is_replaced_in_place() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A, B)))
        await found.restart()
        before = len(found.calls(CHANGES))
        renewed = [binding(name, f"{name}.example", version=2) for name in ("a", "b")]
        assert is_done(await found.settle(wish(listener("web", *renewed))))
        assert installed(found) == {"": fingerprint("a", 2), "b.example": fingerprint("b", 2)}
        assert [method for method, _ in found.calls(CHANGES)[before:]] == ["PUT", "PUT"]


async def test_plain_traffic_is_redirected_and_again_not() -> None:
    async with world() as found:
        plan = await found.settle(wish(listener("web", A, https_only=True)))
        assert is_done(plan)
        assert found.state["served"]["httpsRedirect"] is True
        assert found.state["served"]["sslTermination"]["secureTrafficOnly"] is True
        assert is_done(await found.settle(wish(listener("web", A))))
        assert found.state["served"]["httpsRedirect"] is False
        assert found.driver.errors == []


async def test_a_disabled_listener_is_switched_off_and_on() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A, https_only=True)))
        await found.settle(wish(listener("web", A, https_only=True, disabled=True)))
        assert found.state["served"]["sslTermination"]["enabled"] is False
        assert is_done(await found.settle(wish(listener("web", A, https_only=True))))
        assert found.driver.errors == []


async def test_frontends_share_the_listener_and_a_certificate() -> None:
    async with world() as found:
        late = listener("late", B, binding("a", "x.a.example"))
        plan = await found.settle(wish(listener("web", A, age=9), late))
        assert is_done(plan)
        assert is_done(plan, "late")
        assert installed(found) == {"": fingerprint("a"), "b.example": fingerprint("b")}
        plan = await found.settle(wish(late, releasing=["web"]))
        assert plan.left == frozenset()
        assert is_done(plan, "late")
        assert installed(found)["" if "b.example" not in installed(found) else "b.example"]
        assert found.driver.errors == []


async def test_the_default_moves_to_another_certificate() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A, B)))
        assert is_done(await found.settle(wish(listener("web", A, B, default="b"))))
        assert installed(found) == {"": fingerprint("b"), "a.example": fingerprint("a")}
        assert found.driver.errors == []


async def test_a_release_leaves_nothing_and_lets_plain_traffic_in() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A, B, https_only=True)))
        plan = await found.settle(wish(releasing=["web"]))
        assert plan.left == frozenset()
        assert "sslTermination" not in found.state["set"]
        assert found.state["set"]["httpsRedirect"] is False
        assert found.driver.errors == []


async def test_what_someone_else_made_is_never_touched() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A, B)))
        theirs = found.state["set"]
        found.driver.memory.clear()
        other = binding("c", "b.example"), binding("x", "c.example")
        plan = await found.settle(wish(listener("other", *other)))
        reason = plan.outlooks[frontend("other")].problems[0].reason
        assert reason == reasons.LISTENER_EXISTS
        only = listener("other", *other, manage="CertificatesOnly")
        plan = await found.settle(wish(only))
        assert [p.reason for p in plan.outlooks[frontend("other")].problems] == [reasons.NAME_TAKEN]
        assert installed(found)["b.example"] == fingerprint("b")
        assert installed(found)["c.example"] == fingerprint("x")
        plan = await found.settle(wish(releasing=["other"]))
        assert plan.left == frozenset()
        assert found.state["set"] == theirs


async def test_a_change_made_behind_our_back_is_undone() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A, B)))
        found.steer("remove-mapping", {"hostName": "b.example"})
        assert is_done(await found.settle())
        found.steer("remove-termination", {})
        assert is_done(await found.settle())
        assert installed(found) == {"": fingerprint("a"), "b.example": fingerprint("b")}


async def test_a_change_is_looked_at_by_one_read_and_known_as_if_read_anew() -> None:
    async with world() as found:
        made, time = found.driver.provider, found.clock
        wanted = wish(listener("web", A, B, https_only=True))
        there = await made.observe(wanted)
        while plan := made.plan(wanted, there):
            if plan.operations:
                there = await made.execute(plan.operations[0], there)
                assert made.plan(wanted, there).operations == ()
            elif plan.look_again is not None:
                time.advance(plan.look_again)
                before = len(found.calls())
                there = await made.look(wanted, there)
                assert found.calls()[before:] == [("GET", "")]
            else:
                break
        assert is_done(plan)
        assert there == await made.observe(wanted)


async def test_a_key_is_in_no_error_and_no_representation(caplog: Any) -> None:
    caplog.set_level("DEBUG")
    canary = API_KEY[:16]
    async with world() as found:
        seen: list[str] = []
        found.driver.on_operation = lambda *given: seen.append(repr(given))
        found.running.faults.arm(Fault(method="PUT", status=400, body='{"message": "no"}'))
        found.running.faults.arm(Fault(method="POST", status=500))
        await found.settle(wish(listener("web", A, B)))
        await found.settle(wish(listener("web", A, B)))
        told = "".join([*seen, caplog.text, *(repr(error) for error in found.driver.errors)])
        assert found.driver.errors
        assert "PRIVATE" not in told
        assert canary not in told


# --- what goes wrong


@pytest.mark.parametrize("skip", range(6))
@pytest.mark.parametrize("kind", ["lost", "reset", "status", "html"])
async def test_one_call_that_fails_anywhere_changes_nothing_in_the_end(
    kind: Any, skip: int
) -> None:
    """Reads and changes alike; aiohttp itself repeats an idempotent call on a stale connection."""
    async with world() as found:
        found.running.faults.arm(
            Fault(path=".*/loadbalancers/.*", method="", kind=kind, skip=3 * skip, times=1)
        )
        wanted = wish(listener("web", A, B, https_only=True))
        assert is_done(await found.settle(wanted))
        assert installed(found) == {"": fingerprint("a"), "b.example": fingerprint("b")}
        assert found.state["served"]["httpsRedirect"] is True


@pytest.mark.parametrize("change", range(4))
async def test_a_lost_answer_to_each_change_is_noticed(change: int) -> None:
    async with world() as found:
        for method in ("PUT", "POST"):
            found.running.faults.arm(
                Fault(path=".*/loadbalancers/.*", method=method, kind="lost", skip=change)
            )
        assert is_done(await found.settle(wish(listener("web", A, B, https_only=True))))
        assert len(found.calls("POST")) == 1


async def test_a_mapping_whose_answer_was_lost_is_ours_after_a_renewal_too() -> None:
    async with world() as found:
        await found.settle(wish(listener("web", A)))
        found.running.faults.arm(Fault(path=".*", method="POST", kind="lost", times=1))
        await found.settle(wish(listener("web", A, B)), until=lambda _: bool(found.driver.errors))
        await found.restart()
        renewed = binding("b", "b.example", version=2)
        assert is_done(await found.settle(wish(listener("web", A, renewed))))
        assert installed(found)["b.example"] == fingerprint("b", 2)


async def test_the_rate_limit_is_a_pause_and_no_failure() -> None:
    async with world(rate_limits=True) as found:
        several = [binding("b", *(f"h{n}.example" for n in range(12)))]
        assert is_done(await found.settle(wish(listener("web", A, *several))))
        assert {type(error) for error in found.driver.errors} <= {Throttled}


async def test_a_pause_is_as_long_as_rackspace_asks() -> None:
    async with world() as found:
        found.running.faults.arm(
            Fault(path=".*/71", kind="status", status=413, headers={"Retry-After": "33"})
        )
        assert is_done(await found.settle(wish(listener("web", A))))
        assert [error.retry_after for error in found.driver.errors] == [33.0]


async def test_the_limit_of_mappings_leaves_the_others_served() -> None:
    async with world(mapping_limit=2) as found:
        several = binding("b", *(f"h{n}.example" for n in range(4)))
        await found.settle(wish(listener("web", A, several)))
        assert len(installed(found)) == 3
        assert {error.reason for error in found.driver.errors} == {reasons.QUOTA_EXCEEDED}


async def test_a_change_under_way_is_waited_for() -> None:
    async with world() as found:
        found.steer("status", {"status": "PENDING_UPDATE"})
        plan = await found.settle(
            wish(listener("web", A)), until=lambda p: p.look_again is not None
        )
        assert plan.operations == ()
        found.steer("status", {"status": "ACTIVE"})
        assert is_done(await found.settle())


async def test_someone_elses_change_in_between_is_waited_for() -> None:
    """The load balancer was ACTIVE when it was read, and is not when the change arrives: 422."""
    async with world() as found:

        def busy(*_: Any) -> None:
            found.driver.on_operation = None
            found.steer("status", {"status": "PENDING_UPDATE"})

        def over(*_: Any) -> None:
            found.steer("status", {"status": "ACTIVE"})

        found.driver.on_operation = busy
        await found.settle(wish(listener("web", A)), until=lambda _: bool(found.driver.errors))
        assert [error.reason for error in found.driver.errors] == [reasons.WAITING_FOR_PROVIDER]
        over()
        assert is_done(await found.settle())


@pytest.mark.parametrize("status", ["ERROR", "SUSPENDED"])
async def test_a_state_that_nobody_can_change_is_told(status: str) -> None:
    async with world() as found:
        found.steer("status", {"status": status})
        plan = await found.settle(wish(listener("web", A)))
        assert plan.outlooks[WEB].problems[0].reason.name == "LoadBalancerState"
        assert found.calls(CHANGES) == []


async def test_a_deleted_load_balancer_is_gone() -> None:
    async with world(load_balancers=("72",)) as found:
        with pytest.raises(Gone):
            await found.settle(wish(listener("web", A)))


async def test_wrong_credentials_are_told_without_showing_them() -> None:
    async with world() as found:
        await found.restart(apiKey=b"0123456789abcdef0123456789abcdef")
        with pytest.raises(Denied) as told:
            await found.settle(wish(listener("web", A)))
        assert told.value.reason == reasons.CREDENTIALS_REFUSED
        assert "0123456789abcdef" not in str(told.value)


async def test_an_unknown_region_names_those_that_there_are() -> None:
    async with world() as found:
        await found.driver.provider.close()
        found.driver.provider = provider(found.running.url, found.clock, CREDENTIALS, region="xyz")
        with pytest.raises(Denied, match="DFW"):
            await found.settle(wish(listener("web", A)))


async def test_a_token_is_renewed_before_its_end_and_when_it_is_refused() -> None:
    def tokens(found: World) -> int:
        return sum(one.path.endswith("/tokens") for one in found.running.calls)

    async with world(token_seconds=3600) as found:
        await found.settle(wish(listener("web", A)))
        assert tokens(found) == 1
        found.clock.advance(3400)
        await found.settle()
        assert tokens(found) == 2
        found.steer("revoke-tokens")
        await found.settle()
        assert tokens(found) == 3
        assert found.driver.errors == []


@pytest.mark.parametrize("body", ["", "<html></html>", "[]", '{"loadBalancer": {}}', "{"])
async def test_an_answer_that_cannot_be_used_is_no_state(body: str) -> None:
    async with world() as found:
        found.running.faults.arm(Fault(path=".*/71", status=200, body=body, times=1))
        assert is_done(await found.settle(wish(listener("web", A))))
        assert [type(error) for error in found.driver.errors] == [Unavailable]


@pytest.mark.parametrize(
    "options",
    [{"wrapped_faults": True}, {"termination_status": 202}, {"retry_after": "date"}],
    ids=["wrapped", "202", "date"],
)
async def test_the_forms_that_the_documents_leave_open_are_all_understood(
    options: dict[str, Any],
) -> None:
    async with world(rate_limits=True, **options) as found:
        assert is_done(await found.settle(wish(listener("web", A, B, https_only=True))))
        plan = await found.settle(replace(wish(), releasing=frozenset({WEB})))
        assert plan.left == frozenset()
