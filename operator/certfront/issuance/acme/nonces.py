"""Anti-replay nonces of one CA (RFC 8555 section 6.5), shared by the threads of one session."""

import re
import threading
from collections import deque

from certfront.model.clock import Clock

LONGEST_AGE_SECONDS = 300.0
"""A CA forgets nonces in time of its own; old ones only earn a badNonce."""

_MOST_KEPT = 32
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,512}")


class NoncePool:
    """Nonces that answers brought along, newest first, none older than five minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._nonces: deque[tuple[str, float]] = deque(maxlen=_MOST_KEPT)

    def add(self, nonce: str | None) -> None:
        """Keep a `Replay-Nonce` value. Absent and malformed ones are passed over.

        An answer without a nonce is still an answer: discarding it would leak what it created.
        """
        if nonce is not None and _NONCE.fullmatch(nonce):
            with self._lock:
                self._nonces.append((nonce, self._clock.monotonic()))

    def take(self) -> str | None:
        """The newest nonce, at most once; None where a fresh one must be asked for."""
        oldest_good = self._clock.monotonic() - LONGEST_AGE_SECONDS
        with self._lock:
            if not self._nonces:
                return None
            nonce, added = self._nonces.pop()
            if added < oldest_good:
                self._nonces.clear()
                return None
            return nonce
