"""The request shapes of OVH's OpenAPI description, written down, and the check against them.

A test compares them with the description where that file is present. Members that the description
marks read-only are refused in a request, and so is null where it does not allow it.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sandbox.emulators.ovh.refusals import bad_request

Kind = Literal["string", "integer", "boolean", "object", "ipBlock", "date-time"]
_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "ipBlock": str,
    "date-time": str,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a body, or one filter of a query."""

    kind: Kind = "string"
    array: bool = False
    nullable: bool = False
    required: bool = False
    read_only: bool = False
    values: tuple[str, ...] = ()


Shape = Mapping[str, Member]

SSL_TYPES = ("built", "built_not_routed", "custom")
SSL_CONFIGURATIONS = ("intermediate", "modern")
TASK_ACTIONS = (
    "deleteIplb",
    "deployIplb",
    "install",
    "installIplb",
    "installZone",
    "orderFreeCertificate",
    "orderPaidCertificate",
    "orderSsl",
    "refreshIplb",
    "releaseIplb",
    "releaseIplbZone",
    "reopenIplb",
    "suspendIplb",
    "suspendZone",
    "switchToIplbNextGenerationApi",
    "vrackAttach",
    "vrackDetach",
)
TASK_STATUSES = ("blocked", "cancelled", "doing", "done", "error", "todo")

_READ_ONLY = Member(read_only=True)
_NULLABLE = Member(nullable=True)

NOTHING: Shape = {}

SERVICE_EDIT: Shape = {
    "displayName": _NULLABLE,
    "sslConfiguration": Member(nullable=True, values=SSL_CONFIGURATIONS),
    "ipLoadbalancing": _READ_ONLY,
    "ipv4": _READ_ONLY,
    "ipv6": _READ_ONLY,
    "metricsToken": _READ_ONLY,
    "offer": _READ_ONLY,
    "orderableZone": _READ_ONLY,
    "serviceName": _READ_ONLY,
    "state": _READ_ONLY,
    "vrackEligibility": _READ_ONLY,
    "vrackName": _READ_ONLY,
    "zone": _READ_ONLY,
}

FRONTEND_CREATE: Shape = {
    "allowedSource": Member(kind="ipBlock", array=True),
    "dedicatedIpfo": Member(kind="ipBlock", array=True),
    "defaultFarmId": Member(kind="integer"),
    "defaultSslId": Member(kind="integer"),
    "deniedSource": Member(kind="ipBlock", array=True),
    "disabled": Member(kind="boolean"),
    "displayName": Member(),
    "hsts": Member(kind="boolean"),
    "httpHeader": Member(array=True),
    "port": Member(required=True),
    "redirectLocation": Member(),
    "ssl": Member(kind="boolean"),
    "zone": Member(required=True),
}

FRONTEND_EDIT: Shape = {
    "allowedSource": Member(kind="ipBlock", array=True, nullable=True),
    "dedicatedIpfo": Member(kind="ipBlock", array=True, nullable=True),
    "defaultFarmId": Member(kind="integer", nullable=True),
    "defaultSslId": Member(kind="integer", nullable=True),
    "deniedSource": Member(kind="ipBlock", array=True, nullable=True),
    "disabled": Member(kind="boolean"),
    "displayName": _NULLABLE,
    "frontendId": _READ_ONLY,
    "hsts": Member(kind="boolean"),
    "httpHeader": Member(array=True, nullable=True),
    "port": Member(),
    "redirectLocation": _NULLABLE,
    "ssl": Member(kind="boolean"),
    "vrackNetworkId": _READ_ONLY,
    "vrackVrouterId": _READ_ONLY,
    "zone": Member(),
}

ROUTE_CREATE: Shape = {
    "action": Member(kind="object", required=True),
    "displayName": Member(),
    "frontendId": Member(kind="integer"),
    "weight": Member(kind="integer"),
}

ROUTE_EDIT: Shape = {
    "action": Member(kind="object"),
    "displayName": _NULLABLE,
    "frontendId": Member(kind="integer", nullable=True),
    "routeId": _READ_ONLY,
    "rules": _READ_ONLY,
    "status": _READ_ONLY,
    "weight": Member(kind="integer"),
}

SSL_CREATE: Shape = {
    "certificate": Member(required=True),
    "chain": Member(),
    "displayName": Member(),
    "key": Member(required=True),
}

