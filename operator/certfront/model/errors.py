"""Failures classed by what the caller must do, each with the condition reason that shows it.

CertfrontError
├── Waiting    another object, a CA or a provider may cure it: asked again, never Stalled
└── Refused    only a person can cure it: Stalled, until the spec or the supplied bytes change
"""

from certfront.model.conditions import bounded


class CertfrontError(Exception):
    """A failure with a condition reason and a message for people. Never carries input bytes."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = bounded(message)
        super().__init__(f"{reason}: {self.message}")


class Waiting(CertfrontError):
    """Something else must happen first; `after_seconds` is when to look again (None: on a change)."""

    def __init__(self, reason: str, message: str, *, after_seconds: float | None = None) -> None:
        super().__init__(reason, message)
        self.after_seconds = after_seconds


class Refused(CertfrontError):
    """The object's own spec or supplied bytes make it impossible; a person must act."""
