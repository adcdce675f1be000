from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.issuance import report
from certfront.issuance.outcomes import Blocked, Done, Failed, Impossible, Outcome, Waiting, Working
from certfront.issuance.record import ABSENT, RENEW
from certfront.issuance.report import Findings, Installation
from certfront.issuance.triggers import Trigger
from certfront.model.certificate import Certificate, CertificateStatus, LastFailure
from certfront.model.conditions import Condition, find
from certfront.model.times import from_text, to_text
from tests.unit.issuance.samples import DOCS, NOW, certificate, findings

DAY = timedelta(days=1)
MISSING = Trigger(reason="SecretMissing", message="")
DUE = Trigger(reason="RenewalDue", message="")
WORKING = Working(step="OrderCreated", message="m", progress=15, order={"id": "x"}, after=DAY)
FAILED = Failed(reason="ChallengeFailed", message="a.example failed.", identifier="a.example")
BLOCKED = Blocked(reason="IssuerNotFound", message="There is none.")
IMPOSSIBLE = Impossible(reason="KeyMismatch", message="It does not fit.")
OUTCOMES: tuple[Outcome, ...] = (
    Done(issued=True),
    Done(),
    WORKING,
    FAILED,
    Waiting(until=NOW + DAY),
    BLOCKED,
    IMPOSSIBLE,
)
UPLOADED: dict[str, Any] = {"type": "Uploaded", "uploaded": {"secretRef": {"name": "given"}}}


def _owner(*, uploaded: bool, suspend: bool) -> Certificate:
    spec: dict[str, Any] = {"renewal": {"suspend": suspend}}
    return certificate(**spec, **(UPLOADED if uploaded else {}))


def _fresh(outcome: Outcome, **changes: Any) -> Findings:
    """Nothing has been issued yet."""
    return findings(outcome, held=ABSENT, trigger=MISSING, renewal_time=None, **changes)


def _conditions(found: Findings) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in report.conditions(found)}


FRESH: dict[str, tuple[Outcome, dict[str, tuple[str, str]]]] = {
    "working": (
        WORKING,
        {
            "Ready": ("False", "OrderCreated"),
            "Progressing": ("True", "OrderCreated"),
            "Reconciling": ("True", "OrderCreated"),
        },
    ),
    "failed": (
        FAILED,
        {
            "Ready": ("False", "ChallengeFailed"),
            "Progressing": ("True", "Retrying"),
            "Reconciling": ("True", "ChallengeFailed"),
        },
    ),
    "blocked": (
        BLOCKED,
        {
            "Ready": ("False", "IssuerNotFound"),
            "Progressing": ("True", "IssuerNotFound"),
            "Reconciling": ("True", "IssuerNotFound"),
        },
    ),
    "impossible": (
        IMPOSSIBLE,
        {"Ready": ("False", "KeyMismatch"), "Stalled": ("True", "KeyMismatch")},
    ),
}


@pytest.mark.parametrize(("outcome", "expected"), FRESH.values(), ids=FRESH.keys())
def test_what_is_said_before_the_first_certificate(
    outcome: Outcome, expected: dict[str, tuple[str, str]]
) -> None:
    assert _conditions(_fresh(outcome)) == expected


IN_FORCE: dict[str, tuple[Findings, dict[str, tuple[str, str]]]] = {
    "issued": (findings(Done(issued=True)), {"Ready": ("True", "Issued")}),
    "unchanged": (findings(Done()), {"Ready": ("True", "Issued")}),
    "renewing": (
        findings(WORKING, trigger=DUE),
        {"Ready": ("True", "Renewing"), "Progressing": ("True", "OrderCreated")},
    ),
    "renewal failed": (
        findings(FAILED, trigger=DUE),
        {"Ready": ("True", "RenewalFailing"), "Progressing": ("True", "Retrying")},
    ),
    "renewal blocked": (
        findings(BLOCKED, trigger=DUE),
        {"Ready": ("True", "RenewalFailing"), "Progressing": ("True", "IssuerNotFound")},
    ),
    "issuer gone, nothing due": (findings(BLOCKED), {"Ready": ("True", "Issued")}),
    "uploaded, a bad source": (
        findings(IMPOSSIBLE, certificate(**UPLOADED)),
        {"Ready": ("True", "RenewalFailing")},
    ),
    "uploaded, the source gone": (
        findings(BLOCKED, certificate(**UPLOADED)),
        {"Ready": ("True", "Issued"), "Progressing": ("True", "IssuerNotFound")},
    ),
    "uploaded, ends soon": (
        findings(Done(), certificate(**UPLOADED), warning_time=NOW),
        {"Ready": ("True", "ExpiringSoon")},
    ),
    "suspended": (
        findings(Done(), certificate(renewal={"suspend": True}), renewal_time=None),
        {"Ready": ("True", "Suspended")},
    ),
    "expired": (
        findings(FAILED, trigger=DUE, now=NOW + 91 * DAY),
        {
            "Ready": ("False", "Expired"),
            "Progressing": ("True", "Retrying"),
            "Reconciling": ("True", "Expired"),
        },
    ),
    "uploaded, expired": (
        findings(Done(), certificate(**UPLOADED), now=NOW + 91 * DAY),
        {"Ready": ("False", "Expired"), "Stalled": ("True", "Expired")},
    ),
    "of another spec": (
        findings(WORKING, trigger=DUE, matches_spec=False),
        {
            "Ready": ("False", "OrderCreated"),
            "Progressing": ("True", "OrderCreated"),
            "Reconciling": ("True", "OrderCreated"),
        },
    ),
}


