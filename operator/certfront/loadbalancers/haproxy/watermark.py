"""What an agent has applied, as the annotation of its Lease says it, and what follows from that.

The agent renders it; the frontends' and load balancers' reconcilers parse the Leases and ask
whether a certificate is served on every node. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal

import msgspec

from certfront.model.clock import CLOCK_TOLERANCE
from certfront.model.conditions import bounded
from certfront.model.meta import Value
from certfront.model.times import from_text

ANNOTATION: Final = "certfront.io/watermark"
MOST_LISTED: Final = 8
NODE_FAILURE: Final = ""
"""The `secret` of a failure of the whole node (HAProxy is down): it serves nothing that is proven."""

_LONGEST: Final = 16 * 1024
_LONGEST_MESSAGE: Final = 300
_DEFAULT_DURATION: Final = timedelta(seconds=15)

_State = Literal["Served", "Pending", "Failed", "Unknown"]
_WORST_FIRST: Final[tuple[_State, ...]] = ("Failed", "Unknown", "Pending")


class Failed(Value, frozen=True, kw_only=True):
    """A Secret that the node could not apply; an empty `secret` is the node itself."""

    secret: str
    reason: str
    message: str = ""


class Watermark(Value, frozen=True, kw_only=True):
    """Everything up to `resource_version` is applied and was seen in a handshake, except `failed`.

    `failed_count` is how many failures there are; more than `failed` lists only where there was no
    room for all. At most the first eight have messages. In the annotation, what follows them is in
    `also`, the names of the Secrets by reason; what was parsed has it in `failed`.
    """

    resource_version: str
    failed: tuple[Failed, ...] = ()
    also: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    failed_count: int = 0


def render(resource_version: str, failed: Iterable[Failed]) -> str:
    """The annotation's value; failures of the node first, then by name, bounded.

    One Secret that fails for the same reason several times counts once beyond the first eight.
    """
    held = sorted(set(failed), key=lambda one: (one.secret, one.reason, one.message))
    listed = tuple(
        msgspec.structs.replace(one, message=bounded(one.message, _LONGEST_MESSAGE))
        for one in held[:MOST_LISTED]
    )
    told = {(one.secret, one.reason) for one in listed}
    further = dict.fromkeys((one.secret, one.reason) for one in held[MOST_LISTED:])
    rest = [one for one in further if one not in told]
    mark = Watermark(
        resource_version=resource_version,
        failed=listed,
        failed_count=len(listed) + len(rest),
    )
    room = _LONGEST - len(msgspec.json.encode(mark)) - len(',"also":{}')
    return msgspec.json.encode(msgspec.structs.replace(mark, also=_fitting(rest, room))).decode()


def _fitting(rest: Iterable[tuple[str, str]], room: int) -> dict[str, tuple[str, ...]]:
    """The names of the Secrets by reason, as many as fit into `room` bytes of JSON."""
    found: dict[str, tuple[str, ...]] = {}
    for secret, reason in rest:
        room -= len(msgspec.json.encode(secret)) + 1
        if reason not in found:
            room -= len(msgspec.json.encode(reason)) + len(":[],")
        if room < 0:
            break
        found[reason] = (*found.get(reason, ()), secret)
    return found


def parse(text: str) -> Watermark | None:
    """The watermark in an annotation's value; None for garbage, which says nothing."""
    if len(text) > _LONGEST:
        return None
    try:
        mark = msgspec.json.decode(text.encode(), type=Watermark)
    except (msgspec.DecodeError, UnicodeError):
        return None
    if _revision(mark.resource_version) is None:
        return None
    also = (
        Failed(secret=secret, reason=reason)
        for reason, names in mark.also.items()
        for secret in names
    )
    return msgspec.structs.replace(mark, failed=(*mark.failed, *also), also={})


def lease_name(load_balancer: str, node: str) -> str:
    """The name of the Lease of a node's agent."""
    return f"{load_balancer}.{node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLease:
    """A node as its Lease shows it; `watermark` is None before the first report, or for garbage."""

    node: str
    renew_time: datetime | None
    duration: timedelta
    watermark: Watermark | None

    def is_current(self, now: datetime) -> bool:
        """Whether its heartbeat is not older than the Lease's duration."""
        if self.renew_time is None or self.renew_time > now + CLOCK_TOLERANCE:
            # A heartbeat from far in the future proves nothing.
            return False
        return now <= self.renew_time + self.duration

    @property
    def node_failure(self) -> Failed | None:
        """Why the node as a whole serves nothing that is proven, if so."""
        failed = self.watermark.failed if self.watermark else ()
        return next((one for one in failed if one.secret == NODE_FAILURE), None)


