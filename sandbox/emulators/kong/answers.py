"""The answers of Kong's Admin API: their shapes, and the error bodies in Kong's own words.

Every error of the data layer is `{"name", "code", "fields", "message"}` (Kong source,
kong/db/errors.lua: codes, names and the order of a schema violation's parts); the rest is
`{"message"}`, or nginx's own HTML page (recorded from Kong 3.9.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]
"""Errors by field: a text, or for lists of values the texts by position with None between."""

_REASONS = {405: "Not Allowed"}
_HTML_TITLES = {
    304: "Not Modified",
    405: "Not Allowed",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: a JSON value in `body`, or a page in `html`, or neither."""

    status: int
    body: Any = None
    html: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """The words of the status line where they are nginx's own."""
        return _REASONS.get(self.status)


class Refused(Exception):
    """Ends the handling of a request with an error answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"answered {reply.status}")
        self.reply = reply


def page(status: int) -> Reply:
    """The HTML page of nginx for an error that never reaches the Admin API's own code."""
    title = f"{status} {_HTML_TITLES[status]}"
    html = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return Reply(status=status, html=html)


def message(status: int, text: str) -> Refused:
    """An error that is a message only."""
    return Refused(Reply(status=status, body={"message": text}))


def not_found() -> Refused:
    """404 of a path, of an unknown name, and of an id except a certificate's."""
    return message(404, "Not found")


def unexpected() -> Refused:
    """500 of what Kong's own code stumbles over."""
    return message(500, "An unexpected error occurred")


def unmodelled() -> Refused:
    """501 of a path that a Kong has and this stand-in has not: never Kong's own answer."""
    return message(501, "this path of Kong's Admin API is not emulated")


def violation(fields: Fields) -> Refused:
    """Code 2: what is wrong with each field, the entity's own errors (`@entity`) first."""
    parts = list(fields.get("@entity", []))
    for name in sorted(fields):
        if name != "@entity":
            parts += _parts(name, fields[name])
    count = "schema violation" if len(parts) == 1 else f"{len(parts)} schema violations"
    return _error(400, 2, "schema violation", f"{count} ({'; '.join(parts)})", fields)


def _parts(name: str, errors: Any) -> list[str]:
    if isinstance(errors, list):
        return [f"{name}.{n}: {text}" for n, text in enumerate(errors, 1) if text is not None]
    if isinstance(errors, dict):
        return [f"{name}.{key}: {errors[key]}" for key in sorted(errors)]
    return [f"{name}: {errors}"]


def primary_key_taken(identifier: str) -> Refused:
    """Code 3: POST of an id that exists."""
    text = f"primary key violation on key '{_key(id=identifier)}'"
    return _error(400, 3, "primary key violation", text, {"id": identifier})


def unknown_reference(name: str, key: Mapping[str, str], parent: str) -> Refused:
    """Code 4: a reference to what does not exist."""
    text = f"the foreign key '{_key(**key)}' does not reference an existing '{parent}' entity."
    return _error(400, 4, "foreign key violation", text, {name: dict(key)})


def referenced(parent: str, child: str) -> Refused:
    """Code 4: DELETE of what something else uses."""
    text = f"an existing '{child}' entity references this '{parent}' entity"
    return _error(400, 4, "foreign key violation", text, {"@referenced_by": child})


def name_taken(name: str) -> Refused:
    """Code 5: a unique name that exists (409)."""
    text = f"UNIQUE violation detected on '{_key(name=name)}'"
    return _error(409, 5, "unique constraint violation", text, {"name": name})


def no_such_entity(**key: str) -> Refused:
    """Code 6: the key of an entity that does not exist."""
    how = "primary key " if "id" in key else ""
    text = f"could not find the entity with {how}'{_key(**key)}'"
    return _error(404, 6, "not found", text, dict(key))


def bad_offset(offset: str, why: str) -> Refused:
    """Code 7: an offset that Kong never gave."""
    return _error(400, 7, "invalid offset", f"'{offset}' is not a valid offset: {why}")


def bad_size(why: str) -> Refused:
    """Code 9: a page size out of bounds."""
    return _error(400, 9, "invalid size", why)


def bad_unique(field_name: str, why: str) -> Refused:
    """Code 10: a name that cannot exist, used as a key."""
    return _error(400, 10, f"invalid unique {field_name}", why)


def bad_tags(why: str) -> Refused:
    """Code 11: a filter by tags that cannot be read."""
    text = f"invalid option (tags: {why})"
    reply = {"name": "invalid options", "code": 11, "message": text, "options": {"tags": why}}
    return Refused(Reply(status=400, body=reply))


def without_database(operation: str) -> Refused:
    """Code 12: a write that would be valid, to a Kong without a database."""
    text = f"cannot {operation} when not using a database"
    return _error(405, 12, "operation unsupported", text)


def bad_declaration(fields: Fields) -> Refused:
    """Code 14: a declarative configuration that is refused as a whole."""
    text = f"declarative config is invalid: {lua(fields)}"
    return _error(400, 14, "invalid declarative configuration", text, fields)


def lua(value: Any) -> str:
    """A value as Penlight's `pretty.write(value, "")` writes it."""
    if isinstance(value, list):
        return "{" + ",".join(lua(item) for item in value) + "}"
    if isinstance(value, dict):
        keys = [name if name.isidentifier() else f'["{name}"]' for name in value]
        pairs = zip(keys, value.values(), strict=True)
        return "{" + ",".join(f"{key}={lua(item)}" for key, item in pairs) + "}"
    return f'"{value}"'


def _key(**key: str) -> str:
    return lua(key)


def _error(status: int, code: int, name: str, text: str, fields: Fields | None = None) -> Refused:
    body: dict[str, Any] = {"name": name, "code": code, "message": text}
    if fields is not None:
        body["fields"] = fields
    return Refused(Reply(status=status, body=body))
