"""How calls to OVH's API are authenticated: a signature with three keys, or OAuth2 client credentials.

Sources: ovh/docs, "First Steps with the OVHcloud APIs" (signature) and "Using service accounts to
connect to OVHcloud APIs" (OAuth2); ovh/python-ovh `ovh/client.py`, which a test holds the signature
to. Used by `client` only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlencode

import msgspec
from yarl import URL

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Unavailable
from certfront.loadbalancers.exchange import Exchange
from certfront.loadbalancers.kinds import Credentials
from certfront.model.clock import Clock

ENDPOINTS: Final[Mapping[str, str]] = {
    "ovh-eu": "https://eu.api.ovh.com/1.0",
    "ovh-ca": "https://ca.api.ovh.com/1.0",
    "ovh-us": "https://api.us.ovhcloud.com/1.0",
}
_TOKEN_URLS: Final[Mapping[str, str]] = {
    "ovh-eu": "https://www.ovh.com/auth/oauth2/token",
    "ovh-ca": "https://ca.ovh.com/auth/oauth2/token",
    "ovh-us": "https://us.ovhcloud.com/auth/oauth2/token",
}

APPLICATION_KEYS: Final = ("applicationKey", "applicationSecret", "consumerKey")
CLIENT_KEYS: Final = ("clientID", "clientSecret")

_TIME_IS_GOOD_FOR: Final = 3600.0
_BEFORE_EXPIRY: Final = 60.0
_LONGEST_TOKEN: Final = 16 * 1024


def base_url(endpoint: str) -> str:
    """Where the API is: of one of OVH's three by name, or as the URL says, without a last slash."""
    return ENDPOINTS.get(endpoint, endpoint.rstrip("/"))


def token_url(endpoint: str) -> str:
    """Where OAuth2 tokens are given.

    OVH documents it for its three endpoints only; for a URL it is the same path on the same host.
    """
    return _TOKEN_URLS.get(endpoint) or str(URL(base_url(endpoint)).with_path("/auth/oauth2/token"))


class Authentication(Protocol):
    """Adds to a request what proves who sends it."""

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Headers for this request. May ask OVH for its time or for a token first."""
        ...

    def forget(self) -> None:
        """Ask again next time: OVH did not accept the time or the token."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationKeys:
    """An application and the consumer key that a person granted it."""

    application_key: str
    application_secret: str = field(repr=False)
    consumer_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """A service account of OVH's IAM."""

    client_id: str
    client_secret: str = field(repr=False)


def read(credentials: Credentials) -> ApplicationKeys | ServiceAccount:
    """What the Secret holds. Raises Denied where neither set is complete, or it is no plain text."""
    found = {}
    for name, value in credentials.items():
        text = value.decode("utf-8", "replace").strip()
        if text and text.isascii() and text.isprintable():
            found[name] = text
    if all(found.get(name) for name in APPLICATION_KEYS):
        key, secret, consumer = (found[name] for name in APPLICATION_KEYS)
        return ApplicationKeys(
            application_key=key, application_secret=secret, consumer_key=consumer
        )
    if all(found.get(name) for name in CLIENT_KEYS):
        return ServiceAccount(client_id=found["clientID"], client_secret=found["clientSecret"])
    raise Denied(
        reasons.CREDENTIALS_NOT_FOUND,
        "The Secret needs applicationKey, applicationSecret and consumerKey, or clientID and "
        "clientSecret, as plain text.",
    )


def signature(keys: ApplicationKeys, method: str, url: str, body: bytes, timestamp: int) -> str:
    """`X-Ovh-Signature`: SHA-1 over secret, consumer key, method, whole URL, body and time."""
    digest = hashlib.sha1(
        b"+".join(
            (
                keys.application_secret.encode(),
                keys.consumer_key.encode(),
                method.upper().encode(),
                url.encode(),
                body,
                str(timestamp).encode(),
            )
        ),
        usedforsecurity=False,
    )
    return f"$1${digest.hexdigest()}"


class SignedRequests:
    """Signs each request, with OVH's own time: it refuses signatures of another minute."""

    def __init__(
        self, keys: ApplicationKeys, *, base: str, exchange: Exchange, clock: Clock
    ) -> None:
        self._keys = keys
        self._time_url = f"{base}/auth/time"
        self._exchange = exchange
        self._clock = clock
        self._ahead: float | None = None
        self._asked = 0.0

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The four headers of a signed request."""
        timestamp = int(self._clock.monotonic() + await self._offset())
        return {
            "X-Ovh-Application": self._keys.application_key,
            "X-Ovh-Consumer": self._keys.consumer_key,
            "X-Ovh-Timestamp": str(timestamp),
            "X-Ovh-Signature": signature(self._keys, method, url, body, timestamp),
        }

    def forget(self) -> None:
        """Ask for the time again."""
        self._ahead = None

    async def _offset(self) -> float:
        """OVH's time less our monotonic clock, which no administrator moves."""
        now = self._clock.monotonic()
        if self._ahead is None or now - self._asked > _TIME_IS_GOOD_FOR:
            answer = await self._exchange.send("GET", self._time_url)
            seconds = answer.json() if answer.status == 200 else None
            if not isinstance(seconds, int) or isinstance(seconds, bool):
                raise Unavailable(reasons.PROVIDER_UNAVAILABLE, "OVH does not tell its time.")
            self._asked = self._clock.monotonic()
            self._ahead = seconds - self._asked
        return self._ahead


class _Token(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    expires_in: float = 0.0


class BearerTokens:
    """Asks for a token (RFC 6749 section 4.4) and renews it a minute before it ends."""

    def __init__(
        self, account: ServiceAccount, *, url: str, exchange: Exchange, clock: Clock
    ) -> None:
        self._account = account
        self._url = url
        self._exchange = exchange
        self._clock = clock
        self._token = ""
        self._until = 0.0

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """`Authorization` with a token that is good for a while."""
        del method, url, body
        if not self._token or self._clock.monotonic() >= self._until:
            await self._renew()
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> None:
        """Ask for another token."""
        self._token = ""

    async def _renew(self) -> None:
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": self._account.client_id,
                "client_secret": self._account.client_secret,
                "scope": "all",
            }
        )
        answer = await self._exchange.send(
            "POST",
            self._url,
            body=form.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        if answer.status in (400, 401, 403):
            raise Denied(reasons.CREDENTIALS_REFUSED, "OVH refuses the service account.")
        if answer.status != 200:
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE, f"OVH gives no token (HTTP {answer.status})."
            )
        try:
            token = msgspec.json.decode(answer.body, type=_Token)
        except msgspec.DecodeError:
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE, "OVH's answer has no token in it."
            ) from None
        if not token.access_token.isprintable() or not 0 < len(token.access_token) < _LONGEST_TOKEN:
            raise Unavailable(reasons.PROVIDER_UNAVAILABLE, "OVH's token cannot be used.")
        self._token = token.access_token
        self._until = self._clock.monotonic() + max(token.expires_in - _BEFORE_EXPIRY, 1.0)
