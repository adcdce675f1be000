"""The pure state machine: one decision per row."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from certfront.issuance.acme import reasons
from certfront.issuance.acme.order import (
    UNREAD,
    Abandon,
    AskPresented,
    Attempt,
    Backoff,
    ChallengeRecord,
    Claim,
    Download,
    Fail,
    Finalize,
    NewOrder,
    Pending,
    Present,
    Presentation,
    ReadAuthorizations,
    ReadOrder,
    ReadPending,
    RecordTokens,
    Report,
    StartChallenges,
    StorePendingKey,
    View,
    Wait,
    decide,
)
from certfront.issuance.acme.problems import PREFIX, Problem
from certfront.issuance.acme.resources import Authorization, Challenge, Identifier, Order
from certfront.model.meta import parse, plain

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
URL, AUTHZ, CHALL = "https://ca/order/1", "https://ca/authz/1", "https://ca/chall/1"

CLAIMED = Attempt(id="need-1", need="need", number=1, claimed_at=NOW, holder="me")
ORDERED = msgspec.structs.replace(CLAIMED, order_url=URL)
RECORD = ChallengeRecord(
    identifier="a.example.com", type="http-01", token="tok", url=AUTHZ, challenge_url=CHALL
)
RECORDED = msgspec.structs.replace(ORDERED, authorizations=(RECORD,), started_at=NOW)
PENDING = Pending(key_pem=b"pem", order_url=URL, created_at=NOW)


def view(**changes: object) -> View:
    """A view in which someone wants `need`; `changes` names its fields."""
    return replace(View(now=NOW, holder="me", need="need"), **changes)


def order(status: str, **changes: object) -> Order:
    made = Order(url=URL, status=status, finalize="https://ca/finalize/1", authorizations=(AUTHZ,))
    return msgspec.structs.replace(made, **changes)


def challenge(status: str = "pending", **changes: object) -> Challenge:
    made = Challenge(type="http-01", url=CHALL, status=status, token="tok")
    return msgspec.structs.replace(made, **changes)


def authorization(
    status: str = "pending", *challenges: Challenge, **changes: object
) -> Authorization:
    made = Authorization(
        url=AUTHZ,
        identifier=Identifier(type="dns", value="a.example.com"),
        status=status,
        challenges=challenges or (challenge(),),
    )
    return msgspec.structs.replace(made, **changes)


def problem(code: str) -> Problem:
    return Problem(type=PREFIX + code, detail="why")


def served(attempt: Attempt = RECORDED, **changes: object) -> View:
    """Tokens recorded, answers served, order read."""
    return view(attempt=attempt, presented=Presentation.READY, order=order("pending"), **changes)


def test_nothing_is_ordered_before_a_claim_is_in_status() -> None:
    assert decide(view(number=3)) == Claim(
        Attempt(id="need-3", need="need", number=3, claimed_at=NOW, holder="me")
    )


def test_nothing_is_claimed_or_ordered_without_a_route() -> None:
    for attempt in (None, CLAIMED):
        step = decide(view(attempt=attempt, no_route="no frontend", pending=None))
        assert isinstance(step, Wait)
        assert (step.progress, step.message) == ("NoRouteForChallenge", "no frontend")


def test_a_secret_that_has_the_need_ends_it_wherever_the_order_is() -> None:
    for attempt in (None, CLAIMED, RECORDED):
        assert decide(view(attempt=attempt, secret_has_need=True)) == Report(attempt)


def test_o28_another_need_gives_the_attempt_up() -> None:
    for need in ("other", None):
        step = decide(view(attempt=RECORDED, need=need, secret_has_need=True))
        assert isinstance(step, Abandon)
        assert step.reason == "SpecChanged"


def test_our_claim_orders_once_no_key_is_stored() -> None:
    assert decide(view(attempt=CLAIMED)) == ReadPending()
    assert decide(view(attempt=CLAIMED, pending=None)) == NewOrder(CLAIMED)


def test_a_claim_of_another_holder_waits_out_one_call() -> None:
    other = msgspec.structs.replace(CLAIMED, holder="other")
    step = decide(view(attempt=other, pending=None, now=NOW + timedelta(seconds=20)))
    assert isinstance(step, Wait)
    assert step.seconds == 40
    later = NOW + timedelta(seconds=61)
    assert decide(view(attempt=other, pending=None, now=later)) == Claim(
        msgspec.structs.replace(CLAIMED, claimed_at=later)
    )


@pytest.mark.parametrize(
    "seen",
    [
        view(attempt=CLAIMED, pending=PENDING),
        view(
            attempt=msgspec.structs.replace(ORDERED, order_url="https://ca/order/0"),
            order=order("ready"),
            pending=PENDING,
        ),
    ],
    ids=["no order is known", "another order is known"],
)
def test_the_order_url_in_a_pending_key_is_never_followed(seen: View) -> None:
    """Whoever may write Secrets in the namespace could have put another's order there."""
    step = decide(seen)
    assert isinstance(step, Fail)
    assert step.reason == reasons.KEY_LOST


