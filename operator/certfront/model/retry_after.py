"""`Retry-After` in both of its forms, as clamped seconds (RFC 9110 section 10.2.3).

Used for CAs (headers, and the text of rate-limit answers) and for the APIs of load balancers. `acme`
has a parser of its own that reads HTTP-dates as local time; it is never called.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 7 * 24 * 3600.0
"""No advice is followed for longer than a week: a huge value is a mistake of the other side."""

_LONGEST_HEADER = 64
_DATE_IN_TEXT = re.compile(
    r"retry after (\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.\d{1,9})?(?: ?(?:UTC|Z)\b)",
    re.IGNORECASE,
)


def seconds(header: str | None, *, now: datetime) -> float | None:
    """The wait in seconds that a `Retry-After` header asks for, in 0 … `LONGEST_SECONDS`.

    `now` is aware. None where the header is absent or neither a non-negative integer nor a date:
    the caller then uses its own interval. A date that has passed is 0.
    """
    if header is None:
        return None
    text = header.strip()
    if not text or len(text) > _LONGEST_HEADER:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_SECONDS)
    moment = _http_date(text)
    return None if moment is None else _until(moment, now)


def seconds_in_text(detail: str, *, now: datetime) -> float | None:
    """The wait that the text of a rate-limit problem names ("retry after 2026-01-02 03:04:05 UTC").

    Only a fallback for answers without the header: the text is for people.
    """
    found = _DATE_IN_TEXT.search(detail)
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}+00:00")
    except ValueError:
        return None
    return _until(moment, now)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # An HTTP-date is always in GMT; a parser that saw no zone returns a naive value.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _until(moment: datetime, now: datetime) -> float | None:
    try:
        wait = (moment - now).total_seconds()
    except OverflowError:
        return None
    return min(max(wait, 0.0), LONGEST_SECONDS)
