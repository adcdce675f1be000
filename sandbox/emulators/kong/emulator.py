"""One Kong as an emulator: the Admin API on its address, the proxy on the ports of its options."""

import hashlib
import ipaddress
import json
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from aiohttp import web
from cryptography.hazmat.primitives import hashes

from sandbox.emulators.kong import answers, pem
from sandbox.emulators.kong.admin import LARGEST_BODY, Admin
from sandbox.emulators.kong.answers import Reply
from sandbox.emulators.kong.node import Node, NodeState
from sandbox.emulators.kong.proxy import Proxy
from sandbox.emulators.kong.store import DEFAULT, Store
from sandbox.emulators.server import BODY, Clock, Emulator
from sandbox.emulators.tls import Offer

_SETTINGS = (
    "token",
    "workspaces",
    "dbless",
    "data_planes",
    "trusted_ips",
    "reachable",
    "certificate_seconds",
    "route_seconds",
)


class Kong(Emulator):
    """A Kong Gateway 3.9: its Admin API, and its proxy by SNI."""

    name: ClassVar[str] = "kong"
    largest_body: ClassVar[int] = LARGEST_BODY

    def __init__(
        self,
        *,
        clock: Clock,
        front: str = "127.0.0.1",
        seed: int = 0,
        https_port: Annotated[int, "Port of the proxy's TLS listener; 0: none."] = 0,
        http_port: Annotated[int, "Port of the proxy's plain listener; 0: none."] = 0,
        certificate_seconds: Annotated[float, "From a write to a handshake."] = 0.0,
        route_seconds: Annotated[float, "From a route's write to the router."] = 5.0,
        token: Annotated[str, "Kong-Admin-Token that is asked for (Enterprise)."] = "",
        workspaces: Annotated[tuple[str, ...], "Workspaces beside default (Enterprise)."] = (),
        dbless: Annotated[bool, "Without a database: writes are refused."] = False,
        data_planes: Annotated[int, "Act as the control plane of so many data planes."] = 0,
        trusted_ips: Annotated[tuple[str, ...], "Networks whose X-Forwarded-Proto counts."] = (),
    ) -> None:
        super().__init__(clock=clock, front=front, seed=seed)
        self.state = NodeState(
            token=token,
            dbless=dbless,
            data_planes=data_planes,
            certificate_seconds=certificate_seconds,
            route_seconds=route_seconds,
            https_port=https_port,
            http_port=http_port,
        )
        if workspaces or token:
            self.state.workspaces = [DEFAULT, *workspaces]
        self._set("trusted_ips", list(trusted_ips))
        self.store = Store(self.random, clock.now)
        self.proxy = Proxy(self.state, clock.now)
        self.store.listeners.append(self.proxy.changed)
        node = Node(
            self.state,
            seconds=self.store.seconds,
            config_hash=self._stored_hash,
            plane_hash=self.proxy.config_hash,
        )
        self.admin = Admin(self.store, self.state, node)

    def routes(self) -> Iterable[web.RouteDef]:
        """Every path and method: Kong's own answers begin before its paths are known."""
        return [web.route("*", "/{path:.*}", self._answer)]

    def unknown(self, request: web.Request) -> web.Response:
        """Kong's answer to a path that is none, such as `*`."""
        return self._response(self._reply(request))

    def too_large(self, _request: web.Request) -> web.Response:
        """nginx's page."""
        return self._response(answers.page(413))

    def identify(self, request: web.Request) -> str:
        """The method and the pattern of the path: `PUT /certificates/{}`."""
        return self.admin.name_of(request.method, request.raw_path)

    def offers(self) -> Iterable[Offer]:
        """The proxy's listeners."""
        if self.state.https_port:
            yield Offer(
                port=self.state.https_port,
                tls=True,
                certificate=self.proxy.certificates,
                answer=self.proxy.over_tls,
            )
        if self.state.http_port:
            yield Offer(port=self.state.http_port, tls=False, answer=self.proxy.in_the_clear)

    def snapshot(self) -> Any:
        """All entities, and the names that are served; of a certificate only what is public."""
        certificates = []
        for entity in self.store.all("certificates", None):
            shown = {name: entity[name] for name in ("id", "tags", "created_at", "updated_at")}
            shown["snis"] = [sni["name"] for sni in self.store.snis_of(entity["id"])]
            for field in ("cert", "cert_alt"):
                leaf = pem.first_certificate(entity[field]) if entity[field] else None
                shown[f"{field}_sha256"] = leaf and leaf.fingerprint(hashes.SHA256()).hex()
                shown[f"{field}_serial"] = leaf and f"{leaf.serial_number:x}"
            certificates.append(shown)
        served = self.proxy.served("snis").values()
        return {
            "certificates": certificates,
            "snis": self.store.all("snis", None),
            "routes": self.store.all("routes", None),
            "services": self.store.all("services", None),
            "served_snis": {sni["name"]: sni["certificate"]["id"] for sni in served},
            "served_routes": sorted(self.proxy.served("routes")),
        }

    def steer(self, what: str, value: Any) -> None:
        """Change a setting by its name, or act behind the client's back.

        `request` takes `{"method", "path", "body"}` and does it as someone else would, with the
        token and without a line in the journal; ValueError where Kong refuses it.
        """
        if what == "request":
            headers = {"content-type": "application/json", "kong-admin-token": self.state.token}
            body = json.dumps(value["body"]).encode() if "body" in value else b""
            reply = self.admin.answer(value["method"], value["path"], headers, body)
            if reply.status >= 400:
                raise ValueError(f"Kong answered {reply.status}")
        elif what in _SETTINGS:
            self._set(what, value)
        else:
            super().steer(what, value)

    def _set(self, what: str, value: Any) -> None:
        current = getattr(self.state, what)
        if isinstance(current, float) and isinstance(value, int):
            value = float(value)
        if not isinstance(value, type(current)):
            raise TypeError(f"{what} is a {type(current).__name__}")
        if what == "trusted_ips":
            for text in value:
                ipaddress.ip_network(text, strict=False)
        setattr(self.state, what, value)

    def _stored_hash(self) -> str:
        kinds = ("certificates", "snis", "routes", "services")
        everything = [self.store.all(kind, None) for kind in kinds]
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:32]

    async def _answer(self, request: web.Request) -> web.Response:
        return self._response(self._reply(request))

    def _reply(self, request: web.Request) -> Reply:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self.admin.answer(request.method, request.raw_path, headers, request[BODY])

    def _response(self, reply: Reply) -> web.Response:
        headers = {"Server": "kong/3.9.3", "X-Kong-Admin-Latency": "1", **reply.headers}
        headers["Access-Control-Allow-Origin"] = "*"
        body: bytes | None = None
        if reply.html:
            headers["Content-Type"] = "text/html; charset=UTF-8"
            body = reply.html.encode()
        elif reply.body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
            body = json.dumps(reply.body, separators=(",", ":"), ensure_ascii=False).encode()
        return web.Response(status=reply.status, reason=reply.reason, headers=headers, body=body)
