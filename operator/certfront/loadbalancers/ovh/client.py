"""The calls to OVH's IP Load Balancing API that certfront makes, one method each, in OVH's terms.

Source: OVH's OpenAPI description of ipLoadbalancing (ovh/ovhcloud-cli,
`internal/assets/api-schemas/iploadbalancing.json`). Errors are mapped once, in `_refusal`; texts of
OVH are quoted only where they repeat nothing of what was sent. Used by `provider`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import (
    Denied,
    Gone,
    NotYet,
    ProviderError,
    Refused,
    Unavailable,
)
from certfront.loadbalancers.exchange import Answer, Exchange
from certfront.loadbalancers.ovh.authentication import Authentication

TaskState = Literal["blocked", "cancelled", "doing", "done", "error", "todo"]

_Value = TypeVar("_Value")
_LONGEST_QUOTE: Final = 200
_SHORTEST_SECRET: Final = 6
_CLOCK_CODES: Final = frozenset({"QUERY_TIME_OUT", "INVALID_TIMESTAMP"})
_IN_USE_PAUSE: Final = 30.0
_FULL: Final = re.compile(r"\b(maximum|quota|limit)\b", re.IGNORECASE)
"""OVH publishes no code for a full quota: it is told from missing rights by its text."""


class Absent(Exception):
    """The object that was asked for is not there (any more)."""


class Service(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The service itself (`ipLoadbalancing.IpWithIAM`)."""

    service_name: str = ""
    state: str = "ok"
    ipv4: str | None = None
    ipv6: str | None = None
    zone: tuple[str, ...] = ()
    ssl_configuration: str | None = None