SSL_EDIT: Shape = {
    "displayName": _NULLABLE,
    "expireDate": _READ_ONLY,
    "fingerprint": _READ_ONLY,
    "id": _READ_ONLY,
    "san": _READ_ONLY,
    "serial": _READ_ONLY,
    "subject": _READ_ONLY,
    "type": _READ_ONLY,
}

FREE_CERTIFICATE: Shape = {"fqdn": Member(array=True, required=True)}

REFRESH: Shape = {"zone": Member()}

QUOTA_EDIT: Shape = {
    "alert": Member(kind="integer", nullable=True),
    "included": _READ_ONLY,
    "lastUpdateDate": _READ_ONLY,
    "resetDate": _READ_ONLY,
    "total": _READ_ONLY,
    "zone": _READ_ONLY,
}

FRONTEND_FILTERS: Shape = {
    "defaultFarmId": Member(kind="integer"),
    "defaultSslId": Member(kind="integer"),
    "port": Member(),
    "zone": Member(),
}
ROUTE_FILTERS: Shape = {"frontendId": Member(kind="integer")}
SSL_FILTERS: Shape = {
    "expireDate": Member(kind="date-time"),
    "fingerprint": Member(),
    "serial": Member(),
    "type": Member(values=SSL_TYPES),
}
TASK_FILTERS: Shape = {
    "action": Member(values=TASK_ACTIONS),
    "creationDate.from": Member(kind="date-time"),
    "creationDate.to": Member(kind="date-time"),
    "doneDate.from": Member(kind="date-time"),
    "doneDate.to": Member(kind="date-time"),
    "status": Member(values=TASK_STATUSES),
}
FARM_FILTERS: Shape = {"vrackNetworkId": Member(kind="integer"), "zone": Member()}


def check_body(shape: Shape, body: Mapping[str, Any]) -> None:
    """Raise the API's refusal (400) where `body` is not of `shape`."""
    unknown = sorted(body.keys() - shape.keys())
    if unknown:
        raise bad_request(f"Received not described parameters: ({', '.join(unknown)})")
    for name, member in shape.items():
        if name in body:
            _check_member(name, member, body[name])
        elif member.required:
            raise bad_request(f"[{name}] Missing parameter")


def parse_filters(shape: Shape, query: Mapping[str, str]) -> dict[str, Any]:
    """The filters of a query by name, of their types; raises the API's refusal (400)."""
    unknown = sorted(query.keys() - shape.keys())
    if unknown:
        raise bad_request(f"Received not described parameters: ({', '.join(unknown)})")
    return {name: _filter(name, shape[name], text) for name, text in query.items()}


def like(pattern: str, value: str) -> bool:
    """A "like" filter: part of the value, in any case; what it means exactly is not published."""
    return pattern.lower() in value.lower()


def _check_member(name: str, member: Member, value: Any) -> None:
    if member.read_only:
        raise bad_request(f"[{name}] This property is read-only")
    if value is None:
        if not member.nullable:
            raise bad_request(f"[{name}] This parameter cannot be null")
        return
    if not member.array:
        _check_value(name, member, value)
        return
    if not isinstance(value, list):
        raise bad_request(f"[{name}] Given data is not valid for type {member.kind}[]")
    for item in value:
        _check_value(name, member, item)


def _check_value(name: str, member: Member, value: Any) -> None:
    expected = _TYPES[member.kind]
    if type(value) is not expected:
        raise bad_request(f"[{name}] Given data is not valid for type {member.kind}")
    if member.values and value not in member.values:
        raise bad_request(f"[{name}] Given data is not one of: {', '.join(member.values)}")
    if member.kind == "ipBlock":
        try:
            ipaddress.ip_network(str(value))
        except ValueError:
            raise bad_request(f"[{name}] Given data is not valid for type ipBlock") from None


def _filter(name: str, member: Member, text: str) -> Any:
    if member.kind == "integer":
        if not text.isascii() or not text.isdigit():
            raise bad_request(f"[{name}] Given data is not valid for type long")
        return int(text)
    if member.kind == "date-time":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise bad_request(f"[{name}] Given data is not valid for type datetime")
        return moment
    if member.values and text not in member.values:
        raise bad_request(f"[{name}] Given data is not one of: {', '.join(member.values)}")
    return text
