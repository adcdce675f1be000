"""When each node was last alive, by this process's own clock.

The clocks of nodes differ from ours, so `renewTime` says when a heartbeat was made only once the
difference is known: it is the least that was ever seen between our time and theirs. Used by
`observation.nodes_of`; memory of one process, rebuilt from what the store holds after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from certfront.engine.store import Object, Store
from certfront.loadbalancers.haproxy.watermark import NodeLease
from certfront.model.clock import CLOCK_TOLERANCE, Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """`ahead` is our monotonic time at a heartbeat less the node's time of it, in seconds."""

    uid: str
    renew_time: datetime
    at: float
    ahead: float | None


class Heartbeats:
    """The heartbeats of the Leases of one store."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def dated(self, lease: Object, node: NodeLease, clock: Clock) -> NodeLease:
        """The node with its heartbeat in our time.

        A Lease that is new to us counts as alive now if its time is within the clock tolerance, and
        is left as it is otherwise until its next heartbeat.
        """
        if node.renew_time is None:
            return node
        metadata = lease["metadata"]
        name = (metadata["namespace"], metadata["name"])
        seen = self._seen.get(name)
        if seen is None or seen.uid != metadata.get("uid", ""):
            seen = None
        now = self._seen[name] = _observed(
            seen, metadata.get("uid", ""), node, node.renew_time, clock
        )
        if now.ahead is None:
            return node
        age = clock.monotonic() - now.ahead - node.renew_time.timestamp()
        return replace(node, renew_time=clock.now() - timedelta(seconds=age))

    def keep(self, namespace: str, names: set[str], prefix: str) -> None:
        """Forget the Leases of one load balancer (`prefix`) that are not among `names`."""
        for held in [held for held in self._seen if held[0] == namespace]:
            if held[1].startswith(prefix) and held[1] not in names:
                del self._seen[held]


def heartbeats_of(store: Store) -> Heartbeats:
    """The one of a store, for as long as the store lives."""
    return _OF_STORES.setdefault(store, Heartbeats())


_OF_STORES: WeakKeyDictionary[Store, Heartbeats] = WeakKeyDictionary()


def _observed(
    seen: _Seen | None, uid: str, node: NodeLease, renew_time: datetime, clock: Clock
) -> _Seen:
    at = clock.monotonic()
    ahead = at - renew_time.timestamp()
    if seen is None:
        near = abs(clock.now() - renew_time) <= CLOCK_TOLERANCE
        return _Seen(uid=uid, renew_time=renew_time, at=at, ahead=ahead if near else None)
    if renew_time == seen.renew_time:
        return replace(seen, at=at)
    # A heartbeat since we looked last, which was less than its duration ago, is proof of life; one
    # that goes back, or the first after an unbelievable one, begins anew.
    fresh = at - seen.at <= node.duration.total_seconds() or renew_time < seen.renew_time
    if seen.ahead is None or fresh:
        late = seen.ahead is not None and ahead - seen.ahead <= node.duration.total_seconds()
        known = min(seen.ahead, ahead) if seen.ahead is not None and late else ahead
        return _Seen(uid=uid, renew_time=renew_time, at=at, ahead=known)
    return _Seen(uid=uid, renew_time=renew_time, at=at, ahead=min(seen.ahead, ahead))
