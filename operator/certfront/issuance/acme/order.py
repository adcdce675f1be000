"""The order state machine: what to do next for one attempt at a certificate. Pure.

`decide` looks at a `View` and returns one `Step`. A step either asks for something to be read
(then `decide` is called again with it), or is the one effect of this pass. What is durable after
each, and what a restart finds, is this table:

    Claim           S1: the attempt is in status before anything is ordered
    NewOrder        at the CA; its URL is recorded at once (S2)
    RecordTokens    S3: tokens are in status before any answer is presented
    Present         the answers are handed to whoever serves them
    StartChallenges at the CA, after the answers are known to be served
    StorePendingKey K1: the key is in a Secret before the CA sees a request
    Finalize        at the CA, with the key that the API server returned
    Download        then the reconciler checks and stores the pair (K2)
    Report          the Secret holds the need: S4, then clean-up (K3)

`driver` executes steps; the model tests walk over `decide`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

import msgspec

from certfront.issuance.acme import reasons
from certfront.issuance.acme.problems import Disposition, Operation, Problem, classify
from certfront.issuance.acme.resources import Authorization, Challenge, Order
from certfront.issuance.schedule import fraction
from certfront.model.meta import Value

CLAIM_SECONDS: Final = 60.0
"""The deadline of one call: a claim of another holder may still be ordering for so long."""

PRESENT_DEADLINE: Final = timedelta(minutes=5)
VALIDATE_DEADLINE: Final = timedelta(minutes=20)
FINALIZE_DEADLINE: Final = timedelta(minutes=30)
"""Nothing is sure to become invalid, so each wait ends by itself: counted from the tokens' record
(the first two; validation includes presenting) and from the pending key's creation."""

_SHORTEST_POLL, _LONGEST_POLL = 1.0, 30.0
_LONGEST_ADVISED_POLL = 3600.0
_SHOWN_NAMES = 3


class ChallengeRecord(Value, frozen=True, kw_only=True):
    """One challenge of an attempt, as status keeps it: enough to answer it from any replica."""

    identifier: str
    type: str
    token: str = ""
    url: str
    challenge_url: str = msgspec.field(name="challengeURL")


class Attempt(Value, frozen=True, kw_only=True):
    """One attempt at a need: what `status.order` holds. `id` is the need and the retry number.

    `kept_key` is decided with the claim: a rotation setting that changes later does not change it.
    """

    id: str
    need: str
    number: int
    claimed_at: datetime
    holder: str | None = None
    order_url: str | None = msgspec.field(name="orderURL", default=None)
    authorizations: tuple[ChallengeRecord, ...] = ()
    started_at: datetime | None = None
    certificate_url: str | None = msgspec.field(name="certificateURL", default=None)
    kept_key: bool = False


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The stored key of an open order. The key is only ever shown to who finalizes."""

    key_pem: bytes
    order_url: str
    created_at: datetime

    def __repr__(self) -> str:
        """Never the key."""
        return f"Pending(order_url={self.order_url!r})"


class Presentation(Enum):
    """How far the answers to an attempt's challenges are."""

    ABSENT = auto()
    """Nothing has been handed over, or it was removed."""
    PARTIAL = auto()
    """Handed over; not every node has confirmed it."""
    READY = auto()
    """Whoever the CA asks answers."""


class Unread(Enum):
    """What this pass has not read yet."""

    UNREAD = auto()


