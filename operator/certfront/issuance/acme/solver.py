"""The operator's own HTTP-01 challenge port (RFC 8555 section 8.3), an aiohttp application.

Every replica serves it: `External` routes reach it, and load balancers whose challenge rule leads
to it. Answers come from a callable over the reconcilers' store; a replica whose store has not yet
seen a token waits up to two seconds before it says 404.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from aiohttp import web

from certfront.model.clock import Clock

PATH: Final = "/.well-known/acme-challenge/"
WAIT_SECONDS: Final = 2.0
MOST_WAITING: Final = 256

_LOOK_SECONDS = 0.1
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")
_LONGEST_HOST = 261

Lookup = Callable[[str, str | None], str | None]
"""(token, host or None) to the key authorization, None where the store knows no such token.

The host is what the request named, normalised; after a redirect it is not the identifier, so it
may narrow an answer but should not be required.
"""


class ChallengePort:
    """Answers challenge requests; anything else is 404."""

    def __init__(self, lookup: Lookup, clock: Clock) -> None:
        self._lookup = lookup
        self._clock = clock
        self._waiting = 0

    def application(self) -> web.Application:
        """The application to serve on `solverAddress`."""
        application = web.Application(client_max_size=1)
        application.router.add_get(PATH + "{token}", self.answer)
        return application

    async def answer(self, request: web.Request) -> web.Response:
        """The key authorization of the token in the path, or 404."""
        token = request.match_info["token"]
        if not _TOKEN.fullmatch(token):
            return _absent()
        found = await self._look(token, challenge_host(request.headers.get("Host")))
        if found is None:
            return _absent()
        return web.Response(
            text=found, content_type="application/octet-stream", charset=None, headers=_HEADERS
        )

    async def _look(self, token: str, host: str | None) -> str | None:
        """Look now and, while few enough do, until two seconds have passed."""
        found = self._lookup(token, host)
        if found is not None or self._waiting >= MOST_WAITING:
            return found
        self._waiting += 1
        try:
            until = self._clock.monotonic() + WAIT_SECONDS
            while found is None and self._clock.monotonic() < until:
                await asyncio.sleep(_LOOK_SECONDS)
                found = self._lookup(token, host)
            return found
        finally:
            self._waiting -= 1


def challenge_host(header: str | None) -> str | None:
    """The host of a Host header: lower-case, without port, brackets and trailing dot."""
    if header is None or not 0 < len(header) <= _LONGEST_HOST:
        return None
    text = header.strip().lower()
    if text.startswith("["):
        host, bracket, _ = text[1:].partition("]")
        return host if bracket and host else None
    return text.partition(":")[0].rstrip(".") or None


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _absent() -> web.Response:
    return web.Response(status=404, text="no such challenge\n", headers=_HEADERS)
