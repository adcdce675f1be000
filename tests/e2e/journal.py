"""Everything that happened to the watched kinds, in order, and a way to wait for the next of it.

A wait ends with the watch event that makes it true: nothing sleeps and nothing is polled.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from sandbox.state import State
from tests.e2e.api import Api, Object, Refused

KINDS = (
    "Certificate",
    "LoadBalancerFrontend",
    "Issuer",
    "LoadBalancer",
    "Secret",
    "Event",
    "Lease",
)
OWN = ("Certificate", "LoadBalancerFrontend", "Issuer", "LoadBalancer")
_RETRY_SECONDS = 0.2

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Entry:
    """One version of an object. `at` is when it was seen, on the monotonic clock."""

    at: float
    kind: str
    gone: bool
    body: Object


class Journal:
    """Watches all namespaces of one sandbox until it is closed."""

    def __init__(self, state: State) -> None:
        self.entries: list[Entry] = []
        self._current: dict[Key, Object] = {}
        self._news = threading.Condition()
        self._closed = threading.Event()
        self._listed: set[str] = set()
        self._state = state
        for kind in KINDS:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()
        with self._news:
            assert self._news.wait_for(lambda: self._listed == set(KINDS), 30)

    def close(self) -> None:
        """Take nothing more."""
        self._closed.set()

    def current(self, kind: str, namespace: str, name: str) -> Object | None:
        """The newest version that was seen; None where there is none."""
        with self._news:
            return self._current.get((kind, namespace, name))

    def of(self, kind: str, namespace: str, name: str = "") -> list[Entry]:
        """What was seen of an object, or of all of a namespace, oldest first."""
        with self._news:
            return [entry for entry in self.entries if _is_of(entry, kind, namespace, name)]

    def mark(self) -> int:
        """A place in the journal, for `since`."""
        with self._news:
            return len(self.entries)

    def since(self, mark: int) -> list[Entry]:
        """What was seen after `mark`."""
        with self._news:
            return self.entries[mark:]

    def wait(
        self,
        kind: str,
        namespace: str,
        name: str,
        holds: Callable[[Object], bool],
        *,
        seconds: float,
        why: str,
    ) -> Object:
        """The object once `holds` is true of it; fails with its state after `seconds`."""
        key = (kind, namespace, name)

        def true() -> bool:
            body = self._current.get(key)
            return body is not None and holds(body)

        with self._news:
            if self._news.wait_for(true, seconds):
                return self._current[key]
            body = self._current.get(key)
        status = json.dumps((body or {}).get("status"), indent=1)
        raise AssertionError(
            f"{kind} {namespace}/{name}: not {why} after {seconds:.0f} s: {status}"
        )

    def wait_entry(
        self, mark: int, holds: Callable[[Entry], bool], *, seconds: float, why: str
    ) -> Entry:
        """The first entry after `mark` of which `holds` is true."""

        def first() -> Entry | None:
            return next((entry for entry in self.entries[mark:] if holds(entry)), None)

        with self._news:
            self._news.wait_for(lambda: first() is not None, seconds)
            found = first()
        assert found is not None, f"not {why} within {seconds:.0f} s"
        return found

    def wait_gone(self, kind: str, namespace: str, name: str, *, seconds: float = 30) -> None:
        """Return when the object does not exist."""
        key = (kind, namespace, name)
        with self._news:
            gone = self._news.wait_for(lambda: key not in self._current, seconds)
        assert gone, f"{kind} {namespace}/{name} is still there after {seconds:.0f} s"

    def wait_event(self, namespace: str, name: str, reason: str, *, seconds: float = 10) -> Object:
        """The Event with `reason` about the object called `name`."""

        def found() -> Object | None:
            return next((e for e in self._events(namespace, name) if e["reason"] == reason), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None, seconds)
            event = found()
            there = [f"{e['reason']}: {e.get('note')}" for e in self._events(namespace, name)]
        assert event is not None, f"no Event {reason} about {namespace}/{name}; there are {there}"
        return event

    def events(self, namespace: str, name: str) -> list[Object]:
        """The Events about the object called `name`."""
        with self._news:
            return list(self._events(namespace, name))

    def _events(self, namespace: str, name: str) -> Iterator[Object]:
        for (kind, where, _), body in self._current.items():
            if (kind, where) == ("Event", namespace) and body["regarding"]["name"] == name:
                yield body

    def _follow(self, kind: str) -> None:
        api = Api(self._state)
        while not self._closed.is_set():
            # The API server is killed and started again by some tests.
            with contextlib.suppress(Refused, requests.RequestException, KeyError, ValueError):
                items, revision = api.listed(kind)
                self._relist(kind, items)
                for change, body in api.watched(kind, revision):
                    if change == "ERROR" or self._closed.is_set():
                        break
                    self._take(kind, body, gone=change == "DELETED")
            self._closed.wait(_RETRY_SECONDS)

    def _relist(self, kind: str, items: list[Object]) -> None:
        seen = {_key(kind, body) for body in items}
        with self._news:
            lost = [key for key in self._current if key[0] == kind and key not in seen]
            for key in lost:
                del self._current[key]
            self._listed.add(kind)
            self._news.notify_all()
        for body in items:
            self._take(kind, {"kind": kind, **body}, gone=False)

    def _take(self, kind: str, body: Object, *, gone: bool) -> None:
        with self._news:
            key = _key(kind, body)
            if not gone and self._current.get(key) == body:
                return
            self.entries.append(Entry(time.monotonic(), kind, gone, body))
            if gone:
                self._current.pop(key, None)
            else:
                self._current[key] = body
            self._news.notify_all()


def _key(kind: str, body: Object) -> Key:
    metadata = body["metadata"]
    return (kind, metadata.get("namespace", ""), metadata["name"])


def _is_of(entry: Entry, kind: str, namespace: str, name: str) -> bool:
    metadata = entry.body["metadata"]
    return (
        entry.kind == kind
        and metadata.get("namespace") == namespace
        and name in ("", metadata["name"])
    )