UNREAD: Final = Unread.UNREAD


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that a decision depends on, as read in this pass.

    `attempt` is None where status holds none. `need` is None where nothing is wanted any more.
    `secret_has_need` is from a live read of the TLS Secret. `no_route` says why the challenges
    could not be answered, None where they can. `pending` is None where a live read found no key.
    `order` is a Problem where the CA no longer knows it. `started` holds the URLs of challenges
    that this process has started and of orders that it has finalized.
    """

    now: datetime
    holder: str
    need: str | None
    number: int = 1
    attempt: Attempt | None = None
    failed_attempts: int = 0
    secret_has_need: bool = False
    no_route: str | None = None
    challenge_types: tuple[str, ...] = ("http-01",)
    pending: Pending | Unread | None = UNREAD
    presented: Presentation | Unread = UNREAD
    order: Order | Problem | Unread = UNREAD
    authorizations: tuple[Authorization, ...] | Unread = UNREAD
    started: frozenset[str] = frozenset()
    keep_key: bool = False


class Backoff(Enum):
    """When the next attempt may come."""

    IMMEDIATE = auto()
    """At once: the attempt was lost to a restart of ours or of the CA, for the first time."""
    LADDER = auto()
    """After the wait of `schedule.retry_delay`."""
    PERMANENT = auto()
    """After a changed spec or by a person; a slow daily re-check otherwise."""


@dataclass(frozen=True, slots=True)
class ReadPending:
    """Read the attempt's pending key, live."""


@dataclass(frozen=True, slots=True)
class AskPresented:
    """Ask how far the answers to the challenges are."""


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """Read the order from the CA."""

    url: str


@dataclass(frozen=True, slots=True)
class ReadAuthorizations:
    """Read these authorizations from the CA. Challenges are never read: that may start them."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """Write this attempt to status, with compare-and-set, before ordering."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class NewOrder:
    """Place the order, then record its URL."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class RecordTokens:
    """Write the challenges' tokens to status before anything is presented."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Present:
    """Hand the answers over to whoever serves them."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class StartChallenges:
    """Tell the CA that the answers to these challenges are in place."""

    records: tuple[ChallengeRecord, ...]


@dataclass(frozen=True, slots=True)
class StorePendingKey:
    """Make a key and store it under the attempt's id; what is stored already wins."""

    attempt: Attempt
    order: Order


@dataclass(frozen=True, slots=True)
class Finalize:
    """Hand in a request for the stored key."""

    order: Order
    pending: Pending


@dataclass(frozen=True, slots=True)
class Download:
    """Fetch the chain; checking and storing it is the reconciler's."""

    url: str
    pending: Pending


@dataclass(frozen=True, slots=True)
class Report:
    """The TLS Secret holds the need: write the facts, clear the attempt, clean up."""

    attempt: Attempt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do for `seconds`. `on_ca`: what is waited for is at the CA, so that looking
    earlier, for whatever reason, would be asking more often than it wants."""

    seconds: float
    progress: str
    message: str
    on_ca: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """Give the attempt up without a failure: what was wanted has changed."""

    attempt: Attempt
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The attempt has failed for good; the next one has a new id and order."""

    attempt: Attempt
    reason: str
    message: str
    identifier: str = ""
    challenge: str = ""
    backoff: Backoff = Backoff.LADDER
    retry_after: float | None = None


Read = ReadPending | AskPresented | ReadOrder | ReadAuthorizations
Effect = (
    Claim
    | NewOrder
    | RecordTokens
    | Present
    | StartChallenges
    | StorePendingKey
    | Finalize
    | Download
    | Report
    | Wait
    | Abandon
    | Fail
)
Step = Read | Effect


def attempt_id(need: str, number: int) -> str:
    """The id of the `number`-th attempt at a need; names the attempt's Secrets."""
    return f"{need}-{number}"


def decide(view: View) -> Step:
    """The next step. Reading order: is it done, is it still wanted, how far is it."""
    attempt = view.attempt
    if view.secret_has_need and (attempt is None or attempt.need == view.need):
        return Report(attempt)
    if attempt is None:
        return _before_claim(view)
    if attempt.need != view.need:
        return Abandon(
            attempt=attempt,
            reason=reasons.SPEC_CHANGED,
            message="what is wanted has changed; the open order is given up",
        )
    if attempt.order_url is None:
        return _before_order(view, attempt)
    return _with_order(view, attempt, attempt.order_url)


