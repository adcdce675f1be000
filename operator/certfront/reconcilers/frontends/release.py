"""Taking a frontend off its load balancer, bounded in time.

The manifest is written once more without anything in it, the nodes acknowledge that, then the
Secret goes, then the bundles that no manifest names, then the finalizer. Every step can be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from certfront.engine.store import Object
from certfront.kube.errors import NotFound
from certfront.kube.resources import SECRETS
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import Manifest
from certfront.loadbalancers.haproxy.watermark import Verdict, served
from certfront.loadbalancers.materials import source_of
from certfront.model.frontend import Frontend
from certfront.model.meta import ObjectName
from certfront.reconcilers import secrets
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends.handover import (
    bundle_name,
    manifest_name,
    read_manifest,
    secrets_of,
)
from certfront.reconcilers.frontends.leases import nodes_of
from certfront.reconcilers.stores import SECRET

PATIENCE = timedelta(seconds=60)
"""A node that is gone holds a release no longer than this."""

_AT_ONCE = 16


async def take_off(
    context: Context, target: ObjectName, frontend: Frontend, *, since: datetime
) -> bool:
    """Do the next step of the release that began at `since`; whether everything is gone.

    While it is not, nodes have still to acknowledge: call again when a Lease changes. Call it
    within the target's domain.
    """
    name = manifest_name(target, frontend.metadata.object_name)
    held = await context.known(SECRETS, target.namespace, name)
    if held is not None:
        manifest = read_manifest(held)
        if manifest is not None and manifest != handover.released(manifest):
            body = handover.manifest_secret(target, handover.released(manifest))
            held = await _written(context, body, held)
        if held is not None and not _acknowledged(context, target, held, since):
            return False
        if held is not None:
            await secrets.delete(context, held)
    sources = (
        source_of(entry, frontend.metadata.namespace) for entry in frontend.spec.certificates
    )
    await delete_bundles(context, target, {bundle_name(target, source) for source in sources})
    return True


def waited_for(context: Context, target: ObjectName, frontend: Frontend) -> tuple[str, ...]:
    """The nodes that have still to read that the frontend is taken off."""
    name = manifest_name(target, frontend.metadata.object_name)
    held = context.store.get(SECRET, target.namespace, name)
    return () if held is None else _verdict(context, target, held).waiting


async def withdraw(
    context: Context, target: ObjectName, frontend: ObjectName, keeps: frozenset[str]
) -> bool:
    """Take the hostnames off that are not among `keeps`; whether there was something to take.

    Call it within the target's domain.
    """
    held = await context.known(SECRETS, target.namespace, manifest_name(target, frontend))
    manifest = None if held is None else read_manifest(held)
    if manifest is None:
        return False
    wanted = handover.without(manifest, keeps)
    if wanted == manifest:
        return False
    await _written(context, handover.manifest_secret(target, wanted), held)
    return True


async def empty_or_delete(
    context: Context, target: ObjectName, secret: Object, *, since: datetime
) -> None:
    """One step towards the end of a manifest whose frontend is gone: empty it, then delete it."""
    manifest = read_manifest(secret)
    if manifest is None:
        return
    emptied = handover.released(manifest)
    if manifest != emptied:
        await _written(context, handover.manifest_secret(target, emptied), secret)
        return
    if _acknowledged(context, target, secret, since):
        await secrets.delete(context, secret)


async def delete_bundles(context: Context, target: ObjectName, names: Iterable[str]) -> None:
    """Delete those of the bundles `names` that no manifest of the load balancer names.

    The store only says which ones may be left over: before any is deleted, the manifests are read
    live. One that cannot be read could name them all, so everything stays then.
    """
    held = [context.store.get(SECRET, target.namespace, name) for name in sorted(set(names))]
    used = used_bundles(context, target)
    left = [one for one in held if one is not None and used is not None and _name(one) not in used]
    if not left:
        return
    confirmed = await _used_live(context, target)
    for bundle in left:
        if confirmed is not None and _name(bundle) not in confirmed:
            await secrets.delete(context, bundle)


def used_bundles(
    context: Context,
    target: ObjectName,
    read: Callable[[Object], Manifest | None] = read_manifest,
) -> set[str] | None:
    """The bundles that some known manifest of the load balancer names; `read` may remember.

    None if one of them cannot be read, which could name any.
    """
    return _named_in(map(read, secrets_of(context, target, "manifest")))


async def _used_live(context: Context, target: ObjectName) -> set[str] | None:
    """Like `used_bundles`, with the manifest of every frontend of the load balancer read anew."""
    names = {_name(secret) for secret in secrets_of(context, target, "manifest")}
    for key in context.indices.frontends_by_load_balancer.lookup(tuple(target)):
        names.add(manifest_name(target, ObjectName(key.namespace, key.name)))
    found: set[str] = set()
    wanted = sorted(names)
    for start in range(0, len(wanted), _AT_ONCE):
        read = await asyncio.gather(
            *(
                context.live(SECRETS, target.namespace, name)
                for name in wanted[start : start + _AT_ONCE]
            )
        )
        named = _named_in(read_manifest(secret) for secret in read if secret is not None)
        if named is None:
            return None
        found |= named
    return found


def _named_in(manifests: Iterable[Manifest | None]) -> set[str] | None:
    found: set[str] = set()
    for manifest in manifests:
        if manifest is None:
            return None
        found.update(manifest.bundles)
    return found


def _name(secret: Object) -> str:
    name: str = secret["metadata"]["name"]
    return name


async def _written(context: Context, body: Object, held: Object | None) -> Object | None:
    try:
        return await secrets.write(context, body, held)
    except NotFound:
        # The namespace of the load balancer is going, and the Secret with it.
        return None


def _acknowledged(context: Context, target: ObjectName, held: Object, since: datetime) -> bool:
    if context.clock.now() - since >= PATIENCE:
        return True
    verdict = _verdict(context, target, held)
    # A node that could not apply it has read it: what it omits is not waited for again.
    return verdict.state in ("Served", "Failed") or verdict.total == 0


def _verdict(context: Context, target: ObjectName, held: Object) -> Verdict:
    metadata = held["metadata"]
    return served(
        nodes_of(context, target),
        resource_version=metadata["resourceVersion"],
        secrets=frozenset((metadata["name"],)),
        min_nodes=1,
        now=context.clock.now(),
    )
