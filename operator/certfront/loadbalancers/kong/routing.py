"""What is to be changed in Kong's routes, and what is put back: pure.

Routes are made by others. For `httpsOnly` the protocols become `["https"]` and the redirect status
the one that is asked for, once the certificates are bound. What a route was before is kept in a tag
on the route itself, so that it can be put back when the frontend goes, from whatever cluster: a route
that still sent everyone to HTTPS, where its certificate is gone, would be down. A route that is
already as it should be is not touched and not marked. Where someone has changed the protocols since,
they have taken the route over: only our tags are removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kong import ownership
from certfront.loadbalancers.kong.acts import EditRoute, LookFor
from certfront.loadbalancers.kong.reasons import (
    ROUTE_NOT_FOUND,
    ROUTE_UNSUITABLE,
    ROUTES_REQUIRED,
)
from certfront.loadbalancers.kong.state import Observed, Route, Selector
from certfront.loadbalancers.problems import Problem, listed
from certfront.loadbalancers.protocol import Listener, Wish
from certfront.model.meta import ObjectName

HTTPS_ONLY: Final = ("https",)
UPGRADE_REQUIRED: Final = 426
"""Kong's default for `https_redirect_status_code`: plain requests are refused, not redirected."""

_OF_HTTP: Final = frozenset({"http", "https"})
_REDIRECTS: Final = (301, 302, 307, 308)
"""What Kong takes for `https_redirect_status_code`, beside its default 426."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What routes need: `edits` by the frontend that wants them, `restores` by the one that did.

    `settled` are frontends of whose routes nothing is left to be done.
    """

    questions: tuple[tuple[ObjectName, LookFor], ...] = ()
    edits: tuple[tuple[ObjectName, EditRoute], ...] = ()
    restores: tuple[tuple[ObjectName, EditRoute], ...] = ()
    problems: Mapping[ObjectName, tuple[Problem, ...]]
    settled: frozenset[ObjectName] = frozenset()


def selectors(listener: Listener) -> tuple[Selector, ...]:
    """The routes that a listener wants to be changed; none unless it is `httpsOnly`."""
    if listener.redirect_status not in _REDIRECTS or listener.manage != "Listener":
        return ()
    named = listener.kong.routes if listener.kong else ()
    return tuple(
        Selector("name", route.name) if route.name else Selector("tag", route.tag)
        for route in named
    )


def plan_routes(scope: Scope, wish: Wish, observed: Observed) -> Routing:
    """Compare the routes that were found with what the listeners want of them."""
    problems: dict[ObjectName, list[Problem]] = {}
    questions: list[tuple[ObjectName, LookFor]] = []
    edits: list[tuple[ObjectName, EditRoute]] = []
    owner: dict[str, ObjectName] = {}
    unsettled: set[ObjectName] = set()
    for listener in wish.listeners:
        found = problems.setdefault(listener.frontend, [])
        found += _misfits(listener)
        wanted: dict[str, Route] = {}
        for selector in selectors(listener):
            if selector not in observed.looked_for:
                questions.append((listener.frontend, LookFor(selector=selector)))
                unsettled.add(listener.frontend)
                continue
            matches = [r for r in observed.routes.values() if selector.selects(r)]
            wanted.update({route.id: route for route in matches})
            if not matches:
                found.append(_not_found(selector))
        for route in sorted(wanted.values(), key=lambda r: r.id):
            reason = _unsuitable(scope, wish, route, listener, owner.get(route.id))
            if reason:
                found.append(_problem(route, reason))
                continue
            holder = owner.setdefault(route.id, listener.frontend)
            edit = _edit(scope, route, holder, listener.redirect_status or UPGRADE_REQUIRED)
            if edit is not None:
                unsettled.add(listener.frontend)
                edits += [(holder, edit)] if holder == listener.frontend else []
        if found:
            unsettled.add(listener.frontend)
    restores = tuple(_restores(scope, wish, observed, owner))
    unsettled |= {frontend for frontend, _ in restores}
    return Routing(
        questions=tuple(questions),
        edits=tuple(edits),
        restores=restores,
        problems={name: tuple(found) for name, found in problems.items() if found},
        settled=frozenset(one.frontend for one in wish.listeners) - unsettled,
    )


