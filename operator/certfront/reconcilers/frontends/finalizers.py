"""The finalizers of frontends and load balancers: there before anything is installed, gone after it."""

from __future__ import annotations

from certfront.engine.store import Object
from certfront.kube.errors import NotFound
from certfront.kube.resources import FRONTENDS, LOADBALANCERS, Resource
from certfront.model.meta import FINALIZER, ObjectName
from certfront.reconcilers.context import Context


async def ensure(context: Context, raw: Object, target: ObjectName) -> Object:
    """Set both; the answer is the frontend as written."""
    balancer = await context.known(LOADBALANCERS, *target)
    if balancer is not None:
        await _with_finalizer(context, LOADBALANCERS, balancer)
    return await _with_finalizer(context, FRONTENDS, raw)


async def drop(context: Context, resource: Resource, raw: Object) -> Object:
    """Let the object go; the answer is the object as written."""
    metadata = raw["metadata"]
    finalizers = metadata.get("finalizers") or []
    if FINALIZER not in finalizers:
        return raw
    kept = [finalizer for finalizer in finalizers if finalizer != FINALIZER]
    try:
        answer = await context.client.patch_finalizers(
            resource,
            metadata["namespace"],
            metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            finalizers=kept,
        )
    except NotFound:
        context.forget(resource.kind, raw)
        return raw
    if metadata.get("deletionTimestamp") and not kept:
        # That was the last one: the object is gone with this answer.
        context.forget(resource.kind, raw)
    else:
        context.learn(resource.kind, answer)
    return answer


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
