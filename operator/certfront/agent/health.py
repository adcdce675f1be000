"""/healthz and /readyz of the agent, for the kubelet and for load balancers in front of the node.

Readiness follows the node's own handshakes, not the API server: a node that serves from disk while
the API server is away is ready. Used by `node`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

__all__ = ["parse_address", "serving"]


def parse_address(text: str) -> tuple[str, int]:
    """`host:port`, an IPv6 address in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("an address is like 127.0.0.1:9000")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by an empty host


@asynccontextmanager
async def serving(
    address: str, *, alive: Callable[[], bool], not_ready: Callable[[], str | None]
) -> AsyncIterator[None]:
    """Answer while the context lasts; an empty address means no endpoint.

    /healthz is 200 while `alive`, else 500; /readyz is 200 unless `not_ready` gives a reason.
    """
    if not address:
        yield
        return
    application = web.Application(client_max_size=1024)

    async def healthz(_: web.Request) -> web.Response:
        return _answer(None if alive() else "no progress", 500)

    async def readyz(_: web.Request) -> web.Response:
        return _answer(not_ready(), 503)

    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, *parse_address(address)).start()
        yield
    finally:
        await runner.cleanup()


def _answer(problem: str | None, status: int) -> web.Response:
    if problem is None:
        return web.Response(text="ok\n")
    return web.Response(text=f"{problem}\n", status=status)
