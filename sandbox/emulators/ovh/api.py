"""The emulated OVH API: its routes, who may call them, and the answers around the state's own."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from aiohttp import web

from sandbox.emulators.ovh import shapes
from sandbox.emulators.ovh.certificates import Authority, FingerprintForm
from sandbox.emulators.ovh.fronts import offers_of
from sandbox.emulators.ovh.oauth2 import ServiceAccount, TokenRefusal, Tokens
from sandbox.emulators.ovh.refusals import Refusal, bad_request
from sandbox.emulators.ovh.service import Service, Terms
from sandbox.emulators.ovh.shapes import NOTHING, Shape
from sandbox.emulators.ovh.signature import ConsumerKey, Keys, SignedRequest, parse_rules
from sandbox.emulators.ovh.steering import Steering
from sandbox.emulators.server import BODY, BadBody, Clock, Emulator, json_object
from sandbox.emulators.tls import Offer

BASE = "/1.0"
SERVICE = "/ipLoadbalancing/{serviceName}"
TOKEN_PATH = "/auth/oauth2/token"  # noqa: S105 - a path

_LARGEST_URL = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One authorized call on a service."""

    service: Service
    parameters: Mapping[str, str]
    filters: Mapping[str, Any]
    body: Mapping[str, Any]
    now: datetime

    def id(self, name: str) -> int:
        """A path parameter that is a number; raises the API's refusal (400)."""
        text = self.parameters[name]
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise bad_request(f"[{name}] Given data is not valid for type long")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path, as the OpenAPI description has it."""

    method: str
    path: str
    action: str
    act: Callable[[Asked], Any]
    body: Shape | None
    filters: Shape

    @property
    def name(self) -> str:
        """`POST /ssl`: the call's name for the journal and for faults."""
        return f"{self.method} {self.path or '/'}"


def _operation(
    name: str,
    action: str,
    act: Callable[[Asked], Any],
    *,
    body: Shape | None = None,
    filters: Shape = NOTHING,
) -> Operation:
    method, _, path = name.partition(" ")
    return Operation(
        method=method,
        path=path,
        action=f"loadbalancer:apiovh:{action}",
        act=act,
        body=body,
        filters=filters,
    )


