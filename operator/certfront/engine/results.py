"""What a reconciler tells the runner: call me again then, or an exception that says the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Result:
    """The pass is complete. `after`: when to call again (timedelta or seconds); None: at a change."""

    after: timedelta | float | None = None

    @property
    def delay(self) -> float | None:
        """`after` in seconds, not negative, or None."""
        return None if self.after is None else max(0.0, _seconds(self.after))


class Retry(Exception):
    """The pass could not be completed for a known reason; ask again.

    `after` (timedelta or seconds) is when; None means the key's own growing back-off. `why` is a
    short text for the log: never input bytes, never a key.
    """

    def __init__(self, why: str, *, after: timedelta | float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.delay = None if after is None else max(0.0, _seconds(after))


def _seconds(amount: timedelta | float) -> float:
    return amount.total_seconds() if isinstance(amount, timedelta) else float(amount)
