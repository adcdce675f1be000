"""What one pass over a Certificate came to. Exactly one of these is reported in status.

Done        the Secret is as it should be, or has just been written
Working     a step of a longer issue was made, the next one follows
Failed      an attempt failed and is made again later
Blocked     another object, or the other side's patience, must come first
Impossible  the spec or the supplied bytes make it impossible: a person must act
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """`issued` is True where this pass wrote the Secret, for the reason `why`.

    `warnings` are shown with the condition.
    """

    issued: bool = False
    why: str = ""
    renewed_for: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """`step` is the reason of Progressing; `order` is what must be durable before the next effect."""

    step: str
    message: str
    progress: int
    order: dict[str, Any] | None
    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A counted failure. `at_least` is how long the other side wants to be left alone;
    `immediate` is for what was lost to a restart: tried again at once, the first time. `permanent`
    is what the other side has refused for good: a person must act, whatever is tried again."""

    reason: str
    message: str
    identifier: str = ""
    challenge: str = ""
    at_least: timedelta = timedelta()
    immediate: bool = False
    permanent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An earlier failure's back-off is not over; nothing was tried."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """`after` is when to look again; None: a change of the other object wakes this one."""

    reason: str
    message: str
    after: timedelta | None = None
    order: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impossible:
    """Nothing is tried again before the spec or the supplied bytes change."""

    reason: str
    message: str


Outcome = Done | Working | Failed | Waiting | Blocked | Impossible
