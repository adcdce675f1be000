"""W1: both forms of Retry-After, in any timezone of the process, clamped."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.model.retry_after import LONGEST_SECONDS, seconds, seconds_in_text

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def timezone(request: pytest.FixtureRequest) -> Iterator[str]:
    """Puts the process into this timezone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("60", 60.0, id="an integer"),
        pytest.param(" 60 ", 60.0, id="an integer with white space"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("Tue, 24 Nov 2026 12:01:00 GMT", 60.0, id="an HTTP-date"),
        pytest.param("Tuesday, 24-Nov-26 12:01:00 GMT", 60.0, id="an RFC 850 date"),
        pytest.param("Tue Nov 24 12:01:00 2026", 60.0, id="an asctime date"),
        pytest.param("Tue, 24 Nov 2026 07:01:00 -0500", 60.0, id="a date with an offset"),
        pytest.param("Tue, 24 Nov 2026 11:00:00 GMT", 0.0, id="a date that has passed"),
        pytest.param("Tue, 24 Nov 2099 12:00:00 GMT", LONGEST_SECONDS, id="a date far away"),
        pytest.param("9" * 40, LONGEST_SECONDS, id="a huge integer"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="a fraction"),
        pytest.param("soon", None, id="garbage"),
        pytest.param("", None, id="empty"),
        pytest.param("٣", None, id="digits that are not ASCII"),
        pytest.param("9" * 400, None, id="too long to be meant"),
        pytest.param("Tue, 99 Nov 2026 12:01:00 GMT", None, id="a date that is none"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_w1_retry_after_in_any_timezone(
    timezone: str, header: str | None, expected: float | None
) -> None:
    assert expected == seconds(header, now=NOW)


def test_w3_the_date_in_a_rate_limit_text_is_understood() -> None:
    text = "too many certificates, retry after 2026-11-24 13:00:00 UTC: see https://example.com"
    assert seconds_in_text(text, now=NOW) == 3600.0
    assert seconds_in_text("retry after 2026-99-24 13:00:00 UTC", now=NOW) is None
    assert seconds_in_text("too many", now=NOW) is None


@given(st.text(max_size=80))
def test_w1_any_header_gives_nothing_or_a_wait_in_bounds(header: str) -> None:
    wait = seconds(header, now=NOW)
    assert wait is None or 0 <= wait <= LONGEST_SECONDS
