"""What the node tells: a watermark on its own Lease, and nothing else anywhere. Used by `node`."""

from __future__ import annotations

from certfront.agent.options import AgentOptions
from certfront.agent.reconcile import Outcome
from certfront.kube.client import ApiClient
from certfront.kube.leases import HeartbeatLease
from certfront.loadbalancers.haproxy.handover import LOAD_BALANCER_LABEL
from certfront.loadbalancers.haproxy.watermark import ANNOTATION, lease_name, render
from certfront.model.clock import Clock


def heartbeat(client: ApiClient, clock: Clock, options: AgentOptions) -> HeartbeatLease:
    """The node's Lease: 15 seconds, renewed every 5, at most one report a second."""
    return HeartbeatLease(
        client,
        clock,
        namespace=options.namespace,
        name=lease_name(options.load_balancer, options.node),
        identity=options.node,
        labels={LOAD_BALANCER_LABEL: options.load_balancer},
    )


def report(lease: HeartbeatLease, outcome: Outcome) -> None:
    """Tell how far the node has come. Before the first list there is nothing to tell."""
    if outcome.resource_version:
        lease.report({ANNOTATION: render(outcome.resource_version, outcome.failed)})
