"""The entities of one Kong, as its database holds them, each in its workspace.

Whoever serves them listens for changes (:mod:`.proxy`). Nothing is checked here: :mod:`.admin` does.
"""

import copy
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.emulators.kong.schema import KINDS, Entity

Changed = Callable[[str, str, Entity | None], None]
"""Told of a kind, an id, and the entity as it is now (None: removed)."""

DEFAULT = "default"
"""The workspace of whatever names none."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entity and where it belongs."""

    entity: Entity
    workspace: str


class Store:
    """All entities by kind and id."""

    def __init__(self, ids: random.Random, now: Callable[[], datetime]) -> None:
        self._ids = ids
        self._now = now
        self._rows: dict[str, dict[str, Row]] = {kind: {} for kind in KINDS}
        self.listeners: list[Changed] = []

    def new_id(self) -> str:
        """An id that nothing has."""
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def seconds(self) -> int:
        """The time as Kong writes it: whole seconds since 1970."""
        return int(self._now().timestamp())

    def get(self, kind: str, identifier: str, workspace: str) -> Entity | None:
        """The entity of this id in this workspace."""
        row = self._rows[kind].get(identifier)
        return row.entity if row and row.workspace == workspace else None

    def exists(self, kind: str, identifier: str) -> bool:
        """Whether any workspace has this id."""
        return identifier in self._rows[kind]

    def named(self, kind: str, name: str, workspace: str | None) -> Entity | None:
        """The entity of this name; None as the workspace asks all of them."""
        for row in self._rows[kind].values():
            if row.entity.get("name") == name and workspace in (None, row.workspace):
                return row.entity
        return None

    def all(self, kind: str, workspace: str | None = DEFAULT) -> list[Entity]:
        """The entities of a kind, by id; None as the workspace asks all of them."""
        rows = self._rows[kind]
        chosen = (rows[identifier] for identifier in sorted(rows))
        return [row.entity for row in chosen if workspace in (None, row.workspace)]

    def snis_of(self, certificate: str) -> list[Entity]:
        """The SNIs of a certificate, by name as bytes sort."""
        snis = self.all("snis", None)
        chosen = (sni for sni in snis if sni["certificate"]["id"] == certificate)
        return sorted(chosen, key=lambda sni: str(sni["name"]).encode())

    def referring(self, kind: str, field: str, identifier: str) -> Iterator[Entity]:
        """The entities of a kind whose field refers to this id."""
        for row in self._rows[kind].values():
            if (row.entity.get(field) or {}).get("id") == identifier:
                yield row.entity

    def put(self, kind: str, entity: Entity, workspace: str) -> None:
        """Add an entity or replace the one of its id."""
        self._rows[kind][entity["id"]] = Row(entity, workspace)
        self._tell(kind, entity["id"], entity)

    def remove(self, kind: str, identifier: str) -> None:
        """Remove an entity; nothing where there is none."""
        if self._rows[kind].pop(identifier, None) is not None:
            self._tell(kind, identifier, None)

    def clear(self) -> None:
        """Remove everything."""
        for kind, rows in self._rows.items():
            for identifier in list(rows):
                self.remove(kind, identifier)

    def _tell(self, kind: str, identifier: str, entity: Entity | None) -> None:
        now: Any = copy.deepcopy(entity)
        for listener in self.listeners:
            listener(kind, identifier, now)
