"""How an account is reached: endpoints, keys, threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws import KIND_APPLICATION, KIND_CLASSIC
from certfront.loadbalancers.aws.account import Access, Keys, check_endpoint, in_thread, keys_of
from certfront.loadbalancers.errors import Denied
from certfront.model.addresses import AllowedAddresses
from certfront.model.loadbalancer import (
    AWSApplicationSettings,
    AWSClassicSettings,
    LoadBalancerSpec,
)
from tests.contract.driver import SteppedTime, environment

VPC = "https://vpce-1.elasticloadbalancing.eu-west-1.vpce.amazonaws.com"
HERE = "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("endpoint", "service", "used"),
    [
        pytest.param("", "iam", None, id="none"),
        pytest.param(HERE, "iam", HERE, id="one for all services"),
        pytest.param(VPC, "elb", VPC, id="of AWS, for its service"),
        pytest.param(VPC, "elbv2", VPC, id="of AWS, for both kinds of balancers"),
        pytest.param(VPC, "iam", None, id="of AWS, not for others"),
        pytest.param(VPC, "acm", None, id="of AWS, not for certificates"),
    ],
)
def test_an_endpoint_is_used_for_what_it_is_for(
    endpoint: str, service: str, used: str | None
) -> None:
    assert Access(region="eu-west-1", endpoint_url=endpoint).endpoint_of(service) == used


@pytest.mark.parametrize("url", ["http://127.0.0.1:80", "http://localhost", "http://[::1]:80"])
def test_an_endpoint_on_this_machine_is_refused(url: str) -> None:
    with pytest.raises(Denied) as caught:
        check_endpoint(url, AllowedAddresses(()))
    assert caught.value.reason == reasons.ENDPOINT_REFUSED


def test_an_endpoint_that_the_installation_allows_is_taken() -> None:
    check_endpoint("http://127.0.0.1:80", AllowedAddresses(("127.0.0.0/8",)))


def test_an_account_is_told_apart_without_naming_a_key() -> None:
    keys = Keys(access_key_id="AKIAEXAMPLE", secret_access_key="hidden")
    one = Access(region="eu-west-1", keys=keys)
    other = Access(region="eu-west-1", keys=Keys(access_key_id="AKIA2", secret_access_key="h"))
    assert one.account != other.account
    assert "AKIAEXAMPLE" not in one.account
    assert "AKIAEXAMPLE" not in repr(one)
    assert "hidden" not in repr(keys)


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param({"accessKeyID": b"AKIA"}, id="one is missing"),
        pytest.param({"accessKeyID": b"AKIA", "secretAccessKey": b""}, id="one is empty"),
        pytest.param({"accessKeyID": b"AKIA", "secretAccessKey": b"a\nb"}, id="a line break"),
        pytest.param({"accessKeyID": b"AKIA", "secretAccessKey": b"x" * 9000}, id="too long"),
        pytest.param({"accessKeyID": b"AKIA\xff", "secretAccessKey": b"x"}, id="not ASCII"),
    ],
)
def test_what_can_be_no_credentials_is_denied(credentials: dict[str, bytes]) -> None:
    with pytest.raises(Denied) as caught:
        keys_of(credentials, environment(SteppedTime()))
    assert caught.value.reason == reasons.CREDENTIALS_NOT_FOUND


def test_a_line_break_at_the_end_of_a_key_is_no_part_of_it() -> None:
    given = {"accessKeyID": b"AKIA\n", "secretAccessKey": b"s\n", "sessionToken": b"t\n"}
    found = keys_of(given, environment(SteppedTime()))
    assert found == Keys(access_key_id="AKIA", secret_access_key="s", session_token="t")


async def test_a_cancelled_call_ends_with_its_thread() -> None:
    """Otherwise the next call would run beside one that is still being sent."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        go_on.wait(10)
        ended.set()

    with ThreadPoolExecutor(max_workers=1) as executor:
        task = asyncio.create_task(in_thread(executor, call))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


def test_a_balancer_is_the_same_by_name_or_arn() -> None:
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c"
    role = "arn:aws:iam::123456789012:role/certfront"

    def target(**settings: str) -> str:
        block = AWSApplicationSettings(region="eu-west-1", **settings)
        return KIND_APPLICATION.target(
            LoadBalancerSpec(type="AWSApplication", aws_application=block)
        )

    assert target(arn=arn) == target(load_balancer_name="shop", role_arn=role)
    assert target(arn=arn) != target(load_balancer_name="other", role_arn=role)


def test_a_classic_balancer_is_another_one_in_another_region() -> None:
    def target(region: str) -> str:
        block = AWSClassicSettings(region=region, load_balancer_name="shop")
        return KIND_CLASSIC.target(LoadBalancerSpec(type="AWSClassic", aws_classic=block))

    assert target("eu-west-1") != target("eu-west-2")
