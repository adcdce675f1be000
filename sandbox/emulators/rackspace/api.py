"""The HTTP side: routes, tokens, limits, and what each load balancer serves.

Neighbours: :mod:`.state` has the rules, :mod:`.identity` the tokens, :mod:`.limits` the rates; the
server around it is :mod:`sandbox.emulators.server`.
"""

import functools
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any, ClassVar, Literal

from aiohttp import web

from sandbox.emulators.rackspace import bodies, faults, limits, state
from sandbox.emulators.rackspace.identity import REGIONS, identity
from sandbox.emulators.rackspace.state import Configuration, LoadBalancer, Rules, Status
from sandbox.emulators.server import BadBody, Clock, Emulator, json_object, timestamp
from sandbox.emulators.tls import Answer, Offer

API_KEY = "a4bbc55a951242c48b03e88e32123456"
"""The API key that is taken unless another is given; the guide's own example."""

_LOWEST_FREE_PORT = 1024
_MAY_SERVE = frozenset({Status.ACTIVE, Status.PENDING_UPDATE, Status.PENDING_DELETE, Status.ERROR})
_REGION = re.compile(r"^/(?:" + "|".join(REGIONS).lower() + r")(?=/v1\.0/)")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Rackspace(Emulator):
    """Rackspace Cloud Load Balancers v1.0 and the identity service before it."""

    name: ClassVar[str] = "rackspace"
    largest_body: ClassVar[int] = 256 * 1024

    def __init__(
        self,
        *,
        clock: Clock,
        front: str = "127.0.0.1",
        seed: int = 0,
        account: Annotated[str, "Number of the account."] = "123456",
        username: Annotated[str, "The only user."] = "certfront",
        api_key: Annotated[str, "The user's API key."] = API_KEY,
        region: Annotated[str, "Region of the load balancers."] = "DFW",
        load_balancers: Annotated[
            tuple[str, ...], "ID[:PORT[:PROTOCOL]] of each; HTTP on port 80 otherwise."
        ] = ("71",),
        port_map: Annotated[
            Mapping[str, int],
            "[ID/]PORT=PORT: served on the second; ports below 1024 are served only so.",
        ] = {},
        update_seconds: Annotated[float, "How long a change is PENDING_UPDATE."] = 2.0,
        token_seconds: Annotated[float, "How long a token is valid."] = 86_400.0,
        rate_limits: Annotated[bool, "Whether the documented rates are enforced."] = True,
        mapping_limit: Annotated[int, "Certificate mappings of a load balancer."] = 20,
        retry_after: Annotated[Literal["seconds", "date"], "Form of Retry-After."] = "seconds",
        wrapped_faults: Annotated[
            bool, "Whether a fault is the member of its name, or bare as in the guide."
        ] = False,
        termination_status: Annotated[
            int, "Success of PUT and DELETE ssltermination: 200 (guide) or 202 (implementation)."
        ] = 200,
    ) -> None:
        super().__init__(clock=clock, front=front, seed=seed)
        if region not in REGIONS:
            raise ValueError(f"there is no region {region}; there are {', '.join(REGIONS)}")
        self.account = account
        self.region = region
        self._identity = identity(
            self.random,
            account=account,
            username=username,
            api_key=api_key,
            region=region,
            token_seconds=token_seconds,
        )
        self._limited = rate_limits
        self._rates = limits.RateLimits(clock, limits.DEFAULT_RATES)
        self._retry_after = retry_after
        self._wrapped = wrapped_faults
        self._termination_status = termination_status
        self._ports = {_key(given): port for given, port in port_map.items()}
        self._rules = Rules(
            random=self.random, update_seconds=update_seconds, mapping_limit=mapping_limit
        )
        self._balancers: dict[int, LoadBalancer] = {}
        for given in load_balancers:
            balancer = self._made(given)
            self._balancers[balancer.id] = balancer

    def _made(self, given: str) -> LoadBalancer:
        number, _, rest = given.partition(":")
        port, _, protocol = rest.partition(":")
        configuration = Configuration(
            name=f"lb-{number}", port=int(port or 80), protocol=protocol or "HTTP"
        )
        now = self.clock.now()
        return LoadBalancer(
            id=int(number),
            region=self.region,
            address=self.front,
            created=now,
            updated=now,
            configuration=configuration,
            served=configuration,
        )

    # --- the API -----------------------------------------------------------------------------

    def routes(self) -> Iterable[web.RouteDef]:
        """The identity service, and the load balancers with and without the region's prefix."""
        yield web.post("/v2.0/tokens", self._answering(self._post_token))
        account = "/v1.0/{account}"
        balancer = account + "/loadbalancers/{id:[0-9]+}"
        termination = balancer + "/ssltermination"
        mapping = termination + "/certificatemappings/{mapping:[0-9]+}"
        operations: list[tuple[str, str, _Handler]] = [
            ("GET", account + "/limits", self._get_limits),
            ("GET", account + "/loadbalancers/absolutelimits", self._get_absolute_limits),
            ("GET", account + "/loadbalancers", self._get_balancers),
            ("GET", balancer, self._get_balancer),
            ("PUT", balancer, self._put_balancer),
            ("GET", termination, self._get_termination),
            ("PUT", termination, self._put_termination),
            ("DELETE", termination, self._delete_termination),
            ("GET", termination + "/certificatemappings", self._get_mappings),
            ("POST", termination + "/certificatemappings", self._post_mapping),
            ("GET", mapping, self._get_mapping),
            ("PUT", mapping, self._put_mapping),
            ("DELETE", mapping, self._delete_mapping),
        ]
        regions = "/{region:" + "|".join(REGIONS).lower() + "}"
        for method, path, handler in operations:
            guarded = self._answering(self._guarded(handler))
            yield web.route(method, path, guarded)
            yield web.route(method, regions + path, guarded)

    def unknown(self, request: web.Request) -> web.Response:
        """404 and 405 in the service's form; without a valid token 401, as for anything."""
        fault: faults.ApiFault = faults.not_found("Object not Found")
        refusal = request.match_info.http_exception
        if refusal is not None and refusal.status == web.HTTPMethodNotAllowed.status_code:
            fault = faults.ApiFault("badRequest", refusal.status, "Method Not Allowed")
        known = self._identity.knows(request.headers.get("X-Auth-Token", ""), self.clock.now())
        if not known and not request.path.startswith("/v2.0/"):
            return web.Response(status=401)
        return self._refusal(fault, identity=request.path.startswith("/v2.0/"))

    def too_large(self, request: web.Request) -> web.Response:
        """400: how the service answers is not documented, and 413 has another meaning here."""
        fault = faults.invalid("The body is too large.")
        return self._refusal(fault, identity=request.path.startswith("/v2.0/"))

    def identify(self, request: web.Request) -> str:
        """The path without the prefix of its region."""
        return _REGION.sub("", request.path)

    def _answering(self, handler: _Handler) -> _Handler:
        """With faults turned into answers."""

        @functools.wraps(handler)
        async def answered(request: web.Request) -> web.StreamResponse:
            identity_service = request.path.startswith("/v2.0/")
            try:
                return await handler(request)
            except faults.ApiFault as fault:
                return self._refusal(fault, identity=identity_service)
            except BadBody as error:
                return self._refusal(faults.invalid(str(error)), identity=identity_service)

        return answered

    def _guarded(self, handler: _Handler) -> _Handler:
        """Only for who has a token for this account, within the rates."""

        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            now = self.clock.now()
            known = self._identity.knows(request.headers.get("X-Auth-Token", ""), now)
            if not known or request.match_info["account"] != self.account:
                return web.Response(status=401)
            exceeded = self._rates.take(request.method) if self._limited else None
            if exceeded is not None:
                raise self._rate_limited(exceeded.next_available, now)
            if request.method in ("PUT", "POST") and request.content_type != "application/json":
                raise faults.ApiFault("badRequest", 415, "Unsupported Media Type")
            for balancer in self._balancers.values():
                balancer.settle(now)
            return await handler(request)

        return guarded

    def _rate_limited(self, available: datetime, now: datetime) -> faults.RateLimited:
        seconds = str(max(math.ceil((available - now).total_seconds()), 1))
        # A date has whole seconds: the next one, so that whoever waits for it is not early.
        date = format_datetime(
            datetime.fromtimestamp(math.ceil(available.timestamp()), UTC), usegmt=True
        )
        return faults.RateLimited(
            retry_at=timestamp(available),
            retry_after=date if self._retry_after == "date" else seconds,
        )

    def _refusal(self, fault: faults.ApiFault, *, identity: bool) -> web.Response:
        body = fault.body(wrapped=self._wrapped or identity)
        return web.json_response(body, status=fault.code, headers=fault.headers)

    def _balancer(self, request: web.Request) -> LoadBalancer:
        """The load balancer of the path; one of another region is not found."""
        region = request.match_info.get("region", self.region.lower())
        balancer = self._balancers.get(int(request.match_info["id"]))
        if balancer is None or region != balancer.region.lower():
            raise faults.not_found("Load balancer not found")
        return balancer

    async def _post_token(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise faults.ApiFault("badRequest", 415, "Unsupported Media Type")
        base = f"{request.scheme}://{request.host}"
        return web.json_response(
            self._identity.authenticate(json_object(request), self.clock.now(), base)
        )

    async def _get_limits(self, _request: web.Request) -> web.Response:
        return web.json_response(self._rates.document())

    async def _get_absolute_limits(self, _request: web.Request) -> web.Response:
        values = {**limits.ABSOLUTE, "CERTIFICATE_MAPPING_LIMIT": self._rules.mapping_limit}
        return web.json_response(limits.absolute_document(values))

    async def _get_balancers(self, request: web.Request) -> web.Response:
        region = request.match_info.get("region", self.region.lower())
        listed = [
            balancer.document()
            for balancer in self._balancers.values()
            if balancer.status is not Status.DELETED and balancer.region.lower() == region
        ]
        return web.json_response({"loadBalancers": listed})

    async def _get_balancer(self, request: web.Request) -> web.Response:
        return web.json_response({"loadBalancer": self._balancer(request).document()})

    async def _put_balancer(self, request: web.Request) -> web.Response:
        change = bodies.parsed(json_object(request), "loadBalancer", bodies.LoadBalancerUpdate)
        self._rules.update(self._balancer(request), change, self.clock.now())
        return web.Response(status=202)

    async def _get_termination(self, request: web.Request) -> web.Response:
        termination = state.termination_of(self._balancer(request))
        return web.json_response(state.termination_document(termination))

    async def _put_termination(self, request: web.Request) -> web.Response:
        change = bodies.parsed(json_object(request), "sslTermination", bodies.TerminationUpdate)
        self._rules.terminate(self._balancer(request), change, self.clock.now())
        return web.Response(status=self._termination_status)

    async def _delete_termination(self, request: web.Request) -> web.Response:
        self._rules.unterminate(self._balancer(request), self.clock.now())
        return web.Response(status=self._termination_status)

    async def _get_mappings(self, request: web.Request) -> web.Response:
        balancer = self._balancer(request)
        state.termination_of(balancer)
        listed = [
            {"certificateMapping": {"id": mapping.id, "hostName": mapping.host_name}}
            for mapping in balancer.configuration.mappings
        ]
        return web.json_response({"certificateMappings": listed})

    async def _post_mapping(self, request: web.Request) -> web.Response:
        change = bodies.parsed(json_object(request), "certificateMapping", bodies.MappingUpdate)
        mapping = self._rules.add_mapping(self._balancer(request), change, self.clock.now())
        return web.json_response(state.mapping_document(mapping), status=202)

    async def _get_mapping(self, request: web.Request) -> web.Response:
        mapping = state.mapping_of(self._balancer(request), int(request.match_info["mapping"]))
        return web.json_response(state.mapping_document(mapping))

    async def _put_mapping(self, request: web.Request) -> web.Response:
        change = bodies.parsed(json_object(request), "certificateMapping", bodies.MappingUpdate)
        number = int(request.match_info["mapping"])
        self._rules.change_mapping(self._balancer(request), number, change, self.clock.now())
        return web.Response(status=202)

    async def _delete_mapping(self, request: web.Request) -> web.Response:
        number = int(request.match_info["mapping"])
        self._rules.remove_mapping(self._balancer(request), number, self.clock.now())
        return web.Response(status=202)

    # --- what is served ----------------------------------------------------------------------

    def offers(self) -> Iterable[Offer]:
        """The secure port by host name, and the plain port unless only secure traffic passes."""
        now = self.clock.now()
        for balancer in self._balancers.values():
            balancer.settle(now)
            if balancer.status in _MAY_SERVE:
                yield from self._served(balancer, balancer.served)

    def _served(self, balancer: LoadBalancer, served: Configuration) -> Iterable[Offer]:
        termination = served.termination
        terminates = termination is not None and termination.enabled
        if termination is not None and terminates:
            port = self._port(balancer, termination.secure_port)
            if port is not None:
                answer = functools.partial(_behind, balancer.id, "https")
                yield Offer(port=port, tls=True, certificate=served.certificate, answer=answer)
        if served.protocol in state.SECURE_PROTOCOLS:
            return  # TLS passes through to nodes, and there are none
        port = self._port(balancer, served.port)
        if port is None:
            return
        if terminates and served.https_redirect:
            yield Offer(port=port, tls=False, answer=_redirect)
        elif termination is None or not (terminates and termination.secure_traffic_only):
            answer = functools.partial(_behind, balancer.id, "http")
            yield Offer(port=port, tls=False, answer=answer)

    def _port(self, balancer: LoadBalancer, port: int) -> int | None:
        """Where this port is really served; None for a low one that the map does not name."""
        mapped = self._ports.get((balancer.id, port)) or self._ports.get((None, port))
        return mapped or (port if port >= _LOWEST_FREE_PORT else None)

    # --- for tests and the demo --------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Every load balancer as set and as served, certificates included, keys never."""
        now = self.clock.now()
        for balancer in self._balancers.values():
            balancer.settle(now)
        return {
            "loadBalancers": [
                {
                    "id": balancer.id,
                    "status": str(balancer.status),
                    "set": _snapshot(balancer.configuration),
                    "served": _snapshot(balancer.served),
                }
                for balancer in self._balancers.values()
            ]
        }

    def steer(self, what: str, value: Any) -> None:
        """Do what no call of the API does.

        `revoke-tokens` (no value), `api-key` (the new one), `update-seconds`, `token-seconds`,
        `mapping-limit`, `rate-limits` (boolean); and of one load balancer, with its id as
        `{"id": 71, …}` (the first without): `status` (`status`; PENDING_UPDATE stays until another
        is set), `fail-next-update`, `remove-termination`, `remove-mapping` (`hostName`), `set`
        (any attribute of PUT, unchecked). These last three are served at once.
        """
        options: dict[str, Callable[[], None]] = {
            "revoke-tokens": self._identity.revoke,
            "api-key": lambda: setattr(self._identity, "api_key", _typed(value, str)),
            "token-seconds": lambda: setattr(self._identity, "token_seconds", float(value)),
            "update-seconds": lambda: setattr(self._rules, "update_seconds", float(value)),
            "mapping-limit": lambda: setattr(self._rules, "mapping_limit", _typed(value, int)),
            "rate-limits": lambda: setattr(self, "_limited", _typed(value, bool)),
        }
        if what in options:
            options[what]()
        else:
            self._steer_balancer(what, _typed(value if value is not None else {}, dict))

    def _steer_balancer(self, what: str, value: dict[str, Any]) -> None:
        given = dict(value)
        number = given.pop("id", None)
        balancer = self._balancers[number] if number is not None else self._first()
        current = balancer.configuration
        if what == "status":
            balancer.status = Status(given["status"])
            balancer.settles = None
            if balancer.status is Status.ACTIVE:
                balancer.served = current
        elif what == "fail-next-update":
            balancer.fails_next = True
        elif what == "remove-termination":
            balancer.behind_its_back(termination=None, mappings=())
        elif what == "remove-mapping":
            mappings = tuple(one for one in current.mappings if one.host_name != given["hostName"])
            if mappings == current.mappings:
                raise LookupError("no mapping has this host name")
            balancer.behind_its_back(mappings=mappings)
        elif what == "set":
            change = bodies.parsed({"_": given}, "_", bodies.LoadBalancerUpdate)
            balancer.behind_its_back(
                **{
                    name: new
                    for name in change.__struct_fields__
                    if (new := getattr(change, name)) is not None
                }
            )
        else:
            raise LookupError(f"rackspace cannot be steered to {what}")

    def _first(self) -> LoadBalancer:
        return next(iter(self._balancers.values()))


def _key(given: str) -> tuple[int | None, int]:
    """`71/443` or `443` as (load balancer or None, port)."""
    number, slash, port = given.rpartition("/")
    return (int(number) if slash else None, int(port))


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"the value must be a {kind.__name__}")
    return value


def _behind(number: int, proto: str, host: str, _path: str, _headers: Mapping[str, str]) -> Answer:
    """What a node behind the load balancer answers: how the request reached it."""
    return Answer(
        headers={"X-Forwarded-Proto": proto},
        body=f"load balancer {number}, host {host}, X-Forwarded-Proto {proto}\n",
    )


def _redirect(host: str, path: str, _headers: Mapping[str, str]) -> Answer:
    """301 to the same URL by HTTPS on port 443."""
    return Answer(status=301, headers={"Location": f"https://{host}{path}"})


def _snapshot(configuration: Configuration) -> dict[str, Any]:
    termination = configuration.termination
    found: dict[str, Any] = {
        "name": configuration.name,
        "protocol": configuration.protocol,
        "port": configuration.port,
        "httpsRedirect": configuration.https_redirect,
        "certificateMappings": [
            state.mapping_document(mapping)["certificateMapping"]
            for mapping in configuration.mappings
        ],
    }
    if termination is not None:
        found.update(state.termination_document(termination))
    return found
