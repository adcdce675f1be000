"""The calls that a classic load balancer needs, of IAM and of Elastic Load Balancing.

Sources: IAM API reference (version 2010-05-08), server certificates; Elastic Load Balancing API
reference (version 2012-06-01). Errors are those of `loadbalancers.errors`; what only the provider
can judge is a `faults.Rejected` with AWS's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws.account import Account
from certfront.loadbalancers.aws.classic.state import Listener, ServerCertificate
from certfront.loadbalancers.aws.faults import Rejected
from certfront.loadbalancers.aws.material import Parts, leaf_of_pem
from certfront.loadbalancers.errors import Gone, Unavailable

_PAGE: Final = 1000
_Record = TypeVar("_Record", bound=msgspec.Struct)


class Metadata(msgspec.Struct, frozen=True, rename="pascal"):
    """ServerCertificateMetadata."""

    server_certificate_name: str
    server_certificate_id: str
    arn: str
    upload_date: datetime
    expiration: datetime

    def certificate(self) -> ServerCertificate:
        """The certificate, not read."""
        return ServerCertificate(
            name=self.server_certificate_name,
            arn=self.arn,
            id=self.server_certificate_id,
            uploaded=self.upload_date,
            expires=self.expiration,
        )


class _Listener(msgspec.Struct, frozen=True, rename="pascal"):
    protocol: str
    load_balancer_port: int
    instance_port: int
    instance_protocol: str = ""
    ssl_certificate_id: str = msgspec.field(name="SSLCertificateId", default="")


class _Description(msgspec.Struct, frozen=True, rename="pascal"):
    listener: _Listener


class _LoadBalancer(msgspec.Struct, frozen=True, rename="pascal"):
    dns_name: str = msgspec.field(name="DNSName", default="")
    listener_descriptions: tuple[_Description, ...] = ()


class ClassicAPI:
    """One classic load balancer by name, and the server certificates below one path."""

    def __init__(self, account: Account, name: str, path: str) -> None:
        self._account = account
        self._name = name
        self._path = path

    async def load_balancer(self) -> tuple[str, dict[int, Listener]]:
        """Its DNS name, and its listeners by port. Raises Gone."""
        answer = await self._account.call(
            "elb", "describe_load_balancers", LoadBalancerNames=[self._name]
        )
        for found in answer.get("LoadBalancerDescriptions", []):
            told = _read(found, _LoadBalancer)
            listeners = [_listener(one.listener) for one in told.listener_descriptions]
            return told.dns_name, {one.port: one for one in listeners}
        raise Gone(reasons.TARGET_NOT_FOUND, f"There is no classic load balancer {self._name}.")

    async def tags(self) -> dict[str, str]:
        """The tags of the load balancer."""
        answer = await self._account.call("elb", "describe_tags", LoadBalancerNames=[self._name])
        return {
            tag["Key"]: tag.get("Value", "")
            for description in answer.get("TagDescriptions", [])
            for tag in description.get("Tags", [])
        }

    async def add_tag(self, key: str, value: str) -> None:
        """Set a tag of the load balancer."""
        tags = [{"Key": key, "Value": value}]
        await self._account.call("elb", "add_tags", LoadBalancerNames=[self._name], Tags=tags)

    async def remove_tag(self, key: str) -> None:
        """Take a tag away."""
        tags = [{"Key": key}]
        await self._account.call("elb", "remove_tags", LoadBalancerNames=[self._name], Tags=tags)

    async def create_listener(self, listener: Listener) -> None:
        """Make a listener; one that is the same already is no error."""
        wanted = {
            "Protocol": listener.protocol,
            "LoadBalancerPort": listener.port,
            "InstanceProtocol": listener.instance_protocol,
            "InstancePort": listener.instance_port,
        }
        if listener.certificate:
            wanted["SSLCertificateId"] = listener.certificate
        await self._account.call(
            "elb",
            "create_load_balancer_listeners",
            LoadBalancerName=self._name,
            Listeners=[wanted],
        )

    async def set_certificate(self, port: int, arn: str) -> None:
        """Have the listener of a port offer another certificate."""
        await self._account.call(
            "elb",
            "set_load_balancer_listener_ssl_certificate",
            LoadBalancerName=self._name,
            LoadBalancerPort=port,
            SSLCertificateId=arn,
        )

    async def delete_listener(self, port: int) -> None:
        """Take a listener away; one that is not there is no error."""
        await self._account.call(
            "elb",
            "delete_load_balancer_listeners",
            LoadBalancerName=self._name,
            LoadBalancerPorts=[port],
        )

    async def certificates(self) -> list[ServerCertificate]:
        """All certificates below the path."""
        found: list[ServerCertificate] = []
        async for page in self._account.pages(
            "iam",
            "list_server_certificates",
            given="Marker",
            told="Marker",
            PathPrefix=self._path,
            MaxItems=_PAGE,
        ):
            found += [
                _read(one, Metadata).certificate()
                for one in page.get("ServerCertificateMetadataList", [])
            ]
        return found

    async def certificate(self, name: str) -> ServerCertificate | None:
        """The certificate of that name, read; None where there is none (yet)."""
        try:
            answer = await self._account.call(
                "iam", "get_server_certificate", ServerCertificateName=name
            )
        except Rejected as error:
            if error.code == "NoSuchEntity":
                return None
            raise
        told = answer.get("ServerCertificate", {})
        metadata = _read(told.get("ServerCertificateMetadata"), Metadata)
        found = metadata.certificate()
        return replace(found, leaf=leaf_of_pem(str(told.get("CertificateBody", ""))))

    async def upload(self, name: str, parts: Parts, tags: Mapping[str, str]) -> ServerCertificate:
        """Store a certificate."""
        chain = {"CertificateChain": parts.chain} if parts.chain else {}
        answer = await self._account.call(
            "iam",
            "upload_server_certificate",
            Path=self._path,
            ServerCertificateName=name,
            CertificateBody=parts.body,
            PrivateKey=parts.key,
            Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            **chain,
        )
        found = _read(answer.get("ServerCertificateMetadata"), Metadata).certificate()
        return replace(found, leaf=leaf_of_pem(parts.body))

    async def delete(self, name: str) -> None:
        """Delete a certificate; one that is not there is no error."""
        try:
            await self._account.call("iam", "delete_server_certificate", ServerCertificateName=name)
        except Rejected as error:
            if error.code != "NoSuchEntity":
                raise

    async def quota(self) -> int | None:
        """How many server certificates the account may have."""
        answer = await self._account.call("iam", "get_account_summary")
        told = answer.get("SummaryMap", {}).get("ServerCertificatesQuota")
        return told if isinstance(told, int) else None

    async def close(self) -> None:
        """Let connections go."""
        await self._account.close()


def _listener(told: _Listener) -> Listener:
    return Listener(
        port=told.load_balancer_port,
        protocol=told.protocol.upper(),
        instance_port=told.instance_port,
        instance_protocol=(told.instance_protocol or told.protocol).upper(),
        certificate=told.ssl_certificate_id,
    )


def _read(told: Any, kind: type[_Record]) -> _Record:
    """Raises Unavailable where the answer is not what the API reference says."""
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError:
        raise Unavailable(
            reasons.PROVIDER_UNAVAILABLE, "AWS's answer is not as its API reference says."
        ) from None
