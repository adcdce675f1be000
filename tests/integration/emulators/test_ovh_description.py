"""Holds the emulated OVH API to OVH's OpenAPI description, where that file is at hand.

It is looked for where `OVH_DESCRIPTION` says, else in `shared/specs` beside the checkout.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sandbox.emulators.ovh.api import OPERATIONS, SERVICE, Operation
from sandbox.emulators.ovh.shapes import Member, Shape
from tests.integration.emulators.ovh_api import Api, Exchange, running_api

_BESIDE = Path(__file__).parents[4] / "shared/specs/ovh-iploadbalancing.openapi.json"
FILE = Path(os.environ.get("OVH_DESCRIPTION", _BESIDE))

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="OVH's description is not here")

Make = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text()))


def described(description: Mapping[str, Any], operation: Operation) -> Mapping[str, Any]:
    found: Mapping[str, Any] = description["paths"][SERVICE + operation.path][
        operation.method.lower()
    ]
    return found


def resolved(description: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with a reference at its top, also one in `allOf`, replaced by what it names."""
    merged = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
    for part in [schema, *schema.get("allOf", ())]:
        if "$ref" in part:
            target = description["components"]["schemas"][part["$ref"].rpartition("/")[2]]
            merged = {**resolved(description, target), **merged}
    return merged


def strict(description: Mapping[str, Any], schema: Mapping[str, Any], *, request: bool) -> Any:
    """A JSON Schema of an OpenAPI 3.0 one: null spelled out, no members beside the described.

    In a request read-only members are left out; in an answer every member must be there.
    """
    flat = resolved(description, schema)
    nullable = flat.get("nullable", False)
    result: dict[str, Any] = {key: flat[key] for key in ("type", "enum") if key in flat}
    if flat.get("format") == "date-time":
        result["pattern"] = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$"
    if "items" in flat:
        result["items"] = strict(description, flat["items"], request=request)
    if "properties" in flat:
        members = {
            name: strict(description, member, request=request)
            for name, member in flat["properties"].items()
            if not (request and member.get("readOnly"))
        }
        required = flat.get("required", []) if request else sorted(members.keys() - {"iam"})
        result |= {"properties": members, "required": required, "additionalProperties": False}
    return {"anyOf": [result, {"type": "null"}]} if nullable else result


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_is_as_described(description: Mapping[str, Any], operation: Operation) -> None:
    found = described(description, operation)
    assert [action["name"] for action in found["x-iam-actions"]] == [operation.action]
    filters = {item["name"]: item for item in found.get("parameters", ()) if item["in"] == "query"}
    assert operation.filters.keys() == filters.keys()
    for name, member in operation.filters.items():
        schema = resolved(description, filters[name]["schema"])
        assert member == Member(
            kind=schema.get("format", schema["type"]), values=tuple(schema.get("enum", ()))
        ), name
    if operation.body is None:
        assert "requestBody" not in found
    else:
        body = found["requestBody"]["content"]["application/json"]["schema"]
        assert_shape(description, operation.body, resolved(description, body))


def assert_shape(description: Mapping[str, Any], shape: Shape, schema: Mapping[str, Any]) -> None:
    assert shape.keys() == schema["properties"].keys()
    for name, member in shape.items():
        found = resolved(description, schema["properties"][name])
        assert member.read_only == found.get("readOnly", False), name
        assert member.required == (name in schema.get("required", ())), name
        if member.read_only:
            continue
        assert member.array == (found["type"] == "array"), name
        value = resolved(description, found["items"]) if member.array else found
        kind = "ipBlock" if value.get("format") == "ip-block" else value["type"]
        assert (member.kind, member.nullable) == (kind, found.get("nullable", False)), name
        assert member.values == tuple(value.get("enum", ())), name


