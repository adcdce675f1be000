"""The last known objects, and the reverse look-ups over them.

Handlers and the sweep write, reconcilers read. What it says is a hint, never a proof: absence here
justifies no side effect before a live read confirms it. Objects are plain dicts and are not copied:
nobody changes one that came from here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from certfront.engine.keys import Key
from certfront.model.meta import revision_of

_log: Final = logging.getLogger(__name__)

Object = dict[str, Any]
Trim = Callable[[Object], Object]
"""Makes the part of an object that is kept; it may share structure with its argument."""


class Listing(Protocol):
    """A list of objects at one revision, as the API client gives it."""

    @property
    def items(self) -> list[Object]:
        """The objects, or their metadata."""
        ...

    @property
    def resource_version(self) -> str:
        """The revision of the list."""
        ...


def key_of(kind: str, obj: Mapping[str, Any]) -> Key:
    """The key of an object of that kind."""
    metadata = obj["metadata"]
    return Key(kind, metadata.get("namespace", ""), metadata["name"])


def trim_metadata(obj: Object) -> Object:
    """The object without metadata.managedFields, which is half of it and read by no one."""
    if "managedFields" not in obj["metadata"]:
        return obj
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": metadata}


class Index:
    """A look-up from values to the keys of the objects of one kind that have them.

    `values` gives the hashable values of one (trimmed) object. The store that the index was given to
    keeps it current.
    """

    def __init__(self, kind: str, values: Callable[[Object], Iterable[Hashable]]) -> None:
        self.kind = kind
        self._values = values
        self._keys: dict[Hashable, dict[Key, None]] = {}
        self._held: dict[Key, frozenset[Hashable]] = {}

    def lookup(self, value: Hashable) -> tuple[Key, ...]:
        """The keys of the objects that have the value, in the order in which they got it."""
        return tuple(self._keys.get(value, ()))

    def values_of(self, key: Key) -> frozenset[Hashable]:
        """The values that an object has now."""
        return self._held.get(key, frozenset())

    def _set(self, key: Key, obj: Object | None) -> None:
        after = frozenset() if obj is None else self._of(key, obj)
        before = self._held.get(key, frozenset())
        for value in before - after:
            keys = self._keys[value]
            del keys[key]
            if not keys:
                del self._keys[value]
        for value in after - before:
            self._keys.setdefault(value, {})[key] = None
        if after:
            self._held[key] = after
        else:
            self._held.pop(key, None)

    def _of(self, key: Key, obj: Object) -> frozenset[Hashable]:
        try:
            return frozenset(self._values(obj))
        except Exception as error:  # noqa: BLE001 - one strange object must not stop the watch
            _log.warning("%s is not indexed: %s", key, type(error).__name__)
            return frozenset()


class Store:
    """The last known objects of each kind, trimmed and indexed. Use it from the event loop only.

    `trims` names every kind that is held and what is kept of it (managedFields go in any case).
    """

    def __init__(self, trims: Mapping[str, Trim], indices: Iterable[Index] = ()) -> None:
        self._trims = dict(trims)
        self._objects: dict[str, dict[Key, Object]] = {kind: {} for kind in trims}
        self._indices: dict[str, list[Index]] = {kind: [] for kind in trims}
        self._highest = dict.fromkeys(trims, 0)
        for index in indices:
            self._indices[index.kind].append(index)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that are held."""
        return tuple(self._trims)

    def upsert(self, kind: str, obj: Object) -> bool:
        """Take what a watch or a live read says; whether anything but the revision is different.

        Always taken, also with an older resourceVersion: after a restore of etcd the older one is
        the truth, and refusing it would be wrong for ever.
        """
        return self._put(kind, key_of(kind, obj), obj)

    def accept(self, kind: str, obj: Object) -> bool:
        """Take the answer to a write of our own, if it is newer than what is held of the same object.

        An object that is not held (not seen yet, or deleted since) is left to the watch.
        """
        key = key_of(kind, obj)
        held = self._objects[kind].get(key)
        if held is None or _uid(held) != _uid(obj) or revision_of(obj) <= revision_of(held):
            return False
        return self._put(kind, key, obj)

    def remove(self, kind: str, namespace: str, name: str, uid: str | None = None) -> bool:
        """Forget an object; with a uid only that very one. Whether it was held."""
        key = Key(kind, namespace, name)
        held = self._objects[kind].get(key)
        if held is None or (uid is not None and _uid(held) != uid):
            return False
        del self._objects[kind][key]
        for index in self._indices[kind]:
            index._set(key, None)
        return True

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The last known object, or None: then only a live read tells whether there is one."""
        return self._objects[kind].get(Key(kind, namespace, name))

    def find(self, key: Key) -> Object | None:
        """`get` by key."""
        return self._objects[key.kind].get(key)

    def items(self, kind: str, namespace: str | None = None) -> Iterator[Object]:
        """The objects of a kind (of a namespace), as of now: the store may change meanwhile."""
        held = list(self._objects[kind].items())
        return iter([o for k, o in held if namespace is None or k.namespace == namespace])

    def highest_revision(self, kind: str) -> int:
        """The highest resourceVersion ever seen in an object of the kind."""
        return self._highest[kind]

    def uncovered(self, kind: str, items: Iterable[Mapping[str, Any]]) -> list[Key]:
        """Those listed objects that are absent here, another incarnation, or older here."""
        return [
            key_of(kind, item)
            for item in items
            if not self._covers(self._objects[kind].get(key_of(kind, item)), item)
        ]

    @staticmethod
    def _covers(held: Object | None, item: Mapping[str, Any]) -> bool:
        return (
            held is not None and _uid(held) == _uid(item) and revision_of(held) >= revision_of(item)
        )

    def _put(self, kind: str, key: Key, obj: Object) -> bool:
        trimmed = self._trims[kind](trim_metadata(obj))
        objects = self._objects[kind]
        held = objects.get(key)
        objects[key] = trimmed
        self._highest[kind] = max(self._highest[kind], revision_of(obj))
        if held is not None and _same_but_revision(held, trimmed):
            return False
        for index in self._indices[kind]:
            index._set(key, trimmed)
        return True


def _uid(obj: Mapping[str, Any]) -> object:
    return obj["metadata"].get("uid")


def _same_but_revision(one: Object, other: Object) -> bool:
    if one.keys() != other.keys():
        return False
    if any(one[k] != other[k] for k in one if k != "metadata"):
        return False
    return _without_revision(one["metadata"]) == _without_revision(other["metadata"])


def _without_revision(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metadata.items() if k != "resourceVersion"}
