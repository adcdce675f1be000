"""One step per call against the stub: writes counted, killed at every step, errors sorted."""

from datetime import timedelta

import pytest

from certfront.issuance.acme.driver import (
    Blocked,
    Completed,
    Continue,
    Failed,
    Obtained,
    OrderDriver,
)
from certfront.issuance.acme.order import Backoff, Presentation
from certfront.issuance.acme.session import Session
from certfront.issuance.acme.worker import AccountWorker
from certfront.model.clock import FrozenClock, SystemClock
from tests.unit.issuance.acme.conftest import MakeSession
from tests.unit.issuance.acme.harness import Killed, Reconciler, public_key_of, request_for
from tests.unit.issuance.acme.stub import PREFIX, Reply, Script, Stub, problem

NAMES = ("a.example.com", "b.example.com")


@pytest.fixture
def driver(worker: AccountWorker, clock: FrozenClock) -> OrderDriver:
    return OrderDriver(worker, clock)


@pytest.fixture
def reconciler(clock: FrozenClock) -> Reconciler:
    return Reconciler(names=NAMES, clock=clock)


async def test_an_order_costs_four_status_and_three_secret_writes(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    outcome = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert isinstance(outcome, Completed)
    assert reconciler.status_writes == ["Ordering", "OrderCreated", "OrderCreated", "done"]
    assert reconciler.secret_writes == ["pending", "tls", "pending deleted"]
    assert reconciler.presented_tokens == {}
    assert (stub.finalizations, len(stub.orders)) == (1, 1)


async def test_o2_reused_authorizations_cost_three_and_three(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    stub.reuse_authorizations = True
    await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert reconciler.status_writes == ["Ordering", "OrderCreated", "done"]
    assert len(reconciler.secret_writes) == 3
    assert stub.count("/chall") == 0


async def test_a_kept_key_is_not_stored_again(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock
) -> None:
    request = request_for(*NAMES)
    kept = request.make_key()
    request = request_for(*NAMES, existing_key=kept)
    reconciler.keep_key = True
    await reconciler.run(driver, request, wait=clock.advance)
    assert reconciler.secret_writes == ["tls"]
    assert reconciler.stored_key is not None
    assert public_key_of(reconciler.stored_key) == public_key_of(kept)
    assert kept.decode() not in repr(request)


@pytest.mark.parametrize("kill_at", range(1, 25))
async def test_o1_killed_at_any_step_one_order_is_finalized(
    make_session: MakeSession, clock: FrozenClock, stub: Stub, kill_at: int
) -> None:
    """Before and after each write, and between an effect at the CA and its record."""
    reconciler = Reconciler(names=NAMES, clock=clock, kill_at=kill_at)
    session = make_session()
    session.register((), True, None)
    worker = AccountWorker(session, clock=SystemClock())
    try:
        for holder in ("one", "two"):
            driver = OrderDriver(worker, clock)
            try:
                outcome = await reconciler.run(
                    driver, request_for(*NAMES), holder=holder, wait=clock.advance
                )
            except Killed:
                continue
            assert isinstance(outcome, Completed)
            break
        assert reconciler.done
        assert stub.finalizations == 1
        assert len(stub.orders) <= 2
        assert reconciler.kill_at is None, "the kill did not happen"
        assert (reconciler.presented_tokens, reconciler.pending) == ({}, {})
        assert reconciler.secret_writes.count("tls") == 1
    finally:
        await worker.aclose()


@pytest.mark.parametrize("path", ["/new-order", "/chall/", "/finalize/", "/order/", "/cert/"])
async def test_n12_a_lost_answer_costs_at_most_an_order_that_is_never_finalized(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub, path: str
) -> None:
    stub.lose_next(path)
    until = (Completed, Failed)
    outcome = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance, until=until)
    assert isinstance(outcome, Completed)
    assert stub.finalizations == 1
    assert len(stub.orders) == (2 if path == "/new-order" else 1)


async def test_o13_a_finalization_that_had_been_accepted_goes_on(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    """A CA may refuse the second finalization although the order is valid: read, then judge."""

    def act_and_refuse(act: object) -> Reply:
        act()  # type: ignore[operator]  # the stub's own callable
        return problem("malformed", 400, "already finalized")

    stub.scripts.append(Script("/finalize/", act_and_refuse, 1))
    outcome = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert isinstance(outcome, Completed)
    assert stub.finalizations == 1


async def test_a_failed_name_is_told_with_what_the_ca_said(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    error = {"type": PREFIX + "unauthorized", "detail": "203.0.113.9: Invalid response, 404"}
    stub.validate = lambda name: error if name == "b.example.com" else None
    outcome = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.identifier) == ("ChallengeFailed", "b.example.com")
    assert outcome.challenge == "http-01"
    assert "203.0.113.9: Invalid response, 404" in outcome.message
    assert reconciler.presented_tokens == {}
    stub.validate = lambda _: None
    healed = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert isinstance(healed, Completed)


async def test_w3_a_rate_limit_is_no_failure_and_is_not_asked_before_its_time(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    stub.fail_next("/new-order", problem("rateLimited", 429, headers={"Retry-After": "600"}))
    request = request_for(*NAMES)
    outcome = await reconciler.run(driver, request)
    assert isinstance(outcome, Blocked)
    assert (outcome.reason, outcome.wait_seconds) == ("RateLimited", 600.0)
    sent = len(stub.protected)
    clock.advance(599)
    early = await reconciler.step(driver, request, "one")
    assert isinstance(early, Blocked)
    assert early.wait_seconds == pytest.approx(1.0)
    assert len(stub.protected) == sent
    clock.advance(1)
    assert isinstance(await reconciler.run(driver, request, wait=clock.advance), Completed)
    assert reconciler.failed_attempts == 0


async def test_w2_whoever_wakes_us_the_ca_is_not_polled_early(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    request = request_for(*NAMES)
    reconciler.presentation = lambda: Presentation.READY
    while stub.count("/chall") < 2:
        await reconciler.step(driver, request, "one")
    sent = len(stub.protected)
    for _ in range(5):
        outcome = await reconciler.step(driver, request, "one")
        assert isinstance(outcome, Continue)
        assert 0 < outcome.wait_seconds <= 1.0
    assert len(stub.protected) == sent


async def test_nothing_is_asked_of_the_ca_while_nodes_take_up_the_answers(
    driver: OrderDriver, reconciler: Reconciler, stub: Stub
) -> None:
    request = request_for(*NAMES)
    reconciler.presentation = lambda: Presentation.PARTIAL
    while not reconciler.presented_tokens:
        await reconciler.step(driver, request, "one")
    sent = len(stub.protected)
    outcome = await reconciler.step(driver, request, "one")
    assert isinstance(outcome, Continue)
    assert outcome.step == "ChallengePresented"
    assert len(stub.protected) == sent


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(problem("serverInternal", 500), "CABusy", id="an internal error"),
        pytest.param(Reply(502, b"<html>"), "CABusy", id="a gateway's page"),
        pytest.param(Reply(reset=True), "CAUnreachable", id="a reset"),
        pytest.param(Reply(503, b""), "RateLimited", id="a 503"),
        pytest.param(problem("accountDoesNotExist", 400), "AccountLost", id="no account"),
    ],
)
async def test_n11_trouble_keeps_the_attempt(
    driver: OrderDriver,
    reconciler: Reconciler,
    clock: FrozenClock,
    stub: Stub,
    reply: Reply,
    reason: str,
) -> None:
    stub.fail_next("/new-order", reply)
    request = request_for(*NAMES)
    outcome = await reconciler.run(driver, request)
    assert isinstance(outcome, Blocked)
    assert outcome.reason == reason
    assert outcome.wait_seconds >= 1
    assert reconciler.attempt is not None
    clock.advance(outcome.wait_seconds)
    assert isinstance(await reconciler.run(driver, request, wait=clock.advance), Completed)


async def test_the_wait_for_an_unreachable_ca_grows(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    request = request_for(*NAMES)
    stub.fail_next("/new-order", Reply(reset=True), times=8)
    waits = []
    for _ in range(8):
        outcome = await reconciler.run(driver, request)
        assert isinstance(outcome, Blocked)
        waits.append(outcome.wait_seconds)
        clock.advance(max(outcome.wait_seconds, 60))
    assert waits == sorted(waits)
    assert waits[-1] > 60


@pytest.mark.parametrize(
    ("path", "code", "reason", "backoff"),
    [
        ("/new-order", "rejectedIdentifier", "OrderRefused", Backoff.PERMANENT),
        ("/new-order", "unauthorized", "OrderRefused", Backoff.LADDER),
        ("/finalize/", "badCSR", "FinalizationRefused", Backoff.PERMANENT),
        ("/finalize/", "caa", "FinalizationRefused", Backoff.LADDER),
    ],
)
async def test_w5_refusals_are_failures_of_their_class(
    driver: OrderDriver,
    reconciler: Reconciler,
    clock: FrozenClock,
    stub: Stub,
    path: str,
    code: str,
    reason: str,
    backoff: Backoff,
) -> None:
    stub.fail_next(path, problem(code, 403, "because", identifier={"type": "dns", "value": "x.y"}))
    outcome = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.backoff, outcome.identifier) == (reason, backoff, "x.y")
    assert outcome.message == f"CA: {code}: because"


async def test_r11_a_refused_order_with_replaces_is_repeated_once_without(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub
) -> None:
    stub.fail_next("/new-order", problem("malformed", 400))
    request = request_for(*NAMES, replaces="aki.serial")
    assert isinstance(await reconciler.run(driver, request, wait=clock.advance), Completed)


@pytest.mark.parametrize("reply", [problem("malformed", 404), problem("unauthorized", 403)])
async def test_o15_an_order_that_is_gone_is_made_anew(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock, stub: Stub, reply: Reply
) -> None:
    stub.fail_next("/order/", reply)
    outcome = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.backoff) == ("OrderLost", Backoff.IMMEDIATE)
    done = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance)
    assert isinstance(done, Completed)
    assert reconciler.failed_attempts == 1


