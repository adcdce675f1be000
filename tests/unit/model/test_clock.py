"""Time that is handed in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from certfront.model.clock import Clock, FrozenClock, SystemClock


def test_the_system_clock_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_a_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock(datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2026, 5, 1, 10, tzinfo=UTC)
    clock.advance(1.5)
    clock.advance(timedelta(seconds=1))
    assert clock.monotonic() == 2.5
    assert clock.now() == datetime(2026, 5, 1, 10, 0, 2, 500_000, tzinfo=UTC)


def test_a_jump_of_the_wall_clock_leaves_the_monotonic_one_alone() -> None:
    clock = FrozenClock()
    clock.jump(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2025
    assert clock.monotonic() == 0.0


def test_naive_times_and_negative_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        FrozenClock(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
    with pytest.raises(ValueError, match="aware"):
        FrozenClock().jump(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
    with pytest.raises(ValueError, match="go back"):
        FrozenClock().advance(-1)
