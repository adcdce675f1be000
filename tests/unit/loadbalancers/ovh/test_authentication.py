"""The signature equals that of OVH's own SDK; times and tokens are asked for when they are needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import ovh
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ovh.client import ENDPOINTS as SDK_ENDPOINTS
from ovh.client import OAUTH2_TOKEN_URLS

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Unavailable
from certfront.loadbalancers.exchange import Answer
from certfront.loadbalancers.ovh.authentication import (
    ENDPOINTS,
    ApplicationKeys,
    BearerTokens,
    ServiceAccount,
    SignedRequests,
    base_url,
    read,
    signature,
    token_url,
)
from certfront.model.clock import FrozenClock

KEYS = ApplicationKeys(
    application_key="applicationKey", application_secret="s" * 32, consumer_key="c" * 32
)


class _Answers:
    """An exchange that gives prepared answers and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, bytes, Mapping[str, str]]] = []

    async def send(
        self, method: str, url: str, *, body: bytes | None = None, headers: Any = None
    ) -> Answer:
        self.sent.append((method, url, body or b"", headers or {}))
        return self.answers.pop(0)


def _answer(value: Any, status: int = 200) -> Answer:
    return Answer(status=status, headers={}, body=json.dumps(value).encode())


def _signed_by_the_sdk(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any, now: int
) -> tuple[Mapping[str, str], str]:
    """Headers and body that python-ovh sends; no network is used."""
    client = ovh.Client(
        endpoint="ovh-eu",
        application_key=KEYS.application_key,
        application_secret=KEYS.application_secret,
        consumer_key=KEYS.consumer_key,
    )
    client._time_delta = 0
    sent: dict[str, Any] = {}

    def request(verb: str, target: str, *, headers: Any, data: str, timeout: Any) -> None:
        sent.update(verb=verb, target=target, headers=headers, data=data, timeout=timeout)

    monkeypatch.setattr(client._session, "request", request)
    monkeypatch.setattr("ovh.client.time.time", lambda: now)
    client.raw_call(method, path, data=body)
    return sent["headers"], sent["data"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/ipLoadbalancing/loadbalancer-1/ssl", None),
        ("GET", "/ipLoadbalancing/loadbalancer-1/task?action=refreshIplb&status=todo", None),
        ("POST", "/ipLoadbalancing/loadbalancer-1/freeCertificate", {"fqdn": ["a.example.org"]}),
        ("PUT", "/ipLoadbalancing/loadbalancer-1/ssl/7", {"displayName": "Bücher"}),
        ("DELETE", "/ipLoadbalancing/loadbalancer-1/ssl/7", None),
    ],
    ids=["get", "query", "post", "put", "delete"],
)
def test_the_signature_is_that_of_the_official_sdk(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    headers, data = _signed_by_the_sdk(monkeypatch, method, path, body, 1_700_000_000)
    ours = signature(KEYS, method, ENDPOINTS["ovh-eu"] + path, data.encode(), 1_700_000_000)
    assert headers["X-Ovh-Signature"] == ours
    assert headers["X-Ovh-Application"] == KEYS.application_key
    assert headers["X-Ovh-Consumer"] == KEYS.consumer_key


_PATHS = st.from_regex(r"/[a-z0-9/_.?=&%-]{0,40}", fullmatch=True).filter(
    # The SDK takes these for another version of the API, which certfront never calls.
    lambda path: not path.startswith(("/v1", "/v2"))
)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=_PATHS,
    body=st.none() | st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
    now=st.integers(0, 2**33),
)
def test_any_request_is_signed_as_the_official_sdk_does(
    method: str, path: str, body: Any, now: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        headers, data = _signed_by_the_sdk(patch, method, path, body, now)
    url = ENDPOINTS["ovh-eu"] + path
    assert headers["X-Ovh-Signature"] == signature(KEYS, method, url, data.encode(), now)


def test_endpoints_and_token_urls_are_those_of_the_sdk() -> None:
    for name, url in ENDPOINTS.items():
        assert SDK_ENDPOINTS[name] == url == base_url(name)
        assert OAUTH2_TOKEN_URLS[name] == token_url(name)
    assert base_url("https://api.example.org/1.0/") == "https://api.example.org/1.0"
    assert token_url("https://api.example.org/1.0") == "https://api.example.org/auth/oauth2/token"


async def test_the_time_is_ovhs_and_asked_for_once_an_hour() -> None:
    clock = FrozenClock()
    exchange: Any = _Answers(_answer(5000), _answer(9999))
    signed = SignedRequests(KEYS, base="https://api/1.0", exchange=exchange, clock=clock)
    assert (await signed.headers("GET", "https://api/1.0/x", b""))["X-Ovh-Timestamp"] == "5000"
    clock.advance(600)
    assert (await signed.headers("GET", "https://api/1.0/x", b""))["X-Ovh-Timestamp"] == "5600"
    assert [one[:2] for one in exchange.sent] == [("GET", "https://api/1.0/auth/time")]
    clock.advance(3600)
    assert (await signed.headers("GET", "https://api/1.0/x", b""))["X-Ovh-Timestamp"] == "9999"


@pytest.mark.parametrize("value", [True, "now", None, {"time": 1}])
async def test_a_time_that_is_none_is_no_time(value: Any) -> None:
    exchange: Any = _Answers(_answer(value))
    signed = SignedRequests(KEYS, base="https://api", exchange=exchange, clock=FrozenClock())
    with pytest.raises(Unavailable):
        await signed.headers("GET", "https://api/x", b"")


async def test_a_token_is_renewed_before_it_ends_and_after_it_was_refused() -> None:
    clock = FrozenClock()
    exchange: Any = _Answers(
        *(_answer({"access_token": f"t{number}", "expires_in": 3600}) for number in range(3))
    )
    account = ServiceAccount(client_id="me", client_secret="very secret")
    tokens = BearerTokens(account, url="https://api/token", exchange=exchange, clock=clock)
    assert await tokens.headers("GET", "", b"") == {"Authorization": "Bearer t0"}
    clock.advance(3500)
    assert await tokens.headers("GET", "", b"") == {"Authorization": "Bearer t0"}
    clock.advance(50)
    assert await tokens.headers("GET", "", b"") == {"Authorization": "Bearer t1"}
    tokens.forget()
    assert await tokens.headers("GET", "", b"") == {"Authorization": "Bearer t2"}
    assert exchange.sent[0][2] == (
        b"grant_type=client_credentials&client_id=me&client_secret=very+secret&scope=all"
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (_answer({"error": "invalid_client"}, 401), Denied),
        (_answer({}, 503), Unavailable),
        (_answer({"token": "x"}), Unavailable),
        (_answer({"access_token": "line\nbreak"}), Unavailable),
        (_answer({"access_token": ""}), Unavailable),
    ],
    ids=["refused", "down", "no token", "a header would break", "empty"],
)
async def test_no_token_is_an_error_without_the_secret(
    answer: Answer, error: type[Exception]
) -> None:
    account = ServiceAccount(client_id="me", client_secret="very secret")
    exchange: Any = _Answers(answer)
    tokens = BearerTokens(account, url="https://api", exchange=exchange, clock=FrozenClock())
    with pytest.raises(error) as caught:
        await tokens.headers("GET", "", b"")
    assert "very secret" not in str(caught.value)


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"applicationKey": b"a", "applicationSecret": b"b"},
        {"applicationKey": b"a", "applicationSecret": b"b", "consumerKey": b"c\nd"},
        {"clientID": b"a"},
        {"clientID": "ü".encode(), "clientSecret": b"b"},
    ],
    ids=["none", "a part", "two lines", "half", "not ASCII"],
)
def test_credentials_that_cannot_be_right_are_refused(credentials: dict[str, bytes]) -> None:
    with pytest.raises(Denied) as caught:
        read(credentials)
    assert caught.value.reason == reasons.CREDENTIALS_NOT_FOUND


def test_credentials_are_read_with_the_newline_of_an_editor_and_never_shown() -> None:
    keys = read({"applicationKey": b"a", "applicationSecret": b"hush\n", "consumerKey": b"hash"})
    assert isinstance(keys, ApplicationKeys)
    assert keys.application_secret == "hush"
    assert "hush" not in repr(keys)
    assert "hash" not in repr(keys)
    assert "hush" not in repr(read({"clientID": b"a", "clientSecret": b"hush"}))
