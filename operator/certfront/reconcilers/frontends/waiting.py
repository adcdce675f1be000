"""Who waits for what in memory: frontends for their nodes, and losers for a hostname.

A hint for waking at once, never a proof: after a restart every frontend is reconciled anyway, and
each pass that still waits asks to be called again.
"""

from __future__ import annotations

from certfront.engine.keys import Key
from certfront.model.meta import ObjectName


class Waiting:
    """Keys by the load balancer that they wait for."""

    def __init__(self) -> None:
        self._keys: dict[ObjectName, set[Key]] = {}
        self._target: dict[Key, ObjectName] = {}

    def set(self, key: Key, target: ObjectName | None) -> None:
        """The key waits for `target`; None: for nothing any more."""
        before = self._target.pop(key, None)
        if before is not None:
            keys = self._keys[before]
            keys.discard(key)
            if not keys:
                del self._keys[before]
        if target is not None:
            self._target[key] = target
            self._keys.setdefault(target, set()).add(key)

    def on(self, target: ObjectName) -> tuple[Key, ...]:
        """The keys that wait for `target`, in a stable order."""
        return tuple(sorted(self._keys.get(target, ())))
