"""The tasks of a service: numbered upwards, moved by the clock, gone a while after they ended."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, cast

from sandbox.emulators.ovh.shapes import TASK_ACTIONS, TASK_STATUSES

Status = Literal["todo", "doing", "done", "error", "cancelled", "blocked"]
ENDED: tuple[Status, ...] = ("done", "error", "cancelled")

_PARIS = timezone(timedelta(hours=1))


def date_text(moment: datetime | None) -> str | None:
    """A date as the API writes it: whole seconds and an offset that is not zero."""
    return None if moment is None else moment.astimezone(_PARIS).isoformat(timespec="seconds")


@dataclass(slots=True, kw_only=True)
class Task:
    """One operation of the provider."""

    id: int
    action: str
    zones: tuple[str, ...]
    created: datetime
    todo_seconds: float
    doing_seconds: float
    ready: Callable[[], bool] = lambda: True
    """Whether it can end well; while not, it stays in `doing` until it gives up."""
    gives_up_seconds: float | None = None
    finish: Callable[[datetime], None] = lambda _at: None
    """What happens when it is done."""
    ending: Status = "done"
    status: Status = "todo"
    progress: int = 0
    ended: datetime | None = None
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.created + timedelta(seconds=self.todo_seconds)

    @property
    def open(self) -> bool:
        """Whether it has not ended; a blocked one waits for the provider's people."""
        return self.status not in ENDED

    def advance(self, now: datetime) -> None:
        """Move on to `now`."""
        if not self.open or self.status == "blocked" or now < self.began:
            return
        self.status = "doing"
        elapsed = (now - self.began).total_seconds()
        due = self.began + timedelta(seconds=self.doing_seconds)
        if now < due:
            self.progress = min(99, int(100 * elapsed / self.doing_seconds))
            return
        self.progress = 99
        if self.ending == "blocked":
            self.status = "blocked"
        elif self.ending != "done":
            self.end(self.ending, due)
        elif self.ready():
            self.end("done", due if self.gives_up_seconds is None else now)
        elif self.gives_up_seconds is not None and elapsed >= self.gives_up_seconds:
            self.end("error", now)

    def end(self, status: Status, at: datetime) -> None:
        """End it."""
        self.status = status
        self.ended = at
        if status == "done":
            self.progress = 100
            self.finish(at)

    def put_in(self, status: Status, now: datetime) -> None:
        """Bring an open one into a status from outside; `doing` begins it anew."""
        if not self.open:
            raise ValueError("the task has ended")
        if status in ENDED:
            self.end(status, now)
            return
        if status == "todo":
            raise ValueError("a task does not go back to todo")
        self.status = status
        self.began = now
        self.ending = "done"

    def render(self) -> dict[str, Any]:
        """The API's object."""
        return {
            "id": self.id,
            "action": self.action,
            "status": self.status,
            "progress": self.progress,
            "creationDate": date_text(self.created),
            "doneDate": date_text(self.ended) if self.status == "done" else None,
            "zones": list(self.zones),
        }


class Tasks:
    """The tasks of one service."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._last = source.randrange(1_000_000, 2_000_000)
        self._tasks: dict[int, Task] = {}
        self._endings: list[tuple[str, Status]] = []

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._tasks.values()))

    def get(self, number: int) -> Task | None:
        """The task of this id, if it is still there."""
        return self._tasks.get(number)

    def next_id(self) -> int:
        """An id above all before it."""
        self._last += self._random.randrange(1, 40)
        return self._last

    def add(self, task: Task) -> Task:
        """Take a new task in; an ending that was planned for its action becomes its own."""
        for planned in self._endings:
            if planned[0] == task.action:
                self._endings.remove(planned)
                task.ending = planned[1]
                break
        self._tasks[task.id] = task
        return task

    def plan(self, action: str, ending: Status, times: int) -> None:
        """Let the next tasks of `action` end so."""
        self._endings += [(action, ending)] * times

    def settle(self, now: datetime, kept_seconds: float) -> None:
        """Bring all to `now` and forget what ended long ago."""
        for task in self:
            task.advance(now)
            if task.ended is not None and now - task.ended > timedelta(seconds=kept_seconds):
                del self._tasks[task.id]

    def list(self, filters: Mapping[str, Any]) -> list[int]:
        """The ids that pass the filters of `GET /task`, ascending."""
        return [task.id for task in self if _passes(task, filters)]


def status_of(value: object) -> Status:
    """A status that steering may name; raises ValueError."""
    if value not in TASK_STATUSES:
        raise ValueError(f"a status is one of {', '.join(TASK_STATUSES)}")
    return cast("Status", value)


def action_of(value: object) -> str:
    """An action that steering may name; raises ValueError."""
    if value not in TASK_ACTIONS:
        raise ValueError("no such action")
    return str(value)


def _passes(task: Task, filters: Mapping[str, Any]) -> bool:
    done = task.ended if task.status == "done" else None
    return (
        filters.get("action", task.action) == task.action
        and filters.get("status", task.status) == task.status
        and _within(task.created, filters, "creationDate")
        and _within(done, filters, "doneDate")
    )


def _within(moment: datetime | None, filters: Mapping[str, Any], name: str) -> bool:
    after, before = filters.get(f"{name}.from"), filters.get(f"{name}.to")
    if moment is None:
        return after is None and before is None
    moment = moment.replace(microsecond=0)  # as the client sees it
    return (after is None or moment >= after) and (before is None or moment <= before)
