"""The finalizers of a frontend and its load balancer: there before anything is installed."""

from __future__ import annotations

from certfront.engine.store import Object
from certfront.kube.resources import FRONTENDS, LOADBALANCERS, Resource
from certfront.model.meta import FINALIZER, ObjectName
from certfront.reconcilers.context import Context


async def ensure(context: Context, raw: Object, target: ObjectName) -> Object:
    """Set both; the answer is the frontend as written."""
    balancer = await context.known(LOADBALANCERS, *target)
    if balancer is not None:
        await _with_finalizer(context, LOADBALANCERS, balancer)
    return await _with_finalizer(context, FRONTENDS, raw)


async def _with_finalizer(context: Context, resource: Resource, raw: Object) -> Object:
    metadata = raw["metadata"]
    finalizers = metadata.get("finalizers") or []
    if FINALIZER in finalizers:
        return raw
    answer = await context.client.patch_finalizers(
        resource,
        metadata["namespace"],
        metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        finalizers=[*finalizers, FINALIZER],
    )
    context.learn(resource.kind, answer)
    return answer
