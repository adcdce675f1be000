"""A classic load balancer of AWS, against the emulator: what arrives, what goes, what is asked."""

from __future__ import annotations

from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws import reasons as aws
from certfront.loadbalancers.errors import Denied, Gone
from certfront.loadbalancers.protocol import Plan
from certfront.model.frontend import ClassicListener
from sandbox.emulators.aws import refusing, throttling
from sandbox.emulators.server import Fault
from tests.contract.driver import Driver
from tests.integration.loadbalancers.aws_world import World, world
from tests.unit.loadbalancers.aws.builders import (
    SCOPE,
    WEB,
    binding,
    fingerprint,
    frontend,
    listener,
    pair,
    source,
    wish,
)

WRITES = (
    "iam:UploadServerCertificate",
    "iam:DeleteServerCertificate",
    "elb:CreateLoadBalancerListeners",
    "elb:DeleteLoadBalancerListeners",
    "elb:SetLoadBalancerListenerSSLCertificate",
    "elb:AddTags",
    "elb:RemoveTags",
)


def writes(here: World) -> list[str]:
    return [name for name in here.calls() if name in WRITES]


def is_done(plan: Plan[Any], name: str = "web") -> bool:
    outlook = plan.outlooks[frontend(name)]
    return outlook.configured and all(one.bound for one in outlook.standings)


def name_of(certificate: str, version: int = 1) -> str:
    return SCOPE.certificate_name(source(certificate), fingerprint(certificate, version))


async def test_a_certificate_is_uploaded_and_its_listener_made_with_it() -> None:
    async with world("classic", propagation_misses=0) as here:
        _, plan = await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()
        assert is_done(plan)
        assert plan.limits == {"serverCertificates": 20}
        made = here.classic()[443]
        assert (made["protocol"], made["instance_protocol"]) == ("HTTPS", "HTTP")
        assert made["instance_port"] == 8080
        assert here.offered_by_classic() == name_of("a")
        assert writes(here) == [
            "iam:UploadServerCertificate",
            "elb:AddTags",
            "elb:CreateLoadBalancerListeners",
        ]


@pytest.mark.parametrize(
    ("instance_protocol", "protocol"),
    [("HTTP", "HTTPS"), ("HTTPS", "HTTPS"), ("TCP", "SSL"), ("SSL", "SSL")],
)
async def test_the_protocol_is_that_of_the_layer_of_the_instances(
    instance_protocol: Any, protocol: str
) -> None:
    async with world("classic") as here:
        classic = ClassicListener(instance_port=80, instance_protocol=instance_protocol)
        _, plan = await here.driver(wish(listener("web", binding("a"), classic=classic))).settle()
        assert is_done(plan)
        assert here.classic()[443]["protocol"] == protocol


async def test_a_new_version_is_switched_to_without_a_gap_and_the_old_one_goes_at_the_end() -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
        here.running.calls.clear()
        served: list[str] = []
        driver.on_step = lambda _: served.append(here.offered_by_classic())

        driver.want(wish(listener("web", binding("a", version=2), classic=WEB)))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert all(served)
        assert list(here.server_certificates().values()) == [name_of("a", 2)]
        assert "elb:DeleteLoadBalancerListeners" not in here.calls()
        assert "elb:CreateLoadBalancerListeners" not in here.calls()


async def test_https_only_is_a_balancer_without_a_plain_listener() -> None:
    async with world("classic") as here:
        both = listener("web", binding("a"), classic=WEB, http_port=80)
        driver = here.driver(wish(both))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert here.classic()[80]["protocol"] == "HTTP"
        only = listener("web", binding("a"), classic=WEB, http_port=80, redirect_status=308)
        driver.want(wish(only))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert list(here.classic()) == [443]


async def test_a_plain_listener_made_elsewhere_is_told_where_only_https_is_asked_for() -> None:
    async with world("classic", listeners=("classic:80:HTTP:80",)) as here:
        only = listener("web", binding("a"), classic=WEB, http_port=80, redirect_status=308)
        _, plan = await here.driver(wish(only)).settle()
        assert is_done(plan)
        (notice,) = plan.outlooks[frontend("web")].notices
        assert notice.reason == aws.PLAIN_LISTENER_ELSEWHERE


