"""One HTTPS exchange with a CA: bounded in bytes and in time, to an address that was checked.

`session` builds on it. Plain `requests` (what `acme` uses) would not do: its time-out starts anew
with every byte, its bodies have no limit, it follows redirects, and it resolves names itself.
Here every read of the socket gets what is left of the call's deadline, headers included, so that
a server which drips a byte a second holds a thread no longer than any other.

Proxy settings of the environment are not used: the address that is connected to must be the one
that was checked.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import certifi
import msgspec
import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError, NameResolutionError, SSLError
from urllib3.util.connection import create_connection

from certfront.issuance.acme.endpoints import AddressGuard
from certfront.issuance.acme.problems import CaUnreachable, CaUntrusted, EndpointRefused
from certfront.model.clock import Clock

CALL_SECONDS: Final = 30.0
"""The deadline of an exchange outside any `deadline` block."""

JSON_LIMIT: Final = 256 * 1024
CHAIN_LIMIT: Final = 256 * 1024

_LONGEST_URL = 2048
_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_HTTPS_PORT = 443

_expiry: ContextVar[tuple[Clock, float] | None] = ContextVar("acme_call_expiry", default=None)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; header names are lower-case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@contextmanager
def deadline(seconds: float, clock: Clock) -> Iterator[None]:
    """Everything sent inside ends within `seconds`; an enclosing, earlier deadline wins."""
    expires = clock.monotonic() + seconds
    outer = _expiry.get()
    token = _expiry.set(outer if outer is not None and outer[1] < expires else (clock, expires))
    try:
        yield
    finally:
        _expiry.reset(token)


def remaining_seconds() -> float:
    """What is left of the current deadline; raises TimeoutError once nothing is."""
    expiry = _expiry.get()
    if expiry is None:
        return CALL_SECONDS
    left = expiry[1] - expiry[0].monotonic()
    if left <= 0:
        raise TimeoutError("the call's deadline has passed")
    return left


class _DeadlineSocket(ssl.SSLSocket):
    """A TLS socket each of whose reads and writes gets what is left of the call's deadline."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(remaining_seconds())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(remaining_seconds())
        super().sendall(*args, **kwargs)

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(remaining_seconds())
        super().do_handshake(block)


class Transport:
    """HTTPS to the hosts of one CA. Safe to use from several threads."""

    def __init__(
        self,
        *,
        ca_bundle: bytes | None,
        user_agent: str,
        clock: Clock,
        guard: AddressGuard,
    ) -> None:
        self._clock = clock
        self._headers = {"User-Agent": user_agent, "Accept-Language": "en"}
        self._pool = urllib3.PoolManager(
            num_pools=4, maxsize=4, retries=False, ssl_context=_tls_context(ca_bundle)
        )
        self._pool.pool_classes_by_scheme = {"https": _pool_class(guard)}

    def exchange(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = JSON_LIMIT,
    ) -> Answer:
        """Send one request and read the whole answer, whatever its status.

        Redirects are followed for GET and HEAD within the same host only. Raises CaUnreachable
        (CaUntrusted) where no complete answer of at most `limit` bytes came before the deadline,
        and EndpointRefused for a URL that is not HTTPS or an address that is not allowed.
        """
        with deadline(CALL_SECONDS, self._clock):
            answer = self._once(method, url, body, headers, limit)
            for _ in range(_MOST_REDIRECTS):
                if answer.status not in _REDIRECTS or method == "POST":
                    return answer
                target = _redirect_target(answer)
                answer = self._once(method, target, body, headers, limit)
            return answer

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def _once(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        limit: int,
    ) -> Answer:
        host = checked_host(url)
        try:
            response = self._pool.urlopen(
                method,
                url,
                body=body,
                headers={**self._headers, **(headers or {})},
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=remaining_seconds(), read=remaining_seconds()),
            )
            return _read(response, url, host, limit)
        except (HTTPError, OSError) as error:
            raise _unreachable(host, error) from error


def checked_host(url: str) -> str:
    """The host of a URL that may be asked at all; raises EndpointRefused for any but HTTPS."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host, parts = None, None
    if parts is None or parts.scheme != "https" or not host or len(url) > _LONGEST_URL:
        raise EndpointRefused("a CA's URL must be an https:// URL of at most 2048 characters")
    if parts.username is not None or not url.isascii() or not url.isprintable():
        raise EndpointRefused("a CA's URL must be plain ASCII, without a user name")
    return host


def _tls_context(ca_bundle: bytes | None) -> ssl.SSLContext:
    """Verifies against the bundle alone where there is one, else against the public roots."""
    try:
        if ca_bundle is None:
            context = ssl.create_default_context(cafile=certifi.where())
        else:
            context = ssl.create_default_context(cadata=ca_bundle.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise EndpointRefused("the CA bundle is not a list of PEM certificates") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The same on every Python: 3.13 began to refuse roots of private CAs for formal faults, and to
    # accept an intermediate certificate as an anchor.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.sslsocket_class = _DeadlineSocket
    return context


def _pool_class(guard: AddressGuard) -> type[urllib3.HTTPSConnectionPool]:
    class CheckedConnection(HTTPSConnection):
        """Connects to an address that the guard returned, and verifies the name as usual."""

        def _new_conn(self) -> socket.socket:
            addresses = guard(self.host, self.port or _HTTPS_PORT)
            return _connect(addresses, self.port or _HTTPS_PORT)

    class CheckedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = CheckedConnection

    return CheckedPool


def _connect(addresses: Sequence[str], port: int) -> socket.socket:
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            return create_connection(
                (address, port),
                timeout=remaining_seconds(),
                socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            )
        except OSError as error:
            failure = error
    raise failure


def _read(response: urllib3.BaseHTTPResponse, url: str, host: str, limit: int) -> Answer:
    try:
        body = response.read(limit + 1, decode_content=False)
        if len(body) > limit:
            raise CaUnreachable(f"{host} sent an answer of more than {limit} bytes")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(url=url, status=response.status, headers=headers, body=body)


def _redirect_target(answer: Answer) -> str:
    target = urljoin(answer.url, answer.headers.get("location", ""))
    if urlsplit(target)[:2] != urlsplit(answer.url)[:2]:
        raise EndpointRefused("the CA redirects to another host, which is not followed")
    return target


_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "did not answer in time"),
    (urllib3.exceptions.TimeoutError, "did not answer in time"),
    (NameResolutionError, "does not resolve to an address"),
    (ConnectionRefusedError, "refused the connection"),
    (ConnectionError, "closed the connection"),
    (urllib3.exceptions.IncompleteRead, "closed the connection"),
)


def _unreachable(host: str, error: BaseException) -> CaUnreachable:
    """Our own words: the text of a library's exception carries addresses of objects and URLs."""
    causes = tuple(_chain(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CaUntrusted(f"the certificate of {host} does not verify: {cause.verify_message}")
    for kind, text in _CAUSES:
        if any(isinstance(cause, kind) for cause in causes):
            return CaUnreachable(f"{host} {text}")
    if isinstance(error, SSLError):
        return CaUnreachable(f"TLS with {host} failed")
    reason = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), None)
    return CaUnreachable(f"{host} could not be reached" + (f": {reason}" if reason else ""))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: urllib3 puts the cause into its arguments."""
    pending: list[BaseException] = [error]
    seen = 0
    while pending and seen < 16:  # Chains are short; a cycle must not hang us.
        current = pending.pop()
        seen += 1
        yield current
        pending += [
            part for part in (current.__cause__, *current.args) if isinstance(part, BaseException)
        ]
