"""One HTTP exchange with a provider's API: bounded in bytes and time, to an address that was checked.

Clients of providers build on it. Redirects are not followed, proxies of the environment are not used,
and a name is resolved once per connection: only addresses that the installation allows are connected
to. Nothing of a body ever gets into an exception.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import certifi
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Refused, Throttled, Unavailable
from certfront.model import retry_after
from certfront.model.addresses import AllowedAddresses
from certfront.model.clock import Clock

CALL_SECONDS: Final = 20.0
"""A whole exchange, the connection and the last byte of the answer included."""

_LONGEST_QUOTE: Final = 200
_LONGEST_WORD: Final = 40
_SHORTEST_SECRET: Final = 6
LARGEST_ANSWER: Final = 8 * 1024 * 1024
_SHORT_PAUSE: Final = 2.0
_SHORTEST_PAUSE: Final = 1.0
_WHERE_NONE_IS_NAMED: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; header names are lower-case. The body is never shown, nor what was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    sent: str = field(default="", repr=False)

    def json(self) -> Any:
        """The body as JSON; None for an empty one. Raises Unavailable where it is no JSON."""
        if not self.body.strip():
            return None
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE, "The provider's answer is not JSON."
            ) from None

    def quotable(self, text: str) -> str:
        """The provider's own words for a message to people, or "" where they may hold what was sent.

        They are one line, printable and at most 200 characters.
        """
        plain = " ".join(text.split())
        if not plain or not plain.isprintable() or "-----" in plain:
            return ""
        if any(self._is_telling(word) for word in plain.split(" ")):
            return ""
        return plain if len(plain) <= _LONGEST_QUOTE else f"{plain[: _LONGEST_QUOTE - 1]}…"

    def _is_telling(self, word: str) -> bool:
        """Whether a word could be of a key or a credential: too long for one, or one that was sent."""
        bare = word.strip("\"'.,:;()[]<>")
        return len(bare) > _LONGEST_WORD or (
            len(bare) >= _SHORTEST_SECRET and not bare.isalpha() and bare in self.sent
        )


class Pace:
    """How fast one account may be asked: so many calls a second, and none while it is told to wait.

    Shared by all load balancers of an account.
    """

    def __init__(self, clock: Clock, *, per_second: float = 10.0, burst: int = 20) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = clock.monotonic()
        self._closed_until = 0.0

    async def turn(self) -> None:
        """Wait for a moment if need be; raises Throttled where the wait is longer than that."""
        while True:
            now = self._clock.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
            self._at = now
            wait = max(self._closed_until - now, (1 - self._tokens) / self._per_second)
            if wait <= 0:
                self._tokens -= 1
                return
            if wait > _SHORT_PAUSE:
                raise Throttled(
                    reasons.RATE_LIMITED, "The provider asks for a pause.", retry_after=wait
                )
            await asyncio.sleep(wait)

    def close_for(self, seconds: float) -> None:
        """Nothing is sent for so long."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)


class Exchange:
    """HTTP with the API of one load balancer. Use it from one event loop, and close it."""

    def __init__(
        self,
        *,
        addresses: AllowedAddresses,
        clock: Clock,
        pace: Pace,
        user_agent: str,
        ca_bundle: bytes | None = None,
    ) -> None:
        self._addresses = addresses
        self._clock = clock
        self._pace = pace
        # Not compressed: the bound is on what is read, not on what it inflates to.
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        self._tls = _tls_context(ca_bundle)
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Answer:
        """Send one request and read the whole answer, whatever its status.

        Raises Unavailable where there is none, and Throttled for 429, or while the account is told to
        wait. `body` goes out as it is (signatures are over its bytes), as JSON unless `headers` say
        otherwise.
        """
        await self._pace.turn()
        self._check_literal(url)
        sent = dict(self._headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        try:
            async with (
                asyncio.timeout(seconds),
                self._open().request(
                    method, URL(url, encoded=True), data=body, headers=sent, allow_redirects=False
                ) as response,
            ):
                answer = Answer(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    body=await _bounded(response.content),
                    sent=_sent(sent, body),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if isinstance(error.__cause__, _EndpointRefused):
                # aiohttp wraps whatever a resolver raises.
                raise Denied(reasons.ENDPOINT_REFUSED, str(error.__cause__)) from None
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE,
                f"No answer from {URL(url).host}: {_kind(error)}.",
            ) from None
        if answer.status == 429:
            raise self.throttled(answer)
        return answer

    def throttled(self, answer: Answer) -> Throttled:
        """The error for an answer that asks for a pause; the account keeps it from now on."""
        wait = retry_after.seconds(answer.headers.get("retry-after"), now=self._clock.now())
        seconds = max(_WHERE_NONE_IS_NAMED if wait is None else wait, _SHORTEST_PAUSE)
        self._pace.close_for(seconds)
        return Throttled(
            reasons.RATE_LIMITED, "The provider asks for a pause.", retry_after=seconds
        )

    async def close(self) -> None:
        """Let the connections go."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._addresses),
                use_dns_cache=False,
                ssl=self._tls,
                limit=4,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
        return self._session

    def _check_literal(self, url: str) -> None:
        """An address in the URL itself is not resolved by anyone, so it is checked here."""
        host = URL(url).host or ""
        try:
            permitted = self._addresses.permits(host)
        except ValueError:
            return
        if not permitted:
            raise Denied(reasons.ENDPOINT_REFUSED, _refusal(host))


class _EndpointRefused(OSError):
    """A name leads to none but forbidden addresses."""


class _CheckedResolver(AbstractResolver):
    """Gives no address that may not be connected to."""

    def __init__(self, addresses: AllowedAddresses) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        allowed = [entry for entry in found if self._addresses.permits(str(entry[4][0]))]
        if found and not allowed:
            raise _EndpointRefused(_refusal(host))
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, proto, _, address in allowed
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def _refusal(host: str) -> str:
    return (
        f"{host} is at a loopback or link-local address, which this installation's allowEndpoints "
        "does not name."
    )


def _sent(headers: Mapping[str, str], body: bytes | None) -> str:
    return "\n".join((*headers.values(), (body or b"").decode("utf-8", "replace")))


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise ValueError("the answer is too long")
    return bytes(body)


def _kind(error: Exception) -> str:
    """Why there is no answer, in a few words and without anything the other side sent."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate or TLS is not accepted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "the connection is refused"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "the connection broke off"
    return "the answer is not valid"


def _tls_context(ca_bundle: bytes | None) -> ssl.SSLContext:
    if ca_bundle:
        try:
            return ssl.create_default_context(cadata=ca_bundle.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            message = "caBundle holds no certificate that can be read."
            raise Refused(reasons.INVALID_SPEC, message, stalled=True) from None
    return ssl.create_default_context(cafile=certifi.where())
