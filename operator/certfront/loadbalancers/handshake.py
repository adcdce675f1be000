"""A fresh TLS handshake: what a client really gets for a name, and from which worker.

Sessions are never resumed (up to HAProxy 3.4 a resumed one shows the certificate of before).
Certificates are compared by fingerprint, not verified: self-signed ones are served too. Used by the
agent beside HAProxy, and by the reconcilers for load balancers that a provider runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from dataclasses import dataclass
from typing import Final

from certfront.model.keys import KeyAlgorithm

_SECONDS: Final = 5.0
_LARGEST_ANSWER: Final = 4096
_ANY_LABEL: Final = "certfront-probe"


class HandshakeFailed(Exception):
    """No handshake, or no answer after it; the message says what OpenSSL said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The leaf's SHA-256 (upper-case hex without colons), and the pid that the answer named.

    `sha1` is for comparing with providers that tell no other fingerprint.
    """

    fingerprint: str
    pid: int | None
    sha1: str = ""


def sni_for(hostname: str | None) -> str | None:
    """The name to ask for: a wildcard is asked for with a label of ours."""
    if hostname is None:
        return None
    return f"{_ANY_LABEL}{hostname[1:]}" if hostname.startswith("*.") else hostname


def context_for(key_type: KeyAlgorithm, *, tls13_only: bool = False) -> ssl.SSLContext:
    """A client that can only be content with that key type, where that can be asked for.

    TLS 1.3 does not let this client choose; there, another certificate of the name is as good.
    """
    context = any_context()
    if not tls13_only:
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        kind = "RSA" if key_type is KeyAlgorithm.RSA else "ECDSA"
        context.set_ciphers(f"ECDHE+a{kind}+AESGCM")
    return context


def any_context() -> ssl.SSLContext:
    """A client that is content with any certificate of any key type."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def probe(
    target: str | tuple[str, int], server_name: str | None, context: ssl.SSLContext
) -> Seen:
    """Shake hands with a unix socket or an address and port. Raises HandshakeFailed."""
    try:
        async with asyncio.timeout(_SECONDS):
            return await _probe(target, server_name, context)
    except TimeoutError:
        raise HandshakeFailed(f"no handshake within {_SECONDS:g} seconds") from None
    except ssl.SSLError as error:
        raise HandshakeFailed(error.reason or "TLS error") from None
    except OSError as error:
        raise HandshakeFailed(error.strerror or "no connection") from None
    except (ValueError, UnicodeError):
        raise HandshakeFailed("the name cannot be asked for by SNI") from None


async def _probe(
    target: str | tuple[str, int], server_name: str | None, context: ssl.SSLContext
) -> Seen:
    # An empty name means: send none.
    name = server_name or ""
    if isinstance(target, str):
        reader, writer = await asyncio.open_unix_connection(
            target, ssl=context, server_hostname=name
        )
    else:
        reader, writer = await asyncio.open_connection(*target, ssl=context, server_hostname=name)
    try:
        tls = writer.get_extra_info("ssl_object")
        leaf = tls.getpeercert(binary_form=True)
        if not leaf:
            raise HandshakeFailed("no certificate was sent")
        pid = await _worker(reader, writer) if isinstance(target, str) else None
    finally:
        writer.transport.abort()
    return Seen(
        fingerprint=hashlib.sha256(leaf).hexdigest().upper(),
        pid=pid,
        sha1=hashlib.sha1(leaf, usedforsecurity=False).hexdigest().upper(),
    )


async def _worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await writer.drain()
    answer = await reader.read(_LARGEST_ANSWER)
    while b"\r\n\r\n" not in answer or not answer.partition(b"\r\n\r\n")[2]:
        more = await reader.read(_LARGEST_ANSWER)
        if not more or len(answer) > _LARGEST_ANSWER:
            break
        answer += more
    match = re.search(rb"\r\n\r\n\s*(\d{1,10})\s*$", answer)
    return int(match[1]) if match else None
