"""How far the nodes are with what was handed over. Pure.

Takes the Secrets as they were written and the nodes' Leases; `report` makes conditions of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from certfront.engine.store import Object
from certfront.loadbalancers.haproxy.watermark import NodeLease, Verdict, served
from certfront.loadbalancers.protocol import Binding, Listener
from certfront.model.meta import ObjectName, revision_of
from certfront.reconcilers.frontends.handover import bundle_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The verdict about the configuration, and about each certificate that is bound."""

    configuration: Verdict
    certificates: tuple[tuple[Binding, Verdict], ...]

    @property
    def settled(self) -> bool:
        """Whether no node has anything left to do."""
        return self.configuration.served and all(v.served for _, v in self.certificates)

    @property
    def worst(self) -> Verdict:
        """The verdict that decides: a failure before a shortage before waiting."""
        order = ("Failed", "TooFewNodes", "Unknown", "Pending", "Served")
        verdicts = (self.configuration, *(v for _, v in self.certificates))
        return min(verdicts, key=lambda verdict: order.index(verdict.state))


def measure(
    target: ObjectName,
    listener: Listener,
    manifest: Object,
    bundles: Mapping[str, Object],
    nodes: Sequence[NodeLease],
    *,
    min_nodes: int,
    now: datetime,
) -> Progress:
    """How far `nodes` are with `manifest` and the `bundles` that it names."""
    handed = revision_of(manifest)
    name = manifest["metadata"]["name"]

    def verdict(revision: int, names: frozenset[str]) -> Verdict:
        return served(
            nodes, resource_version=str(revision), secrets=names, min_nodes=min_nodes, now=now
        )

    certificates = []
    for binding in listener.bindings:
        if not binding.hostnames:
            continue
        bundle = bundle_name(target, binding.source)
        secret = bundles.get(bundle)
        revision = handed if secret is None else max(handed, revision_of(secret))
        certificates.append((binding, verdict(revision, frozenset((bundle, name)))))
    return Progress(
        configuration=verdict(handed, frozenset((name,))), certificates=tuple(certificates)
    )
