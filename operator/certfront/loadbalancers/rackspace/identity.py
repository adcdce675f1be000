"""Tokens of Rackspace's identity service, and where the load balancers of a region are.

Source: Rackspace Cloud Identity v2.0, "Authenticate"; rackerlabs/docs-cloud-load-balancers,
"Authenticate to the Rackspace Cloud" and "Service access endpoints". Used by `client`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Unavailable
from certfront.loadbalancers.exchange import Answer, Exchange
from certfront.model.clock import Clock

SERVICE_TYPE: Final = "rax:load-balancer"

_RENEW_BEFORE: Final = timedelta(minutes=5)
_WHERE_NO_END_IS_TOLD: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user name and API key of an account. Never shown."""

    username: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A token, until when it is good, and the URL that stands before every path."""

    token: str = field(repr=False)
    renew_at: datetime
    base_url: str


class _Token(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    expires: str = ""


class _Endpoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    public_url: str = msgspec.field(name="publicURL", default="")
    region: str = ""


class _Service(msgspec.Struct, frozen=True, kw_only=True):
    type: str = ""
    endpoints: tuple[_Endpoint, ...] = ()


class _Access(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    token: _Token
    service_catalog: tuple[_Service, ...] = ()


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    access: _Access


class Identity:
    """Keeps one session, renewed a few minutes before its end."""

    def __init__(
        self, exchange: Exchange, clock: Clock, *, url: str, account: Account, region: str
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._url = f"{url.rstrip('/')}/tokens"
        self._account = account
        self._region = region
        self._session: Session | None = None
        self._lock = asyncio.Lock()

    async def session(self) -> Session:
        """The session in force. Raises Denied where the account or the region is not known."""
        async with self._lock:
            held = self._session
            if held is None or held.renew_at <= self._clock.now():
                held = self._session = await self._authenticate()
            return held

    def refused(self, session: Session) -> None:
        """The session was answered 401: the next one is a new one."""
        if self._session is session:
            self._session = None

    async def _authenticate(self) -> Session:
        key = {"username": self._account.username, "apiKey": self._account.api_key}
        body = msgspec.json.encode({"auth": {"RAX-KSKEY:apiKeyCredentials": key}})
        answer = await self._exchange.send("POST", self._url, body=body)
        if answer.status == 413:
            raise self._exchange.throttled(answer)
        if answer.status in {400, 401, 403}:
            raise Denied(
                reasons.CREDENTIALS_REFUSED,
                "Rackspace's identity service does not accept username and apiKey.",
            )
        if answer.status not in {200, 203}:
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE,
                f"Rackspace's identity service answers {answer.status}.",
            )
        return self._session_of(answer)

    def _session_of(self, answer: Answer) -> Session:
        try:
            access = msgspec.json.decode(answer.body, type=_Tokens).access
        except (msgspec.MsgspecError, RecursionError):
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE,
                "Rackspace's identity service gives an answer that cannot be used.",
            ) from None
        return Session(
            token=access.token.id,
            renew_at=_end(access.token.expires, self._clock.now()) - _RENEW_BEFORE,
            base_url=self._base_url(access.service_catalog),
        )

    def _base_url(self, catalog: tuple[_Service, ...]) -> str:
        endpoints = [
            endpoint
            for service in catalog
            if service.type == SERVICE_TYPE
            for endpoint in service.endpoints
        ]
        for endpoint in endpoints:
            if endpoint.region.lower() == self._region.lower() and endpoint.public_url:
                return endpoint.public_url.rstrip("/")
        known = ", ".join(sorted({one.region for one in endpoints if one.region.isalnum()})[:10])
        raise Denied(
            reasons.TARGET_NOT_FOUND,
            f"The account has no load balancers in region {self._region}"
            + (f"; it has some in {known}." if known else "."),
        )


def _end(text: str, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now + _WHERE_NO_END_IS_TOLD
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
