"""The arithmetic of the benchmarks."""

from collections import Counter

import pytest

from benchmarks import measures
from benchmarks.measures import Series, Writes

EXPOSITION = """\
# HELP apiserver_request_total [STABLE] Counter of apiserver requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="secrets",\
scope="resource",subresource="",verb="APPLY",version="v1"} 3
apiserver_request_total{code="409",component="apiserver",dry_run="",group="",resource="secrets",\
scope="resource",subresource="",verb="APPLY",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="certfront.io",\
resource="certificates",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 1.2e+03
apiserver_request_terminations_total{code="504",verb="GET"} 7
apiserver_requested_deprecated_apis{group="x"} 1
"""

SECRET = Series("APPLY", "", "secrets", "")
STATUS = Series("PATCH", "certfront.io", "certificates", "status")


def test_requests_are_summed_over_the_labels_that_do_not_matter() -> None:
    """A refused write is a request, too."""
    assert measures.requests(EXPOSITION) == {SECRET: 4, STATUS: 1200}


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (SECRET, Writes(objects=2)),
        (STATUS, Writes(objects=2)),
        (Series("POST", "events.k8s.io", "events", ""), Writes(events=2)),
        (Series("PUT", "coordination.k8s.io", "leases", ""), Writes(leases=2)),
        (Series("DELETE", "", "secrets", ""), Writes(objects=2)),
        (Series("GET", "", "secrets", ""), Writes()),
        (Series("WATCH", "", "secrets", ""), Writes()),
        (Series("POST", "authorization.k8s.io", "subjectaccessreviews", ""), Writes()),
        (Series("POST", "", "serviceaccounts", "token"), Writes()),
    ],
    ids=lambda value: "-".join(filter(None, value)) if isinstance(value, Series) else "",
)
def test_only_what_reaches_etcd_is_a_write(series: Series, expected: Writes) -> None:
    assert measures.writes(Counter({series: 5}), Counter({series: 7})) == expected


def test_a_series_that_is_new_counts_in_full() -> None:
    assert measures.writes(Counter(), Counter({SECRET: 3})) == Writes(objects=3)


def test_gets_are_counted_for_one_resource() -> None:
    before = Counter({Series("GET", "", "secrets", ""): 1})
    after = Counter(
        {
            Series("GET", "", "secrets", ""): 5,
            Series("LIST", "", "secrets", ""): 9,
            Series("GET", "", "services", ""): 9,
        }
    )
    assert measures.gets(before, after, "secrets") == 4


def test_samples_are_found_by_name_and_labels() -> None:
    text = (
        "# TYPE certfront_queue_depth gauge\n"
        "certfront_queue_depth 3.0\n"
        'certfront_reconciles_total{kind="Certificate",outcome="done"} 5.0\n'
        'certfront_reconciles_total{kind="Certificate",outcome="conflict"} 2.0\n'
        'certfront_reconciles_total{kind="Issuer",outcome="done"} 1.0\n'
    )
    assert measures.sample(text, "certfront_queue_depth") == 3
    assert measures.sample(text, "certfront_reconciles_total", kind="Certificate") == 7
    assert measures.sample(text, "certfront_reconciles_total") == 8
    assert measures.sample(text, "certfront_reconciles") == 0


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_rate_over_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        measures.per_second(1, seconds)


def test_rates_and_shares_of_time() -> None:
    assert measures.per_second(100, 4.0) == 25.0
    assert measures.per_minute(3, 90.0) == 2.0
    assert measures.milliseconds_each(3.0, 2000) == 1.5
    assert measures.milliseconds_each(-0.01, 10) == 0.0, "an idle start may have cost more"
    assert measures.mib(3 * 2**20) == 3.0


def test_a_span_reaches_from_the_first_start_to_the_last_end() -> None:
    assert measures.span([(10.0, 12.0), (9.5, 11.0)]) == 2.5


@pytest.mark.parametrize(("items", "parts"), [(0, 2), (1, 2), (7, 2), (2000, 10), (13, 10)])
def test_shares_cover_everything_once_and_evenly(items: int, parts: int) -> None:
    found = measures.shares(items, parts)
    assert [index for part in found for index in part] == list(range(items))
    assert len(found) == parts
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_values_keep_four_digits() -> None:
    assert measures.rounded({"a": 1234.56, "b": 0.123456}) == {"a": 1235.0, "b": 0.1235}


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(5, 0), (5, 0)], 0.0),
        ([(5, 0)], None),
        ([(2, 3), (5, 0), (5, 0)], 1.0),
        ([(4, 0), (5, 0), (5, 0)], 1.0),
        ([(5, 0), (6, 0), (6, 0)], 1.0),
        ([(5, 0), (5, 1), (5, 0)], None),
        ([(3, 0), (3, 0)], None),
    ],
    ids=["twice", "once", "emptied", "too-few-then", "pass-between", "filled-between", "too-few"],
)
def test_quiet_is_an_empty_queue_seen_twice_without_a_pass_in_between(
    looks: list[tuple[int, int]], expected: float | None
) -> None:
    quiet = measures.Quiet(at_least=5)
    told = [
        quiet.look(float(at), passes=passes, depth=depth)
        for at, (passes, depth) in enumerate(looks)
    ]
    assert told[-1] == expected
    assert not any(told[:-1])
