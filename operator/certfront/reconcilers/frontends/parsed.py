"""Objects of the store as values, parsed once for each revision.

A pass over one frontend looks at every other frontend of the load balancer; without this each pass
would parse them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from certfront.engine.store import Object

V = TypeVar("V")


class Parsed(Generic[V]):
    """The values of objects; `read` gives None for an object that does not parse."""

    def __init__(self, read: Callable[[Object], V | None]) -> None:
        self._read = read
        self._held: dict[tuple[str, str], tuple[tuple[str, str], V | None]] = {}

    def of(self, obj: Object) -> V | None:
        """The value of `obj`, parsed anew only if its uid or revision has changed."""
        metadata = obj["metadata"]
        name = (metadata.get("namespace", ""), metadata["name"])
        version = (metadata.get("uid", ""), metadata.get("resourceVersion", ""))
        held = self._held.get(name)
        if held is not None and held[0] == version:
            return held[1]
        value = self._read(obj)
        self._held[name] = (version, value)
        return value

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is kept of an object that is gone."""
        self._held.pop((namespace, name), None)
