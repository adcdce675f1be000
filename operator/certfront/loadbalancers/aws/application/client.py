"""The calls that an application load balancer needs, of ACM and of Elastic Load Balancing.

Sources: ACM API reference (version 2015-12-08), ImportCertificate, ListCertificates, GetCertificate,
ListTagsForCertificate, DeleteCertificate; Elastic Load Balancing API reference (version 2015-12-01),
listeners, listener certificates, target groups and tags. Errors as in `classic.client`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws.account import Account
from certfront.loadbalancers.aws.application.state import (
    Action,
    Change,
    Forward,
    Listener,
    Other,
    Redirect,
)
from certfront.loadbalancers.aws.faults import Rejected
from certfront.loadbalancers.aws.material import KEY_ALGORITHMS, Leaf, Parts, leaf_of_pem
from certfront.loadbalancers.errors import Gone, Unavailable

_TAGGED_AT_ONCE: Final = 20
_GONE: Final = ("ResourceNotFoundException", "ResourceNotFound")
_Record = TypeVar("_Record", bound=msgspec.Struct)


class Summary(msgspec.Struct, frozen=True, rename="pascal"):
    """CertificateSummary, as far as it is looked at."""

    certificate_arn: str
    type: str = ""
    not_after: datetime | None = None
    imported_at: datetime | None = None


class Balancer(msgspec.Struct, frozen=True, rename="pascal"):
    """LoadBalancer, as far as it is looked at."""

    load_balancer_arn: str
    dns_name: str = msgspec.field(name="DNSName", default="")
    type: str = "application"


class _Certificate(msgspec.Struct, frozen=True, rename="pascal"):
    certificate_arn: str
    is_default: bool = False


class _Listener(msgspec.Struct, frozen=True, rename="pascal"):
    listener_arn: str
    port: int = 0
    protocol: str = ""
    ssl_policy: str = ""
    certificates: tuple[_Certificate, ...] = ()
    default_actions: tuple[dict[str, Any], ...] = ()


class _Redirect(msgspec.Struct, frozen=True, rename="pascal"):
    status_code: Literal["HTTP_301", "HTTP_302"]
    protocol: str = "#{protocol}"
    port: str = "#{port}"
    host: str = "#{host}"
    path: str = "/#{path}"
    query: str = "#{query}"


class ApplicationAPI:
    """One application load balancer, by name or ARN, and ACM of its region."""

    def __init__(self, account: Account, *, name: str, arn: str) -> None:
        self._account = account
        self._which = {"LoadBalancerArns": [arn]} if arn else {"Names": [name]}

    async def load_balancer(self) -> Balancer:
        """The load balancer. Raises Gone where there is none, or one of another type."""
        answer = await self._account.call("elbv2", "describe_load_balancers", **self._which)
        for told in answer.get("LoadBalancers", []):
            found = _read(told, Balancer)
            if found.type != "application":
                break
            return found
        raise Gone(
            reasons.TARGET_NOT_FOUND, "There is no application load balancer of that name or ARN."
        )

    async def listeners(self, balancer: str) -> list[Listener]:
        """Its listeners, without their SNI lists and marks."""
        found: list[Listener] = []
        async for page in self._account.pages(
            "elbv2",
            "describe_listeners",
            given="Marker",
            told="NextMarker",
            LoadBalancerArn=balancer,
        ):
            found += [_listener(one) for one in page.get("Listeners", [])]
        return found

    async def others(self, listener: str) -> frozenset[str]:
        """The certificates that a listener offers by SNI."""
        found: set[str] = set()
        async for page in self._account.pages(
            "elbv2",
            "describe_listener_certificates",
            given="Marker",
            told="NextMarker",
            ListenerArn=listener,
        ):
            told = [_read(one, _Certificate) for one in page.get("Certificates", [])]
            found |= {one.certificate_arn for one in told if not one.is_default}
        return frozenset(found)

    async def tags(self, arns: Sequence[str]) -> dict[str, dict[str, str]]:
        """The tags of listeners, by ARN."""
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(arns), _TAGGED_AT_ONCE):
            some = list(arns[start : start + _TAGGED_AT_ONCE])
            answer = await self._account.call("elbv2", "describe_tags", ResourceArns=some)
            for told in answer.get("TagDescriptions", []):
                found[told["ResourceArn"]] = _tags(told.get("Tags", []))
        return found

    async def add_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Set tags of a listener."""
        await self._account.call("elbv2", "add_tags", ResourceArns=[arn], Tags=_tag_list(tags))

    async def target_group(self, name: str) -> str:
        """The ARN of a target group, "" where there is none of the name."""
        try:
            answer = await self._account.call("elbv2", "describe_target_groups", Names=[name])
        except Rejected as error:
            if error.code in ("TargetGroupNotFound", "ValidationError"):
                return ""
            raise
        for told in answer.get("TargetGroups", []):
            return str(told.get("TargetGroupArn", ""))
        return ""

    async def create_listener(
        self, balancer: str, listener: Listener, tags: Mapping[str, str]
    ) -> Listener:
        """Make a listener; one that is the same already is returned."""
        secure = {
            "SslPolicy": listener.policy,
            "Certificates": [{"CertificateArn": listener.default}],
        }
        answer = await self._account.call(
            "elbv2",
            "create_listener",
            LoadBalancerArn=balancer,
            Port=listener.port,
            Protocol=listener.protocol,
            DefaultActions=[_action_sent(listener.action)],
            Tags=_tag_list(tags),
            **(secure if listener.secure else {}),
        )
        return _first_listener(answer)

    async def modify_listener(self, arn: str, change: Change) -> Listener:
        """Change what is not None; everything else stays."""
        wanted: dict[str, Any] = {}
        if change.protocol is not None:
            wanted["Protocol"] = change.protocol
        if change.policy is not None:
            wanted["SslPolicy"] = change.policy
        if change.default is not None:
            wanted["Certificates"] = [{"CertificateArn": change.default}]
        if change.action is not None:
            wanted["DefaultActions"] = [_action_sent(change.action)]
        answer = await self._account.call("elbv2", "modify_listener", ListenerArn=arn, **wanted)
        return _first_listener(answer)

    async def delete_listener(self, arn: str) -> None:
        """Take a listener away."""
        await self._account.call("elbv2", "delete_listener", ListenerArn=arn)

    async def attach(self, listener: str, certificate: str) -> None:
        """Offer a certificate by SNI; AWS takes one for each call, one that is there is no error."""
        await self._account.call(
            "elbv2",
            "add_listener_certificates",
            ListenerArn=listener,
            Certificates=[{"CertificateArn": certificate}],
        )

    async def detach(self, listener: str, certificate: str) -> None:
        """Offer a certificate by SNI no more."""
        await self._account.call(
            "elbv2",
            "remove_listener_certificates",
            ListenerArn=listener,
            Certificates=[{"CertificateArn": certificate}],
        )

    async def certificates(self) -> list[Summary]:
        """All certificates of the account in the region, whatever their keys."""
        found: list[Summary] = []
        async for page in self._account.pages(
            "acm",
            "list_certificates",
            given="NextToken",
            told="NextToken",
            Includes={"keyTypes": list(KEY_ALGORITHMS)},
            MaxItems=1000,
        ):
            found += [_read(one, Summary) for one in page.get("CertificateSummaryList", [])]
        return found

    async def certificate_tags(self, arn: str) -> dict[str, str] | None:
        """The tags of a certificate; None where it is not there (any more)."""
        try:
            answer = await self._account.call(
                "acm", "list_tags_for_certificate", CertificateArn=arn
            )
        except Rejected as error:
            if error.code in _GONE:
                return None
            raise
        return _tags(answer.get("Tags", []))

    async def leaf(self, arn: str) -> Leaf | None:
        """The certificate itself; None where it is not there (any more)."""
        try:
            answer = await self._account.call("acm", "get_certificate", CertificateArn=arn)
        except Rejected as error:
            if error.code in _GONE:
                return None
            raise
        return leaf_of_pem(str(answer.get("Certificate", "")))

    async def import_certificate(self, parts: Parts, *, arn: str, tags: Mapping[str, str]) -> str:
        """Store a certificate, or (with `arn`) new material in place; tags are for new ones only."""
        more: dict[str, Any] = {"CertificateArn": arn} if arn else {"Tags": _tag_list(tags)}
        if parts.chain:
            more["CertificateChain"] = parts.chain.encode("ascii")
        answer = await self._account.call(
            "acm",
            "import_certificate",
            Certificate=parts.body.encode("ascii"),
            PrivateKey=parts.key.encode("ascii"),
            **more,
        )
        return str(answer.get("CertificateArn", ""))

    async def delete_certificate(self, arn: str) -> None:
        """Delete a certificate; one that is not there is no error."""
        try:
            await self._account.call("acm", "delete_certificate", CertificateArn=arn)
        except Rejected as error:
            if error.code not in _GONE:
                raise

    async def close(self) -> None:
        """Let connections go."""
        await self._account.close()


