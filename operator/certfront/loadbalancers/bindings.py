"""Which certificate answers for which hostname.

Takes what was found of each certificate (`Candidate`) and the accepted hostnames, and gives the
`Binding`s of the listener and the problems. The first entry of the list wins for a name and key
type, two of different key type form a pair. What is installed stays when its material is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from certfront.loadbalancers import reasons
from certfront.loadbalancers.problems import Problem, listed
from certfront.loadbalancers.protocol import Binding, CertificateSource, ManagedCertificate
from certfront.model.keys import KeyAlgorithm
from certfront.pki.names import covered_by, is_ip
from certfront.pki.pair import KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A pair that has been parsed and checked. `names` are the canonical names it is valid for."""

    pair: KeyPair
    names: tuple[str, ...]
    key_type: KeyAlgorithm
    fingerprint: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorBinding:
    """What the load balancer was told last about a certificate; its bundle exists."""

    hostnames: tuple[str, ...]
    key_type: KeyAlgorithm
    fingerprint: str
    not_after: datetime | None


_Usable = Material | PriorBinding | ManagedCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One entry of `certificates[]` and what was found of it.

    `expected` are the names that a certificate not issued yet will have. `problem` says why there
    is no material. `shared` marks one of the load balancer's own certificates, `departing` one that
    is listed no more and still served, while not all that are listed have material. `managed`: the
    provider is to issue it, so there will never be material.
    """

    source: CertificateSource
    narrowed: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    material: Material | None = None
    prior: PriorBinding | None = None
    problem: Problem | None = None
    managed: ManagedCertificate | None = None
    acme: bool = False
    shared: bool = False
    departing: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names it is, was or will be valid for; the most certain knowledge first."""
        if self.material is not None:
            return self.material.names
        if self.expected:
            return self.expected
        return self.prior.hostnames if self.prior is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The bindings of a listener, and what is wrong with them."""

    bindings: tuple[Binding, ...] = ()
    problems: tuple[Problem, ...] = field(default=())


def default_hostnames(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """The DNS names of the frontend's own certificates, in order, without duplicates.

    While nothing is known of one of them, those of what it may replace stay.
    """
    names: dict[str, None] = {}
    listed_ones = [one for one in candidates if not one.shared and not one.departing]
    departing = [one for one in candidates if one.departing]
    if all(one.names for one in listed_ones):
        departing = []
    for candidate in (*listed_ones, *departing):
        wanted = candidate.narrowed or candidate.names
        kept = candidate.prior.hostnames if _gone(candidate) and candidate.prior else ()
        names.update(dict.fromkeys(name for name in (*wanted, *kept) if not is_ip(name)))
    return tuple(names)


def bind(candidates: Sequence[Candidate], hostnames: Sequence[str], now: datetime) -> Bound:
    """Bind the accepted `hostnames` to the certificates that cover them.

    A load balancer's own certificate answers only for names that no usable certificate of the
    frontend covers. An expired certificate never comes in anew, and stays where it is served. One
    that is listed no more stays for names that a listed one may yet cover, and is not expired.
    """
    taken: set[tuple[str, KeyAlgorithm]] = set()
    bindings: list[Binding] = []
    problems: list[Problem] = []
    awaited = [one for one in candidates if _is_awaited(one) and not one.departing]
    for candidate in sorted(candidates, key=lambda c: (c.shared, c.departing)):
        usable, problem = _usable(candidate, now)
        problems += [problem] if problem is not None and not candidate.shared else []
        if usable is None:
            continue
        wanted = _wanted(candidate, usable, hostnames)
        if candidate.departing and _has_ended(usable, now):
            continue
        if candidate.departing:
            wanted = [name for name in wanted if _may_come(awaited, name)]
        if candidate.shared or candidate.departing:
            wanted = [name for name in wanted if not any(name == held for held, _ in taken)]
        kind = _key_type(usable)
        free = tuple(name for name in wanted if (name, kind) not in taken)
        taken.update((name, kind) for name in free)
        if free or not (candidate.shared or candidate.departing):
            bindings.append(_binding(candidate, usable, free))
    covered = {name for name, _ in taken}
    problems += _narrowed_too_far(candidates, now)
    problems += _uncovered([n for n in hostnames if n not in covered], candidates)
    return Bound(bindings=tuple(bindings), problems=tuple(problems))


def _may_come(awaited: Iterable[Candidate], name: str) -> bool:
    """Whether one of them may cover the name once there is material for it."""
    wanted = [one.narrowed or one.names for one in awaited if not one.shared]
    return any(not names or covered_by(names, name) for names in wanted)


def _is_awaited(candidate: Candidate) -> bool:
    return candidate.material is None and candidate.managed is None


def _has_ended(usable: _Usable, now: datetime) -> bool:
    if isinstance(usable, ManagedCertificate):
        return False
    return usable.not_after is None or usable.not_after <= now


def _key_type(usable: _Usable) -> KeyAlgorithm:
    """Of what the provider issues the type is not known; it forms no pair with another."""
    return KeyAlgorithm.RSA if isinstance(usable, ManagedCertificate) else usable.key_type


def _usable(candidate: Candidate, now: datetime) -> tuple[_Usable | None, Problem | None]:
    material, prior = candidate.material, candidate.prior
    if candidate.managed is not None:
        return candidate.managed, candidate.problem
    if material is None:
        return prior, candidate.problem
    if material.not_after > now:
        return material, candidate.problem
    expired = Problem(
        condition="ResolvedRefs",
        reason=reasons.CERTIFICATE_EXPIRED,
        message=f"{candidate.source} has expired.",
    )
    return prior, expired


def _wanted(candidate: Candidate, usable: _Usable, hostnames: Sequence[str]) -> list[str]:
    if isinstance(usable, PriorBinding):
        return [name for name in hostnames if name in usable.hostnames]
    return [
        name
        for name in hostnames
        if covered_by(usable.names, name) and (not candidate.narrowed or name in candidate.narrowed)
    ]


def _binding(candidate: Candidate, usable: _Usable, hostnames: tuple[str, ...]) -> Binding:
    if isinstance(usable, ManagedCertificate):
        prior = candidate.prior
        return Binding(
            source=candidate.source,
            hostnames=hostnames,
            key_type=_key_type(usable),
            fingerprint="" if prior is None else prior.fingerprint,
            not_after=None if prior is None else prior.not_after,
            pair=None,
            managed=usable,
        )
    return Binding(
        source=candidate.source,
        hostnames=hostnames,
        key_type=usable.key_type,
        fingerprint=usable.fingerprint,
        not_after=usable.not_after,
        pair=usable.pair if isinstance(usable, Material) else None,
    )


def _gone(candidate: Candidate) -> bool:
    return candidate.material is None and not candidate.expected


def _narrowed_too_far(candidates: Iterable[Candidate], now: datetime) -> list[Problem]:
    found = []
    for candidate in candidates:
        if candidate.material is None or candidate.material.not_after <= now:
            continue
        names = candidate.material.names
        wrong = tuple(name for name in candidate.narrowed if not covered_by(names, name))
        if wrong:
            message = f"{candidate.source} is not valid for {listed(wrong)}."
            found.append(_no_certificate(message))
    return found


def _uncovered(hostnames: Sequence[str], candidates: Sequence[Candidate]) -> list[Problem]:
    """Names without a certificate, but not those that a certificate not issued yet will cover."""
    awaited = [
        name
        for candidate in candidates
        if _is_awaited(candidate)
        for name in (candidate.narrowed or candidate.names)
    ]
    missing = tuple(name for name in hostnames if not covered_by(awaited, name))
    if not missing:
        return []
    return [_no_certificate(f"No certificate of this frontend covers {listed(missing)}.")]


def _no_certificate(message: str) -> Problem:
    return Problem(
        condition="ResolvedRefs", reason=reasons.NO_CERTIFICATE_FOR_HOSTNAME, message=message
    )
