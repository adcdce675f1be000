"""What a node serves, as a client sees it: one verified TLS handshake, one plain HTTP request."""

import http.client
import socket
import ssl
from dataclasses import dataclass

from certfront.pki import certificates, facts

SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One name on one node. `trouble` is empty where the chain and the name were verified."""

    name: str
    node: str
    issuer: str = ""
    expires: str = ""
    fingerprint: str = ""
    trouble: str = ""
    redirect: str = ""


def look(name: str, *, node: str, address: str, roots: str, ports: dict[str, int]) -> Served:
    """Ask the node at `address` for `name`, trusting only `roots` (PEM)."""
    redirect = _redirect(name, address, ports.get("80", 80))
    try:
        der = handshake(name, address, ports.get("443", 443), context(roots))
    except OSError as error:
        return Served(name=name, node=node, trouble=_short(error), redirect=redirect)
    found = facts.read(certificates.load(der), size=0)
    return Served(
        name=name,
        node=node,
        issuer=found.issuer.removeprefix("CN=")[:28],
        expires=f"{found.not_after:%Y-%m-%d %H:%M}",
        fingerprint=found.fingerprint[:17],
        redirect=redirect,
    )


def context(roots: str) -> ssl.SSLContext:
    """A client that trusts `roots` and nobody else."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=roots)
    return client


def handshake(name: str, address: str, port: int, client: ssl.SSLContext) -> bytes:
    """The leaf (DER) that is served for `name`, verified. Raises OSError."""
    with (
        socket.create_connection((address, port), timeout=SECONDS) as connection,
        client.wrap_socket(connection, server_hostname=name) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _redirect(name: str, address: str, port: int) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=SECONDS)
    try:
        connection.request("GET", "/", headers={"Host": name})
        answer = connection.getresponse()
        location = answer.getheader("Location", "")
        return f"{answer.status} {location}".strip()
    except OSError:
        return "-"
    finally:
        connection.close()


def _short(error: OSError) -> str:
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error.strerror
    return str(reason or error)[:60]
