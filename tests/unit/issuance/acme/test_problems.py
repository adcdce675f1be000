"""W5 to W8: problem documents and what they mean for the schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.issuance.acme.problems import (
    LONGEST_DETAIL,
    PREFIX,
    Disposition,
    Operation,
    bounded,
    classify,
    from_body,
)

SOON, BACKOFF, LIMIT = Disposition.RETRY_SOON, Disposition.BACKOFF, Disposition.RATE_LIMITED
PERMANENT, GONE, NO_ACCOUNT = (
    Disposition.PERMANENT,
    Disposition.GONE,
    Disposition.ACCOUNT_GONE,
)


@pytest.mark.parametrize(
    ("operation", "code", "status", "expected"),
    [
        (Operation.NEW_ORDER, "badNonce", 400, SOON),
        (Operation.NEW_ORDER, "serverInternal", 500, SOON),
        (Operation.NEW_ORDER, "rateLimited", 429, LIMIT),
        (Operation.NEW_ORDER, "rateLimited", 403, LIMIT),
        (Operation.NEW_ORDER, "malformed", 429, LIMIT),
        (Operation.READ_ORDER, "malformed", 503, LIMIT),
        (Operation.NEW_ORDER, "malformed", 400, PERMANENT),
        (Operation.NEW_ORDER, "rejectedIdentifier", 400, PERMANENT),
        (Operation.NEW_ORDER, "unsupportedIdentifier", 400, PERMANENT),
        (Operation.NEW_ORDER, "invalidProfile", 400, PERMANENT),
        (Operation.NEW_ORDER, "userActionRequired", 403, PERMANENT),
        (Operation.NEW_ORDER, "accountDoesNotExist", 400, NO_ACCOUNT),
        (Operation.NEW_ORDER, "unauthorized", 403, BACKOFF),
        (Operation.NEW_ORDER, "somethingNew", 400, BACKOFF),
        (Operation.NEW_ORDER, "alreadyReplaced", 409, BACKOFF),
        (Operation.NEW_ACCOUNT, "invalidContact", 400, PERMANENT),
        (Operation.NEW_ACCOUNT, "externalAccountRequired", 403, PERMANENT),
        (Operation.NEW_ACCOUNT, "unauthorized", 403, PERMANENT),
        (Operation.READ_ORDER, "malformed", 404, GONE),
        (Operation.READ_ORDER, "malformed", 400, GONE),
        (Operation.READ_ORDER, "unauthorized", 403, GONE),
        (Operation.READ_ORDER, "serverInternal", 500, SOON),
        (Operation.READ_AUTHORIZATION, "malformed", 404, GONE),
        (Operation.DOWNLOAD, "malformed", 404, GONE),
        (Operation.START_CHALLENGE, "malformed", 400, SOON),
        (Operation.FINALIZE, "orderNotReady", 403, SOON),
        (Operation.FINALIZE, "badCSR", 400, PERMANENT),
        (Operation.FINALIZE, "badPublicKey", 400, PERMANENT),
        (Operation.FINALIZE, "caa", 403, BACKOFF),
        (Operation.FINALIZE, "malformed", 404, GONE),
        (Operation.NEW_ORDER, "malformed", 404, SOON),
        *(
            (Operation.VALIDATION, code, 400, BACKOFF)
            for code in ("connection", "dns", "tls", "unauthorized", "incorrectResponse", "caa")
        ),
        (Operation.VALIDATION, "rejectedIdentifier", 400, BACKOFF),
    ],
)
def test_w5_operation_and_type_decide(
    operation: Operation, code: str, status: int, expected: Disposition
) -> None:
    assert expected is classify(operation, PREFIX + code, status)


def test_w6_subproblems_are_told_per_identifier() -> None:
    body = b"""{"type": "urn:ietf:params:acme:error:compound", "detail": "two names",
      "subproblems": [
        {"type": "urn:ietf:params:acme:error:dns", "detail": "NXDOMAIN",
         "identifier": {"type": "dns", "value": "a.example.com"}},
        {"type": "urn:ietf:params:acme:error:caa", "detail": "forbidden",
         "identifier": {"type": "dns", "value": "b.example.com"}}]}"""
    said = from_body(body, status=400)
    assert [sub.identifier for sub in said.subproblems] == ["a.example.com", "b.example.com"]
    assert "a.example.com: dns: NXDOMAIN" in said.describe()
    assert "b.example.com: caa: forbidden" in said.describe()


def test_w7_an_unknown_type_is_kept_whole() -> None:
    said = from_body(b'{"type": "https://ca.example/odd", "detail": "why"}', status=400)
    assert said.type == "https://ca.example/odd"
    assert said.describe() == "https://ca.example/odd: why"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>502 Bad Gateway</html>", id="html"),
        pytest.param(b'{"type": "urn:ietf:par', id="truncated"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"type": 7}', id="a type that is no text"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"[]", id="a list"),
    ],
)
def test_n11_an_error_without_a_problem_document_is_its_status(body: bytes) -> None:
    said = from_body(body, status=502)
    assert (said.type, said.detail) == ("about:blank", "HTTP 502")


def test_w8_texts_are_bounded_and_equal_for_equal_causes() -> None:
    first = bounded("busy at 2026-11-24T12:00:00Z, request 3f2504e0-4f89-11d3-9a0c-0305e82c3301")
    second = bounded(
        "busy at 2026-11-24 12:00:07 UTC, request 3f2504e0-4f89-11d3-9a0c-0305e82c3302"
    )
    assert first == second
    assert len(bounded("x" * 10_000)) == LONGEST_DETAIL
    assert bounded("a\r\nb\x00c\u2028d") == "a b c d"


@given(st.binary(max_size=300))
def test_n11_any_body_is_some_problem(body: bytes) -> None:
    assert len(from_body(body, status=400).describe()) <= LONGEST_DETAIL
