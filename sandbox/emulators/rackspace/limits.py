"""Rate limits by method, and the absolute limits of an account.

Source: the developer guide, "Limits". Neighbour: :mod:`.api` asks before every call.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.emulators.server import Clock

_UNITS = {"SECOND": timedelta(seconds=1), "MINUTE": timedelta(minutes=1)}

DEFAULT_RATES: Mapping[str, Mapping[str, int]] = {
    "GET": {"SECOND": 10, "MINUTE": 600},
    "PUT": {"SECOND": 10, "MINUTE": 600},
    "POST": {"SECOND": 5, "MINUTE": 300},
    "DELETE": {"SECOND": 5, "MINUTE": 300},
}
"""Requests of an account by method and unit of time (issue of 2024-07)."""

ABSOLUTE: Mapping[str, int] = {
    "IPV6_LIMIT": 25,
    "LOADBALANCER_LIMIT": 25,
    "BATCH_DELETE_LIMIT": 10,
    "ACCESS_LIST_LIMIT": 100,
    "NODE_LIMIT": 25,
    "CERTIFICATE_MAPPING_LIMIT": 20,
}
"""How many objects an account, or one of its load balancers, may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A request over a limit, and when the next is answered again."""

    next_available: datetime


class RateLimits:
    """Counts the requests of one account; a refused request is not counted."""

    def __init__(self, clock: Clock, rates: Mapping[str, Mapping[str, int]]) -> None:
        self._clock = clock
        self._rates = rates
        self._taken: dict[str, deque[datetime]] = {method: deque() for method in rates}

    def take(self, method: str) -> Exceeded | None:
        """Count a request of this method, or say that it is over one of its limits."""
        now = self._clock.now()
        taken = self._taken.get(method)
        if taken is None:
            return None
        waits = [
            available
            for unit, value in self._rates[method].items()
            if (available := self._next_available(taken, unit, value, now)) is not None
        ]
        if waits:
            return Exceeded(next_available=max(waits))
        taken.append(now)
        while taken and taken[0] <= now - max(_UNITS.values()):
            taken.popleft()
        return None

    def document(self) -> dict[str, Any]:
        """The answer of GET /limits."""
        now = self._clock.now()
        limits = []
        for method, values in self._rates.items():
            taken = self._taken[method]
            for unit, value in values.items():
                used = sum(1 for moment in taken if moment > now - _UNITS[unit])
                available = self._next_available(taken, unit, value, now) or now
                limits.append(
                    {
                        "verb": method,
                        "value": value,
                        "remaining": max(value - used, 0),
                        "unit": unit,
                        "next-available": milliseconds(available),
                    }
                )
        rate = {"uri": "/v1.0/*", "regex": "^/1.0/.*", "limit": limits}
        return {"limits": {"rate": {"values": [rate]}}}

    @staticmethod
    def _next_available(
        taken: deque[datetime], unit: str, value: int, now: datetime
    ) -> datetime | None:
        """When this limit lets one more pass, or None where it does so now."""
        window = _UNITS[unit]
        within = [moment for moment in taken if moment > now - window]
        return within[-value] + window if len(within) >= value else None


def absolute_document(limits: Mapping[str, int]) -> dict[str, Any]:
    """The answer of GET /loadbalancers/absolutelimits."""
    return {"absolute": [{"name": name, "value": value} for name, value in limits.items()]}


def milliseconds(moment: datetime) -> str:
    """A time as the proxy and the identity service write it: 2011-02-22T19:32:43.835Z."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"
