from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.issuance import schedule
from certfront.model.certificate import Renewal

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
lifetimes = st.timedeltas(timedelta(minutes=1), timedelta(days=4000))


def _renewal(lifetime: timedelta, uid: str = "u", renewal: Renewal | None = None) -> timedelta:
    """How long after its start a certificate is renewed."""
    moment = schedule.renewal_time(
        renewal or Renewal(), not_before=START, not_after=START + lifetime, uid=uid
    )
    return moment - START


@given(lifetimes, st.uuids())
def test_a_renewal_is_never_immediate_and_never_late(lifetime: timedelta, uid: object) -> None:
    after = _renewal(lifetime, str(uid))
    assert timedelta() < after + timedelta(seconds=1)
    assert lifetime * 0.05 - timedelta(seconds=1) <= after < lifetime


@given(lifetimes, st.uuids())
def test_by_default_a_third_is_left_or_half_of_a_short_one(
    lifetime: timedelta, uid: object
) -> None:
    left = lifetime - _renewal(lifetime, str(uid))
    share = 2 if lifetime < 10 * DAY else 3
    assert lifetime / share <= left <= lifetime / share * 1.1 + timedelta(seconds=1)


@given(st.uuids(), st.uuids())
def test_the_jitter_is_stable_and_differs_between_objects(one: object, other: object) -> None:
    assert _renewal(90 * DAY, str(one)) == _renewal(90 * DAY, str(one))
    if one != other:
        assert schedule.fraction(str(one)) != schedule.fraction(str(other))


@pytest.mark.parametrize(
    ("renewal", "left"),
    [
        pytest.param(Renewal(before="360h"), 15 * DAY, id="before"),
        pytest.param(Renewal(before_percent=10), 9 * DAY, id="percent"),
        pytest.param(Renewal(before="2160h"), 30 * DAY, id="the whole lifetime: the default"),
        pytest.param(Renewal(before="9999h"), 30 * DAY, id="more than that: the default"),
    ],
)
def test_what_is_asked_for_is_kept(renewal: Renewal, left: timedelta) -> None:
    found = 90 * DAY - _renewal(90 * DAY, renewal=renewal)
    assert left <= found <= left * 1.1 + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("renewal", "lifetime", "left"),
    [
        pytest.param(Renewal(), 365 * DAY, 30 * DAY, id="30 days"),
        pytest.param(Renewal(), 30 * DAY, 10 * DAY, id="a third at most"),
        pytest.param(Renewal(warn_before="48h"), 365 * DAY, 2 * DAY, id="as asked"),
        pytest.param(Renewal(warn_before="9999h"), 90 * DAY, 30 * DAY, id="a third of it"),
    ],
)
def test_the_end_is_announced_in_time(
    renewal: Renewal, lifetime: timedelta, left: timedelta
) -> None:
    moment = schedule.warning_time(renewal, not_before=START, not_after=START + lifetime)
    assert START + lifetime - moment == left


@given(st.integers(1, 50), st.text(max_size=8))
def test_a_back_off_follows_the_ladder_within_a_quarter(failures: int, uid: str) -> None:
    step = schedule.LADDER[min(failures, 4) - 1]
    delay = schedule.retry_delay(failures, uid)
    assert step * 0.75 <= delay <= step * 1.25
    assert delay == schedule.retry_delay(failures, uid)


def test_a_back_off_never_falls_and_ends_at_a_day() -> None:
    for uid in map(str, range(50)):
        delays = [schedule.retry_delay(n, uid) for n in range(1, 5)]
        assert delays == sorted(delays)
    assert schedule.LADDER[-1] == DAY


@given(st.timedeltas(timedelta(), 400 * DAY))
def test_what_the_other_side_asks_for_is_kept(at_least: timedelta) -> None:
    assert schedule.retry_delay(1, "u", at_least=at_least) >= at_least
