"""Which certificates Kong should have for a wish: pure, without looking at what is there.

An SNI leads to exactly one certificate, and a certificate of Kong holds one chain or two of different
key type. So names are grouped by the set of certificates that answer for them; each set becomes one
Kong certificate, shared by all frontends that use the same set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kong.ownership import Sources, certificate_id
from certfront.loadbalancers.problems import Problem, listed
from certfront.loadbalancers.protocol import Binding, CertificateSource, Listener, Wish
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName

ANY_NAME: Final = "*"
"""The SNI that answers for every name that no other SNI matches; not for clients that send none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCertificate:
    """A Kong certificate that there should be, with the SNIs that lead to it.

    `halves` has for each source the newest that any frontend knows of it, RSA first. `names` and
    `frontends` are in no order; a certificate without names is not wanted.
    """

    id: str
    sources: Sources
    halves: tuple[Binding, ...] = field(repr=False)
    names: frozenset[str]
    frontends: frozenset[ObjectName]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All certificates by id, the id for each SNI, and what stands in the way of frontends.

    `names_of` are the SNIs that each frontend has got, by source.
    """

    certificates: Mapping[str, WantedCertificate]
    holder: Mapping[str, str]
    names_of: Mapping[tuple[ObjectName, CertificateSource], tuple[str, ...]]
    problems: Mapping[ObjectName, tuple[Problem, ...]]


def gather(scope: Scope, wish: Wish) -> Wanted:
    """Group the names of all listeners; where two want one name differently, the older has it."""
    holders: dict[str, tuple[Listener, Sources]] = {}
    names_of: dict[tuple[ObjectName, CertificateSource], list[str]] = {}
    users: dict[Sources, set[ObjectName]] = {}
    problems: dict[ObjectName, list[Problem]] = {}
    for listener, name, sources in _claims(scope, wish.listeners):
        elder, held = holders.setdefault(name, (listener, sources))
        if not _servable(name):
            del holders[name]
            problems.setdefault(listener.frontend, []).append(_unservable(name))
            continue
        if held != sources:
            problems.setdefault(listener.frontend, []).append(_held(name, elder.frontend))
            continue
        users.setdefault(sources, set()).add(listener.frontend)
        for source in sources:
            names_of.setdefault((listener.frontend, source), []).append(name)
    newest = _newest(wish)
    ids = {sources: certificate_id(scope, sources) for sources in users}
    holder = {name: ids[sources] for name, (_, sources) in holders.items()}
    names_at: dict[str, set[str]] = {}
    for name, key in holder.items():
        names_at.setdefault(key, set()).add(name)
    certificates = {}
    for sources, frontends in users.items():
        key = ids[sources]
        certificates[key] = WantedCertificate(
            id=key,
            sources=sources,
            halves=_halves(newest[source] for source in sources),
            names=frozenset(names_at.get(key, ())),
            frontends=frozenset(frontends),
        )
    return Wanted(
        certificates=certificates,
        holder=holder,
        names_of={key: tuple(names) for key, names in names_of.items()},
        problems={frontend: tuple(found) for frontend, found in problems.items()},
    )


def _claims(scope: Scope, listeners: Iterable[Listener]) -> Iterable[tuple[Listener, str, Sources]]:
    """Every SNI that a listener wants, with what is to answer; the default's after all others."""
    listeners = tuple(listeners)
    for listener in listeners:
        for name, sources in _sources_by_name(listener).items():
            yield listener, name, sources
    home = scope.load_balancer.namespace
    for listener in sorted(listeners, key=lambda one: one.frontend.namespace != home):
        sources = _default(listener)
        if sources:
            yield listener, ANY_NAME, sources


def _sources_by_name(listener: Listener) -> dict[str, Sources]:
    found: dict[str, set[CertificateSource]] = {}
    for binding in listener.bindings:
        for name in binding.hostnames:
            found.setdefault(name, set()).add(binding.source)
    return {name: frozenset(sources) for name, sources in found.items()}


def _default(listener: Listener) -> Sources:
    """What answers for unknown names: the pair that the default certificate is a half of, if any."""
    wanted = listener.default_certificate
    if wanted is None or not any(binding.source == wanted for binding in listener.bindings):
        return frozenset()
    sets = [sources for sources in _sources_by_name(listener).values() if wanted in sources]
    return max(sets, key=len) if sets else frozenset({wanted})


def _newest(wish: Wish) -> dict[CertificateSource, Binding]:
    """Of each source the binding that is ahead, while frontends learn of a renewal one by one."""
    found: dict[CertificateSource, Binding] = {}
    for _, binding in wish.bindings():
        held = found.setdefault(binding.source, binding)
        if _age(binding) > _age(held):
            found[binding.source] = binding
    return found


def _age(binding: Binding) -> tuple[bool, float, float, str]:
    """Greater for material that is at hand, and was made later."""
    starts = binding.pair.leaf.not_valid_before_utc.timestamp() if binding.pair else 0.0
    ends = binding.not_after.timestamp() if binding.not_after else 0.0
    return (binding.pair is not None, starts, ends, binding.fingerprint)


def _halves(bindings: Iterable[Binding]) -> tuple[Binding, ...]:
    """RSA first: Kong's `cert`; `cert_alt` is for the other type (`Certificate Object`, cert_alt)."""
    return tuple(sorted(bindings, key=lambda b: (b.key_type is not KeyAlgorithm.RSA, b.source)))[:2]


def _servable(name: str) -> bool:
    """Kong takes no name of digits and dots alone (kong.tools.ip, validated as a host)."""
    return not all(label.isdigit() for label in name.split("."))


def _unservable(name: str) -> Problem:
    return Problem(
        condition="Accepted",
        reason=reasons.REFUSED_BY_PROVIDER,
        message=f"Kong takes no SNI of digits alone: {listed((name,))}.",
    )


def _held(name: str, elder: ObjectName) -> Problem:
    what = "The default certificate (SNI *)" if name == ANY_NAME else name
    return Problem(
        condition="Accepted",
        reason=reasons.HOSTNAME_CONFLICT,
        message=f"{what} is served for frontend {elder} with another certificate; Kong has one for a "
        "name, whatever the port.",
    )
