"""What all emulators share: the server around one, its journal, its faults and its control API.

An emulator is a subclass of :class:`Emulator` with the provider's routes; :func:`serving` runs it.
Every request to it passes one middleware, which reads the body (bounded), lets an armed
:class:`Fault` happen, acts, refreshes the fronts of :mod:`.tls` and journals the call. Another
process steers it below `/_control/` (:mod:`.control`), which no provider's API has.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import random
import re
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from sandbox.emulators.tls import Fronts, Offer

logger = logging.getLogger(__name__)

BODY = web.RequestKey("body", bytes)
"""Where a request carries its body, already read: `request[BODY]` is bytes."""

_CONTROL = "/_control/"
_REFRESH_SECONDS = 0.25
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock(Protocol):
    """Where an emulator's time comes from."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""


@runtime_checkable
class AdvancingClock(Clock, Protocol):
    """A clock that tests may move."""

    def advance(self, seconds: float) -> None:
        """Move the time on."""


class SteppedClock:
    """Real time, which never goes back, plus what was added."""

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._since = time.monotonic()
        self._added = 0.0

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return self._started + timedelta(seconds=time.monotonic() - self._since + self._added)

    def advance(self, seconds: float) -> None:
        """Move the time on; only forwards."""
        if seconds < 0:
            raise ValueError("the clock only goes forwards")
        self._added += seconds


class StoppedClock:
    """A time that only tests move."""

    def __init__(self, at: datetime) -> None:
        self._now = at

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time on; only forwards."""
        if seconds < 0:
            raise ValueError("the clock only goes forwards")
        self._now += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with the requests that match, `times` times (0: until cleared).

    `path` is a regular expression for the whole path or the whole name of the call. `skip` matching
    requests pass before it. `latency` delays a request that then goes on (to further faults, too);
    `status` and `html` answer instead of acting; `lost` acts and cuts the connection before the
    answer; `reset` cuts it before acting.
    """

    method: str = ""
    path: str = ""
    times: int = 1
    skip: int = 0
    kind: Literal["latency", "status", "lost", "reset", "html"] = "status"
    seconds: float = 0.0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One answered request of the journal; status 0 where the answer was lost."""

    method: str
    path: str
    status: int
    at: str
    name: str = ""


class Faults:
    """The faults that are armed, in the order in which they were."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def arm(self, fault: Fault) -> None:
        """Arm one more; raises ValueError when its path is no regular expression."""
        try:
            pattern = re.compile(fault.path) if fault.path else None
        except re.error as error:
            raise ValueError(f"the path of a fault is no regular expression: {error}") from error
        self._armed.append(_Armed(fault, pattern, fault.skip, fault.times))

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def take(self, method: str, path: str, name: str) -> list[Fault]:
        """What happens to this request: any latencies, then at most one fault of another kind."""
        taken: list[Fault] = []
        for armed in list(self._armed):
            if not armed.matches(method, path, name):
                continue
            if armed.skip > 0:
                armed.skip -= 1
                continue
            taken.append(armed.fault)
            if armed.left == 1:
                self._armed.remove(armed)
            armed.left -= 1
            if armed.fault.kind != "latency":
                break
        return taken


@dataclass(slots=True, eq=False)
class _Armed:
    fault: Fault
    pattern: re.Pattern[str] | None
    skip: int
    left: int

    def matches(self, method: str, path: str, name: str) -> bool:
        if self.fault.method and self.fault.method.upper() != method:
            return False
        pattern = self.pattern
        return pattern is None or any(pattern.fullmatch(text) for text in (path, name))


