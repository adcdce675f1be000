"""The name of one object in the engine: what the store holds, the queue orders and workers lock."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """One object: hashable and ordered. `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"
