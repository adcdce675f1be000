"""When a certificate can be attached, and when it counts as in use.

Both are eventually consistent at AWS: a certificate just stored is not yet known to the load
balancers (their CertificateNotFound says so), and one just detached is still reported as in use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class _New:
    at: datetime
    misses: int


@dataclass(slots=True)
class _Use:
    since: datetime
    until: datetime | None = None


class Propagation:
    """Certificates that the load balancers do not know yet.

    One is found `seconds` after it was stored, and not before it has been missed `misses` times.
    """

    def __init__(self, seconds: float, misses: int) -> None:
        self.seconds = seconds
        self.misses = misses
        self._new: dict[str, _New] = {}

    def stored(self, arn: str, now: datetime) -> None:
        """A certificate was stored."""
        self._new[arn] = _New(now, self.misses)

    def found(self, arn: str, now: datetime) -> bool:
        """Whether a load balancer finds it; counts a miss where it does not."""
        new = self._new.get(arn)
        if new is None:
            return True
        if now < new.at + timedelta(seconds=self.seconds):
            return False
        if new.misses > 0:
            new.misses -= 1
            return False
        del self._new[arn]
        return True


class Usage:
    """Which load balancers use which certificate, `lag` seconds late."""

    def __init__(self, lag: float) -> None:
        self.lag = lag
        self._uses: dict[tuple[str, str], _Use] = {}

    def note(self, used: Mapping[str, Iterable[str]], now: datetime) -> None:
        """Take what is attached now: balancers by certificate."""
        pairs = {(arn, user) for arn, users in used.items() for user in users}
        for pair in pairs:
            use = self._uses.get(pair)
            if use is None:
                self._uses[pair] = _Use(now)
            else:
                use.until = None
        for pair, use in list(self._uses.items()):
            if pair not in pairs and use.until is None:
                use.until = now
            if use.until is not None and now >= use.until + timedelta(seconds=self.lag):
                del self._uses[pair]

    def reported(self, arn: str, now: datetime) -> list[str]:
        """The balancers that are said to use it."""
        lag = timedelta(seconds=self.lag)
        return sorted(
            user
            for (used, user), use in self._uses.items()
            if used == arn and now >= use.since + lag and self._holds(use, now)
        )

    def holders(self, arn: str, now: datetime) -> list[str]:
        """The balancers for whose sake it cannot be deleted: said to use it, or really doing so."""
        return sorted(
            user
            for (used, user), use in self._uses.items()
            if used == arn and self._holds(use, now)
        )

    def _holds(self, use: _Use, now: datetime) -> bool:
        return use.until is None or now < use.until + timedelta(seconds=self.lag)
