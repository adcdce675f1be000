"""What the registry is told about Kong, how one is made, and how ownership is written down."""

from __future__ import annotations

from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Refused
from certfront.loadbalancers.kong import ownership
from certfront.loadbalancers.kong.provider import KIND, _proxy
from certfront.loadbalancers.kong.state import UNREADABLE, half_of_pem
from certfront.model.loadbalancer import KongAdmin, LoadBalancerSpec
from certfront.model.references import LocalReference
from tests.contract.driver import SteppedTime, environment
from tests.unit.loadbalancers.kong.builders import SCOPE, frontend, pair, source


def spec(**kong: Any) -> LoadBalancerSpec:
    kong.setdefault("admin_url", "https://kong.example:8444")
    return LoadBalancerSpec(type="Kong", kong=KongAdmin(**kong))


@pytest.mark.parametrize(
    "same",
    ["https://KONG.example:8444", "https://kong.example:8444/"],
    ids=["case", "slash"],
)
def test_one_kong_is_one_target_however_it_is_spelled(same: str) -> None:
    assert KIND.target(spec(admin_url=same)) == KIND.target(spec())


@pytest.mark.parametrize(
    "other",
    ["https://kong.example:8444/team", "https://kong.example", "https://kong.example:8445"],
    ids=["workspace", "default port", "port"],
)
def test_another_workspace_or_port_is_another_target(other: str) -> None:
    assert KIND.target(spec(admin_url=other)) != KIND.target(spec())


def test_the_secret_is_optional() -> None:
    assert KIND.secret(spec()) == ""
    assert KIND.secret(spec(credentials_secret_ref=LocalReference(name="kong"))) == "kong"


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        ({"token": b"two\r\nlines"}, reasons.CREDENTIALS_REFUSED),
        ({"token": b"\xff\xfe"}, reasons.CREDENTIALS_REFUSED),
        ({"token": b"x" * 5000}, reasons.CREDENTIALS_REFUSED),
        ({"token": b" \n"}, reasons.CREDENTIALS_NOT_FOUND),
        ({"password": b"x"}, reasons.CREDENTIALS_NOT_FOUND),
    ],
    ids=["a header of its own", "no text", "too long", "empty", "another key"],
)
def test_a_token_that_cannot_be_one_is_denied(credentials: Any, reason: Any) -> None:
    with pytest.raises(Denied) as caught:
        KIND.build(spec(), credentials, environment(SteppedTime()))
    assert caught.value.reason is reason
    assert "lines" not in str(caught.value)


def test_a_ca_bundle_that_is_none_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        KIND.build(spec(ca_bundle="nothing"), {}, environment(SteppedTime()))
    assert caught.value.reason is reasons.INVALID_SPEC


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("", None),
        ("kong-proxy.kong.svc", ("kong-proxy.kong.svc", 0)),
        ("kong-proxy.kong.svc:8443", ("kong-proxy.kong.svc", 8443)),
        ("192.0.2.1:443", ("192.0.2.1", 443)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
    ],
)
def test_the_proxy_s_address(address: str, found: tuple[str, int] | None) -> None:
    assert _proxy(address) == found


def test_tags_tell_what_they_were_made_from() -> None:
    sources = frozenset({source("a"), source("b")})
    users = {frontend("web"), frontend("api")}
    tags = ownership.certificate_tags(SCOPE, sources, users)
    assert ownership.is_of(SCOPE, tags)
    assert ownership.frontends_of(tags) == users
    assert not ownership.foreign(tags)
    assert not ownership.is_of_another(SCOPE, tags)


@pytest.mark.parametrize(
    "tag",
    ["certfront-was:x:http", "certfront-was:426", "certfront-was:", "was:426:http", "certfront"],
)
def test_a_tag_that_someone_wrote_restores_nothing(tag: str) -> None:
    assert ownership.before({tag}) is None


@pytest.mark.parametrize("tag", ["certfront-frontend:x", "certfront-frontend::x", "a:b"])
def test_a_tag_that_someone_wrote_names_no_one(tag: str) -> None:
    assert not ownership.frontends_of({tag})


def test_a_chain_of_another_form_is_the_same_and_other_text_is_unreadable() -> None:
    text = pair("a").tls_crt.decode()
    assert half_of_pem(text) == half_of_pem(text.replace("\n", "\r\n"))
    assert half_of_pem("{vault://env/cert}") == UNREADABLE
    assert half_of_pem("x" * 300_000) == UNREADABLE
    assert half_of_pem(None) is None
