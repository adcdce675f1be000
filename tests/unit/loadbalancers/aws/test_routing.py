"""Where an application load balancer sends traffic, and what it cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from certfront.loadbalancers.aws import reasons as aws
from certfront.loadbalancers.aws.application.routing import (
    action_of,
    plain_action_of,
    policy_of,
)
from certfront.loadbalancers.aws.application.state import Forward, Redirect
from certfront.loadbalancers.problems import Problem
from tests.unit.loadbalancers.aws.builders import listener

GROUPS = {"web": "arn:group/web", "gone": ""}


@pytest.mark.parametrize(
    ("wanted", "action"),
    [
        ({"farm_name": "web"}, Forward(target_group="arn:group/web")),
        ({"farm_name": "arn:aws:x"}, Forward(target_group="arn:aws:x")),
        ({"farm_name": "not-looked-for"}, None),
        (
            {"redirect_location": "https://new.example/a?b=c"},
            Redirect(
                protocol="HTTPS",
                port="443",
                status="HTTP_302",
                host="new.example",
                path="/a",
                query="b=c",
            ),
        ),
        (
            {"redirect_location": "https://new.example:8443"},
            Redirect(
                protocol="HTTPS",
                port="8443",
                status="HTTP_302",
                host="new.example",
                path="/",
                query="",
            ),
        ),
        (
            {"redirect_location": "http://new.example", "ssl": False},
            Redirect(
                protocol="HTTP",
                port="80",
                status="HTTP_302",
                host="new.example",
                path="/",
                query="",
            ),
        ),
    ],
)
def test_traffic_goes_where_it_is_asked_to_go(wanted: dict[str, Any], action: object) -> None:
    assert action_of(listener("web", **wanted), GROUPS) == action


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://new.example", id="HTTPS to HTTP"),
        pytest.param("https://new.example/#{host}", id="a placeholder of AWS's own"),
        pytest.param("https://new.example/" + "x" * 200, id="a path that is too long"),
        pytest.param("https:///path", id="no host"),
        pytest.param("https://new.example:99999", id="no port"),
    ],
)
def test_an_address_that_cannot_be_redirected_to_is_told(url: str) -> None:
    found = action_of(listener("web", redirect_location=url), GROUPS)
    assert isinstance(found, Problem)
    assert found.reason == aws.REDIRECT_UNSUPPORTED


@pytest.mark.parametrize(
    ("asked", "status"), [(301, "HTTP_301"), (302, "HTTP_302"), (308, "HTTP_301")]
)
def test_plain_requests_are_sent_to_the_port_of_the_frontend(asked: int, status: Any) -> None:
    wanted = listener("web", port=8443, redirect_status=asked, farm_name="web")
    assert plain_action_of(wanted, GROUPS) == Redirect(protocol="HTTPS", port="8443", status=status)


@pytest.mark.parametrize("asked", [303, 307])
def test_another_status_is_refused(asked: int) -> None:
    found = plain_action_of(listener("web", redirect_status=asked), GROUPS)
    assert isinstance(found, Problem)
    assert found.stalled


@pytest.mark.parametrize(
    ("wanted", "policy"),
    [
        ({}, "ELBSecurityPolicy-TLS13-1-2-2021-06"),
        ({"min_tls_version": "TLS1.3"}, "ELBSecurityPolicy-TLS13-1-3-2021-06"),
        (
            {"tls_policy": "ELBSecurityPolicy-FS-1-2-Res-2020-10"},
            "ELBSecurityPolicy-FS-1-2-Res-2020-10",
        ),
    ],
)
def test_a_policy_is_the_one_named_or_that_of_the_oldest_version(
    wanted: dict[str, Any], policy: str
) -> None:
    assert policy_of(listener("web", **wanted)) == policy
