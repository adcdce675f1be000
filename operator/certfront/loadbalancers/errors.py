"""What goes wrong at a provider, classed by what the caller must do.

Providers raise these from `observe` and `execute`; the reconciler turns them into conditions. A
message is for people: it names what was refused and what to do, and never repeats a body, a header
or anything that could hold a credential.
"""

from certfront.model.reasons import Reason


class ProviderError(Exception):
    """`reason` is a condition's reason; `message` is a sentence or two for people."""

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None) -> None:
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"{reason.name}: {message}")


class NotYet(ProviderError):
    """In use, immutable now, not propagated: the same operation is right and is asked again later.

    `retry_after` is a lower bound in seconds where the provider or its documentation names one.
    """


class Throttled(ProviderError):
    """Too many calls: nothing is sent with this account for `retry_after` seconds."""


class Unavailable(ProviderError):
    """No answer, or one that is none: what was sent may or may not have been done. Observe again."""


class Denied(ProviderError):
    """The credentials are refused, or may not do this: wait until they change, ask now and then."""


class Refused(ProviderError):
    """This operation is refused as it is. What it is about waits for a person; all else goes on.

    `stalled` where only the object's own spec or bytes could cure it.
    """

    def __init__(self, reason: Reason, message: str, *, stalled: bool = False) -> None:
        self.stalled = stalled
        super().__init__(reason, message)


class Gone(ProviderError):
    """The load balancer itself is not there: nothing of it can be read or changed."""
