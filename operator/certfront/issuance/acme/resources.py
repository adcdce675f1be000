"""The resources of a CA as frozen values (RFC 8555 section 7.1), read tolerantly.

`acme.messages` fails on what it does not know (an `expired` status, new challenge and identifier
types); here statuses are text, unknown members are passed over, and everything is bounded.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from certfront.issuance.acme.problems import CaUnreachable, Problem, bounded, from_document

_MOST_AUTHORIZATIONS = 250
_MOST_CHALLENGES = 50
_LONGEST_URL = 2048
_LONGEST_TOKEN = 256

Wire = TypeVar("Wire")


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """What the CA offers and where (section 7.1.1). Profiles: name to description."""

    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str | None = None
    key_change: str | None = None
    renewal_info: str | None = None
    terms: str | None = None
    external_account_required: bool = False
    profiles: Mapping[str, str] = msgspec.field(default_factory=dict)


class Identifier(msgspec.Struct, frozen=True, kw_only=True):
    """A name in an order; `type` is dns, ip or something newer."""

    type: str
    value: str


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """One way to prove control. `token` is absent for types that have none."""

    type: str
    url: str
    status: str
    token: str | None = None
    error: Problem | None = None


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """Control over one name. `identifier` of a wildcard is without its star (section 7.1.4)."""

    url: str
    identifier: Identifier
    status: str
    wildcard: bool = False
    challenges: tuple[Challenge, ...] = ()
    expires: datetime | None = None
    retry_after: float | None = None

    @property
    def name(self) -> str:
        """The name as it was asked for."""
        return f"*.{self.identifier.value}" if self.wildcard else self.identifier.value


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order; `retry_after` is in seconds, clamped, None where the CA gave no advice."""

    url: str
    status: str
    finalize: str
    authorizations: tuple[str, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    certificate: str | None = None
    expires: datetime | None = None
    error: Problem | None = None
    retry_after: float | None = None


class _DirectoryBody(msgspec.Struct, rename="camel"):
    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str | None = None
    key_change: str | None = None
    renewal_info: str | None = None
    meta: dict[str, Any] | None = None


class _ChallengeBody(msgspec.Struct):
    type: str
    url: str = ""
    status: str = "pending"
    token: Any = None
    error: Any = None


class _AuthorizationBody(msgspec.Struct):
    identifier: Identifier
    status: str
    challenges: list[_ChallengeBody] = []
    wildcard: bool | None = None
    expires: Any = None


class _OrderBody(msgspec.Struct):
    status: str
    finalize: str
    authorizations: list[str] = []
    identifiers: list[Identifier] = []
    certificate: str | None = None
    expires: Any = None
    error: Any = None


def parse_directory(body: bytes) -> Directory:
    """Read a directory; raises CaUnreachable where it is none."""
    wire = _decode(body, _DirectoryBody, "directory")
    meta = wire.meta or {}
    profiles = meta.get("profiles")
    return Directory(
        new_nonce=wire.new_nonce,
        new_account=wire.new_account,
        new_order=wire.new_order,
        revoke_cert=wire.revoke_cert,
        key_change=wire.key_change,
        renewal_info=wire.renewal_info,
        terms=_text(meta.get("termsOfService"), _LONGEST_URL),
        external_account_required=meta.get("externalAccountRequired") is True,
        profiles=_profiles(profiles) if isinstance(profiles, dict) else {},
    )


def parse_order(body: bytes, *, url: str, retry_after: float | None) -> Order:
    """Read an order; raises CaUnreachable where it is none."""
    wire = _decode(body, _OrderBody, "order")
    if len(wire.authorizations) > _MOST_AUTHORIZATIONS:
        raise CaUnreachable("the CA's order lists too many authorizations")
    return Order(
        url=url,
        status=bounded(wire.status, 32),
        finalize=wire.finalize,
        authorizations=tuple(dict.fromkeys(wire.authorizations)),
        identifiers=tuple(wire.identifiers[:_MOST_AUTHORIZATIONS]),
        certificate=wire.certificate,
        expires=_moment(wire.expires),
        error=from_document(wire.error) if isinstance(wire.error, dict) else None,
        retry_after=retry_after,
    )


def parse_authorization(body: bytes, *, url: str, retry_after: float | None) -> Authorization:
    """Read an authorization; raises CaUnreachable where it is none."""
    wire = _decode(body, _AuthorizationBody, "authorization")
    return Authorization(
        url=url,
        identifier=Identifier(
            type=bounded(wire.identifier.type, 32), value=bounded(wire.identifier.value, 253)
        ),
        status=bounded(wire.status, 32),
        wildcard=wire.wildcard is True,
        challenges=tuple(_challenge(part) for part in wire.challenges[:_MOST_CHALLENGES]),
        expires=_moment(wire.expires),
        retry_after=retry_after,
    )


def parse_challenge(body: bytes) -> Challenge:
    """Read a challenge; raises CaUnreachable where it is none."""
    return _challenge(_decode(body, _ChallengeBody, "challenge"))


def _challenge(wire: _ChallengeBody) -> Challenge:
    return Challenge(
        type=bounded(wire.type, 32),
        url=wire.url,
        status=bounded(wire.status, 32),
        token=_token(wire.token),
        error=from_document(wire.error) if isinstance(wire.error, dict) else None,
    )


def _decode(body: bytes, kind: type[Wire], noun: str) -> Wire:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise CaUnreachable(f"the CA's answer is not a readable {noun}") from None


def _token(value: Any) -> str | None:
    """A token is base64url (section 8.1): it becomes part of a path and of a file's content."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_TOKEN:
        return None
    return value if value.isascii() and value.replace("-", "").replace("_", "").isalnum() else None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None


def _text(value: Any, longest: int) -> str | None:
    return bounded(value, longest) if isinstance(value, str) and value else None


def _profiles(value: dict[Any, Any]) -> dict[str, str]:
    pairs = list(value.items())[:64]
    return {
        bounded(name, 64): bounded(text, 256)
        for name, text in pairs
        if isinstance(name, str) and isinstance(text, str)
    }
