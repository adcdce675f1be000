"""The nodes of a HAProxy load balancer, by the Leases of their agents in the store."""

from __future__ import annotations

from certfront.engine.store import Object
from certfront.loadbalancers.haproxy.handover import LOAD_BALANCER_LABEL
from certfront.loadbalancers.haproxy.watermark import NodeLease, lease_name, node_lease
from certfront.model.meta import ObjectName
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends.heartbeats import heartbeats_of
from certfront.reconcilers.stores import LEASE


def nodes_of(context: Context, target: ObjectName) -> tuple[NodeLease, ...]:
    """The nodes of a HAProxy load balancer by their agents' Leases, their heartbeats in our time."""
    heartbeats = heartbeats_of(context.store)
    found = []
    leases = leases_of(context, target)
    for lease in leases:
        node = node_lease(target.name, lease)
        if node is not None:
            found.append(heartbeats.dated(lease, node, context.clock))
    names = {lease["metadata"]["name"] for lease in leases}
    heartbeats.keep(target.namespace, names, lease_name(target.name, ""))
    return tuple(found)


def leases_of(context: Context, target: ObjectName) -> tuple[Object, ...]:
    """The Leases that carry the label of a load balancer, whosever they are."""
    return tuple(
        lease
        for lease in context.store.items(LEASE, target.namespace)
        if (lease["metadata"].get("labels") or {}).get(LOAD_BALANCER_LABEL) == target.name
    )
