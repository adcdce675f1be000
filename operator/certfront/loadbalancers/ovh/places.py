"""Which frontends a service should have, and who of certfront's frontends shares which.

OVH has one frontend per port and zone, and routes by host only through routes that belong to others:
so frontends of certfront on one port and zone share an OVH frontend if they ask the same of it, and
the younger is refused if they do not. OVH's description does not say that a second frontend on a port
is refused; nothing here relies on either. Pure; used by `plan`.

Redirecting plain HTTP to HTTPS is a route without rules on the plain frontend. The variables that keep
host and path, and the choice of a status, are documented for routes only (ovh/docs, "Working with HTTP
routes", Redirection). Until that route is there the plain frontend is disabled, so that nobody is
served without the redirect.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.ovh.client import Frontend, Route, RouteAction
from certfront.loadbalancers.ovh.state import Observed
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import Listener, Wish
from certfront.model.meta import ObjectName

PLAIN: Final = "http"
"""The part of a name that tells the plain twin of a frontend."""

ALL_ZONES: Final = "all"
LARGEST_PORT: Final = 49151


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One OVH frontend that is wanted, by `users` of whom the first decides how it is named.

    `settings` are what it should be (its id is that of the frontend that is there, else 0). `route`
    is what its requests should meet instead of the farm. `held`: it stays as it is.
    """

    part: str
    users: tuple[Listener, ...]
    settings: Frontend
    route: RouteAction | None = None
    held: bool = False

    @property
    def names(self) -> tuple[ObjectName, ...]:
        """Certfront's frontends that use it."""
        return tuple(user.frontend for user in self.users)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """All of them, what is wrong with whom, and who waits for a farm to be looked up."""

    wanted: tuple[Place, ...]
    problems: tuple[tuple[ObjectName, Problem], ...] = ()
    waiting: frozenset[ObjectName] = frozenset()


def zone_of(listener: Listener) -> str:
    """The zone that a frontend asks for; all of them unless it says otherwise."""
    return listener.zone or ALL_ZONES


def overlaps(frontend: Frontend, port: int, zone: str) -> bool:
    """Whether an OVH frontend listens on the port in the zone, for everyone.

    One that is bound to additional addresses (`dedicatedIpfo`) leaves the others free.
    """
    return (
        not frontend.dedicated_ipfo
        and _zones_meet(frontend.zone, zone)
        and _has_port(frontend.port, port)
    )


def is_at(frontend: Frontend, port: int, zone: str) -> bool:
    """Whether an OVH frontend is for exactly this port and zone."""
    return frontend.port == str(port) and frontend.zone.lower() == zone.lower()


def owner_among(
    scope: Scope, name: str | None, frontends: Iterable[ObjectName]
) -> ObjectName | None:
    """Which of certfront's frontends an object of that name was made for."""
    for frontend in frontends:
        if scope.is_frontend(name or "", frontend) or scope.is_frontend(
            name or "", frontend, PLAIN
        ):
            return frontend
    return None


def equal(one: Frontend, other: Frontend) -> bool:
    """Whether two say the same in everything that certfront sets."""
    return _comparable(one) == _comparable(other)


def find(wish: Wish, observed: Observed, scope: Scope) -> Places:
    """The frontends that the listeners of the wish want; older listeners come first."""
    return _Finder(wish, observed, scope).find()


