"""Which delivery a load balancer takes: nodes for HAProxy, a provider's API for every other type."""

from __future__ import annotations

from certfront.engine.store import Object
from certfront.loadbalancers.claims import Installed
from certfront.model.frontend import Frontend
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends import remote
from certfront.reconcilers.frontends.delivery import Delivery
from certfront.reconcilers.frontends.handover import manifest_name
from certfront.reconcilers.frontends.nodes import NodeDelivery, installed_by
from certfront.reconcilers.frontends.remote import RemoteDelivery
from certfront.reconcilers.stores import LOADBALANCER, SECRET
from certfront.reconcilers.targets import Targets

BUILT_IN = "HAProxy"


class Deliveries:
    """Both deliveries, and what each load balancer was told last of a frontend, by the store."""

    def __init__(self, context: Context, targets: Targets) -> None:
        self._context = context
        self._targets = targets
        self.nodes = NodeDelivery(context)
        self._remote = RemoteDelivery(context, targets)

    def of(self, balancer: LoadBalancer) -> Delivery:
        """The delivery for a load balancer."""
        return self.nodes if balancer.spec.type == BUILT_IN else self._remote

    def at(self, target: ObjectName) -> Delivery:
        """The delivery for a load balancer that may be gone, or unreadable."""
        raw = self._context.store.get(LOADBALANCER, *target)
        if raw is None:
            return self.nodes if self._targets.find(target) is None else self._remote
        kind = (raw.get("spec") or {}).get("type", BUILT_IN)
        return self.nodes if kind == BUILT_IN else self._remote

    def installed(self, frontend: Frontend, balancer: LoadBalancer) -> Installed:
        """What a load balancer was told last, by the store; nothing where that cannot be read."""
        target = balancer.metadata.object_name
        if balancer.spec.type != BUILT_IN:
            return remote.installed_by(frontend, target)
        return installed_by(self.nodes.manifest(self.source(frontend.metadata.object_name, target)))

    def source(self, frontend: ObjectName, target: ObjectName) -> Object | None:
        """The Secret that `installed` depends on beside the frontend itself, if there is one."""
        name = manifest_name(target, frontend)
        return self._context.store.get(SECRET, target.namespace, name)

    def handed_at(self, frontend: ObjectName) -> float | None:
        """When something new was handed over for the frontend, by the monotonic clock."""
        moments = (self.nodes.handed_at(frontend), self._remote.handed_at(frontend))
        return max((one for one in moments if one is not None), default=None)

    def forget(self, frontend: ObjectName) -> None:
        """Drop what is kept of a frontend that is gone."""
        self.nodes.forget(frontend)
        self._remote.forget(frontend)