OPERATIONS = (
    _operation("GET ", "get", lambda a: a.service.describe()),
    _operation("PUT ", "put", lambda a: a.service.edit(a.body), body=shapes.SERVICE_EDIT),
    _operation(
        "GET /http/frontend",
        "http/frontend/get",
        lambda a: a.service.list_frontends(a.filters),
        filters=shapes.FRONTEND_FILTERS,
    ),
    _operation(
        "POST /http/frontend",
        "http/frontend/create",
        lambda a: a.service.add_frontend(a.body),
        body=shapes.FRONTEND_CREATE,
    ),
    _operation(
        "GET /http/frontend/{frontendId}",
        "http/frontend/get",
        lambda a: a.service.frontend(a.id("frontendId")),
    ),
    _operation(
        "PUT /http/frontend/{frontendId}",
        "http/frontend/edit",
        lambda a: a.service.edit_frontend(a.id("frontendId"), a.body),
        body=shapes.FRONTEND_EDIT,
    ),
    _operation(
        "DELETE /http/frontend/{frontendId}",
        "http/frontend/delete",
        lambda a: a.service.remove_frontend(a.id("frontendId")),
    ),
    _operation(
        "GET /http/route",
        "http/route/get",
        lambda a: a.service.list_http_routes(a.filters),
        filters=shapes.ROUTE_FILTERS,
    ),
    _operation(
        "POST /http/route",
        "http/route/create",
        lambda a: a.service.add_http_route(a.body),
        body=shapes.ROUTE_CREATE,
    ),
    _operation(
        "GET /http/route/{routeId}",
        "http/route/get",
        lambda a: a.service.http_route(a.id("routeId")),
    ),
    _operation(
        "PUT /http/route/{routeId}",
        "http/route/edit",
        lambda a: a.service.edit_http_route(a.id("routeId"), a.body),
        body=shapes.ROUTE_EDIT,
    ),
    _operation(
        "DELETE /http/route/{routeId}",
        "http/route/delete",
        lambda a: a.service.remove_http_route(a.id("routeId")),
    ),
    _operation("GET /definedRoutes", "definedRoutes/get", lambda a: a.service.defined_routes()),
    _operation(
        "GET /ssl",
        "ssl/get",
        lambda a: a.service.list_certificates(a.filters),
        filters=shapes.SSL_FILTERS,
    ),
    _operation(
        "POST /ssl",
        "ssl/create",
        lambda a: a.service.add_certificate(a.body, a.now),
        body=shapes.SSL_CREATE,
    ),
    _operation("GET /ssl/{id}", "ssl/get", lambda a: a.service.certificate(a.id("id"))),
    _operation(
        "PUT /ssl/{id}",
        "ssl/edit",
        lambda a: a.service.rename_certificate(a.id("id"), a.body),
        body=shapes.SSL_EDIT,
    ),
    _operation(
        "DELETE /ssl/{id}", "ssl/delete", lambda a: a.service.remove_certificate(a.id("id"))
    ),
    _operation(
        "POST /freeCertificate",
        "freeCertificate/order",
        lambda a: a.service.order(a.body, a.now).render(),
        body=shapes.FREE_CERTIFICATE,
    ),
    _operation(
        "GET /task",
        "task/get",
        lambda a: a.service.tasks.list(a.filters),
        filters=shapes.TASK_FILTERS,
    ),
    _operation("GET /task/{id}", "task/get", lambda a: a.service.task(a.id("id"))),
    _operation(
        "POST /refresh",
        "refresh",
        lambda a: a.service.refresh(a.body, a.now).render(),
        body=shapes.REFRESH,
    ),
    _operation("GET /pendingChanges", "pendingChanges/get", lambda a: a.service.pending()),
    _operation("GET /quota", "quota/get", lambda a: list(a.service.zones)),
    _operation(
        "GET /quota/{zone}",
        "quota/get",
        lambda a: a.service.quota(a.parameters["zone"], a.now),
    ),
    _operation(
        "PUT /quota/{zone}",
        "quota/edit",
        lambda a: a.service.edit_quota(a.parameters["zone"], a.body),
        body=shapes.QUOTA_EDIT,
    ),
    _operation("GET /zone", "zone/get", lambda a: list(a.service.zones)),
    _operation("GET /zone/{name}", "zone/get", lambda a: a.service.zone(a.parameters["name"])),
    _operation(
        "GET /http/farm",
        "http/farm/get",
        lambda a: a.service.list_farms(a.filters),
        filters=shapes.FARM_FILTERS,
    ),
    _operation(
        "GET /http/farm/{farmId}", "http/farm/get", lambda a: a.service.farm(a.id("farmId"))
    ),
    _operation("GET /status", "status/get", lambda a: a.service.status()),
)
"""What is served of a service; a test compares it with the OpenAPI description."""


