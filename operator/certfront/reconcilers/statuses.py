"""The one way to write a status: compare, compare-and-set, and learn the answer."""

from typing import Any

from certfront.engine.store import Object
from certfront.kube.resources import Resource
from certfront.model.meta import Value, plain
from certfront.reconcilers.context import Context


async def write(context: Context, resource: Resource, obj: Object, status: Value) -> bool:
    """Make `status` the status of `obj`; whether it had to be written.

    Raises Conflict where the object has changed since it was read: then everything is decided again.
    """
    wanted, previous = _whole(status), obj.get("status") or {}
    if wanted == previous:
        return False
    metadata = obj["metadata"]
    answer = await context.client.patch_status(
        resource,
        metadata["namespace"],
        metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        status=wanted,
        previous=previous,
    )
    context.learn(resource.kind, answer)
    return True


def _whole(status: Value) -> dict[str, Any]:
    """Never without the observed generation, which is left out where it has its default."""
    return {"observedGeneration": -1, **plain(status)}
