"""A list, and a watch from where it ends, through every error: what a store is kept current by.

Used by `handlers` for the kinds that are not certfront's own. Deletions that a watch has missed are
not told: the sweep finds them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Literal

from certfront.kube.client import ApiClient, Object
from certfront.kube.errors import ApiError, Gone, Silent
from certfront.kube.resources import Resource

_log: Final = logging.getLogger(__name__)
_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 20.0

Change = Literal["ADDED", "MODIFIED", "DELETED"] | None
"""What became of an object; None for one of a list."""


async def follow(
    client: ApiClient, resource: Resource, namespace: str | None, label_selector: str | None
) -> AsyncGenerator[tuple[Change, Object], None]:
    """Every object of the kind (of the namespace) as of now, then every change, for ever.

    After an error the watch goes on from where it was, after 0.5 s doubling to 20 s with jitter. If
    the server no longer has that revision, or nothing was heard for longer than between two
    bookmarks (etcd may have been restored), everything is listed again.
    """
    pause, version = _SHORTEST_PAUSE, ""
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
                    version, pause = obj["metadata"]["resourceVersion"], _SHORTEST_PAUSE
                    if change != "BOOKMARK":
                        yield change, obj
            continue
        except (Gone, Silent):
            version = ""
        except ApiError as error:
            _log.warning("%s cannot be followed now: %s", resource.plural, error)
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        pause = min(pause * 2, _LONGEST_PAUSE)
