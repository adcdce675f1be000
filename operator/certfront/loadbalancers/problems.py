"""What stands in the way of a frontend, as the checks of this package find it.

Made by `acceptance`, `claims`, `bindings`, `materials` and `listeners`; the reconcilers turn
problems into conditions.
"""

from dataclasses import dataclass
from typing import Literal

from certfront.model.reasons import Reason

ConditionType = Literal["Accepted", "ResolvedRefs", "Programmed", "Served"]

NAMES_IN_A_MESSAGE = 5
"""A message names so many; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding: the condition that it makes False, why, and a message for people.

    `stalled` only where the frontend's own spec must be changed; whatever another
    object could cure is waited for. `withholds_all` where nothing new may be programmed.
    """

    condition: ConditionType
    reason: Reason
    message: str
    stalled: bool = False
    withholds_all: bool = False


def listed(names: tuple[str, ...]) -> str:
    """`names` for a message, cut after a few."""
    shown = ", ".join(names[:NAMES_IN_A_MESSAGE])
    more = len(names) - NAMES_IN_A_MESSAGE
    return f"{shown} and {more} more" if more > 0 else shown
