"""Values for the columns of `kubectl get`, which have room for one name. Used for statuses."""

from collections.abc import Sequence


def column(names: Sequence[str]) -> str:
    """The first name, and how many more there are; empty for none."""
    return "" if not names else names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "")
