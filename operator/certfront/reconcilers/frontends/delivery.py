"""How what a frontend wants gets to its load balancer: by Secrets for nodes, or by a provider's API.

`reconciler` decides what is wanted and drives one of the two, `nodes` or `remote`; neither decides
anything about certificates or hostnames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from certfront.engine.store import Object
from certfront.loadbalancers.bindings import PriorBinding
from certfront.loadbalancers.claims import Installed
from certfront.loadbalancers.listeners import Decision, View
from certfront.loadbalancers.protocol import CertificateSource, ResolvedFarm
from certfront.model.frontend import Frontend
from certfront.model.meta import ObjectName
from certfront.reconcilers.frontends.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What the load balancer was told last of a frontend.

    `installed` is None where that cannot be read. `bindings` are those of the certificates that were
    asked for and of others that are served. `seen` are Secrets that a live read has found and the
    store does not hold.
    """

    installed: Installed | None = field(default_factory=Installed)
    farm: ResolvedFarm | None = None
    bindings: Mapping[CertificateSource, PriorBinding] = field(default_factory=dict)
    seen: Mapping[str, Object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What came of a delivery: the frontend as it is now, and how far the load balancer is.

    `progress` is None where nothing is handed over. `known` is False where nobody can tell yet, as in
    the first moments after a start: then nothing is reported.
    """

    frontend: Object
    progress: Progress | None = None
    known: bool = True


class Delivery(Protocol):
    """See the module. Everything but `prior` and `installed` is called within the target's domain."""

    async def prior(
        self, frontend: Frontend, target: ObjectName, sources: Iterable[CertificateSource]
    ) -> Prior:
        """What the load balancer was told last."""
        ...

    async def deliver(self, raw: Object, view: View, decision: Decision, prior: Prior) -> Delivered:
        """Hand over what differs; the finalizers come before anything is installed."""
        ...

    async def take_off(self, target: ObjectName, frontend: Frontend, *, since: datetime) -> bool:
        """Do the next step of the release that began at `since`; whether everything is gone."""
        ...

    def waited_for(self, target: ObjectName, frontend: Frontend) -> tuple[str, ...]:
        """Who has still to take the frontend off, for people."""
        ...

    def forget(self, frontend: ObjectName) -> None:
        """Drop what is kept of a frontend that is gone."""
        ...
