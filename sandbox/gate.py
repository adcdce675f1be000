"""A gate before the API server and Pebble: it sees every external effect, and faults happen in it.

A process that is started with a door's address instead of the server's works as ever. Each request
that changes something is an :class:`Effect`; a :class:`Rule` may hold it, keep it from being
forwarded, or lose its answer, and meanwhile kill who asked. Watches may go deaf: the connection
stays, and what happens is swallowed. The gate lives in the process that makes it (a test), in a
thread of its own, with certificates of its own authority. It is no part of a sandbox by itself.
"""

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
from aiohttp import web

from sandbox.addresses import free_ports
from sandbox.cluster import write_private
from sandbox.errors import SandboxError
from sandbox.pki import Authority

_LARGEST_BODY = 64 * 2**20
_SECONDS = 30.0
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
# Of the connection, not of the request (RFC 9110 section 7.6.1); the length is computed again.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length"}


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One request that changes something outside; `number` counts from 1 over all doors."""

    number: int
    door: str
    method: str
    path: str

    def __str__(self) -> str:
        """Short, for a log."""
        return f"#{self.number} {self.door}: {self.method} {self.path}"


class Rule(Protocol):
    """What happens to effects. Both are called in a thread of the gate and may block."""

    def before(self, effect: Effect) -> bool:
        """Called before an effect is forwarded; False: it never is."""
        ...

    def after(self, effect: Effect) -> bool:
        """Called after it was done and before the answer returns; False: that is lost."""
        ...


class Open:
    """Lets everything through."""

    def before(self, effect: Effect) -> bool:  # noqa: ARG002 - the interface of a rule
        """Forward it."""
        return True

    def after(self, effect: Effect) -> bool:  # noqa: ARG002 - the interface of a rule
        """Answer it."""
        return True


OPEN = Open()


Changes = Callable[[str, str, bytes], bool]
"""Whether a request changes something, so that it is an effect: from its method, path and body."""


def changes_objects(method: str, path: str, body: bytes) -> bool:  # noqa: ARG001 - an interface
    """For the API server: every write but that of a Lease, which only time causes."""
    return method in _CHANGING and "/leases" not in path


def changes_orders(method: str, path: str, body: bytes) -> bool:  # noqa: ARG001 - an interface
    """For an ACME server: every POST with a payload; without one it reads (RFC 8555 section 6.3)."""
    if method != "POST":
        return False
    try:
        return bool(json.loads(body)["payload"])
    except (ValueError, KeyError, TypeError):
        return True


class Door:
    """One address that leads to one server."""

    def __init__(self, gate: "Gate", name: str, server: str, ca: str, changes: Changes) -> None:
        self.name = name
        self.address = f"{gate.address}:{free_ports(gate.address, 1)[0]}"
        self.url = f"https://{self.address}"
        self.rule: Rule = OPEN
        self.delay = 0.0
        self._gate = gate
        self._server = server
        self._changes = changes
        self._context = ssl.create_default_context(cafile=ca)
        self._deaf = False
        self._heard = asyncio.Event()
        self._heard.set()
        self._session: aiohttp.ClientSession | None = None
        self._swallowed = 0

    @property
    def swallowed(self) -> int:
        """How many events of watches were swallowed so far."""
        return self._swallowed

    def deafen(self) -> None:
        """Swallow from now on what watches say; the connections stay."""
        self._deaf = True
        self._gate.call(self._heard.clear)

    def hear(self) -> None:
        """Let watches speak again; what was swallowed stays lost to them."""
        self._deaf = False
        self._gate.call(self._heard.set)

    async def open(self, listening: ssl.SSLContext) -> Callable[[], Coroutine[Any, Any, None]]:
        """Listen; returns what closes the door."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._context)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS)
        session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, trust_env=False
        )
        self._session = session
        runner = web.ServerRunner(web.Server(self._pass, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        host, _, port = self.address.rpartition(":")
        await web.TCPSite(runner, host, int(port), ssl_context=listening).start()

        async def close() -> None:
            await session.close()
            await runner.cleanup()

        return close

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read(_LARGEST_BODY)
        while not request.content.at_eof():
            body += await request.content.read(_LARGEST_BODY)
        if self.delay:
            await asyncio.sleep(self.delay)
        if request.query.get("watch") in ("true", "1"):
            return await self._watch(request)
        if not self._changes(request.method, request.path, body):
            return await self._forwarded(request, body)
        effect = self._gate.count(self, request)
        rule = self.rule
        if not await self._gate.blocking(rule.before, effect):
            return self._dropped(request)
        answer = await self._forwarded(request, body)
        if not await self._gate.blocking(rule.after, effect):
            return self._dropped(request)
        return answer

    @staticmethod
    def _dropped(request: web.BaseRequest) -> web.Response:
        """Break the connection without an answer; what is returned reaches nobody."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _forwarded(self, request: web.BaseRequest, body: bytes) -> web.Response:
        try:
            async with self._asked(request, body) as answer:
                content = await answer.read()
                return web.Response(
                    status=answer.status, headers=_passing(answer.headers), body=content
                )
        except (aiohttp.ClientError, OSError):
            # As it would be without a gate: no answer at all.
            return self._dropped(request)

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass events on, line by line, or swallow them."""
        try:
            async with self._asked(request, b"") as answer:
                stream = web.StreamResponse(status=answer.status, headers=_passing(answer.headers))
                await stream.prepare(request)
                async for line in _lines(answer):
                    if self._deaf:
                        self._swallowed += 1
                    else:
                        await stream.write(line)
        except (aiohttp.ClientError, OSError):
            return self._dropped(request)
        # A deaf connection stays although the server has ended the watch.
        await self._heard.wait()
        return stream

    def _asked(self, request: web.BaseRequest, body: bytes) -> Any:
        if self._session is None:
            raise SandboxError("the door is not open")
        # Host stays: Pebble makes its URLs from it, and signed requests name them.
        return self._session.request(
            request.method,
            self._server + request.raw_path,
            headers=_passing(request.headers),
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "Accept-Encoding", "User-Agent"),
        )


class Gate:
    """Doors on one loopback address, and the effects that went through them. Close it at the end."""

    def __init__(self, address: str, directory: Path) -> None:
        self.address = address
        self.effects: list[Effect] = []
        authority = Authority("certfront sandbox gate", directory)
        self.ca = authority.path
        certificate, key = authority.issue("gate", "gate", addresses=(address,))
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        # A rule may hold many requests at the same time.
        self._rules = ThreadPoolExecutor(64, thread_name_prefix="gate-rule")
        self._closing: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self._thread.start()

    def door(self, name: str, server: str, ca: str, changes: Changes = changes_objects) -> Door:
        """Open a door to `server` (https://host:port), whose CA is the file `ca`."""
        door = Door(self, name, server, ca, changes)
        opened = asyncio.run_coroutine_threadsafe(door.open(self._context), self._loop)
        self._closing.append(opened.result(_SECONDS))
        return door

    def close(self) -> None:
        """Close all doors."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()
        self._rules.shutdown(wait=False, cancel_futures=True)

    async def _end(self) -> None:
        for each in self._closing:
            await each()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` in the gate's loop, soon."""
        self._loop.call_soon_threadsafe(function)

    def count(self, door: Door, request: web.BaseRequest) -> Effect:
        """The next effect."""
        effect = Effect(
            number=len(self.effects) + 1,
            door=door.name,
            method=request.method,
            path=request.path,
        )
        self.effects.append(effect)
        return effect

    async def blocking(self, decide: Callable[[Effect], bool], effect: Effect) -> bool:
        """Ask a rule, in a thread."""
        return await self._loop.run_in_executor(self._rules, decide, effect)


def kubeconfig_through(door: Door, ca: Path, original: str, path: Path) -> str:
    """Write a copy of the kubeconfig `original` that leads through `door`; returns its path."""
    content = json.loads(Path(original).read_bytes())
    cluster = content["clusters"][0]["cluster"]
    cluster["server"] = door.url
    cluster["certificate-authority-data"] = base64.b64encode(ca.read_bytes()).decode()
    return write_private(path, json.dumps(content).encode())


async def _lines(answer: aiohttp.ClientResponse) -> Any:
    buffer = b""
    async for chunk in answer.content.iter_any():
        buffer += chunk
        whole, newline, buffer = buffer.rpartition(b"\n")
        if newline:
            for line in whole.split(b"\n"):
                yield line + b"\n"
    if buffer:
        yield buffer


def _passing(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP]
