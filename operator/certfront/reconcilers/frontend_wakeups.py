"""What of a LoadBalancer matters to its frontends, for `wakeups`. Pure.

How far each node is changes with every write, and is followed by those who wait for it alone
(`FrontendReconciler.pending_on`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["matters_to_frontends"]


def matters_to_frontends(balancer: Mapping[str, Any]) -> object:
    """A value that differs where the frontends of the load balancer have to be looked at again."""
    metadata, status = balancer["metadata"], balancer.get("status") or {}
    nodes = tuple(
        (node.get("name"), node.get("state"), str(node.get("failed") or ()))
        for node in status.get("nodes") or ()
    )
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        status.get("readyNodes"),
        nodes,
    )
