"""Who is looked at again when an object changes: the object itself and whoever refers to it."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from certfront.engine.keys import Key
from certfront.engine.store import Index, Object, Store, key_of
from certfront.model.meta import ObjectName
from certfront.reconcilers.stores import (
    CERTIFICATE,
    FRONTEND,
    ISSUER,
    LEASE,
    LOADBALANCER,
    NAMESPACE,
    SECRET,
    Indices,
)

_OWN = frozenset((CERTIFICATE, ISSUER, LOADBALANCER, FRONTEND))


def keys_to_wake(
    store: Store, indices: Indices, kind: str, before: Object | None, after: Object | None
) -> Iterable[Key]:
    """The keys to reconcile when an object went from `before` to `after` (None: it does not exist).

    Each once, in a stable order; what the object referred to before counts too.
    """
    found: dict[Key, None] = {}
    for obj in (after, before):
        if obj is not None:
            found.update(dict.fromkeys(_keys(store, indices, kind, obj, before, after)))
    return tuple(found)


def matters_to_frontends(balancer: Object) -> object:
    """A value that differs where the frontends of the load balancer have to be looked at again.

    How far each node is changes all the time and is followed by those who wait for it alone
    (`FrontendReconciler.pending_on`).
    """
    metadata, status = balancer["metadata"], balancer.get("status") or {}
    nodes = tuple(
        (
            node.get("name"),
            node.get("state"),
            str(node.get("failed") or ()),
            node.get("failedCount"),
        )
        for node in status.get("nodes") or ()
    )
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        status.get("readyNodes"),
        nodes,
    )


def _keys(
    store: Store,
    indices: Indices,
    kind: str,
    obj: Object,
    before: Object | None,
    after: Object | None,
) -> Iterator[Key]:
    if kind in _OWN:
        yield key_of(kind, obj)
    yield from _WAKES[kind](store, indices, obj, before, after)


def _of_certificate(
    _store: Store, indices: Indices, obj: Object, _before: Object | None, _after: Object | None
) -> Iterator[Key]:
    yield from _users(obj, indices.frontends_by_certificate)
    for load_balancer in _users(obj, indices.load_balancers_by_certificate):
        yield load_balancer
        yield from indices.frontends_by_load_balancer.lookup(
            (load_balancer.namespace, load_balancer.name)
        )


def _of_secret(
    store: Store, indices: Indices, obj: Object, _before: Object | None, _after: Object | None
) -> Iterator[Key]:
    for certificate in _users(obj, indices.certificates_by_secret):
        yield certificate
        yield from indices.frontends_by_certificate.lookup(
            (certificate.namespace, certificate.name)
        )
    for issuer in _users(obj, indices.issuers_by_secret):
        yield issuer
        yield from indices.certificates_by_issuer.lookup((issuer.namespace, issuer.name))
    yield from _users(obj, indices.frontends_by_secret)
    yield from _users(obj, indices.load_balancers_by_secret)
    yield from _of_handover(store, indices, obj)


def _of_handover(store: Store, indices: Indices, obj: Object) -> Iterator[Key]:
    """Who made a Secret of ours: the Certificate, or for agents the frontends that hand it over.

    Anyone who may write Secrets writes annotations: one that names an object of another namespace
    is believed only where agents read it, beside a LoadBalancer.
    """
    annotations = obj["metadata"].get("annotations") or {}
    namespace = obj["metadata"]["namespace"]
    handed_over = is_handed_over(store, obj)
    certificate = ObjectName.parse(annotations.get("certfront.io/certificate", ""))
    frontend = ObjectName.parse(annotations.get("certfront.io/frontend", ""))
    if frontend is not None and handed_over:
        yield Key(FRONTEND, *frontend)
    if certificate is None or not (handed_over or certificate.namespace == namespace):
        return
    if handed_over and _labels(obj).get("certfront.io/secret") == "bundle":
        where = tuple(certificate)
        yield from indices.frontends_by_certificate.lookup(where)
        yield from indices.frontends_by_secret.lookup(where)
        for balancer in indices.load_balancers_by_certificate.lookup(where):
            yield from indices.frontends_by_load_balancer.lookup(
                (balancer.namespace, balancer.name)
            )
    else:
        yield Key(CERTIFICATE, *certificate)


def is_handed_over(store: Store, obj: Object) -> bool:
    """Whether the Secret is for the agents of a LoadBalancer that is there."""
    labels = _labels(obj)
    balancer = labels.get("certfront.io/load-balancer", "")
    role = labels.get("certfront.io/secret")
    if not balancer or role not in ("manifest", "bundle", "challenge"):
        return False
    return store.get(LOADBALANCER, obj["metadata"]["namespace"], balancer) is not None


def _of_issuer(
    _store: Store, indices: Indices, obj: Object, _before: Object | None, _after: Object | None
) -> Iterator[Key]:
    yield from _users(obj, indices.certificates_by_issuer)


def _of_load_balancer(
    store: Store, indices: Indices, obj: Object, before: Object | None, after: Object | None
) -> Iterator[Key]:
    known = before is not None and after is not None
    if known and matters_to_frontends(before or obj) == matters_to_frontends(after or obj):
        return
    for frontend in _users(obj, indices.frontends_by_load_balancer):
        yield frontend
        if not known:
            # Which keys it takes may decide the algorithm of those that name none.
            for certificate in indices.frontends_by_certificate.values_of(frontend):
                yield Key(CERTIFICATE, *certificate)  # type: ignore[misc] # as the index makes them
    yield from _installed_on(store, obj)


def _installed_on(store: Store, balancer: Object) -> Iterator[Key]:
    """The frontends that were handed over to its agents, whichever load balancer they name now."""
    metadata = balancer["metadata"]
    for secret in store.items(SECRET, metadata["namespace"]):
        labels = _labels(secret)
        if labels.get("certfront.io/load-balancer") != metadata["name"]:
            continue
        annotations = secret["metadata"].get("annotations") or {}
        frontend = ObjectName.parse(annotations.get("certfront.io/frontend", ""))
        if frontend is not None and labels.get("certfront.io/secret") == "manifest":
            yield Key(FRONTEND, *frontend)


def _of_frontend(
    _store: Store, _indices: Indices, obj: Object, _before: Object | None, _after: Object | None
) -> Iterator[Key]:
    """Its certificates say where they are served. Neighbours are woken by who takes a name from them."""
    for entry in (obj.get("spec") or {}).get("certificates") or ():
        if entry.get("name"):
            yield Key(CERTIFICATE, obj["metadata"]["namespace"], entry["name"])


def _of_lease(
    _store: Store, _indices: Indices, obj: Object, before: Object | None, after: Object | None
) -> Iterator[Key]:
    """A heartbeat alone wakes nobody; a report, a new node and a node that is gone do.

    The load balancer is woken, and with it the frontends that wait for its nodes. Anyone who may
    write Leases writes labels: only the Lease of an agent, by its name, wakes one.
    """
    if before is not None and after is not None and _report(before) == _report(after):
        return
    load_balancer = _labels(obj).get("certfront.io/load-balancer", "")
    if load_balancer and obj["metadata"]["name"].startswith(f"{load_balancer}."):
        yield Key(LOADBALANCER, obj["metadata"]["namespace"], load_balancer)


def _of_namespace(
    store: Store, _indices: Indices, obj: Object, before: Object | None, after: Object | None
) -> Iterator[Key]:
    if before is not None and after is not None and _labels(before) == _labels(after):
        return
    for kind in (CERTIFICATE, FRONTEND):
        for found in store.items(kind, obj["metadata"]["name"]):
            yield key_of(kind, found)


_Wakes = Callable[[Store, Indices, Object, Object | None, Object | None], Iterator[Key]]
_WAKES: Mapping[str, _Wakes] = {
    CERTIFICATE: _of_certificate,
    SECRET: _of_secret,
    ISSUER: _of_issuer,
    LOADBALANCER: _of_load_balancer,
    FRONTEND: _of_frontend,
    LEASE: _of_lease,
    NAMESPACE: _of_namespace,
}


def _users(obj: Object, index: Index) -> tuple[Key, ...]:
    metadata = obj["metadata"]
    return index.lookup((metadata["namespace"], metadata["name"]))


def _labels(obj: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return found


def _report(lease: Object) -> object:
    return (lease["metadata"].get("annotations") or {}).get("certfront.io/watermark")
