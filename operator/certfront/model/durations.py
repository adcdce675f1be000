"""Durations as the API spells them: `2160h`, `1h30m`, `90s`."""

import re
from datetime import timedelta
from functools import lru_cache

_SHAPE = re.compile(r"([0-9]{1,5}(h|m|s)){1,3}")
_PART = re.compile(r"([0-9]{1,5})(h|m|s)")
_UNIT = {"h": "hours", "m": "minutes", "s": "seconds"}


@lru_cache(maxsize=256)
def parse_duration(text: str) -> timedelta:
    """The duration that `text` spells. Raises ValueError for other shapes."""
    if not _SHAPE.fullmatch(text):
        raise ValueError("a duration is written like 2160h, 90m or 1h30m")
    return sum(
        (timedelta(**{_UNIT[unit]: int(count)}) for count, unit in _PART.findall(text)), timedelta()
    )
