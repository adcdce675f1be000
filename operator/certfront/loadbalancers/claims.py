"""Who holds a hostname: claims per (load balancer, port, name).

What is installed beats a claim, then the older object, then namespace and name. Only the contested
name is withheld. Inside one namespace an exact name lives beside a wildcard that covers it; across
namespaces that is a conflict, since the wildcard's owner could answer for the other's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from certfront.loadbalancers import reasons
from certfront.loadbalancers.problems import NAMES_IN_A_MESSAGE, Problem
from certfront.model.frontend import FrontendSpec
from certfront.model.meta import ObjectName
from certfront.pki.names import covers

PlainHTTPPort = 80
Protocol = Literal["TLS", "HTTP"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one frontend holds or wants on the ports of one load balancer.

    `installed` is what its nodes were told, `claimed` what its spec asks for and is granted; both
    canonical. `age_order` sorts the older object first.
    """

    frontend: ObjectName
    age_order: tuple[str, str, str]
    ports: Mapping[int, Protocol]
    installed: frozenset[str] = frozenset()
    claimed: frozenset[str] = frozenset()
    names: frozenset[str] = field(init=False, default=frozenset())
    """Both together."""
    wildcards_over: frozenset[str] = field(init=False, default=frozenset())
    """The wildcards that would cover a name of it."""

    def __post_init__(self) -> None:
        """Work out once what every comparison needs."""
        names = self.installed | self.claimed
        over = frozenset(map(_wildcard_over, names)) - {""}
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "wildcards_over", over)

    def may_touch(self, other: Claim) -> bool:
        """Whether the two could be about the same name; quick, and never wrongly false."""
        return not (
            self.names.isdisjoint(other.names)
            and self.wildcards_over.isdisjoint(other.names)
            and self.names.isdisjoint(other.wildcards_over)
        )

    @property
    def is_installed(self) -> bool:
        """Whether anything of it is installed."""
        return bool(self.installed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A hostname that another frontend holds, and on which port."""

    hostname: str
    port: int
    winner: ObjectName


def ports_of(spec: FrontendSpec) -> dict[int, Protocol]:
    """The ports that a frontend listens on, and what they speak. Challenge ports are shared."""
    ports: dict[int, Protocol] = {spec.port: "TLS" if spec.ssl else "HTTP"}
    twin = http_port_of(spec)
    if twin is not None:
        ports.setdefault(twin, "HTTP")
    return ports


def http_port_of(spec: FrontendSpec) -> int | None:
    """The plain twin of a TLS listener: as asked for, or 80 when plain HTTP is redirected."""
    if not spec.ssl:
        return None
    if spec.http_port is not None:
        return spec.http_port
    return PlainHTTPPort if spec.https_only else None


def lost(mine: Claim, rivals: Iterable[Claim]) -> tuple[Loss, ...]:
    """The hostnames that `mine` wants and a rival holds, in order, each with one winner."""
    found: dict[str, Loss] = {}
    near = [rival for rival in rivals if mine.may_touch(rival)]
    for rival in sorted(near, key=lambda claim: claim.age_order):
        shared = [
            port for port, protocol in mine.ports.items() if rival.ports.get(port) == protocol
        ]
        if not shared or rival.frontend == mine.frontend:
            continue
        for hostname in mine.claimed - found.keys():
            if _wins(rival, mine, hostname):
                found[hostname] = Loss(hostname=hostname, port=shared[0], winner=rival.frontend)
    return tuple(found[name] for name in sorted(found))


def lost_port(mine: Claim, rivals: Iterable[Claim]) -> tuple[int, ObjectName] | None:
    """The port that a rival which comes first uses with the other protocol, if there is one."""
    for rival in rivals:
        if rival.frontend == mine.frontend:
            continue
        for port, protocol in mine.ports.items():
            theirs = rival.ports.get(port)
            if theirs not in (None, protocol) and _precedes(rival, mine):
                return port, rival.frontend
    return None


def conflicts(losses: tuple[Loss, ...]) -> Problem | None:
    """The finding that tells the loser which names are withheld, and by whom."""
    if not losses:
        return None
    told = "; ".join(
        f"{loss.hostname} is claimed on port {loss.port} by {loss.winner}"
        for loss in losses[:NAMES_IN_A_MESSAGE]
    )
    more = len(losses) - NAMES_IN_A_MESSAGE
    return Problem(
        condition="Accepted",
        reason=reasons.HOSTNAME_CONFLICT,
        message=f"{told}{f'; and {more} more' if more > 0 else ''}. Its other names are served.",
    )


def protocol_conflict(port: int, winner: ObjectName) -> Problem:
    """The finding that a port speaks another protocol for someone who came first."""
    return Problem(
        condition="Accepted",
        reason=reasons.PORT_CONFLICT,
        message=f"Port {port} is used with another protocol by {winner}. Choose another port.",
        withholds_all=True,
    )


def _wildcard_over(name: str) -> str:
    return "" if name.startswith("*.") else "*." + name.partition(".")[2]


def _wins(rival: Claim, mine: Claim, hostname: str) -> bool:
    same_namespace = rival.frontend.namespace == mine.frontend.namespace
    theirs = _touches(rival.installed, hostname, same_namespace)
    if hostname in mine.installed:
        return theirs and rival.age_order < mine.age_order
    if theirs:
        return True
    wanted = _touches(rival.claimed, hostname, same_namespace)
    return wanted and rival.age_order < mine.age_order


def _touches(names: frozenset[str], hostname: str, same_namespace: bool) -> bool:
    if hostname in names:
        return True
    if same_namespace:
        return False
    return any(covers(name, hostname) or covers(hostname, name) for name in names)


def _precedes(rival: Claim, mine: Claim) -> bool:
    if rival.is_installed != mine.is_installed:
        return rival.is_installed
    return rival.age_order < mine.age_order
