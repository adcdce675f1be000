"""Checks of TLS Secrets that others keep, off the event loop and remembered by their bytes.

Checking a key may take long (RSA), and every pass over a frontend asks for it. Used by
`observation`; the rules are those of `certfront.pki.upload`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from certfront.engine.executors import run_blocking
from certfront.engine.store import Object
from certfront.loadbalancers.materials import Verdict, given_by, verdict_on
from certfront.pki.upload import Accepted
from certfront.reconcilers.context import Context

_KEPT_FOR: Final = timedelta(minutes=5)
_MOST: Final = 1024
_DEADLINE: Final = 30.0


class CheckedUploads:
    """The verdicts of the last minutes, by the SHA-256 of what was checked."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._held: OrderedDict[bytes, tuple[datetime, Verdict]] = OrderedDict()

    async def verdict(self, secret: Object | None, now: datetime) -> Verdict | None:
        """What the check says of the pair in a Secret; None where there is no pair."""
        given = given_by(secret)
        if given is None:
            return None
        digest = hashlib.sha256()
        for part in (given.certificate, given.private_key, given.trust_bundle or b""):
            digest.update(hashlib.sha256(part or b"").digest())
        key = digest.digest()
        held = self._held.get(key)
        if held is None or not _holds(held, now):
            found = await run_blocking(
                self._context.executor, partial(verdict_on, given, now), _DEADLINE
            )
            held = self._held[key] = (now, found)
        self._held.move_to_end(key)
        while len(self._held) > _MOST:
            self._held.popitem(last=False)
        return held[1]


def _holds(held: tuple[datetime, Verdict], now: datetime) -> bool:
    """Whether time has not changed a verdict."""
    since, verdict = held
    if not timedelta() <= now - since < _KEPT_FOR:
        return False
    return not isinstance(verdict, Accepted) or now < verdict.pair.leaf.not_valid_after_utc
