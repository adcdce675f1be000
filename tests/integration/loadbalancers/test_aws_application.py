"""An application load balancer of AWS, against the emulator: what arrives, goes, and is asked."""

from __future__ import annotations

from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws import reasons as aws
from certfront.loadbalancers.errors import Denied, Gone
from certfront.loadbalancers.protocol import Plan
from sandbox.emulators.aws import refusing, throttling
from sandbox.emulators.server import Fault
from tests.contract.driver import Driver
from tests.integration.loadbalancers.aws_world import World, world
from tests.unit.loadbalancers.aws.builders import (
    ECDSA,
    RSA,
    binding,
    frontend,
    listener,
    pair,
    source,
    wish,
)

WRITES = (
    "acm:ImportCertificate",
    "acm:DeleteCertificate",
    "elbv2:CreateListener",
    "elbv2:ModifyListener",
    "elbv2:DeleteListener",
    "elbv2:AddListenerCertificates",
    "elbv2:RemoveListenerCertificates",
    "elbv2:AddTags",
)


def writes(here: World) -> list[str]:
    return [name for name in here.calls() if name in WRITES]


def is_done(plan: Plan[Any], name: str = "web") -> bool:
    outlook = plan.outlooks[frontend(name)]
    return outlook.configured and all(one.bound for one in outlook.standings)


