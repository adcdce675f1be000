"""Holds the emulator of Kong to what reference/providers.md section D says of one.

What a recorded Kong answered is replayed by test_kong_recorded.py; here is what needs no recording,
and what the recording has not: routes, the proxy, Enterprise's token and workspaces.
"""

import asyncio
import io
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sandbox.emulators.control import Control
from sandbox.emulators.kong import Kong
from sandbox.emulators.kong.names import candidates
from sandbox.emulators.kong.proxy import builtin_pairs
from sandbox.emulators.server import Fault, Running, StoppedClock, serving

A = "11111111-1111-5111-8111-111111111111"
B = "22222222-2222-5222-8222-222222222222"
ROUTE = {"name": "shop", "hosts": ["shop.example.com"], "protocols": ["https"]}
_NOTHING_TO_MATCH = (
    "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"
)


class Api:
    """An emulator and how to ask it."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.session = session
        self.kong: Kong = running.emulator  # type: ignore[assignment]  # it is what we started

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> Any:
        """The JSON of an answer, which must have this status where one is given."""
        async with self.session.request(
            method, self.running.url + path, json=body, headers=headers
        ) as answer:
            raw = await answer.text()
            assert status in (None, answer.status), raw
            return json.loads(raw) if raw.startswith("{") else raw

    async def advance(self, seconds: float) -> None:
        self.running.clock.advance(seconds)  # type: ignore[attr-defined]  # a StoppedClock
        await self.running.refresh()


@asynccontextmanager
async def started(**options: Any) -> AsyncIterator[Api]:
    clock = StoppedClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    async with (
        serving(Kong(clock=clock, **options)) as running,
        aiohttp.ClientSession() as session,
    ):
        yield Api(running, session)
        assert not running.failures


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with started() as asked:
        yield asked


@pytest.fixture
def pair(self_signed: Callable[..., tuple[str, str]]) -> dict[str, str]:
    cert, key = self_signed("a.example.com")
    return {"cert": cert, "key": key}


# Certificates and their names.


async def test_a_put_without_names_removes_them_and_one_with_them_keeps_their_ids(
    api: Api, pair: dict[str, str]
) -> None:
    names = ["b.example.com", "a.example.com"]
    made = await api("PUT", f"/certificates/{A}", {**pair, "snis": names}, status=200)
    assert made["snis"] == ["a.example.com", "b.example.com"]
    before = await api("GET", "/snis/a.example.com", status=200)
    await api("PUT", f"/certificates/{A}", {**pair, "snis": names[1:]}, status=200)
    assert (await api("GET", "/snis/a.example.com"))["id"] == before["id"]
    await api("GET", "/snis/b.example.com", status=404)
    await api("PATCH", f"/certificates/{A}", {"tags": ["mine"]}, status=200)
    assert (await api("GET", f"/certificates/{A}"))["snis"] == ["a.example.com"]
    await api("PUT", f"/certificates/{A}", pair, status=200)
    assert (await api("GET", "/snis"))["data"] == []


async def test_a_certificate_that_a_service_uses_loses_its_names_to_a_refused_delete(
    api: Api, pair: dict[str, str]
) -> None:
    await api("PUT", f"/certificates/{A}", {**pair, "snis": ["a.example.com"]}, status=200)
    service = {"name": "s", "url": "https://127.0.0.1:9", "client_certificate": {"id": A}}
    await api("POST", "/services", service, status=201)
    refused = await api("DELETE", f"/certificates/{A}", status=400)
    assert refused["code"] == 4
    assert refused["fields"] == {"@referenced_by": "services"}
    assert (await api("GET", f"/certificates/{A}", status=200))["snis"] == []


async def test_a_conditional_write_answers_412_and_is_done(api: Api, pair: dict[str, str]) -> None:
    given = {**pair, "snis": ["a.example.com"]}
    await api("PUT", f"/certificates/{A}", given, {"If-Match": '"x"'}, status=412)
    assert (await api("GET", f"/certificates/{A}", status=200))["snis"] == ["a.example.com"]


async def test_a_name_of_another_certificate_is_never_taken_and_can_be_moved(
    api: Api, pair: dict[str, str]
) -> None:
    await api("PUT", f"/certificates/{A}", {**pair, "snis": ["a.example.com"]}, status=200)
    taken = {**pair, "snis": ["new.example.com", "a.example.com"]}
    refused = await api("PUT", f"/certificates/{B}", taken, status=400)
    text = f"a.example.com already associated with existing certificate '{A}'"
    assert refused == {
        "name": "schema violation",
        "code": 2,
        "fields": {"snis": text},
        "message": f"schema violation (snis: {text})",
    }
    await api("GET", f"/certificates/{B}", status=404)
    await api("PUT", f"/certificates/{B}", pair, status=200)
    other = {"certificate": {"id": B}}
    again = await api("POST", "/snis", {"name": "a.example.com", **other}, status=409)
    assert again["code"] == 5
    assert again["message"] == "UNIQUE violation detected on '{name=\"a.example.com\"}'"
    before = await api("GET", "/snis/a.example.com")
    moved = await api("PUT", "/snis/a.example.com", other, status=200)
    assert moved["id"] == before["id"]
    assert (await api("GET", f"/certificates/{A}"))["snis"] == []
    assert (await api("GET", f"/certificates/{B}"))["snis"] == ["a.example.com"]


async def test_a_name_needs_a_certificate_that_exists(api: Api) -> None:
    given = {"name": "a.example.com", "certificate": {"id": A}}
    refused = await api("POST", "/snis", given, status=400)
    assert refused["code"] == 4
    assert refused["fields"] == {"certificate": {"id": A}}
    missing = (
        f"the foreign key '{{id=\"{A}\"}}' does not reference an existing 'certificates' entity."
    )
    assert refused["message"] == missing


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        pytest.param({"cert": None}, {"cert": "required field missing"}, id="no-certificate"),
        pytest.param({"key": ""}, {"key": "length must be at least 1"}, id="empty-key"),
        pytest.param({"key": 1}, {"key": "expected a string"}, id="key-no-text"),
        pytest.param({"color": "red"}, {"color": "unknown field"}, id="unknown-field"),
        pytest.param({"tags": "x"}, {"tags": "expected a set"}, id="tags-no-list"),
        pytest.param({"snis": "x"}, {"snis": "expected an array"}, id="names-no-list"),
        pytest.param({"snis": ["x", "x"]}, {"snis": "x is duplicated"}, id="name-twice"),
        pytest.param({"id": "x"}, {"id": "expected a valid UUID"}, id="bad-id"),
        pytest.param(
            {"cert_alt": "{vault://env/x}"},
            {"@entity": ["all or none of these fields must be set: 'cert_alt', 'key_alt'"]},
            id="half-an-alternative",
        ),
    ],
)
async def test_a_certificate_that_breaks_the_schema_is_refused(
    api: Api, pair: dict[str, str], change: dict[str, Any], fields: dict[str, Any]
) -> None:
    refused = await api("POST", "/certificates", pair | change, status=400)
    assert refused["code"] == 2
    assert refused["fields"] == fields
    assert (await api("GET", "/certificates"))["data"] == []


async def test_a_key_of_another_certificate_is_refused(
    api: Api, pair: dict[str, str], self_signed: Callable[..., tuple[str, str]]
) -> None:
    _, other = self_signed("b.example.com")
    refused = await api("POST", "/certificates", {**pair, "key": other}, status=400)
    assert refused["fields"] == {"@entity": ["certificate does not match key"]}


async def test_two_certificates_of_one_type_are_no_pair(
    api: Api, pair: dict[str, str], self_signed: Callable[..., tuple[str, str]]
) -> None:
    cert, key = self_signed("a.example.com")
    refused = await api("POST", "/certificates", {**pair, "cert_alt": cert, "key_alt": key})
    assert refused["code"] == 2
    assert "need to have different type" in refused["message"]


async def test_the_errors_of_several_fields_are_in_the_order_of_their_names(api: Api) -> None:
    given = {"zebra": 1, "cert": "garbage", "ant": 2}
    refused = await api("POST", "/certificates", given, status=400)
    assert refused["message"].startswith(
        "4 schema violations (ant: unknown field; cert: invalid certificate: x509.new: "
    )
    assert refused["message"].endswith("; key: required field missing; zebra: unknown field)")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("1.2.3.4", "must not be an IP"),
        ("a.example.com:443", "must not have a port"),
        ("*.*.example.com", "only one wildcard must be specified"),
        ("a.*.example.com", "wildcard must be leftmost or rightmost character"),
        ("exa mple.com", "invalid value: exa mple.com"),
        ("", "length must be at least 1"),
    ],
)
async def test_a_name_that_cannot_be_one_is_refused_in_both_ways(
    api: Api, pair: dict[str, str], name: str, why: str
) -> None:
    refused = await api("POST", "/certificates", {**pair, "snis": [name]}, status=400)
    assert refused == {"name": "invalid unique name", "code": 10, "message": why}
    await api("PUT", f"/certificates/{A}", pair, status=200)
    given = {"name": name, "certificate": {"id": A}}
    assert (await api("POST", "/snis", given, status=400))["fields"] == {"name": why}


async def test_pages_and_tags(api: Api, pair: dict[str, str]) -> None:
    ids = [f"00000000-0000-5000-8000-00000000000{number}" for number in range(1, 6)]
    for number, identifier in reversed(list(enumerate(ids))):
        tags = ["own", "odd" if number % 2 else "even"]
        await api("PUT", f"/certificates/{identifier}", {**pair, "tags": tags}, status=200)
    seen: list[str] = []
    path = "/certificates?size=2&tags=own"
    while path:
        page = await api("GET", path, status=200)
        seen += [entity["id"] for entity in page["data"]]
        path = page["next"]
        assert path is None or path.endswith("&tags=own&size=2")
    assert seen == ids
    both = await api("GET", "/certificates?tags=own,odd")
    assert [entity["id"] for entity in both["data"]] == ids[1::2]
    either = await api("GET", "/certificates?tags=even/odd")
    assert len(either["data"]) == 5
    for query, code in (("tags=a,b/c", 11), ("tags=", 11), ("size=0", 9), ("offset=bad", 7)):
        assert (await api("GET", f"/certificates?{query}", status=400))["code"] == code


# The request itself.


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "//certificates", 404),
        ("GET", "/Certificates", 404),
        ("PUT", "/certificates", 405),
        ("POST", f"/certificates/{A}", 405),
        ("GET", "/default/certificates", 404),
        ("GET", "/workspaces", 404),
        ("GET", "/plugins", 501),
    ],
)
async def test_what_is_not_there_is_refused(api: Api, method: str, path: str, status: int) -> None:
    await api(method, path, status=status)


async def test_bodies_of_other_types_and_sizes_are_answered_by_nginx(api: Api) -> None:
    url = f"{api.running.url}/certificates/{A}"
    async with api.session.put(url, data=b"{}", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
        assert "<h1>415 Unsupported Media Type</h1>" in await answer.text()
    json_type = {"Content-Type": "application/json"}
    large = io.BytesIO(b" " * (11 << 20))
    async with api.session.put(url, data=large, headers=json_type) as answer:
        assert answer.status == 413
        assert answer.content_type == "text/html"
    async with api.session.put(url, data=b"{bad", headers=json_type) as answer:
        assert answer.status == 400
        assert await answer.json() == {"message": "Cannot parse JSON body"}


async def test_only_the_status_answers_while_the_database_is_down(api: Api) -> None:
    api.kong.steer("reachable", False)
    assert (await api("GET", "/status", status=200))["database"] == {"reachable": False}
    assert await api("GET", "/certificates", status=500) == {
        "message": "An unexpected error occurred"
    }


async def test_a_lost_answer_leaves_what_was_written(api: Api, pair: dict[str, str]) -> None:
    # aiohttp's client tries a PUT a second time by itself.
    fault = Fault(method="PUT", path=r"PUT /certificates/\{\}", kind="lost", times=2)
    api.running.faults.arm(fault)
    with pytest.raises(aiohttp.ClientError):
        await api("PUT", f"/certificates/{A}", pair)
    await api("GET", f"/certificates/{A}", status=200)


# Routes and services.


async def test_a_route_belongs_to_a_service_and_is_changed_by_patch(api: Api) -> None:
    service = await api("POST", "/services", {"name": "s", "url": "http://127.0.0.1:9/x"})
    assert (service["host"], service["port"], service["path"]) == ("127.0.0.1", 9, "/x")
    given = {"name": "shop", "hosts": ["shop.example.com"], "service": {"name": "s"}}
    route = await api("POST", "/routes", given, status=201)
    assert route["service"] == {"id": service["id"]}
    assert (route["protocols"], route["https_redirect_status_code"]) == (["http", "https"], 426)
    change = {"protocols": ["https"], "https_redirect_status_code": 301}
    changed = await api("PATCH", "/routes/shop", change, status=200)
    assert changed == route | change
    assert await api("GET", f"/routes/{route['id']}", status=200) == changed
    assert (await api("GET", "/services/s/routes"))["data"] == [changed]
    assert (await api("GET", "/routes/shop/service"))["id"] == service["id"]
    assert (await api("DELETE", "/services/s", status=400))["code"] == 4
    await api("DELETE", "/routes/shop", status=204)
    await api("DELETE", "/services/s", status=204)


async def test_a_route_that_is_not_there_is_not_found(api: Api) -> None:
    assert await api("GET", "/routes/shop", status=404) == {"message": "Not found"}
    missing = await api("PATCH", "/routes/shop", {"protocols": ["https"]}, status=404)
    assert (missing["code"], missing["fields"]) == (6, {"name": "shop"})
    identifier = str(uuid.UUID(int=1))
    missing = await api("PATCH", f"/routes/{identifier}", {"protocols": ["https"]}, status=404)
    assert missing["fields"] == {"id": identifier}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        pytest.param({"protocols": ["ftp"]}, {"protocols": "unknown type: ftp"}, id="unknown"),
        pytest.param(
            {"protocols": ["https", "grpcs"]},
            {
                "protocols": "these sets are mutually exclusive: "
                "('http', 'https'), ('grpc', 'grpcs')"
            },
            id="mixed",
        ),
        pytest.param({"protocols": []}, {"protocols": "length must be at least 1"}, id="none"),
        pytest.param(
            {"https_redirect_status_code": 303},
            {"https_redirect_status_code": "expected one of: 426, 301, 302, 307, 308"},
            id="status",
        ),
        pytest.param(
            {"https_redirect_status_code": "301"},
            {"https_redirect_status_code": "expected an integer"},
            id="status-as-text",
        ),
        pytest.param(
            {"protocols": ["http"], "snis": ["a.example.com"]},
            {
                "@entity": ["failed conditional validation given value of field 'protocols'"],
                "snis": "'snis' can only be set when 'protocols' is "
                "'grpcs', 'https', 'tls' or 'tls_passthrough'",
            },
            id="names-without-tls",
        ),
        pytest.param(
            {"hosts": None},
            {
                "@entity": [_NOTHING_TO_MATCH],
            },
            id="matches-everything",
        ),
        pytest.param({"upstream": "x"}, {"upstream": "unknown field"}, id="unknown-field"),
    ],
)
async def test_a_route_that_breaks_the_schema_is_refused(
    api: Api, change: dict[str, Any], fields: dict[str, Any]
) -> None:
    refused = await api("POST", "/routes", ROUTE | change, status=400)
    assert refused["fields"] == fields
    await api("POST", "/routes", ROUTE, status=201)
    refused = await api("PATCH", "/routes/shop", change, status=400)
    assert refused["fields"] == fields
    assert (await api("GET", "/routes/shop"))["protocols"] == ["https"]


async def test_the_name_of_a_route_is_taken_once(api: Api) -> None:
    await api("POST", "/routes", ROUTE, status=201)
    assert (await api("POST", "/routes", ROUTE, status=409))["code"] == 5


# Enterprise, without a database, control plane.


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Kong-Admin-Token": "wrong"}, 401), ({"Kong-Admin-Token": "right"}, 200)],
    ids=["none", "wrong", "right"],
)
async def test_a_token_is_asked_for(headers: dict[str, str], status: int) -> None:
    async with started(token="right") as api:
        await api("GET", "/certificates", headers=headers, status=status)
        await api("GET", "/default/certificates", headers=headers, status=status)
        api.kong.steer("token", "rotated")
        await api("GET", "/certificates", headers=headers, status=401)


async def test_workspaces_are_apart_but_for_the_names_of_certificates(
    pair: dict[str, str],
) -> None:
    async with started(workspaces=("team",)) as api:
        given = {**pair, "snis": ["a.example.com"]}
        await api("PUT", f"/team/certificates/{A}", given, status=200)
        assert (await api("GET", "/certificates"))["data"] == []
        assert len((await api("GET", "/team/certificates"))["data"]) == 1
        taken = await api("PUT", f"/default/certificates/{B}", given, status=400)
        assert "already associated" in taken["message"]
        await api("POST", "/team/routes", ROUTE, status=201)
        await api("POST", "/routes", ROUTE, status=201)
        unknown = await api("GET", "/other/certificates", status=404)
        assert unknown == {"message": "Workspace 'other' not found"}
        listed = await api("GET", "/workspaces", status=200)
        assert [row["name"] for row in listed["data"]] == ["default", "team"]
        assert (await api("GET", "/workspaces/team", status=200))["name"] == "team"
        names = {call.name for call in api.running.calls}
        assert "PUT /certificates/{}" in names


async def test_without_a_database_a_valid_write_is_refused_after_an_invalid_one(
    pair: dict[str, str],
) -> None:
    async with started(dbless=True) as api:
        assert (await api("GET", "/"))["configuration"]["database"] == "off"
        declared = {
            "_format_version": "3.0",
            "certificates": [{**pair, "id": A, "snis": [{"name": "a.example.com"}]}],
            "services": [{"name": "s", "url": "http://127.0.0.1:9", "routes": [ROUTE]}],
        }
        await api("POST", "/config", declared, status=201)
        assert (await api("GET", "/certificates/a.example.com"))["id"] == A
        refused = await api("PUT", f"/certificates/{A}", pair, status=405)
        assert refused == {
            "name": "operation unsupported",
            "code": 12,
            "message": "cannot create or update 'certificates' entities when not using a database",
        }
        invalid = await api("PUT", f"/certificates/{A}", {"cert": pair["cert"]}, status=400)
        assert invalid["code"] == 2
        refused = await api("PATCH", "/routes/shop", {"protocols": ["http"]}, status=405)
        assert refused["code"] == 12
        assert (await api("GET", "/certificates"))["data"][0]["snis"] == ["a.example.com"]


async def test_the_hash_of_the_data_planes_changes_when_they_serve_the_change(
    pair: dict[str, str],
) -> None:
    async with started(data_planes=2, certificate_seconds=5.0) as api:
        before = await api("GET", "/clustering/data-planes", status=200)
        await api("PUT", f"/certificates/{A}", {**pair, "snis": ["a.example.com"]}, status=200)
        hashes_of = [row["config_hash"] for row in before["data"]]
        assert len(hashes_of) == 2
        same = await api("GET", "/clustering/data-planes")
        assert [row["config_hash"] for row in same["data"]] == hashes_of
        await api.advance(5)
        after = await api("GET", "/clustering/data-planes")
        assert not {row["config_hash"] for row in after["data"]} & set(hashes_of)


async def test_a_kong_that_is_no_control_plane_has_no_data_planes(api: Api) -> None:
    refused = await api("GET", "/clustering/data-planes", status=400)
    assert "Control Plane" in refused["message"]


# What is served.


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("www.example.com", ["www.example.com", "*.example.com", "www.example.*", "*"]),
        ("example.com", ["example.com", "example.*", "*"]),
        ("a.b.example.com", ["a.b.example.com", "*.b.example.com", "a.b.example.*", "*"]),
        ("localhost", ["localhost", "*"]),
    ],
)
def test_the_names_that_are_tried_for_a_client(name: str, tried: list[str]) -> None:
    assert candidates(name) == tried


async def test_a_handshake_gets_the_most_particular_certificate(
    free_port: Callable[[], int], served: Any, self_signed: Callable[..., tuple[str, str]]
) -> None:
    port = free_port()
    async with started(https_port=port) as api:
        builtin = [pem for pem, _ in builtin_pairs()]
        assert await served(port, "a.example.com") in builtin
        given: dict[str, str] = {}
        for name in ("*", "a.*", "a.example.*", "*.example.com", "a.example.com"):
            cert, key = self_signed("a.example.com")
            await api("POST", "/certificates", {"cert": cert, "key": key, "snis": [name]})
            given[name] = cert
        assert await served(port, "a.example.com") == given["a.example.com"]
        assert await served(port, "A.EXAMPLE.COM") == given["a.example.com"]
        assert await served(port, "b.example.com") == given["*.example.com"]
        assert await served(port, "a.example.org") == given["a.example.*"]
        assert await served(port, "a.org") == given["a.*"]
        assert await served(port, "other.org") == given["*"]
        assert await served(port, None) in builtin
        await api("DELETE", "/certificates/a.example.com", status=204)
        assert await served(port, "a.example.com") == given["*.example.com"]


async def test_a_rotation_is_served_when_it_has_reached_the_proxy(
    free_port: Callable[[], int], served: Any, self_signed: Callable[..., tuple[str, str]]
) -> None:
    port = free_port()
    async with started(https_port=port, certificate_seconds=4.0) as api:
        (old, old_key), (new, new_key) = self_signed("a.example.com"), self_signed("a.example.com")
        names = {"snis": ["a.example.com"]}
        await api("PUT", f"/certificates/{A}", {"cert": old, "key": old_key, **names})
        assert await served(port, "a.example.com") in [pem for pem, _ in builtin_pairs()]
        await api.advance(4)
        assert await served(port, "a.example.com") == old
        await api("PUT", f"/certificates/{A}", {"cert": new, "key": new_key, **names})
        await api.advance(3.9)
        assert await served(port, "a.example.com") == old
        await api.advance(0.1)
        assert await served(port, "a.example.com") == new


async def test_a_client_gets_the_key_type_that_it_can_use(
    free_port: Callable[[], int], served: Any, self_signed: Callable[..., tuple[str, str]]
) -> None:
    port = free_port()
    async with started(https_port=port) as api:
        rsa, rsa_key = self_signed("a.example.com", kind="rsa")
        ec, ec_key = self_signed("a.example.com")
        pairs = {"cert": rsa, "key": rsa_key, "cert_alt": ec, "key_alt": ec_key}
        await api("PUT", f"/certificates/{A}", {**pairs, "snis": ["a.example.com"]}, status=200)
        assert await served(port, "a.example.com", ["ECDHE-RSA-AES128-GCM-SHA256"]) == rsa
        assert await served(port, "a.example.com", ["ECDHE-ECDSA-AES128-GCM-SHA256"]) == ec


async def test_a_broken_second_block_is_taken_and_fails_every_handshake(
    free_port: Callable[[], int], served: Any, pair: dict[str, str]
) -> None:
    port = free_port()
    broken = "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"
    async with started(https_port=port) as api:
        given = {**pair, "cert": pair["cert"] + broken, "snis": ["a.example.com"]}
        await api("PUT", f"/certificates/{A}", given, status=200)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await served(port, "a.example.com")


async def plain(api: Api, port: int, **headers: str) -> tuple[int, Mapping[str, str]]:
    url = f"http://127.0.0.1:{port}/cart?x=1"
    sent = {"Host": "shop.example.com", **{k.replace("_", "-"): v for k, v in headers.items()}}
    async with api.session.get(url, headers=sent, allow_redirects=False) as answer:
        return answer.status, answer.headers.copy()


async def test_plain_http_on_a_route_for_https_only(free_port: Callable[[], int]) -> None:
    port = free_port()
    async with started(http_port=port) as api:
        await api("POST", "/routes", {**ROUTE, "protocols": ["http", "https"]}, status=201)
        assert (await plain(api, port))[0] == 404
        await api.advance(5)
        assert (await plain(api, port))[0] == 200
        await api("PATCH", "/routes/shop", {"protocols": ["https"]}, status=200)
        assert (await plain(api, port))[0] == 200
        await api.advance(5)
        status, headers = await plain(api, port)
        assert status == 426
        assert headers["Upgrade"] == "TLS/1.2, HTTP/1.1"
        assert headers["Connection"] == "Upgrade"
        await api("PATCH", "/routes/shop", {"https_redirect_status_code": 308}, status=200)
        await api.advance(5)
        status, headers = await plain(api, port)
        assert (status, headers["Location"]) == (308, "https://shop.example.com/cart?x=1")


@pytest.mark.parametrize(
    ("trusted", "proto", "status"),
    [
        ((), "https", 426),
        (("10.0.0.0/8",), "https", 426),
        (("127.0.0.0/8",), "https", 200),
        (("127.0.0.0/8",), "HTTPS", 426),
        (("127.0.0.0/8",), "http", 426),
    ],
)
async def test_the_word_of_another_proxy_counts_from_trusted_addresses_only(
    free_port: Callable[[], int], trusted: tuple[str, ...], proto: str, status: int
) -> None:
    port = free_port()
    async with started(http_port=port, route_seconds=0.0, trusted_ips=trusted) as api:
        await api("POST", "/routes", ROUTE, status=201)
        assert (await plain(api, port, X_Forwarded_Proto=proto))[0] == status


# The stand-in itself.


async def test_no_key_and_no_token_is_in_state_or_journal(pair: dict[str, str]) -> None:
    async with started(token="right") as api:
        given = {**pair, "snis": ["a.example.com"]}
        await api("PUT", f"/certificates/{A}", given, {"Kong-Admin-Token": "right"}, status=200)
        state = json.dumps(api.kong.snapshot())
        leaf = x509.load_pem_x509_certificate(pair["cert"].encode())
        assert leaf.fingerprint(hashes.SHA256()).hex() in state
        shown = state + repr(api.running.calls)
        assert "PRIVATE" not in shown
        assert "right" not in shown


async def test_someone_else_changes_things_without_a_line_in_the_journal(
    api: Api, pair: dict[str, str]
) -> None:
    await api("PUT", f"/certificates/{A}", {**pair, "snis": ["a.example.com"]}, status=200)
    done = {"method": "DELETE", "path": f"/certificates/{A}"}
    api.kong.steer("request", done)
    await api("GET", f"/certificates/{A}", status=404)
    assert [call.method for call in api.running.calls] == ["PUT", "GET"]


def steered(url: str) -> dict[str, Any]:
    control = Control(url)
    control.steer("trusted_ips", ["127.0.0.0/8"])
    control.steer("route_seconds", 0.5)
    with pytest.raises(requests.HTTPError):
        control.steer("trusted_ips", ["nonsense"])
    with pytest.raises(requests.HTTPError):
        control.steer("nonsense", 1)
    settings: dict[str, Any] = requests.get(f"{url}/", timeout=5).json()["configuration"]
    return settings


async def test_settings_are_changed_from_another_process(api: Api) -> None:
    settings = await asyncio.to_thread(steered, api.running.url)
    assert settings["trusted_ips"] == ["127.0.0.0/8"]
    assert settings["worker_state_update_frequency"] == 0.5
