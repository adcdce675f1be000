"""A list, and a watch from where it ends, through every error: what a store is kept current by.

Used by `handlers` for the kinds that are not certfront's own. Deletions that a watch has missed are
not told: the sweep finds them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Literal

from certfront.kube.backoff import Backoff
from certfront.kube.client import ApiClient, Object
from certfront.kube.errors import ApiError, Gone, Silent
from certfront.kube.resources import Resource

_log: Final = logging.getLogger(__name__)

Change = Literal["ADDED", "MODIFIED", "DELETED"] | None
"""What became of an object; None for one of a list."""


async def follow(
    client: ApiClient, resource: Resource, namespace: str | None, label_selector: str | None
) -> AsyncGenerator[tuple[Change, Object], None]:
    """Every object of the kind (of the namespace) as of now, then every change, for ever.

    When the watch ends, by itself or by an error, it goes on from where it was after a pause. If the
    server no longer has that revision, or nothing was heard for longer than between two
    bookmarks (etcd may have been restored), everything is listed again.
    """
    backoff, version = Backoff(), ""
    while True:
        try:
            if not version:
                listing = await client.list(resource, namespace, label_selector=label_selector)
                for item in listing.items:
                    yield None, item
                version = listing.resource_version
            watch = client.watch(
                resource, namespace, resource_version=version, label_selector=label_selector
            )
            async with aclosing(watch) as events:
                async for change, obj in events:
                    version = obj["metadata"]["resourceVersion"]
                    backoff.reset()
                    if change != "BOOKMARK":
                        yield change, obj
        except (Gone, Silent):
            version = ""
        except ApiError as error:
            _log.warning("%s cannot be followed now: %s", resource.plural, error)
        await backoff.pause()
