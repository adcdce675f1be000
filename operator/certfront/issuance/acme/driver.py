"""Executes one step of the order state machine per call, against the reconciler's ports.

The rule that makes a kill harmless: a fact learned outside is returned as a new `Attempt`, which
the reconciler writes to status with compare-and-set before it calls again, and every call has at
most one external effect. What is kept in memory here (which challenges were started, when the CA
wants to be asked again) only spares requests; a restart may lose it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, Protocol, TypeVar

import msgspec

from certfront.issuance.acme import order as orders
from certfront.issuance.acme import reasons
from certfront.issuance.acme.order import (
    Abandon,
    AskPresented,
    Attempt,
    Backoff,
    Claim,
    Download,
    Effect,
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
    Step,
    StorePendingKey,
    View,
    Wait,
    decide,
)
from certfront.issuance.acme.problems import (
    AcmeProblem,
    CaUnreachable,
    CaUntrusted,
    Disposition,
    EndpointRefused,
    Operation,
)
from certfront.issuance.acme.resources import Authorization, Challenge, Order
from certfront.issuance.acme.session import Session
from certfront.issuance.acme.worker import AccountWorker
from certfront.model.clock import Clock

RATE_LIMIT_SECONDS: Final = 600.0
"""The wait after a rate limit that names none."""

_LONGEST_TROUBLE_WAIT = 300.0
_MOST_REMEMBERED = 4096

V = TypeVar("V")

_CA_STEPS = (ReadOrder, ReadAuthorizations, NewOrder, StartChallenges, Finalize, Download)
_LIVES_ON = (Disposition.RATE_LIMITED, Disposition.RETRY_SOON, Disposition.ACCOUNT_GONE)


class OrderPorts(Protocol):
    """What the reconciler does for an order: Secrets and challenges, all by live calls."""

    async def pending_key(self, attempt_id: str) -> Pending | None:
        """The stored key of an attempt; None only where a live read found none."""
        ...

    async def store_pending_key(self, attempt_id: str, key_pem: bytes, order_url: str) -> Pending:
        """Create the attempt's immutable key Secret; where one exists, what it holds."""
        ...

    async def present(self, attempt: Attempt) -> None:
        """Hand the attempt's answers to whoever serves them; present already is done."""
        ...

    async def presented(self, attempt: Attempt) -> Presentation:
        """How far the answers are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What is ordered. Names are normalised (A-labels, canonical addresses).

    `make_key` returns a new private key as PEM, `make_csr` the DER request for such a key; both
    run in a thread. `existing_key` is the one in the TLS Secret, used by attempts that keep it.
    """

    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...] = ()
    make_key: Callable[[], bytes]
    make_csr: Callable[[bytes], bytes]
    profile: str | None = None
    replaces: str | None = None
    existing_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """Go on: write `attempt` to status if there is one, show `step`, call again after the wait."""

    attempt: Attempt | None
    step: str
    message: str
    wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The CA cannot be asked or asks to wait. The attempt lives on; nothing has failed.

    With reason AccountLost the account must be registered again before the next call.
    """

    reason: str
    message: str
    wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """The CA has issued. To be checked against key and names, stored, then reported."""

    attempt: Attempt
    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    certificate_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The TLS Secret holds the need: write the facts, clear the attempt."""

    attempt: Attempt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt is over: count it, clear it from status.

    `identifier` and `challenge` are empty where the failure concerns no single name.
    """

    attempt: Attempt
    reason: str
    message: str
    identifier: str
    challenge: str
    backoff: Backoff
    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """The attempt is no longer wanted: clear it without counting."""

    attempt: Attempt
    reason: str
    message: str


Outcome = Continue | Blocked | Obtained | Completed | Failed | Abandoned


class OrderDriver:
    """Advances the orders of one account. Keeps no fact that a restart would miss."""

    def __init__(self, worker: AccountWorker, clock: Clock) -> None:
        self._worker = worker
        self._clock = clock
        self._started: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._not_before: OrderedDict[str, tuple[float, Continue | Blocked]] = OrderedDict()

    async def advance(self, view: View, request: OrderRequest, ports: OrderPorts) -> Outcome:
        """Read what the decision needs, then do one thing.

        `view` holds what the reconciler knows (attempt, need, holder, TLS Secret, route); what is
        UNREAD in it is read here. Raises only what the ports raise.
        """
        outcome = await self._advance(view, request, ports)
        if isinstance(outcome, Completed | Failed | Abandoned) and outcome.attempt is not None:
            self._forget(outcome.attempt)
        return outcome

    async def _advance(self, view: View, request: OrderRequest, ports: OrderPorts) -> Outcome:
        view = self._known(view, request)
        try:
            step = decide(view)
            while not isinstance(step, Effect):
                early = self._too_early(view, step)
                if early is not None:
                    return early
                view = await self._read(view, step, ports)
                step = decide(view)
            return self._too_early(view, step) or await self._do(view, step, request, ports)
        except AcmeProblem as problem:
            return self._remember(view, self._trouble(view, problem))
        except CaUnreachable as error:
            untrusted = isinstance(error, CaUntrusted)
            reason = reasons.CA_UNTRUSTED if untrusted else reasons.CA_UNREACHABLE
            return self._remember(view, self._blocked(view, reason, str(error)))
        except EndpointRefused as error:
            return self._remember(view, self._blocked(view, reasons.ENDPOINT_REFUSED, str(error)))

    def _forget(self, attempt: Attempt) -> None:
        self._started.pop(attempt.id, None)
        self._not_before.pop(attempt.id, None)

    # Reading

    def _known(self, view: View, request: OrderRequest) -> View:
        attempt = view.attempt
        if attempt is None:
            return view
        view = replace(view, started=self._started.get(attempt.id, frozenset()))
        if request.existing_key is None or not attempt.kept_key:
            return view
        # The key is in the TLS Secret already, so none is stored for the order.
        kept = attempt.order_url and Pending(
            key_pem=request.existing_key,
            order_url=attempt.order_url,
            created_at=attempt.started_at or attempt.claimed_at,
        )
        return replace(view, pending=kept or None)

    async def _read(self, view: View, step: Step, ports: OrderPorts) -> View:
        attempt = _attempt_of(view)
        match step:
            case ReadPending():
                return replace(view, pending=await ports.pending_key(attempt.id))
            case AskPresented():
                return replace(view, presented=await ports.presented(attempt))
            case ReadOrder(url):
                return await self._read_order(view, url)
            case ReadAuthorizations(urls):
                return await self._read_authorizations(view, urls)
            case _:
                raise AssertionError("not a read")

    async def _read_order(self, view: View, url: str) -> View:
        try:
            order = await self._worker.call(lambda: self._session.read_order(url))
        except AcmeProblem as problem:
            if problem.disposition is not Disposition.GONE:
                raise
            return replace(view, order=problem.problem)
        return replace(view, order=order)

    async def _read_authorizations(self, view: View, urls: tuple[str, ...]) -> View:
        try:
            found = [await self._worker.call(_reader(self._session, url)) for url in urls]
        except AcmeProblem as problem:
            if problem.disposition is not Disposition.GONE:
                raise
            return replace(view, order=problem.problem)
        return replace(view, authorizations=tuple(found))

    # Doing

    async def _do(
        self, view: View, step: Effect, request: OrderRequest, ports: OrderPorts
    ) -> Outcome:
        match step:
            case Wait():
                return self._wait(view, step)
            case NewOrder(attempt):
                return await self._new_order(attempt, request)
            case Present(attempt):
                await ports.present(attempt)
                return _go_on(reasons.CHALLENGE_PRESENTED, "the answers are handed out", 1.0)
            case StartChallenges():
                return await self._start(view, step)
            case StorePendingKey(attempt, order):
                key = await self._worker.call(request.make_key)
                await ports.store_pending_key(attempt.id, key, order.url)
                return _go_on(reasons.FINALIZING, "the order is ready")
            case Finalize(order, pending):
                return await self._finalize(view, order, pending, request)
            case Download(url, pending):
                chain = await self._worker.call(lambda: self._session.download(url))
                return Obtained(
                    attempt=_attempt_of(view),
                    chain_pem=chain,
                    key_pem=pending.key_pem,
                    certificate_url=url,
                )
            case _:
                return _written(step)

    async def _new_order(self, attempt: Attempt, request: OrderRequest) -> Outcome:
        def place(replaces: str | None) -> Order:
            return self._session.new_order(
                request.dns_names,
                request.ip_addresses,
                profile=request.profile,
                replaces=replaces,
            )

        try:
            order = await self._worker.call(lambda: place(request.replaces))
        except AcmeProblem as problem:
            if request.replaces is None or problem.disposition in _LIVES_ON:
                raise
            # Whatever the refusal says, it may be the optional field that is refused.
            order = await self._worker.call(lambda: place(None))
        return Continue(
            attempt=msgspec.structs.replace(attempt, order_url=order.url),
            step=reasons.ORDER_CREATED,
            message="the CA has accepted the order",
            wait_seconds=0,
        )

    async def _start(self, view: View, step: StartChallenges) -> Outcome:
        for record in step.records:
            url = record.challenge_url
            await self._worker.call(_starter(self._session, url))
            self._note_started(_attempt_of(view), url)
        names = ", ".join(record.identifier for record in step.records[:3])
        return self._remember(
            view, _go_on(reasons.VALIDATING, f"the CA has been asked to validate {names}", 1.0)
        )

    async def _finalize(
        self, view: View, order: Order, pending: Pending, request: OrderRequest
    ) -> Outcome:
        def hand_in() -> Order:
            return self._session.finalize(order, request.make_csr(pending.key_pem))

        try:
            now = await self._worker.call(hand_in)
        except AcmeProblem as problem:
            if problem.disposition in _LIVES_ON and problem.code != "orderNotReady":
                raise
            # It may have been finalized all the same, by a call whose answer was lost.
            now = await self._worker.call(lambda: self._session.read_order(order.url))
            if now.status == "ready":
                raise
        self._note_started(_attempt_of(view), order.finalize)
        done = now.status in ("valid", "invalid")
        wait = 0.0 if done else now.retry_after or 1.0
        outcome = _go_on(reasons.FINALIZING, "waiting for the CA to sign", wait)
        return outcome if done else self._remember(view, outcome)

    def _wait(self, view: View, step: Wait) -> Outcome:
        if step.progress == reasons.NO_ROUTE_FOR_CHALLENGE:
            return Blocked(reason=step.progress, message=step.message, wait_seconds=step.seconds)
        outcome = _go_on(step.progress, step.message, step.seconds)
        return self._remember(view, outcome) if step.on_ca else outcome

    # Trouble

    def _trouble(self, view: View, problem: AcmeProblem) -> Outcome:
        said = problem.problem.describe()
        match problem.disposition:
            case Disposition.RATE_LIMITED:
                return Blocked(
                    reason=reasons.RATE_LIMITED,
                    message=f"the CA asks to wait: {said}",
                    wait_seconds=max(_or(problem.retry_after, RATE_LIMIT_SECONDS), 1.0),
                )
            case Disposition.ACCOUNT_GONE:
                return self._blocked(view, reasons.ACCOUNT_LOST, f"CA: {said}")
            case Disposition.RETRY_SOON:
                blocked = self._blocked(view, reasons.CA_BUSY, f"{problem.operation}: {said}")
                wait = max(blocked.wait_seconds, problem.retry_after or 0.0)
                return replace(blocked, wait_seconds=wait)
            case Disposition.GONE:
                return _over(orders.lost(view, _attempt_of(view), problem.problem))
            case _:
                return self._refused(view, problem)

    def _refused(self, view: View, problem: AcmeProblem) -> Outcome:
        if view.attempt is None or problem.operation not in (
            Operation.NEW_ORDER,
            Operation.FINALIZE,
        ):
            return self._blocked(view, reasons.CA_BUSY, problem.problem.describe())
        failed = _over(orders.refused(view.attempt, problem.operation, problem.problem))
        return replace(failed, retry_after=problem.retry_after)

    def _blocked(self, view: View, reason: str, message: str) -> Blocked:
        """The wait grows with the age of the attempt: an outage of hours is asked about rarely."""
        waited = timedelta() if view.attempt is None else view.now - view.attempt.claimed_at
        identity = view.attempt.id if view.attempt is not None else view.holder
        return Blocked(
            reason=reason,
            message=message,
            wait_seconds=orders.patience(waited, identity, longest=_LONGEST_TROUBLE_WAIT),
        )

    # Memory that spares requests

    @property
    def _session(self) -> Session:
        return self._worker.session

    def _too_early(self, view: View, step: Step) -> Outcome | None:
        """Whoever wakes the reconciler, the CA is not asked more often than it wants (W2)."""
        if view.attempt is None or not isinstance(step, _CA_STEPS):
            return None
        until, outcome = self._not_before.get(view.attempt.id, (0.0, None))
        left = until - self._clock.monotonic()
        if outcome is None or left <= 0:
            return None
        return replace(outcome, wait_seconds=left)

    def _remember(self, view: View, outcome: Outcome) -> Outcome:
        if view.attempt is not None and isinstance(outcome, Continue | Blocked):
            until = self._clock.monotonic() + outcome.wait_seconds
            _put(self._not_before, view.attempt.id, (until, outcome))
        return outcome

    def _note_started(self, attempt: Attempt, url: str) -> None:
        _put(self._started, attempt.id, self._started.get(attempt.id, frozenset()) | {url})


def _written(step: Effect) -> Outcome:
    """Steps that are only a fact for status."""
    match step:
        case Claim(attempt):
            return _record(attempt, reasons.ORDERING, "about to order from the CA")
        case RecordTokens(attempt):
            return _record(attempt, reasons.ORDER_CREATED, "the CA asks for proof of control")
        case Report(attempt):
            return Completed(attempt=attempt)
        case Abandon():
            return Abandoned(attempt=step.attempt, reason=step.reason, message=step.message)
        case Fail():
            return _over(step)
        case _:
            raise AssertionError("not a fact for status")


def _over(fail: Fail) -> Failed:
    return Failed(
        attempt=fail.attempt,
        reason=fail.reason,
        message=fail.message,
        identifier=fail.identifier,
        challenge=fail.challenge,
        backoff=fail.backoff,
        retry_after=fail.retry_after,
    )


def _record(attempt: Attempt, step: str, message: str) -> Continue:
    return Continue(attempt=attempt, step=step, message=message, wait_seconds=0)


def _go_on(step: str, message: str, wait_seconds: float = 0) -> Continue:
    return Continue(attempt=None, step=step, message=message, wait_seconds=wait_seconds)


def _attempt_of(view: View) -> Attempt:
    if view.attempt is None:
        raise AssertionError("the step belongs to no attempt")
    return view.attempt


def _reader(session: Session, url: str) -> Callable[[], Authorization]:
    return lambda: session.read_authorization(url)


def _starter(session: Session, url: str) -> Callable[[], Challenge]:
    return lambda: session.start_challenge(url)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _put(memory: OrderedDict[str, V], key: str, value: V) -> None:
    """Keep the newest few thousand: what is forgotten costs one request."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST_REMEMBERED:
        memory.popitem(last=False)