async def test_of_several_certificates_the_default_is_offered_and_the_others_are_told() -> None:
    async with world("classic") as here:
        wanted = listener(
            "web", binding("a"), binding("b"), classic=WEB, default_certificate=source("b")
        )
        _, plan = await here.driver(wish(wanted)).settle()
        assert here.offered_by_classic() == name_of("b")
        assert list(here.server_certificates().values()) == [name_of("b")]
        (problem,) = plan.outlooks[frontend("web")].problems
        assert problem.reason == aws.ONE_CERTIFICATE_ONLY
        assert "Certificate a" in problem.message


async def test_without_an_instance_port_nothing_is_done() -> None:
    async with world("classic") as here:
        _, plan = await here.driver(wish(listener("web", binding("a")))).settle()
        (problem,) = plan.outlooks[frontend("web")].problems
        assert problem.reason == aws.INSTANCE_PORT_REQUIRED
        assert writes(here) == []


async def test_another_instance_port_never_takes_a_working_listener_away() -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
        here.running.calls.clear()
        other = ClassicListener(instance_port=9090)
        driver.want(wish(listener("web", binding("a", version=2), classic=other)))
        _, plan = await driver.settle(
            until=lambda plan: all(one.bound for one in plan.outlooks[frontend("web")].standings)
        )
        (problem,) = plan.outlooks[frontend("web")].problems
        assert problem.reason == aws.LISTENER_FIXED
        assert here.offered_by_classic() == name_of("a", 2)
        assert "elb:DeleteLoadBalancerListeners" not in here.calls()


# --- release


async def test_a_release_takes_listener_mark_and_certificate_away() -> None:
    async with world("classic", listeners=("classic:8443:HTTPS:80",)) as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB, http_port=80)))
        await driver.settle()
        driver.want(wish(releasing=("web",)))
        observed, plan = await driver.settle()
        assert not plan.left
        assert list(here.classic()) == [8443]
        assert here.server_certificates() == {}
        assert observed.owners == {}


async def test_a_shared_certificate_stays_for_the_frontend_that_is_left() -> None:
    async with world("classic") as here:
        one = listener("one", binding("a"), classic=WEB, age=1)
        two = listener("two", binding("a"), classic=WEB)
        driver = here.driver(wish(one, two))
        _, plan = await driver.settle()
        assert is_done(plan, "one")
        assert is_done(plan, "two")
        here.running.calls.clear()
        driver.want(wish(two, releasing=("one",)))
        _, plan = await driver.settle()
        assert not plan.left
        assert writes(here) == []


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param({"complete": False}, id="not all frontends are known"),
        pytest.param({"staying": ("web",)}, id="nothing new was decided"),
    ],
)
async def test_nothing_is_removed_that_could_be_needed(kept: Any) -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
        here.running.calls.clear()
        driver.want(wish(**kept))
        await driver.settle()
        assert writes(here) == []


async def test_a_certificate_without_material_stays_as_it_is() -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
        here.running.calls.clear()
        driver.want(wish(listener("web", binding("a", at_hand=False), classic=WEB)))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert writes(here) == []


# --- listeners made elsewhere


async def test_a_listener_made_elsewhere_is_not_taken_over() -> None:
    async with world("classic", listeners=("classic:443:HTTPS:8080",)) as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        _, plan = await driver.settle(
            until=lambda plan: bool(plan.outlooks[frontend("web")].problems)
        )
        (problem,) = plan.outlooks[frontend("web")].problems
        assert problem.reason == reasons.LISTENER_EXISTS
        assert writes(here) == []


async def test_an_adopted_listener_is_switched_in_place_and_goes_with_its_frontend() -> None:
    async with world("classic", listeners=("classic:443:HTTPS:8080",)) as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB, adopt=True)))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert "elb:CreateLoadBalancerListeners" not in here.calls()
        driver.want(wish(releasing=("web",)))
        await driver.settle()
        assert here.classic() == {}


async def test_a_listener_made_elsewhere_gets_back_what_it_had() -> None:
    async with world("classic", listeners=("classic:443:HTTPS:8080",)) as here:
        before = here.classic()
        driver = here.driver(wish(listener("web", binding("a"), manage="CertificatesOnly")))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert here.offered_by_classic() == name_of("a")
        driver.want(wish(listener("web", binding("a", version=2), manage="CertificatesOnly")))
        await driver.settle()
        assert list(here.server_certificates().values()) == [name_of("a", 2)]
        assert "elb:AddTags" not in here.calls()

        driver.want(wish(releasing=("web",)))
        _, plan = await driver.settle()
        assert not plan.left
        assert here.classic() == before
        assert here.server_certificates() == {}


