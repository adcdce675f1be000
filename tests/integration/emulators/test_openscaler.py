"""OpenScaler's emulator is held to the page that it is written from, and proven by handshakes."""

import asyncio
import datetime as dt
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sandbox.emulators.control import Control
from sandbox.emulators.openscaler import OpenScaler
from sandbox.emulators.server import Fault, Running, StoppedClock, serving

TOKEN = "openscaler-token"
PATH = "/v1/lbs/42/certificates"
FACTS = {
    "name": str,
    "cert_type": str,
    "common_name": str,
    "subject": str,
    "domains": str,
    "issuers": str,
    "not_before": str,
    "not_after": str,
    "serial": str,
    "size": int,
}
SELF_SIGNED = {"name": "c", "cert_type": "self_signed", "cn_name": "a.example"}
LET_ENCRYPT = {
    "name": "c",
    "cert_type": "let_encrypt",
    "cn_name": "a.example",
    "let_encrypt_email": "a@example.org",
}


class Api:
    """The API with its token."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.openscaler = running.emulator
        self._session = session

    async def __call__(
        self, method: str, path: str, body: Any = None, **more: Any
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"} | more.pop("headers", {})
        if body is not None:
            more["json"] = body
        async with self._session.request(method, path, headers=headers, **more) as answer:
            text = await answer.read()
            return answer.status, await answer.json() if text else None

    async def create(self, body: Any, **more: Any) -> tuple[int, Any]:
        return await self("POST", PATH, body, **more)


@asynccontextmanager
async def started(**options: Any) -> AsyncIterator[Api]:
    clock = options.pop("clock", None) or StoppedClock(dt.datetime.now(dt.UTC))
    emulator = OpenScaler(clock=clock, seed=1, **options)
    async with serving(emulator) as running, aiohttp.ClientSession(running.url) as session:
        yield Api(running, session)
        assert running.failures == []


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with started(points_here=("a.example",), issuance_seconds=0) as made:
        yield made


@pytest.fixture
def bundle(self_signed: Callable[..., tuple[str, str]]) -> str:
    return "".join(self_signed("a.example", "b.example"))


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer other", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe4"],
)
async def test_a_request_without_the_token_is_refused(api: Api, header: str) -> None:
    status, answer = await api.create(SELF_SIGNED, headers={"Authorization": header})
    assert (status, answer["code"]) == (401, 401)
    assert api.running.emulator.snapshot()["lbs"] == {"42": []}


async def test_a_rotated_token_replaces_the_old_one(api: Api) -> None:
    api.openscaler.steer("token", "new")
    assert (await api.create(SELF_SIGNED))[0] == 401
    assert (await api.create(SELF_SIGNED, headers={"Authorization": "Bearer new"}))[0] == 201


async def test_a_self_signed_certificate_has_the_documented_facts(api: Api) -> None:
    status, facts = await api.create(SELF_SIGNED)
    assert status == 201
    assert {field: type(value) for field, value in facts.items()} == FACTS
    assert facts["name"] == "c"
    assert facts["cert_type"] == "self_signed"
    assert facts["common_name"] == facts["domains"] == "a.example"
    assert facts["subject"] == facts["issuers"] == "CN=a.example"
    assert re.fullmatch(r"[0-9A-F]{2}(:[0-9A-F]{2})*", facts["serial"])
    for moment in (facts["not_before"], facts["not_after"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
    assert facts["not_before"] < facts["not_after"]


async def test_an_upload_has_the_facts_of_its_leaf(api: Api, bundle: str) -> None:
    leaf = x509.load_pem_x509_certificate(bundle.encode())
    status, facts = await api.create({"name": "u", "cert_type": "upload", "cert_content": bundle})
    assert status == 201
    assert facts == {
        "name": "u",
        "cert_type": "upload",
        "common_name": "a.example",
        "subject": "CN=a.example",
        "domains": "a.example, b.example",
        "issuers": "CN=a.example",
        "not_before": f"{leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "serial": facts["serial"],
        "size": len(bundle),
    }
    assert int(facts["serial"].replace(":", ""), 16) == leaf.serial_number
    assert len(facts["serial"].split(":")[0]) == 2


async def test_the_documented_example_which_sends_all_fields_is_taken(
    api: Api, bundle: str
) -> None:
    status, facts = await api.create(
        {
            "name": "my-cert",
            "cert_type": "upload",
            "cn_name": "example.com",
            "let_encrypt_email": "admin@example.com",
            "cert_content": bundle,
        }
    )
    assert (status, facts["common_name"]) == (201, "a.example")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (SELF_SIGNED | {"cn": "a"}, "the body has an unknown field"),
        (SELF_SIGNED | {"cert_content": 1}, "cert_content is not a string"),
        (SELF_SIGNED | {"cn_name": None}, "cn_name is not a string"),
        (SELF_SIGNED | {"cn_name": "a" * 65}, "a common name has at most 64 characters"),
        (SELF_SIGNED | {"name": ""}, "name is required for self_signed"),
        ({"cert_type": "self_signed"}, "name is required for self_signed"),
        ({"name": "c"}, "cert_type is not one of self_signed, let_encrypt, upload"),
        (
            SELF_SIGNED | {"cert_type": "lets_encrypt"},
            "cert_type is not one of self_signed, let_encrypt, upload",
        ),
        ({"name": "c", "cert_type": "upload"}, "cert_content is required for upload"),
        (LET_ENCRYPT | {"cn_name": ""}, "cn_name is required for let_encrypt"),
        (LET_ENCRYPT | {"let_encrypt_email": ""}, "let_encrypt_email is required for let_encrypt"),
        (LET_ENCRYPT | {"let_encrypt_email": "me"}, "let_encrypt_email is not an address"),
        (LET_ENCRYPT | {"cn_name": "*.a.example"}, "cn_name is not a domain"),
        (LET_ENCRYPT | {"cn_name": "a.example, b.example"}, "cn_name is not a domain"),
        ([], "the body is not a JSON object"),
        ("x", "the body is not a JSON object"),
    ],
)
async def test_a_body_that_is_not_as_documented_is_refused(
    api: Api, body: Any, message: str
) -> None:
    assert await api.create(body) == (400, {"code": 400, "message": message})


async def test_only_json_without_a_query_is_taken(api: Api) -> None:
    assert (await api("POST", PATH, data=b"{}"))[0] == 415
    assert (await api("POST", PATH + "?force=true", SELF_SIGNED))[0] == 400
    large = SELF_SIGNED | {"cert_content": "x" * (256 << 10)}
    assert (await api.create(large))[0] == 413


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda *_: "", "cert_content is required for upload"),
        (lambda *_: "x", "cert_content must have a certificate and one private key"),
        (
            lambda bundle, _other: bundle[: bundle.index("-----BEGIN PRIVATE")],
            "cert_content must have a certificate and one private key",
        ),
        (
            lambda bundle, other: bundle + other[other.index("-----BEGIN PRIVATE") :],
            "cert_content must have a certificate and one private key",
        ),
        (
            lambda bundle, other: (
                other[: other.index("-----BEGIN PRIVATE")]
                + bundle[bundle.index("-----BEGIN PRIVATE") :]
            ),
            "the private key does not belong to the first certificate",
        ),
        (
            lambda bundle, other: bundle + other[: other.index("-----BEGIN PRIVATE")],
            "the chain of cert_content is not in order",
        ),
        (
            lambda bundle, _other: bundle.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "cert_content has something else than certificates and a key",
        ),
        (
            lambda bundle, _other: bundle.replace("MII", "AAA", 1),
            "cert_content cannot be parsed",
        ),
    ],
    ids=[
        "empty",
        "no PEM",
        "no key",
        "two keys",
        "the key of another",
        "a stranger in the chain",
        "encrypted",
        "broken",
    ],
)
async def test_an_upload_that_cannot_be_served_is_refused(
    api: Api,
    bundle: str,
    self_signed: Callable[..., tuple[str, str]],
    break_it: Callable[[str, str], str],
    message: str,
) -> None:
    content = break_it(bundle, "".join(self_signed("other.example")))
    body = {"name": "u", "cert_type": "upload", "cert_content": content}
    assert await api.create(body) == (400, {"code": 400, "message": message})


async def test_a_key_of_another_kind_is_refused(api: Api, bundle: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = bundle[: bundle.index("-----BEGIN PRIVATE")] + key.decode()
    status, answer = await api.create({"name": "u", "cert_type": "upload", "cert_content": content})
    assert (status, answer["message"]) == (400, "the private key is neither RSA nor EC")


async def test_a_bundle_with_its_chain_is_served_whole(api: Api) -> None:
    """Leaf, issuer and key, the key anywhere: as HAProxy takes a bundle."""
    issuer_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    issuer = _certificate("Issuer", "Root", issuer_key, issuer_key)
    leaf = _certificate("a.example", "Issuer", key, issuer_key)
    pem_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    status, facts = await api.create(
        {"name": "u", "cert_type": "upload", "cert_content": leaf + pem_key + issuer}
    )
    assert (status, facts["issuers"]) == (201, "CN=Issuer, CN=Root")
    body = {"name": "v", "cert_type": "upload", "cert_content": pem_key + issuer + leaf}
    assert (await api.create(body))[0] == 400


async def test_a_name_is_taken_once_whatever_is_sent_again(api: Api) -> None:
    assert (await api.create(SELF_SIGNED))[0] == 201
    assert (await api.create(SELF_SIGNED))[0] == 409
    assert (await api.create(LET_ENCRYPT))[0] == 409
    assert (await api.create(SELF_SIGNED | {"name": "d"}))[0] == 201
    assert [found["name"] for found in api.openscaler.snapshot()["lbs"]["42"]] == ["c", "d"]


async def test_load_balancers_are_apart() -> None:
    async with started(lbs={"42": 0, "b-7": 0}) as api:
        assert (await api.create(SELF_SIGNED))[0] == 201
        assert (await api("POST", "/v1/lbs/b-7/certificates", SELF_SIGNED))[0] == 201
        assert (await api("POST", "/v1/lbs/43/certificates", SELF_SIGNED))[0] == 404


async def test_a_lost_answer_leaves_the_certificate_and_the_next_attempt_conflicts(
    api: Api,
) -> None:
    api.running.faults.arm(Fault(kind="lost", method="POST", path=PATH))
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.create(SELF_SIGNED)
    assert (await api.create(SELF_SIGNED))[0] == 409


async def test_over_the_quota_nothing_is_created() -> None:
    async with started(quota=1) as api:
        assert (await api.create(SELF_SIGNED))[0] == 201
        assert (await api.create(SELF_SIGNED | {"name": "d"}))[0] == 403
        api.openscaler.steer("quota", 2)
        assert (await api.create(SELF_SIGNED | {"name": "d"}))[0] == 201


@pytest.mark.parametrize("status", ["200", "201", "202"])
async def test_the_status_of_success_can_be_each_of_the_three(status: Any) -> None:
    async with started(success_status=status) as api:
        assert (await api.create(SELF_SIGNED))[0] == int(status)


async def test_let_encrypt_answers_when_its_time_has_come_and_holds_the_name_meanwhile() -> None:
    clock = StoppedClock(dt.datetime.now(dt.UTC))
    async with started(clock=clock, points_here=("a.example",), issuance_seconds=30) as api:
        creating = asyncio.create_task(api.create(LET_ENCRYPT))
        await _until(lambda: api.openscaler.snapshot()["issuing"] == ["42/c"])
        assert (await api.create(LET_ENCRYPT))[0] == 409
        clock.advance(29)
        assert api.openscaler.snapshot()["lbs"]["42"] == []
        assert not creating.done()
        clock.advance(1)
        status, facts = await creating
        assert (status, facts["domains"]) == (201, "a.example")
        assert facts["issuers"] == "CN=Emulated E1, CN=Emulated Root X1"
        assert api.openscaler.snapshot()["issuing"] == []


async def test_let_encrypt_fails_for_a_name_that_points_elsewhere_and_frees_the_name(
    api: Api,
) -> None:
    status, answer = await api.create(LET_ENCRYPT | {"cn_name": "b.example"})
    assert (status, answer["message"]) == (422, "the domain does not point to this load balancer")
    api.openscaler.steer("points_here", ["b.example"])
    assert (await api.create(LET_ENCRYPT | {"cn_name": "B.example"}))[0] == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("PUT", PATH, 405),
        ("HEAD", PATH, 405),
        ("GET", PATH + "/c", 404),
        ("DELETE", PATH + "/c", 404),
        ("PUT", PATH + "/c", 404),
        ("POST", PATH + "/", 404),
        ("GET", "/v1/lbs/42", 404),
        ("POST", "/v2/lbs/42/certificates", 404),
    ],
)
async def test_what_is_not_documented_is_not_there(
    api: Api, method: str, path: str, status: int
) -> None:
    assert (await api.create(SELF_SIGNED))[0] == 201
    assert (await api(method, path))[0] == status


async def test_listing_and_deletion_can_be_offered() -> None:
    async with started(listing=True, deletion=True) as api:
        _, made = await api.create(SELF_SIGNED)
        assert await api("GET", PATH) == (200, [made])
        assert await api("GET", PATH + "/c") == (200, made)
        assert (await api("GET", PATH + "/d"))[0] == 404
        assert await api("DELETE", PATH + "/c") == (204, None)
        assert (await api("DELETE", PATH + "/c"))[0] == 404
        assert await api("GET", PATH) == (200, [])
        for method, path in (("GET", PATH), ("GET", PATH + "/c"), ("DELETE", PATH + "/c")):
            assert (await api(method, path, headers={"Authorization": ""}))[0] == 401
        assert (await api.create(SELF_SIGNED))[0] == 201


async def test_the_newest_certificate_that_covers_a_name_is_served(
    free_port: Callable[[], int],
    self_signed: Callable[..., tuple[str, str]],
    served: Any,
) -> None:
    port = free_port()

    async def upload(api: Api, name: str, pair: tuple[str, str]) -> None:
        body = {"name": name, "cert_type": "upload", "cert_content": "".join(pair)}
        assert (await api.create(body))[0] == 201

    async with started(lbs={"42": port}) as api:
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await served(port, "a.example.org")
        first, second = self_signed("a.example.org", kind="rsa"), self_signed("*.example.org")
        await upload(api, "first", first)
        assert await served(port, "a.example.org") == first[0]
        await upload(api, "second", second)
        assert await served(port, "a.example.org") == second[0]
        assert await served(port, "b.example.org") == second[0]
        for name in ("example.org", None):
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                await served(port, name)
        api.openscaler.steer("remove", ["42", "second"])
        assert await served(port, "a.example.org") == first[0]


async def test_a_certificate_is_served_after_its_propagation(
    free_port: Callable[[], int], served: Any
) -> None:
    port = free_port()
    clock = StoppedClock(dt.datetime.now(dt.UTC))
    async with started(clock=clock, lbs={"42": port}, propagation_seconds=5) as api:
        assert (await api.create(SELF_SIGNED))[0] == 201
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await served(port, "a.example")
        clock.advance(5)
        assert "BEGIN CERTIFICATE" in await served(port, "a.example")


async def test_a_lets_encrypt_certificate_verifies_to_the_root_of_the_state(
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    async with started(lbs={"42": port}, points_here=("a.example",), issuance_seconds=0) as api:
        assert (await api.create(LET_ENCRYPT))[0] == 201
        context = ssl.create_default_context(cadata=api.openscaler.snapshot()["authority"])
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="a.example"
        )
        writer.transport.abort()


async def test_no_key_and_no_token_is_in_state_or_journal(api: Api, bundle: str) -> None:
    await api.create({"name": "u", "cert_type": "upload", "cert_content": bundle})
    shown = repr((api.openscaler.snapshot(), api.running.calls))
    assert "PRIVATE" not in shown
    assert TOKEN not in shown


@pytest.fixture
def process(free_port: Callable[[], int]) -> Iterator[tuple[str, int]]:
    """The emulator as a process of its own: the URL of its API and its HTTPS port."""
    port = free_port()
    arguments = f"--token t --lbs 42={port} --points-here a.example --issuance-seconds 3600"
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox.emulators", "openscaler", *arguments.split(), "--listing"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline().split()
            assert line[:2] == ["openscaler", "at"]
            yield line[2], port
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
        finally:
            running.kill()


async def test_a_process_is_steered_from_outside(process: tuple[str, int], served: Any) -> None:
    url, port = process
    control = Control(url)

    def create(body: dict[str, str], token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(url + PATH, json=body, headers=headers, timeout=20)

    ready = await asyncio.to_thread(control.ready)
    assert (ready["name"], ready["fronts"], ready["failures"]) == ("openscaler", [port], [])

    creating = asyncio.create_task(asyncio.to_thread(create, LET_ENCRYPT, "t"))
    async with asyncio.timeout(10):
        while not (await asyncio.to_thread(control.state))["issuing"]:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.02)
    await asyncio.to_thread(control.advance, 3600)
    facts = (await creating).json()
    leaf = x509.load_pem_x509_certificate((await served(port, "a.example")).encode())
    assert int(facts["serial"].replace(":", ""), 16) == leaf.serial_number
    [state] = (await asyncio.to_thread(control.state))["lbs"]["42"]
    assert state["fingerprint"] == leaf.fingerprint(hashes.SHA256()).hex()

    await asyncio.to_thread(control.steer, "token", "u")
    await asyncio.to_thread(control.arm, Fault(method="POST", status=429, skip=1))
    statuses = [
        (await asyncio.to_thread(create, SELF_SIGNED | {"name": "d"}, token)).status_code
        for token in ("t", "u", "u", "u")
    ]
    assert statuses == [401, 429, 201, 409]
    calls = await asyncio.to_thread(control.calls)
    assert [call.status for call in calls] == [201, 401, 429, 201, 409]
    with pytest.raises(requests.HTTPError, match="404"):
        await asyncio.to_thread(control.steer, "colour", "blue")


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> str:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(f"CN={subject}"))
        .issuer_name(x509.Name.from_rfc4514_string(f"CN={issuer}"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the state is the emulator's, which sets no event
            await asyncio.sleep(0.02)
