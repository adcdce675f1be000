"""Which changes of Ready are news, for the kinds whose reconcilers share one rule."""

import pytest

from certfront.model.conditions import Condition
from certfront.reconcilers.transitions import Announcement, change_of_ready

EXPECTED, TROUBLING = ("WaitingForNodes",), ("NodeFailed",)


def ready(status: str, reason: str) -> tuple[Condition, ...]:
    return (Condition(type="Ready", status=status, reason=reason, message="why"),)  # type: ignore[arg-type]


def news(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> tuple[str, str] | None:
    found = change_of_ready(before, after, expected=EXPECTED, troubling=TROUBLING)
    return None if found is None else ("Warning" if found.warning else "Normal", found.reason)


OK, BAD, WORSE = ready("True", "Served"), ready("False", "NoRoute"), ready("False", "Refused")
WAITS, MEANT = ready("False", "WaitingForNodes"), ready("True", "NodeFailed")

CHANGES = {
    "a first success": ((), OK, None),
    "a first failure": ((), BAD, ("Warning", "NoRoute")),
    "waiting at first": ((), WAITS, None),
    "success after waiting": (WAITS, OK, None),
    "failure of what was served": (OK, BAD, ("Warning", "NoRoute")),
    "waiting after success": (OK, WAITS, ("Warning", "WaitingForNodes")),
    "waiting after failure": (BAD, WAITS, None),
    "another failure": (BAD, WORSE, ("Warning", "Refused")),
    "the same failure": (BAD, BAD, None),
    "recovery": (BAD, OK, ("Normal", "Served")),
    "trouble that is served": (OK, MEANT, ("Warning", "NodeFailed")),
    "the end of such trouble": (MEANT, OK, ("Normal", "Served")),
    "another success": (OK, ready("True", "Disabled"), None),
    "nothing said": (OK, (), None),
}


@pytest.mark.parametrize(("before", "after", "told"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told(
    before: tuple[Condition, ...], after: tuple[Condition, ...], told: tuple[str, str] | None
) -> None:
    assert news(before, after) == told


def test_the_message_of_the_condition_is_the_event_s() -> None:
    assert change_of_ready(OK, BAD) == Announcement(True, "NoRoute", "why")
