"""Spelling of durations and times."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.model.durations import parse_duration
from certfront.model.times import from_text, to_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2160h", timedelta(days=90)),
        ("60s", timedelta(minutes=1)),
        ("1h30m10s", timedelta(hours=1, minutes=30, seconds=10)),
        ("30m1h", timedelta(hours=1, minutes=30)),
        ("99999h", timedelta(hours=99999)),
    ],
)
def test_a_duration_is_hours_minutes_and_seconds(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "1",
        "1d",
        "1M",
        "P90D",
        "-1h",
        "1h30",
        "1.5h",
        "1h ",
        " 1h",
        "1h\n",
        "٣h",
        "100000h",
    ],
)
def test_another_shape_of_duration_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="a duration is written like") as caught:
        parse_duration(text)
    assert str(caught.value) == "a duration is written like 2160h, 90m or 1h30m"


@given(st.integers(0, 99999), st.integers(0, 99999), st.integers(0, 99999))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == expected


@given(st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31)))  # noqa: DTZ001
def test_a_time_survives_being_written(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC, microsecond=0)
    assert from_text(to_text(aware)) == aware


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T01:00:00+01:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31t00:00:00z", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T00:00:00.250000Z", datetime(2026, 1, 31, microsecond=250000, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_every_shape_of_rfc_3339(text: str, expected: datetime) -> None:
    moment = from_text(text)
    assert moment == expected
    assert moment.tzinfo == UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T00:00:00",
        "2026-01-31 00:00:00Z",
        "20260131T000000Z",
        "2026-W05-6T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-31T25:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "2026-01-31T00:00:00Z\n",
        "PRIVATE KEY",
    ],
)
def test_another_shape_of_time_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="a time") as caught:
        from_text(text)
    assert str(caught.value) in (
        "a time is written with its zone, like 2026-01-31T00:00:00Z",
        "a time needs a day and an hour that exist",
    )
