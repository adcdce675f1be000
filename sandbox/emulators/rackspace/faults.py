"""The vendor's faults, and how they are written in JSON.

Neighbours: every rule of :mod:`.state` raises one; :mod:`.api` turns it into the answer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

VALIDATION = "Validation Failure"


class ApiFault(Exception):
    """A refusal. Its texts never hold bytes of a request's key or certificate."""

    def __init__(
        self,
        name: str,
        code: int,
        message: str,
        *,
        details: str = "",
        errors: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.code = code
        self.message = message
        self.details = details
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def body(self, *, wrapped: bool) -> dict[str, Any]:
        """The fault as a JSON object: bare, or as the member that carries the fault's name.

        The guide's only JSON example (Bulk-delete nodes) and every answer quoted by clients are
        bare; what the proxy before the service says (:class:`RateLimited`) is always wrapped.
        """
        fault: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.details:
            fault["details"] = self.details
        if self.errors:
            fault["validationErrors"] = {"messages": list(self.errors)}
        return {self.name: fault} if wrapped else fault


def invalid(*errors: str) -> ApiFault:
    """400 badRequest with its validation errors."""
    return ApiFault("badRequest", 400, VALIDATION, details="The object is not valid", errors=errors)


def bad_request(message: str) -> ApiFault:
    """400 badRequest of a rule between objects."""
    return ApiFault("badRequest", 400, message)


def not_found(message: str) -> ApiFault:
    """404 itemNotFound."""
    return ApiFault("itemNotFound", 404, message)


def over_limit(message: str) -> ApiFault:
    """413 overLimit for too many objects: it has no Retry-After."""
    return ApiFault("overLimit", 413, message)


def immutable(identifier: int, status: str) -> ApiFault:
    """422 immutableEntity: this status allows no modification."""
    return ApiFault(
        "immutableEntity",
        422,
        f"Load Balancer '{identifier}' has a status of '{status}' and is considered immutable.",
    )


def unprocessable(message: str) -> ApiFault:
    """422 unprocessableEntity: well formed, but not for this object."""
    return ApiFault("unprocessableEntity", 422, message)


class RateLimited(ApiFault):
    """413 overLimit of the rate limiting proxy: with Retry-After, and always wrapped."""

    def __init__(self, *, retry_at: str, retry_after: str) -> None:
        super().__init__(
            "overLimit",
            413,
            "OverLimit Retry...",
            details="Error Details...",
            headers={"Retry-After": retry_after},
        )
        self.retry_at = retry_at

    def body(self, *, wrapped: bool) -> dict[str, Any]:  # noqa: ARG002 - it always is
        """The fault with the time from which a request is answered again."""
        fault = super().body(wrapped=False)
        return {self.name: {**fault, "retryAfter": self.retry_at}}
