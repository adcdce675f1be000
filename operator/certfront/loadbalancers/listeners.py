"""The decision about one frontend: what its load balancer is to do, and what stands in the way.

A pure function on a closed view. Checks run in order: `acceptance` (may it?), `claims` (who holds
the names?), `bindings` (which certificate answers?). Where nothing new may be programmed, what is
installed stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from certfront.loadbalancers import acceptance, claims, reasons
from certfront.loadbalancers.bindings import Bound, Candidate, bind, default_hostnames
from certfront.loadbalancers.claims import Claim
from certfront.loadbalancers.materials import source_of
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import CertificateSource, Listener, ResolvedFarm
from certfront.model.frontend import Frontend
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName
from certfront.model.settings import Settings

CHALLENGE_PORT = 80
"""Where a CA asks for HTTP-01 challenges (RFC 8555 section 8.3)."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that the decision about a frontend depends on.

    `installed` are the hostnames that the load balancer was told last. `farm` is what the chosen
    farm resolved to; where it did not, `farm_problem` says why and `prior_farm` is what is
    installed.
    """

    frontend: Frontend
    settings: Settings
    now: datetime
    target: ObjectName | None
    load_balancer: LoadBalancer | None
    permission: acceptance.Permission | None
    candidates: tuple[Candidate, ...] = ()
    rivals: tuple[Claim, ...] = ()
    installed: frozenset[str] = frozenset()
    farm: ResolvedFarm | None = None
    farm_problem: Problem | None = None
    prior_farm: ResolvedFarm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to program (None: leave everything as it is), and the problems in order of weight."""

    listener: Listener | None
    problems: tuple[Problem, ...] = ()


def decide(view: View) -> Decision:
    """What the load balancer of `view.frontend` is to do."""
    gate = tuple(_gate(view))
    if any(problem.withholds_all for problem in gate):
        return Decision(listener=None, problems=gate)
    if view.permission is None or view.target is None:
        raise TypeError("a view that no load balancer permits is refused by the gate")
    names, problems = _accepted_names(view, view.permission, view.target)
    if any(problem.withholds_all for problem in problems):
        return Decision(listener=None, problems=(*gate, *problems))
    bound = _bound(view, names)
    found = (*gate, *problems, *bound.problems)
    if not names and not view.installed:
        return Decision(listener=None, problems=(*found, *_nameless(found)))
    return Decision(listener=_listener(view, names, bound), problems=found)


def claim_of(
    frontend: Frontend,
    permission: acceptance.Permission,
    hostnames: tuple[str, ...],
    installed: frozenset[str],
) -> Claim:
    """What a frontend that wants `hostnames` holds against others: only what it is granted.

    One that is going, or whose spec could never be programmed, keeps nothing from others.
    """
    refused = set(permission.withheld(hostnames))
    gone = frontend.metadata.deletion_timestamp is not None or any(
        check(frontend.spec) is not None
        for check in (acceptance.check_supported, acceptance.check_target)
    )
    return Claim(
        frontend=frontend.metadata.object_name,
        age_order=frontend.metadata.age_order,
        ports=claims.ports_of(frontend.spec),
        installed=installed,
        claimed=frozenset() if gone else frozenset(n for n in hostnames if n not in refused),
    )


def _gate(view: View) -> Iterator[Problem]:
    spec = view.frontend.spec
    refusal = acceptance.refuse_load_balancer(
        view.target, view.load_balancer, view.permission, view.settings
    )
    found = [refusal, acceptance.check_supported(spec), acceptance.check_target(spec)]
    found.append(acceptance.check_certificates_listed(spec))
    farm = acceptance.chosen_farm(spec)
    if refusal is None and view.permission is not None and farm is not None:
        found.append(acceptance.check_servers(farm.servers, view.permission))
    found.append(view.farm_problem)
    yield from (problem for problem in found if problem is not None)


def _accepted_names(
    view: View, permission: acceptance.Permission, target: ObjectName
) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """The hostnames that the frontend may serve, and why the others are withheld."""
    asked, invalid = acceptance.normalised(view.frontend.spec.hostnames)
    if invalid is not None:
        return (), (invalid,)
    wanted = asked or default_hostnames(view.candidates)
    mine = claim_of(view.frontend, permission, wanted, view.installed)
    blocked = claims.lost_port(mine, view.rivals)
    if blocked is not None:
        return (), (claims.protocol_conflict(*blocked),)
    losses = claims.lost(mine, view.rivals)
    held_elsewhere = {loss.hostname for loss in losses}
    names = tuple(n for n in wanted if n in mine.claimed and n not in held_elsewhere)
    refused = permission.withheld(wanted)
    found = (
        acceptance.not_granted(refused, target) if refused else None,
        claims.conflicts(losses),
    )
    return names, tuple(problem for problem in found if problem is not None)


def _bound(view: View, names: tuple[str, ...]) -> Bound:
    if not view.frontend.spec.ssl:
        return Bound()
    return bind(view.candidates, names, view.now)


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
    http_port = claims.http_port_of(spec)
    return Listener(
        frontend=meta.object_name,
        created=meta.creation_timestamp or _LONG_AGO,
        hostnames=names,
        port=spec.port,
        ssl=spec.ssl,
        http_port=http_port,
        challenge_port=_challenge_port(view, http_port),
        bindings=bound.bindings,
        default_certificate=_default_certificate(view),
        farm=None if spec.redirect_location else view.farm or view.prior_farm,
        redirect_location=spec.redirect_location,
        redirect_status=spec.redirect_status_code if spec.https_only and spec.ssl else None,
        accept_terminated=spec.accept_http_if_already_terminated,
        trusted_sources=spec.trusted_sources,
        hsts=spec.hsts,
        allowed_sources=spec.allowed_sources,
        denied_sources=spec.denied_sources,
        min_tls_version=spec.tls.min_version,
        disabled=spec.disabled,
    )


def _challenge_port(view: View, http_port: int | None) -> int | None:
    """Port 80, where HTTP-01 needs it and the frontend has nothing of its own there."""
    spec = view.frontend.spec
    plain = http_port if spec.ssl else spec.port
    needed = any(candidate.acme for candidate in view.candidates if not candidate.shared)
    return CHALLENGE_PORT if needed and CHALLENGE_PORT not in (plain, spec.port) else None


def _default_certificate(view: View) -> CertificateSource | None:
    spec, namespace = view.frontend.spec, view.frontend.metadata.namespace
    if spec.default_certificate is None or not spec.ssl:
        return None
    return source_of(spec.default_certificate, namespace)
