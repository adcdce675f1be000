"""Conditions keep their transition times; tasks fold their history."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from certfront.model.conditions import Condition, bounded, find, merged, with_page
from certfront.model.meta import plain
from certfront.model.tasks import Task, advance, begin, finish, remember

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(hours=1)


def ready(status: str, reason: str = "Issued", message: str = "") -> Condition:
    return Condition(type="Ready", status=status, reason=reason, message=message)  # type: ignore[arg-type]


def test_a_transition_time_moves_only_when_the_status_flips() -> None:
    first = merged((), [ready("False", "Pending")], generation=1, now=START)
    same = merged(first, [ready("False", "Expired", "other words")], generation=2, now=LATER)
    flipped = merged(same, [ready("True")], generation=2, now=LATER)
    assert first[0].last_transition_time == "2026-01-01T00:00:00Z"
    assert same[0].last_transition_time == "2026-01-01T00:00:00Z"
    assert same[0].observed_generation == 2
    assert flipped[0].last_transition_time == "2026-01-01T01:00:00Z"


def test_a_condition_that_is_not_wanted_any_more_is_dropped() -> None:
    first = merged((), [ready("True")], generation=1, now=START)
    assert merged(first, [], generation=1, now=LATER) == ()
    assert find(first, "Ready") == first[0]
    assert find(first, "Stalled") is None


@given(st.text(max_size=3000))
def test_the_page_that_says_more_is_never_cut_off(message: str) -> None:
    told = with_page(message, "https://docs.example/Reason")
    assert told.endswith(" See https://docs.example/Reason")
    assert len(told) <= 1024
    assert merged((), [ready("False", message=told)], generation=1, now=START)[0].message == (
        told.strip()
    )


def test_merging_again_changes_nothing() -> None:
    first = merged((), [ready("True", message="a\n b")], generation=1, now=START)
    assert merged(first, first, generation=1, now=LATER) == first


@given(st.text(), st.integers(1, 50))
def test_a_bounded_message_is_one_line_of_at_most_the_limit(text: str, limit: int) -> None:
    line = bounded(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert bounded(line, limit) == line.strip()


def test_a_task_that_does_not_move_keeps_its_times() -> None:
    task = begin("1", "orderCertificate", START)
    moved = advance(task, step="Validating", progress=50, message="1 of 2", now=LATER)
    assert moved.last_update_time == "2026-01-01T01:00:00Z"
    again = advance(
        moved, step="Validating", progress=50, message="1 of 2", now=LATER + timedelta(hours=1)
    )
    assert again == moved


def test_a_task_that_is_done_is_at_one_hundred_percent() -> None:
    task = advance(
        begin("1", "orderCertificate", START), step="Finalizing", progress=80, message="", now=LATER
    )
    done = finish(task, "done", message="issued", now=LATER)
    assert (done.progress, done.step, done.done_time) == (100, "", "2026-01-01T01:00:00Z")
    failed = finish(task, "error", message="refused", now=LATER)
    assert failed.progress == 80


def test_equal_failures_are_folded_and_five_tasks_are_remembered() -> None:
    history: tuple[Task, ...] = ()
    for number in range(24):
        failed = finish(
            begin(str(number), "renewCertificate", START), "error", message="no", now=LATER
        )
        history = remember(history, failed)
    assert len(history) == 1
    assert (history[0].count, history[0].id) == (24, "23")
    for number in range(7):
        done = finish(begin(str(number), "renewCertificate", START), "done", message="", now=LATER)
        history = remember(history, done)
    assert [task.id for task in history] == ["6", "5", "4", "3", "2"]


def test_empty_fields_of_a_task_are_not_written() -> None:
    assert plain(begin("1", "refresh", START)) == {
        "id": "1",
        "action": "refresh",
        "status": "doing",
        "startTime": "2026-01-01T00:00:00Z",
        "lastUpdateTime": "2026-01-01T00:00:00Z",
        "attempt": 1,
    }
