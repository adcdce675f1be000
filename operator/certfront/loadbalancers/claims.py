"""Who holds a hostname: claims per (load balancer, port, name).

What is served with a certificate beats a claim; then a claim whose certificate is ready, for a name
that nobody could be served yet must not keep out who could serve it; then the older object, then
namespace and name. Only the contested name is withheld, and whoever loses a name keeps it from no
one. Inside one namespace an exact name lives beside a wildcard that covers it; across namespaces
that is a conflict, since the wildcard's owner could answer for the other's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from certfront.loadbalancers import reasons
from certfront.loadbalancers.problems import NAMES_IN_A_MESSAGE, Problem
from certfront.model.frontend import FrontendSpec
from certfront.model.meta import ObjectName

PlainHTTPPort = 80
Protocol = Literal["TLS", "HTTP"]
_Place = tuple[int, Protocol]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What the nodes were told last of a frontend, by the ports that they were told then.

    `routed` are all its hostnames; `bound` those that something answers for on its own port: a
    certificate, or plain HTTP; `bound_plain` those that something answers for on a plain port.
    """

    ports: Mapping[int, Protocol] = field(default_factory=dict)
    challenge_port: int | None = None
    routed: frozenset[str] = frozenset()
    bound: frozenset[str] = frozenset()
    bound_plain: frozenset[str] = frozenset()

    def bound_by(self, protocol: Protocol) -> frozenset[str]:
        """The hostnames that something answers for on its port of that protocol."""
        return self.bound if protocol == "TLS" else self.bound | self.bound_plain

    def within(self, names: frozenset[str]) -> Installed:
        """The same with no other hostnames than `names`; nothing where none is left."""
        if self.routed.isdisjoint(names):
            return Installed()
        return Installed(
            ports=self.ports,
            challenge_port=self.challenge_port,
            routed=self.routed & names,
            bound=self.bound & names,
            bound_plain=self.bound_plain & names,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one frontend holds or wants on the ports of one load balancer.

    `installed` is what its nodes were told and it is still granted, `claimed` what its spec asks
    for and is granted, `ready` those of them that it has a usable certificate for; all canonical.
    `challenge_port` is shared by all who speak plain HTTP. `age_order` sorts the older object first.
    """

    frontend: ObjectName
    age_order: tuple[str, str, str]
    ports: Mapping[int, Protocol]
    challenge_port: int | None = None
    installed: Installed = field(default_factory=Installed)
    claimed: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    names: frozenset[str] = field(init=False, default=frozenset())
    """All of them together."""
    wildcards_over: frozenset[str] = field(init=False, default=frozenset())
    """The wildcards that would cover a name of it."""

    def __post_init__(self) -> None:
        """Work out once what every comparison needs."""
        names = self.installed.routed | self.claimed
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
    def wanted_ports(self) -> dict[int, Protocol]:
        """What its spec needs of each port, challenges included."""
        return _with_challenges(self.ports, self.challenge_port)

    @property
    def held_ports(self) -> dict[int, Protocol]:
        """What its nodes were told of each port, challenges included."""
        return _with_challenges(self.installed.ports, self.installed.challenge_port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A hostname that another frontend holds, by which name of its own, and on which port."""

    hostname: str
    port: int
    winner: ObjectName
    through: str


def ports_of(spec: FrontendSpec) -> dict[int, Protocol]:
    """The ports that a frontend routes its hostnames on, and what they speak."""
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


def challenge_port_of(spec: FrontendSpec, *, acme: bool) -> int | None:
    """Port 80, where HTTP-01 (RFC 8555 section 8.3) needs it and the frontend has nothing there."""
    return PlainHTTPPort if acme and PlainHTTPPort not in ports_of(spec) else None


def lost(mine: Claim, rivals: Iterable[Claim]) -> tuple[Loss, ...]:
    """The hostnames that `mine` wants and a rival holds, in order, each with its true holder."""
    others = [rival for rival in rivals if rival.frontend != mine.frontend]
    near = _neighbourhood(mine, others)
    if not near:
        return ()
    claims = sorted([mine, *near], key=lambda claim: claim.age_order)
    shut_out = _without_a_port([mine, *others])
    ledger = _Ledger()
    for claim in claims:
        for place in claim.installed.ports.items():
            for name in sorted(claim.installed.bound_by(place[1])):
                if ledger.holder(place, name, claim) is None:
                    ledger.enter(place, name, claim)
    found = []
    for claim, name in _in_order(claim for claim in claims if claim.frontend not in shut_out):
        loss = _loss(ledger, claim, name)
        if loss is None:
            for place in claim.ports.items():
                ledger.enter(place, name, claim)
        elif claim is mine:
            found.append(loss)
    return tuple(sorted(found, key=lambda loss: loss.hostname))


def lost_port(mine: Claim, rivals: Iterable[Claim]) -> tuple[int, ObjectName] | None:
    """The port that a rival which comes first uses with the other protocol, if there is one."""
    others = [rival for rival in rivals if rival.frontend != mine.frontend]
    wanted = mine.wanted_ports
    if not any(_differ(wanted, rival) for rival in others):
        return None
    return _without_a_port([mine, *others]).get(mine.frontend)


def conflicts(losses: tuple[Loss, ...], *, others_served: bool) -> Problem | None:
    """The finding that tells the loser which names are withheld, and by whom."""
    if not losses:
        return None
    told = "; ".join(_told(loss) for loss in losses[:NAMES_IN_A_MESSAGE])
    more = len(losses) - NAMES_IN_A_MESSAGE
    rest = " Its other names are served." if others_served else ""
    return Problem(
        condition="Accepted",
        reason=reasons.HOSTNAME_CONFLICT,
        message=f"{told}{f'; and {more} more' if more > 0 else ''}.{rest}",
    )


def protocol_conflict(port: int, winner: ObjectName) -> Problem:
    """The finding that a port speaks another protocol for someone who came first."""
    return Problem(
        condition="Accepted",
        reason=reasons.PORT_CONFLICT,
        message=f"Port {port} is used with another protocol by {winner}. Choose another port.",
        withholds_all=True,
    )


def challenge_port_refused() -> Problem:
    """The finding that a guest asks for TLS where everyone's challenges are answered."""
    return Problem(
        condition="Accepted",
        reason=reasons.PORT_CONFLICT,
        message=f"Port {PlainHTTPPort} is kept for plain HTTP and ACME challenges. "
        "Choose another port.",
        stalled=True,
        withholds_all=True,
    )


class _Ledger:
    """Who holds which name at which place; at most one holder of what could be confused."""

    def __init__(self) -> None:
        self._exact: dict[tuple[_Place, str], dict[str, Claim]] = {}
        self._below: dict[tuple[_Place, str], dict[str, Claim]] = {}

    def enter(self, place: _Place, name: str, claim: Claim) -> None:
        """Note the holder of a name."""
        self._exact.setdefault((place, name), {})[name] = claim
        self._below.setdefault((place, _wildcard_over(name)), {})[name] = claim

    def holder(self, place: _Place, name: str, claim: Claim) -> tuple[Claim, str] | None:
        """Who keeps the name from `claim`, and by which name of its own."""
        for held, owner in self._exact.get((place, name), {}).items():
            if owner.frontend != claim.frontend:
                return owner, held
        around = dict(self._exact.get((place, _wildcard_over(name)), {}))
        if name.startswith("*."):
            around |= self._below.get((place, name), {})
        for held, owner in around.items():
            if owner.frontend.namespace != claim.frontend.namespace:
                return owner, held
        return None


def _in_order(claims: Iterable[Claim]) -> Iterator[tuple[Claim, str]]:
    """What is wanted, in the order in which it is given away."""
    wanted = [
        (name not in claim.ready, name not in claim.installed.routed, claim.age_order, name, claim)
        for claim in claims
        for name in claim.claimed
    ]
    for *_, name, claim in sorted(wanted, key=lambda one: one[:4]):
        yield claim, name


def _loss(ledger: _Ledger, claim: Claim, name: str) -> Loss | None:
    for place in claim.ports.items():
        found = ledger.holder(place, name, claim)
        if found is not None:
            winner, through = found
            return Loss(hostname=name, port=place[0], winner=winner.frontend, through=through)
    return None


def _neighbourhood(mine: Claim, rivals: Sequence[Claim]) -> list[Claim]:
    """The rivals that a contest for a name of `mine` may depend on."""
    found: dict[ObjectName, Claim] = {}
    edge = [mine]
    while edge:
        reached = [
            rival
            for rival in rivals
            if rival.frontend not in found and any(one.may_touch(rival) for one in edge)
        ]
        found.update((rival.frontend, rival) for rival in reached)
        edge = reached
    return list(found.values())


def _without_a_port(claims: Iterable[Claim]) -> dict[ObjectName, tuple[int, ObjectName]]:
    """Who cannot have a port as the spec asks for it, the port, and who has it otherwise."""
    spoken: dict[_Place, list[ObjectName]] = {}
    by_age = sorted(claims, key=lambda claim: claim.age_order)
    for claim in by_age:
        for place in claim.held_ports.items():
            spoken.setdefault(place, []).append(claim.frontend)
    without: dict[ObjectName, tuple[int, ObjectName]] = {}
    for claim in by_age:
        taken = _taken_otherwise(claim, spoken)
        if taken is not None:
            without[claim.frontend] = taken
            continue
        for place in claim.wanted_ports.items():
            spoken.setdefault(place, []).append(claim.frontend)
    return without


def _taken_otherwise(
    claim: Claim, spoken: Mapping[_Place, Sequence[ObjectName]]
) -> tuple[int, ObjectName] | None:
    held = claim.held_ports
    for port, protocol in claim.wanted_ports.items():
        if held.get(port) == protocol:
            # It was there as it is wanted: whoever wants it otherwise came later.
            continue
        other: Protocol = "HTTP" if protocol == "TLS" else "TLS"
        for owner in spoken.get((port, other), ()):
            if owner != claim.frontend:
                return port, owner
    return None


def _differ(wanted: Mapping[int, Protocol], rival: Claim) -> bool:
    return any(
        ports.get(port, protocol) != protocol
        for ports in (rival.wanted_ports, rival.held_ports)
        for port, protocol in wanted.items()
    )


def _with_challenges(ports: Mapping[int, Protocol], challenge: int | None) -> dict[int, Protocol]:
    found = dict(ports)
    if challenge is not None:
        found.setdefault(challenge, "HTTP")
    return found


def _told(loss: Loss) -> str:
    if loss.through == loss.hostname:
        return f"{loss.hostname} is claimed on port {loss.port} by {loss.winner}"
    return (
        f"{loss.hostname} collides on port {loss.port} with {loss.through}, "
        f"which {loss.winner} claims"
    )


def _wildcard_over(name: str) -> str:
    return "" if name.startswith("*.") else "*." + name.partition(".")[2]
