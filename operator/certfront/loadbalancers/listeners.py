"""The decision about one frontend: what its load balancer is to do, and what stands in the way.

A pure function on a closed view. Checks run in order: `acceptance` (may it?), `claims` (who holds
the names?), `bindings` (which certificate answers?). Where nothing new may be programmed, what is
installed stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from certfront.loadbalancers import acceptance, claims, reasons
from certfront.loadbalancers.bindings import Bound, Candidate, bind, default_hostnames
from certfront.loadbalancers.claims import Claim, Installed, Loss
from certfront.loadbalancers.materials import source_of
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import (
    Capabilities,
    CertificateSource,
    Listener,
    ResolvedFarm,
)
from certfront.loadbalancers.registry import HAPROXY, capabilities_of
from certfront.model.frontend import Frontend
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName
from certfront.model.settings import Settings

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that the decision about a frontend depends on.

    `installed` is what the load balancer was told last, None where that cannot be read. `ready` are
    the hostnames with a usable certificate, found alike for this frontend and its rivals. `farm` is
    what the chosen farm resolved to; where it did not, `farm_problem` says why and `prior_farm` is
    what is installed.
    """

    frontend: Frontend
    settings: Settings
    now: datetime
    target: ObjectName | None
    load_balancer: LoadBalancer | None
    permission: acceptance.Permission | None
    candidates: tuple[Candidate, ...] = ()
    rivals: tuple[Claim, ...] = ()
    ready: frozenset[str] = frozenset()
    installed: Installed | None = field(default_factory=Installed)
    farm: ResolvedFarm | None = None
    farm_problem: Problem | None = None
    prior_farm: ResolvedFarm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to program, and the problems in order of weight.

    Where nothing new may be programmed (`listener` None), `keeps` are the hostnames that may stay
    installed: what is granted no longer goes all the same. None: everything stays as it is.
    """

    listener: Listener | None
    problems: tuple[Problem, ...] = ()
    keeps: frozenset[str] | None = None


def decide(view: View) -> Decision:
    """What the load balancer of `view.frontend` is to do."""
    gate = tuple(_gate(view))
    if any(problem.withholds_all for problem in gate):
        return Decision(listener=None, problems=gate, keeps=_kept(view))
    if view.permission is None or view.target is None:
        raise TypeError("a view that no load balancer permits is refused by the gate")
    names, losses, problems = _accepted_names(view, view.permission, view.target)
    if any(problem.withholds_all for problem in problems):
        return Decision(listener=None, problems=(*gate, *problems), keeps=_kept(view))
    bound = _bound(view, names)
    contested = claims.conflicts(losses, others_served=_any_served(view, names, bound))
    found = (*gate, *problems, *((contested,) if contested else ()), *bound.problems)
    if not names:
        # A listener without hostnames would be no one's: what is installed goes.
        keeps = None if view.installed is None else frozenset[str]()
        return Decision(listener=None, problems=(*found, *_nameless(found)), keeps=keeps)
    return Decision(listener=_listener(view, names, bound), problems=found)


def claim_of(
    frontend: Frontend,
    permission: acceptance.Permission,
    hostnames: tuple[str, ...],
    installed: Installed,
    can: Capabilities = HAPROXY,
    *,
    ready: frozenset[str] = frozenset(),
    acme: bool = False,
) -> Claim:
    """What a frontend that wants `hostnames` holds against others: only what it is granted.

    One that is going, whose spec could never be programmed, or that may have none of its hostnames
    keeps nothing from others, ports included, but what is installed of it. `acme`: one of its
    certificates may need HTTP-01.
    """
    refused = set(permission.withheld((*hostnames, *sorted(installed.routed))))
    gone = frontend.metadata.deletion_timestamp is not None or any(
        problem is not None and problem.stalled for problem in _hopeless(frontend, permission, can)
    )
    claimed = frozenset() if gone else frozenset(n for n in hostnames if n not in refused)
    return Claim(
        frontend=frontend.metadata.object_name,
        age_order=frontend.metadata.age_order,
        ports=claims.ports_of(frontend.spec) if claimed else {},
        challenge_port=claims.challenge_port_of(frontend.spec, acme=acme) if claimed else None,
        installed=installed.within(installed.routed - refused),
        claimed=claimed,
        ready=claimed if not frontend.spec.ssl else claimed & ready,
    )


def _hopeless(
    frontend: Frontend, permission: acceptance.Permission, can: Capabilities
) -> Iterator[Problem | None]:
    yield acceptance.check_supported(frontend.spec, "", can)
    yield acceptance.check_target(frontend.spec, can)
    yield acceptance.check_certificates_listed(frontend.spec)
    yield _challenge_port_refused(frontend, permission)


def _challenge_port_refused(
    frontend: Frontend, permission: acceptance.Permission
) -> Problem | None:
    """Whether a guest of the load balancer asks for TLS where everyone's challenges are answered."""
    spec = frontend.spec
    taken = spec.ssl and spec.port == claims.PlainHTTPPort and not permission.unrestricted
    return claims.challenge_port_refused() if taken else None


def _kept(view: View) -> frozenset[str] | None:
    """The installed hostnames that are still granted; none where the backend is not."""
    if view.installed is None or view.permission is None or not view.permission.anything:
        return None
    farm = view.prior_farm
    if farm is not None and not _permitted(farm, view.permission):
        return frozenset()
    return view.installed.routed - set(view.permission.withheld(sorted(view.installed.routed)))


def _permitted(farm: ResolvedFarm, permission: acceptance.Permission) -> bool:
    """Whether traffic may (still) go there; a Service is always one of the own namespace."""
    return farm.from_service or acceptance.check_servers(farm.servers, permission) is None