@pytest.mark.parametrize(("found", "expected"), IN_FORCE.values(), ids=IN_FORCE.keys())
def test_what_is_said_of_a_certificate_in_force(
    found: Findings, expected: dict[str, tuple[str, str]]
) -> None:
    assert _conditions(found) == expected


outcomes = st.sampled_from(OUTCOMES)
any_findings = st.builds(
    lambda outcome, fresh, trigger, matches, uploaded, days, suspend: replace(
        (_fresh if fresh else findings)(
            outcome,
            owner=_owner(uploaded=uploaded, suspend=suspend),
        ),
        trigger=trigger,
        matches_spec=matches and not fresh,
        now=NOW + days * DAY,
    ),
    outcomes,
    st.booleans(),
    st.sampled_from((None, MISSING, DUE)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 100),
    st.booleans(),
)


@given(any_findings)
def test_kstatus_can_always_read_the_truth(found: Findings) -> None:
    conditions = _conditions(found)
    assert "Ready" in conditions
    assert not {"Reconciling", "Stalled"} <= set(conditions)
    if conditions["Ready"][0] == "True":
        assert not {"Reconciling", "Stalled"} & set(conditions)
    else:
        assert {"Reconciling", "Stalled"} & set(conditions)
    for condition in report.conditions(found):
        assert condition.reason.isalnum()
        assert len(condition.message) <= 1024


@given(any_findings)
def test_the_same_pass_again_writes_nothing(found: Findings) -> None:
    """All but what is counted: a failure is one each time, and what was issued is issued once."""
    if isinstance(found.outcome, Failed) or found.outcome == Done(issued=True):
        return
    first = report.status(found)
    again = replace(found, certificate=_after(found, first), now=found.now + timedelta(seconds=1))
    assert report.status(again) == first


@given(any_findings.filter(lambda found: isinstance(found.outcome, Failed)))
def test_waiting_after_a_failure_writes_nothing(found: Findings) -> None:
    first = report.status(found)
    after = _after(found, first)
    until = report.backoff_until(after, found.need)
    assert until is not None
    later = found.now + timedelta(seconds=1)
    again = replace(found, certificate=after, outcome=Waiting(until=until), now=later)
    assert report.status(again) == first


def _after(found: Findings, status: CertificateStatus) -> Certificate:

    return msgspec.structs.replace(found.certificate, status=status)


def test_failures_are_counted_remembered_and_forgotten() -> None:
    found = findings(FAILED, certificate(CertificateStatus(revision=1)), trigger=DUE)
    for count in (1, 2, 3):
        status = report.status(found)
        assert status.failed_attempts == count
        assert status.last_failure == LastFailure(
            time=to_text(NOW),
            reason="ChallengeFailed",
            identifier="a.example",
            message="a.example failed.",
        )
        assert from_text(status.next_attempt_time) > NOW
        assert status.next_time == min(status.next_attempt_time, status.renewal_time)
        found = replace(found, certificate=_after(found, status))
    assert [task.count for task in status.task_history] == [2], "equal failures are folded"
    status = report.status(replace(found, outcome=Done(issued=True)))
    assert (status.failed_attempts, status.last_failure) == (0, None)
    assert status.task is not None
    assert status.task.status == "done"


def test_a_failure_that_a_restart_has_caused_is_tried_again_at_once() -> None:
    lost = replace(FAILED, immediate=True)
    first = report.status(findings(lost, trigger=DUE))
    assert first.next_attempt_time == ""
    second = report.status(findings(lost, _after(findings(lost), first), trigger=DUE))
    assert second.next_attempt_time > to_text(NOW)


@pytest.mark.parametrize("outcome", [BLOCKED, Waiting(until=NOW + DAY), IMPOSSIBLE])
def test_an_open_order_is_never_dropped_for_what_is_in_the_way(outcome: Outcome) -> None:
    open_order = CertificateStatus(order={"orderURL": "https://ca/1"})
    owner = certificate(open_order, type="ACME")
    assert report.status(findings(outcome, owner, trigger=DUE)).order == {
        "orderURL": "https://ca/1"
    }


