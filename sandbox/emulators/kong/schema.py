"""The fields of Kong's entities, what each takes, and the checks across fields.

Kong source: kong/db/schema/entities/{certificates,snis,routes,routes_subschemas,services}.lua,
kong/db/schema/typedefs.lua and the texts of kong/db/schema/init.lua. Fields that no client of ours
sets are checked by their type only.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.emulators.kong import pem
from sandbox.emulators.kong.answers import Fields
from sandbox.emulators.kong.names import sni_error

Entity = dict[str, Any]

MISSING = "required field missing"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TLS = ("grpcs", "https", "tls", "tls_passthrough")
_PROTOCOLS = ("grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp")
_EXCLUSIVE = (("http", "https"), ("tcp", "tls", "udp"), ("tls_passthrough",), ("grpc", "grpcs"))
_REDIRECTS = (426, 301, 302, 307, 308)


class Wrong(Exception):
    """A value that its field does not take; `errors` is a text or a list of them by position."""

    def __init__(self, errors: Any) -> None:
        super().__init__("a field is wrong")
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: `take` returns the value as stored or raises Wrong."""

    take: Callable[[Any], Any]
    required: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of entity."""

    fields: Mapping[str, Field]
    checks: Callable[[Entity], Fields]
    """The checks across fields, on an entity without the fields that are wrong."""
    unique_name: bool = False


def is_uuid(text: str) -> bool:
    """Whether Kong takes this for an id: the form only, any version."""
    return bool(_UUID.fullmatch(text))


def read(kind: Kind, given: Entity) -> tuple[Entity, Fields]:
    """The values of the known fields as stored, and what is wrong with each of the others."""
    taken: Entity = {}
    errors: Fields = {name: "unknown field" for name in given if name not in kind.fields}
    for name, value in given.items():
        field = kind.fields.get(name)
        if field is None:
            continue
        if value is None:
            taken[name] = None
            continue
        try:
            taken[name] = field.take(value)
        except Wrong as wrong:
            errors[name] = wrong.errors
    return taken, errors


def complete(kind: Kind, taken: Entity, errors: Fields) -> Entity:
    """A whole entity with its defaults; adds to `errors` what is missing."""
    whole: Entity = {}
    for name, field in kind.fields.items():
        value = taken.get(name)
        whole[name] = field.default if value is None else value
        if field.required and whole[name] is None and name not in errors:
            errors[name] = MISSING
    return whole


def check(kind: Kind, whole: Entity, errors: Fields) -> None:
    """Add the errors across fields; those of a field that is wrong by itself are not looked for."""
    for name, found in kind.checks({k: v for k, v in whole.items() if k not in errors}).items():
        if name == "@entity":
            errors.setdefault("@entity", []).extend(found)
        else:
            errors.setdefault(name, found)


def _text(
    check_text: Callable[[str], str | None] = lambda _text: None,
    *,
    least: int = 1,
    one_of: Sequence[str] = (),
) -> Callable[[Any], str]:
    def take(value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong("expected a string")
        if one_of and value not in one_of:
            raise Wrong(f"expected one of: {', '.join(one_of)}")
        if len(value) < least:
            raise Wrong(f"length must be at least {least}")
        if error := check_text(value):
            raise Wrong(error)
        return value

    return take


def _integer(
    *, between: tuple[int, int] | None = None, one_of: Sequence[int] = ()
) -> Callable[[Any], int]:
    def take(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise Wrong("expected an integer")
        if one_of and value not in one_of:
            raise Wrong(f"expected one of: {', '.join(str(code) for code in one_of)}")
        if between and not between[0] <= value <= between[1]:
            raise Wrong(f"value should be between {between[0]} and {between[1]}")
        return int(value)

    return take


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("expected a boolean")
    return value


def _list(
    element: Callable[[Any], Any], *, name: str = "an array", unique: bool = False
) -> Callable[[Any], list[Any]]:
    def take(value: Any) -> list[Any]:
        # To Lua an empty object and an empty array are the same.
        if value != {} and not isinstance(value, list):
            raise Wrong(f"expected {name}")
        taken: list[Any] = []
        errors: list[Any] = []
        for position, item in enumerate(value):
            try:
                stored = element(item)
            except Wrong as wrong:
                errors += [None] * (position - len(errors)) + [wrong.errors]
            else:
                if not (unique and stored in taken):
                    taken.append(stored)
        if errors:
            raise Wrong(errors)
        return taken

    return take


def _set(element: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return _list(element, name="a set", unique=True)


def _record(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong("expected a record")
    return value


def _map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong("expected a map")
    return value


def _reference(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Wrong("expected a record")
    for name in ("id", "name"):
        if isinstance(value.get(name), str):
            if name == "id" and not is_uuid(value[name]):
                raise Wrong({"id": "expected a valid UUID"})
            return {name: value[name].lower() if name == "id" else value[name]}
    raise Wrong({"id": MISSING})


def _uuid(value: Any) -> str:
    text = _text()(value)
    if not is_uuid(text):
        raise Wrong("expected a valid UUID")
    return text.lower()


def _tag_error(tag: str) -> str | None:
    if any(character in ",/" or not (character.isprintable()) for character in tag):
        why = "expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
        return f"invalid tag '{tag}': {why}"
    return None


def tag_error(tag: str) -> str | None:
    """Why Kong refuses this tag; None where it takes it."""
    return _tag_error(tag)


def _name_error(name: str) -> str | None:
    if all(x.isalnum() or x in ".-_~" or ord(x) > 0x7F for x in name):
        return None
    only = "the only accepted ascii characters are alphanumerics or ., -, _, and ~"
    return f"invalid value '{name}': {only}"


def _route_host_error(host: str) -> str | None:
    if host.count("*") > 1:
        return "invalid wildcard: must have at most one wildcard"
    if "*" in host and not (host.startswith("*.") or host.endswith(".*")):
        return "invalid wildcard: must be placed at leftmost or rightmost label"
    plain = host.replace("*", "abc")
    if error := sni_error(plain.partition(":")[0]):
        return None if error == "must not be an IP" else f"invalid hostname: {plain}"
    return None


def _path_error(path: str) -> str | None:
    if not path.startswith(("/", "~/")):
        return "should start with: / (fixed path) or ~/ (regex path)"
    return "must not have empty segments" if "//" in path else None


def _method_error(method: str) -> str | None:
    return None if re.fullmatch(r"[A-Z]+", method) else f"invalid value: {method}"


def _take_protocols(value: Any) -> list[str]:
    if isinstance(value, list) and value and not any(item in _PROTOCOLS for item in value):
        # The protocols choose the form of the route before they are checked one by one.
        first = value[0]
        raise Wrong(f"unknown type: {first}" if isinstance(first, str) else "expected a string")
    taken: list[str] = _set(_text(one_of=_PROTOCOLS))(value)
    if not taken:
        raise Wrong("length must be at least 1")
    sets = [group for group in _EXCLUSIVE if set(group) & set(taken)]
    if len(sets) > 1:
        quoted = ", ".join("(" + ", ".join(f"'{name}'" for name in group) + ")" for group in sets)
        raise Wrong(f"these sets are mutually exclusive: {quoted}")
    return taken


def _certificate_checks(entity: Entity) -> Fields:
    found: list[str] = []
    both = "cert_alt" in entity and "key_alt" in entity
    if both and bool(entity["cert_alt"]) != bool(entity["key_alt"]):
        found.append("all or none of these fields must be set: 'cert_alt', 'key_alt'")
    cert, key = entity.get("cert"), entity.get("key")
    alt, alt_key = entity.get("cert_alt"), entity.get("key_alt")
    if cert and key and not pem.belong_together(cert, key):
        found.append("certificate does not match key")
    if alt and alt_key and not pem.belong_together(alt, alt_key):
        found.append("alternative certificate does not match key")
    if cert and alt and alt_key and pem.same_type(cert, alt):
        found.append(
            "certificate and alternative certificate need to have different type "
            "(e.g. RSA and ECDSA), the provided certificates were both of the same type"
        )
    return {"@entity": found} if found else {}


def _route_checks(entity: Entity) -> Fields:
    protocols = entity.get("protocols") or []
    errors: Fields = {}
    found: list[str] = []
    if protocols and entity.get("snis") and not set(protocols) & set(_TLS):
        found.append("failed conditional validation given value of field 'protocols'")
        names = "'grpcs', 'https', 'tls' or 'tls_passthrough'"
        errors["snis"] = f"'snis' can only be set when 'protocols' is {names}"
    for protocol, fields in (
        ("https", ("methods", "hosts", "headers", "paths", "snis")),
        ("http", ("methods", "hosts", "headers", "paths")),
        ("grpcs", ("hosts", "headers", "paths", "snis")),
        ("grpc", ("hosts", "headers", "paths")),
    ):
        if protocol in protocols:
            if not any(entity.get(name) for name in fields):
                quoted = ", ".join(f"'{name}'" for name in fields)
                found.append(f"must set one of {quoted} when 'protocols' is '{protocol}'")
            break
    if found:
        errors["@entity"] = found
    return errors


def _service_checks(entity: Entity) -> Fields:
    if entity.get("client_certificate") and entity.get("protocol") not in ("https", "tls"):
        why = "failed conditional validation given value of field 'protocol'"
        return {"@entity": [why], "client_certificate": "value must be null"}
    return {}


def service_url(given: Entity) -> Entity:
    """A service's fields with its shorthand `url` taken apart."""
    if not isinstance(given.get("url"), str):
        return given
    url = urlsplit(given["url"])
    protocol = url.scheme or "http"
    spelled = {
        "protocol": protocol,
        "host": url.hostname,
        "port": url.port or (443 if protocol == "https" else 80),
        "path": url.path or None,
    }
    return spelled | {name: value for name, value in given.items() if name != "url"}


