"""The identity service: an API key for a token and the catalogue of endpoints.

Source: Cloud Identity guide, "Authenticate as user with password or API key" and "Annotated
authentication request and response". Neighbour: :mod:`.api` asks it about every token.
"""

import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.emulators.rackspace import faults
from sandbox.emulators.rackspace.limits import milliseconds

REGIONS = ("ORD", "DFW", "IAD", "LON", "SYD", "HKG")
_CREDENTIALS = "RAX-KSKEY:apiKeyCredentials"
_TENANT = frozenset({"tenantId", "tenantName"})


@dataclass(slots=True, kw_only=True)
class Identity:
    """The users of one account, of whom there is one, and the tokens that are valid."""

    random: random.Random
    account: str
    username: str
    api_key: str
    region: str
    token_seconds: float
    _tokens: dict[str, datetime]

    def authenticate(self, body: Mapping[str, Any], now: datetime, base: str) -> dict[str, Any]:
        """POST /tokens: a new token; the endpoints of the catalogue are below the URL `base`.

        Raises ApiFault 400 for another shape and 401 for wrong credentials, which it never quotes.
        """
        given = _credentials(body, self.account)
        named = hmac.compare_digest(given["username"].encode(), self.username.encode())
        if not hmac.compare_digest(given["apiKey"].encode(), self.api_key.encode()) or not named:
            raise faults.ApiFault("unauthorized", 401, "Username or api key is invalid")
        token = f"{self.random.getrandbits(128):032x}"
        expires = now + timedelta(seconds=self.token_seconds)
        self._tokens[token] = expires
        return {
            "access": {
                "token": {
                    "id": token,
                    "expires": milliseconds(expires),
                    "tenant": {"id": self.account, "name": self.account},
                    "RAX-AUTH:authenticatedBy": ["APIKEY"],
                },
                "serviceCatalog": [_load_balancers(self.account, base)],
                "user": {
                    "id": str(int(self.account or "0") + 1) if self.account.isdigit() else "1",
                    "name": self.username,
                    "roles": [{"id": "3", "name": "identity:user-admin"}],
                    "RAX-AUTH:defaultRegion": self.region,
                },
            }
        }

    def knows(self, token: str, now: datetime) -> bool:
        """Whether this token was given, has not been revoked and has not expired."""
        expires = self._tokens.get(token)
        return expires is not None and now < expires

    def revoke(self) -> None:
        """Let no token that was given so far be valid any longer."""
        self._tokens.clear()


def identity(
    numbers: random.Random,
    *,
    account: str,
    username: str,
    api_key: str,
    region: str,
    token_seconds: float,
) -> Identity:
    """An identity service that has given no token yet."""
    return Identity(
        random=numbers,
        account=account,
        username=username,
        api_key=api_key,
        region=region,
        token_seconds=token_seconds,
        _tokens={},
    )


def _credentials(body: Mapping[str, Any], account: str) -> Mapping[str, str]:
    malformed = faults.ApiFault("badRequest", 400, "Invalid json request body")
    auth = body.get("auth")
    if set(body) != {"auth"} or not isinstance(auth, dict) or set(auth) - _TENANT != {_CREDENTIALS}:
        raise malformed
    given = auth[_CREDENTIALS]
    if not isinstance(given, dict) or set(given) != {"username", "apiKey"}:
        raise malformed
    if not all(
        isinstance(value, str) for value in (*given.values(), *map(auth.get, _TENANT & set(auth)))
    ):
        raise malformed
    if any(auth[name] != account for name in _TENANT & set(auth)):
        raise faults.ApiFault("unauthorized", 401, "The tenant is not valid for this user")
    return given


def _load_balancers(account: str, base: str) -> dict[str, Any]:
    return {
        "name": "cloudLoadBalancers",
        "type": "rax:load-balancer",
        "endpoints": [
            {
                "region": region,
                "tenantId": account,
                "publicURL": f"{base}/{region.lower()}/v1.0/{account}",
            }
            for region in REGIONS
        ],
    }