def _first_listener(answer: Mapping[str, Any]) -> Listener:
    for told in answer.get("Listeners", []):
        return _listener(told)
    raise Unavailable(reasons.PROVIDER_UNAVAILABLE, "AWS's answer names no listener.")


def _listener(told: Any) -> Listener:
    found = _read(told, _Listener)
    default = found.certificates[0].certificate_arn if found.certificates else ""
    return Listener(
        arn=found.listener_arn,
        port=found.port,
        protocol=found.protocol,
        action=_action(found.default_actions),
        policy=found.ssl_policy,
        default=default,
    )


def _action(told: Sequence[Mapping[str, Any]]) -> Action:
    if len(told) != 1:
        return Other(kind=",".join(str(one.get("Type", "")) for one in told))
    kind = str(told[0].get("Type", ""))
    if kind == "forward":
        groups = [one for one in [told[0].get("TargetGroupArn")] if one]
        config = told[0].get("ForwardConfig") or {}
        groups += [one.get("TargetGroupArn") for one in config.get("TargetGroups", [])]
        if len(set(groups)) == 1:
            return Forward(target_group=str(groups[0]))
    if kind == "redirect":
        config = _read(told[0].get("RedirectConfig") or {}, _Redirect)
        return Redirect(
            protocol=config.protocol,
            port=config.port,
            status=config.status_code,
            host=config.host,
            path=config.path,
            query=config.query,
        )
    return Other(kind=kind)


def _action_sent(action: Action) -> dict[str, Any]:
    if isinstance(action, Forward):
        return {"Type": "forward", "TargetGroupArn": action.target_group}
    if isinstance(action, Redirect):
        return {
            "Type": "redirect",
            "RedirectConfig": {
                "Protocol": action.protocol,
                "Port": action.port,
                "Host": action.host,
                "Path": action.path,
                "Query": action.query,
                "StatusCode": action.status,
            },
        }
    raise ValueError("an action of another kind is never sent")


def _tags(told: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {one["Key"]: one.get("Value", "") for one in told}


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _read(told: Any, kind: type[_Record]) -> _Record:
    """Raises Unavailable where the answer is not what the API reference says."""
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError:
        raise Unavailable(
            reasons.PROVIDER_UNAVAILABLE, "AWS's answer is not as its API reference says."
        ) from None