_TIMEOUT = _integer(between=(1, 2147483646))
_COMMON: dict[str, Field] = {
    "id": Field(take=_uuid),
    "created_at": Field(take=_integer()),
    "updated_at": Field(take=_integer()),
    "tags": Field(take=_set(_text(_tag_error))),
}

KINDS: dict[str, Kind] = {
    "certificates": Kind(
        fields=_COMMON
        | {
            "cert": Field(take=_text(pem.certificate_error), required=True),
            "key": Field(take=_text(pem.key_error), required=True),
            "cert_alt": Field(take=_text(pem.certificate_error)),
            "key_alt": Field(take=_text(pem.key_error)),
            "snis": Field(take=_list(_text())),
        },
        checks=_certificate_checks,
    ),
    "snis": Kind(
        fields=_COMMON
        | {
            "name": Field(take=_text(sni_error, least=0), required=True),
            "certificate": Field(take=_reference, required=True),
        },
        checks=lambda _entity: {},
        unique_name=True,
    ),
    "routes": Kind(
        fields=_COMMON
        | {
            "name": Field(take=_text(_name_error)),
            "protocols": Field(take=_take_protocols, required=True, default=["http", "https"]),
            "methods": Field(take=_set(_text(_method_error))),
            "hosts": Field(take=_list(_text(_route_host_error))),
            "paths": Field(take=_list(_text(_path_error))),
            "headers": Field(take=_map),
            "https_redirect_status_code": Field(
                take=_integer(one_of=_REDIRECTS), required=True, default=426
            ),
            "regex_priority": Field(take=_integer(), default=0),
            "strip_path": Field(take=_boolean, required=True, default=True),
            "path_handling": Field(take=_text(one_of=("v0", "v1")), default="v0"),
            "preserve_host": Field(take=_boolean, required=True, default=False),
            "request_buffering": Field(take=_boolean, required=True, default=True),
            "response_buffering": Field(take=_boolean, required=True, default=True),
            "snis": Field(take=_set(_text(sni_error))),
            "sources": Field(take=_set(_record)),
            "destinations": Field(take=_set(_record)),
            "service": Field(take=_reference),
        },
        checks=_route_checks,
        unique_name=True,
    ),
    "services": Kind(
        fields=_COMMON
        | {
            "name": Field(take=_text(_name_error)),
            "retries": Field(take=_integer(between=(0, 32767)), default=5),
            "protocol": Field(take=_text(one_of=_PROTOCOLS), required=True, default="http"),
            "host": Field(take=_text(), required=True),
            "port": Field(take=_integer(between=(0, 65535)), required=True, default=80),
            "path": Field(take=_text(_path_error)),
            "connect_timeout": Field(take=_TIMEOUT, default=60000),
            "write_timeout": Field(take=_TIMEOUT, default=60000),
            "read_timeout": Field(take=_TIMEOUT, default=60000),
            "client_certificate": Field(take=_reference),
            "tls_verify": Field(take=_boolean),
            "tls_verify_depth": Field(take=_integer(between=(0, 64))),
            "ca_certificates": Field(take=_list(_uuid)),
            "enabled": Field(take=_boolean, required=True, default=True),
        },
        checks=_service_checks,
        unique_name=True,
    ),
}

REFERENCES: dict[str, tuple[str, str]] = {
    "snis": ("certificate", "certificates"),
    "routes": ("service", "services"),
    "services": ("client_certificate", "certificates"),
}
"""The field of a kind that refers to another kind, and that kind."""
