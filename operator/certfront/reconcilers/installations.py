"""Where a Certificate is installed, told from the frontends that refer to it."""

from collections.abc import Iterator

from certfront.engine.store import Object
from certfront.issuance.report import Installation
from certfront.loadbalancers.registry import CAPABILITIES
from certfront.model.certificate import Certificate
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki.facts import Facts
from certfront.reconcilers.context import Context
from certfront.reconcilers.stores import LOADBALANCER


def installation_of(
    context: Context, certificate: Certificate, in_force: Facts | None
) -> Installation:
    """Which frontends use `certificate`, and which of them were seen to serve what is in force.

    Where nothing is in force any more, what they still serve of it counts.
    """
    return installation_at(context, certificate, in_force.fingerprint if in_force else "")


def installation_at(context: Context, certificate: Certificate, fingerprint: str) -> Installation:
    """The same by the fingerprint in force, "" for none."""
    frontends = list(_frontends(context, certificate))
    serving = [f for f in frontends if _serves(f, certificate.metadata.name, fingerprint)]
    lagging = [f for f in frontends if f not in serving]
    return Installation(
        frontends=len(frontends),
        serving=tuple(sorted(_described(f) for f in serving)),
        lagging=tuple(sorted(f["metadata"]["name"] for f in lagging)),
    )


def balancer_types(context: Context, name: ObjectName) -> dict[ObjectName, str]:
    """The load balancers of the frontends that use a Certificate, with their types, by the store."""
    found: dict[ObjectName, str] = {}
    for key in context.indices.frontends_by_certificate.lookup(tuple(name)):
        for value in context.indices.frontends_by_load_balancer.values_of(key):
            balancer = ObjectName(*value)  # type: ignore[misc] # as the index makes them
            raw = context.store.get(LOADBALANCER, *balancer)
            if raw is not None:
                found[balancer] = str((raw.get("spec") or {}).get("type", ""))
    return found


def algorithm_taken(context: Context, name: ObjectName) -> KeyAlgorithm:
    """The key that a Certificate gets which names none: RSA where one of its balancers takes no other."""
    for type_ in balancer_types(context, name).values():
        can = CAPABILITIES.get(type_)
        if can is not None and KeyAlgorithm.ECDSA not in can.key_types:
            return KeyAlgorithm.RSA
    return KeyAlgorithm.ECDSA


def _frontends(context: Context, certificate: Certificate) -> Iterator[Object]:
    name = tuple(certificate.metadata.object_name)
    for key in context.indices.frontends_by_certificate.lookup(name):
        found = context.store.find(key)
        if found is not None and not found["metadata"].get("deletionTimestamp"):
            yield found


def _serves(frontend: Object, name: str, fingerprint: str) -> bool:
    installed = (frontend.get("status") or {}).get("installed") or ()
    return any(
        entry.get("name") == name
        and entry.get("verified")
        and fingerprint in ("", entry.get("fingerprint"))
        for entry in installed
    )


def _described(frontend: Object) -> str:
    """Like `shop (edge/haproxy, 3 of 3 nodes)`; how many nodes is what its Served says."""
    status = frontend.get("status") or {}
    conditions = status.get("conditions") or ()
    nodes = next((c.get("message") for c in conditions if c.get("type") == "Served"), "")
    where = ", ".join(filter(None, (status.get("loadBalancer"), nodes)))
    name: str = frontend["metadata"]["name"]
    return f"{name} ({where})" if where else name
