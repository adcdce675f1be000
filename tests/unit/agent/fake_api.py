"""Secrets and Leases in memory, with the calls of `ApiClient` that the agent makes."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from certfront.kube.client import Listing, WatchEvent
from certfront.kube.errors import ApiError, Forbidden, Gone, NotFound, Unreachable
from certfront.kube.resources import LEASES, SECRETS, Resource
from certfront.loadbalancers.haproxy.watermark import NodeLease, node_lease


class FakeApi:
    """One namespace. `fail` makes every call raise; watches are cut then."""

    def __init__(self) -> None:
        self.revision = 1000
        self.secrets: dict[str, dict[str, Any]] = {}
        self.leases: dict[str, dict[str, Any]] = {}
        self.fail: type[ApiError] | None = None
        self.lists = 0
        self.refused = 0
        self._watches: list[asyncio.Queue[WatchEvent | None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    # --- what tests do

    def put(self, secret: dict[str, Any], *, silently: bool = False) -> None:
        name = secret["metadata"]["name"]
        kind = "MODIFIED" if name in self.secrets else "ADDED"
        self.secrets[name] = self._stamped(secret)
        if not silently:
            self._tell((kind, copy.deepcopy(self.secrets[name])))  # type: ignore[arg-type]

    def delete_secret(self, name: str) -> None:
        gone = self._stamped(self.secrets.pop(name))
        self._tell(("DELETED", gone))

    def outage(self, error: type[ApiError] | None) -> None:
        self.fail = error
        for watch in self._watches:
            watch.put_nowait(None)

    def node(self, name: str = "node-1") -> NodeLease | None:
        lease = self.leases.get(f"haproxy.{name}")
        return node_lease("haproxy", lease) if lease is not None else None

    # --- what the agent calls

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        self._check()
        assert (resource, namespace) == (SECRETS, "edge")
        assert label_selector == "certfront.io/load-balancer=haproxy"
        self.lists += 1
        items = [copy.deepcopy(one) for one in self.secrets.values()]
        if metadata_only:
            items = [{"metadata": one["metadata"]} for one in items]
        return Listing(items, str(self.revision))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str | None = None,
    ) -> AsyncIterator[WatchEvent]:
        self._check()
        assert (resource, namespace) == (SECRETS, "edge")
        assert label_selector == "certfront.io/load-balancer=haproxy"
        if int(resource_version) > self.revision:
            raise Gone(410, "Expired", "too large resource version")
        events: asyncio.Queue[WatchEvent | None] = asyncio.Queue()
        self._watches.append(events)
        try:
            for secret in self.secrets.values():
                if int(secret["metadata"]["resourceVersion"]) > int(resource_version):
                    yield ("ADDED", copy.deepcopy(secret))
            while (event := await events.get()) is not None:
                yield event
            self._check()
        finally:
            self._watches.remove(events)

    async def get(
        self, resource: Resource, namespace: str | None, name: str, **_: Any
    ) -> dict[str, Any]:
        self._check()
        assert (resource, namespace) == (LEASES, "edge")
        try:
            return copy.deepcopy(self.leases[name])
        except KeyError:
            raise NotFound(404, "NotFound", name) from None

    async def create(self, resource: Resource, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        return await self.update(resource, body)

    async def update(self, resource: Resource, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self._check()
        assert resource == LEASES
        name = body["metadata"]["name"]
        self.leases[name] = self._stamped(body)
        self.leases[name]["metadata"]["uid"] = "uid"
        return copy.deepcopy(self.leases[name])

    async def delete(self, resource: Resource, namespace: str, name: str, **_: Any) -> None:
        self._check()
        assert (resource, namespace) == (LEASES, "edge")
        self.leases.pop(name, None)

    def _check(self) -> None:
        self.refused += self.fail is not None
        if self.fail is Forbidden:
            raise Forbidden(403, "Forbidden", "no")
        if self.fail is not None:
            raise Unreachable(0, "", "down")

    def _tell(self, event: WatchEvent) -> None:
        for watch in self._watches:
            watch.put_nowait(event)

    def _stamped(self, body: dict[str, Any]) -> dict[str, Any]:
        self.revision += 1
        stamped = copy.deepcopy(body)
        stamped["metadata"]["resourceVersion"] = str(self.revision)
        return stamped
