"""A small strict API server in this process, for what a real one does not do on request.

It refuses paths, content types, parameters and bodies that a real one would not take, and can be
told to be slow, to break off, to answer anything. `tests/integration/kube` has the real one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.merge_patch import merged

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Object = dict[str, Any]

_PLURALS = {
    "/api/v1": {"secrets", "namespaces"},
    "/apis/certfront.io/v1alpha1": {"certificates"},
    "/apis/coordination.k8s.io/v1": {"leases"},
    "/apis/events.k8s.io/v1": {"events"},
}
_PATCHES = {"application/merge-patch+json", "application/apply-patch+yaml"}


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class ApiServer:
    """Objects by path, and what was asked. Tests change the fields to script it."""

    url: str = ""
    revision: int = 100
    objects: dict[str, Object] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    script: list[Handler | None] = field(default_factory=list)
    """Handlers for the next requests, in order; None: answer as usual."""
    watch_lines: list[bytes] = field(default_factory=list)
    hang: asyncio.Event | None = None
    """If set, every request waits for it first."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                json.loads(body) if body else None,
            )
        )
        if self.hang is not None:
            await self.hang.wait()
        handler = self.script.pop(0) if self.script else None
        return await (handler or self.answer)(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        prefix = next((p for p in _PLURALS if request.path.startswith(p + "/")), None)
        if prefix is None:
            return status(404, "NotFound", "the server could not find the requested resource")
        parts = request.path.removeprefix(prefix + "/").split("/")
        if parts[0] == "namespaces" and len(parts) > 2:
            parts = parts[2:]
        if parts[0] not in _PLURALS[prefix] or len(parts) > 3:
            return status(404, "NotFound", "the server could not find the requested resource")
        if len(parts) == 1:
            return await self._collection(request)
        return await self._object(request, parts[2] if len(parts) == 3 else None)

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            body = self.asked[-1].body
            path = f"{request.path}/{body['metadata']['name']}"
            if request.content_type != "application/json" or "resourceVersion" in body["metadata"]:
                return status(400, "BadRequest", f"cannot read {body}")
            if path in self.objects:
                return status(409, "AlreadyExists", f"{path} already exists")
            return web.json_response(self.store(path, body), status=201)
        if request.query.get("watch") == "1":
            return await self._watch(request)
        plural = "/" + request.path.rsplit("/", 1)[1] + "/"
        everywhere = "/namespaces/" not in request.path
        found = [
            self.objects[path]
            for path in sorted(self.objects)
            if path.startswith(request.path + "/") or (everywhere and plural in path)
        ]
        start = int(request.query.get("continue", "0"))
        limit = int(request.query.get("limit", str(len(found) + 1)))
        page = found[start : start + limit]
        metadata = {"resourceVersion": str(self.revision)}
        if start + limit < len(found):
            metadata["continue"] = str(start + limit)
        if "as=PartialObjectMetadataList" in request.headers["Accept"]:
            page = [{"kind": "PartialObjectMetadata", "metadata": obj["metadata"]} for obj in page]
        return web.json_response({"kind": "SomeList", "metadata": metadata, "items": page})

    async def _object(self, request: web.Request, subresource: str | None) -> web.StreamResponse:
        path = request.path.removesuffix("/status")
        body = self.asked[-1].body
        held = self.objects.get(path)
        if request.method == "PATCH" and request.content_type not in _PATCHES:
            return status(415, "UnsupportedMediaType", "the body of the request")
        if request.content_type == "application/apply-patch+yaml" and held is None:
            return web.json_response(self.store(path, body), status=201)
        if held is None and request.method == "PUT" and "/leases/" in path:
            # As measured: a Lease may be created by PUT, so the missing uid is what is wrong.
            return status(409, "Conflict", "Precondition failed: UID in precondition")
        if held is None:
            return status(404, "NotFound", f"{path} not found")
        if request.method == "GET":
            return web.json_response(held)
        wanted = (body.get("metadata") or body.get("preconditions") or {}).get("resourceVersion")
        if wanted not in {None, held["metadata"]["resourceVersion"]}:
            return status(409, "Conflict", "the object has been modified")
        if request.method == "DELETE":
            del self.objects[path]
            return web.json_response({"kind": "Status", "status": "Success"})
        if request.method == "PUT":
            return web.json_response(self.store(path, body))
        if subresource == "status":
            body = {"status": body["status"]}
        return web.json_response(self.store(path, merged(held, body)))

    def store(self, path: str, body: Object) -> Object:
        """Put an object there with a new revision, and a uid if it is new."""
        self.revision += 1
        held = self.objects.get(path)
        uid = held["metadata"]["uid"] if held else f"uid-{self.revision}"
        metadata = body["metadata"] | {"resourceVersion": str(self.revision), "uid": uid}
        self.objects[path] = body | {"metadata": metadata}
        return self.objects[path]

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in self.watch_lines:
            await response.write(line)
        return response


def status(
    code: int,
    reason: str,
    message: str,
    *,
    details: Object | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """A Status object as the API server answers with."""
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason}
    body |= {"message": message, "details": details or {}}
    return web.json_response(body, status=code, headers=headers)


def answering(response: Callable[[], web.Response]) -> Handler:
    """A handler for `script` that gives this answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return response()

    return handle


def event(kind: str, obj: Object) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


@asynccontextmanager
async def serving() -> AsyncIterator[ApiServer]:
    """A running server on a free port of the loopback interface."""
    server = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        if server.hang is not None:
            server.hang.set()
        await runner.cleanup()


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.002)
