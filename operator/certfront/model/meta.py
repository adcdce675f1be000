"""What every object has in common: identity, version, labels, and the raw form it came in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

GROUP = "certfront.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FINALIZER = "certfront.io/installed"
FIELD_MANAGER = "certfront"
"""Who certfront is to server-side apply, whatever the process."""


class ObjectName(NamedTuple):
    """Namespace and name, which identify an object of a known kind."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "ObjectName | None":
        """The two in `namespace/name`; None for anything else."""
        namespace, _, name = text.partition("/")
        return cls(namespace, name) if namespace and name and "/" not in name else None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of everything that is read from or written to a manifest."""


class Meta(Value, frozen=True, kw_only=True):
    """The part of `metadata` that certfront reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()

    @property
    def object_name(self) -> ObjectName:
        """Namespace and name together."""
        return ObjectName(self.namespace, self.name)

    @property
    def age_order(self) -> tuple[str, str, str]:
        """Sorts the older object first, then by namespace and name."""
        created = self.creation_timestamp.isoformat() if self.creation_timestamp else "9999"
        return (created, self.namespace, self.name)


def revision_of(obj: Mapping[str, Any]) -> int:
    """The resourceVersion in the metadata of an object or a list as a number; 0 without one.

    Comparable within one kind of one cluster (KEP-5504 makes the order part of the API).
    """
    text = obj.get("metadata", {}).get("resourceVersion", "")
    return int(text) if isinstance(text, str) and text.isdecimal() else 0


V = TypeVar("V", bound="Value")


class InvalidObject(Exception):
    """An object whose spec does not parse; the message carries the path, never a value."""


def parse(kind: type[V], raw: Mapping[str, Any]) -> V:
    """`raw` as a frozen value of `kind`. Raises InvalidObject with the path of what is wrong."""
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidObject(_without_values(str(error))) from None


def parsed(kind: type[V], raw: Mapping[str, Any]) -> V | None:
    """Like `parse`; None where `raw` does not parse."""
    try:
        return parse(kind, raw)
    except InvalidObject:
        return None


def plain(value: Value) -> dict[str, Any]:
    """`value` as it is written into a manifest: camelCase, defaults left out, lists as lists.

    It compares equal to what the API server gives back for it.
    """
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return built


def _without_values(message: str) -> str:
    """The message without the offending value: what a user pasted must not be repeated."""
    if "Invalid enum value" not in message:
        return message
    where = message.rfind(" - at")
    return "Invalid enum value" + (message[where:] if where >= 0 else "")
