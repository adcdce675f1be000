"""The small HTTP servers of a process: health for the kubelet, metrics for a scraper."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Check = Callable[[], str]
"""Why something is not well, in a few words; empty if it is."""


def health(live: Check, ready: Check) -> web.Application:
    """/healthz and /readyz: 200, or 503 with the reason."""
    application = web.Application()
    application.router.add_get("/healthz", _probe(live))
    application.router.add_get("/readyz", _probe(ready))
    return application


def metrics(exposition: Callable[[], bytes]) -> web.Application:
    """/metrics in the text format."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(), content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.router.add_get("/metrics", answer)
    return application


@asynccontextmanager
async def served(application: web.Application, address: str) -> AsyncIterator[None]:
    """Serve on `host:port` while the context lasts; an empty address serves nothing."""
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
        yield
    finally:
        await runner.cleanup()


def _probe(check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_request: web.Request) -> web.StreamResponse:
        trouble = check()
        return web.Response(text=trouble or "ok", status=503 if trouble else 200)

    return answer
