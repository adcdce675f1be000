"""What the frontends of one load balancer want together, in Rackspace's terms. Pure.

One load balancer has one SSL termination: one port, one default certificate, and switches for all.
`sharing` sorts out which frontends can share it; `settings`, `default` and `hosts` say what they want of
it. `plan` compares that with what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import Binding, CertificateSource, Listener, Wish
from certfront.loadbalancers.rackspace.ownership import Ownership
from certfront.loadbalancers.rackspace.reasons import PROTOCOL_UNSUITED, SETTING_CONFLICT
from certfront.loadbalancers.rackspace.state import TERMINATION, Observed
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName

REDIRECT_PORT: Final = 443
"""Rackspace redirects to no other port."""

_UNSUITED: Final = frozenset({"HTTPS", "IMAPS", "LDAPS", "POP3S", "DNS_UDP", "UDP", "UDP_STREAM"})
_TAKEN_AS_301: Final = frozenset({None, 301, 308})
"""Rackspace always answers 301; 308 is the API's default and means "permanently", too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the termination and the load balancer are to be set to."""

    port: int
    enabled: bool
    secure_only: bool
    redirect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The frontends that share the termination, oldest first, and what stands in others' way.

    `owners` are those of `accepted` that make it; `refused` keep what is installed of them. `frozen`:
    frontends about which nothing new is known have a part in the termination, so its settings and its
    default certificate stay as they are.
    """

    accepted: tuple[Listener, ...]
    owners: tuple[Listener, ...]
    refused: tuple[Listener, ...]
    problems: Mapping[ObjectName, tuple[Problem, ...]] = field(default_factory=dict)
    frozen: bool = False

    def is_accepted(self, listener: Listener) -> bool:
        """Whether the frontend takes part."""
        return listener in self.accepted


def sharing(wish: Wish, observed: Observed, owned: Ownership) -> Sharing:
    """Who takes part. Where frontends contradict each other, the older one wins."""
    frozen = _is_frozen(wish, owned)
    makers = [one for one in wish.listeners if one.manage == "Listener"]
    ours = observed.termination is None or owned.is_made() or any(one.adopt for one in makers)
    leader: Listener | None = None
    accepted, refused = [], []
    problems: dict[ObjectName, tuple[Problem, ...]] = {}
    for listener in makers:
        problem = _refuse(listener, observed) or _refuse_maker(listener, observed, ours=ours)
        if problem is None and leader is not None and leader.port != listener.port:
            problem = _other_port(leader)
        if problem is not None:
            problems[listener.frontend] = (problem,)
            refused.append(listener)
            continue
        leader = leader or listener
        accepted.append(listener)
        conflict = _conflict(listener, leader)
        problems[listener.frontend] = () if conflict is None else (conflict,)
    for listener in wish.listeners:
        if listener.manage == "Listener":
            continue
        problem = _refuse(listener, observed) or _refuse_guest(listener, observed, leader)
        problems[listener.frontend] = () if problem is None else (problem,)
        (accepted if problem is None else refused).append(listener)
    order = {one.frontend: position for position, one in enumerate(wish.listeners)}
    accepted.sort(key=lambda one: order[one.frontend])
    return Sharing(
        accepted=tuple(accepted),
        owners=tuple(one for one in accepted if one.manage == "Listener"),
        refused=tuple(refused),
        problems=problems,
        frozen=frozen,
    )


def settings(shared: Sharing) -> Settings | None:
    """What the oldest owner asks for; None where the termination is someone else's."""
    if not shared.owners:
        return None
    leader = shared.owners[0]
    enabled = not leader.disabled
    https_only = leader.redirect_status is not None
    return Settings(
        port=leader.port,
        enabled=enabled,
        secure_only=enabled and https_only,
        redirect=enabled and https_only and leader.port == REDIRECT_PORT,
    )


def default(
    shared: Sharing, observed: Observed, owned: Ownership, namespace: str
) -> tuple[Listener, Binding] | None:
    """The certificate that the termination is to have; None where it is to be left alone.

    That of the first frontend with a `defaultCertificate` (those of the load balancer's own
    `namespace` before others), else the first certificate of the oldest frontend. While that one has
    no material, what is there stays. On a termination that is someone else's only a
    `defaultCertificate` is put there, and kept up to date.
    """
    every = [(one, binding) for one in shared.accepted for binding in usable_keys(one)]
    held = owned.at_termination()
    current = next((pair for pair in every if (pair[0].frontend, pair[1].source) in held), None)
    if shared.owners and current is None:
        current = next((p for p in every if observed.holds(TERMINATION, p[1].fingerprint)), None)
    if shared.frozen and observed.termination is not None:
        return current
    asking = sorted(
        (one for one in shared.accepted if one.default_certificate is not None),
        key=lambda one: one.frontend.namespace != namespace,
    )
    if asking:
        asked = _of(every, asking[0], asking[0].default_certificate)
        if asked is not None and _is_at_hand(asked[1], observed):
            return asked
        if current is not None:
            return current
    if not shared.owners:
        return current
    return next((p for p in every if p[1].hostnames and _is_at_hand(p[1], observed)), None)