def _before_claim(view: View) -> Step:
    if view.need is None:
        return Wait(seconds=_LONGEST_ADVISED_POLL, progress=reasons.ORDERING, message="")
    if view.no_route is not None:
        return _no_route(view.no_route)
    return Claim(_claimed(view, view.need, view.number))


def _before_order(view: View, attempt: Attempt) -> Step:
    """Nothing is known to be ordered. A claim of someone else may be ordering right now."""
    if view.pending is UNREAD:
        return ReadPending()
    if isinstance(view.pending, Pending):
        return _foreign_key(view, attempt)
    if _interrupted(view, attempt):
        age = (view.now - attempt.claimed_at).total_seconds()
        if 0 <= age < CLAIM_SECONDS:
            return Wait(
                seconds=CLAIM_SECONDS - age,
                progress=reasons.ORDERING,
                message="another replica may be placing the order",
            )
        return Claim(_claimed(view, attempt.need, attempt.number))
    if view.no_route is not None:
        return _no_route(view.no_route)
    return NewOrder(attempt)


def _claimed(view: View, need: str, number: int) -> Attempt:
    return Attempt(
        id=attempt_id(need, number),
        need=need,
        number=number,
        claimed_at=view.now.replace(microsecond=0),
        holder=view.holder,
        kept_key=view.keep_key,
    )


def _no_route(why: str) -> Wait:
    return Wait(seconds=_LONGEST_ADVISED_POLL, progress=reasons.NO_ROUTE_FOR_CHALLENGE, message=why)


def _with_order(view: View, attempt: Attempt, url: str) -> Step:
    if attempt.authorizations and view.order is UNREAD:
        unserved = _serve_answers(view, attempt)
        if unserved is not None:
            return unserved
    if view.order is UNREAD:
        return ReadOrder(url)
    if isinstance(view.order, Problem):
        return lost(view, attempt, view.order)
    return _by_status(view, attempt, view.order)


def _by_status(view: View, attempt: Attempt, order: Order) -> Step:
    match order.status:
        case "pending":
            return _prove(view, attempt, order)
        case "ready" | "processing" | "valid":
            return _issue(view, attempt, order)
        case "invalid":
            return _invalid(view, attempt, order)
        case _:
            # expired, deactivated, revoked, or a status of the future: this order is over (O8).
            return _fail(
                attempt,
                reasons.ORDER_EXPIRED,
                f"the order is {order.status}",
                backoff=_free_once(view),
            )


# Proof of control


def _serve_answers(view: View, attempt: Attempt) -> Step | None:
    """Present the answers and wait for the nodes; None once they are served.

    Comes before any read of the CA: what it would say about challenges matters only afterwards.
    """
    if view.presented is UNREAD:
        return AskPresented()
    if view.presented is Presentation.READY:
        return None
    if view.presented is Presentation.ABSENT:
        return Present(attempt)
    if _overdue(view, attempt.started_at, PRESENT_DEADLINE):
        return _fail(
            attempt,
            reasons.CHALLENGE_NOT_SERVED,
            f"the answers for {_names(attempt.authorizations)} were not served by all nodes in "
            "time",
        )
    return Wait(
        seconds=_interval(view, attempt),
        progress=reasons.CHALLENGE_PRESENTED,
        message=f"waiting until the answers for {_names(attempt.authorizations)} are served",
    )


def _prove(view: View, attempt: Attempt, order: Order) -> Step:
    if order.expires is not None and order.expires <= view.now:
        return _fail(
            attempt,
            reasons.ORDER_EXPIRED,
            "the order expired before it was validated",
            backoff=_free_once(view),
        )
    if view.authorizations is UNREAD:
        recorded = tuple(record.url for record in attempt.authorizations)
        return ReadAuthorizations(recorded or order.authorizations)
    failed = _first_failed(view.authorizations)
    if failed is not None:
        return _challenge_failed(view, attempt, failed)
    if not attempt.authorizations:
        return _record_tokens(view, attempt, view.authorizations)
    return _start_or_wait(view, attempt, order, view.authorizations)