async def test_a_listener_made_elsewhere_that_lost_what_it_had_keeps_ours_and_it_is_told() -> None:
    async with world("classic", listeners=("classic:443:HTTPS:8080",)) as here:
        former = here.classic()[443]["certificate"]
        driver = here.driver(wish(listener("web", binding("a"), manage="CertificatesOnly")))
        await driver.settle()
        here.steer("remove_server_certificate", former.rpartition("/")[2])
        driver.want(wish(releasing=("web",)))
        _, plan = await driver.settle()
        assert plan.left == {frontend("web")}
        assert [one.reason for one in plan.notices] == [aws.LEFT_BOUND]
        assert here.offered_by_classic() == name_of("a")


async def test_a_stored_certificate_is_told_by_its_arn() -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), manage="StoreOnly")))
        _, plan = await driver.settle()
        (standing,) = plan.outlooks[frontend("web")].standings
        assert standing.bound
        assert list(here.server_certificates()) == [standing.provider_id]
        assert here.classic() == {}


async def test_certificates_are_kept_below_their_path() -> None:
    async with world("classic") as here:
        here.with_settings(iam_path="/certfront/")
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        _, plan = await driver.settle()
        assert is_done(plan)
        (arn,) = here.server_certificates()
        assert ":server-certificate/certfront/" in arn


# --- what is there is found again


async def test_a_new_process_without_memory_changes_nothing() -> None:
    async with world("classic") as here:
        wanted = wish(listener("web", binding("a"), classic=WEB, http_port=80))
        await here.driver(wanted).settle()
        here.running.calls.clear()
        _, plan = await here.driver(wanted).settle()
        assert is_done(plan)
        assert writes(here) == []


async def test_a_lost_mark_is_set_again_by_what_the_status_remembers() -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        observed, _ = await driver.settle()
        emulator: Any = here.running.emulator
        emulator.classic["us-east-1"].balancers()[0].tags.clear()
        again, plan = await driver.settle()
        assert is_done(plan)
        assert again.owners == observed.owners


async def test_what_is_observed_anew_is_what_was_known() -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        observed, _ = await driver.settle()
        assert await driver.provider.observe(driver.current()) == observed


async def test_a_foreign_certificate_that_is_the_same_is_used_and_never_removed() -> None:
    async with world("classic") as here:
        await here.driver(wish(listener("x", binding("a"), manage="StoreOnly"))).settle()
        emulator: Any = here.running.emulator
        entries = emulator.server_certificates._entries
        ((_, entry),) = entries.items()
        entries.clear()
        emulator.server_certificates.add(entry.material, "by-hand", "/", {})
        here.running.calls.clear()

        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert "iam:UploadServerCertificate" not in here.calls()
        driver.want(wish(releasing=("web",)))
        await driver.settle()
        assert [one["name"] for one in here.state()["server_certificates"]] == ["by-hand"]


# --- what goes wrong


@pytest.mark.parametrize("skip", range(12))
async def test_a_lost_answer_at_any_call_leaves_no_duplicate(skip: int) -> None:
    async with world("classic") as here:
        here.running.faults.arm(Fault(kind="lost", skip=skip))
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert len(here.server_certificates()) == 1
        assert list(here.classic()) == [443]


@pytest.mark.parametrize("skip", range(12))
async def test_a_process_that_ends_at_any_call_of_a_rotation_leaves_no_duplicate(skip: int) -> None:
    async with world("classic") as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
        driver.want(wish(listener("web", binding("a", version=2), classic=WEB)))
        driver.errors.clear()
        here.running.faults.arm(Fault(kind="lost", skip=skip))
        await driver.settle(until=lambda _: bool(driver.errors))
        here.running.faults.clear()
        again = Driver(provider=here.provider(), wish=driver.current(), time=here.clock)
        _, plan = await again.settle()
        assert is_done(plan)
        assert list(here.server_certificates().values()) == [name_of("a", 2)]


async def test_a_certificate_that_the_balancer_does_not_know_yet_is_waited_for() -> None:
    async with world("classic", propagation_misses=0, propagation_seconds=40) as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert {error.reason for error in driver.errors} == {aws.PROPAGATING}


async def test_a_certificate_in_use_is_deleted_later() -> None:
    async with world("classic", in_use_lag=600) as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
        driver.want(wish(releasing=("web",)))
        await driver.settle(
            until=lambda _: reasons.IN_USE in {error.reason for error in driver.errors}
        )
        assert here.server_certificates() != {}
        here.clock.advance(600)
        _, plan = await driver.settle()
        assert not plan.left
        assert here.server_certificates() == {}


