"""Faults that answer as AWS does: throttling, refusals and failures, in each service's form."""

from typing import Literal

from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.wire import refusal_body
from sandbox.emulators.server import Fault

_REQUEST_ID = "00000000-0000-4000-8000-000000000000"
Service = Literal["acm", "elb", "elbv2", "iam", "sts"]


def refusing(
    service: Service,
    action: str,
    code: str,
    *,
    message: str = "",
    status: int = 0,
    times: int = 1,
    skip: int = 0,
) -> Fault:
    """Answer the action (a regular expression, "" for all of the service) with this code.

    `code` is the Query protocol's for what all services have (Throttling, AccessDenied,
    ExpiredToken, InternalFailure, ...); ACM's own spelling is put in.
    """
    refused = Refused(code, message or code, status)
    kind = "application/x-amz-json-1.1" if service == "acm" else "text/xml"
    return Fault(
        path=f"{service}:{action or '.*'}",
        times=times,
        skip=skip,
        kind="status",
        status=refused.status_of(service),
        headers={"Content-Type": kind},
        body=refusal_body(service, refused, _REQUEST_ID),
    )


def throttling(service: Service, action: str = "", *, times: int = 1, skip: int = 0) -> Fault:
    """Answer with the service's own code for too many requests, which boto3 retries."""
    return refusing(service, action, "Throttling", message="Rate exceeded", times=times, skip=skip)
