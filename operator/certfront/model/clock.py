"""Time as a value that is handed in, so that every rule about time can be tested without waiting.

Nothing else in the project calls `datetime.now` or `time.monotonic`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

CLOCK_TOLERANCE = timedelta(minutes=5)
"""So far the clocks of two machines may be apart before what one says means nothing to the other."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The wall time, aware and in UTC. It may jump; compare it only with dates from outside."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. It never goes back; use it for delays and deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """The machine's wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The machine's monotonic clock, in seconds."""
        return time.monotonic()


class FrozenClock:
    """A clock for tests that stands still until it is told to go on."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a clock is an aware datetime")
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        """The wall time it was set to."""
        return self._now

    def monotonic(self) -> float:
        """The seconds it was advanced by in all."""
        return self._monotonic

    def advance(self, by: timedelta | float) -> None:
        """Let time pass: both clocks move by a timedelta or by that many seconds.

        Raises ValueError for a negative amount.
        """
        seconds = by.total_seconds() if isinstance(by, timedelta) else float(by)
        if seconds < 0:
            raise ValueError("time does not go back; use jump() for a wall clock that does")
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)

    def jump(self, to: datetime) -> None:
        """Set the wall clock as an administrator or NTP would; the monotonic one does not notice."""
        if to.tzinfo is None:
            raise ValueError("the time to jump to is an aware datetime")
        self._now = to.astimezone(UTC)
