"""Live reads of the kinds that are watched, for the sweep (it fits `certfront.engine.sweep.Source`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from certfront.kube.client import ApiClient, Listing, Object
from certfront.kube.errors import NotFound
from certfront.kube.resources import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is watched of a kind: where (`namespaces`; empty: everywhere) and with which labels."""

    resource: Resource
    namespaces: tuple[str, ...] = ()
    label_selector: str | None = None


class LiveSource:
    """Reads by the client, for each kind as it is watched."""

    def __init__(self, client: ApiClient, watched: Mapping[str, Watched]) -> None:
        self._client = client
        self._watched = dict(watched)

    async def list_metadata(self, kind: str) -> Listing:
        """The metadata of all objects of the kind; of several namespaces, at the oldest revision."""
        watched = self._watched[kind]
        listings = [
            await self._client.list(
                watched.resource,
                namespace,
                label_selector=watched.label_selector,
                metadata_only=True,
            )
            for namespace in watched.namespaces or (None,)
        ]
        items = [item for listing in listings for item in listing.items]
        # The oldest: a later change in a namespace listed early must not look like lost history.
        oldest = min(listings, key=lambda listing: int(listing.resource_version or 0))
        return Listing(items, oldest.resource_version)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object as it is now, or None."""
        try:
            return await self._client.get(self._watched[kind].resource, namespace or None, name)
        except NotFound:
            return None
