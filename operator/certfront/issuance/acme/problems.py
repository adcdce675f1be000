"""What a CA answers when it refuses: problem documents (RFC 7807, RFC 8555 section 6.7).

The exceptions of this package, by what the caller must do, and the classification that decides
it. The problem type alone never does: the same `malformed` is a bad request, an order that is
gone or a refused optional field, depending on the operation.

    AcmeError
      ├ AcmeProblem       the CA answered with an error
      ├ CaUnreachable     no usable answer: network, TLS, time-out, garbage; try again later
      │   └ CaUntrusted   its certificate does not verify against the CA bundle
      └ EndpointRefused   this installation does not talk to that address or scheme
"""

import re
from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from typing import Any

import msgspec

PREFIX = "urn:ietf:params:acme:error:"

LONGEST_DETAIL = 512
"""Characters kept of any text of a CA."""

_MOST_SUBPROBLEMS = 100
_SHOWN_SUBPROBLEMS = 3
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_NOT_FOUND = (404, 405, 410)


class Operation(StrEnum):
    """What was asked of the CA; decides what an error means."""

    DIRECTORY = "directory"
    NEW_NONCE = "newNonce"
    NEW_ACCOUNT = "newAccount"
    NEW_ORDER = "newOrder"
    READ_ORDER = "reading the order"
    READ_AUTHORIZATION = "reading an authorization"
    START_CHALLENGE = "starting a challenge"
    VALIDATION = "validation"
    FINALIZE = "finalization"
    DOWNLOAD = "download"


class Disposition(Enum):
    """What an error means for the schedule."""

    RETRY_SOON = auto()
    """The CA or the path to it stumbled: ask again, the attempt lives on."""
    BACKOFF = auto()
    """The attempt failed; the next one comes after the ladder's wait."""
    RATE_LIMITED = auto()
    """Wait as long as the CA says. Never a failure."""
    PERMANENT = auto()
    """Refused for good: wait for a changed spec or for a person."""
    GONE = auto()
    """The CA no longer knows the order: forget it and start anew."""
    ACCOUNT_GONE = auto()
    """The CA does not know the account: register again, once."""


class Subproblem(msgspec.Struct, frozen=True, kw_only=True):
    """One identifier's share of a problem (RFC 8555 section 6.7.1)."""

    type: str
    detail: str
    identifier: str | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document; `type` is the full URI, texts are bounded and stable."""

    type: str
    detail: str = ""
    status: int | None = None
    identifier: str | None = None
    subproblems: tuple[Subproblem, ...] = ()
    algorithms: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """The type without ACME's prefix; a foreign URI stays whole."""
        return self.type.removeprefix(PREFIX)

    def describe(self) -> str:
        """One line for people: type, text and, per identifier, what was said about it."""
        parts = [f"{self.code}: {self.detail}" if self.detail else self.code]
        shown = self.subproblems[:_SHOWN_SUBPROBLEMS]
        parts += [f"{sub.identifier or 'request'}: {_short(sub)}" for sub in shown]
        if len(self.subproblems) > len(shown):
            parts.append(f"and {len(self.subproblems) - len(shown)} more")
        return bounded("; ".join(parts))


class AcmeError(Exception):
    """Root of what this package raises."""