async def test_a_certificate_is_imported_and_its_listener_made_with_it() -> None:
    async with world("application") as here:
        wanted = listener("web", binding("a"), farm_name="web", http_port=80, redirect_status=308)
        _, plan = await here.driver(wish(wanted)).settle()
        assert is_done(plan)
        secure, plain = here.application()[443], here.application()[80]
        assert secure["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
        assert secure["DefaultActions"][0]["TargetGroupArn"].split("/")[1] == "web"
        assert plain["DefaultActions"][0]["RedirectConfig"]["StatusCode"] == "HTTP_301"
        assert plain["DefaultActions"][0]["RedirectConfig"]["Port"] == "443"
        assert here.offered() == {("a.example",)}
        assert secure["others"] == [secure["Certificates"][0]["CertificateArn"]]
        assert sorted(writes(here)) == [
            "acm:ImportCertificate",
            "elbv2:AddListenerCertificates",
            "elbv2:CreateListener",
            "elbv2:CreateListener",
            "elbv2:CreateListener",
        ]
        assert plan.limits["certificatesPerLoadBalancer"] == 25


# --- rotation


async def test_a_new_version_takes_the_place_of_the_old_under_the_same_arn() -> None:
    async with world("application") as here:
        wanted = listener("web", binding("a"), farm_name="web")
        driver = here.driver(wish(wanted))
        await driver.settle()
        before, old = here.imported(), here.material(next(iter(here.imported())))
        tags = here.state()["certificates"][-1]["tags"]
        here.running.calls.clear()

        driver.want(wish(listener("web", binding("a", version=2), farm_name="web")))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert here.imported() == before
        assert here.material(next(iter(before))) != old
        assert here.state()["certificates"][-1]["tags"] == tags
        assert writes(here) == ["acm:ImportCertificate"]


async def test_another_key_type_is_another_certificate_and_the_old_one_goes_at_the_end() -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a", key_type=RSA), farm_name="web")))
        await driver.settle()
        old = set(here.imported())
        served: list[bool] = []
        driver.on_step = lambda _: served.append(bool(here.offered()))

        driver.want(wish(listener("web", binding("a", key_type=ECDSA), farm_name="web")))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert all(served)
        assert len(here.imported()) == 1
        assert set(here.imported()).isdisjoint(old)


async def test_a_pair_of_key_types_is_offered_together() -> None:
    async with world("application") as here:
        both = (binding("rsa", "a.example", key_type=RSA), binding("ec", "a.example"))
        _, plan = await here.driver(wish(listener("web", *both, farm_name="web"))).settle()
        assert is_done(plan)
        assert here.offered() == {("rsa.example",), ("ec.example",)}


async def test_a_foreign_certificate_that_is_the_same_is_used_and_never_removed() -> None:
    async with world("application") as here:
        wanted = listener("web", binding("a"), farm_name="web")
        first = here.driver(wish(wanted))
        await first.settle()
        arn = next(iter(here.imported()))
        # Now it is as if someone else had imported it.
        emulator: Any = here.running.emulator
        emulator.certificates["us-east-1"]._entries[arn].tags.clear()
        here.steer("remove_listener", "alb:443")
        here.running.calls.clear()

        driver = here.driver(wish(wanted))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert "acm:ImportCertificate" not in here.calls()
        driver.want(wish(releasing=("web",)))
        _, plan = await driver.settle()
        assert not plan.left
        assert "acm:DeleteCertificate" not in here.calls()


# --- several frontends


async def test_frontends_share_the_listener_of_a_port_and_a_certificate() -> None:
    async with world("application") as here:
        one = listener("one", binding("a"), binding("s"), farm_name="web", age=1)
        two = listener("two", binding("b"), binding("s"), farm_name="web")
        driver = here.driver(wish(one, two))
        _, plan = await driver.settle()
        assert is_done(plan, "one")
        assert is_done(plan, "two")
        assert here.offered() == {("a.example",), ("b.example",), ("s.example",)}
        assert here.calls().count("acm:ImportCertificate") == 3

        driver.want(wish(two, releasing=("one",)))
        _, plan = await driver.settle()
        assert not plan.left
        assert here.offered() == {("b.example",), ("s.example",)}
        assert sorted(here.imported().values()) == [("b.example",), ("s.example",)]


async def test_the_older_of_two_frontends_decides_where_the_traffic_of_a_port_goes() -> None:
    async with world("application", target_groups=("web", "api")) as here:
        one = listener("one", binding("a"), farm_name="web", age=1)
        two = listener("two", binding("b"), farm_name="api")
        _, plan = await here.driver(wish(one, two)).settle()
        assert is_done(plan, "one")
        (problem,) = plan.outlooks[frontend("two")].problems
        assert problem.reason == aws.SETTING_CONFLICT
        assert here.offered() == {("a.example",), ("b.example",)}


# --- release


async def test_a_release_takes_listeners_and_certificates_away() -> None:
    async with world("application", listeners=("alb:8443:HTTPS:web",)) as here:
        wanted = listener("web", binding("a"), farm_name="web", http_port=80, redirect_status=301)
        driver = here.driver(wish(wanted))
        await driver.settle()
        driver.want(wish(releasing=("web",)))
        _, plan = await driver.settle()
        assert not plan.left
        assert list(here.application()) == [8443]
        assert here.imported() == {}


async def test_nothing_is_removed_while_a_frontend_is_not_known() -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        await driver.settle()
        driver.want(wish(complete=False))
        await driver.settle()
        assert here.offered() == {("a.example",)}


async def test_what_stays_is_left_as_it_is() -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        await driver.settle()
        here.running.calls.clear()
        driver.want(wish(staying=("web",)))
        await driver.settle()
        assert writes(here) == []


async def test_a_certificate_without_material_stays_as_it_is() -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        await driver.settle()
        here.running.calls.clear()
        gone = listener("web", binding("a", at_hand=False), farm_name="web")
        driver.want(wish(gone))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert writes(here) == []


# --- listeners made elsewhere


async def test_a_listener_made_elsewhere_is_not_taken_over() -> None:
    async with world("application", listeners=("alb:443:HTTPS:web",)) as here:
        _, plan = await here.driver(wish(listener("web", binding("a"), farm_name="web"))).settle(
            until=lambda plan: bool(plan.outlooks[frontend("web")].problems)
        )
        (problem,) = plan.outlooks[frontend("web")].problems
        assert problem.reason == reasons.LISTENER_EXISTS
        assert writes(here) == []


async def test_an_adopted_listener_is_kept_and_changed() -> None:
    async with world("application", listeners=("alb:443:HTTPS:",)) as here:
        arn = here.application()[443]["ListenerArn"]
        wanted = listener("web", binding("a"), farm_name="web", adopt=True)
        _, plan = await here.driver(wish(wanted)).settle()
        assert is_done(plan)
        now = here.application()[443]
        assert now["ListenerArn"] == arn
        assert now["DefaultActions"][0]["Type"] == "forward"
        assert here.offered() == {("a.example",)}


async def test_certificates_are_added_to_a_listener_made_elsewhere_and_taken_off_again() -> None:
    async with world("application", listeners=("alb:443:HTTPS:web",)) as here:
        before = here.application()[443]
        driver = here.driver(wish(listener("web", binding("a"), manage="CertificatesOnly")))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert here.application()[443]["Certificates"] == before["Certificates"]
        assert here.offered() == {("a.example",)}
        assert set(writes(here)) == {"acm:ImportCertificate", "elbv2:AddListenerCertificates"}

        driver.want(wish(releasing=("web",)))
        _, plan = await driver.settle()
        assert not plan.left
        assert here.application()[443] == before
        assert here.imported() == {}


async def test_a_default_certificate_that_was_replaced_is_put_back() -> None:
    async with world("application", listeners=("alb:443:HTTPS:web",)) as here:
        before = here.application()[443]
        wanted = listener(
            "web", binding("a"), manage="CertificatesOnly", default_certificate=source("a")
        )
        driver = here.driver(wish(wanted))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert here.application()[443]["Certificates"] != before["Certificates"]
        driver.want(wish(releasing=("web",)))
        _, plan = await driver.settle()
        assert not plan.left
        assert here.application()[443] == before
        assert here.imported() == {}


async def test_a_listener_made_elsewhere_that_lost_what_it_had_keeps_ours_and_it_is_told() -> None:
    async with world("application", listeners=("alb:443:HTTPS:web",)) as here:
        former = here.application()[443]["Certificates"][0]["CertificateArn"]
        wanted = listener(
            "web", binding("a"), manage="CertificatesOnly", default_certificate=source("a")
        )
        driver = here.driver(wish(wanted))
        await driver.settle()
        here.steer("remove_certificate", former)
        driver.want(wish(releasing=("web",)))
        _, plan = await driver.settle()
        assert plan.left == {frontend("web")}
        assert [one.reason for one in plan.notices] == [aws.LEFT_BOUND]
        assert here.offered() == {("a.example",)}


async def test_without_a_listener_there_is_nothing_to_add_to_and_nothing_is_imported() -> None:
    async with world("application") as here:
        wanted = wish(listener("web", binding("a"), manage="CertificatesOnly"))
        _, plan = await here.driver(wanted).settle(
            until=lambda plan: bool(plan.outlooks[frontend("web")].problems)
        )
        (problem,) = plan.outlooks[frontend("web")].problems
        assert problem.reason == reasons.LISTENER_NOT_FOUND
        assert here.imported() == {}


async def test_a_stored_certificate_is_told_by_its_arn() -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a"), manage="StoreOnly")))
        _, plan = await driver.settle()
        assert is_done(plan)
        (standing,) = plan.outlooks[frontend("web")].standings
        assert standing.provider_id in here.imported()
        assert here.application() == {}


# --- what is there is found again


async def test_a_new_process_without_memory_changes_nothing() -> None:
    async with world("application") as here:
        wanted = wish(
            listener("web", binding("a"), farm_name="web", http_port=80, redirect_status=301)
        )
        await here.driver(wanted).settle()
        here.running.calls.clear()
        _, plan = await here.driver(wanted).settle()
        assert is_done(plan)
        assert writes(here) == []


async def test_what_is_observed_anew_is_what_was_known() -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        observed, _ = await driver.settle()
        assert await driver.provider.observe(driver.current()) == observed


@pytest.mark.parametrize(
    ("what", "value"),
    [
        pytest.param("remove_listener", "alb:443", id="listener"),
        pytest.param("remove_certificate", "", id="certificate"),
    ],
)
async def test_what_was_taken_away_is_made_again(what: str, value: str) -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        await driver.settle()
        if what == "remove_certificate":
            value = next(iter(here.imported()))
        here.steer(what, value)
        here.clock.advance(600)
        _, plan = await driver.settle()
        assert is_done(plan)
        assert here.offered() == {("a.example",)}
        assert len(here.imported()) == 1


# --- what goes wrong


@pytest.mark.parametrize("skip", range(16))
async def test_a_lost_answer_at_any_call_leaves_no_duplicate(skip: int) -> None:
    async with world("application") as here:
        here.running.faults.arm(Fault(kind="lost", skip=skip))
        wanted = listener("web", binding("a"), farm_name="web", http_port=80, redirect_status=301)
        driver = here.driver(wish(wanted))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert len(here.imported()) == 1
        assert sorted(here.application()) == [80, 443]
        here.running.faults.clear()


@pytest.mark.parametrize("skip", range(12))
async def test_a_process_that_ends_at_any_call_leaves_no_duplicate(skip: int) -> None:
    """The answer is lost, and with it all that the process knew besides the status."""
    async with world("application") as here:
        wanted = wish(listener("web", binding("a"), farm_name="web"))
        here.running.faults.arm(Fault(kind="lost", skip=skip))
        driver = here.driver(wanted)
        try:
            await driver.settle(until=lambda _: bool(driver.errors))
        finally:
            here.running.faults.clear()
        again = Driver(provider=here.provider(), wish=driver.current(), time=here.clock)
        _, plan = await again.settle()
        assert is_done(plan)
        assert len(here.imported()) == 1


async def test_a_certificate_that_the_balancer_does_not_know_yet_is_waited_for() -> None:
    async with world("application", propagation_misses=0, propagation_seconds=40) as here:
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert {error.reason for error in driver.errors} == {aws.PROPAGATING}


async def test_too_many_calls_are_waited_out() -> None:
    async with world("application") as here:
        here.running.faults.arm(throttling("acm", "ImportCertificate", times=2))
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert {error.reason for error in driver.errors} >= {reasons.RATE_LIMITED}
        assert len(here.imported()) == 1


async def test_a_full_quota_holds_only_what_does_not_fit() -> None:
    async with world("application", certificates_per_balancer=1) as here:
        driver = here.driver(wish(listener("web", binding("a"), binding("b"), farm_name="web")))
        _, plan = await driver.settle()
        assert here.offered() == {("a.example",)}
        assert reasons.QUOTA_EXCEEDED in {error.reason for error in driver.errors}
        bound = {one.source.name: one.bound for one in plan.outlooks[frontend("web")].standings}
        assert bound == {"a": True, "b": False}


async def test_credentials_that_are_wrong_are_denied() -> None:
    async with world("application") as here:
        here.steer("secret", "another")
        with pytest.raises(Denied) as caught:
            await here.driver(wish(listener("web", binding("a"), farm_name="web"))).settle()
        assert caught.value.reason == reasons.CREDENTIALS_REFUSED


async def test_the_permission_that_is_missing_is_named() -> None:
    async with world("application") as here:
        here.steer("allow", ["elasticloadbalancing:*", "acm:ListCertificates"])
        with pytest.raises(Denied, match="acm:ImportCertificate"):
            await here.driver(wish(listener("web", binding("a"), farm_name="web"))).settle()


async def test_a_load_balancer_that_is_gone_is_told() -> None:
    async with world("application") as here:
        here.steer("remove_balancer", "alb")
        with pytest.raises(Gone):
            await here.driver(wish(listener("web", binding("a"), farm_name="web"))).settle()


async def test_a_target_group_that_is_missing_is_told_and_looked_for_again() -> None:
    async with world("application") as here:
        driver = here.driver(wish(listener("web", binding("a"), farm_name="api")))
        _, plan = await driver.settle(
            until=lambda plan: bool(plan.outlooks[frontend("web")].problems)
        )
        (problem,) = plan.outlooks[frontend("web")].problems
        assert problem.reason == aws.TARGET_GROUP_NOT_FOUND
        emulator: Any = here.running.emulator
        emulator.application["us-east-1"].add_target_group("api", "HTTP")
        _, plan = await driver.settle()
        assert is_done(plan)


@pytest.mark.parametrize("code", ["InternalFailure", "ServiceUnavailable"])
async def test_failures_of_aws_are_asked_again(code: str) -> None:
    async with world("application") as here:
        here.running.faults.arm(refusing("elbv2", "CreateListener", code, status=503, times=2))
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert {error.reason for error in driver.errors} >= {reasons.PROVIDER_UNAVAILABLE}


async def test_an_unread_answer_says_nothing_of_what_was_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No part of a key is in a log, at any level, nor in an error."""
    caplog.set_level("DEBUG")
    async with world("application") as here:
        here.running.faults.arm(Fault(kind="html", path="acm:ImportCertificate", status=502))
        driver = here.driver(wish(listener("web", binding("a"), farm_name="web")))
        await driver.settle()
    secret = pair("a").private_key_pem.decode().splitlines()[1]
    shown = caplog.text + "".join(str(error) for error in driver.errors)
    assert driver.errors
    assert secret not in shown
    assert "PRIVATE KEY" not in shown
    assert "sandbox/certfront/secret" not in shown
