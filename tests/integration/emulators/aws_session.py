"""What the tests of the AWS emulator share: one served from a thread, boto3 clients, certificates."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from sandbox.emulators.aws import AWS
from sandbox.emulators.control import Control
from sandbox.emulators.server import Running, SteppedClock, serving

REGION = "us-east-1"
KEY_ID = "AKIASANDBOXCERTFRONT"
SECRET = "sandbox/certfront/secret"

HTTPS = {
    "Protocol": "HTTPS",
    "LoadBalancerPort": 443,
    "InstanceProtocol": "HTTP",
    "InstancePort": 80,
}
HTTP = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstanceProtocol": "HTTP", "InstancePort": 80}
NOT_FOUND = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
TO_HTTPS = [
    {
        "Type": "redirect",
        "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
    }
]
ANSWER = [
    {
        "Type": "fixed-response",
        "FixedResponseConfig": {
            "StatusCode": "200",
            "ContentType": "text/plain",
            "MessageBody": "token.thumbprint",
        },
    }
]
CHALLENGE = [{"Field": "path-pattern", "Values": ["/.well-known/acme-challenge/token"]}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Material as a client holds it, all PEM."""

    certificate: str
    key: str
    chain: str = ""


class Session:
    """An emulator that is served, and boto3's clients for it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.url = running.url
        self.control = Control(running.url)
        emulator = running.emulator
        assert isinstance(emulator, AWS)
        self.emulator = emulator

    def client(self, service: str, **more: Any) -> Any:
        """A client; `more` overrides its credentials."""
        credentials = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET} | more
        return boto3.client(  # type: ignore[call-overload] # a name that is not literal
            service,
            region_name=REGION,
            endpoint_url=self.url,
            config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
            **credentials,
        )

    def balancer(self, name: str = "alb") -> str:
        """The ARN of an application load balancer."""
        found = self.client("elbv2").describe_load_balancers(Names=[name])
        return str(found["LoadBalancers"][0]["LoadBalancerArn"])

    def upload(self, name: str = "www", pair: Pair | None = None, **more: Any) -> str:
        """Upload to IAM; the ARN."""
        answered = self.client("iam").upload_server_certificate(
            ServerCertificateName=name, **iam_material(pair or ec_pair()), **more
        )
        return str(answered["ServerCertificateMetadata"]["Arn"])

    def imported(self, pair: Pair | None = None, **more: Any) -> str:
        """Import into ACM; the ARN."""
        answered = self.client("acm").import_certificate(**acm_material(pair or ec_pair()), **more)
        return str(answered["CertificateArn"])


@contextmanager
def session(**options: Any) -> Iterator[Session]:
    """An emulator of these options, served from a thread of its own.

    Without propagation and lag unless the options ask for them, so that a test names what it is
    about.
    """
    plain = {"propagation_misses": 0, "in_use_lag": 0.0}
    started: list[Session] = []
    failed: list[BaseException] = []
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        emulator = AWS(clock=SteppedClock(), **(plain | options))
        async with serving(emulator) as running:
            started.append(Session(running))
            ready.set()
            await asyncio.to_thread(stop.wait)
            assert running.failures == []

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)
        finally:
            ready.set()

    worker = threading.Thread(target=thread)
    worker.start()
    ready.wait()
    try:
        if not failed:
            yield started[0]
    finally:
        stop.set()
        worker.join()
    if failed:
        raise failed[0]


@contextmanager
def refused(code: str, status: int = 0) -> Iterator[None]:
    """The block is refused with this code, and this status where one is given."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code
    if status:
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def listen(aws: Session, arn: str | None = None, **more: Any) -> None:
    """Make a listener of the classic balancer: HTTPS with a certificate, else HTTP."""
    listener = dict(HTTPS, SSLCertificateId=arn) if arn else dict(HTTP)
    aws.client("elb").create_load_balancer_listeners(
        LoadBalancerName="classic", Listeners=[listener | more]
    )


def set_certificate(aws: Session, arn: str, port: int = 443, name: str = "classic") -> None:
    """Give a classic listener a certificate."""
    aws.client("elb").set_load_balancer_listener_ssl_certificate(
        LoadBalancerName=name, LoadBalancerPort=port, SSLCertificateId=arn
    )


