"""One IP load balancing service: its objects, what waits to be applied, and what is applied.

Every change counts as pending in the zones that it touches until a refresh of these zones is done.
A refresh applies the configuration as it was when the refresh was asked for. Certificates that the
provider issues are installed at once, as OVH's guide on free certificates says ("automatically
installed").
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from sandbox.emulators.ovh import certificates, frontends, routes
from sandbox.emulators.ovh.certificates import Authority, Certificate, FingerprintForm
from sandbox.emulators.ovh.frontends import Frontend
from sandbox.emulators.ovh.refusals import Refusal, bad_request, no_such_object
from sandbox.emulators.ovh.routes import Route
from sandbox.emulators.ovh.shapes import like
from sandbox.emulators.ovh.tasks import Task, Tasks, date_text

_GIBIBYTE = 1 << 30


@dataclass(slots=True, kw_only=True)
class Terms:
    """How the emulated services behave; steering changes it while they run."""

    todo_seconds: float
    refresh_seconds: float
    order_seconds: float
    order_gives_up_seconds: float
    tasks_kept_seconds: float
    propagation_seconds: float
    ssl_quota: int
    resolves: tuple[str, ...]
    fingerprint_form: FingerprintForm
    sni_prefers: Literal["newest", "oldest"]
    built_deletable: bool
    built_days: float

    def points_here(self, name: str) -> bool:
        """Whether a name resolves to the load balancer."""
        return any(fnmatchcase(name, pattern.lower()) for pattern in self.resolves)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a refresh applies to a zone."""

    frontends: tuple[Frontend, ...] = ()
    certificates: dict[int, Certificate] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()


