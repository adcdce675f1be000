"""Where the traffic of a frontend goes, in the terms of an application load balancer.

Source: Application Load Balancers guide, "Redirect actions" and "Security policies".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from certfront.loadbalancers.aws import reasons as aws
from certfront.loadbalancers.aws.application.state import Action, Forward, Redirect
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import Listener

_LONGEST_PART: Final = 128
_POLICIES: Final[Mapping[str, str]] = {
    "TLS1.2": "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "TLS1.3": "ELBSecurityPolicy-TLS13-1-3-2021-06",
}
"""By `tls.minVersion`; both speak TLS 1.3."""

_STATUS: Final[Mapping[int, Literal["HTTP_301", "HTTP_302"]]] = {
    301: "HTTP_301",
    302: "HTTP_302",
    308: "HTTP_301",
}
"""308 is the API's default and means the provider's own permanent one."""


def policy_of(listener: Listener) -> str:
    """The security policy: the one that is named, or one for the oldest version allowed."""
    return listener.tls_policy or _POLICIES[listener.min_tls_version]


def plain_port_of(listener: Listener) -> int | None:
    """The port that speaks plain HTTP for a frontend that has its own listeners."""
    if listener.manage != "Listener":
        return None
    return listener.http_port if listener.ssl else listener.port


def group_of(listener: Listener) -> str:
    """The name of the target group that is to be looked up, "" where none is."""
    named = listener.farm_name if listener.manage == "Listener" else ""
    return "" if named.startswith("arn:") or listener.redirect_location else named


def action_of(listener: Listener, groups: Mapping[str, str]) -> Action | Problem | None:
    """What is done with requests on the frontend's own port; None until it is looked up."""
    if listener.redirect_location:
        return _location(listener.redirect_location, secure=listener.ssl)
    if listener.farm_name.startswith("arn:"):
        return Forward(target_group=listener.farm_name)
    arn = groups.get(listener.farm_name)
    if arn is None:
        return None
    if not arn:
        return _problem_with_group(listener.farm_name)
    return Forward(target_group=arn)


def plain_action_of(listener: Listener, groups: Mapping[str, str]) -> Action | Problem | None:
    """What is done with plain requests: sent to HTTPS, or the same as on the TLS port."""
    if listener.redirect_status is None:
        return action_of(listener, groups)
    status = _STATUS.get(listener.redirect_status)
    if status is None:
        return Problem(
            condition="Accepted",
            reason=aws.REDIRECT_UNSUPPORTED,
            message=f"Status {listener.redirect_status} is not one that the load balancer redirects "
            "with: 301 and 302 are.",
            stalled=True,
        )
    return Redirect(protocol="HTTPS", port=str(listener.port), status=status)


def _location(url: str, *, secure: bool) -> Redirect | Problem:
    """A fixed address. Placeholders of AWS's own are refused: the field is a plain URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _unredirectable(url)
    host, path = parts.hostname or "", parts.path or "/"
    long = max(len(host), len(path), len(parts.query)) > _LONGEST_PART
    protocol = parts.scheme.upper()
    if not host or long or "#" in url or protocol not in ("HTTP", "HTTPS"):
        return _unredirectable(url)
    if secure and protocol == "HTTP":
        return _unredirectable(url)
    return Redirect(
        protocol=protocol,
        port=str(port or {"HTTP": 80, "HTTPS": 443}[protocol]),
        status="HTTP_302",
        host=host,
        path=path,
        query=parts.query,
    )


def _unredirectable(url: str) -> Problem:
    return Problem(
        condition="Accepted",
        reason=aws.REDIRECT_UNSUPPORTED,
        message=f"The load balancer cannot redirect to {url[:100]}: HTTPS only leads to HTTPS, and "
        f"host, path and query have at most {_LONGEST_PART} characters each and no #.",
        stalled=True,
    )


def _problem_with_group(name: str) -> Problem:
    return Problem(
        condition="ResolvedRefs",
        reason=aws.TARGET_GROUP_NOT_FOUND,
        message=f"There is no target group {name}.",
    )
