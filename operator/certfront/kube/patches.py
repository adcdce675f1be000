"""Merge patches (RFC 7386) as differences, so that a status can be given whole."""

from __future__ import annotations

from typing import Any


def merge_difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that turns `old` into `new`; empty if they are equal.

    Keys that `new` no longer has, or has as None, become nulls; lists are replaced whole.
    """
    patch: dict[str, Any] = {
        key: None for key in old if new.get(key) is None and old[key] is not None
    }
    for key, value in new.items():
        if value is None:
            continue
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = merge_difference(before, value)
            if inner:
                patch[key] = inner
        elif isinstance(value, dict):
            # There is nothing to merge into, so nulls inside have nothing to remove.
            patch[key] = _without_nulls(value)
        elif value != before or type(value) is not type(before):
            patch[key] = value
    return patch


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nulls(inner) if isinstance(inner, dict) else inner
        for key, inner in value.items()
        if inner is not None
    }