def _record_tokens(view: View, attempt: Attempt, authorizations: Sequence[Authorization]) -> Step:
    """Choose a challenge for each name that is not valid already (O3)."""
    records = []
    for authorization in authorizations:
        if authorization.status == "valid":
            continue
        chosen = _usable(authorization, view.challenge_types)
        if chosen is None:
            return _no_usable_challenge(view, attempt, authorization)
        records.append(_record(authorization, chosen))
    if not records:
        return _await_ready(view, attempt, None)
    return RecordTokens(
        msgspec.structs.replace(
            attempt, authorizations=tuple(records), started_at=view.now.replace(microsecond=0)
        )
    )


def _start_or_wait(
    view: View, attempt: Attempt, order: Order, authorizations: Sequence[Authorization]
) -> Step:
    """All answers are served: start what has not begun, then wait (O6)."""
    if _overdue(view, attempt.started_at, VALIDATE_DEADLINE):
        return _validation_timed_out(view, attempt, authorizations)
    offered = {
        challenge.url: challenge
        for authorization in authorizations
        if authorization.status == "pending"
        for challenge in authorization.challenges
    }
    to_start = tuple(
        record
        for record in attempt.authorizations
        if record.challenge_url not in view.started
        and _startable(offered.get(record.challenge_url))
    )
    if to_start:
        return StartChallenges(to_start)
    return _await_validation(view, attempt, order, authorizations)


def _await_validation(
    view: View, attempt: Attempt, order: Order, authorizations: Sequence[Authorization]
) -> Step:
    open_ones = [a for a in authorizations if a.status != "valid"]
    advice = [a.retry_after for a in open_ones if a.retry_after is not None]
    names = _join([a.name for a in open_ones])
    return Wait(
        seconds=_poll_interval(view, attempt, max(advice, default=order.retry_after)),
        progress=reasons.VALIDATING,
        message=f"waiting for the CA to validate {names}" if names else "all names are validated",
        on_ca=True,
    )


def _validation_timed_out(
    view: View, attempt: Attempt, authorizations: Sequence[Authorization]
) -> Fail:
    """Nothing is sure to become invalid: a challenge's error tells more than the time-out."""
    late = _first_with_error(authorizations)
    if late is not None:
        return _challenge_failed(view, attempt, late)
    open_ones = [a.name for a in authorizations if a.status != "valid"]
    return _fail(
        attempt,
        reasons.VALIDATION_TIMED_OUT,
        f"the CA did not finish validating {_join(open_ones) or 'the order'} in time",
        identifier=open_ones[0] if open_ones else "",
        backoff=_free_once(view) if _interrupted(view, attempt) else Backoff.LADDER,
    )


def _await_ready(view: View, attempt: Attempt, retry_after: float | None) -> Step:
    """All names are valid, the order still pending: the CA is about to notice."""
    if _overdue(view, attempt.claimed_at, VALIDATE_DEADLINE):
        return _fail(
            attempt, reasons.VALIDATION_TIMED_OUT, "the order did not become ready in time"
        )
    return Wait(
        seconds=_poll_interval(view, attempt, retry_after),
        progress=reasons.VALIDATING,
        message="all names are validated",
        on_ca=True,
    )


def _usable(authorization: Authorization, types: Sequence[str]) -> Challenge | None:
    """The challenge of the first configured type that the CA offers; unknown ones are ignored."""
    for wanted in types:
        if authorization.wildcard and wanted == "http-01":
            continue
        for challenge in authorization.challenges:
            if challenge.type == wanted and challenge.token and challenge.url:
                return challenge
    return None


def _record(authorization: Authorization, challenge: Challenge) -> ChallengeRecord:
    return ChallengeRecord(
        identifier=authorization.name,
        type=challenge.type,
        token=challenge.token or "",
        url=authorization.url,
        challenge_url=challenge.url,
    )


def _startable(challenge: Challenge | None) -> bool:
    """Pending and untried. One with an error has been tried and is the CA's to repeat."""
    return challenge is not None and challenge.status == "pending" and challenge.error is None


