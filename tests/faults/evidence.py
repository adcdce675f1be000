"""What happened, as others have recorded it: the audit log of the API server, and Pebble's log.

Nothing here asks certfront. The audit log has the bodies of status patches, in the order in which
the API server took them; together with Pebble's log they tell which order was for which need.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.merge_patch import merged

ISSUED: Final = re.compile(r"Issued certificate serial (\w+) for order (\S+)")
_PATCHED: Final = 300
Name = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalized:
    """One certificate that Pebble has issued. `at` is a place in its log."""

    order: str
    serial: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What an order was for, as status has told it: the need and the Certificate."""

    order: str
    need: str
    certificate: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuse:
    """An event after which a second order for one need is right.

    Orders that were finalized after `since` and before `until` (places in Pebble's log) may be
    repeated from `again` on: a restored copy of `since` knows nothing of them, a Pebble that was
    restarted, too.
    """

    why: str
    since: int
    until: int
    again: int


@dataclass
class Orders:
    """Reads status patches from audit lines, in their order."""

    recorded: dict[str, Recorded] = field(default_factory=dict)
    _open: dict[Name, dict[str, Any]] = field(default_factory=dict)

    def read(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take lines of the audit log."""
        for line in lines:
            about = line.get("objectRef") or {}
            if about.get("resource") != "certificates" or about.get("subresource") != "status":
                continue
            if (line.get("responseStatus") or {}).get("code", 500) >= _PATCHED:
                continue
            change = ((line.get("requestObject") or {}).get("status")) or {}
            if "order" in change:
                self._take((about["namespace"], about["name"]), change["order"])

    def forget(self, certificates: Iterable[Mapping[str, Any]]) -> None:
        """The API server was killed (its last lines are lost) or restored: go on from these."""
        self._open = {}
        for each in certificates:
            self.seen(each)

    def seen(self, certificate: Mapping[str, Any]) -> None:
        """Take a Certificate as it was read or watched."""
        metadata = certificate["metadata"]
        order = (certificate.get("status") or {}).get("order") or {}
        self._open[metadata["namespace"], metadata["name"]] = dict(order)
        self._record((metadata["namespace"], metadata["name"]), order)

    def _take(self, name: Name, change: dict[str, Any] | None) -> None:
        held = merged(self._open.get(name), change)
        self._open[name] = held or {}
        self._record(name, self._open[name])

    def _record(self, name: Name, order: Mapping[str, Any]) -> None:
        if url := order.get("orderURL"):
            found = Recorded(
                order=url.rpartition("/")[2], need=order.get("need", ""), certificate=name
            )
            self.recorded.setdefault(found.order, found)


def finalized(log: str, offset: int = 0) -> list[Finalized]:
    """What Pebble has issued, by its log from the place `offset` on."""
    return [
        Finalized(serial=found[1].lower(), order=found[2], at=offset + found.start())
        for found in ISSUED.finditer(log)
    ]
