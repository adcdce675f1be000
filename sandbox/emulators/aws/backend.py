"""moto, called in process: the load balancers, their target groups, rules, policies and tags.

What moto checks well enough is left to it; :mod:`.classic` and :mod:`.application` come first and
do the rest. State of an account lives in moto for as long as the process.
"""

import re
from typing import Any
from xml.etree import ElementTree as ET

from aiohttp import web
from moto.core.request import Request
from moto.core.responses import BaseResponse
from moto.ec2.models import ec2_backends
from moto.elb.models import ELBBackend, elb_backends
from moto.elb.responses import ELBResponse
from moto.elbv2.models import ELBv2Backend, elbv2_backends
from moto.elbv2.responses import ELBV2Response

from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.wire import SIGNING_NAMES, Operation

_RESPONSES: dict[str, type[BaseResponse]] = {"elb": ELBResponse, "elbv2": ELBV2Response}
_NAMESPACED = re.compile(rb' xmlns="[^"]*"')


def classic_backend(account: str, region: str) -> ELBBackend:
    """moto's classic load balancers."""
    backend: ELBBackend = elb_backends[account][region]
    return backend


def application_backend(account: str, region: str) -> ELBv2Backend:
    """moto's application and network load balancers."""
    backend: ELBv2Backend = elbv2_backends[account][region]
    return backend


def subnets(account: str, region: str) -> dict[str, Any]:
    """The default subnets by availability zone."""
    found: dict[str, Any] = ec2_backends[account][region].get_default_subnets()
    return found


def passed_on(operation: Operation, body: bytes, account: str, request_id: str) -> web.Response:
    """moto's answer; raises Refused with moto's refusal, or for what moto cannot do."""
    scope = f"{operation.region}/{SIGNING_NAMES[operation.service]}/aws4_request"
    request = Request.from_primitives(
        "POST",
        "http://localhost/",
        {
            "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/20000101/{scope}, SignedHeaders=host",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Moto-Account-Id": account,
        },
        body,
    )
    try:
        status, _headers, text = _RESPONSES[operation.service].dispatch(
            request, request.raw_url, request.headers
        )
    except (NotImplementedError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise Refused(
            "InternalFailure", f"moto failed at {operation.name}: {type(error).__name__}"
        ) from None
    answered = text.encode() if isinstance(text, str) else bytes(text)
    if status >= 400:
        raise _refused(answered)
    return web.Response(
        status=status,
        headers={"Content-Type": "text/xml", "x-amzn-RequestId": request_id},
        body=answered,
    )


def _refused(body: bytes) -> Refused:
    try:
        root = ET.fromstring(_NAMESPACED.sub(b"", body))  # noqa: S314 - moto's own text
    except ET.ParseError:
        return Refused("InternalFailure", "moto refused in no known form")
    code, message = root.findtext(".//Code"), root.findtext(".//Message")
    return Refused(code or "InternalFailure", message or "")
