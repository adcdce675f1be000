"""One watch over the load balancer's Secrets, which fills the inbox and never takes from it wrongly.

A list that succeeded replaces what is held; an error of any kind (network, RBAC, a revision that
is gone) changes nothing. Every few minutes the metadata is listed again: a restored etcd, or a
watch that went deaf, shows no other way. Used by `node`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

from certfront.agent.inbox import Inbox
from certfront.kube.backoff import Backoff
from certfront.kube.client import Listing, WatchEvent
from certfront.kube.errors import ApiError, Gone, Silent
from certfront.kube.resources import SECRETS, Resource
from certfront.loadbalancers.haproxy.handover import LOAD_BALANCER_LABEL
from certfront.model.clock import Clock

_log: Final = logging.getLogger(__name__)
_AUDIT_SECONDS: Final = 300.0


class SecretsClient(Protocol):
    """The calls of `certfront.kube.client.ApiClient` that are made here."""

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        """All objects, at one revision."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after a revision, until the server ends the watch."""
        ...


class Watcher:
    """Keeps `inbox` as the Secrets are, and calls `changed` whenever it has taken something."""

    def __init__(
        self,
        client: SecretsClient,
        clock: Clock,
        inbox: Inbox,
        *,
        namespace: str,
        load_balancer: str,
        changed: Callable[[], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._inbox = inbox
        self._namespace = namespace
        self._selector = f"{LOAD_BALANCER_LABEL}={load_balancer}"
        self._changed = changed
        self._audited_at = 0.0
        self._backoff = Backoff()

    async def run(self) -> None:
        """List and watch until cancelled, through every error."""
        listed = False
        while True:
            try:
                if not listed:
                    await self._list()
                    listed = True
                elif self._clock.monotonic() - self._audited_at > _AUDIT_SECONDS:
                    await self._audit()
                await self._watch()
            except (Gone, Silent):
                listed = False
            except ApiError as error:
                _log.warning("the Secrets cannot be read now, serving on: %s", error)
            await self._backoff.pause()

    async def _list(self) -> None:
        listing = await self._client.list(SECRETS, self._namespace, label_selector=self._selector)
        # Parsing takes milliseconds a pair: heartbeats go on meanwhile.
        await asyncio.to_thread(self._inbox.replace, listing.items, listing.resource_version)
        self._audited_at = self._clock.monotonic()
        self._changed()

    async def _audit(self) -> None:
        """Compare names and versions; a difference that the watch has missed means a new list."""
        listing = await self._client.list(
            SECRETS, self._namespace, label_selector=self._selector, metadata_only=True
        )
        self._audited_at = self._clock.monotonic()
        seen = {
            item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listing.items
        }
        went_back = _revision(listing.resource_version) < _revision(self._inbox.resource_version)
        if went_back or seen != self._inbox.versions():
            await self._list()

    async def _watch(self) -> None:
        version = self._inbox.resource_version
        watch = self._client.watch(
            SECRETS, self._namespace, resource_version=version, label_selector=self._selector
        )
        async with aclosing(watch) as events:
            async for kind, item in events:
                self._backoff.reset()
                await self._take(kind, item)

    async def _take(self, kind: str, item: Mapping[str, Any]) -> None:
        metadata = item["metadata"]
        if kind == "DELETED":
            self._inbox.drop(metadata["name"])
        elif kind != "BOOKMARK":
            self._inbox.put(item)
        self._inbox.reached(metadata["resourceVersion"])
        self._changed()


def _revision(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