def assert_described(description: Mapping[str, Any], exchange: Exchange) -> None:
    """The request and the answer of a call that succeeded are as described."""
    path = description["paths"][SERVICE + exchange.template]
    found = path[exchange.method.lower()]
    if "requestBody" in found:
        body = found["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.validate(exchange.body, strict(description, body, request=True))
    content = found["responses"]["200"].get("content")
    if content is None:
        assert exchange.answer is None, exchange
    else:
        schema = strict(description, content["application/json"]["schema"], request=False)
        jsonschema.validate(exchange.answer, schema)


async def test_every_exchange_of_a_whole_life_is_as_described(
    description: Mapping[str, Any], self_signed: Make, free_port: Callable[[], int]
) -> None:
    ports = {"443": free_port(), "80": free_port()}
    async with running_api(ports=ports, resolves=("*.example.org",)) as api:
        await _live(api, self_signed)
    done = [exchange for exchange in api.exchanges if exchange.status == 200]
    for exchange in done:
        assert_described(description, exchange)
    called = {(exchange.method, exchange.template) for exchange in done}
    assert called == {(operation.method, operation.path) for operation in OPERATIONS}


async def _live(api: Api, self_signed: Make) -> None:
    """Every operation at least once, with and without the optional members."""
    for path in ("", "/zone", "/zone/gra", "/quota", "/quota/gra", "/status"):
        await api.ok("GET", path)
    await api.ok("PUT", "/quota/gra", {"alert": None})
    await api.ok("PUT", "", {"displayName": "front", "sslConfiguration": "modern"})
    [farm] = await api.ok("GET", "/http/farm", query={"zone": "all"})
    await api.ok("GET", f"/http/farm/{farm}")
    held = await api.upload(self_signed("a.example.org"), displayName="mine")
    full = {
        "allowedSource": ["192.0.2.0/24"],
        "dedicatedIpfo": ["198.51.100.7/32"],
        "defaultFarmId": farm,
        "defaultSslId": held["id"],
        "disabled": False,
        "displayName": "https",
        "hsts": True,
        "httpHeader": ["X-Client %ci"],
        "port": "443,8000-8002",
        "ssl": True,
        "zone": "all",
    }
    https = await api.ok("POST", "/http/frontend", full)
    await api.ok("POST", "/http/frontend", {"port": "80", "zone": "gra"})
    await api.ok("GET", "/http/frontend", query={"port": "443", "zone": "all"})
    frontend = f"/http/frontend/{https['frontendId']}"
    await api.ok("PUT", frontend, {"allowedSource": None, "deniedSource": ["192.0.2.0/24"]})
    await api.ok("GET", frontend)
    action = {"type": "redirect", "status": 308, "target": "https://${host}${path}"}
    route = await api.ok(
        "POST",
        "/http/route",
        {"action": action, "frontendId": https["frontendId"], "displayName": "r", "weight": 1},
    )
    await api.ok("GET", "/http/route", query={"frontendId": str(https["frontendId"])})
    await api.ok("GET", f"/http/route/{route['routeId']}")
    await api.ok("GET", "/definedRoutes")
    await api.ok("PUT", f"/http/route/{route['routeId']}", {"weight": 2})
    await api.ok("DELETE", f"/http/route/{route['routeId']}")
    await api.ok("GET", "/pendingChanges")
    await api.apply()
    order = await api.ok("POST", "/freeCertificate", {"fqdn": ["b.example.org"]})
    await api.until_ended(order)
    await api.ok("GET", "/task", query={"action": "orderFreeCertificate", "status": "done"})
    for number in await api.ok("GET", "/ssl"):
        await api.ok("GET", f"/ssl/{number}")
    await api.ok("PUT", f"/ssl/{held['id']}", {"displayName": None})
    await api.ok("PUT", frontend, {"defaultSslId": None})
    await api.ok("DELETE", f"/ssl/{held['id']}")
    await api.ok("DELETE", frontend)
    await api.ok("GET", "/pendingChanges")
    await api.apply()


async def test_the_check_itself_finds_what_is_not_described(description: Mapping[str, Any]) -> None:
    task = {"id": 1, "action": "refreshIplb", "status": "todo", "progress": 0, "zones": []}
    dates = {"creationDate": "2026-11-24T12:00:00+01:00", "doneDate": None}
    good = Exchange("GET", "/task/{id}", {}, None, 200, {**task, **dates})
    assert_described(description, good)
    for answer in (
        task,
        {**task, **dates, "more": 1},
        {**task, **dates, "status": "running"},
        {**task, **dates, "creationDate": None},
        {**task, **dates, "creationDate": "24.11.2026"},
    ):
        wrong = Exchange("GET", "/task/{id}", {}, None, 200, answer)
        with pytest.raises(jsonschema.ValidationError):
            assert_described(description, wrong)