@pytest.mark.parametrize("outcome", [BLOCKED, IMPOSSIBLE])
def test_an_order_is_given_up_when_the_type_no_longer_orders(outcome: Outcome) -> None:
    """Else its pending key and challenges would stay until the new type's source is there."""
    owner = certificate(CertificateStatus(order={"orderURL": "https://ca/1"}), type="CA")
    assert report.status(findings(outcome, owner, trigger=DUE)).order is None


def test_another_need_has_no_back_off() -> None:
    """As after a changed spec; an edit that changes nothing of the need ends none."""
    need = "0123456789abcdef"
    found = findings(FAILED, trigger=DUE, need=need)
    after = _after(found, report.status(found))
    assert report.backoff_until(after, need) == from_text(after.status.next_attempt_time)
    assert report.backoff_until(after, "another need") is None


def test_a_request_is_handled_once_its_attempt_was_made() -> None:
    owner = certificate(annotations={RENEW: "v"})
    assert report.status(findings(FAILED, owner, trigger=DUE)).handled_renew == "v"
    assert report.status(findings(BLOCKED, owner, trigger=DUE)).handled_renew == ""
    issued = Done(issued=True, renewed_for="v")
    assert report.status(findings(issued, owner)).handled_renew == "v"


@pytest.mark.parametrize(
    ("installation", "expected"),
    [
        pytest.param(Installation(), None, id="nobody uses it"),
        pytest.param(
            Installation(frontends=1, serving=("web (edge/haproxy, 3 of 3 nodes)",)),
            ("True", "Served by 1 of 1 frontend: web (edge/haproxy, 3 of 3 nodes)"),
            id="served",
        ),
        pytest.param(
            Installation(frontends=2, serving=("web",), lagging=("api",)),
            ("False", "Served by 1 of 2 frontends; not by api"),
            id="one lags",
        ),
    ],
)
def test_where_it_is_installed(
    installation: Installation, expected: tuple[str, str] | None
) -> None:
    found = find(report.conditions(findings(Done(), installation=installation)), "Installed")
    assert (found and (found.status, found.message)) == expected


def test_the_page_is_never_cut_off() -> None:
    long = replace(IMPOSSIBLE, message="word " * 1000)
    ready = find(report.conditions(_fresh(long)), "Ready")
    assert isinstance(ready, Condition)
    assert ready.message.endswith(f" See {DOCS}/KeyMismatch")
    assert len(ready.message) == 1024


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], ""), (["a"], "a"), (["a", "b"], "a +1"), (["a", "b", "c"], "a +2")],
)
def test_the_column_of_names_is_short(names: list[str], expected: str) -> None:
    assert report.column(names) == expected


def test_the_next_wake_is_the_next_moment_that_changes_something() -> None:
    found = findings(Done())
    assert report.wake_time(found) == found.renewal_time
    late = replace(found, now=NOW + 70 * DAY)
    assert late.in_force is not None
    assert report.wake_time(late) == late.in_force.not_after
    assert report.wake_time(replace(found, outcome=Waiting(until=NOW + DAY))) == NOW + DAY
    assert report.wake_time(replace(found, now=NOW + 100 * DAY)) is None


def test_a_refusal_is_told_as_the_last_failure_and_once() -> None:
    """A valid certificate stays Ready; which check failed must be readable all the same."""
    owner = certificate(type="Uploaded", uploaded={"secretRef": {"name": "given"}})
    first = report.status(findings(IMPOSSIBLE, owner))
    assert first.last_failure is not None
    assert (first.last_failure.reason, first.failed_attempts) == ("KeyMismatch", 0)
    again = findings(IMPOSSIBLE, _after(findings(IMPOSSIBLE, owner), first), now=NOW + DAY)
    assert report.status(again).last_failure == first.last_failure


def test_what_the_ca_refuses_for_good_is_stalled_until_it_is_asked_again() -> None:
    refused = findings(replace(FAILED, permanent=True), held=ABSENT, in_force=None)
    status = report.status(refused)
    assert _types(status)["Stalled"] == "True"
    waiting = replace(
        refused, outcome=Waiting(until=NOW + DAY), certificate=_after(refused, status)
    )
    assert _types(report.status(waiting))["Stalled"] == "True"


def test_a_staged_pair_says_when_it_takes_over() -> None:
    owner = certificate(type="Uploaded", uploaded={"secretRef": {"name": "given"}})
    staged = Blocked(reason="NotYetValid", message="It waits.", after=DAY)
    status = report.status(findings(staged, owner, trigger=DUE, renewal_time=None))
    assert status.next_attempt_time == status.next_time == to_text(NOW + DAY)
    assert _types(status) == {"Ready": "True", "Progressing": "True"}
    assert next(c.reason for c in status.conditions if c.type == "Ready") == "Issued"


def _types(status: CertificateStatus) -> dict[str, str]:
    return {condition.type: condition.status for condition in status.conditions}
