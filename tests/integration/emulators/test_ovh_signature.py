"""Who may call the emulated OVH API: signatures against the official SDK, rules, tokens."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp
import ovh
import ovh.client
import ovh.exceptions
import pytest

from sandbox.emulators.ovh.api import OPERATIONS, OVH
from sandbox.emulators.ovh.signature import AccessRule, sign
from sandbox.emulators.server import SteppedClock
from tests.integration.emulators.ovh_api import (
    CLIENT,
    CLIENT_SECRET,
    CONSUMER,
    KEY,
    NAME,
    SECRET,
    Api,
    running_api,
)

PATH = f"/ipLoadbalancing/{NAME}"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


@pytest.fixture
def sdk(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[ovh.Client]:
    """The official client, its table of endpoints turned to the emulator."""
    monkeypatch.setitem(ovh.client.ENDPOINTS, "ovh-eu", api.url)
    client = ovh.Client("ovh-eu", KEY, SECRET, CONSUMER)
    yield client
    client._session.close()


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/ipLoadbalancing", None),
    ("GET", f"{PATH}/task?action=refreshIplb&status=todo", None),
    ("GET", f"{PATH}/task?creationDate.from=2026-01-01T00%3A00%3A00%2B01%3A00", None),
    ("POST", f"{PATH}/http/frontend", {"port": "443", "zone": "all", "displayName": "é ☃"}),
    ("POST", f"{PATH}/refresh", None),
    ("POST", f"{PATH}/freeCertificate", {"fqdn": ["a.example.org"]}),
    ("PUT", PATH, {"displayName": 'quo"ted \\ +&='}),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_what_the_official_sdk_signs_is_taken(
    sdk: ovh.Client, method: str, path: str, body: Any
) -> None:
    await asyncio.to_thread(sdk.call, method, path, body)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_our_signature_is_the_sdks(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    monkeypatch.setitem(ovh.client.ENDPOINTS, "ovh-eu", "https://api.example/1.0")
    client = ovh.Client("ovh-eu", KEY, SECRET, CONSUMER)
    client._time_delta = 0
    sent: dict[str, Any] = {}

    def request(method: str, url: str, **more: Any) -> None:
        sent.update(more, method=method, url=url)

    monkeypatch.setattr(client._session, "request", request)
    client.raw_call(method, path, body)
    headers = sent["headers"]
    expected = headers["X-Ovh-Signature"]
    data = sent["data"].encode()
    assert sign(SECRET, CONSUMER, method, sent["url"], data, headers["X-Ovh-Timestamp"]) == expected


def test_the_signature_is_as_the_guide_spells_it() -> None:
    text = b"secret+consumer+POST+https://eu.api.ovh.com/1.0/x?y=1+{}+1366560945"
    digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    url = "https://eu.api.ovh.com/1.0/x?y=1"
    assert sign("secret", "consumer", "POST", url, b"{}", "1366560945") == f"$1${digest}"


async def test_the_time_is_told_to_anyone(api: Api) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{api.url}/auth/time") as answer:
        assert await answer.json() == int(api.emulator.clock.now().timestamp())


@pytest.mark.parametrize(
    ("keys", "error", "error_code"),
    [
        (("other", SECRET, CONSUMER), ovh.exceptions.InvalidKey, "INVALID_KEY"),
        ((KEY, "other", CONSUMER), ovh.exceptions.BadParametersError, "INVALID_SIGNATURE"),
        ((KEY, SECRET, "other"), ovh.exceptions.NotCredential, "NOT_CREDENTIAL"),
    ],
    ids=["application", "secret", "consumer"],
)
async def test_wrong_keys_are_the_sdks_own_exceptions(
    api: Api,
    sdk: ovh.Client,
    keys: tuple[str, str, str],
    error: type[Exception],
    error_code: str,
) -> None:
    sdk._application_key, sdk._application_secret, sdk._consumer_key = keys
    with pytest.raises(error) as raised:
        await asyncio.to_thread(sdk.get, PATH)
    assert raised.value.response.json()["errorCode"] == error_code  # type: ignore[attr-defined]
    assert raised.value.response.headers["X-OVH-QUERYID"]  # type: ignore[attr-defined]


def _at(api: Api, seconds: int) -> str:
    return str(int(api.emulator.clock.now().timestamp()) + seconds)


@pytest.mark.parametrize(
    ("changed", "status", "error_code"),
    [
        ({"X-Ovh-Application": None}, 401, "NOT_CREDENTIAL"),
        ({"X-Ovh-Consumer": None}, 403, "NOT_CREDENTIAL"),
        ({"X-Ovh-Signature": None}, 403, "NOT_CREDENTIAL"),
        ({"X-Ovh-Timestamp": "soon"}, 400, "INVALID_SIGNATURE"),
        ({"X-Ovh-Timestamp": "5"}, 400, "QUERY_TIME_OUT"),
        ({"X-Ovh-Signature": "$1$" + "0" * 40}, 400, "INVALID_SIGNATURE"),
        ({"Authorization": "Bearer nothing"}, 401, None),
    ],
    ids=["application", "consumer", "signature", "no-time", "old", "wrong", "token"],
)
async def test_a_call_without_proper_credentials_is_refused(
    api: Api, changed: Mapping[str, str | None], status: int, error_code: str | None
) -> None:
    found, answer, _ = await api.send("GET", PATH, changed=changed)
    assert (found, answer.get("errorCode")) == (status, error_code)


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, 200), (-20, 200), (20, 200), (-60, 400), (60, 400)]
)
async def test_a_timestamp_is_good_for_thirty_seconds(api: Api, seconds: int, status: int) -> None:
    timestamp = _at(api, seconds)
    signature = sign(SECRET, CONSUMER, "GET", api.url + PATH, b"", timestamp)
    headers = {"X-Ovh-Timestamp": timestamp, "X-Ovh-Signature": signature}
    found, answer, _ = await api.send("GET", PATH, changed=headers)
    assert found == status, answer


@pytest.mark.parametrize("what", ["method", "query", "body"])
async def test_every_part_is_signed(api: Api, what: str) -> None:
    timestamp = _at(api, 0)
    parts = {
        "method": ("GET", f"{PATH}/refresh", b"{}"),
        "query": ("POST", f"{PATH}/refresh?zone=all", b"{}"),
        "body": ("POST", f"{PATH}/refresh", b"{ }"),
    }
    method, path, body = parts[what]
    wrong = sign(SECRET, CONSUMER, method, api.url + path, body, timestamp)
    headers = {"X-Ovh-Timestamp": timestamp, "X-Ovh-Signature": wrong}
    found, answer, _ = await api.send("POST", f"{PATH}/refresh", {}, changed=headers)
    assert (found, answer["errorCode"]) == (400, "INVALID_SIGNATURE")


@pytest.mark.parametrize(
    ("value", "error_code"),
    [
        ({"validity": "expired"}, "INVALID_CREDENTIAL"),
        ({"validity": "pendingValidation"}, "INVALID_CREDENTIAL"),
        ({"allowedIPs": ["192.0.2.0/24"]}, "FORBIDDEN"),
        ({"rules": ["GET /me"]}, "NOT_GRANTED_CALL"),
        ({"application": "other"}, "NOT_CREDENTIAL"),
    ],
    ids=["expired", "pending", "elsewhere", "rules", "another-application"],
)
async def test_a_consumer_key_that_does_not_grant_the_call(
    api: Api, value: dict[str, Any], error_code: str
) -> None:
    api.emulator.steer("consumer", {"key": CONSUMER, **value})
    status, answer, _ = await api.send("GET", PATH)
    assert (status, answer["errorCode"]) == (403, error_code)
    api.emulator.steer("consumer", {"key": CONSUMER, "rules": ["GET /*"]})
    assert (await api.send("GET", PATH))[0] == 200


@pytest.mark.parametrize(
    ("rule", "method", "path", "granted"),
    [
        ("GET /*", "GET", "/ipLoadbalancing/x/ssl/5", True),
        ("GET /*", "PUT", "/ipLoadbalancing/x/ssl/5", False),
        ("GET /ipLoadbalancing/x/ssl", "GET", "/ipLoadbalancing/x/ssl", True),
        ("GET /ipLoadbalancing/x/ssl", "GET", "/ipLoadbalancing/x/ssl/5", False),
        ("GET /ipLoadbalancing/x/ssl/*", "GET", "/ipLoadbalancing/x/ssl", False),
        ("GET /ipLoadbalancing/*/ssl", "GET", "/ipLoadbalancing/x/ssl", True),
        ("GET /ipLoadbalancing/x/ssl ", "GET", "/ipLoadbalancing/x/ssl", False),
    ],
)
def test_an_access_rule_is_a_method_and_a_pattern(
    rule: str, method: str, path: str, granted: bool
) -> None:
    assert AccessRule.parse(rule).grants(method, path) is granted


async def test_a_key_with_few_rules_does_only_these() -> None:
    rules = (f"GET {PATH}/ssl", f"POST {PATH}/refresh")
    async with running_api(rules=rules) as api:
        assert (await api.send("GET", f"{PATH}/ssl", query={"type": "custom"}))[0] == 200
        assert (await api.send("POST", f"{PATH}/refresh", {}))[0] == 200
        for method, path in (("POST", f"{PATH}/ssl"), ("GET", PATH), ("GET", f"{PATH}/ssl/5")):
            status, answer, _ = await api.send(method, path)
            assert (status, answer["errorCode"]) == (403, "NOT_GRANTED_CALL")


async def test_an_unknown_path_is_answered_without_credentials(api: Api) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/1.0/me", "/1.0/auth/credential", "/ipLoadbalancing", "/1.0/"):
            async with session.get(api.running.url + path) as answer:
                assert answer.status == 404
                assert (await answer.json())["class"] == "Client::NotFound"


# OAuth2


async def _token(api: Api, auth: tuple[str, str] | None, form: dict[str, str]) -> tuple[int, Any]:
    headers = {"Authorization": aiohttp.encode_basic_auth(*auth)} if auth else {}
    url = f"{api.running.url}/auth/oauth2/token"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, headers=headers, data=form) as answer,
    ):
        return answer.status, await answer.json()


async def _bearer(api: Api, token: str, path: str = PATH, method: str = "GET") -> int:
    headers: dict[str, str | None] = {
        "X-Ovh-Application": None,
        "X-Ovh-Consumer": None,
        "X-Ovh-Timestamp": None,
        "X-Ovh-Signature": None,
        "Authorization": f"Bearer {token}",
    }
    return (await api.send(method, path, changed=headers))[0]


GRANT = {"grant_type": "client_credentials", "scope": "all"}


async def test_the_official_sdk_gets_a_token_and_uses_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setitem(ovh.client.ENDPOINTS, "ovh-eu", api.url)
    token_url = f"{api.running.url}/auth/oauth2/token"
    monkeypatch.setitem(ovh.client.OAUTH2_TOKEN_URLS, "ovh-eu", token_url)
    client = ovh.Client("ovh-eu", client_id=CLIENT, client_secret=CLIENT_SECRET)
    shown = await asyncio.to_thread(client.get, PATH)
    assert shown["serviceName"] == NAME
    client._oauth2.session.close()
    client._session.close()


async def test_a_token_is_valid_for_its_time_and_until_it_is_revoked(api: Api) -> None:
    status, answer = await _token(api, (CLIENT, CLIENT_SECRET), GRANT)
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 3599)
    assert await _bearer(api, answer["access_token"]) == 200
    api.advance(3600)
    assert await _bearer(api, answer["access_token"]) == 401
    form = {**GRANT, "client_id": CLIENT, "client_secret": CLIENT_SECRET}
    _, answer = await _token(api, None, form)
    assert await _bearer(api, answer["access_token"]) == 200
    api.emulator.steer("revoke-tokens", None)
    assert await _bearer(api, answer["access_token"]) == 401


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        ((CLIENT, "wrong"), GRANT, 401, "invalid_client"),
        (("wrong", CLIENT_SECRET), GRANT, 401, "invalid_client"),
        (None, GRANT, 401, "invalid_client"),
        ((CLIENT, CLIENT_SECRET), {"grant_type": "password"}, 400, "unsupported_grant_type"),
        ((CLIENT, CLIENT_SECRET), {**GRANT, "scope": "some"}, 400, "invalid_scope"),
    ],
    ids=["secret", "client", "none", "grant", "scope"],
)
async def test_the_token_endpoint_refuses(
    api: Api, auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str
) -> None:
    found, answer = await _token(api, auth, form)
    assert (found, answer["error"]) == (status, error)


async def test_a_policy_allows_its_actions_only() -> None:
    async with running_api(actions=("loadbalancer:apiovh:ssl/get",)) as api:
        _, answer = await _token(api, (CLIENT, CLIENT_SECRET), GRANT)
        token = answer["access_token"]
        assert await _bearer(api, token, f"{PATH}/ssl") == 200
        assert await _bearer(api, token, f"{PATH}/ssl/5") == 404
        assert await _bearer(api, token, f"{PATH}/ssl/5", "DELETE") == 403
        assert await _bearer(api, token) == 403


def test_every_call_has_a_name_of_its_own() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert OVH(clock=SteppedClock()).name == "ovh"