async def test_too_many_calls_are_waited_out() -> None:
    async with world("classic") as here:
        here.running.faults.arm(throttling("iam", "", times=2))
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        _, plan = await driver.settle()
        assert is_done(plan)
        assert reasons.RATE_LIMITED in {error.reason for error in driver.errors}


async def test_a_full_quota_is_told_and_what_is_served_stays() -> None:
    async with world("classic", server_certificates=1) as here:
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
        driver.want(wish(listener("web", binding("a", version=2), classic=WEB)))
        _, plan = await driver.settle()
        assert not is_done(plan)
        assert reasons.QUOTA_EXCEEDED in {error.reason for error in driver.errors}
        assert here.offered_by_classic() == name_of("a")


async def test_credentials_that_are_wrong_are_denied() -> None:
    async with world("classic") as here:
        here.steer("secret", "another")
        with pytest.raises(Denied) as caught:
            await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()
        assert caught.value.reason == reasons.CREDENTIALS_REFUSED


async def test_the_permission_that_is_missing_is_named() -> None:
    async with world("classic") as here:
        here.steer("allow", ["elasticloadbalancing:*", "iam:List*", "iam:Get*"])
        with pytest.raises(Denied, match="iam:UploadServerCertificate"):
            await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()


async def test_head_room_is_not_needed_and_so_not_insisted_on() -> None:
    async with world("classic") as here:
        here.steer("allow", ["elasticloadbalancing:*", "iam:*ServerCertificate*"])
        _, plan = await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()
        assert is_done(plan)
        assert plan.limits == {}


async def test_a_load_balancer_that_is_gone_is_told() -> None:
    async with world("classic") as here:
        here.steer("remove_balancer", "classic")
        with pytest.raises(Gone):
            await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()


async def test_what_iam_refuses_is_told_without_what_was_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """IAM quotes the values that it does not like; neither a log nor an error has them."""
    caplog.set_level("DEBUG")
    secret = pair("a").private_key_pem.decode().splitlines()[1]
    async with world("classic") as here:
        fault = refusing("iam", "UploadServerCertificate", "ValidationError", message=secret)
        here.running.faults.arm(fault)
        driver = here.driver(wish(listener("web", binding("a"), classic=WEB)))
        await driver.settle()
    shown = caplog.text + "".join(str(error) for error in driver.errors)
    assert "ValidationError" in shown
    assert secret not in shown
    assert "PRIVATE KEY" not in shown
    assert "sandbox/certfront/secret" not in shown


# --- roles


async def test_a_role_is_assumed_with_the_keys() -> None:
    async with world("classic", allow=("sts:AssumeRole",), roles={"edge": "*"}) as here:
        account = here.state()["account"]
        here.with_settings(role_arn=f"arn:aws:iam::{account}:role/edge")
        _, plan = await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()
        assert is_done(plan)
        assert here.calls().count("sts:AssumeRole") == 1


async def test_sessions_of_a_role_are_renewed_before_they_end() -> None:
    async with world("classic", roles={"edge": "*"}, session_seconds=60) as here:
        account = here.state()["account"]
        here.with_settings(role_arn=f"arn:aws:iam::{account}:role/edge")
        _, plan = await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()
        assert is_done(plan)
        assert here.calls().count("sts:AssumeRole") > 1


async def test_a_role_that_may_not_be_assumed_is_told() -> None:
    async with world("classic", allow=("iam:*",)) as here:
        account = here.state()["account"]
        here.with_settings(role_arn=f"arn:aws:iam::{account}:role/certfront")
        with pytest.raises(Denied, match="sts:AssumeRole"):
            await here.driver(wish(listener("web", binding("a"), classic=WEB))).settle()


async def test_an_endpoint_that_is_not_allowed_is_refused_before_anything_is_sent() -> None:
    async with world("classic") as here:
        provider = here.provider(allowed=())
        with pytest.raises(Denied) as caught:
            await provider.observe(wish())
        assert caught.value.reason == reasons.ENDPOINT_REFUSED
        assert here.calls() == []


async def test_the_identity_of_the_process_is_not_used_where_it_may_not_be() -> None:
    async with world("classic") as here:
        with pytest.raises(Denied, match="operator's namespace only") as caught:
            here.provider({})
        assert caught.value.reason == reasons.CREDENTIALS_NOT_FOUND
