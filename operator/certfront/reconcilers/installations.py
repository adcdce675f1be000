"""Where a Certificate is installed, told from the frontends that refer to it."""

from collections.abc import Iterator

from certfront.engine.store import Object
from certfront.issuance.report import Installation
from certfront.model.certificate import Certificate
from certfront.pki.facts import Facts
from certfront.reconcilers.context import Context


def installation_of(
    context: Context, certificate: Certificate, in_force: Facts | None
) -> Installation:
    """Which frontends use `certificate`, and which of them were seen to serve what is in force.

    Where nothing is in force any more, what they still serve of it counts.
    """
    frontends = list(_frontends(context, certificate))
    fingerprint = in_force.fingerprint if in_force else ""
    serving = [f for f in frontends if _serves(f, certificate.metadata.name, fingerprint)]
    lagging = [f for f in frontends if f not in serving]
    return Installation(
        frontends=len(frontends),
        serving=tuple(sorted(_described(f) for f in serving)),
        lagging=tuple(sorted(f["metadata"]["name"] for f in lagging)),
    )


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