class Service:
    """The state of one service; every method takes the time where it needs it."""

    def __init__(
        self,
        name: str,
        *,
        zones: Sequence[str],
        ipv4: str,
        farms: Mapping[int, str],
        terms: Terms,
        source: random.Random,
        authority: Callable[[], Authority],
    ) -> None:
        self.name = name
        self.zones = tuple(zones)
        self.terms = terms
        self.state = "ok"
        self.tasks = Tasks(source)
        self.frontends: dict[int, Frontend] = {}
        self.certificates: dict[int, Certificate] = {}
        self.http_routes: dict[int, Route] = {}
        self.farms = dict(farms)
        self._ipv4 = ipv4
        self._random = source
        self._authority = authority
        self._display_name: str | None = None
        self._ssl_configuration: str | None = None
        self._alerts: dict[str, int | None] = dict.fromkeys(self.zones)
        self._changes = 0
        self._pending: dict[str, list[int]] = {zone: [] for zone in self.zones}
        self._applied: dict[str, list[tuple[datetime | None, Configuration]]] = {
            zone: [(None, Configuration())] for zone in self.zones
        }
        self._asked: list[Configuration] = []

    def settle(self, now: datetime) -> None:
        """Bring tasks, and with them what is applied, to `now`."""
        self.tasks.settle(now, self.terms.tasks_kept_seconds)

    # The service itself

    def describe(self) -> dict[str, Any]:
        """`ipLoadbalancing.IpWithIAM`."""
        return {
            "serviceName": self.name,
            "displayName": self._display_name,
            "ipLoadbalancing": self._ipv4,
            "ipv4": self._ipv4,
            "ipv6": None,
            "metricsToken": None,
            "offer": "lb1",
            "orderableZone": [],
            "sslConfiguration": self._ssl_configuration,
            "state": self.state,
            "vrackEligibility": False,
            "vrackName": None,
            "zone": list(self.zones),
        }

    def edit(self, body: Mapping[str, Any]) -> None:
        """`PUT` of the service; the ciphers are part of the configuration to be applied."""
        display_name = body.get("displayName", self._display_name)
        if display_name is not None and len(display_name) > 50:
            raise bad_request("[displayName] 50 characters at most")
        self._display_name = display_name
        chosen = body.get("sslConfiguration", self._ssl_configuration)
        if chosen != self._ssl_configuration:
            self._ssl_configuration = chosen
            self._changed(self.zones)

    def pending(self) -> list[dict[str, Any]]:
        """`GET /pendingChanges`: zones without any are left out."""
        return [
            {"zone": zone, "number": len(changes)}
            for zone, changes in self._pending.items()
            if changes
        ]

    def status(self) -> dict[str, Any]:
        """`GET /status`; farms have no servers here, so their state is not known."""
        return {
            "service": {"status": "ok" if self.state == "ok" else "error"},
            "frontends": _component(len(self.frontends), "ok"),
            "farms": _component(len(self.farms), "unknown"),
            "servers": _component(0, "unknown"),
        }

    def zone(self, name: str) -> dict[str, Any]:
        """`GET /zone/{name}`."""
        if name not in self.zones:
            raise no_such_object("name", name)
        return {"name": name, "state": "ok"}

    def quota(self, zone: str, now: datetime) -> dict[str, Any]:
        """`GET /quota/{zone}`: traffic of the billing period, not a number of objects."""
        self.zone(zone)
        return {
            "zone": zone,
            "alert": self._alerts[zone],
            "included": 10_000 * _GIBIBYTE,
            "total": 0,
            "resetDate": date_text(now.replace(day=1, hour=0, minute=0, second=0)),
            "lastUpdateDate": date_text(now),
        }

    def edit_quota(self, zone: str, body: Mapping[str, Any]) -> None:
        """`PUT /quota/{zone}`."""
        self.zone(zone)
        self._alerts[zone] = body.get("alert", self._alerts[zone])

    # Farms

    def list_farms(self, filters: Mapping[str, Any]) -> list[int]:
        """The ids of the farms; the seeded ones are in all zones and in no vRack."""
        if filters.get("zone", "all") != "all" or "vrackNetworkId" in filters:
            return []
        return sorted(self.farms)

    def farm(self, number: int) -> dict[str, Any]:
        """`ipLoadbalancing.backendHttp.BackendHttp`."""
        if number not in self.farms:
            raise no_such_object("farmId", number)
        return {
            "farmId": number,
            "displayName": self.farms[number],
            "zone": "all",
            "balance": "roundrobin",
            "port": 80,
            "probe": None,
            "stickiness": None,
            "vrackNetworkId": None,
        }

    # Frontends

    def list_frontends(self, filters: Mapping[str, Any]) -> list[int]:
        """The ids of the frontends that pass the filters, ascending."""
        return sorted(
            number
            for number, frontend in self.frontends.items()
            if all(
                like(wanted, frontend[name]) if name == "port" else frontend[name] == wanted
                for name, wanted in filters.items()
            )
        )

    def frontend(self, number: int) -> Frontend:
        """The frontend of this id; raises the API's refusal (404)."""
        if number not in self.frontends:
            raise no_such_object("frontendId", number)
        return self.frontends[number]

    def add_frontend(self, body: Mapping[str, Any]) -> Frontend:
        """`POST /http/frontend`."""
        frontend = frontends.with_defaults(self._new_id(self.frontends), body)
        self._check_frontend(frontend)
        self.frontends[frontend["frontendId"]] = frontend
        self._changed(frontends.zones_of(frontend, self.zones))
        return frontend

    def edit_frontend(self, number: int, body: Mapping[str, Any]) -> None:
        """`PUT /http/frontend/{frontendId}`; a new display name alone needs no refresh."""
        before = self.frontend(number)
        after = frontends.with_changes(before, body)
        self._check_frontend(after)
        self.frontends[number] = after
        if {**before, "displayName": None} != {**after, "displayName": None}:
            touched = [
                zone
                for zone in self.zones
                if zone in frontends.zones_of(before, self.zones)
                or zone in frontends.zones_of(after, self.zones)
            ]
            self._changed(touched)

    def remove_frontend(self, number: int) -> None:
        """`DELETE /http/frontend/{frontendId}`."""
        frontend = self.frontend(number)
        if any(route["frontendId"] == number for route in self.http_routes.values()):
            raise Refusal(409, "The frontend has routes")
        del self.frontends[number]
        self._changed(frontends.zones_of(frontend, self.zones))

    def _check_frontend(self, frontend: Frontend) -> None:
        default = frontend["defaultSslId"]
        if default == 0:
            # terraform-provider-ovh issue 297
            raise Refusal(500, "Internal server error")
        frontends.check(frontend, self.zones, self.frontends.values())
        if default is not None and default not in self.certificates:
            raise bad_request("[defaultSslId] No such certificate on this service")
        farm = frontend["defaultFarmId"]
        if farm is not None and farm not in self.farms:
            raise bad_request("[defaultFarmId] No such farm on this service")

    # Routes

    def list_http_routes(self, filters: Mapping[str, Any]) -> list[int]:
        """The ids of the HTTP routes that pass the filter, in the order of their evaluation."""
        found = [
            route
            for route in self.http_routes.values()
            if filters.get("frontendId", route["frontendId"]) == route["frontendId"]
        ]
        ordered = sorted(found, key=lambda route: (route["weight"], route["routeId"]))
        return [route["routeId"] for route in ordered]

    def defined_routes(self) -> list[dict[str, Any]]:
        """`GET /definedRoutes`."""
        return [
            {"routeId": number, "displayName": route["displayName"], "type": "http"}
            for number, route in sorted(self.http_routes.items())
        ]

    def http_route(self, number: int) -> Route:
        """The HTTP route of this id; raises the API's refusal (404)."""
        if number not in self.http_routes:
            raise no_such_object("routeId", number)
        return self.http_routes[number]

    def add_http_route(self, body: Mapping[str, Any]) -> Route:
        """`POST /http/route`."""
        route = routes.with_defaults(self._new_id(self.http_routes), body)
        routes.check(route, self.frontends, self.farms)
        if len(self.http_routes) >= routes.MOST:
            raise Refusal(403, f"You have reached the maximum of {routes.MOST} routes")
        self.http_routes[route["routeId"]] = route
        self._changed(self._zones_of_route(route))
        return route

    def edit_http_route(self, number: int, body: Mapping[str, Any]) -> None:
        """`PUT /http/route/{routeId}`; a new display name alone needs no refresh."""
        before = self.http_route(number)
        after = routes.with_changes(before, body)
        routes.check(after, self.frontends, self.farms)
        self.http_routes[number] = after
        if {**before, "displayName": None} != {**after, "displayName": None}:
            self._changed({*self._zones_of_route(before), *self._zones_of_route(after)})

    def remove_http_route(self, number: int) -> None:
        """`DELETE /http/route/{routeId}`."""
        route = self.http_route(number)
        del self.http_routes[number]
        self._changed(self._zones_of_route(route))

    def _zones_of_route(self, route: Route) -> tuple[str, ...]:
        frontend = self.frontends.get(route["frontendId"])
        return () if frontend is None else frontends.zones_of(frontend, self.zones)

    # Certificates

    def list_certificates(self, filters: Mapping[str, Any]) -> list[int]:
        """The ids of the certificates that pass the filters, ascending."""
        return sorted(
            number for number, held in self.certificates.items() if self._passes(held, filters)
        )

    def certificate(self, number: int) -> dict[str, Any]:
        """`ipLoadbalancing.Ssl.Ssl`."""
        return self._certificate(number).render(self.terms.fingerprint_form)

    def add_certificate(self, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`POST /ssl`."""
        held = certificates.uploaded(body, self._new_id(self.certificates), now)
        quota = self.terms.ssl_quota
        if quota and len(self.certificates) >= quota:
            raise Refusal(403, f"You have reached the maximum of {quota} SSL certificates")
        self.certificates[held.id] = held
        self._changed(self.zones)
        return self.certificate(held.id)

    def rename_certificate(self, number: int, body: Mapping[str, Any]) -> None:
        """`PUT /ssl/{id}`; nothing of it is served, so nothing is pending."""
        held = self._certificate(number)
        self.certificates[number] = held.renamed(body.get("displayName", held.display_name))

    def remove_certificate(self, number: int) -> None:
        """`DELETE /ssl/{id}`."""
        held = self._certificate(number)
        users = self.list_frontends({"defaultSslId": number})
        if users:
            raise Refusal(409, f"This certificate is the default one of frontend {users[0]}")
        if held.type != "custom" and not self.terms.built_deletable:
            raise Refusal(403, "Only custom certificates can be deleted")
        del self.certificates[number]
        self._changed(self.zones)

    def order(self, body: Mapping[str, Any], now: datetime) -> Task:
        """`POST /freeCertificate`: built when every name points here within the time that it has."""
        names = certificates.host_names(body["fqdn"])
        return self.tasks.add(
            Task(
                id=self.tasks.next_id(),
                action="orderFreeCertificate",
                zones=self.zones,
                created=now,
                todo_seconds=self.terms.todo_seconds,
                doing_seconds=self.terms.order_seconds,
                ready=lambda: all(self.terms.points_here(name) for name in names),
                gives_up_seconds=self.terms.order_gives_up_seconds,
                finish=lambda at: self._build(names, at),
            )
        )

    def renew(self, number: int, now: datetime) -> None:
        """The provider renews a built certificate under its id, as it does by itself."""
        held = self._certificate(number)
        if held.type == "custom":
            raise ValueError("the certificate is not built")
        renewed = self._authority().issue(number, held.names, now, self.terms.built_days)
        self._install(renewed.typed(held.type).renamed(held.display_name))

    def route(self, number: int, routed: bool) -> None:
        """A built certificate's names point here, or no longer do."""
        held = self._certificate(number)
        if held.type == "custom":
            raise ValueError("the certificate is not built")
        self.certificates[number] = held.typed("built" if routed else "built_not_routed")

    def _certificate(self, number: int) -> Certificate:
        if number not in self.certificates:
            raise no_such_object("id", number)
        return self.certificates[number]

    def _passes(self, held: Certificate, filters: Mapping[str, Any]) -> bool:
        shown = held.render(self.terms.fingerprint_form)
        before = filters.get("expireDate")
        return (
            filters.get("type", held.type) == held.type
            and like(filters.get("fingerprint", ""), shown["fingerprint"])
            and like(filters.get("serial", ""), shown["serial"])
            and (before is None or held.leaf.not_valid_after_utc < before)
        )

    def _build(self, names: Sequence[str], now: datetime) -> None:
        number = self._new_id(self.certificates)
        self._install(self._authority().issue(number, names, now, self.terms.built_days))

    def _install(self, held: Certificate) -> None:
        """Bring a certificate of the provider into everything that is applied or about to be."""
        self.certificates[held.id] = held
        for configurations in self._applied.values():
            for _, configuration in configurations:
                configuration.certificates[held.id] = held
        for configuration in self._asked:
            configuration.certificates[held.id] = held

    def task(self, number: int) -> dict[str, Any]:
        """`ipLoadbalancing.Task.Task`; raises the API's refusal (404)."""
        task = self.tasks.get(number)
        if task is None:
            raise no_such_object("id", number)
        return task.render()

    # Applying

    def refresh(self, body: Mapping[str, Any], now: datetime) -> Task:
        """`POST /refresh`: one at a time for a service."""
        zone = body.get("zone", "all")
        if zone != "all" and zone not in self.zones:
            raise bad_request("[zone] The service has no such zone")
        zones = self.zones if zone == "all" else (zone,)
        for task in self.tasks:
            if task.action == "refreshIplb" and task.open:
                raise Refusal(409, f"A refresh is already in progress (task {task.id})")
        asked = {name: self._configuration(name) for name in zones}
        self._asked = list(asked.values())
        upto = self._changes
        return self.tasks.add(
            Task(
                id=self.tasks.next_id(),
                action="refreshIplb",
                zones=zones,
                created=now,
                todo_seconds=self.terms.todo_seconds,
                doing_seconds=self.terms.refresh_seconds,
                finish=lambda at: self._apply(asked, upto, at),
            )
        )

    def serving(self, now: datetime) -> Iterable[Configuration]:
        """What is applied and has reached the machines, in the order of the zones."""
        for configurations in self._applied.values():
            while len(configurations) > 1 and _reached(configurations[1][0], now):
                configurations.pop(0)
            yield configurations[0][1]

    def forget_certificate(self, number: int, applied: bool) -> None:
        """A certificate is deleted behind the client's back, in use or not."""
        self._certificate(number)
        del self.certificates[number]
        for frontend in list(self.frontends.values()):
            if frontend["defaultSslId"] == number:
                self.frontends[frontend["frontendId"]] = {**frontend, "defaultSslId": None}
        self._changed(self.zones)
        self._force(applied)

    def forget_frontend(self, number: int, applied: bool) -> None:
        """A frontend is deleted behind the client's back."""
        self.http_routes = {
            key: route for key, route in self.http_routes.items() if route["frontendId"] != number
        }
        self.remove_frontend(number)
        self._force(applied)

    def alter_frontend(self, number: int, body: Mapping[str, Any], applied: bool) -> None:
        """A frontend is changed behind the client's back."""
        self.edit_frontend(number, body)
        self._force(applied)

    def snapshot(self, now: datetime) -> dict[str, Any]:
        """The state as JSON; no keys."""
        form = self.terms.fingerprint_form
        return {
            "frontends": [dict(self.frontends[number]) for number in sorted(self.frontends)],
            "routes": [dict(self.http_routes[number]) for number in sorted(self.http_routes)],
            "ssl": [held.render(form) for _, held in sorted(self.certificates.items())],
            "farms": [self.farm(number) for number in sorted(self.farms)],
            "tasks": [task.render() for task in self.tasks],
            "pendingChanges": self.pending(),
            "applied": {
                zone: {
                    "frontends": [dict(frontend) for frontend in configuration.frontends],
                    "ssl": sorted(configuration.certificates),
                }
                for zone, configuration in zip(self.zones, self.serving(now), strict=True)
            },
        }

    def _configuration(self, zone: str) -> Configuration:
        return Configuration(
            tuple(
                frontend
                for _, frontend in sorted(self.frontends.items())
                if zone in frontends.zones_of(frontend, self.zones)
            ),
            dict(self.certificates),
            tuple(route for _, route in sorted(self.http_routes.items())),
        )

    def _apply(self, asked: Mapping[str, Configuration], upto: int, at: datetime) -> None:
        reached = at + timedelta(seconds=self.terms.propagation_seconds)
        for zone, configuration in asked.items():
            self._applied[zone].append((reached, configuration))
            self._pending[zone] = [number for number in self._pending[zone] if number > upto]

    def _force(self, applied: bool) -> None:
        """Apply everything at once, without a task."""
        if applied:
            for zone in self.zones:
                self._applied[zone] = [(None, self._configuration(zone))]
                self._pending[zone] = []

    def _changed(self, zones: Iterable[str]) -> None:
        self._changes += 1
        for zone in zones:
            self._pending[zone].append(self._changes)

    def _new_id(self, taken: Mapping[int, object]) -> int:
        while True:
            number = self._random.randrange(10_000, 10_000_000)
            if number not in taken:
                return number


def _reached(moment: datetime | None, now: datetime) -> bool:
    return moment is None or moment <= now


def _component(total: int, state: str) -> dict[str, Any]:
    counts = dict.fromkeys(("error", "ok", "unknown", "warn"), 0)
    return {"total": total, "status": {**counts, state: total}}