class _Finder:
    def __init__(self, wish: Wish, observed: Observed, scope: Scope) -> None:
        self._wish = wish
        self._observed = observed
        self._scope = scope
        self._places: list[Place] = []
        self._problems: list[tuple[ObjectName, Problem]] = []
        self._waiting: set[ObjectName] = set()
        self._stuck: set[ObjectName] = set()
        self._foreign = [
            one
            for _, one in sorted(observed.frontends.items())
            if scope.mark(one.display_name or "") is None
        ]
        self._ours = [
            one
            for _, one in sorted(observed.frontends.items())
            if scope.mark(one.display_name or "") is not None
        ]

    def find(self) -> Places:
        for listener in self._wish.listeners:
            if listener.manage == "Listener":
                self._add(listener)
        return Places(
            wanted=tuple(self._places),
            problems=tuple(self._problems),
            waiting=frozenset(self._waiting),
        )

    def _add(self, listener: Listener) -> None:
        problem = self._refusal(listener)
        if problem is not None:
            self._problems.append((listener.frontend, problem))
            self._stuck.add(listener.frontend)
            return
        farm = self._farm(listener)
        if farm is None and listener.farm_name and not listener.redirect_location:
            self._stuck.add(listener.frontend)
            return
        main = _settings(listener, farm, port=listener.port, ssl=listener.ssl)
        self._claim(listener, "", main, None)
        if listener.ssl and listener.http_port is not None:
            twin = _settings(listener, farm, port=listener.http_port, ssl=False)
            self._claim(listener, PLAIN, twin, redirect(listener))

    def _refusal(self, listener: Listener) -> Problem | None:
        """What of the spec the service cannot do."""
        if listener.allowed_sources and listener.denied_sources:
            return Problem(
                condition="Accepted",
                reason=reasons.UNSUPPORTED_FIELD,
                message="OVH takes spec.allowedSources or spec.deniedSources, not both.",
                stalled=True,
            )
        ports = [listener.port] + ([listener.http_port] if listener.http_port else [])
        if any(port > LARGEST_PORT for port in ports):
            return Problem(
                condition="Accepted",
                reason=reasons.UNSUPPORTED_FIELD,
                message=f"OVH listens on ports up to {LARGEST_PORT}. Correct spec.port or "
                "spec.httpPort.",
                stalled=True,
            )
        zones = {ALL_ZONES, *(zone.lower() for zone in self._observed.service.zone)}
        if zone_of(listener).lower() not in zones:
            return Problem(
                condition="Accepted",
                reason=reasons.REFUSED_BY_PROVIDER,
                message=f"The service is not in zone {zone_of(listener)}; it has "
                f"{', '.join(sorted(zones))}. Correct spec.zone.",
            )
        return None

    def _farm(self, listener: Listener) -> int | None:
        """The id of the farm; says what is wrong where there is not exactly one."""
        if listener.redirect_location or not listener.farm_name:
            return None
        found = self._observed.looked.farms.get(listener.farm_name)
        if found is None:
            self._waiting.add(listener.frontend)
            return None
        if len(found) == 1:
            return found[0]
        what = "has several HTTP farms" if found else "has no HTTP farm"
        self._problems.append(
            (
                listener.frontend,
                Problem(
                    condition="ResolvedRefs",
                    reason=reasons.FARM_NOT_FOUND,
                    message=f"The service {what} of the name or id {listener.farm_name}.",
                ),
            )
        )
        return None

    def _claim(
        self, listener: Listener, part: str, settings: Frontend, route: RouteAction | None
    ) -> None:
        port, zone = int(settings.port), settings.zone
        for position, place in enumerate(self._places):
            if not overlaps(place.settings, port, zone):
                continue
            shared = self._shared(place, listener, part, settings, route)
            if shared is None:
                self._conflict(listener, port, place.users[0].frontend if place.users else None)
            else:
                self._places[position] = shared
            return
        held = self._held(port, zone)
        if held is not None:
            owner = owner_among(self._scope, held.display_name, self._wish.staying)
            if is_at(held, port, zone) and _same_service(held, settings) and route is None:
                self._places.append(
                    Place(part=part, users=(listener,), settings=held, route=None, held=True)
                )
            else:
                self._conflict(listener, port, owner)
            return
        ours = self._best(listener, part, port, zone)
        if ours is None:
            foreign = [one for one in self._foreign if overlaps(one, port, zone)]
            ours = next((one for one in foreign if is_at(one, port, zone)), None)
            if foreign and not (ours is not None and listener.adopt and len(foreign) == 1):
                self._problems.append((listener.frontend, _exists(port, listener.adopt)))
                return
        self._places.append(
            Place(
                part=part,
                users=(listener,),
                settings=self._named(settings, listener, part, ours),
                route=route,
            )
        )

    def _shared(
        self,
        place: Place,
        listener: Listener,
        part: str,
        settings: Frontend,
        route: RouteAction | None,
    ) -> Place | None:
        """The place with one more user; None where it asks for something else."""
        if (
            place.part != part
            or place.route != route
            or not is_at(place.settings, int(settings.port), settings.zone)
            or not _same_service(place.settings, settings)
        ):
            return None
        return replace(place, users=(*place.users, listener))

    def _held(self, port: int, zone: str) -> Frontend | None:
        """Our frontend there, if it belongs to someone about whom nothing new can be decided.

        A mark whose owner nobody knows may be that of one who stays.
        """
        if not self._wish.staying and not self._stuck:
            return None
        known = {listener.frontend for listener in self._wish.listeners} | self._wish.releasing
        for one in self._ours:
            if overlaps(one, port, zone):
                owner = owner_among(self._scope, one.display_name, known)
                if owner in self._stuck or (owner is None and self._wish.staying):
                    return one
        return None

    def _best(self, listener: Listener, part: str, port: int, zone: str) -> Frontend | None:
        """Our frontend at the place: the one that was made for it, else the first.

        One that status remembers is ours though someone has given it another name.
        """
        memory = self._wish.memory.get(listener.frontend)
        known = memory.frontend_id if memory is not None and part != PLAIN else ""
        renamed = [one for one in self._foreign if str(one.frontend_id) == known]
        there = [one for one in (*self._ours, *renamed) if is_at(one, port, zone)]
        return min(
            there,
            key=lambda one: (
                not self._scope.is_frontend(one.display_name or "", listener.frontend, part),
                one.frontend_id,
            ),
            default=None,
        )

    def _named(
        self, settings: Frontend, listener: Listener, part: str, there: Frontend | None
    ) -> Frontend:
        """With the id of what is there, our name, and what certfront never sets as it is."""
        name = self._scope.frontend_name(listener.frontend, part, shown=listener.display_name)
        if there is None:
            return msgspec.structs.replace(settings, display_name=name)
        return msgspec.structs.replace(
            settings,
            frontend_id=there.frontend_id,
            display_name=name,
            zone=there.zone,
            dedicated_ipfo=there.dedicated_ipfo,
            http_header=there.http_header,
            default_ssl_id=there.default_ssl_id,
        )

    def _conflict(self, listener: Listener, port: int, other: ObjectName | None) -> None:
        whose = f"frontend {other}" if other is not None else "another frontend"
        if other is not None and other.namespace != listener.frontend.namespace:
            whose = "a frontend of another namespace"
        self._problems.append(
            (
                listener.frontend,
                Problem(
                    condition="Accepted",
                    reason=reasons.PORT_CONFLICT,
                    message=f"On OVH a port has one farm or redirect, and {whose} asks something "
                    f"else of port {port}. Use another port, or the same settings as there.",
                ),
            )
        )


