"""A small service in memory with the methods of `client.Client`, for tests that run many steps.

It refuses what would be a fault of the planner: removing what is referred to, two frontends on a port,
a farm together with a redirect. It applies on refresh, and checks after each step that nothing that
was served has been lost (`promised`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509

from certfront.loadbalancers.ovh.client import (
    Absent,
    DefinedRoute,
    Farm,
    Frontend,
    OVHTask,
    PendingChanges,
    Route,
    RouteAction,
    Service,
    Ssl,
)
from certfront.pki import certificates
from tests.contract.driver import Stepped

REFRESH_SECONDS = 8.0


@dataclass(kw_only=True)
class Model:
    """The configuration, what is applied of it, and how often each call was made."""

    time: Stepped
    farms_by_id: dict[int, str] = field(default_factory=lambda: {1001: "web", 1002: "api"})
    ssl: dict[int, Ssl] = field(default_factory=dict)
    http: dict[int, Frontend] = field(default_factory=dict)
    routes: dict[int, Route] = field(default_factory=dict)
    applied_ssl: dict[int, Ssl] = field(default_factory=dict)
    applied_http: dict[int, Frontend] = field(default_factory=dict)
    applied_routes: dict[int, Route] = field(default_factory=dict)
    task_list: dict[int, OVHTask] = field(default_factory=dict)
    changes: int = 0
    calls: list[str] = field(default_factory=list)
    ssl_configuration: str | None = "modern"
    _ids: int = 100
    _asked: tuple[Any, ...] = ()
    _due: datetime | None = None

    # --- the service

    async def close(self) -> None: ...

    async def service(self) -> Service:
        self._called("service")
        return Service(
            service_name="lb",
            ipv4="192.0.2.1",
            zone=("gra", "rbx"),
            ssl_configuration=self.ssl_configuration,
        )

    async def pending_changes(self) -> tuple[PendingChanges, ...]:
        self._called("pendingChanges")
        return (PendingChanges(number=self.changes, zone="gra"),) if self.changes else ()

    async def refresh(self) -> OVHTask:
        self._called("refresh")
        assert not self._open(), "a refresh is open"
        assert self.changes, "there is nothing to apply"
        for frontend in self.http.values():
            assert not self._lacks_redirect(frontend), "a frontend is applied before its redirect"
        self._asked = (dict(self.ssl), dict(self.http), dict(self.routes), self.changes)
        self._due = self.time.now() + timedelta(seconds=REFRESH_SECONDS)
        return self._task("refreshIplb")

    async def tasks(
        self, action: str, *, status: str | None = None, since: datetime | None = None
    ) -> tuple[int, ...]:
        self._called("tasks")
        return tuple(
            task.id
            for task in self.task_list.values()
            if task.action == action
            and status in (None, task.status)
            and (since is None or (task.creation_date is not None and task.creation_date >= since))
        )

    async def task(self, task_id: int) -> OVHTask:
        self._called("task")
        if task_id not in self.task_list:
            raise Absent
        return self.task_list[task_id]

    # --- certificates

    async def certificates(self, type_: str | None = None) -> tuple[int, ...]:
        self._called("certificates")
        return tuple(one.id for one in self.ssl.values() if type_ in (None, one.type))

    async def certificate(self, ssl_id: int) -> Ssl:
        self._called("certificate")
        if ssl_id not in self.ssl:
            raise Absent
        return self.ssl[ssl_id]

    async def upload(self, *, certificate: str, chain: str, key: str, display_name: str) -> Ssl:
        self._called("upload")
        assert key.startswith("-----BEGIN")
        assert not chain
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        made = Ssl(
            id=self._id(),
            display_name=display_name,
            type="custom",
            fingerprint=certificates.fingerprint(leaf),
            san=tuple(san.get_values_for_type(x509.DNSName)),
            expire_date=leaf.not_valid_after_utc,
        )
        assert made.fingerprint not in {one.fingerprint for one in self.ssl.values()}, "twice"
        self.ssl[made.id] = made
        self.changes += 1
        return made

    async def rename_certificate(self, ssl_id: int, display_name: str) -> None:
        self._called("rename")
        self.ssl[ssl_id] = msgspec.structs.replace(self.ssl[ssl_id], display_name=display_name)

    async def delete_certificate(self, ssl_id: int) -> None:
        self._called("delete certificate")
        for frontend in (*self.http.values(), *self.applied_http.values()):
            assert frontend.default_ssl_id != ssl_id, "a certificate in use is removed"
        assert (self.ssl[ssl_id].display_name or "") != "foreign", "it is not ours"
        del self.ssl[ssl_id]
        self.changes += 1

    async def order_free_certificate(self, names: tuple[str, ...]) -> OVHTask:
        self._called("order")
        assert names
        return self._task("orderFreeCertificate")

    # --- frontends, routes, farms

    async def frontends(self) -> tuple[int, ...]:
        self._called("frontends")
        return tuple(self.http)

    async def frontend(self, frontend_id: int) -> Frontend:
        self._called("frontend")
        return self.http[frontend_id]

    async def create_frontend(self, settings: Mapping[str, Any]) -> Frontend:
        self._called("create frontend")
        given = {name: value for name, value in settings.items() if value is not None}
        made = msgspec.convert({**given, "frontendId": self._id()}, Frontend)
        self._check(made)
        self.http[made.frontend_id] = made
        self.changes += 1
        return made

    async def change_frontend(self, frontend_id: int, settings: Mapping[str, Any]) -> None:
        self._called("change frontend")
        if frontend_id not in self.http:
            raise Absent
        before: dict[str, Any] = msgspec.to_builtins(self.http[frontend_id])
        after = msgspec.convert({**before, **settings}, Frontend)
        self._check(after)
        self.http[frontend_id] = after
        self.changes += 1

    async def delete_frontend(self, frontend_id: int) -> None:
        self._called("delete frontend")
        assert self.http[frontend_id].display_name != "foreign", "it is not ours"
        del self.http[frontend_id]
        self.changes += 1

    async def defined_routes(self) -> tuple[DefinedRoute, ...]:
        self._called("definedRoutes")
        return tuple(
            DefinedRoute(route_id=one.route_id, display_name=one.display_name, type="http")
            for one in self.routes.values()
        )

    async def route(self, route_id: int) -> Route:
        self._called("route")
        return self.routes[route_id]

    async def create_route(self, *, frontend_id: int, name: str, action: RouteAction) -> Route:
        self._called("create route")
        ours = [one for one in self.routes.values() if one.display_name != "foreign"]
        assert not any(one.frontend_id == frontend_id for one in ours), "twice"
        made = Route(route_id=self._id(), frontend_id=frontend_id, display_name=name, action=action)
        self.routes[made.route_id] = made
        self.changes += 1
        return made

    async def change_route(
        self, route_id: int, *, frontend_id: int, name: str, action: RouteAction
    ) -> None:
        self._called("change route")
        self.routes[route_id] = Route(
            route_id=route_id, frontend_id=frontend_id, display_name=name, action=action
        )
        self.changes += 1

    async def delete_route(self, route_id: int) -> None:
        self._called("delete route")
        assert self.routes[route_id].display_name != "foreign", "it is not ours"
        del self.routes[route_id]
        self.changes += 1

    async def farms(self) -> tuple[int, ...]:
        self._called("farms")
        return tuple(self.farms_by_id)

    async def farm(self, farm_id: int) -> Farm:
        self._called("farm")
        return Farm(farm_id=farm_id, display_name=self.farms_by_id[farm_id])

    # --- what tests look at

    redirecting: set[int] = field(default_factory=set)
    """Ports of plain frontends that must never be applied without a redirect."""

    def served(self) -> frozenset[str]:
        """Fingerprints that are applied, where a TLS frontend is."""
        if not any(one.ssl and not one.disabled for one in self.applied_http.values()):
            return frozenset()
        return frozenset(one.fingerprint for one in self.applied_ssl.values())

    def _lacks_redirect(self, frontend: Frontend) -> bool:
        return (
            not frontend.disabled
            and int(frontend.port) in self.redirecting
            and not any(one.frontend_id == frontend.frontend_id for one in self.routes.values())
        )

    def _check(self, made: Frontend) -> None:
        assert made.default_ssl_id is None or made.default_ssl_id in self.ssl
        assert made.default_farm_id is None or made.redirect_location is None
        assert made.default_farm_id is None or made.default_farm_id in self.farms_by_id
        for other in self.http.values():
            if other.frontend_id != made.frontend_id and other.port == made.port:
                zones = {other.zone, made.zone}
                assert len(zones) == 2, "two frontends on a port"
                assert "all" not in zones, "two frontends on a port"

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self._due is not None and self.time.now() >= self._due:
            ssl, http, routes, changes = self._asked
            self.applied_ssl, self.applied_http, self.applied_routes = ssl, http, routes
            self.changes -= changes
            self._due = None
            for task in self._open():
                self.task_list[task.id] = msgspec.structs.replace(
                    task, status="done", progress=100, done_date=self.time.now()
                )

    def _open(self) -> list[OVHTask]:
        return [
            task
            for task in self.task_list.values()
            if task.action == "refreshIplb" and task.status in ("todo", "doing")
        ]

    def _task(self, action: str) -> OVHTask:
        task = OVHTask(id=self._id(), action=action, status="doing", creation_date=self.time.now())
        self.task_list[task.id] = task
        return task

    def _id(self) -> int:
        self._ids += 1
        return self._ids