class Emulator(ABC):
    """A provider's API.

    A subclass adds its options as keywords with a default and an annotation (`Annotated[float,
    "what it is"]`, numbers, strings, booleans, Literal, tuples of them, `Mapping[str, str | int]`):
    :mod:`sandbox.emulators.__main__` makes flags of them.
    """

    name: ClassVar[str]
    largest_body: ClassVar[int] = 1 << 20
    """Bytes of a request body; beyond it, `too_large` answers."""

    def __init__(self, *, clock: Clock, front: str = "127.0.0.1", seed: int = 0) -> None:
        self.clock = clock
        self.front = front
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """The provider's API; anything else is answered by `unknown`."""

    @abstractmethod
    def unknown(self, request: web.Request) -> web.Response:
        """The provider's own answer to an unknown path (404) or method (405).

        `request.match_info.http_exception` tells which.
        """

    def too_large(self, request: web.Request) -> web.Response:  # noqa: ARG002 - for subclasses
        """The provider's answer to a body that is too large."""
        return web.Response(status=413, text="the body is too large\n")

    def offers(self) -> Iterable[Offer]:
        """What is served now; asked after every call and several times a second."""
        return ()

    def snapshot(self) -> Any:
        """The state as JSON, without private keys and credentials."""
        return {}

    def identify(self, request: web.Request) -> str:
        """The call's name for the journal and for faults; the body is in `request[BODY]`."""
        return request.path

    def steer(self, what: str, value: Any) -> None:  # noqa: ARG002 - for subclasses
        """Do what no API call does: change an option, or an object behind the client's back.

        Raises LookupError for what it does not know, ValueError or TypeError for a wrong value.
        """
        raise LookupError(f"{self.name} cannot be steered to {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An emulator that is being served."""

    url: str
    emulator: Emulator
    calls: list[Call]
    faults: Faults
    clock: Clock
    fronts: Fronts
    failures: list[str]
    """Exceptions of the emulator itself, by their type's name: a fault of it, not of the client."""

    async def refresh(self) -> None:
        """Bring the fronts in step with the state now."""
        await self.fronts.refresh()


@asynccontextmanager
async def serving(
    emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Running]:
    """Serve `emulator` with its control API and fronts until the block is left (port 0: a free one).

    Raises OSError where its API or a port that it offers from the start cannot be opened.
    """
    server = _Server(emulator)
    application = web.Application(
        middlewares=[server.middleware], client_max_size=emulator.largest_body
    )
    application.add_routes(server.control_routes())
    application.add_routes(list(emulator.routes()))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    ticking: asyncio.Task[None] | None = None
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0][1]
        await server.fronts.refresh()
        if server.fronts.problems:
            raise OSError(f"ports cannot be opened: {server.fronts.problems}")
        ticking = asyncio.create_task(server.keep_fronts())
        yield Running(
            url=f"http://{host}:{bound}",
            emulator=emulator,
            calls=server.calls,
            faults=server.faults,
            clock=emulator.clock,
            fronts=server.fronts,
            failures=server.failures,
        )
    finally:
        if ticking is not None:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
        await runner.cleanup()
        await server.fronts.close()


class BadBody(ValueError):
    """A request body that is no JSON object; its text says why and holds nothing of the body."""


