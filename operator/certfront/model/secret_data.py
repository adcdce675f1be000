"""Values out of a Secret's `data`, bounded before they are decoded.

Used by the operator for Secrets of users and by the agent for those that were handed over.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

LARGEST_VALUE: Final = 384 * 1024
"""Bytes of one decoded value, where the caller has no bound of its own."""


class UnusableValue(Exception):
    """A value that is absent, too large or torn. `reason` is CamelCase; no value is repeated."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


def read(data: Mapping[str, Any], key: str, *, largest: int = LARGEST_VALUE) -> bytes:
    """The value of `key`, decoded. Raises UnusableValue if absent, over `largest` bytes or torn."""
    encoded = data.get(key)
    if not isinstance(encoded, str) or not encoded:
        raise UnusableValue("KeyMissing", f"the Secret has no {key}")
    if len(encoded) > largest * 4 // 3 + 4:
        raise UnusableValue("TooLarge", f"{key} is larger than {largest} bytes")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise UnusableValue("InvalidData", f"{key} is not base64") from None


def value_of(
    secret: Mapping[str, Any] | None, key: str, *, largest: int = LARGEST_VALUE
) -> bytes | None:
    """The value of `key` of a Secret as the API gives it; None if there is none that can be used."""
    try:
        return read((secret or {}).get("data") or {}, key, largest=largest)
    except UnusableValue:
        return None
