"""JSON merge patches (RFC 7386), as a server applies them."""

from collections.abc import Mapping
from typing import Any


def merged(before: Any, change: Any) -> Any:
    """`before` with the patch `change` applied; neither is changed."""
    if not isinstance(change, Mapping):
        return change
    result = dict(before) if isinstance(before, Mapping) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
