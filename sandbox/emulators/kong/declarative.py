"""The configuration of a Kong without a database: one document, replaced as a whole by `POST /config`.

Recorded from Kong 3.9.3: certificates nest their SNIs, services their routes; what `GET /config`
answers has the SNIs a second time at its top and is refused when it is posted back. Not followed:
`flatten_errors`, and the order in which several errors are found.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from sandbox.emulators.kong import answers, schema
from sandbox.emulators.kong.answers import Fields, Reply
from sandbox.emulators.kong.schema import KINDS, REFERENCES, Entity
from sandbox.emulators.kong.store import DEFAULT, Store

_VERSIONS = ("1.1", "2.1", "3.0")
_NESTED = {"certificates": "snis", "services": "routes"}
_Whole = Callable[[str, Entity, Any], Entity]


class Declarations:
    """Reads and writes the document of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hash = ""

    def text(self) -> str:
        """The document that is in force."""
        document: dict[str, Any] = {"_transform": False, "_format_version": "3.0"}
        for kind in ("certificates", "services", "routes", "snis"):
            entities = [dict(entity) for entity in self._store.all(kind)]
            for entity in entities:
                if kind == "certificates":
                    entity["snis"] = [dict(sni) for sni in self._store.snis_of(entity["id"])]
                elif kind in REFERENCES and entity[REFERENCES[kind][0]]:
                    entity[REFERENCES[kind][0]] = entity[REFERENCES[kind][0]]["id"]
            if entities:
                document[kind] = entities
        return yaml.safe_dump(document, sort_keys=False)

    def load(self, given: Any, whole: _Whole, *, check_hash: bool) -> Reply:
        """Replace everything by this document; nothing changes when it is refused."""
        digest = ""
        if isinstance(given, str):
            digest = hashlib.sha256(given.encode()).hexdigest()
            if check_hash and digest == self._hash:
                return Reply(status=304)
            given = _parsed(given)
        if not isinstance(given, dict):
            raise answers.bad_declaration({"error": "expected a table"})
        _check_version(given)
        entities = self._entities(given, whole)
        self._store.clear()
        loaded: dict[str, dict[str, Entity]] = {}
        for kind, entity in entities:
            self._store.put(kind, entity, DEFAULT)
            loaded.setdefault(kind, {})[entity["id"]] = entity
        self._hash = digest
        return Reply(status=201, body=loaded)

    def _entities(self, given: dict[str, Any], whole: _Whole) -> list[tuple[str, Entity]]:
        found: list[tuple[str, Entity]] = []
        seen: set[tuple[str, str]] = set()
        for kind, declared in _flat(given):
            declared = dict(declared)
            identifier = declared.get("id") or str(
                uuid.uuid5(uuid.NAMESPACE_DNS, _label(kind, declared))
            )
            nested = declared.pop(_NESTED.get(kind, ""), None)
            try:
                entity = whole(kind, declared, identifier)
            except answers.Refused as refused:
                errors: Fields = dict(refused.reply.body.get("fields", {}))
                if kind == "certificates" and nested:
                    errors["snis"] = [{"certificate": schema.MISSING} for _ in nested]
                raise answers.bad_declaration({kind: [errors]}) from None
            name = str(entity.get("name") or identifier)
            if (kind, name) in seen:
                text = f"uniqueness violation: '{kind}' entity with name set to '{name}' already declared"
                raise answers.bad_declaration({kind: [text]})
            seen.add((kind, name))
            entity.pop("snis", None) if kind == "certificates" else None
            found.append((kind, entity))
        return found


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise answers.bad_declaration(
            {"error": "failed parsing declarative configuration"}
        ) from None


def _check_version(given: dict[str, Any]) -> None:
    version = given.get("_format_version")
    if version is None:
        raise answers.bad_declaration({"_format_version": schema.MISSING})
    if str(version) not in _VERSIONS:
        why = f"expected one of: {', '.join(_VERSIONS)}"
        raise answers.bad_declaration({"_format_version": why})


def _flat(given: dict[str, Any]) -> Iterator[tuple[str, Entity]]:
    """Every declared entity, parents first, with a reference to the one that it is nested in."""
    for kind in ("certificates", "services", "snis", "routes"):
        for declared in given.get(kind) or ():
            yield kind, _referring(kind, declared)
            child = _NESTED.get(kind)
            for nested in (declared.get(child) or ()) if child else ():
                if not isinstance(nested, dict):
                    raise answers.bad_declaration({kind: [{child: ["expected a record"]}]})
                parent = declared.get("id") or str(
                    uuid.uuid5(uuid.NAMESPACE_DNS, _label(kind, declared))
                )
                own = {name: value for name, value in nested.items() if not name.startswith("_")}
                yield child or "", own | {REFERENCES[child or ""][0]: {"id": parent}}
    unknown = given.keys() - KINDS.keys() - {"_format_version", "_transform"}
    if unknown:
        raise answers.bad_declaration(dict.fromkeys(sorted(unknown), "unknown field"))


def _referring(kind: str, declared: Entity) -> Entity:
    field = REFERENCES.get(kind, ("", ""))[0]
    if isinstance(declared.get(field), str):
        key = "id" if schema.is_uuid(declared[field]) else "name"
        return declared | {field: {key: declared[field]}}
    return declared


def _label(kind: str, declared: Entity) -> str:
    return f"{kind}:{declared.get('name') or declared.get('cert') or ''}"