def _any_served(view: View, names: tuple[str, ...], bound: Bound) -> bool:
    spec = view.frontend.spec
    bindings = any(binding.hostnames for binding in bound.bindings)
    return bool(names) and not spec.disabled and (bindings or not spec.ssl)


def _gate(view: View) -> Iterator[Problem]:
    spec = view.frontend.spec
    refusal = acceptance.refuse_load_balancer(
        view.target, view.load_balancer, view.permission, view.settings
    )
    can = capabilities_of(view.load_balancer)
    type_ = "HAProxy" if view.load_balancer is None else view.load_balancer.spec.type
    found = [refusal, acceptance.check_supported(spec, type_, can)]
    found.append(acceptance.check_target(spec, can))
    found.append(acceptance.check_certificates_listed(spec))
    farm = acceptance.chosen_farm(spec)
    if refusal is None and view.permission is not None:
        found.append(_challenge_port_refused(view.frontend, view.permission))
        if farm is not None:
            found.append(acceptance.check_servers(farm.servers, view.permission))
    found.append(view.farm_problem)
    yield from (problem for problem in found if problem is not None)


def _accepted_names(
    view: View, permission: acceptance.Permission, target: ObjectName
) -> tuple[tuple[str, ...], tuple[Loss, ...], tuple[Problem, ...]]:
    """The hostnames that the frontend may serve, those that others hold, and other problems."""
    asked, invalid = acceptance.normalised(view.frontend.spec.hostnames)
    if invalid is not None:
        return (), (), (invalid,)
    wanted = asked or default_hostnames(view.candidates)
    mine = claim_of(
        view.frontend,
        permission,
        wanted,
        view.installed or Installed(),
        capabilities_of(view.load_balancer),
        ready=view.ready,
        acme=_needs_challenges(view),
    )
    blocked = claims.lost_port(mine, view.rivals)
    if blocked is not None:
        return (), (), (claims.protocol_conflict(*blocked),)
    losses = claims.lost(mine, view.rivals)
    held_elsewhere = {loss.hostname for loss in losses}
    names = tuple(n for n in wanted if n in mine.claimed and n not in held_elsewhere)
    refused = permission.withheld(wanted)
    return names, losses, (acceptance.not_granted(refused, target),) if refused else ()


def _bound(view: View, names: tuple[str, ...]) -> Bound:
    if not view.frontend.spec.ssl:
        return Bound()
    can = capabilities_of(view.load_balancer)
    return bind([_within(candidate, can) for candidate in view.candidates], names, view.now)


def _within(candidate: Candidate, can: Capabilities) -> Candidate:
    """The candidate without material that the load balancer cannot take, and why."""
    if candidate.material is None or candidate.material.key_type in can.key_types:
        return candidate
    taken = " or ".join(can.key_types)
    problem = Problem(
        condition="ResolvedRefs",
        reason=reasons.KEY_TYPE_UNSUPPORTED,
        message=f"{candidate.source} has a key of type {candidate.material.key_type}; the load "
        f"balancer takes {taken} only. Set spec.privateKey.algorithm of the Certificate.",
    )
    return replace(candidate, material=None, problem=problem)


def _nameless(found: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Say that there is nothing to serve, unless something else says why."""
    if found:
        return ()
    return (
        Problem(
            condition="Accepted",
            reason=reasons.NO_HOSTNAMES,
            message="There is no hostname to serve: list spec.hostnames or a certificate with "
            "DNS names.",
        ),
    )


def _listener(view: View, names: tuple[str, ...], bound: Bound) -> Listener:
    meta, spec = view.frontend.metadata, view.frontend.spec
    return Listener(
        frontend=meta.object_name,
        created=meta.creation_timestamp or _LONG_AGO,
        hostnames=names,
        port=spec.port,
        ssl=spec.ssl,
        http_port=claims.http_port_of(spec),
        challenge_port=claims.challenge_port_of(spec, acme=_needs_challenges(view)),
        bindings=bound.bindings,
        default_certificate=_default_certificate(view),
        farm=None if spec.redirect_location else view.farm or _prior_farm(view),
        farm_name=spec.default_farm,
        redirect_location=spec.redirect_location,
        redirect_status=spec.redirect_status_code if spec.https_only and spec.ssl else None,
        accept_terminated=spec.accept_http_if_already_terminated,
        trusted_sources=spec.trusted_sources,
        hsts=spec.hsts,
        allowed_sources=spec.allowed_sources,
        denied_sources=spec.denied_sources,
        min_tls_version=spec.tls.min_version,
        tls_policy=spec.tls.policy,
        zone=spec.zone,
        display_name=spec.display_name,
        disabled=spec.disabled,
        manage=spec.manage,
        adopt=spec.adopt,
        classic=spec.aws_classic,
        kong=spec.kong,
    )


def _needs_challenges(view: View) -> bool:
    return capabilities_of(view.load_balancer).challenges and any(
        candidate.acme for candidate in view.candidates if not candidate.shared
    )


def _prior_farm(view: View) -> ResolvedFarm | None:
    """The farm that is installed, as long as traffic may go there."""
    farm, permission = view.prior_farm, view.permission
    if farm is None or permission is None or not _permitted(farm, permission):
        return None
    return farm


def _default_certificate(view: View) -> CertificateSource | None:
    spec, namespace = view.frontend.spec, view.frontend.metadata.namespace
    if spec.default_certificate is None or not spec.ssl:
        return None
    return source_of(spec.default_certificate, namespace)
