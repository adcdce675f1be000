"""Writes of Secrets, each carrying what it was decided on.

Names of Secrets are chosen by users and may be taken by a foreign Secret at any moment: nothing is
ever written over, or deleted, but the very object that the decision was made from.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from certfront.engine.store import Object
from certfront.kube.errors import NotFound
from certfront.kube.resources import SECRETS
from certfront.reconcilers.context import Context
from certfront.reconcilers.stores import SECRET


async def create(context: Context, body: Mapping[str, Any]) -> Object:
    """Create the Secret; Conflict for whatever exists, ours included: then read and decide again.

    An unforced apply with resourceVersion 1 creates an absent object and answers 409 for any other.
    """
    metadata = {**body["metadata"], "resourceVersion": "1"}
    answer = await context.client.apply(SECRETS, {**body, "metadata": metadata}, force=False)
    context.learn(SECRET, answer)
    return answer


async def write(context: Context, body: Mapping[str, Any], held: Object | None) -> Object:
    """Create `body` (`held` None), or write it over the very Secret `held`, and over no other."""
    if held is None:
        return await create(context, body)
    metadata = held["metadata"]
    return await update(
        context, body, uid=metadata["uid"], resource_version=metadata["resourceVersion"]
    )


async def update(
    context: Context, body: Mapping[str, Any], *, uid: str, resource_version: str
) -> Object:
    """Apply over the Secret that was read, and over no other; Conflict where it has changed."""
    metadata = {**body["metadata"], "uid": uid, "resourceVersion": resource_version}
    answer = await context.client.apply(SECRETS, {**body, "metadata": metadata}, force=True)
    context.learn(SECRET, answer)
    return answer


async def delete(context: Context, secret: Object) -> None:
    """Delete the very Secret that was read; one that is gone already is as good."""
    metadata = secret["metadata"]
    with contextlib.suppress(NotFound):
        await context.client.delete(
            SECRETS,
            metadata["namespace"],
            metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
        )
    context.forget(SECRET, secret)
