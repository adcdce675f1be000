"""Which load balancers answer an HTTP-01 challenge for a Certificate's names.

Those of the frontends that use the Certificate, for the names that they grant to its namespace,
whatever the Issuer. Asked by the reconciler of orders before anything is ordered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from certfront.loadbalancers import reasons
from certfront.loadbalancers.acceptance import Permission
from certfront.loadbalancers.problems import listed
from certfront.loadbalancers.registry import capabilities_of
from certfront.model.errors import Waiting
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName


class NoRouteForChallenge(Waiting):
    """Nothing is ordered before the answer can be reached."""

    def __init__(self, message: str) -> None:
        super().__init__(reasons.NO_ROUTE_FOR_CHALLENGE.name, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A load balancer that a frontend of the Certificate is accepted on, and what it permits."""

    load_balancer: LoadBalancer
    permission: Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRoute:
    """A load balancer that answers, and the canonical names it answers for."""

    load_balancer: ObjectName
    names: tuple[str, ...]


def routes_for(names: Iterable[str], routes: Iterable[Route]) -> tuple[ChallengeRoute, ...]:
    """The load balancers that answer for `names` (canonical), each with those it is granted.

    A name that several grant is answered by all of them: DNS decides which one the CA asks.
    Raises NoRouteForChallenge if no one answers for some of the names.
    """
    wanted = tuple(dict.fromkeys(names))
    found: dict[ObjectName, tuple[str, ...]] = {}
    for route in routes:
        can = capabilities_of(route.load_balancer)
        if not can.challenges or not route.permission.anything:
            continue
        refused = set(route.permission.withheld(wanted))
        granted = tuple(name for name in wanted if name not in refused)
        if granted:
            found[route.load_balancer.metadata.object_name] = granted
    answered = {name for granted in found.values() for name in granted}
    unanswered = tuple(name for name in wanted if name not in answered)
    if unanswered:
        raise NoRouteForChallenge(
            f"No load balancer answers HTTP-01 challenges for {listed(unanswered)}. Use the "
            "Certificate in a LoadBalancerFrontend whose load balancer grants the names to this "
            "namespace."
        )
    return tuple(ChallengeRoute(load_balancer=lb, names=granted) for lb, granted in found.items())