def _misfits(listener: Listener) -> Iterable[Problem]:
    """What the spec asks of routes that cannot be done with it."""
    named = listener.kong is not None and bool(listener.kong.routes)
    if listener.manage != "Listener":
        if named or listener.redirect_status is not None:
            yield _refused(
                "manage: CertificatesOnly leaves routes alone: remove httpsOnly and kong.routes, or "
                "use manage: Listener."
            )
    elif listener.redirect_status is not None and listener.redirect_status not in _REDIRECTS:
        yield _refused(
            f"Kong cannot redirect with {listener.redirect_status}: set redirectStatusCode to 301, "
            "302, 307 or 308."
        )
    elif listener.redirect_status is not None and not named:
        yield Problem(
            condition="Accepted",
            reason=ROUTES_REQUIRED,
            message="httpsOnly is set on routes: name them in spec.kong.routes.",
            stalled=True,
        )


def _unsuitable(
    scope: Scope, wish: Wish, route: Route, listener: Listener, holder: ObjectName | None
) -> str:
    """Why the listener may not have the route, "" if it may."""
    if ownership.is_of_another(scope, route.tags):
        return "is kept by another LoadBalancer or installation of certfront"
    marked = ownership.frontends_of(route.tags) if ownership.is_of(scope, route.tags) else ()
    for frontend in marked:
        if frontend in wish.staying and frontend != listener.frontend:
            return f"is kept for frontend {frontend}"
    if not route.protocols or not _OF_HTTP.issuperset(route.protocols):
        return f"has the protocols {listed(route.protocols)}, of which none can be made https-only"
    if holder is not None and route.redirect_status != listener.redirect_status:
        return f"is redirected as frontend {holder} asks for"
    return ""


def _edit(scope: Scope, route: Route, frontend: ObjectName, status: int) -> EditRoute | None:
    """The change that makes a route https-only, None where it is (and is marked if we made it so)."""
    ours = ownership.is_of(scope, route.tags)
    as_wanted = route.protocols == HTTPS_ONLY and route.redirect_status == status
    if as_wanted and not ours:
        return None
    now = (route.protocols, route.redirect_status)
    was = (ownership.before(route.tags) if ours else None) or now
    tags = ownership.foreign(route.tags) | ownership.route_tags(scope, frontend, *was)
    if as_wanted and tags == route.tags:
        return None
    return EditRoute(
        id=route.id, protocols=HTTPS_ONLY, redirect_status=status, tags=tuple(sorted(tags))
    )


def _restores(
    scope: Scope, wish: Wish, observed: Observed, owner: Mapping[str, ObjectName]
) -> Iterable[tuple[ObjectName, EditRoute]]:
    """Routes that we changed and nobody wants changed any more; nothing of frontends that stay."""
    if not wish.complete:
        return
    asked = {selector for listener in wish.listeners for selector in selectors(listener)}
    if not asked <= observed.looked_for:
        return
    for route in sorted(observed.routes.values(), key=lambda r: r.id):
        if not ownership.is_of(scope, route.tags) or route.id in owner:
            continue
        frontends = ownership.frontends_of(route.tags)
        if frontends & wish.staying or (wish.staying and not frontends):
            continue
        was = ownership.before(route.tags)
        untouched = route.protocols == HTTPS_ONLY and was is not None
        frontend = min(frontends) if frontends else ObjectName("", "")
        yield (
            frontend,
            EditRoute(
                id=route.id,
                protocols=was[0] if untouched and was else None,
                redirect_status=was[1] if untouched and was else None,
                tags=tuple(sorted(ownership.foreign(route.tags))),
            ),
        )


def _not_found(selector: Selector) -> Problem:
    return Problem(
        condition="ResolvedRefs",
        reason=ROUTE_NOT_FOUND,
        message=f"Kong has no route with the {selector.kind} {selector.value}.",
    )


def _problem(route: Route, reason: str) -> Problem:
    return Problem(
        condition="Accepted",
        reason=ROUTE_UNSUITABLE,
        message=f"Route {route.name or route.id} {reason}; it is left as it is.",
    )


def _refused(message: str) -> Problem:
    return Problem(
        condition="Accepted", reason=reasons.UNSUPPORTED_FIELD, message=message, stalled=True
    )