async def test_two_replicas_that_race_finalize_one_order(
    make_session: MakeSession, clock: FrozenClock, stub: Stub
) -> None:
    """Both step through one status; the second finds what the first has recorded."""
    session = make_session()
    session.register((), True, None)
    worker = AccountWorker(session, clock=SystemClock())
    reconciler = Reconciler(names=NAMES, clock=clock)
    drivers = {"one": OrderDriver(worker, clock), "two": OrderDriver(worker, clock)}
    try:
        for _ in range(100):
            for holder, driver in drivers.items():
                await reconciler.step(driver, request_for(*NAMES), holder)
                clock.advance(timedelta(seconds=1))
            if reconciler.done:
                break
    finally:
        await worker.aclose()
    assert reconciler.done
    assert stub.finalizations == 1


async def test_no_outcome_shows_a_key(
    driver: OrderDriver, reconciler: Reconciler, clock: FrozenClock
) -> None:
    outcome = await reconciler.run(driver, request_for(*NAMES), wait=clock.advance, until=Obtained)
    assert isinstance(outcome, Obtained)
    line = outcome.key_pem.decode().splitlines()[1]
    assert line not in repr(outcome)
    assert line not in repr(reconciler.pending)


def test_the_session_is_the_one_of_the_worker(worker: AccountWorker, session: Session) -> None:
    assert worker.session is session
