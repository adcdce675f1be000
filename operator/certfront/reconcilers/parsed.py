"""Objects of the store as values, parsed once for each revision.

A pass over one frontend looks at every other frontend of the load balancer; without this each pass
would parse them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from certfront.engine.store import Object

V = TypeVar("V")

_FEW: Final = 256
"""Below so many, those of objects that are gone are not looked for."""


class Parsed(Generic[V]):
    """The values of objects; `read` gives None for an object that does not parse.

    What `exists` (namespace, name) denies is dropped whenever twice as many have come together.
    """

    def __init__(
        self, read: Callable[[Object], V | None], exists: Callable[[str, str], bool]
    ) -> None:
        self._read = read
        self._exists = exists
        self._held: dict[tuple[str, str], tuple[tuple[str, str], V | None]] = {}
        self._sweep_at = _FEW

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._held)

    def of(self, obj: Object) -> V | None:
        """The value of `obj`, parsed anew only if its uid or revision has changed."""
        metadata = obj["metadata"]
        name = (metadata.get("namespace", ""), metadata["name"])
        version = (metadata.get("uid", ""), metadata.get("resourceVersion", ""))
        held = self._held.get(name)
        if held is not None and held[0] == version:
            return held[1]
        value = self._read(obj)
        if len(self._held) >= self._sweep_at:
            self._held = {key: held for key, held in self._held.items() if self._exists(*key)}
            self._sweep_at = max(_FEW, 2 * len(self._held))
        self._held[name] = (version, value)
        return value

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is kept of an object that is gone."""
        self._held.pop((namespace, name), None)
