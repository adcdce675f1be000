"""When a certificate is renewed, and when a failed attempt is made again. Pure functions of times."""

import hashlib
from datetime import datetime, timedelta

from certfront.model.certificate import Renewal
from certfront.model.durations import parse_duration

SHORT_LIVED = timedelta(days=10)
WARNING = timedelta(days=30)
LADDER = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=100), timedelta(days=1))
SPREAD = 0.25


def fraction(*identity: str) -> float:
    """A number from 0 to 1 (exclusive) that is the same for the same identity, after restarts too."""
    digest = hashlib.sha256("/".join(identity).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def renewal_time(
    renewal: Renewal, *, not_before: datetime, not_after: datetime, uid: str
) -> datetime:
    """When to renew: as asked, else a third of the real lifetime before its end (half under ten days).

    A stable jitter, a tenth of that margin at most, spreads what was issued together. A margin
    that does not fit the lifetime falls back to the default, so that a renewal is never immediate.
    """
    lifetime = not_after - not_before
    margin = _asked_margin(renewal, lifetime)
    if margin is None or margin >= lifetime:
        margin = lifetime / 2 if lifetime < SHORT_LIVED else lifetime / 3
    early = min(margin * (1 + 0.1 * fraction(uid, "renewal")), lifetime * 0.95)
    return (not_after - early).replace(microsecond=0)


def warning_time(renewal: Renewal, *, not_before: datetime, not_after: datetime) -> datetime:
    """From when on the end of what nobody renews is announced (30 days, a third of the lifetime at most)."""
    asked = parse_duration(renewal.warn_before) if renewal.warn_before else WARNING
    return not_after - min(asked, (not_after - not_before) / 3)


def retry_delay(failures: int, *identity: str, at_least: timedelta = timedelta()) -> timedelta:
    """How long to wait after the `failures`-th failure in a row: 1, 10, 100 minutes, then daily.

    Spread by a quarter in both directions, the same for the same identity and count. `at_least`
    is what the other side asked for (Retry-After).
    """
    step = LADDER[min(max(failures, 1), len(LADDER)) - 1]
    spread = 1 + SPREAD * (2 * fraction(*identity, str(failures)) - 1)
    return max(step * spread, at_least)


def _asked_margin(renewal: Renewal, lifetime: timedelta) -> timedelta | None:
    if renewal.before:
        return parse_duration(renewal.before)
    if renewal.before_percent:
        return lifetime * renewal.before_percent / 100
    return None
