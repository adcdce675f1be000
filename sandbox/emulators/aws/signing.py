"""Who signed a request: Signature Version 4, access keys, and the sessions of AssumeRole.

The signature is computed again with botocore's own signer over what arrived, so that what it signs
and what is accepted here cannot drift apart. Dates are held against the wall clock, which is what
clients sign by, and not against the emulator's, which tests move.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.wire import SIGNING_NAMES, Operation
from sandbox.emulators.server import BODY

_SKEW = timedelta(minutes=5)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)/"
    r"(?P<service>[^/,\s]+)/aws4_request,\s*SignedHeaders=(?P<headers>[^,\s]+),\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user, or a session of a role, and what it may do (patterns of `service:Action`)."""

    key_id: str
    secret: str = field(repr=False)
    arn: str
    allow: tuple[str, ...]
    token: str = field(default="", repr=False)
    until: datetime | None = None

    def may(self, permission: str) -> bool:
        """Whether a policy of its allows the action."""
        return any(fnmatchcase(permission, pattern) for pattern in self.allow)


class Keys:
    """The access keys that there are.

    `roles` are the roles that may be assumed, by name, with what each allows. Sessions last as
    long as was asked for, or `session_seconds` where that is not 0.
    """

    def __init__(
        self,
        *,
        account: str,
        user: Principal,
        roles: Mapping[str, tuple[str, ...]],
        web_identity_token: str,
        session_seconds: float,
        random: Random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.user = user
        self.roles = dict(roles)
        self.session_seconds = session_seconds
        self._account = account
        self._token = web_identity_token
        self._random = random
        self._now = now
        self._sessions: dict[str, Principal] = {}

    def signer(self, request: web.Request, operation: Operation) -> Principal:
        """Who signed the request; raises Refused, with the code of the service, where nobody did."""
        header = request.headers.get("Authorization", "")
        if not header:
            raise Refused("MissingAuthenticationToken", "Missing Authentication Token")
        parts = _AUTHORIZATION.fullmatch(header)
        if parts is None:
            raise Refused("IncompleteSignature", "the Authorization header is no SigV4")
        principal = self._principal(parts["key"], request)
        self._check_scope(parts, request, operation)
        expected = _signature(principal, parts, request)
        if not hmac.compare_digest(expected, parts["signature"]):
            raise Refused(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided."
                " Check your AWS Secret Access Key and signing method.",
            )
        return principal

    def _principal(self, key_id: str, request: web.Request) -> Principal:
        token = request.headers.get("X-Amz-Security-Token", "")
        invalid = Refused(
            "InvalidClientTokenId", "The security token included in the request is invalid."
        )
        if key_id == self.user.key_id:
            if token:
                raise invalid
            return self.user
        session = self._sessions.get(key_id)
        if session is None or not hmac.compare_digest(session.token.encode(), token.encode()):
            raise invalid
        if session.until is not None and self._now() >= session.until:
            raise Refused("ExpiredToken", "The security token included in the request is expired")
        return session

    def _check_scope(
        self, parts: re.Match[str], request: web.Request, operation: Operation
    ) -> None:
        wrong = "SignatureDoesNotMatch"
        if parts["service"] != SIGNING_NAMES[operation.service]:
            raise Refused(wrong, f"Credential should be scoped to service: {operation.service}")
        stamp = request.headers.get("X-Amz-Date", "")
        try:
            at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise Refused("IncompleteSignature", "X-Amz-Date is missing or no date") from None
        if stamp[:8] != parts["date"]:
            raise Refused(wrong, "Date in Credential scope does not match X-Amz-Date")
        if abs(at - self._now()) > _SKEW:
            raise Refused(wrong, "Signature expired, or not yet current")
        signed = set(parts["headers"].split(";"))
        amazon = {name.lower() for name in request.headers if name.lower().startswith("x-amz-")}
        missing = ({"host"} | amazon) - signed
        if missing:
            raise Refused(
                wrong, f"headers that must be signed are not: {', '.join(sorted(missing))}"
            )

    def assume(self, role_arn: str, session_name: str, seconds: int) -> tuple[Principal, str]:
        """A new session and the role's id; raises Refused for a role that may not be assumed."""
        name = role_arn.rpartition("/")[2]
        if role_arn != f"arn:aws:iam::{self._account}:role/{name}" or name not in self.roles:
            raise Refused(
                "AccessDenied",
                f"User: {self.user.arn} is not authorized to perform: sts:AssumeRole"
                f" on resource: {role_arn}",
            )
        session = Principal(
            key_id="ASIA" + self._letters(16),
            secret=self._letters(40),
            token=self._letters(120),
            arn=f"arn:aws:sts::{self._account}:assumed-role/{name}/{session_name}",
            allow=self.roles[name],
            until=self._now() + timedelta(seconds=self.session_seconds or seconds),
        )
        self._sessions[session.key_id] = session
        return session, "AROA" + name.upper().ljust(17, "X")[:17]

    def check_web_identity(self, token: str) -> None:
        """Raises Refused where the token is not the one that the identity provider gives."""
        if not self._token or not hmac.compare_digest(token.encode(), self._token.encode()):
            raise Refused("InvalidIdentityToken", "The web identity token is not valid")

    def _letters(self, count: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=count))


def credentials(session: Principal, role_id: str, session_name: str) -> dict[str, Any]:
    """The answer of AssumeRole."""
    return {
        "Credentials": {
            "AccessKeyId": session.key_id,
            "SecretAccessKey": session.secret,
            "SessionToken": session.token,
            "Expiration": session.until,
        },
        "AssumedRoleUser": {"AssumedRoleId": f"{role_id}:{session_name}", "Arn": session.arn},
    }


def _signature(principal: Principal, parts: re.Match[str], request: web.Request) -> str:
    """The signature that botocore computes for what arrived."""
    given = AWSRequest(
        method=request.method,
        url=f"http://{request.host}{request.raw_path}",
        data=request[BODY],
        headers={
            name: request.headers.get(name, "") for name in parts["headers"].lower().split(";")
        },
    )
    given.context["timestamp"] = request.headers.get("X-Amz-Date", "")
    signer = SigV4Auth(
        Credentials(principal.key_id, principal.secret, principal.token or None),
        parts["service"],
        parts["region"],
    )
    canonical = signer.canonical_request(given)
    return str(signer.signature(signer.string_to_sign(given, canonical), given))
