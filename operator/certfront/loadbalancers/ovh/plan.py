"""What is to be done with one service, and how every frontend stands: a pure comparison.

Order of every change: certificates are stored, frontends lead to them, a refresh applies both, and
what nobody uses any more is removed when all of that is live. A refresh applies everything that is
configured on the service, so there is one for all that was changed. It comes before removals where
something waits for it, and after them where only removals are to be applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope, owner_of
from certfront.loadbalancers.ovh import orders, places
from certfront.loadbalancers.ovh.client import Frontend, Route, Ssl
from certfront.loadbalancers.ovh.orders import Orders, mirrored
from certfront.loadbalancers.ovh.places import PLAIN, Place, Places, route_of
from certfront.loadbalancers.ovh.reasons import (
    HSTS_AGE_BY_PROVIDER,
    OLD_TLS_PERMITTED,
    REFRESH_FAILED,
    SERVICE_NOT_ACTIVE,
)
from certfront.loadbalancers.ovh.state import (
    Act,
    Apply,
    ChangeFrontend,
    ChangeRoute,
    CreateFrontend,
    CreateRoute,
    LookUp,
    Observed,
    Order,
    RemoveCertificate,
    RemoveFrontend,
    RemoveRoute,
    RenameCertificate,
    SetDefault,
    Upload,
)
from certfront.loadbalancers.ovh.stock import (
    BUILT,
    Stock,
    fingerprints_remembered,
    is_default_of,
    remembered,
)
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import (
    Binding,
    Installation,
    Listener,
    Notice,
    Operation,
    Outlook,
    Plan,
    Standing,
    Wish,
)
from certfront.model.frontend import HSTS
from certfront.model.meta import ObjectName

REFRESH_POLL_SECONDS: Final = 5.0
ROUTES_AT_MOST: Final = 50
"""OVH takes up to 50 routes on a service (ovh/docs, "Working with HTTP routes")."""

_AFTER_A_FAILED_REFRESH: Final = timedelta(minutes=1)


def plan(wish: Wish, observed: Observed, scope: Scope) -> Plan[Act]:
    """Everything that may be done now; quiet where all that is wanted is there and live."""
    return _Planner(wish, observed, scope).plan()


@dataclass(slots=True)
class _Certificate:
    """One binding of one listener, and what is stored of it."""

    listener: Listener
    binding: Binding
    ssl: Ssl | None
    bound: bool = False


@dataclass(slots=True)
class _Report:
    """What is found out about one listener on the way."""

    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    waits: str = ""
    configured: bool = True
    frontend_id: str = ""


class _Planner:
    def __init__(self, wish: Wish, observed: Observed, scope: Scope) -> None:
        self._wish = wish
        self._observed = observed
        self._scope = scope
        self._stock = Stock.of(observed.certificates, scope)
        self._orders: Orders = orders.find(wish, observed, self._stock)
        self._places: Places = places.find(wish, observed, scope)
        self._reports = {listener.frontend: _Report() for listener in wish.listeners}
        self._held = [
            _Certificate(listener, binding, self._stored(binding))
            for listener, binding in wish.bindings()
        ]
        self._used = {one.ssl.id for one in self._held if one.ssl is not None}
        self._known = fingerprints_remembered(wish)
        self._main: dict[ObjectName, list[Frontend]] = {}
        self._at: set[int] = set()
        self._stays: set[int] = set()

    def plan(self) -> Plan[Act]:
        steps = [
            *self._look_ups(),
            *self._uploads(),
            *self._renames(),
            *self._frontends(),
            *self._defaults_elsewhere(),
        ]
        for one in self._held:
            one.bound = self._is_bound(one)
        steps += self._order()
        outlooks = self._outlooks()
        removals = list(self._removals(outlooks))
        refresh = list(self._refresh(outlooks))
        if self._someone_waits(outlooks):
            steps += [*refresh, *removals]
        else:
            steps += [*removals, *refresh]
        return Plan(
            operations=tuple(steps),
            outlooks=outlooks,
            managed={one.source: one.state for one in self._orders.managed.values()},
            left=self._left(),
            look_again=self._look_again(),
            batch=25,
            limits={"httpRoutes": ROUTES_AT_MOST},
            notices=self._notices(),
        )

    # --- what there is

    def _stored(self, binding: Binding) -> Ssl | None:
        if binding.managed is not None:
            found = self._orders.managed.get(binding.source)
            return found.ssl if found is not None else None
        return self._stock.holding(binding)

    def _frontends_of(self, listener: Listener) -> list[Frontend]:
        """The OVH frontends on the listener's own port, whoever made them."""
        if listener.manage == "Listener":
            return self._main.get(listener.frontend, [])
        return [
            one for _, one in sorted(self._observed.frontends.items()) if self._uses(listener, one)
        ]

    def _is_bound(self, one: _Certificate) -> bool:
        """Whether a TLS frontend that is live offers it."""
        if one.ssl is None or not self._is_installed(one.ssl):
            return False
        found = self._frontends_of(one.listener)
        if not found:
            return False
        for frontend in found:
            live = self._observed.live.frontends.get(frontend.frontend_id)
            if live is None or not live.ssl:
                return False
            if self._is_the_default(one, frontend) and live.default_ssl_id != one.ssl.id:
                return False
        return True

    def _is_installed(self, ssl: Ssl) -> bool:
        """Whether OVH's machines have it: those that it issues come there without a refresh."""
        return ssl.type in BUILT or ssl.id in self._observed.live.certificates

    def _is_the_default(self, one: _Certificate, frontend: Frontend) -> bool:
        """Whether it is what the frontend's default certificate is to be."""
        return (
            frontend.frontend_id not in self._stays
            and is_default_of(one.listener, one.binding)
            and self._default_listener(frontend, ()) == one.listener
        )

    def _default_listener(self, frontend: Frontend, more: tuple[Listener, ...]) -> Listener | None:
        """Whose default it is: the load balancer's own namespace first, then the oldest."""
        own = self._scope.load_balancer.namespace
        users = [
            one
            for one in self._wish.listeners
            if one.default_certificate is not None and (one in more or self._uses(one, frontend))
        ]
        return min(users, key=lambda user: user.frontend.namespace != own, default=None)

    def _uses(self, listener: Listener, frontend: Frontend) -> bool:
        """Whether a listener is answered by an OVH frontend, that of it or one made elsewhere."""
        if listener.manage == "Listener":
            return any(
                one.frontend_id == frontend.frontend_id
                for one in self._main.get(listener.frontend, ())
            )
        return frontend.ssl == listener.ssl and places.overlaps(
            frontend, listener.port, places.zone_of(listener)
        )

    # --- steps towards what is wanted

    def _look_ups(self) -> Iterator[Operation[Act]]:
        looked = self._observed.looked
        managing = [one for one in self._wish.listeners if one.manage == "Listener"]
        farms = {
            one.farm_name for one in managing if one.farm_name and not one.redirect_location
        } - set(looked.farms)
        routes = not looked.routes and any(places.redirect(one) for one in managing)
        managed = any(binding.managed is not None for _, binding in self._wish.bindings())
        if farms or routes or (managed and not looked.orders):
            yield Operation(
                key="look-up",
                act=LookUp(
                    farms=frozenset(farms),
                    routes=routes,
                    orders=managed and not looked.orders,
                ),
                step="Applying",
                about=tuple(one.frontend for one in self._wish.listeners),
            )

    def _uploads(self) -> Iterator[Operation[Act]]:
        """One for each certificate that is not there, however many listeners want it."""
        acts: dict[str, Upload] = {}
        wanted: dict[str, list[_Certificate]] = {}
        for one in self._held:
            binding = one.binding
            missing = one.ssl is None and binding.managed is None and binding.pair is not None
            if missing and binding.pair is not None and not self._is_elsewhere(one.listener):
                name = self._scope.certificate_name(binding.source, binding.fingerprint)
                acts.setdefault(binding.fingerprint, Upload(name=name, pair=binding.pair))
                wanted.setdefault(binding.fingerprint, []).append(one)
        for fingerprint, act in acts.items():
            yield Operation(
                key=f"upload {fingerprint}",
                act=act,
                step="Uploading",
                about=_frontends_of(wanted[fingerprint]),
            )

    def _is_elsewhere(self, listener: Listener) -> bool:
        """Whether its port is somebody else's, or nobody's: every listener would offer what is stored."""
        if listener.manage != "Listener":
            return not self._frontends_of(listener)
        return any(
            frontend == listener.frontend and problem.reason is reasons.LISTENER_EXISTS
            for frontend, problem in self._places.problems
        )

    def _renames(self) -> Iterator[Operation[Act]]:
        """Ours under the name of a source that uses it no more, and what OVH issued on our order.

        While some frontends stay as they are, the old name may be theirs.
        """
        users: dict[int, list[_Certificate]] = {}
        for one in self._held:
            if one.ssl is not None:
                users.setdefault(one.ssl.id, []).append(one)
        for ssl_id, using in users.items():
            owner = self._stock.owner(ssl_id)
            if owner in {owner_of(one.binding.source) for one in using}:
                continue
            managed = self._orders.managed.get(using[0].binding.source)
            from_us = managed is not None and managed.by_us and not self._stock.is_ours(ssl_id)
            if from_us or (self._stock.is_ours(ssl_id) and not self._wish.staying):
                source = using[0].binding.source
                fingerprint = self._observed.certificates[ssl_id].fingerprint
                yield Operation(
                    key=f"rename {ssl_id}",
                    act=RenameCertificate(
                        ssl_id=ssl_id, name=self._scope.certificate_name(source, fingerprint)
                    ),
                    step="Binding",
                    about=_frontends_of(using),
                )

    def _frontends(self) -> Iterator[Operation[Act]]:
        for frontend, problem in self._places.problems:
            self._reports[frontend].problems.append(problem)
            self._reports[frontend].configured = False
        for frontend in self._places.waiting:
            self._reports[frontend].waits = "the farm is looked up"
            self._reports[frontend].configured = False
        for listener in self._wish.listeners:
            if listener.manage == "CertificatesOnly" and not self._frontends_of(listener):
                self._reports[listener.frontend].configured = False
                self._reports[listener.frontend].problems.append(_no_listener(listener))
        for place in self._places.wanted:
            yield from self._place(place)

    def _place(self, place: Place) -> Iterator[Operation[Act]]:
        there = self._observed.frontends.get(place.settings.frontend_id)
        if there is not None:
            self._at.add(there.frontend_id)
            for user in place.users:
                if place.part != PLAIN:
                    self._main.setdefault(user.frontend, []).append(there)
                    self._reports[user.frontend].frontend_id = str(there.frontend_id)
        if place.held:
            self._stays.add(place.settings.frontend_id)
            return
        ready = self._is_routed(place)
        wanted = self._settings(place)
        if not ready:
            wanted = msgspec.structs.replace(wanted, disabled=True)
        if there is not None:
            yield from self._existing(place, there, wanted, ready=ready)
        elif self._is_due(place):
            self._unfinished(place, "a frontend at OVH")
            yield self._step(place, f"frontend {place.settings.port} {wanted.zone}", wanted)
        else:
            self._unfinished(place, "a certificate")

    def _existing(
        self, place: Place, there: Frontend, wanted: Frontend, *, ready: bool
    ) -> Iterator[Operation[Act]]:
        """Steps that make a frontend that is there what is wanted."""
        if not places.equal(there, wanted):
            self._unfinished(place, "a change of the frontend at OVH")
            yield self._step(place, f"frontend {there.frontend_id}", wanted)
        yield from self._route(place, there, ready)
        if not ready:
            self._unfinished(place, "the redirect at OVH")
        if not self._is_live(there):
            self._unfinished(place, "the refresh at OVH")

    def _is_routed(self, place: Place) -> bool:
        """Whether the route that it needs is there and ready to operate."""
        return place.route is None or any(
            one.action == place.route and one.status == "ok"
            for one in route_of(place.settings.frontend_id, self._routes())
        )

    def _is_due(self, place: Place) -> bool:
        """A TLS frontend comes with its first certificate, or where OVH is to issue one."""
        if not place.settings.ssl:
            return True
        return any(
            one.ssl is not None or one.binding.managed is not None
            for one in self._held
            if one.listener in place.users
        )

    def _settings(self, place: Place) -> Frontend:
        """With the default certificate: what is asked for, once it is stored.

        Without one asked for, a default of someone else's certificate is left as it is. OVH needs
        none (`defaultSslId` may be null).
        """
        wanted = place.settings
        if not wanted.ssl:
            return msgspec.structs.replace(wanted, default_ssl_id=None)
        listener = self._default_listener(wanted, place.users)
        if listener is not None:
            for one in self._held:
                if one.listener == listener and is_default_of(listener, one.binding):
                    if one.ssl is not None:
                        return msgspec.structs.replace(wanted, default_ssl_id=one.ssl.id)
                    return wanted
            return wanted
        current = wanted.default_ssl_id
        known = self._observed.certificates
        if current is not None and current in known and self._stock.is_ours(current):
            return msgspec.structs.replace(wanted, default_ssl_id=None)
        return wanted

    def _step(self, place: Place, key: str, wanted: Frontend) -> Operation[Act]:
        act: Act = (
            ChangeFrontend(settings=wanted)
            if wanted.frontend_id
            else CreateFrontend(settings=wanted)
        )
        return Operation(key=key, act=act, step="Binding", about=place.names)

    def _route(self, place: Place, there: Frontend, ready: bool) -> Iterator[Operation[Act]]:
        routes = route_of(there.frontend_id, self._routes())
        if place.route is None:
            for one in routes:
                yield Operation(
                    key=f"route {one.route_id}",
                    act=RemoveRoute(route_id=one.route_id),
                    step="Redirecting",
                    about=place.names,
                )
            return
        if ready or not self._observed.looked.routes or not there.disabled:
            # The frontend is disabled before what leads its requests is made or changed.
            return
        name = self._scope.frontend_name(place.users[0].frontend, "route")
        if not routes:
            act: Act = CreateRoute(frontend_id=there.frontend_id, name=name, action=place.route)
        elif routes[0].action != place.route:
            act = ChangeRoute(
                route_id=routes[0].route_id,
                frontend_id=there.frontend_id,
                name=name,
                action=place.route,
            )
        else:
            return
        yield Operation(
            key=f"route of {there.frontend_id}", act=act, step="Redirecting", about=place.names
        )

    def _routes(self) -> Iterable[Route]:
        return self._observed.routes.values()

    def _is_live(self, there: Frontend) -> bool:
        """Whether what is configured now of the frontend and its route has been applied."""
        live = self._observed.live
        if live.frontends.get(there.frontend_id) != there:
            return False
        return all(
            live.routes.get(one.route_id) == one
            for one in route_of(there.frontend_id, self._routes())
        )

    def _unfinished(self, place: Place, waits: str) -> None:
        for user in place.users:
            report = self._reports[user.frontend]
            report.configured = False
            report.waits = report.waits or waits

    def _defaults_elsewhere(self) -> Iterator[Operation[Act]]:
        """Default certificates of frontends that were made elsewhere (CertificatesOnly)."""
        for one in self._held:
            if one.listener.manage != "CertificatesOnly" or one.ssl is None:
                continue
            for frontend in self._frontends_of(one.listener):
                foreign = self._scope.mark(frontend.display_name or "") is None
                if (
                    foreign
                    and frontend.frontend_id not in self._at
                    and self._is_the_default(one, frontend)
                    and frontend.default_ssl_id != one.ssl.id
                ):
                    yield Operation(
                        key=f"default {frontend.frontend_id}",
                        act=SetDefault(frontend_id=frontend.frontend_id, ssl_id=one.ssl.id),
                        step="Binding",
                        about=(one.listener.frontend,),
                    )

    def _order(self) -> list[Operation[Act]]:
        due = self._orders.next_one
        if due is None or due.certificate.kind != "Public":
            return []
        return [
            Operation(
                key=f"order {due.source.namespace}/{due.source.name}",
                act=Order(source=due.source, names=due.certificate.names),
                step="Ordering",
                about=(due.listener.frontend,),
                claims=(due.listener.frontend, due.source, ""),
            )
        ]

    # --- applying

    def _someone_waits(self, outlooks: dict[ObjectName, Outlook]) -> bool:
        """Whether something that was stored or set is to be seen only after a refresh."""
        return any(
            not outlook.configured or any(one.stored and not one.bound for one in outlook.standings)
            for outlook in outlooks.values()
        )

    def _refresh(self, outlooks: dict[ObjectName, Outlook]) -> Iterator[Operation[Act]]:
        if not self._observed.pending or self._observed.refreshing:
            return
        if not self._wish.listeners and not self._wish.releasing:
            return
        if self._pause_after_failure() is not None:
            return
        waiting = {
            name
            for name, outlook in outlooks.items()
            if not outlook.configured or not all(one.bound for one in outlook.standings)
        }
        about = frozenset(waiting | self._wish.releasing)
        yield Operation(
            key="refresh",
            act=Apply(about=about),
            step="Refreshing",
            about=tuple(sorted(about)),
            last=True,
        )

    def _pause_after_failure(self) -> float | None:
        """So many seconds nothing is applied after a refresh that failed."""
        if self._observed.refresh is None or not self._has_failed():
            return None
        task = self._observed.refresh.task
        ended = task.done_date or task.creation_date
        if ended is None:
            return None
        left = (ended + _AFTER_A_FAILED_REFRESH - self._wish.now).total_seconds()
        return left if left > 0 else None

    def _has_failed(self) -> bool:
        refresh = self._observed.refresh
        return refresh is not None and refresh.task.status in ("error", "cancelled", "blocked")

    def _look_again(self) -> float | None:
        waits = []
        if self._observed.refreshing:
            waits.append(REFRESH_POLL_SECONDS)
        pause = self._pause_after_failure()
        if pause is not None and self._observed.pending:
            waits.append(pause)
        if self._orders.look_again is not None:
            waits.append(self._orders.look_again)
        if any(one.status != "ok" for one in self._observed.routes.values()):
            waits.append(REFRESH_POLL_SECONDS)
        return min(waits, default=None)

    # --- removing

    def _removals(self, outlooks: dict[ObjectName, Outlook]) -> Iterator[Operation[Act]]:
        if not self._wish.complete:
            return
        doomed = list(self._doomed_frontends(outlooks))
        for frontend, owner in doomed:
            yield Operation(
                key=f"remove frontend {frontend.frontend_id}",
                act=RemoveFrontend(
                    frontend_id=frontend.frontend_id,
                    route_ids=tuple(
                        one.route_id for one in route_of(frontend.frontend_id, self._routes())
                    ),
                ),
                step="Deleting",
                about=() if owner is None else (owner,),
                removes=True,
            )
        for route in self._observed.routes.values():
            if route.frontend_id not in self._observed.frontends and not self._wish.staying:
                yield Operation(
                    key=f"remove route {route.route_id}",
                    act=RemoveRoute(route_id=route.route_id),
                    step="Deleting",
                    about=(),
                    removes=True,
                )
        if doomed:
            return
        for ssl in self._doomed_certificates():
            about = tuple(sorted(self._releasing_with(ssl)))
            used_by = self._defaults_of(ssl.id)
            if used_by:
                yield from self._unset(used_by, about)
                continue
            yield Operation(
                key=f"remove certificate {ssl.id}",
                act=RemoveCertificate(ssl_id=ssl.id),
                step="Deleting",
                about=about,
                removes=True,
            )

    def _doomed_frontends(
        self, outlooks: dict[ObjectName, Outlook]
    ) -> Iterator[tuple[Frontend, ObjectName | None]]:
        """Ours that nobody wants any more, where what takes their place is live."""
        listeners = {listener.frontend for listener in self._wish.listeners}
        for frontend_id, frontend in sorted(self._observed.frontends.items()):
            name = frontend.display_name or ""
            if frontend_id in self._at or self._scope.mark(name) is None:
                continue
            owner = places.owner_among(self._scope, name, listeners | self._wish.releasing)
            if owner is None and self._wish.staying:
                continue
            if owner in listeners and not outlooks[owner].configured:
                continue
            yield frontend, owner

    def _doomed_certificates(self) -> Iterator[Ssl]:
        """Ours that no binding is, where every binding of their source is live."""
        known = {owner_of(one.binding.source) for one in self._held}
        not_live = {owner_of(one.binding.source) for one in self._held if not one.bound}
        departing = {
            owner_of(one.source) for name in self._wish.releasing for one in self._memory(name)
        }
        staying = [one for name in self._wish.staying for one in self._memory(name)]
        for ssl_id, ssl in sorted(self._observed.certificates.items()):
            if ssl_id in self._used or not self._stock.is_ours(ssl_id):
                continue
            owner = self._stock.owner(ssl_id)
            if owner in not_live:
                continue
            if self._wish.staying and (
                owner not in known | departing
                or any(remembered(ssl, one.fingerprint, one.provider_id) for one in staying)
            ):
                continue
            yield ssl

    def _defaults_of(self, ssl_id: int) -> list[Frontend]:
        """Frontends that have it as their default, as configured or as it is live."""
        found = {
            one.frontend_id: one
            for one in (
                *self._observed.live.frontends.values(),
                *self._observed.frontends.values(),
            )
            if one.default_ssl_id == ssl_id
        }
        return [one for _, one in sorted(found.items())]

    def _unset(
        self, frontends: list[Frontend], about: tuple[ObjectName, ...]
    ) -> Iterator[Operation[Act]]:
        """A certificate of ours goes that a frontend made elsewhere has as its default."""
        for frontend in frontends:
            now = self._observed.frontends.get(frontend.frontend_id)
            ours = self._scope.mark(frontend.display_name or "") is not None
            if now is not None and now.default_ssl_id == frontend.default_ssl_id and not ours:
                yield Operation(
                    key=f"default {frontend.frontend_id}",
                    act=SetDefault(frontend_id=frontend.frontend_id, ssl_id=None),
                    step="Deleting",
                    about=about,
                    removes=True,
                )

    def _memory(self, name: ObjectName) -> tuple[Installation, ...]:
        memory = self._wish.memory.get(name)
        return memory.installed if memory is not None else ()

    def _releasing_with(self, ssl: Ssl) -> set[ObjectName]:
        return {
            name
            for name in self._wish.releasing
            if any(remembered(ssl, one.fingerprint, one.provider_id) for one in self._memory(name))
        }

    def _left(self) -> frozenset[ObjectName]:
        """Being released, and something of it is still configured or live."""
        if self._observed.pending or self._observed.refreshing:
            return self._wish.releasing
        doomed = list(self._doomed_certificates())
        left = set()
        for name in self._wish.releasing:
            own = any(
                places.owner_among(self._scope, one.display_name, (name,)) is not None
                for one in self._observed.frontends.values()
                if one.frontend_id not in self._at
            )
            if own or any(name in self._releasing_with(ssl) for ssl in doomed):
                left.add(name)
        return frozenset(left)

    # --- telling

    def _outlooks(self) -> dict[ObjectName, Outlook]:
        standings: dict[ObjectName, list[Standing]] = {}
        for one in self._held:
            standings.setdefault(one.listener.frontend, []).append(self._standing(one))
        return {
            listener.frontend: self._outlook(listener, tuple(standings.get(listener.frontend, ())))
            for listener in self._wish.listeners
        }

    def _standing(self, one: _Certificate) -> Standing:
        binding, ssl = one.binding, one.ssl
        fingerprint = binding.fingerprint
        if ssl is None:
            return Standing(source=binding.source, fingerprint=fingerprint)
        if binding.managed is not None:
            fingerprint = self._orders.managed[binding.source].state.fingerprint
        return Standing(
            source=binding.source,
            fingerprint=fingerprint,
            provider_id=str(ssl.id),
            stored=True,
            bound=one.bound,
            superseded=self._stock.alike(ssl, self._known) - {fingerprint},
            not_after=binding.not_after or ssl.expire_date,
        )

    def _outlook(self, listener: Listener, standings: tuple[Standing, ...]) -> Outlook:
        report = self._reports[listener.frontend]
        problems, waits = list(report.problems), report.waits
        service = self._observed.service
        if service.state != "ok":
            problems.append(
                Problem(
                    condition="Programmed",
                    reason=SERVICE_NOT_ACTIVE,
                    message=f"OVH says that the service is {service.state}.",
                )
            )
        unapplied = any(one.stored and not one.bound for one in standings)
        if self._has_failed() and self._observed.pending and (unapplied or not report.configured):
            problems.append(
                Problem(
                    condition="Programmed",
                    reason=REFRESH_FAILED,
                    message="OVH could not apply the configuration; it is tried again.",
                )
            )
        if not waits and unapplied:
            waits = "the refresh at OVH"
        if not waits:
            waits = next(
                (
                    one.waits
                    for one in self._orders.managed.values()
                    if one.waits and any(b.source == one.source for b in listener.bindings)
                ),
                "",
            )
        refresh = self._observed.refresh
        mine = refresh is not None and listener.frontend in refresh.about
        return Outlook(
            configured=report.configured,
            standings=standings,
            frontend_id=report.frontend_id,
            problems=tuple(problems),
            notices=tuple(_notices_of(listener)),
            waits=waits,
            task=mirrored(refresh.task, "refresh") if refresh is not None and mine else None,
            probe=self._probe(listener),
        )

    def _probe(self, listener: Listener) -> tuple[str, int] | None:
        address = self._observed.service.ipv4 or self._observed.service.ipv6
        return None if not address or not listener.ssl else (address, listener.port)

    def _notices(self) -> tuple[Notice, ...]:
        if self._observed.service.ssl_configuration == "modern":
            return ()
        return (
            Notice(
                reason=OLD_TLS_PERMITTED,
                message="The service's sslConfiguration is intermediate, which permits TLS older "
                "than 1.2.",
            ),
        )


def _frontends_of(certificates: Iterable[_Certificate]) -> tuple[ObjectName, ...]:
    return tuple(dict.fromkeys(one.listener.frontend for one in certificates))


def _no_listener(listener: Listener) -> Problem:
    return Problem(
        condition="Accepted",
        reason=reasons.LISTENER_NOT_FOUND,
        message=f"The service has no HTTP frontend with TLS on port {listener.port} "
        f"(zone {places.zone_of(listener)}).",
    )


def _notices_of(listener: Listener) -> Iterator[Notice]:
    if listener.hsts is not None and listener.hsts.max_age != HSTS().max_age:
        yield Notice(
            reason=HSTS_AGE_BY_PROVIDER,
            message="OVH decides the max-age of Strict-Transport-Security, not spec.hsts.maxAge.",
        )