def hosts(shared: Sharing) -> dict[str, tuple[Listener, Binding]]:
    """Which certificate each host name is to have, the oldest frontend first."""
    wanted: dict[str, tuple[Listener, Binding]] = {}
    for listener in shared.accepted:
        for binding in usable_keys(listener):
            for host in binding.hostnames:
                wanted.setdefault(host, (listener, binding))
    return wanted


def usable_keys(listener: Listener) -> Iterator[Binding]:
    """The bindings that Rackspace can take: RSA keys only."""
    return (one for one in listener.bindings if one.key_type is KeyAlgorithm.RSA)


def _is_frozen(wish: Wish, owned: Ownership) -> bool:
    if not wish.complete:
        return True
    holders = {frontend for frontend, _ in owned.at_termination()}
    return bool((owned.makers() | holders) & wish.staying)


def _of(
    every: list[tuple[Listener, Binding]], listener: Listener, source: CertificateSource | None
) -> tuple[Listener, Binding] | None:
    return next((p for p in every if p[0] is listener and p[1].source == source), None)


def _is_at_hand(binding: Binding, observed: Observed) -> bool:
    return binding.pair is not None or observed.holds(TERMINATION, binding.fingerprint)


def _refuse(listener: Listener, observed: Observed) -> Problem | None:
    """What no load balancer here could do for the frontend."""
    if not listener.ssl:
        return _unaccepted(
            "Only listeners with TLS can be programmed here: remove spec.ssl.", stalled=True
        )
    if observed.protocol in _UNSUITED:
        return Problem(
            condition="Accepted",
            reason=PROTOCOL_UNSUITED,
            message=f"The load balancer's protocol is {observed.protocol}, which cannot terminate TLS.",
        )
    return None


def _refuse_maker(listener: Listener, observed: Observed, *, ours: bool) -> Problem | None:
    if not ours:
        return Problem(
            condition="Accepted",
            reason=reasons.LISTENER_EXISTS,
            message="The load balancer has an SSL termination that certfront did not make. Set "
            "spec.adopt to hand it over, or use manage: CertificatesOnly.",
        )
    if listener.port == observed.port:
        return Problem(
            condition="Accepted",
            reason=reasons.PORT_CONFLICT,
            message=f"Port {listener.port} is the load balancer's own, for plain traffic.",
        )
    if listener.redirect_status not in _TAKEN_AS_301:
        return _unaccepted(
            "Rackspace redirects with 301 only: remove spec.redirectStatusCode.", stalled=True
        )
    return None


def _refuse_guest(
    listener: Listener, observed: Observed, leader: Listener | None
) -> Problem | None:
    """What stands in the way of `manage: CertificatesOnly`."""
    termination = observed.termination
    if listener.redirect_status is not None or listener.disabled:
        return _unaccepted(
            "spec.httpsOnly and spec.disabled belong to the listener, which manage: CertificatesOnly "
            "does not change.",
            stalled=True,
        )
    port = termination.port if termination is not None and leader is None else None
    port = leader.port if leader is not None else port
    if port == listener.port and (leader is not None or (termination and termination.enabled)):
        return None
    return Problem(
        condition="Accepted",
        reason=reasons.LISTENER_NOT_FOUND,
        message=f"The load balancer has no SSL termination that is enabled on port {listener.port}.",
    )


def _other_port(leader: Listener) -> Problem:
    return Problem(
        condition="Accepted",
        reason=reasons.PORT_CONFLICT,
        message=f"A load balancer of Rackspace terminates TLS on one port, and {leader.frontend} has it "
        f"on {leader.port}.",
    )


def _conflict(listener: Listener, leader: Listener) -> Problem | None:
    """A setting that there is once only, and that an older frontend wants otherwise."""
    found = []
    if (listener.redirect_status is None) != (leader.redirect_status is None):
        found.append("httpsOnly")
    if listener.disabled != leader.disabled:
        found.append("disabled")
    if not found:
        return None
    return Problem(
        condition="Accepted",
        reason=SETTING_CONFLICT,
        message=f"spec.{' and spec.'.join(found)}: the load balancer has it once for all, and "
        f"{leader.frontend} is older.",
    )


def _unaccepted(message: str, *, stalled: bool) -> Problem:
    return Problem(
        condition="Accepted", reason=reasons.UNSUPPORTED_FIELD, message=message, stalled=stalled
    )
