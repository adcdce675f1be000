"""An Event says what has changed for people; never a retry, never the usual."""

import pytest

from certfront.model.certificate import CertificateStatus, LastFailure
from certfront.model.conditions import Condition, ConditionStatus
from certfront.model.tasks import Task
from certfront.reconcilers.transitions import announcements


def _status(
    status: ConditionStatus,
    reason: str,
    *,
    revision: int = 1,
    task: Task | None = None,
    failed: str = "",
) -> CertificateStatus:
    ready = Condition(type="Ready", status=status, reason=reason, message=f"{reason}.")
    failure = LastFailure(reason=failed) if failed else None
    return CertificateStatus(
        conditions=(ready,), revision=revision, task=task, last_failure=failure
    )


NOTHING = CertificateStatus()
DOING = Task(id="1", action="orderCertificate", status="doing")
ERROR = Task(id="1", action="orderCertificate", status="error")
GOOD = _status("True", "Issued")


@pytest.mark.parametrize(
    ("before", "after", "local", "reasons"),
    [
        pytest.param(NOTHING, GOOD, True, [], id="first success, local"),
        pytest.param(NOTHING, GOOD, False, ["Issued"], id="first success, ordered"),
        pytest.param(GOOD, GOOD, False, [], id="nothing new"),
        pytest.param(GOOD, _status("True", "Issued", revision=2), True, ["Renewed"], id="renewed"),
        pytest.param(
            _status("True", "RenewalFailing"),
            _status("True", "Issued", revision=2),
            False,
            ["Renewed"],
            id="renewed after failures",
        ),
        pytest.param(
            NOTHING,
            _status("False", "OrderCreated", revision=0, task=DOING),
            False,
            [],
            id="on its way",
        ),
        pytest.param(
            NOTHING,
            _status("False", "ChallengeFailed", revision=0, task=ERROR),
            False,
            ["ChallengeFailed"],
            id="failed",
        ),
        pytest.param(
            _status("False", "ChallengeFailed", revision=0, task=ERROR),
            _status("False", "ChallengeFailed", revision=0, task=ERROR),
            False,
            [],
            id="failed again",
        ),
        pytest.param(
            GOOD,
            _status("True", "RenewalFailing", task=ERROR),
            False,
            ["RenewalFailing"],
            id="a renewal failed",
        ),
        pytest.param(
            GOOD, _status("True", "ExpiringSoon"), True, ["ExpiringSoon"], id="it ends soon"
        ),
        pytest.param(GOOD, _status("True", "Suspended"), True, [], id="suspended on purpose"),
        pytest.param(GOOD, _status("True", "Renewing", task=DOING), False, [], id="renewing"),
        pytest.param(
            _status("True", "ExpiringSoon"),
            _status("False", "Expired"),
            True,
            ["Expired"],
            id="end",
        ),
        pytest.param(_status("False", "Expired"), GOOD, True, ["Issued"], id="good again"),
    ],
)
def test_what_is_announced(
    before: CertificateStatus, after: CertificateStatus, *, local: bool, reasons: list[str]
) -> None:
    found = list(announcements(before, after, local=local))
    assert [each.reason for each in found] == reasons
    for each in found:
        trouble = each.reason in ("ChallengeFailed", "RenewalFailing", "ExpiringSoon", "Expired")
        assert each.warning is trouble


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        pytest.param(
            _status("False", "Validating", revision=0, task=DOING, failed="ChallengeFailed"),
            _status("False", "ChallengeFailed", revision=0, task=ERROR, failed="ChallengeFailed"),
            [],
            id="the same again after a step",
        ),
        pytest.param(
            _status("False", "Validating", revision=0, task=DOING, failed="ChallengeFailed"),
            _status("False", "RateLimited", revision=0, task=ERROR, failed="RateLimited"),
            ["RateLimited"],
            id="another failure",
        ),
        pytest.param(
            _status("True", "Renewing", task=DOING, failed="ChallengeFailed"),
            _status("True", "RenewalFailing", task=ERROR, failed="ChallengeFailed"),
            [],
            id="a renewal fails again",
        ),
        pytest.param(
            _status("True", "RenewalFailing", task=ERROR, failed="ChallengeFailed"),
            _status("False", "Expired", task=ERROR, failed="ChallengeFailed"),
            ["Expired"],
            id="and then it ends",
        ),
    ],
)
def test_a_retry_that_fails_alike_is_not_announced_again(
    before: CertificateStatus, after: CertificateStatus, reasons: list[str]
) -> None:
    assert [each.reason for each in announcements(before, after, local=False)] == reasons


def test_a_renewal_says_why() -> None:
    task = Task(id="1", action="renewCertificate", status="done", message="It was due.")
    (found,) = announcements(GOOD, _status("True", "Issued", revision=2, task=task), local=True)
    assert found.message.endswith(": It was due")


def test_a_new_key_of_an_authority_is_a_warning() -> None:
    renewed = _status("True", "Issued", revision=2)
    (found,) = announcements(GOOD, renewed, local=True, new_ca_key=True)
    assert found.warning
    assert "no longer trust what it signs" in found.message
