"""Every answer of AWS is classed by what must be done, and says nothing of what was sent."""

from __future__ import annotations

import pytest
from botocore import exceptions

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws import faults
from certfront.loadbalancers.errors import (
    Denied,
    Gone,
    NotYet,
    ProviderError,
    Refused,
    Throttled,
    Unavailable,
)


def answer(
    code: str,
    message: str = "",
    *,
    operation: str = "CreateListener",
    status: int = 400,
    headers: dict[str, str] | None = None,
) -> exceptions.ClientError:
    told = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
    }
    return exceptions.ClientError(told, operation)


@pytest.mark.parametrize(
    ("code", "status", "kind", "reason"),
    [
        ("Throttling", 400, Throttled, reasons.RATE_LIMITED),
        ("ThrottlingException", 400, Throttled, reasons.RATE_LIMITED),
        ("RequestLimitExceeded", 503, Throttled, reasons.RATE_LIMITED),
        ("SomethingElse", 429, Throttled, reasons.RATE_LIMITED),
        ("AccessDenied", 403, Denied, reasons.CREDENTIALS_REFUSED),
        ("AccessDeniedException", 400, Denied, reasons.CREDENTIALS_REFUSED),
        ("InvalidClientTokenId", 403, Denied, reasons.CREDENTIALS_REFUSED),
        ("SignatureDoesNotMatch", 403, Denied, reasons.CREDENTIALS_REFUSED),
        ("ExpiredTokenException", 400, Denied, reasons.CREDENTIALS_REFUSED),
        ("DeleteConflict", 409, NotYet, reasons.IN_USE),
        ("ResourceInUseException", 400, NotYet, reasons.IN_USE),
        ("ConcurrentModification", 409, NotYet, reasons.WAITING_FOR_PROVIDER),
        ("ListenerNotFound", 400, NotYet, reasons.WAITING_FOR_PROVIDER),
        ("LoadBalancerNotFound", 400, Gone, reasons.TARGET_NOT_FOUND),
        ("LimitExceeded", 409, Refused, reasons.QUOTA_EXCEEDED),
        ("LimitExceededException", 400, Refused, reasons.QUOTA_EXCEEDED),
        ("TooManyCertificates", 400, Refused, reasons.QUOTA_EXCEEDED),
        ("MalformedCertificate", 400, Refused, reasons.REFUSED_BY_PROVIDER),
        ("ServiceFailure", 500, Unavailable, reasons.PROVIDER_UNAVAILABLE),
        ("503", 503, Unavailable, reasons.PROVIDER_UNAVAILABLE),
        ("", 502, Unavailable, reasons.PROVIDER_UNAVAILABLE),
    ],
)
def test_a_refusal_is_classed_by_its_code(
    code: str, status: int, kind: type[ProviderError], reason: object
) -> None:
    error = faults.of_answer(answer(code, status=status), "elbv2")
    assert type(error) in (kind, *kind.__subclasses__())
    assert error.reason == reason


def test_the_permission_is_named_as_policies_name_it() -> None:
    error = faults.of_answer(answer("AccessDenied"), "elbv2")
    assert "elasticloadbalancing:CreateListener" in error.message


@pytest.mark.parametrize(
    ("told", "seconds"), [("7", 7.0), ("", None), ("soon", None), ("9999999", None)]
)
def test_a_pause_is_the_one_that_is_asked_for(told: str, seconds: float | None) -> None:
    error = faults.of_answer(answer("Throttling", headers={"retry-after": told}), "iam")
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("operation", "message", "shown"),
    [
        pytest.param("CreateListener", "the port is odd", True, id="nothing secret was sent"),
        pytest.param("UploadServerCertificate", "the port is odd", False, id="a key was sent"),
        pytest.param("ImportCertificate", "the port is odd", False, id="a key was sent to ACM"),
        pytest.param("CreateListener", "the port\nis odd", False, id="not printable"),
        pytest.param("CreateListener", "-----BEGIN the port is odd", False, id="looks like PEM"),
    ],
)
def test_a_message_is_repeated_where_it_can_hold_no_secret(
    operation: str, message: str, shown: bool
) -> None:
    error = faults.of_answer(answer("ValidationError", message, operation=operation), "elbv2")
    assert ("is odd" in error.message) == shown
    assert "ValidationError" in error.message


def test_a_message_is_cut() -> None:
    error = faults.of_answer(answer("ValidationError", "x" * 5000), "elbv2")
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.NoCredentialsError(), Denied),
        (exceptions.EndpointConnectionError(endpoint_url="https://x.example"), Unavailable),
        (exceptions.ReadTimeoutError(endpoint_url="https://x.example"), Unavailable),
        (exceptions.ParamValidationError(report="value: SECRET"), Refused),
    ],
)
def test_what_got_no_answer_is_classed_too(
    error: exceptions.BotoCoreError, kind: type[ProviderError]
) -> None:
    found = faults.of_exchange(error, "iam")
    assert type(found) is kind
    assert "SECRET" not in str(found)
