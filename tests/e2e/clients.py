"""What users of a load balancer see: TLS handshakes and HTTP requests, by Python's own ssl."""

import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.state import Node

_SECONDS = 5.0
_INTERVAL = 0.03


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def handshake(node: Node, name: str, *, root: str, port: int = 443) -> str:
    """The SHA-256 fingerprint of what `node` shows for `name`, verified against `root` (PEM).

    Raises OSError (ssl.SSLError is one): refused, wrong name, not signed by the root.
    """
    context = ssl.create_default_context(cadata=root)
    address = (node.address, node.port_map.get(str(port), port))
    with (
        socket.create_connection(address, timeout=_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return fingerprint(secured.getpeercert(binary_form=True) or b"")


def fingerprint(der: bytes) -> str:
    """As `status.fingerprint` spells it."""
    return hashlib.sha256(der).hexdigest()


def spelled(text: str) -> str:
    """A fingerprint without colons and capitals, to compare."""
    return text.replace(":", "").lower()


def request(
    node: Node,
    name: str,
    path: str = "/",
    *,
    root: str = "",
    port: int | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """GET by HTTPS where there is a `root` to verify against, else by plain HTTP."""
    wanted = port or (443 if root else 80)
    address = (node.address, node.port_map.get(str(wanted), wanted))
    stream: socket.socket = socket.create_connection(address, timeout=_SECONDS)
    try:
        if root:
            stream = ssl.create_default_context(cadata=root).wrap_socket(
                stream, server_hostname=name
            )
        connection = http.client.HTTPConnection(name, timeout=_SECONDS)
        connection.sock = stream
        connection.request("GET", path, headers={"Host": name, **(headers or {})})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        stream.close()


def eventually(probe: Callable[[], bool], *, seconds: float, why: str) -> float:
    """Ask `probe` until it says yes; returns after how long. What it raises counts as no."""
    started = time.monotonic()
    told: BaseException | None = None
    while time.monotonic() - started < seconds:
        try:
            if probe():
                return time.monotonic() - started
        except (OSError, AssertionError, http.client.HTTPException) as error:
            told = error
        time.sleep(_INTERVAL)  # the other side offers nothing to wait on
    raise AssertionError(f"not {why} after {seconds:.0f} s; last: {told!r}")
