"""Status conditions as in the Kubernetes API conventions, and the rule for their transition times."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from certfront.model.meta import Value
from certfront.model.times import to_text

ConditionStatus = Literal["True", "False", "Unknown"]
MESSAGE_LIMIT = 1024


class Condition(Value, frozen=True, kw_only=True):
    """One entry of `status.conditions`. `last_transition_time` moves only when `status` flips."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""
    observed_generation: int = -1
    last_transition_time: str = ""


def bounded(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """`message` on one line and at most `limit` characters long."""
    line = " ".join(message.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def with_page(message: str, page: str) -> str:
    """`message` and the address of the `page` that says more: only the message is ever cut."""
    told = f" See {page}"
    return bounded(message, max(MESSAGE_LIMIT - len(told), 1)) + told


def merged(
    previous: Sequence[Condition], wanted: Iterable[Condition], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """`wanted` with transition times kept where the status did not flip; others are dropped."""
    before = {condition.type: condition for condition in previous}
    return tuple(
        _stamped(condition, before.get(condition.type), generation, now) for condition in wanted
    )


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of type `kind`, if it is there."""
    return next((condition for condition in conditions if condition.type == kind), None)


def _stamped(
    wanted: Condition, previous: Condition | None, generation: int, now: datetime
) -> Condition:
    flipped = previous is None or previous.status != wanted.status
    since = to_text(now) if flipped or previous is None else previous.last_transition_time
    return Condition(
        type=wanted.type,
        status=wanted.status,
        reason=wanted.reason,
        message=bounded(wanted.message),
        observed_generation=generation,
        last_transition_time=since,
    )
