"""Pebble and its DNS server as processes of a test, and what tests ask of them."""

import json
import os
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from sandbox import binaries
from sandbox.pki import Authority

_START_SECONDS = 30.0
_PROFILES = {
    "default": {"description": "90 days", "validityPeriod": 7776000},
    "shortlived": {"description": "6 days", "validityPeriod": 518400},
}


class Pebble:
    """One running Pebble; `http_port` is where it asks for HTTP-01 answers on 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority("listener CA", directory)
        ports = free_ports(6)
        self.port, self.management, self.http_port, self.tls_port, self.dns, self.dns_management = (
            ports
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def directory_url(self) -> str:
        return f"https://127.0.0.1:{self.port}/dir"

    @property
    def ca_bundle(self) -> bytes:
        return self.authority.path.read_bytes()

    def roots(self) -> bytes:
        """The root that it signs with since its start."""
        context = ssl.create_default_context(cadata=self.ca_bundle.decode())
        url = f"https://127.0.0.1:{self.management}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def start(self, log: IO[bytes], **environment: str) -> subprocess.Popen[bytes]:
        """Start Pebble itself; its memory is empty each time."""
        programs = binaries.ensure(("pebble",), print)
        process = subprocess.Popen(
            [
                str(programs["pebble"]),
                "-strict",
                *("-config", str(self.directory / "pebble.json")),
                *("-dnsserver", f"127.0.0.1:{self.dns}"),
            ],
            env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", **environment},
            stdout=log,
            stderr=log,
        )
        self.process = process
        _wait_for(self.port, process)
        _wait_for(self.management, process)
        return process

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """Inside, another Pebble runs in its place that knows nothing of the first."""
        if self.process is not None:
            _stop(self.process)
        with (self.directory / "log").open("ab") as log:
            process = self.start(log)
            try:
                yield
            finally:
                _stop(process)

    def start_dns(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the DNS server: every name is at 127.0.0.1, and nowhere else."""
        programs = binaries.ensure(("pebble-challtestsrv",), print)
        flags = {
            "dnsserver": f"127.0.0.1:{self.dns}",
            "management": f"127.0.0.1:{self.dns_management}",
            "defaultIPv4": "127.0.0.1",
            "defaultIPv6": "",
            "http01": "",
            "https01": "",
            "tlsalpn01": "",
            "doh": "",
        }
        process = subprocess.Popen(
            [
                str(programs["pebble-challtestsrv"]),
                *(f"-{name}={value}" for name, value in flags.items()),
            ],
            stdout=log,
            stderr=log,
        )
        _wait_for(self.dns_management, process)
        return process

    def dns_set(self, path: str, body: dict[str, object]) -> None:
        """Tell the DNS server something, as its management API spells it."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dns_management}/{path}", json.dumps(body).encode()
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - our own process

    def configure(self, **changes: object) -> None:
        """Write its configuration."""
        certificate, key = self.authority.issue("listener", "pebble", addresses=("127.0.0.1",))
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "externalAccountBindingRequired": False,
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": _PROFILES,
            **changes,
        }
        (self.directory / "pebble.json").write_text(json.dumps({"pebble": settings}))


@contextmanager
def running(
    directory: Path, *, environment: dict[str, str] | None = None, **settings: object
) -> Iterator[Pebble]:
    """Pebble with these settings until the block ends."""
    pebble = Pebble(directory)
    pebble.configure(**settings)
    with ExitStack() as stack:
        log = stack.enter_context((directory / "log").open("wb"))
        stack.callback(_stop, pebble.start_dns(log))
        stack.callback(_stop, pebble.start(log, **(environment or {})))
        yield pebble


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"the process ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the process does not listen")