class OVH(Emulator):
    """OVHcloud IP Load Balancing (API v1), the base URL ending in /1.0."""

    name: ClassVar[str] = "ovh"
    largest_body: ClassVar[int] = 256 * 1024

    def __init__(
        self,
        *,
        clock: Clock,
        front: str = "127.0.0.1",
        seed: int = 0,
        services: Annotated[tuple[str, ...], "Names of the services."] = (
            "loadbalancer-0123456789abcdef",
        ),
        zones: Annotated[tuple[str, ...], "Zones of every service."] = ("gra", "rbx"),
        farms: Annotated[Mapping[str, str], "HTTP farms: id=displayName."] = {"1001": "web"},
        ports: Annotated[
            Mapping[str, int], "Where a frontend's port really listens: 443=8443."
        ] = {},
        application_key: Annotated[str, "Application key."] = "emulatedAppKey00",
        application_secret: Annotated[str, "Application secret."] = (
            "emulatedApplicationSecret0000000"  # noqa: S107 - opens nothing but this emulator
        ),
        consumer_key: Annotated[str, "Consumer key."] = "emulatedConsumerKey0000000000000",
        rules: Annotated[tuple[str, ...], "The consumer key's access rules: METHOD /path."] = (
            "GET /*",
            "POST /*",
            "PUT /*",
            "DELETE /*",
        ),
        client_id: Annotated[str, "OAuth2 service account."] = "EU.0123456789abcdef",
        client_secret: Annotated[str, "Its secret."] = (
            "emulatedClientSecret000000000000"  # noqa: S107 - opens nothing but this emulator
        ),
        actions: Annotated[tuple[str, ...], "IAM actions that its policy allows."] = ("*",),
        token_seconds: Annotated[float, "How long a bearer token is valid."] = 3599.0,
        skew_seconds: Annotated[float, "How far a signature's timestamp may be off."] = 30.0,
        todo_seconds: Annotated[float, "How long a task waits before it begins."] = 0.3,
        refresh_seconds: Annotated[float, "How long a refresh runs."] = 1.0,
        order_seconds: Annotated[float, "How long the order of a free certificate runs."] = 2.0,
        order_gives_up_seconds: Annotated[
            float, "When an order whose names do not point here ends in error."
        ] = 600.0,
        tasks_kept_seconds: Annotated[float, "How long a task stays after its end."] = 3600.0,
        propagation_seconds: Annotated[
            float, "How long what a refresh applied takes to be served."
        ] = 0.0,
        ssl_quota: Annotated[int, "Most certificates on a service; 0: any number."] = 0,
        resolves: Annotated[tuple[str, ...], "Names (or * patterns) that point here."] = (),
        fingerprint_form: Annotated[FingerprintForm, "The form of fingerprints."] = "sha1-colons",
        sni_prefers: Annotated[
            Literal["newest", "oldest"], "Which of two uploads for one name is served."
        ] = "newest",
        built_deletable: Annotated[bool, "Whether DELETE takes built certificates."] = True,
        built_days: Annotated[float, "Validity of free certificates."] = 90.0,
    ) -> None:
        super().__init__(clock=clock, front=front, seed=seed)
        self.terms = Terms(
            todo_seconds=todo_seconds,
            refresh_seconds=refresh_seconds,
            order_seconds=order_seconds,
            order_gives_up_seconds=order_gives_up_seconds,
            tasks_kept_seconds=tasks_kept_seconds,
            propagation_seconds=propagation_seconds,
            ssl_quota=ssl_quota,
            resolves=tuple(resolves),
            fingerprint_form=fingerprint_form,
            sni_prefers=sni_prefers,
            built_deletable=built_deletable,
            built_days=built_days,
        )
        self.keys = Keys(skew_seconds)
        self.keys.applications[application_key] = application_secret
        self.keys.consumers[consumer_key] = ConsumerKey(
            application=application_key, rules=parse_rules(rules)
        )
        self.tokens = Tokens(token_seconds, self.random)
        self.tokens.accounts[client_id] = ServiceAccount(
            secret=client_secret, actions=tuple(actions)
        )
        self._authority: Authority | None = None
        self._ports = {int(port): real for port, real in ports.items()}
        self.services = {
            name: Service(
                name,
                zones=zones,
                ipv4=front,
                farms={int(number): text for number, text in farms.items()},
                terms=self.terms,
                source=self.random,
                authority=self.authority,
            )
            for name in services
        }
        self._steering = Steering(self.services, self.terms, self.keys, self.tokens)

    def authority(self) -> Authority:
        """Who issues the free certificates."""
        if self._authority is None:
            self._authority = Authority()
        return self._authority

    def routes(self) -> Iterator[web.RouteDef]:
        """The API below /1.0 and the token endpoint beside it."""
        yield web.get(f"{BASE}/auth/time", self._get_time, allow_head=False)
        yield web.post(TOKEN_PATH, self._post_token)
        yield web.get(f"{BASE}/ipLoadbalancing", self._get_services, allow_head=False)
        for operation in OPERATIONS:
            path = BASE + SERVICE + operation.path
            yield web.route(operation.method, path, self._handler(operation))

    def unknown(self, request: web.Request) -> web.Response:
        """404 or 405 in the API's form, without a look at credentials."""
        found = request.match_info.http_exception
        if found is not None and found.status == 405:
            return self._answered(Refusal(405, "Method not allowed on this URL").response())
        return self._answered(Refusal(404, "Got an invalid (or empty) URL").response())

    def too_large(self, request: web.Request) -> web.Response:  # noqa: ARG002 - as it is called
        """413 in the API's form."""
        return self._answered(Refusal(413, "Request body is too large").response())

    def identify(self, request: web.Request) -> str:
        """`POST /ssl` for calls on a service, the path for the others."""
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else request.path
        prefix = BASE + SERVICE
        if path.startswith(prefix):
            return f"{request.method} {path.removeprefix(prefix) or '/'}"
        return f"{request.method} {path.removeprefix(BASE)}"

    def offers(self) -> Iterable[Offer]:
        """What the applied configurations serve; of two services with one port the first."""
        now = self.clock.now()
        for service in self.services.values():
            service.settle(now)
            for configuration in service.serving(now):
                yield from offers_of(
                    configuration, lambda port: self._ports.get(port, port), self.terms.sni_prefers
                )

    def snapshot(self) -> dict[str, Any]:
        """Every service's state, and the certificate of who issues the free ones."""
        now = self.clock.now()
        for service in self.services.values():
            service.settle(now)
        return {
            "services": {name: held.snapshot(now) for name, held in self.services.items()},
            "authority": self.authority().pem(now),
        }

    def steer(self, what: str, value: Any) -> None:
        """See :data:`sandbox.emulators.ovh.steering.WAYS`."""
        now = self.clock.now()
        for service in self.services.values():
            service.settle(now)
        self._steering.steer(what, value, now)

    async def _get_time(self, _request: web.Request) -> web.Response:
        return self._answered(web.json_response(int(self.clock.now().timestamp())))

    async def _post_token(self, request: web.Request) -> web.Response:
        try:
            now = self.clock.now().timestamp()
            return web.json_response(self.tokens.issue(request.headers, request[BODY], now))
        except TokenRefusal as refusal:
            return refusal.response()

    async def _get_services(self, request: web.Request) -> web.Response:
        try:
            self._authorize(request, "loadbalancer:apiovh:get")
            shapes.parse_filters(NOTHING, _query(request))
        except Refusal as refusal:
            return self._answered(refusal.response())
        return self._answered(web.json_response(list(self.services)))

    def _handler(self, operation: Operation) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._authorize(request, operation.action)
                value = operation.act(self._asked(operation, request))
            except Refusal as refusal:
                return self._answered(refusal.response())
            return self._answered(web.json_response(value))

        return handle

    def _authorize(self, request: web.Request, action: str) -> None:
        """Check the signature or the bearer token; raises the API's refusal."""
        now = self.clock.now().timestamp()
        if len(request.raw_path) > _LARGEST_URL:
            raise bad_request("The URL is too long")
        if "Authorization" in request.headers:
            self.tokens.check(request.headers["Authorization"], action, now)
            return
        if "X-Ovh-Application" not in request.headers:
            raise Refusal(401, "You must login first", "NOT_CREDENTIAL")
        signed = SignedRequest(
            method=request.method,
            url=f"{request.scheme}://{request.host}{request.raw_path}",
            path=request.path.removeprefix(BASE),
            body=request[BODY],
            headers=request.headers,
            peer=request.remote,
        )
        self.keys.check(signed, now)

    def _asked(self, operation: Operation, request: web.Request) -> Asked:
        service = self.services.get(request.match_info["serviceName"])
        if service is None:
            raise Refusal(404, "This service does not exist")
        if service.state != "ok":
            raise Refusal(460, f"This service is {service.state}")
        now = self.clock.now()
        service.settle(now)
        return Asked(
            service=service,
            parameters=request.match_info,
            filters=shapes.parse_filters(operation.filters, _query(request)),
            body=_body(operation, request),
            now=now,
        )

    def _answered(self, response: web.Response) -> web.Response:
        response.headers["X-OVH-QUERYID"] = f"EU.ext-{self.random.getrandbits(64):016x}"
        return response


def _query(request: web.Request) -> dict[str, str]:
    query = dict(request.query)
    if len(query) != len(request.query):
        raise bad_request("A filter is given twice")
    return query


def _body(operation: Operation, request: web.Request) -> Mapping[str, Any]:
    """The checked body; an empty one stands for an object without members."""
    if operation.body is None:
        if request[BODY]:
            raise bad_request(f"{operation.method} takes no body here")
        return {}
    if not request[BODY]:
        body: dict[str, Any] = {}
    elif request.content_type != "application/json":
        raise bad_request("The Content-Type must be application/json")
    else:
        try:
            body = json_object(request)
        except BadBody:
            raise bad_request("Invalid JSON received") from None
    shapes.check_body(operation.body, body)
    return body
