"""What an emulated balancer serves: ports that open and close with its state, certificates by SNI.

An emulator says what is served now as :class:`Offer` values; :class:`Fronts` (used by
:mod:`.server`) keeps the ports in step with them. A handshake reaches the certificate that the
offer names at that moment: nothing is cached but the parsed form of a pair.
"""

import asyncio
import hashlib
import logging
import ssl
import tempfile
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from aiohttp import web

logger = logging.getLogger(__name__)

Pair = tuple[str, str]
"""A chain (leaf first) and its private key, both PEM."""

_HANDSHAKE_SECONDS = 10
_CLOSING_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a front answers to one HTTP request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One port of the emulated balancer, as it is now.

    `certificate` takes the server name of the handshake (lower case, None where the client sent
    none) and returns a pair, several pairs of different key types, or None, which refuses the
    handshake with `unrecognized_name`. `answer` takes host, path (with its query) and headers of a
    request; without it the front answers 200 with the emulator's name. One offer for each port:
    of several the first counts.
    """

    port: int
    tls: bool
    certificate: Callable[[str | None], Pair | Sequence[Pair] | None] = lambda _name: None
    answer: Callable[[str, str, Mapping[str, str]], Answer] | None = None


def covers(patterns: Iterable[str], host: str) -> bool:
    """Whether one of a certificate's names is `host` or its one-label wildcard (RFC 6125 6.4.3)."""
    wildcard = "*." + host.partition(".")[2]
    return any(pattern.lower() in (host, wildcard) for pattern in patterns)


def server_context(*pairs: Pair) -> ssl.SSLContext:
    """A server's context with these pairs; raises ssl.SSLError where OpenSSL takes one not.

    OpenSSL checks that the key belongs to the leaf, and never asks for a passphrase here.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="certfront-emulator-") as directory:
        for number, (chain, key) in enumerate(pairs):
            path = Path(directory, f"{number}.pem")
            path.touch(mode=0o600)
            path.write_text(chain.rstrip("\n") + "\n" + key)
            context.load_cert_chain(path, password=lambda: b"")
    return context


class Fronts:
    """The open ports of one emulator."""

    def __init__(self, name: str, host: str, offers: Callable[[], Iterable[Offer]]) -> None:
        self._name = name
        self._host = host
        self._offers = offers
        self._open: dict[int, _Front] = {}
        self._refreshing = asyncio.Lock()
        self.problems: dict[int, str] = {}
        """Ports that could not be opened, and why; tried again at every refresh."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are open now."""
        return tuple(sorted(self._open))

    async def refresh(self) -> None:
        """Open what is newly offered, close what no longer is, and take the offers as they are."""
        async with self._refreshing:
            wanted: dict[int, Offer] = {}
            for offer in self._offers():
                wanted.setdefault(offer.port, offer)
            for port, front in list(self._open.items()):
                offered = wanted.get(port)
                if offered is None or offered.tls != front.offer.tls:
                    del self._open[port]
                    await front.close()
                else:
                    front.offer = offered
            self.problems = {port: why for port, why in self.problems.items() if port in wanted}
            for port, offer in wanted.items():
                if port not in self._open:
                    await self._listen(port, offer)

    async def close(self) -> None:
        """Close every port."""
        async with self._refreshing:
            for front in self._open.values():
                await front.close()
            self._open.clear()

    async def _listen(self, port: int, offer: Offer) -> None:
        front = _Front(self._name, offer)
        try:
            await front.listen(self._host)
        except OSError as error:
            if port not in self.problems:
                logger.warning("port %s:%s cannot be opened: %s", self._host, port, error)
            self.problems[port] = str(error)
        else:
            self.problems.pop(port, None)
            self._open[port] = front


class _Front:
    """One listening port."""

    def __init__(self, name: str, offer: Offer) -> None:
        self._name = name
        self.offer = offer
        self._server = web.Server(self._respond, access_log=None)
        self._listening: asyncio.Server | None = None
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    async def listen(self, host: str) -> None:
        make = self._tls_protocol if self.offer.tls else self._server
        self._listening = await asyncio.get_running_loop().create_server(
            make, host, self.offer.port
        )

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._server.shutdown(_CLOSING_SECONDS)

    def _tls_protocol(self) -> asyncio.BaseProtocol:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._choose
        return _AlertingProtocol(
            asyncio.get_running_loop(),
            self._server(),
            context,
            None,  # type: ignore[arg-type] # nobody waits for a server's handshake; typeshed wants one
            server_side=True,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
        )

    def _choose(
        self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        """Give the connection the context of its server name, or refuse it with an alert."""
        try:
            found = self.offer.certificate(name.lower() if name else None)
            if not found:
                return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
            connection.context = self._context_of(_as_pairs(found))
        except Exception as error:  # noqa: BLE001 - it would vanish in OpenSSL; the text may hold a key
            logger.error("no certificate could be served: %s", type(error).__name__)
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        return None

    def _context_of(self, pairs: Sequence[Pair]) -> ssl.SSLContext:
        digest = hashlib.sha256("\0".join(part for pair in pairs for part in pair).encode())
        context = self._contexts.get(digest.digest())
        if context is None:
            context = self._contexts[digest.digest()] = server_context(*pairs)
        return context

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.offer.answer is None:
            return web.Response(text=f"{self._name}\n")
        answer = self.offer.answer(
            request.host.partition(":")[0].lower(), request.path_qs, dict(request.headers)
        )
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body.encode())


class _AlertingProtocol(SSLProtocol):
    """asyncio's TLS, but a refused handshake ends with the alert that OpenSSL wrote.

    asyncio drops the connection before the alert is sent: the client would see a broken
    connection where a balancer tells it `unrecognized_name` or `handshake_failure`.
    """

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if isinstance(handshake_exc, ssl.SSLError):
            self._process_outgoing()  # type: ignore[attr-defined] # typeshed has 3.10's class
        super()._on_handshake_complete(handshake_exc)


def _as_pairs(found: Pair | Sequence[Pair]) -> Sequence[Pair]:
    """Several pairs, whichever way the offer gave them."""
    if isinstance(found[0], str):
        return [cast("Pair", found)]
    return cast("Sequence[Pair]", found)