def create_listener(aws: Session, arn: str | None = None, **more: Any) -> str:
    """Make a listener of the application balancer; its ARN."""
    given: dict[str, Any] = {"Protocol": "HTTP", "Port": 80, "DefaultActions": NOT_FOUND}
    if arn:
        given |= {"Protocol": "HTTPS", "Port": 443, "Certificates": [{"CertificateArn": arn}]}
    made = aws.client("elbv2").create_listener(LoadBalancerArn=aws.balancer(), **(given | more))
    return str(made["Listeners"][0]["ListenerArn"])


def add_certificate(aws: Session, listener: str, *arns: str) -> None:
    """Add certificates to a listener."""
    aws.client("elbv2").add_listener_certificates(
        ListenerArn=listener, Certificates=[{"CertificateArn": arn} for arn in arns]
    )


def remove_certificate(aws: Session, listener: str, arn: str) -> None:
    """Remove a certificate from a listener."""
    aws.client("elbv2").remove_listener_certificates(
        ListenerArn=listener, Certificates=[{"CertificateArn": arn}]
    )


def iam_material(pair: Pair) -> dict[str, str]:
    """The material as UploadServerCertificate takes it."""
    made = {"CertificateBody": pair.certificate, "PrivateKey": pair.key}
    return made | ({"CertificateChain": pair.chain} if pair.chain else {})


def acm_material(pair: Pair) -> dict[str, bytes]:
    """The material as ImportCertificate takes it."""
    made = {"Certificate": pair.certificate.encode(), "PrivateKey": pair.key.encode()}
    return made | ({"CertificateChain": pair.chain.encode()} if pair.chain else {})


def ec_pair(*names: str, **more: Any) -> Pair:
    """A new self-signed pair with a P-256 key."""
    return pair(ec.generate_private_key(ec.SECP256R1()), *names, **more)


def rsa_pair(*names: str, size: int = 2048, **more: Any) -> Pair:
    """A self-signed pair with an RSA key that is made once for each size."""
    return pair(rsa_key(size), *names, **more)


@cache
def rsa_key(size: int) -> rsa.RSAPrivateKey:
    """The RSA key of this size."""
    return rsa.generate_private_key(65_537, size)


def ed25519_pair() -> Pair:
    """A pair of a kind that AWS does not take."""
    return pair(ed25519.Ed25519PrivateKey.generate())


def issued_pair(*names: str, days: int = 90) -> tuple[Pair, str]:
    """A pair under a CA of its own, with that CA as its chain, and the CA's certificate."""
    ca_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = certificate(ca_key, "ca.example", ca_key, issuer="ca.example", ca=True)
    leaf = certificate(
        leaf_key, *(names or ("www.example.org",)), signer=ca_key, issuer="ca.example", days=days
    )
    return Pair(certificate=leaf, key=private(leaf_key), chain=ca), ca


def pair(key: CertificateIssuerPrivateKeyTypes, *names: str, **more: Any) -> Pair:
    """A self-signed pair of this key."""
    named = names or ("www.example.org",)
    return Pair(certificate=certificate(key, *named, **more), key=private(key))


def certificate(
    key: CertificateIssuerPrivateKeyTypes,
    name: str,
    *others: Any,
    signer: CertificateIssuerPrivateKeyTypes | None = None,
    issuer: str | None = None,
    starts: int = -1,
    days: int = 90,
    usages: tuple[x509.ObjectIdentifier, ...] = (),
    encipherment: bool | None = None,
    ca: bool = False,
) -> str:
    """A certificate, PEM; `starts` and `days` count from now, an empty `issuer` has no name."""
    now = datetime.now(UTC)
    by = name if issuer is None else issuer
    names = [name, *(other for other in others if isinstance(other, str))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(by) if by else x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=starts))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if encipherment is not None:
        builder = builder.add_extension(_key_usage(encipherment), critical=True)
    used = signer if signer is not None else key
    digest = None if isinstance(used, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(used, digest).public_bytes(Encoding.PEM).decode()


def private(key: CertificateIssuerPrivateKeyTypes, password: str = "") -> str:
    """A key, PEM."""
    sealed = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _key_usage(encipherment: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
