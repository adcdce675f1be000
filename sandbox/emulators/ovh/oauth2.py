"""Service accounts: the client-credentials grant (RFC 6749 section 4.4) and its bearer tokens.

A service account's policy is a list of IAM actions (`loadbalancer:apiovh:ssl/create`), `*` for any
text; the action of each call is in OVH's OpenAPI description (`x-iam-actions`).
"""

import base64
import binascii
import hmac
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from aiohttp import web

from sandbox.emulators.ovh.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """A client's secret and what its policy allows."""

    secret: str
    actions: tuple[str, ...]

    def may(self, action: str) -> bool:
        """Whether the policy allows an IAM action."""
        return any(
            re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), action)
            for pattern in self.actions
        )


class TokenRefusal(Exception):
    """The token endpoint says no (RFC 6749 section 5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error

    def response(self) -> web.Response:
        """The answer."""
        headers = {"WWW-Authenticate": 'Basic realm="ovh"'} if self.status == 401 else {}
        body = {"error": self.error, "error_description": str(self)}
        return web.json_response(body, status=self.status, headers=headers)


class Tokens:
    """The service accounts and the tokens that they hold."""

    def __init__(self, token_seconds: float, source: random.Random) -> None:
        self.token_seconds = token_seconds
        self.accounts: dict[str, ServiceAccount] = {}
        self._random = source
        self._issued: dict[str, tuple[str, float]] = {}

    def issue(self, headers: Mapping[str, str], body: bytes, now: float) -> dict[str, object]:
        """The token endpoint's answer; raises TokenRefusal."""
        if headers.get("Content-Type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            raise TokenRefusal(400, "invalid_request", "the request is no form")
        form = _form(body)
        client, secret = _client(headers, form)
        account = self.accounts.get(client)
        if account is None or not hmac.compare_digest(account.secret.encode(), secret.encode()):
            raise TokenRefusal(401, "invalid_client", "Client authentication failed")
        if form.get("grant_type") != "client_credentials":
            raise TokenRefusal(400, "unsupported_grant_type", "only client_credentials is served")
        if form.get("scope", "all") != "all":
            raise TokenRefusal(400, "invalid_scope", "the scope is all")
        token = f"{self._random.getrandbits(256):064x}"
        self._issued[token] = (client, now + self.token_seconds)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.token_seconds),
            "scope": "all",
        }

    def check(self, authorization: str, action: str, now: float) -> None:
        """Raise the API's refusal where the bearer token does not allow `action` now."""
        scheme, _, token = authorization.partition(" ")
        client, expires = self._issued.get(token.strip(), ("", 0.0))
        account = self.accounts.get(client)
        if scheme.lower() != "bearer" or account is None or now >= expires:
            raise Refusal(401, "Invalid token")
        if not account.may(action):
            raise Refusal(403, "User not granted for this request")

    def revoke_all(self) -> None:
        """Forget every token that was issued."""
        self._issued.clear()


def _form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=20)
    except ValueError:
        raise TokenRefusal(400, "invalid_request", "the form cannot be read") from None
    if any(len(values) != 1 for values in fields.values()):
        raise TokenRefusal(400, "invalid_request", "a parameter is repeated")
    return {name: values[0] for name, values in fields.items()}


def _client(headers: Mapping[str, str], form: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if not scheme:
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    client, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise TokenRefusal(401, "invalid_client", "Client authentication failed")
    return unquote(client), unquote(secret)
