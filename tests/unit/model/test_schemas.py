"""The schemas in crds/ hold the rules that keep them safe, and agree with the values here."""

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from certfront.model.certificate import Certificate
from certfront.model.frontend import Frontend
from certfront.model.issuer import Issuer
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import Value

FILES = Path(__file__).parents[3] / "crds"
KINDS: dict[str, type[Value]] = {
    "certificates": Certificate,
    "issuers": Issuer,
    "loadbalancers": LoadBalancer,
    "loadbalancerfrontends": Frontend,
}
Node = dict[str, Any]


def definition(plural: str) -> Node:
    loaded: Node = yaml.safe_load((FILES / f"{plural}.yaml").read_text())
    return loaded


def schema(plural: str, part: str) -> Node:
    version = definition(plural)["spec"]["versions"][0]
    found: Node = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes(node["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("part", ["spec", "status"])
@pytest.mark.parametrize("plural", KINDS)
def test_everything_is_bounded(plural: str, part: str) -> None:
    for path, node in nodes(schema(plural, part), part):
        match node["type"]:
            case "string":
                assert "maxLength" in node, path
            case "array":
                assert "maxItems" in node, path
                assert node["x-kubernetes-list-type"] in ("atomic", "map"), path
            case "object" if "additionalProperties" in node:
                assert "maxProperties" in node, path


@pytest.mark.parametrize("plural", KINDS)
def test_nothing_in_a_spec_makes_the_api_server_repeat_a_value(plural: str) -> None:
    for path, node in nodes(schema(plural, "spec"), "spec"):
        if node["type"] == "string":
            assert not {"enum", "pattern", "format", "minLength"} & node.keys(), path
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["reason"] == "FieldValueForbidden", path
            assert rule["message"], path
            assert "messageExpression" not in rule, path


@pytest.mark.parametrize("plural", KINDS)
def test_nothing_in_a_status_is_required(plural: str) -> None:
    status = schema(plural, "status")
    assert status["default"] == {"observedGeneration": -1}
    for path, node in nodes(status, "status"):
        expected = ["type"] if path == "status.conditions[]" else []
        assert node.get("required", []) == expected, path


@pytest.mark.parametrize("plural", KINDS)
def test_a_definition_is_small_enough_for_client_side_apply(plural: str) -> None:
    assert (FILES / f"{plural}.yaml").stat().st_size < 200_000


@pytest.mark.parametrize("part", ["spec", "status"])
@pytest.mark.parametrize("plural", KINDS)
def test_the_schema_and_the_value_have_the_same_fields(plural: str, part: str) -> None:
    described = set(_schema_fields(schema(plural, part)))
    known = set(_value_fields(_type_of(KINDS[plural], part)))
    assert described - known == _OPEN.get((plural, part), set())
    assert known - described == _UNUSED.get((plural, part), set())


def test_consent_is_the_same_for_issuers_and_load_balancers() -> None:
    """The tables of tests/integration/crds try it on one kind only."""
    of_issuers, of_balancers = (
        schema(plural, "spec")["properties"]["grants"] for plural in ("issuers", "loadbalancers")
    )
    del of_balancers["items"]["properties"]["backendCIDRs"]
    for grants in (of_issuers, of_balancers):
        del grants["description"]
    assert of_issuers == of_balancers


_OPEN = {
    ("certificates", "status"): {
        f".order.{name}" for name in ("id", "need", "attempt", "orderURL", "certificateURL")
    },
}
"""Read as plain dictionaries by whoever they belong to."""

_UNUSED = {("issuers", "spec"): {".grants.backendCIDRs"}}
"""One class serves the grants of both kinds; only load balancers have traffic."""


def _schema_fields(node: Node, path: str = "") -> Iterator[str]:
    for name, below in node.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _schema_fields(below, f"{path}.{name}")
    if "items" in node:
        yield from _schema_fields(node["items"], path)


def _value_fields(kind: type, path: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        yield f"{path}.{field.encode_name}"
        for below in _structs(field.type):
            yield from _value_fields(below, f"{path}.{field.encode_name}")


def _structs(annotation: Any) -> Iterator[type]:
    """The value classes inside an annotation like `tuple[X, ...] | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, msgspec.Struct):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _structs(argument)


def _type_of(kind: type[Value], part: str) -> type:
    return next(
        found
        for field in msgspec.structs.fields(kind)
        if field.encode_name == part
        for found in _structs(field.type)
    )