def json_object(request: web.Request) -> dict[str, Any]:
    """The request's body as a JSON object; raises BadBody, also for a member given twice."""
    try:
        value = json.loads(request[BODY].decode("utf-8"), object_pairs_hook=_members)
    except BadBody:
        raise
    except (ValueError, RecursionError):
        raise BadBody("the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadBody("the body is not a JSON object")
    return value


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds: 2026-11-24T20:48:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadBody("a member is given twice")
    return members


class _Server:
    """The middleware and control API around one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.calls: list[Call] = []
        self.faults = Faults()
        self.fronts = Fronts(emulator.name, emulator.front, emulator.offers)
        self.failures: list[str] = []

    @property
    def middleware(self) -> Middleware:
        """Everything that happens around a call."""

        @web.middleware
        async def around(request: web.Request, handler: _Handler) -> web.StreamResponse:
            return await self._pass(request, handler)

        return around

    async def keep_fronts(self) -> None:
        """Refresh the fronts for what changes by time alone."""
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                await self.fronts.refresh()
            except Exception as error:  # noqa: BLE001 - the next refresh may work; tests see it
                self._failed(error)

    async def _pass(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path.startswith(_CONTROL):
            return await handler(request)
        request[BODY] = b""
        try:
            request[BODY] = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._journal(request, self.emulator.too_large(request))
        name = self._name(request)
        faults = self.faults.take(request.method, request.path, name)
        for fault in faults:
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds)
        kind = faults[-1].kind if faults else "latency"
        if kind == "reset":
            return self._cut(request, name)
        if kind in ("status", "html"):
            return self._journal(request, _instead(faults[-1]), name)
        response = await self._act(request, handler)
        if kind == "lost":
            return self._cut(request, name)
        return self._journal(request, response, name)

    def _name(self, request: web.Request) -> str:
        try:
            return self.emulator.identify(request)
        except Exception as error:  # noqa: BLE001 - a body that it cannot name is still to be answered
            self._failed(error)
            return request.path

    async def _act(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            if request.match_info.http_exception is not None:
                response = self.emulator.unknown(request)
            else:
                response = await handler(request)
            await self.fronts.refresh()
        except web.HTTPException as answer:
            return web.Response(status=answer.status, headers=answer.headers, text=answer.text)
        except Exception as error:  # noqa: BLE001 - answered and shown as the emulator's own failure
            self._failed(error)
            return web.Response(status=500, text=f"the emulator failed: {type(error).__name__}\n")
        return response

    def _failed(self, error: Exception) -> None:
        """Record where it failed, without its text, which may quote a request."""
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame else "?"
        self.failures.append(f"{type(error).__name__} in {where}")
        logger.error("%s failed: %s", self.emulator.name, self.failures[-1])

    def _journal(
        self, request: web.Request, response: web.StreamResponse, name: str = ""
    ) -> web.StreamResponse:
        self._note(request, response.status, name)
        return response

    def _note(self, request: web.Request, status: int, name: str) -> None:
        at = timestamp(self.emulator.clock.now())
        call = Call(method=request.method, path=request.path, status=status, at=at, name=name)
        self.calls.append(call)

    def _cut(self, request: web.Request, name: str) -> web.StreamResponse:
        """Close the connection with a reset, so that no client can take it for an empty answer."""
        self._note(request, 0, name)
        transport = request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        return web.Response(status=500)

    def control_routes(self) -> list[web.RouteDef]:
        """The control API."""
        return [
            web.get(_CONTROL + "ready", self._get_ready),
            web.get(_CONTROL + "calls", self._get_calls),
            web.delete(_CONTROL + "calls", self._delete_calls),
            web.post(_CONTROL + "faults", self._post_fault),
            web.delete(_CONTROL + "faults", self._delete_faults),
            web.post(_CONTROL + "clock", self._post_clock),
            web.post(_CONTROL + "steer", self._post_steer),
            web.get(_CONTROL + "state", self._get_state),
        ]

    async def _get_ready(self, _request: web.Request) -> web.Response:
        problems = {str(port): why for port, why in self.fronts.problems.items()}
        return web.json_response(
            {
                "name": self.emulator.name,
                "now": timestamp(self.emulator.clock.now()),
                "fronts": list(self.fronts.ports),
                "problems": problems,
                "failures": self.failures,
            }
        )

    async def _get_calls(self, _request: web.Request) -> web.Response:
        return web.json_response([dataclasses.asdict(call) for call in self.calls])

    async def _delete_calls(self, _request: web.Request) -> web.Response:
        self.calls.clear()
        return web.json_response({})

    async def _post_fault(self, request: web.Request) -> web.Response:
        given = await _control_object(request)
        unknown = given.keys() - {item.name for item in dataclasses.fields(Fault)}
        if unknown:
            raise web.HTTPBadRequest(text=f"unknown: {', '.join(sorted(unknown))}\n")
        try:
            self.faults.arm(msgspec.convert(given, Fault))
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return web.json_response({})

    async def _delete_faults(self, _request: web.Request) -> web.Response:
        self.faults.clear()
        return web.json_response({})

    async def _post_clock(self, request: web.Request) -> web.Response:
        given = await _control_object(request)
        clock = self.emulator.clock
        if not isinstance(clock, AdvancingClock):
            raise web.HTTPConflict(text="this clock cannot be moved\n")
        try:
            clock.advance(float(given["advance"]))
        except (KeyError, TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text='give {"advance": seconds}, forwards\n') from error
        await self.fronts.refresh()
        return web.json_response({"now": timestamp(clock.now())})

    async def _post_steer(self, request: web.Request) -> web.Response:
        given = await _control_object(request)
        try:
            self.emulator.steer(str(given["what"]), given.get("value"))
        except LookupError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from error
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        await self.fronts.refresh()
        return web.json_response({})

    async def _get_state(self, _request: web.Request) -> web.Response:
        return web.json_response(self.emulator.snapshot())


def _instead(fault: Fault) -> web.Response:
    """The answer of a fault of the kinds that answer."""
    headers = dict(fault.headers)
    if "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "text/html" if fault.kind == "html" else "application/json"
    body = fault.body
    if fault.kind == "html" and not body:
        body = f"<html><body><h1>{fault.status}</h1></body></html>"
    return web.Response(status=fault.status, headers=headers, body=body.encode())


async def _control_object(request: web.Request) -> dict[str, Any]:
    request[BODY] = await request.read()
    try:
        return json_object(request)
    except BadBody as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
