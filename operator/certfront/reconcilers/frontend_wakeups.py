"""Which frontends a change of a handed-over Secret concerns: few, however many share a balancer.

Pure look-ups for `wakeups`; without them every bundle that is written would wake every frontend of
the load balancer.
"""

from __future__ import annotations

from collections.abc import Iterator

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.loadbalancers.haproxy import handover
from certfront.reconcilers.stores import FRONTEND, Indices

__all__ = ["of_handed_over"]


def of_handed_over(indices: Indices, secret: Object) -> Iterator[Key]:
    """The frontends behind a manifest or bundle; none for a challenge or any other Secret."""
    metadata = secret["metadata"]
    match (metadata.get("labels") or {}).get(handover.ROLE_LABEL):
        case "manifest":
            yield from _of_manifest(secret)
        case "bundle":
            source = (metadata.get("annotations") or {}).get(handover.CERTIFICATE_ANNOTATION, "")
            yield from _of_source(indices, source)


def _of_manifest(secret: Object) -> Iterator[Key]:
    try:
        manifest = handover.read_manifest(secret.get("data") or {})
    except handover.InvalidHandover:
        return
    namespace, slash, name = manifest.frontend.partition("/")
    if slash:
        yield Key(FRONTEND, namespace, name)


def _of_source(indices: Indices, source: str) -> Iterator[Key]:
    """The annotation does not say whether the source is a Certificate or a Secret: both are asked."""
    namespace, slash, name = source.partition("/")
    if not slash:
        return
    where = (namespace, name)
    yield from indices.frontends_by_certificate.lookup(where)
    yield from indices.frontends_by_secret.lookup(where)
    for balancer in indices.load_balancers_by_certificate.lookup(where):
        yield from indices.frontends_by_load_balancer.lookup((balancer.namespace, balancer.name))