def test_o1_a_recorded_order_is_read_not_made_again() -> None:
    assert decide(view(attempt=ORDERED)) == ReadOrder(URL)


def test_tokens_are_recorded_before_anything_is_presented() -> None:
    assert decide(view(attempt=ORDERED, order=order("pending"))) == ReadAuthorizations((AUTHZ,))
    step = decide(view(attempt=ORDERED, order=order("pending"), authorizations=(authorization(),)))
    assert step == RecordTokens(RECORDED)


def test_the_ca_is_not_asked_about_challenges_before_the_answers_are_served() -> None:
    assert decide(view(attempt=RECORDED)) == AskPresented()
    assert decide(view(attempt=RECORDED, presented=Presentation.ABSENT)) == Present(RECORDED)
    step = decide(view(attempt=RECORDED, presented=Presentation.PARTIAL))
    assert isinstance(step, Wait)
    assert (step.progress, step.on_ca) == ("ChallengePresented", False)
    assert decide(view(attempt=RECORDED, presented=Presentation.READY)) == ReadOrder(URL)


def test_answers_that_are_never_served_fail_the_attempt() -> None:
    step = decide(
        view(attempt=RECORDED, presented=Presentation.PARTIAL, now=NOW + timedelta(minutes=5))
    )
    assert isinstance(step, Fail)
    assert step.reason == reasons.CHALLENGE_NOT_SERVED


def test_a_pending_challenge_is_started_once() -> None:
    step = decide(served(authorizations=(authorization(),)))
    assert step == StartChallenges((RECORD,))
    again = decide(served(authorizations=(authorization(),), started=frozenset({CHALL})))
    assert isinstance(again, Wait)
    assert (again.progress, again.on_ca) == ("Validating", True)
    assert "a.example.com" in again.message


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(challenge("processing"), id="processing"),
        pytest.param(challenge("valid"), id="valid"),
        pytest.param(challenge("pending", error=problem("dns")), id="being retried by the CA"),
    ],
)
def test_a_challenge_under_way_is_not_started_again(state: Challenge) -> None:
    assert isinstance(decide(served(authorizations=(authorization("pending", state),))), Wait)


def test_o6_all_challenges_start_in_one_step() -> None:
    second = msgspec.structs.replace(
        RECORD, identifier="b.example.com", url=AUTHZ + "2", challenge_url=CHALL + "2"
    )
    attempt = msgspec.structs.replace(RECORDED, authorizations=(RECORD, second))
    other = authorization("pending", challenge(url=CHALL + "2"), url=AUTHZ + "2")
    step = decide(served(attempt, authorizations=(other, authorization())))
    assert step == StartChallenges((RECORD, second))


def test_w2_the_cas_advice_is_the_wait_without_it_the_wait_grows() -> None:
    def wait(after: float, advice: float | None) -> float:
        step = decide(
            served(
                now=NOW + timedelta(seconds=after),
                started=frozenset({CHALL}),
                authorizations=(authorization(retry_after=advice),),
            )
        )
        assert isinstance(step, Wait)
        return step.seconds

    assert wait(0, 17.0) == 17.0
    assert wait(0, 0.0) == 1.0
    assert wait(0, 9e9) == 3600.0
    assert 1.0 <= wait(0, None) <= 1.25
    assert 10.0 <= wait(40, None) <= 12.5
    assert 30.0 <= wait(600, None) <= 37.5


