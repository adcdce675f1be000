"""A signed client of the emulated OVH API for its tests, which keeps every exchange."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from sandbox.emulators.ovh import OVH
from sandbox.emulators.ovh.signature import sign
from sandbox.emulators.server import Running, SteppedClock, serving

NAME = "loadbalancer-0123456789abcdef"
KEY, SECRET, CONSUMER = "app-key", "app-secret", "consumer-key"
CLIENT, CLIENT_SECRET = "EU.client", "client-secret"


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; `template` is the path below the service."""

    method: str
    template: str
    query: Mapping[str, str]
    body: Any
    status: int
    answer: Any


class Api:
    """Calls on the service of a running emulator; `exchanges` has all of them."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.url = running.url + "/1.0"
        self.emulator: OVH = running.emulator  # type: ignore[assignment] # it was made here
        self.exchanges: list[Exchange] = []
        self._session = session

    async def ask(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of a signed call on a path below the service."""
        status, answer, _ = await self.send(method, f"/ipLoadbalancing/{NAME}{path}", body, query)
        name = self.running.calls[-1].name.partition(" ")[2]
        template = "" if name == "/" else name
        self.exchanges.append(Exchange(method, template, query or {}, body, status, answer))
        return status, answer

    async def ok(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None
    ) -> Any:
        """The answer of a call that succeeds."""
        status, answer = await self.ask(method, path, body, query=query)
        assert status == 200, answer
        return answer

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> int:
        """The status of a call that is refused in the API's form."""
        status, answer = await self.ask(method, path, body, **more)
        assert status >= 400, answer
        assert answer["class"].partition("::")[0] == ("Server" if status >= 500 else "Client")
        assert answer["message"]
        return status

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        *,
        changed: Mapping[str, str | None] | None = None,
        signed_as: tuple[str, str, str] = (KEY, SECRET, CONSUMER),
        raw: bytes | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """A signed call on any path; `changed` headers are set, or left out when None."""
        key, secret, consumer = signed_as
        url = self.url + path
        if query:
            url += "?" + "&".join(f"{name}={value}" for name, value in query.items())
        data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        data = data if raw is None else raw
        timestamp = str(int(self.emulator.clock.now().timestamp()))
        given: dict[str, str | None] = {
            "X-Ovh-Application": key,
            "X-Ovh-Consumer": consumer,
            "X-Ovh-Timestamp": timestamp,
            "X-Ovh-Signature": sign(secret, consumer, method, url, data, timestamp),
            **({"Content-Type": "application/json"} if data else {}),
            **(changed or {}),
        }
        headers = {name: value for name, value in given.items() if value is not None}
        target = aiohttp.client.URL(url, encoded=True)
        async with self._session.request(method, target, data=data, headers=headers) as response:
            return response.status, json.loads(await response.read()), response.headers

    async def until_ended(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Move the clock until a task has ended; returns it."""
        for _ in range(100):
            shown = await self.ok("GET", f"/task/{task['id']}")
            if shown["status"] in ("done", "error", "cancelled"):
                return dict(shown)
            self.advance(5)
        raise AssertionError("the task does not end")

    async def apply(self) -> dict[str, Any]:
        """Refresh, and wait for its end."""
        done = await self.until_ended(await self.ok("POST", "/refresh", {}))
        await self.running.refresh()
        return done

    async def upload(self, pair: tuple[str, str], **more: str) -> dict[str, Any]:
        """Upload a certificate and its key."""
        body = {"certificate": pair[0], "key": pair[1], **more}
        return dict(await self.ok("POST", "/ssl", body))

    def advance(self, seconds: float) -> None:
        """Move the emulator's clock on."""
        assert isinstance(self.emulator.clock, SteppedClock)
        self.emulator.clock.advance(seconds)


@asynccontextmanager
async def running_api(**options: Any) -> AsyncIterator[Api]:
    """An emulator with known credentials, and a client of it."""
    emulator = OVH(
        clock=SteppedClock(),
        services=(NAME,),
        application_key=KEY,
        application_secret=SECRET,
        consumer_key=CONSUMER,
        client_id=CLIENT,
        client_secret=CLIENT_SECRET,
        **options,
    )
    async with serving(emulator) as running, aiohttp.ClientSession() as session:
        yield Api(running, session)
        assert running.failures == []