def node_lease(load_balancer: str, lease: Mapping[str, Any]) -> NodeLease | None:
    """The node behind a Lease object; None if the Lease belongs to no agent of `load_balancer`."""
    metadata = _mapping(lease.get("metadata"))
    name = metadata.get("name")
    prefix = f"{load_balancer}."
    if not isinstance(name, str) or not name.startswith(prefix) or name == prefix:
        return None
    spec = _mapping(lease.get("spec"))
    seconds = spec.get("leaseDurationSeconds")
    usable = isinstance(seconds, int) and not isinstance(seconds, bool) and 0 < seconds <= 3600
    annotation = _mapping(metadata.get("annotations")).get(ANNOTATION)
    return NodeLease(
        node=name.removeprefix(prefix),
        renew_time=_moment(spec.get("renewTime")),
        duration=timedelta(seconds=seconds) if usable and seconds else _DEFAULT_DURATION,
        watermark=parse(annotation) if isinstance(annotation, str) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether something is served on every node of a load balancer.

    `Served`; `Pending` (`waiting` nodes have not come so far); `Failed` (`failed` lists node and
    failure); `TooFewNodes`; `Unknown` where a watermark cannot be believed. `current` and `total`
    count nodes. `down` are those that do not count, each with why.
    """

    state: Literal["Served", "Pending", "Failed", "TooFewNodes", "Unknown"]
    current: int
    total: int
    waiting: tuple[str, ...] = ()
    failed: tuple[tuple[str, Failed], ...] = ()
    down: tuple[tuple[str, str], ...] = ()

    @property
    def served(self) -> bool:
        """Whether it may be told as served."""
        return self.state == "Served"


def served(
    leases: Iterable[NodeLease],
    *,
    resource_version: str,
    secrets: Collection[str],
    min_nodes: int,
    now: datetime,
    newest: str | None = None,
) -> Verdict:
    """Whether what the Secrets named `secrets` say, up to `resource_version`, is served everywhere.

    `resource_version` is the highest of those Secrets; revisions are compared as integers. A node
    that is down (stale Lease, or HAProxy gone) does not block the others but does not count towards
    `min_nodes`. `newest`, where known, is a revision that no honest watermark can be above (it is
    after a restore of etcd).
    """
    held = sorted(leases, key=lambda lease: lease.node)
    able = [lease for lease in held if lease.is_current(now) and not lease.node_failure]
    down = tuple((lease.node, _why_down(lease, now)) for lease in held if lease not in able)
    verdict = partial(Verdict, current=len(able), total=len(held), down=down)
    wanted = _revision(resource_version)
    if wanted is None:
        return verdict(state="Unknown")
    if len(able) < max(min_nodes, 1):
        return verdict(state="TooFewNodes")
    limit = _revision(newest) if newest is not None else None
    states = {lease.node: _state(lease.watermark, wanted, secrets, limit) for lease in able}
    failed = tuple(
        (lease.node, one)
        for lease in able
        if states[lease.node] == "Failed" and lease.watermark is not None
        for one in lease.watermark.failed
        if one.secret in secrets
    )
    waiting = tuple(node for node, state in states.items() if state != "Served")
    for state in _WORST_FIRST:
        if state in states.values():
            return verdict(state=state, waiting=waiting, failed=failed)
    return verdict(state="Served")


def _why_down(lease: NodeLease, now: datetime) -> str:
    """A short reason for people; times would make it another one all the time."""
    if not lease.is_current(now):
        return "no heartbeat"
    failure = lease.node_failure
    return (
        "HAProxy is down" if failure is None or failure.reason == "HAProxyDown" else failure.reason
    )


def _state(
    mark: Watermark | None, wanted: int, secrets: Collection[str], limit: int | None
) -> _State:
    if mark is None:
        return "Pending"
    reached = _revision(mark.resource_version)
    if reached is None or (limit is not None and reached > limit):
        return "Unknown"
    if reached < wanted:
        return "Pending"
    if any(one.secret in secrets for one in mark.failed):
        return "Failed"
    # Some failures are not listed: ours may be one of them.
    return "Served" if mark.failed_count <= len(mark.failed) else "Unknown"


def _revision(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 20:
        return None
    return int(text)


def _moment(value: object) -> datetime | None:
    try:
        return from_text(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