class Ssl(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A certificate of the service. `type` built and built_not_routed are OVH's own."""

    id: int
    display_name: str | None = None
    type: str | None = None
    fingerprint: str = ""
    subject: str = ""
    serial: str = ""
    san: tuple[str, ...] = ()
    expire_date: datetime | None = None


class Frontend(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A listener (`frontendHttp.FrontendHttp`), with what certfront never sets but must not lose."""

    frontend_id: int
    port: str = ""
    zone: str = ""
    ssl: bool = False
    default_ssl_id: int | None = None
    default_farm_id: int | None = None
    redirect_location: str | None = None
    hsts: bool = False
    allowed_source: tuple[str, ...] | None = None
    denied_source: tuple[str, ...] | None = None
    disabled: bool = False
    display_name: str | None = None
    dedicated_ipfo: tuple[str, ...] | None = None
    http_header: tuple[str, ...] | None = None


class RouteAction(msgspec.Struct, frozen=True, kw_only=True):
    """What a route does with the requests that match."""

    type: str = ""
    status: int | None = None
    target: str | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An HTTP route; one without rules matches every request of its frontend."""

    route_id: int
    frontend_id: int | None = None
    display_name: str | None = None
    action: RouteAction = RouteAction()
    status: str = "ok"
    rules: tuple[Any, ...] = ()


class DefinedRoute(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry of the list of all routes of the service."""

    route_id: int
    display_name: str | None = None
    type: str = ""


class Farm(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A set of servers that is kept by someone else."""

    farm_id: int
    display_name: str | None = None
    zone: str = ""


class OVHTask(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task of the service; it has no text that says why it failed, and names no domains."""

    id: int
    action: str
    status: TaskState
    progress: int = 0
    creation_date: datetime | None = None
    done_date: datetime | None = None


class PendingChanges(msgspec.Struct, frozen=True, kw_only=True):
    """So many changes wait in a zone to be applied."""

    number: int
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """What an answer other than 2xx says."""

    code: str
    text: str


class Client:
    """One service. Raises `Absent` where an object is not there, and `loadbalancers.errors`."""

    def __init__(
        self, *, base: str, service_name: str, exchange: Exchange, authentication: Authentication
    ) -> None:
        self._root = f"{base}/ipLoadbalancing/{quote(service_name, safe='')}"
        self._service_name = service_name
        self._exchange = exchange
        self._authentication = authentication

    async def close(self) -> None:
        """Let the connections go."""
        await self._exchange.close()

    # --- the service and what is applied

    async def service(self) -> Service:
        """The service; raises Gone where OVH does not know it."""
        try:
            return await self._get("", Service)
        except Absent:
            raise Gone(
                reasons.TARGET_NOT_FOUND, f"OVH has no service {self._service_name}."
            ) from None

    async def pending_changes(self) -> tuple[PendingChanges, ...]:
        """What is configured and not applied, by zone; empty where nothing is."""
        return await self._get("/pendingChanges", tuple[PendingChanges, ...])

    async def refresh(self) -> OVHTask:
        """Apply the configuration in all zones."""
        return await self._post("/refresh", {}, OVHTask)

    async def tasks(
        self, action: str, *, status: TaskState | None = None, since: datetime | None = None
    ) -> tuple[int, ...]:
        """Ids of tasks, as OVH lists them."""
        query = {"action": action}
        if status is not None:
            query["status"] = status
        if since is not None:
            query["creationDate.from"] = since.isoformat()
        return await self._get("/task", tuple[int, ...], query)

    async def task(self, task_id: int) -> OVHTask:
        """One task. Tasks that have ended disappear some day."""
        return await self._get(f"/task/{task_id}", OVHTask)

    # --- certificates

    async def certificates(self, type_: str | None = None) -> tuple[int, ...]:
        """Ids of all certificates of the service, or those of one type."""
        return await self._get("/ssl", tuple[int, ...], {"type": type_} if type_ else None)

    async def certificate(self, ssl_id: int) -> Ssl:
        """One certificate; its key and PEM are never told."""
        return await self._get(f"/ssl/{ssl_id}", Ssl)

    async def upload(self, *, certificate: str, chain: str, key: str, display_name: str) -> Ssl:
        """Store a certificate. It is offered by every TLS frontend after the next refresh."""
        body = {"certificate": certificate, "key": key, "displayName": display_name}
        if chain:
            body["chain"] = chain
        return await self._post("/ssl", body, Ssl)

    async def rename_certificate(self, ssl_id: int, display_name: str) -> None:
        """The display name is all that can be changed of a certificate."""
        await self._call("PUT", f"/ssl/{ssl_id}", {"displayName": display_name})

    async def delete_certificate(self, ssl_id: int) -> None:
        """Remove a certificate; raises NotYet while something uses it."""
        await self._delete(f"/ssl/{ssl_id}")

    async def order_free_certificate(self, names: tuple[str, ...]) -> OVHTask:
        """Have OVH issue, install and renew a certificate for the names."""
        return await self._post("/freeCertificate", {"fqdn": list(names)}, OVHTask)

    # --- frontends, routes, farms

    async def frontends(self) -> tuple[int, ...]:
        """Ids of all HTTP frontends."""
        return await self._get("/http/frontend", tuple[int, ...])

    async def frontend(self, frontend_id: int) -> Frontend:
        """One HTTP frontend."""
        return await self._get(f"/http/frontend/{frontend_id}", Frontend)

    async def create_frontend(self, settings: Mapping[str, Any]) -> Frontend:
        """Make a frontend; members without a value are left out."""
        body = {name: value for name, value in settings.items() if value is not None}
        try:
            return await self._post("/http/frontend", body, Frontend)
        except NotYet as error:
            # A port that another protocol's frontend has, for one: nothing that passes by itself.
            raise Refused(reasons.LISTENER_EXISTS, error.message) from None

    async def change_frontend(self, frontend_id: int, settings: Mapping[str, Any]) -> None:
        """Set the members that are given. Null takes a value away (0 is an error of OVH's)."""
        await self._call("PUT", f"/http/frontend/{frontend_id}", dict(settings))

    async def delete_frontend(self, frontend_id: int) -> None:
        """Remove a frontend; raises NotYet while something uses it."""
        await self._delete(f"/http/frontend/{frontend_id}")

    async def defined_routes(self) -> tuple[DefinedRoute, ...]:
        """All routes of the service with their names, in one call."""
        return await self._get("/definedRoutes", tuple[DefinedRoute, ...])

    async def route(self, route_id: int) -> Route:
        """One HTTP route."""
        return await self._get(f"/http/route/{route_id}", Route)

    async def create_route(self, *, frontend_id: int, name: str, action: RouteAction) -> Route:
        """Make a route without rules, so that it takes every request of the frontend."""
        body = {
            "frontendId": frontend_id,
            "displayName": name,
            "action": msgspec.to_builtins(action),
        }
        return await self._post("/http/route", body, Route)

    async def change_route(
        self, route_id: int, *, frontend_id: int, name: str, action: RouteAction
    ) -> None:
        """Set what a route of ours does."""
        body = {
            "frontendId": frontend_id,
            "displayName": name,
            "action": msgspec.to_builtins(action),
        }
        await self._call("PUT", f"/http/route/{route_id}", body)

    async def delete_route(self, route_id: int) -> None:
        """Remove a route."""
        await self._delete(f"/http/route/{route_id}")

    async def farms(self) -> tuple[int, ...]:
        """Ids of all HTTP farms."""
        return await self._get("/http/farm", tuple[int, ...])

    async def farm(self, farm_id: int) -> Farm:
        """One HTTP farm."""
        return await self._get(f"/http/farm/{farm_id}", Farm)

    # --- calls

    async def _get(
        self, path: str, type_: type[_Value], query: Mapping[str, str] | None = None
    ) -> _Value:
        target = f"{path}?{urlencode(query)}" if query else path
        return _parsed(await self._call("GET", target), type_)

    async def _post(self, path: str, body: Mapping[str, Any], type_: type[_Value]) -> _Value:
        return _parsed(await self._call("POST", path, body), type_)

    async def _delete(self, path: str) -> None:
        """Gone already is done."""
        try:
            await self._call("DELETE", path)
        except Absent:
            return

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        url = f"{self._root}{path}"
        data = b"" if body is None else msgspec.json.encode(body)
        answer = await self._authenticated(method, url, data)
        if answer.status == 401 or _reads(answer).code in _CLOCK_CODES:
            self._authentication.forget()
            answer = await self._authenticated(method, url, data)
        if 200 <= answer.status < 300:
            return answer
        raise _error(method, answer, body or {})

    async def _authenticated(self, method: str, url: str, data: bytes) -> Answer:
        headers = await self._authentication.headers(method, url, data)
        return await self._exchange.send(method, url, body=data or None, headers=headers)


def _parsed(answer: Answer, type_: type[_Value]) -> _Value:
    try:
        return msgspec.json.decode(answer.body, type=type_, strict=True)
    except (msgspec.DecodeError, RecursionError):
        raise Unavailable(
            reasons.PROVIDER_UNAVAILABLE, "OVH's answer is not what its API describes."
        ) from None


def _reads(answer: Answer) -> _Refusal:
    """The code and the text of an error; both empty where the body has none."""
    if answer.status < 400:
        return _Refusal(code="", text="")
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        return _Refusal(code="", text="")
    if not isinstance(found, dict):
        return _Refusal(code="", text="")
    code, text = found.get("errorCode"), found.get("message")
    return _Refusal(
        code=code if isinstance(code, str) else "", text=text if isinstance(text, str) else ""
    )


def _error(method: str, answer: Answer, sent: Mapping[str, Any]) -> Exception:
    """What a refusal means for the caller. Statuses as in ovh/python-ovh `ovh/client.py`."""
    status, said = answer.status, _reads(answer)
    why = _quoted(said.text, sent)
    if status == 403 and not said.code and _FULL.search(said.text):
        return Refused(reasons.QUOTA_EXCEEDED, f"OVH takes no more of them{why or '.'}")
    if status in (401, 403) or said.code == "INVALID_SIGNATURE":
        return Denied(
            reasons.CREDENTIALS_REFUSED,
            f"OVH refuses the credentials, or they may not do this{why or '.'}",
        )
    if status == 404:
        return Absent()
    if status == 460:
        return Gone(reasons.TARGET_NOT_FOUND, "The service at OVH has expired.")
    if status in (423, 425) or (method == "DELETE" and status in (400, 409, 412)):
        return NotYet(
            reasons.IN_USE,
            f"OVH does not remove it yet{why or '.'}",
            retry_after=_IN_USE_PAUSE,
        )
    if status == 409:
        return _conflict(why)
    if 400 <= status < 500:
        return Refused(reasons.REFUSED_BY_PROVIDER, f"OVH refuses it (HTTP {status}){why or '.'}")
    return Unavailable(reasons.PROVIDER_UNAVAILABLE, f"OVH's API answers HTTP {status}.")


def _conflict(why: str) -> ProviderError:
    """Another change is under way, or two things collide: it may be right a little later."""
    return NotYet(
        reasons.WAITING_FOR_PROVIDER,
        f"OVH says that it conflicts with something else{why or '.'}",
        retry_after=_IN_USE_PAUSE,
    )


def _quoted(text: str, sent: Mapping[str, Any]) -> str:
    """`: "text".` if it is short, printable, and repeats nothing that was sent; else ""."""
    plain = " ".join(text.split())
    if not plain or not plain.isprintable() or "-----" in plain or "key" in sent:
        return ""
    if any(value in text or value in plain for value in _strings(sent)):
        return ""
    return f': "{plain[:_LONGEST_QUOTE]}".'


def _strings(value: Any) -> Iterator[str]:
    """Every line of text in what was sent that is long enough to be worth hiding."""
    if isinstance(value, str):
        yield from (line for line in value.splitlines() if len(line) >= _SHORTEST_SECRET)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
