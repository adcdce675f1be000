"""Application keys: the signature of a request and the access rules of a consumer key.

The signature is `$1$` and the hexadecimal SHA-1 of application secret, consumer key, method, whole
URL with its query, body text and timestamp, joined by `+` (OVH guide "First steps with the OVHcloud
APIs", "Signing requests"). Which error answers which wrong key is as recorded in the tests of a
client of OVH's (ovh/swift-ovh, `Tests/OVHAPIWrapperTests.swift`); the order of the checks follows from it.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.emulators.ovh.refusals import Refusal

APPLICATION = "X-Ovh-Application"
CONSUMER = "X-Ovh-Consumer"
TIMESTAMP = "X-Ovh-Timestamp"
SIGNATURE = "X-Ovh-Signature"

Validity = Literal["validated", "pendingValidation", "expired", "refused"]
METHODS = ("GET", "POST", "PUT", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """One method and a path in which `*` stands for any text, slashes included."""

    method: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "AccessRule":
        """`GET /ipLoadbalancing/*`; raises ValueError."""
        method, space, path = text.partition(" ")
        if method not in METHODS or not space or not path.startswith("/"):
            raise ValueError("an access rule is METHOD /path, with * for any text")
        return cls(method=method, path=path)

    def grants(self, method: str, path: str) -> bool:
        """Whether the rule lets this call pass; `path` is below `/1.0` and without its query."""
        pattern = ".*".join(re.escape(part) for part in self.path.split("*"))
        return method == self.method and re.fullmatch(pattern, path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerKey:
    """What a person granted to an application."""

    application: str
    rules: tuple[AccessRule, ...]
    validity: Validity = "validated"
    allowed_ips: tuple[str, ...] = ()

    def allows_from(self, address: str | None) -> bool:
        """Whether a request may come from this address."""
        if not self.allowed_ips:
            return True
        return address is not None and any(
            ipaddress.ip_address(address) in ipaddress.ip_network(block)
            for block in self.allowed_ips
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """What of a request is signed, and where it came from."""

    method: str
    url: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    peer: str | None


def sign(secret: str, consumer: str, method: str, url: str, body: bytes, timestamp: str) -> str:
    """The value of `X-Ovh-Signature`."""
    text = f"{secret}+{consumer}+{method}+{url}+".encode() + body
    digest = hashlib.sha1(text + b"+" + timestamp.encode(), usedforsecurity=False)
    return "$1$" + digest.hexdigest()


class Keys:
    """The applications and consumer keys that there are."""

    def __init__(self, skew_seconds: float) -> None:
        self.skew_seconds = skew_seconds
        self.applications: dict[str, str] = {}
        self.consumers: dict[str, ConsumerKey] = {}

    def check(self, request: SignedRequest, now: float) -> None:
        """Raise the API's refusal where the request is not signed, not granted or not in time."""
        headers = request.headers
        secret = self.applications.get(headers.get(APPLICATION, ""))
        if secret is None:
            raise Refusal(403, "This application key is invalid", "INVALID_KEY")
        if not headers.get(CONSUMER) or not headers.get(SIGNATURE) or not headers.get(TIMESTAMP):
            raise Refusal(403, "You must login first", "NOT_CREDENTIAL")
        timestamp = headers[TIMESTAMP]
        if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
            raise Refusal(400, "Invalid timestamp", "INVALID_SIGNATURE")
        if abs(int(timestamp) - now) > self.skew_seconds:
            raise Refusal(400, "Query out of time", "QUERY_TIME_OUT")
        consumer = self.consumers.get(headers[CONSUMER])
        if consumer is None or consumer.application != headers[APPLICATION]:
            raise Refusal(403, "This credential does not exist", "NOT_CREDENTIAL")
        expected = sign(
            secret, headers[CONSUMER], request.method, request.url, request.body, timestamp
        )
        if not hmac.compare_digest(expected.encode(), headers[SIGNATURE].encode()):
            raise Refusal(400, "Invalid signature", "INVALID_SIGNATURE")
        if consumer.validity != "validated":
            raise Refusal(403, "This credential is not valid", "INVALID_CREDENTIAL")
        if not consumer.allows_from(request.peer):
            raise Refusal(403, "This credential is not allowed from here", "FORBIDDEN")
        if not any(rule.grants(request.method, request.path) for rule in consumer.rules):
            raise Refusal(403, "This call has not been granted", "NOT_GRANTED_CALL")


def parse_rules(texts: Sequence[str]) -> tuple[AccessRule, ...]:
    """Access rules written as `METHOD /path`; raises ValueError."""
    return tuple(AccessRule.parse(text) for text in texts)
