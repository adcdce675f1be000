"""What the tests of Rackspace's emulator share: certificates, and a caller with its token."""

import datetime as dt
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sandbox.emulators.rackspace import API_KEY, Rackspace
from sandbox.emulators.server import Running, StoppedClock, serving

NOW = dt.datetime(2026, 11, 24, 20, 0, tzinfo=dt.UTC)
BALANCER = "/v1.0/123456/loadbalancers/71"
TERMINATION = BALANCER + "/ssltermination"
MAPPINGS = TERMINATION + "/certificatemappings"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, kw_only=True)
class Made:
    """A certificate with its key, and the issuers above it, leaf's issuer first."""

    certificate: str
    key: str
    intermediate: str = ""
    root: str = ""

    def termination(self, **more: Any) -> dict[str, Any]:
        """The body of PUT ssltermination with this material."""
        body = {"certificate": self.certificate, "privatekey": self.key, "securePort": 443}
        if self.intermediate:
            body["intermediateCertificate"] = self.intermediate
        return {"sslTermination": body | more}

    def mapping(self, host_name: str, **more: Any) -> dict[str, Any]:
        """The body of POST certificatemappings with this material."""
        body = {"certificate": self.certificate, "privateKey": self.key, "hostName": host_name}
        if self.intermediate:
            body["intermediateCertificate"] = self.intermediate
        return {"certificateMapping": body | more}


@functools.cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """One of a few keys: making one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of_key(key: Key, form: str = "PKCS8", password: bytes = b"") -> str:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    kind = {
        "PKCS8": serialization.PrivateFormat.PKCS8,
        "PKCS1": serialization.PrivateFormat.TraditionalOpenSSL,
    }[form]
    return key.private_bytes(serialization.Encoding.PEM, kind, encryption).decode()


@functools.cache
def made(
    name: str, *, number: int = 0, start: int = -1, days: int = 90, serial: int = 1000
) -> Made:
    """An RSA certificate for `name` and its one-label wildcard, under an intermediate and a root."""
    root_key, middle_key, key = rsa_key(100), rsa_key(101), rsa_key(number)
    root = _signed("root", root_key, "root", root_key, authority=True)
    middle = _signed("middle", middle_key, "root", root_key, authority=True)
    leaf = _signed(
        name, key, "middle", middle_key, start=start, days=days, serial=serial, authority=False
    )
    return Made(certificate=leaf, key=pem_of_key(key), intermediate=middle, root=root)


@functools.cache
def self_signed(name: str, kind: str = "rsa") -> Made:
    """A certificate of its own."""
    key: Key = rsa_key(1) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(name, key, name, key, authority=False)
    return Made(certificate=certificate, key=pem_of_key(key))


def _signed(
    subject: str,
    key: Key,
    issuer: str,
    issuer_key: Key,
    *,
    authority: bool,
    start: int = -1,
    days: int = 90,
    serial: int = 1000,
) -> str:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW + dt.timedelta(days=start))
        .not_valid_after(NOW + dt.timedelta(days=start + days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(subject), x509.DNSName(f"*.{subject}")]),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answer of the API."""

    status: int
    headers: dict[str, str]
    text: str
    body: Any

    @property
    def messages(self) -> str:
        """What a fault says, its validation errors included."""
        errors = self.body.get("validationErrors", {}).get("messages", [])
        return "\n".join([self.body["message"], *errors])


class Api:
    """The API with its token; time stands still unless it is moved."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.emulator = running.emulator
        self.token = ""
        self.answers: list[Answered] = []
        self._session = session

    async def __call__(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> Answered:
        headers = {"X-Auth-Token": self.token if token is None else token}
        if body is not None:
            more["json"] = body
        headers |= more.pop("headers", {})
        async with self._session.request(method, path, headers=headers, **more) as answer:
            text = await answer.text()
            parsed = await answer.json() if text.startswith("{") else None
            given = Answered(
                status=answer.status, headers=dict(answer.headers), text=text, body=parsed
            )
        self.answers.append(given)
        return given

    async def authenticate(self, api_key: str = API_KEY) -> Answered:
        """Ask for a token, and use it from now on where one is given."""
        credentials = {"username": "certfront", "apiKey": api_key}
        body = {"auth": {"RAX-KSKEY:apiKeyCredentials": credentials}}
        answer = await self("POST", "/v2.0/tokens", body)
        if answer.status == 200:
            self.token = answer.body["access"]["token"]["id"]
        return answer

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        clock = self.running.clock
        assert isinstance(clock, StoppedClock)
        clock.advance(seconds)
        await self.running.refresh()

    async def steer(self, what: str, value: Any = None) -> None:
        """Steer the emulator."""
        self.emulator.steer(what, value)
        await self.running.refresh()

    async def status(self) -> str:
        """The load balancer's status."""
        answer = await self("GET", BALANCER)
        return str(answer.body["loadBalancer"]["status"])

    async def done(self, method: str, path: str, body: Any = None) -> Answered:
        """A change that is accepted, and the time until it is served."""
        answer = await self(method, path, body)
        assert answer.status in (200, 202), answer.text
        await self.advance(2)
        assert await self.status() == "ACTIVE"
        return answer

    async def map(self, material: Made, host_name: str) -> int:
        """Add a certificate mapping; returns its id."""
        answer = await self.done("POST", MAPPINGS, material.mapping(host_name))
        return int(answer.body["certificateMapping"]["id"])


@asynccontextmanager
async def started(**options: Any) -> AsyncIterator[Api]:
    """The emulator with a stopped clock and a caller that has a token."""
    emulator = Rackspace(clock=StoppedClock(NOW), seed=1, **options)
    async with serving(emulator) as running, aiohttp.ClientSession(running.url) as session:
        api = Api(running, session)
        await api.authenticate()
        yield api
        assert running.failures == []