class AcmeProblem(AcmeError):
    """The CA answered an operation with an error. `retry_after` is in seconds, clamped."""

    def __init__(
        self,
        problem: Problem,
        *,
        operation: Operation,
        status: int,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{operation}: {problem.describe()}")
        self.problem = problem
        self.operation = operation
        self.status = status
        self.retry_after = retry_after

    @property
    def type(self) -> str:
        """The full type URI."""
        return self.problem.type

    @property
    def code(self) -> str:
        """The type without ACME's prefix."""
        return self.problem.code

    @property
    def detail(self) -> str:
        """The CA's text, bounded."""
        return self.problem.detail

    @property
    def subproblems(self) -> tuple[Subproblem, ...]:
        """What the CA said per identifier."""
        return self.problem.subproblems

    @property
    def disposition(self) -> Disposition:
        """What to do about it."""
        return classify(self.operation, self.type, self.status)


class CaUnreachable(AcmeError):
    """No usable answer came: the network, TLS, a time-out, or a body that is not an answer."""


class CaUntrusted(CaUnreachable):
    """The CA's own certificate does not verify against the configured roots."""


class EndpointRefused(AcmeError):
    """A URL that this installation does not talk to: not HTTPS, or an address not allowed."""


_SOON = frozenset({"badNonce", "serverInternal", "orderNotReady"})
_READS = frozenset({Operation.READ_ORDER, Operation.READ_AUTHORIZATION, Operation.DOWNLOAD})
_REFUSALS = frozenset(
    {
        "malformed",
        "rejectedIdentifier",
        "unsupportedIdentifier",
        "badCSR",
        "badPublicKey",
        "badSignatureAlgorithm",
        "externalAccountRequired",
        "userActionRequired",
        "invalidProfile",
    }
)
_PERMANENT: Mapping[Operation, frozenset[str]] = {
    Operation.NEW_ACCOUNT: _REFUSALS
    | {"invalidContact", "invalidEmail", "unsupportedContact", "unauthorized"},
    Operation.NEW_ORDER: _REFUSALS | {"invalidContact"},
    Operation.FINALIZE: _REFUSALS,
}


def classify(operation: Operation, type_uri: str, status: int) -> Disposition:
    """What an error of this type and HTTP status means for this operation.

    Only newAccount, newOrder and finalize can be refused for good. Reading an order by URL has
    many spellings of "gone". Unknown types fall back to the status.
    """
    code = type_uri.removeprefix(PREFIX)
    if code == "rateLimited" or status in (429, 503):
        return Disposition.RATE_LIMITED
    if code == "accountDoesNotExist":
        return Disposition.ACCOUNT_GONE
    if operation is Operation.VALIDATION:
        return Disposition.BACKOFF
    if code in _SOON or status >= _SERVER_ERROR or status == 408:
        return Disposition.RETRY_SOON
    if operation in _READS:
        return Disposition.GONE if status >= _CLIENT_ERROR else Disposition.RETRY_SOON
    if status in _NOT_FOUND:
        # An order's URL is gone with the order; the directory's URLs have moved (N4).
        return Disposition.GONE if operation is Operation.FINALIZE else Disposition.RETRY_SOON
    if code in _PERMANENT.get(operation, frozenset()):
        return Disposition.PERMANENT
    return _unknown(operation)


def _unknown(operation: Operation) -> Disposition:
    if operation in (Operation.NEW_ORDER, Operation.FINALIZE, Operation.NEW_ACCOUNT):
        return Disposition.BACKOFF
    # Directory, nonce and challenge requests are repeated: what comes of it is told by the next
    # read, and the wait for it has a deadline of its own.
    return Disposition.RETRY_SOON


def from_body(body: bytes, *, status: int) -> Problem:
    """The problem in an error answer. Anything that is none becomes `about:blank` with the status.

    Never raises: 502 pages in HTML, truncated JSON and foreign documents all have a meaning.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        return Problem(type="about:blank", detail=f"HTTP {status}", status=status)
    return from_document(document, status=status)


def from_document(document: Mapping[str, Any], *, status: int | None = None) -> Problem:
    """A problem from decoded JSON; members of a wrong type are left out."""
    said = document.get("status")
    return Problem(
        type=_type_of(document),
        detail=_detail_of(document),
        status=said if isinstance(said, int) else status,
        identifier=_identifier_of(document),
        subproblems=tuple(
            Subproblem(
                type=_type_of(part), detail=_detail_of(part), identifier=_identifier_of(part)
            )
            for part in _objects(document.get("subproblems"))[:_MOST_SUBPROBLEMS]
        ),
        algorithms=_strings(document.get("algorithms")),
    )


def local(code: str, detail: str, *, operation: Operation) -> AcmeProblem:
    """A refusal that we make ourselves before asking, in the CA's own terms (status 0)."""
    return AcmeProblem(
        Problem(type=PREFIX + code, detail=bounded(detail)), operation=operation, status=0
    )


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CHANGING = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?(?:UTC|GMT|Z|[+-]\d{2}:?\d{2}))?"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    re.IGNORECASE,
)


def bounded(text: str, longest: int = LONGEST_DETAIL) -> str:
    """One line of at most `longest` characters that is equal for equal causes.

    Control characters become spaces; times and request ids become an ellipsis, because a text
    that differs at every try would be a status write at every try.
    """
    line = _CONTROL.sub(" ", text[: 8 * longest])
    line = " ".join(_CHANGING.sub("…", line).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _short(sub: Subproblem) -> str:
    code = sub.type.removeprefix(PREFIX)
    return f"{code}: {sub.detail}" if sub.detail else code


def _type_of(document: Mapping[str, Any]) -> str:
    value = document.get("type")
    return bounded(value) if isinstance(value, str) and value else "about:blank"


def _detail_of(document: Mapping[str, Any]) -> str:
    for name in ("detail", "title"):
        if isinstance(value := document.get(name), str) and value:
            return bounded(value)
    return ""


def _identifier_of(document: Mapping[str, Any]) -> str | None:
    value = document.get("identifier")
    name = value.get("value") if isinstance(value, dict) else None
    return bounded(name, 253) if isinstance(name, str) else None


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(bounded(item, 32) for item in items[:32] if isinstance(item, str))
