"""A task: one run of work on an object, in the vocabulary of the OVH API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from certfront.model.meta import Value
from certfront.model.times import to_text

Action = Literal[
    "orderCertificate",
    "renewCertificate",
    "importCertificate",
    "orderFreeCertificate",
    "installCertificate",
    "removeCertificate",
    "refresh",
]
TaskStatus = Literal["todo", "doing", "done", "error", "cancelled", "blocked"]
HISTORY_LIMIT = 5


class Task(Value, frozen=True, kw_only=True):
    """The work that runs or ran last. `count` folds equal failures in the history."""

    id: str
    action: Action
    status: TaskStatus
    progress: int = 0
    step: str = ""
    start_time: str = ""
    last_update_time: str = ""
    done_time: str = ""
    message: str = ""
    attempt: int = 0
    provider_id: str = msgspec.field(name="providerID", default="")
    count: int = 0


def begin(task_id: str, action: Action, now: datetime, *, attempt: int = 1) -> Task:
    """A task that starts now."""
    moment = to_text(now)
    return Task(
        id=task_id,
        action=action,
        status="doing",
        start_time=moment,
        last_update_time=moment,
        attempt=attempt,
    )


def advance(task: Task, *, step: str, progress: int, message: str, now: datetime) -> Task:
    """The same task, further on; unchanged (times included) when nothing but time has moved."""
    moved = msgspec.structs.replace(
        task, status="doing", step=step, progress=progress, message=message, done_time=""
    )
    return moved if moved == task else msgspec.structs.replace(moved, last_update_time=to_text(now))


def finish(task: Task, status: TaskStatus, *, message: str, now: datetime) -> Task:
    """The same task, ended with `status`."""
    moment = to_text(now)
    return msgspec.structs.replace(
        task,
        status=status,
        step="",
        progress=100 if status == "done" else task.progress,
        message=message,
        last_update_time=moment,
        done_time=moment,
    )


def remember(history: Sequence[Task], ended: Task) -> tuple[Task, ...]:
    """`history` (newest first, five at most) with `ended` in front; equal failures are folded."""
    if history and _alike(history[0], ended):
        folded = msgspec.structs.replace(ended, count=max(history[0].count, 1) + 1)
        return (folded, *history[1:])[:HISTORY_LIMIT]
    return (ended, *history)[:HISTORY_LIMIT]


def _alike(earlier: Task, later: Task) -> bool:
    return (
        earlier.status == later.status == "error"
        and earlier.action == later.action
        and earlier.message == later.message
    )