def _first_failed(authorizations: Sequence[Authorization]) -> Authorization | None:
    """The first one that can no longer become valid (O7, O8), whatever the order says."""
    for authorization in authorizations:
        if authorization.status not in ("pending", "valid", "processing"):
            return authorization
        if authorization.status != "valid" and any(
            challenge.status == "invalid" for challenge in authorization.challenges
        ):
            return authorization
    return None


def _first_with_error(authorizations: Sequence[Authorization]) -> Authorization | None:
    return next((a for a in authorizations if _failed_challenge(a) is not None), None)


def _failed_challenge(authorization: Authorization) -> Challenge | None:
    challenges = authorization.challenges
    invalid = (c for c in challenges if c.status == "invalid")
    return next(invalid, None) or next((c for c in challenges if c.error is not None), None)


def _challenge_failed(view: View, attempt: Attempt, authorization: Authorization) -> Fail:
    challenge = _failed_challenge(authorization)
    error = challenge.error if challenge is not None else None
    said = error.describe() if error is not None else f"the authorization is {authorization.status}"
    return _fail(
        attempt,
        reasons.CHALLENGE_FAILED,
        f"{authorization.name}: CA: {said}",
        identifier=authorization.name,
        challenge=challenge.type if challenge is not None else "",
        backoff=_after_validation(view, attempt, error),
    )


def _after_validation(view: View, attempt: Attempt, error: Problem | None) -> Backoff:
    """A connection that failed across a restart of ours was our own doing: once for nothing."""
    connection = error is None or error.code in ("connection", "tls", "dns")
    return _free_once(view) if connection and _interrupted(view, attempt) else Backoff.LADDER


def _interrupted(view: View, attempt: Attempt) -> bool:
    """Whether the attempt was begun by a process that is no longer at it."""
    return attempt.holder != view.holder


def _no_usable_challenge(view: View, attempt: Attempt, authorization: Authorization) -> Fail:
    offered = _join(sorted({c.type for c in authorization.challenges})) or "none"
    return _fail(
        attempt,
        reasons.NO_USABLE_CHALLENGE,
        f"{authorization.name}: the CA offers {offered}; the Issuer has a solver for "
        f"{_join(view.challenge_types) or 'none'}",
        identifier=authorization.name,
        backoff=Backoff.PERMANENT,
    )


# Issuing


def _issue(view: View, attempt: Attempt, order: Order) -> Step:
    if view.pending is UNREAD:
        return ReadPending()
    if view.pending is None:
        if order.status == "ready":
            return StorePendingKey(attempt, order)
        return _fail(
            attempt,
            reasons.KEY_LOST,
            "the key of the open order is gone; its certificate cannot be used",
            backoff=_free_once(view),
        )
    if view.pending.order_url != attempt.order_url:
        return _foreign_key(view, attempt)
    return _finish(view, attempt, order, view.pending)


def _foreign_key(view: View, attempt: Attempt) -> Fail:
    """A pending key that names another order than status does: an older copy of status, or a trap.

    Whoever may write Secrets in the namespace could have put it there, so the URL is never followed.
    """
    return _fail(
        attempt,
        reasons.KEY_LOST,
        "the pending key belongs to another order; a new one is placed",
        backoff=_free_once(view),
    )


def _finish(view: View, attempt: Attempt, order: Order, pending: Pending) -> Step:
    if order.status == "ready" and order.finalize not in view.started:
        return Finalize(order, pending)
    if order.status == "valid" and order.certificate is not None:
        return Download(order.certificate, pending)
    if _overdue(view, pending.created_at, FINALIZE_DEADLINE):
        return _fail(
            attempt,
            reasons.FINALIZATION_TIMED_OUT,
            "the CA did not deliver the certificate in time",
        )
    return Wait(
        seconds=_poll_interval(view, attempt, order.retry_after, since=pending.created_at),
        progress=reasons.FINALIZING,
        message="waiting for the CA to sign",
        on_ca=True,
    )


