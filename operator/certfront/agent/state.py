"""What a node must know to go on without an API server: the accepted manifests and the challenges.

Kept in state.json beside the configuration. It holds no keys; those are in the PEM files alone.
Used by `reconcile`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from certfront.agent.disk import Disk
from certfront.loadbalancers.haproxy.checks import check
from certfront.loadbalancers.haproxy.handover import Challenges, InvalidHandover, Manifest
from certfront.model.meta import Value

STATE_FILE: Final = "state.json"
_VERSION: Final = 1


class State(Value, frozen=True, kw_only=True):
    """Accepted manifests and challenges, by the names of their Secrets.

    `synced` once a whole list has been read: before that, an empty node is new and not ready.
    `vanished` names the manifests whose Secrets are gone: a restart must not let them win a contest.
    `tried` is what was on its way to the disk for a reload: HAProxy may serve it already.
    """

    version: int = _VERSION
    synced: bool = False
    manifests: dict[str, Manifest] = msgspec.field(default_factory=dict)
    challenges: dict[str, Challenges] = msgspec.field(default_factory=dict)
    vanished: tuple[str, ...] = ()
    tried: State | None = None

    @property
    def latest(self) -> State:
        """What HAProxy may have been started from: what is tried, else what was accepted."""
        return self.tried if self.tried is not None else self


def load(disk: Disk, manage: str = "Listener") -> State:
    """The state on disk. Whatever in it cannot be read or rendered is left out, never fatal.

    Neither is what the node was when its agent was started otherwise: `manage` is what it is now.
    """
    content = disk.read(STATE_FILE)
    if content is None:
        return State()
    try:
        state = msgspec.json.decode(content, type=State)
    except (msgspec.DecodeError, UnicodeError):
        return State()
    if state.version != _VERSION:
        return State()
    tried = _fit(state.tried, manage) if state.tried is not None else None
    return msgspec.structs.replace(_fit(state, manage), tried=tried)


def save(disk: Disk, state: State) -> None:
    """Write the state, atomically, unless it is there already."""
    # Sorted: a list has another order than the events that came one by one, and is no change.
    content = msgspec.json.encode(state, order="deterministic")
    if disk.read(STATE_FILE) != content:
        disk.write({STATE_FILE: content})


def _fit(state: State, manage: str) -> State:
    fit = {
        name: held
        for name, held in state.manifests.items()
        if _is_fit(held) and (held.disabled or held.manage == manage)
    }
    return msgspec.structs.replace(state, manifests=fit)


def _is_fit(manifest: Manifest) -> bool:
    try:
        check(manifest)
    except InvalidHandover:
        return False
    return True
