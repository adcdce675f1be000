"""What AWS answers when it does not do what it was asked, classed by what the caller must do.

Codes and statuses: "Common Error Types" of the API references of IAM, ACM and Elastic Load
Balancing, and the errors of each operation there. A message of AWS is repeated only where nothing
secret was sent, since IAM's validation errors quote the value that they are about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from botocore import exceptions

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import (
    Denied,
    Gone,
    NotYet,
    ProviderError,
    Refused,
    Throttled,
    Unavailable,
)
from certfront.model.reasons import Reason

_LONGEST_WORD: Final = 40
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,63}|[0-9]{3}")
_LONGEST_QUOTE: Final = 200
_SECRETS_SENT: Final = frozenset({"UploadServerCertificate", "ImportCertificate"})

_THROTTLING: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_NOT_PERMITTED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"}
)
_BAD_KEYS: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_QUOTA: Final = frozenset(
    {
        "LimitExceeded",
        "LimitExceededException",
        "TooManyCertificates",
        "TooManyListeners",
        "TooManyRules",
        "TooManyTags",
        "TooManyTagsException",
    }
)
_IN_USE: Final = frozenset({"DeleteConflict", "ResourceInUse", "ResourceInUseException"})
_BUSY: Final = frozenset(
    {"ConcurrentModification", "ConflictException", "EntityTemporarilyUnmodifiable"}
)
_GONE: Final = frozenset(
    {"AccessPointNotFound", "LoadBalancerNotFound", "LoadBalancerNotFoundException"}
)
_CHANGED_MEANWHILE: Final = frozenset(
    {"ListenerNotFound", "ListenerNotFoundException", "RuleNotFound"}
)

_CREDENTIALS: Final = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.NoAuthTokenError,
    exceptions.UnauthorizedSSOTokenError,
)


class Rejected(Refused):
    """A refusal that only the caller can judge; `code` is AWS's own word for it."""

    def __init__(self, code: str, reason: Reason, message: str) -> None:
        self.code = code
        super().__init__(reason, message)


def of_answer(
    error: exceptions.ClientError, service: str, confidential: Iterable[str] = ()
) -> ProviderError:
    """The error for an answer that is a refusal. Never repeats what is `confidential`, or a key."""
    told = error.response.get("Error", {})
    if not _CODE.fullmatch(_text(told.get("Code"))):
        told["Code"] = ""
    if _is_telling(_text(told.get("Message")), confidential):
        told["Message"] = ""
    code = _text(error.response.get("Error", {}).get("Code"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    action = f"{service}:{error.operation_name}"
    by_code = _of_code(code, action, error)
    if by_code is not None:
        return by_code
    if status == 429:
        return _throttled(error)
    if status >= 500 or code.isdecimal():
        return Unavailable(
            reasons.PROVIDER_UNAVAILABLE, f"AWS could not do {action} (status {status})."
        )
    return Rejected(code, reasons.REFUSED_BY_PROVIDER, f"AWS refused {action}: {_said(error)}")


def of_exchange(error: exceptions.BotoCoreError, service: str) -> ProviderError:
    """The error where there was no answer, or nothing was sent."""
    if isinstance(error, _CREDENTIALS):
        return Denied(
            reasons.CREDENTIALS_NOT_FOUND,
            "The environment of the operator gives no AWS identity (web identity, pod identity, "
            "instance profile or variables), and the LoadBalancer names no credentials.",
        )
    if isinstance(error, exceptions.ParamValidationError):
        return Refused(reasons.REFUSED_BY_PROVIDER, f"A value is not one that {service} takes.")
    return Unavailable(
        reasons.PROVIDER_UNAVAILABLE, f"No answer from AWS ({service}): {type(error).__name__}."
    )


def _of_code(code: str, action: str, error: exceptions.ClientError) -> ProviderError | None:
    if code in _THROTTLING:
        return _throttled(error)
    if code in _NOT_PERMITTED:
        return Denied(
            reasons.CREDENTIALS_REFUSED, f"The credentials do not permit {_permission(action)}."
        )
    if code in _BAD_KEYS:
        return Denied(reasons.CREDENTIALS_REFUSED, f"AWS does not accept the credentials ({code}).")
    if code in _QUOTA:
        return Rejected(code, reasons.QUOTA_EXCEEDED, f"AWS takes no more: {_said(error)}")
    if code in _IN_USE:
        return NotYet(reasons.IN_USE, "AWS says that the certificate is still in use.")
    if code in _BUSY:
        return NotYet(reasons.WAITING_FOR_PROVIDER, "AWS is at work on another change.")
    if code in _GONE:
        return Gone(
            reasons.TARGET_NOT_FOUND, "AWS knows no such load balancer in the account and region."
        )
    if code in _CHANGED_MEANWHILE:
        return NotYet(reasons.WAITING_FOR_PROVIDER, "The listener has changed meanwhile.")
    return None


def _permission(action: str) -> str:
    """The action as policies name it: both kinds of load balancers share a prefix."""
    service, _, name = action.partition(":")
    return f"{'elasticloadbalancing' if service.startswith('elb') else service}:{name}"


def _throttled(error: exceptions.ClientError) -> Throttled:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    told = _text(headers.get("retry-after"))
    seconds = float(told) if told.isdecimal() and len(told) < 6 else None
    return Throttled(reasons.RATE_LIMITED, "AWS asks for fewer calls.", retry_after=seconds)


def _is_telling(message: str, confidential: Iterable[str]) -> bool:
    """Whether AWS's words repeat a credential, or what could be a line of a key."""
    words = (word.strip("\"'.,;()[]") for word in message.split())
    long = any(len(word) > _LONGEST_WORD and not word.startswith("arn:") for word in words)
    return long or any(secret in message for secret in confidential)


def _said(error: exceptions.ClientError) -> str:
    """AWS's own words, where they cannot hold anything that was sent in confidence."""
    code = _text(error.response.get("Error", {}).get("Code")) or "no code"
    message = _text(error.response.get("Error", {}).get("Message"))
    if error.operation_name in _SECRETS_SENT or not message.isprintable() or "----" in message:
        return f"{code[:_LONGEST_QUOTE]}."
    return f"{code}: {message}"[:_LONGEST_QUOTE]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