# Ends


def _invalid(view: View, attempt: Attempt, order: Order) -> Step:
    """The authorizations tell which name it was; the order's own error is second best."""
    if view.authorizations is UNREAD:
        return ReadAuthorizations(order.authorizations)
    failed = _first_failed(view.authorizations)
    if failed is not None:
        return _challenge_failed(view, attempt, failed)
    said = order.error.describe() if order.error is not None else "no reason was given"
    return _fail(
        attempt,
        reasons.ORDER_FAILED,
        f"CA: the order is invalid: {said}",
        identifier=_identifier_of(order.error),
        backoff=_backoff_of(order.error),
    )


def lost(view: View, attempt: Attempt, problem: Problem) -> Fail:
    """404, 400 and 403 on reading an order all mean: forget it, keep the count (O15)."""
    return _fail(
        attempt,
        reasons.ORDER_LOST,
        f"the CA no longer knows the order: {problem.describe()}",
        backoff=_free_once(view),
    )


def refused(attempt: Attempt, operation: Operation, problem: Problem) -> Fail:
    """The failure that a refused newOrder or finalization is; `driver` has classified it."""
    permanent = classify(operation, problem.type, problem.status or 400) is Disposition.PERMANENT
    ordering = operation is Operation.NEW_ORDER
    return _fail(
        attempt,
        reasons.ORDER_REFUSED if ordering else reasons.FINALIZATION_REFUSED,
        f"CA: {problem.describe()}",
        identifier=_identifier_of(problem),
        backoff=Backoff.PERMANENT if permanent else Backoff.LADDER,
    )


def _fail(
    attempt: Attempt,
    reason: str,
    message: str,
    *,
    identifier: str = "",
    challenge: str = "",
    backoff: Backoff = Backoff.LADDER,
) -> Fail:
    return Fail(
        attempt=attempt,
        reason=reason,
        message=message,
        identifier=identifier,
        challenge=challenge,
        backoff=backoff,
    )


def _free_once(view: View) -> Backoff:
    """At once after the first failure in a row, by the ladder after any further one."""
    return Backoff.IMMEDIATE if view.failed_attempts == 0 else Backoff.LADDER


def _backoff_of(error: Problem | None) -> Backoff:
    if error is None:
        return Backoff.LADDER
    disposition = classify(Operation.FINALIZE, error.type, error.status or 400)
    return Backoff.PERMANENT if disposition is Disposition.PERMANENT else Backoff.LADDER


def _identifier_of(problem: Problem | None) -> str:
    if problem is None:
        return ""
    named = [sub.identifier for sub in problem.subproblems if sub.identifier]
    return problem.identifier or (named[0] if named else "")


# Waits


def _overdue(view: View, since: datetime | None, after: timedelta) -> bool:
    return since is not None and view.now - since >= after


def _poll_interval(
    view: View, attempt: Attempt, advised: float | None, *, since: datetime | None = None
) -> float:
    """The CA's advice, else an interval that grows with the wait (W2)."""
    if advised is not None:
        return min(max(advised, _SHORTEST_POLL), _LONGEST_ADVISED_POLL)
    return _interval(view, attempt, since=since)


def _interval(view: View, attempt: Attempt, *, since: datetime | None = None) -> float:
    begun = since or attempt.started_at or attempt.claimed_at
    return patience(view.now - begun, attempt.id, longest=_LONGEST_POLL)


def patience(waited: timedelta, identity: str, *, longest: float) -> float:
    """Seconds until the next look: a quarter of what has been waited, 1 s … `longest`, and up to a
    quarter more so that equal waits do not meet again. Grows without anything being stored."""
    seconds = min(max(waited.total_seconds() / 4, _SHORTEST_POLL), longest)
    return seconds * (1 + fraction(identity) / 4)


def _names(records: Sequence[ChallengeRecord]) -> str:
    return _join([record.identifier for record in records])


def _join(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
