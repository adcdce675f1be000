"""How a call to the API server can fail, classed by what the caller must do.

Raised by `client`. No class carries anything that was sent: the texts of 400 and 422 answers,
which quote the input, are replaced by the names of the fields at fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_LONGEST_MESSAGE: Final = 400
_MOST_CAUSES: Final = 8
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\xa1-\u2027\u2030-\ud7ff]+")
# PEM as text and as base64 ("-----BEGIN"): no answer with either is repeated.
_KEY_LIKE: Final = re.compile(r"-----|PRIVATE KEY|LS0tLS1CRUdJTi")


class Cause(NamedTuple):
    """One entry of a Status's `details.causes`: the reason and the field, never the message."""

    reason: str
    field: str


class ApiError(Exception):
    """The API server refused or did not answer: try again later, with back-off.

    `status` is the HTTP status (0 without an answer), `reason` the CamelCase reason of the answer,
    `message` one bounded line, `retry_after` seconds if the server asked for a pause.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        causes: tuple[Cause, ...] = (),
    ) -> None:
        self.status = status
        self.reason = bounded(reason, 64)
        self.message = bounded(message, _LONGEST_MESSAGE)
        self.retry_after = retry_after
        self.causes = causes
        super().__init__(f"{self.reason or status}: {self.message}")


class Unreachable(ApiError):
    """No definite answer (network, time-out, 5xx): a write may have happened; read before repeating."""


class Silent(Unreachable):
    """A watch said nothing for longer than between two bookmarks, or what nobody can read: list again."""


class TooManyRequests(ApiError):
    """The server sheds load and the client's own retries are used up: wait `retry_after`."""


class Unauthorized(ApiError):
    """The credentials are not accepted, also after they were read again."""


class Forbidden(ApiError):
    """RBAC, admission or a terminating namespace: a person must act, or the object goes away."""


class NotFound(ApiError):
    """The object (or its namespace or kind) does not exist."""


class Conflict(ApiError):
    """The decision was made on an older state, or another field manager owns a field: decide again."""


class AlreadyExists(Conflict):
    """A create found an object of that name: read it and decide again."""


class Gone(ApiError):
    """The revision to watch or to continue from is too old: list again."""


class Invalid(ApiError):
    """The server's schema refuses the object (400, 422): the same request will never succeed."""


_BY_REASON: Final[Mapping[str, type[ApiError]]] = {
    "AlreadyExists": AlreadyExists,
    "Expired": Gone,
    "Gone": Gone,
}
_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    415: Invalid,
    422: Invalid,
    429: TooManyRequests,
}


def error_from_status(
    status: int, body: Mapping[str, Any] | None, *, retry_after: float | None = None
) -> ApiError:
    """The error for an HTTP status and the `Status` object that came with it, if any did."""
    answer = body if body is not None and body.get("kind") == "Status" else {}
    reason = _text(answer.get("reason"))
    details = answer.get("details")
    causes = _causes(details if isinstance(details, Mapping) else {})
    cls = _BY_REASON.get(reason) or _BY_STATUS.get(status)
    if cls is None:
        cls = Unreachable if status >= 500 else ApiError
    if cls is Invalid:
        # The server's own text quotes the value that it refuses.
        message = _fields_at_fault(causes) or "the API server refuses the object"
    else:
        message = _text(answer.get("message")) or f"HTTP status {status}"
    return cls(status, reason, message, retry_after=retry_after, causes=causes)


def bounded(text: str, longest: int) -> str:
    """One printable line of at most so many characters, without anything like a key."""
    if _KEY_LIKE.search(text):
        return "(withheld: the text contains something like PEM)"
    line = _UNPRINTABLE.sub(" ", text[: 4 * longest]).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _causes(details: Mapping[str, Any]) -> tuple[Cause, ...]:
    causes = details.get("causes")
    if not isinstance(causes, list):
        return ()
    return tuple(
        Cause(bounded(_text(c.get("reason")), 64), bounded(_text(c.get("field")), 200))
        for c in causes[:_MOST_CAUSES]
        if isinstance(c, Mapping)
    )


def _fields_at_fault(causes: tuple[Cause, ...]) -> str:
    return ", ".join(f"{c.field} ({c.reason})" if c.reason else c.field for c in causes if c.field)
