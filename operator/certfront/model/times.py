"""Times as the API spells them: RFC 3339 in UTC, whole seconds, with a Z."""

import re
from datetime import UTC, datetime

_SHAPE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_LONGEST = 64


def to_text(moment: datetime) -> str:
    """`moment` (aware) in UTC without fractions, as Kubernetes writes it."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def from_text(text: str) -> datetime:
    """The aware UTC moment that `text` spells. Raises ValueError for other shapes than RFC 3339.

    The message never repeats the text, which may come from an annotation that somebody wrote.
    """
    if len(text) > _LONGEST or not _SHAPE.fullmatch(text):
        raise ValueError("a time is written with its zone, like 2026-01-31T00:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a time needs a day and an hour that exist") from None