def redirect(listener: Listener) -> RouteAction | None:
    """What sends plain HTTP to HTTPS, keeping host, path and arguments; None where it is not asked.

    `${host}` has the port that the client wrote, so it is right where both ports are the usual ones.
    """
    if listener.redirect_status is None:
        return None
    if listener.http_port == 80 and listener.port == 443:
        target = "https://${host}${path}${arguments}"
    else:
        port = "" if listener.port == 443 else f":{listener.port}"
        target = f"https://${{domain}}{port}${{path}}${{arguments}}"
    return RouteAction(type="redirect", status=listener.redirect_status, target=target)


def route_of(frontend_id: int, routes: Iterable[Route]) -> tuple[Route, ...]:
    """Our routes of an OVH frontend, oldest first."""
    return tuple(
        sorted(
            (one for one in routes if one.frontend_id == frontend_id),
            key=lambda one: one.route_id,
        )
    )


def _settings(listener: Listener, farm: int | None, *, port: int, ssl: bool) -> Frontend:
    return Frontend(
        frontend_id=0,
        port=str(port),
        zone=zone_of(listener),
        ssl=ssl,
        default_farm_id=farm,
        redirect_location=listener.redirect_location or None,
        hsts=ssl and listener.hsts is not None,
        allowed_source=listener.allowed_sources or None,
        denied_source=listener.denied_sources or None,
        disabled=listener.disabled,
    )


def _exists(port: int, adopt: bool) -> Problem:
    more = " It cannot be handed over: it has other ports or another zone too." if adopt else ""
    return Problem(
        condition="Accepted",
        reason=reasons.LISTENER_EXISTS,
        message=f"The service has a frontend on port {port} that certfront did not make.{more}",
    )


def _same_service(one: Frontend, other: Frontend) -> bool:
    """Whether both send traffic the same way; names and default certificates may differ."""
    return _comparable(one)[:-2] == _comparable(other)[:-2]


def _comparable(one: Frontend) -> tuple[object, ...]:
    return (
        one.port,
        one.zone.lower(),
        one.ssl,
        one.default_farm_id,
        one.redirect_location or None,
        one.hsts,
        _blocks(one.allowed_source),
        _blocks(one.denied_source),
        one.disabled,
        one.display_name,
        one.default_ssl_id,
    )


def _blocks(found: Sequence[str] | None) -> frozenset[str]:
    """Blocks of addresses in one spelling."""
    return frozenset(_block(one) for one in found) if found else frozenset()


def _block(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return text


def _zones_meet(one: str, other: str) -> bool:
    return ALL_ZONES in (one.lower(), other.lower()) or one.lower() == other.lower()


def _has_port(ports: str, port: int) -> bool:
    """Whether `80`, `80,443` or `8000-8100` has the port (POST /http/frontend, `port`)."""
    for part in ports.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and int(first) <= port <= int(last if last.isdecimal() else first):
            return True
    return False