def test_o3_valid_authorizations_need_no_challenge() -> None:
    valid = authorization("valid")
    step = decide(view(attempt=ORDERED, order=order("pending"), authorizations=(valid,)))
    assert isinstance(step, Wait)
    step = decide(
        view(
            attempt=ORDERED,
            order=order("pending"),
            authorizations=(valid, authorization(url=AUTHZ + "2")),
        )
    )
    assert isinstance(step, RecordTokens)
    assert [record.url for record in step.attempt.authorizations] == [AUTHZ + "2"]


@pytest.mark.parametrize("status", ["invalid", "expired", "deactivated", "revoked", "new-word"])
def test_o8_an_authorization_that_cannot_become_valid_fails_the_attempt(status: str) -> None:
    step = decide(served(authorizations=(authorization("valid"), authorization(status))))
    assert isinstance(step, Fail)
    assert (step.reason, step.identifier) == ("ChallengeFailed", "a.example.com")


def test_o7_an_invalid_challenge_fails_at_once_though_the_rest_stays_pending() -> None:
    bad = challenge("invalid", error=problem("unauthorized"))
    step = decide(served(authorizations=(authorization("pending", bad), authorization())))
    assert isinstance(step, Fail)
    assert step.message == "a.example.com: CA: unauthorized: why"
    assert (step.challenge, step.backoff) == ("http-01", Backoff.LADDER)


def test_an_invalid_order_names_the_failed_name() -> None:
    bad = challenge("invalid", error=problem("dns"))
    read = view(attempt=RECORDED, presented=Presentation.READY, order=order("invalid"))
    assert decide(read) == ReadAuthorizations((AUTHZ,))
    step = decide(replace(read, authorizations=(authorization("invalid", bad),)))
    assert isinstance(step, Fail)
    assert step.identifier == "a.example.com"


def test_o13_an_invalid_order_without_a_failed_name_tells_its_own_error() -> None:
    step = decide(
        view(
            attempt=RECORDED,
            presented=Presentation.READY,
            order=order("invalid", error=problem("badCSR")),
            authorizations=(authorization("valid"),),
        )
    )
    assert isinstance(step, Fail)
    assert (step.reason, step.backoff) == ("OrderFailed", Backoff.PERMANENT)
    assert "badCSR: why" in step.message


@pytest.mark.parametrize(
    ("holder", "code", "failures", "expected"),
    [
        ("other", "connection", 0, Backoff.IMMEDIATE),
        ("other", "connection", 1, Backoff.LADDER),
        ("other", "unauthorized", 0, Backoff.LADDER),
        ("me", "connection", 0, Backoff.LADDER),
    ],
)
def test_a_connection_that_failed_across_our_restart_is_repeated_once(
    holder: str, code: str, failures: int, expected: Backoff
) -> None:
    bad = challenge("invalid", error=problem(code))
    attempt = msgspec.structs.replace(RECORDED, holder=holder)
    step = decide(
        served(attempt, authorizations=(authorization("invalid", bad),), failed_attempts=failures)
    )
    assert isinstance(step, Fail)
    assert step.backoff is expected


def test_a_validation_that_never_ends_is_given_up_with_what_the_challenge_says() -> None:
    late = NOW + timedelta(minutes=20)
    silent = decide(served(now=late, authorizations=(authorization(),)))
    assert isinstance(silent, Fail)
    assert (silent.reason, silent.identifier) == ("ValidationTimedOut", "a.example.com")
    retried = authorization("pending", challenge("processing", error=problem("connection")))
    told = decide(served(now=late, authorizations=(retried,)))
    assert isinstance(told, Fail)
    assert told.reason == "ChallengeFailed"


def test_c10_no_usable_challenge_lists_offered_and_configured() -> None:
    offered = authorization("pending", challenge(type="dns-01"), challenge(type="tls-alpn-01"))
    step = decide(view(attempt=ORDERED, order=order("pending"), authorizations=(offered,)))
    assert isinstance(step, Fail)
    assert (step.reason, step.backoff) == ("NoUsableChallenge", Backoff.PERMANENT)
    assert "dns-01, tls-alpn-01" in step.message
    assert "http-01" in step.message


def test_o19_a_wildcard_is_never_answered_by_http() -> None:
    step = decide(
        view(
            attempt=ORDERED,
            order=order("pending"),
            authorizations=(authorization(wildcard=True),),
        )
    )
    assert isinstance(step, Fail)
    assert step.identifier == "*.a.example.com"


def test_o2_a_ready_order_goes_to_its_key_without_challenges() -> None:
    ready = view(attempt=ORDERED, order=order("ready"))
    assert decide(ready) == ReadPending()
    assert decide(replace(ready, pending=None)) == StorePendingKey(ORDERED, order("ready"))
    assert decide(replace(ready, pending=PENDING)) == Finalize(order("ready"), PENDING)


def test_an_order_is_finalized_once_by_a_process_though_it_stays_ready() -> None:
    step = decide(
        view(
            attempt=ORDERED,
            order=order("ready"),
            pending=PENDING,
            started=frozenset({"https://ca/finalize/1"}),
        )
    )
    assert isinstance(step, Wait)


def test_o13_a_processing_order_is_waited_for_with_a_deadline() -> None:
    processing = view(attempt=ORDERED, order=order("processing", retry_after=3.0), pending=PENDING)
    step = decide(processing)
    assert isinstance(step, Wait)
    assert (step.progress, step.seconds, step.on_ca) == ("Finalizing", 3.0, True)
    late = decide(replace(processing, now=NOW + timedelta(minutes=30)))
    assert isinstance(late, Fail)
    assert late.reason == "FinalizationTimedOut"


def test_o14_a_valid_order_is_downloaded_with_the_stored_key() -> None:
    valid = order("valid", certificate="https://ca/cert/1")
    step = decide(view(attempt=ORDERED, order=valid, pending=PENDING))
    assert step == Download("https://ca/cert/1", PENDING)


def test_o14_a_valid_order_is_downloaded_however_late() -> None:
    valid = order("valid", certificate="https://ca/cert/1", expires=NOW - timedelta(days=1))
    step = decide(view(attempt=ORDERED, order=valid, pending=PENDING, now=NOW + timedelta(days=2)))
    assert isinstance(step, Download)


@pytest.mark.parametrize("status", ["processing", "valid"])
def test_an_order_whose_key_is_lost_is_over(status: str) -> None:
    step = decide(view(attempt=ORDERED, order=order(status), pending=None))
    assert isinstance(step, Fail)
    assert step.reason == "KeyLost"


@pytest.mark.parametrize(("failures", "expected"), [(0, Backoff.IMMEDIATE), (1, Backoff.LADDER)])
def test_o15_a_forgotten_order_is_made_anew_keeping_the_count(
    failures: int, expected: Backoff
) -> None:
    step = decide(view(attempt=ORDERED, order=problem("malformed"), failed_attempts=failures))
    assert isinstance(step, Fail)
    assert (step.reason, step.backoff) == ("OrderLost", expected)


def test_o15_an_expired_pending_order_is_over() -> None:
    expired = order("pending", expires=NOW)
    step = decide(view(attempt=ORDERED, order=expired))
    assert isinstance(step, Fail)
    assert step.reason == "OrderExpired"
    assert isinstance(decide(view(attempt=ORDERED, order=order("expired"))), Fail)


def test_an_attempt_survives_being_written_to_status() -> None:
    written = plain(RECORDED)
    assert written["orderURL"] == URL
    assert written["authorizations"][0]["challengeURL"] == CHALL
    assert parse(Attempt, written) == RECORDED


def test_the_pending_key_is_in_no_repr() -> None:
    secret = Pending(key_pem=b"canary", order_url=URL, created_at=NOW)
    assert "canary" not in repr(secret)
    assert "canary" not in repr(view(attempt=ORDERED, pending=secret))
    assert "canary" not in repr(Finalize(order("ready"), secret))


def test_an_unread_view_reads_before_it_acts() -> None:
    assert view(attempt=ORDERED).order is UNREAD
    assert isinstance(decide(view(attempt=ORDERED)), ReadOrder)
