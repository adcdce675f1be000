"""The calls of Rackspace Cloud Load Balancers v1.0 that are needed, one method each.

Source: rackerlabs/docs-cloud-load-balancers (api-docs/cloud-load-balancers-v1): "SSL termination",
"Certificate mappings", "Load balancers", "Faults", "Limits"; where they are silent, the vendor's
implementation lbrackspace/atlas-lb. Faults become `loadbalancers.errors` here and nowhere else:

- 401 has no body: a new token, once; then Denied.
- 413 with Retry-After is the rate limit, without it a number of objects.
- 422 is `immutableEntity` or `unprocessableEntity`; both mean that another change is under way, but
  for a host name that has a mapping already.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import (
    Denied,
    Gone,
    NotYet,
    ProviderError,
    Refused,
    Unavailable,
)
from certfront.loadbalancers.exchange import Answer, Exchange
from certfront.loadbalancers.rackspace.identity import Identity
from certfront.loadbalancers.rackspace.material import Material

PAUSE: Final = 5.0
"""Seconds between two looks at a load balancer that is at work; 5 to 10 by the documentation."""


Body = TypeVar("Body")


class VirtualAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An address of the load balancer: `type` PUBLIC or SERVICENET, `ip_version` IPV4 or IPV6."""

    address: str = ""
    type: str = ""
    ip_version: str = ""


class LoadBalancerDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The load balancer itself. `https_redirect` is absent where it was never set."""

    status: str
    protocol: str = ""
    port: int = 0
    https_redirect: bool | None = None
    virtual_ips: tuple[VirtualAddress, ...] = ()


class SecurityProtocol(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """TLS_10 or TLS_11, ENABLED or DISABLED; the API knows no others."""

    security_protocol_name: str = ""
    security_protocol_status: str = ""


class TerminationDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The SSL termination; the key is never given back."""

    certificate: str = ""
    intermediate_certificate: str | None = None
    secure_port: int = 0
    enabled: bool = True
    secure_traffic_only: bool = False
    security_protocols: tuple[SecurityProtocol, ...] = ()


class MappingName(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mapping as the list has it."""

    id: int
    host_name: str = ""


class MappingDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mapping as it is read one by one."""

    id: int
    host_name: str = ""
    certificate: str = ""
    intermediate_certificate: str | None = None


class _LoadBalancerBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    load_balancer: LoadBalancerDetails


class _TerminationBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    ssl_termination: TerminationDetails


class _MappingBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    certificate_mapping: MappingDetails


class _MappingEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    certificate_mapping: MappingName


class _MappingsBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    certificate_mappings: tuple[_MappingEntry, ...] = ()


class Client:
    """One load balancer. Every method raises what `loadbalancers.errors` has."""

    def __init__(self, exchange: Exchange, identity: Identity, load_balancer_id: str) -> None:
        self._exchange = exchange
        self._identity = identity
        self._id = load_balancer_id
        self._path = f"/loadbalancers/{quote(load_balancer_id, safe='')}"
        self._termination = f"{self._path}/ssltermination"
        self._mappings = f"{self._termination}/certificatemappings"

    async def load_balancer(self) -> LoadBalancerDetails:
        """GET of the load balancer; raises Gone where there is none."""
        answer = await self._send("GET", self._path)
        if answer.status in {404, 410}:
            raise self._gone()
        return _parsed(self._good(answer), _LoadBalancerBody).load_balancer

    async def set_redirect(self, on: bool) -> None:
        """PUT of `httpsRedirect`; needs a termination for secure traffic only on port 443."""
        self._good(await self._send("PUT", self._path, {"loadBalancer": {"httpsRedirect": on}}))

    async def termination(self) -> TerminationDetails | None:
        """GET of the SSL termination, None where there is none."""
        answer = await self._send("GET", self._termination)
        if answer.status == 404:
            return None
        return _parsed(self._good(answer), _TerminationBody).ssl_termination

    async def put_material(self, material: Material, *, port: int, hardened: bool) -> None:
        """PUT of certificate, key and port together; intermediates that are not sent are dropped.

        `hardened` takes TLS 1.0 and 1.1 away. The key is called `privatekey` here.
        """
        body: dict[str, Any] = {
            "securePort": port,
            "certificate": material.certificate,
            "privatekey": material.private_key,
        }
        if material.intermediates:
            body["intermediateCertificate"] = material.intermediates
        if hardened:
            body["securityProtocols"] = _WITHOUT_WEAK_PROTOCOLS
        self._good(await self._send("PUT", self._termination, {"sslTermination": body}))

    async def set_termination(
        self,
        *,
        port: int | None = None,
        enabled: bool | None = None,
        secure_only: bool | None = None,
        hardened: bool = False,
    ) -> None:
        """PUT of what may be changed without material; None stays."""
        body: dict[str, Any] = {
            "securePort": port,
            "enabled": enabled,
            "secureTrafficOnly": secure_only,
            "securityProtocols": _WITHOUT_WEAK_PROTOCOLS if hardened else None,
        }
        body = {name: value for name, value in body.items() if value is not None}
        self._good(await self._send("PUT", self._termination, {"sslTermination": body}))

    async def delete_termination(self) -> None:
        """DELETE of the termination; one that is absent is done."""
        answer = await self._send("DELETE", self._termination)
        if answer.status != 404:
            self._good(answer)

    async def mappings(self) -> tuple[MappingName, ...]:
        """GET of the list, which has ids and host names only; empty without a termination."""
        answer = await self._send("GET", self._mappings)
        if answer.status == 404:
            return ()
        found = _parsed(self._good(answer), _MappingsBody).certificate_mappings
        return tuple(entry.certificate_mapping for entry in found)

    async def mapping(self, mapping_id: str) -> MappingDetails | None:
        """GET of one mapping, None where it is gone."""
        answer = await self._send("GET", f"{self._mappings}/{quote(mapping_id, safe='')}")
        if answer.status == 404:
            return None
        return _parsed(self._good(answer), _MappingBody).certificate_mapping

    async def add_mapping(self, host: str, material: Material) -> MappingDetails:
        """POST of a mapping. The key is called `privateKey` here."""
        answer = await self._send("POST", self._mappings, _mapping_body(material, host=host))
        return _parsed(self._good(answer), _MappingBody).certificate_mapping

    async def put_mapping(self, mapping_id: str, material: Material, *, clears_chain: bool) -> None:
        """PUT of certificate and key; intermediates that are not sent stay, unless cleared."""
        body = _mapping_body(material)
        if clears_chain:
            body["certificateMapping"]["intermediateCertificate"] = ""
        path = f"{self._mappings}/{quote(mapping_id, safe='')}"
        self._good(await self._send("PUT", path, body))

    async def delete_mapping(self, mapping_id: str) -> None:
        """DELETE of a mapping; one that is absent is done."""
        path = f"{self._mappings}/{quote(mapping_id, safe='')}"
        answer = await self._send("DELETE", path)
        if answer.status != 404:
            self._good(answer)

    async def close(self) -> None:
        """Let connections go."""
        await self._exchange.close()

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send with the token in force, and once more with a new one after 401."""
        encoded = None if body is None else msgspec.json.encode(body)
        for _ in range(2):
            session = await self._identity.session()
            answer = await self._exchange.send(
                method,
                session.base_url + path,
                body=encoded,
                headers={"X-Auth-Token": session.token},
            )
            if answer.status != 401:
                return answer
            self._identity.refused(session)
        raise Denied(
            reasons.CREDENTIALS_REFUSED, "Rackspace does not accept a token that it just gave."
        )

    def _good(self, answer: Answer) -> Answer:
        if 200 <= answer.status < 300:
            return answer
        raise self._error(answer)

    def _error(self, answer: Answer) -> ProviderError:
        status, said = answer.status, fault_text(answer)
        if status == 413 and "retry-after" in answer.headers:
            return self._exchange.throttled(answer)
        if status == 413:
            return Refused(reasons.QUOTA_EXCEEDED, said or "A limit of the account is reached.")
        if status == 422 and "duplicate host name" in said.lower():
            return Refused(reasons.NAME_TAKEN, said)
        if status in {404, 422}:
            return NotYet(
                reasons.WAITING_FOR_PROVIDER,
                said or "Rackspace is at work on another change of the load balancer.",
                retry_after=PAUSE,
            )
        if status == 403:
            return Denied(
                reasons.CREDENTIALS_REFUSED, "The account may not change this load balancer."
            )
        if status == 410:
            return self._gone()
        if status in {400, 405, 409}:
            return Refused(reasons.REFUSED_BY_PROVIDER, said or f"Rackspace answers {status}.")
        return Unavailable(reasons.PROVIDER_UNAVAILABLE, f"Rackspace answers {status}.")

    def _gone(self) -> Gone:
        return Gone(
            reasons.TARGET_NOT_FOUND, f"There is no load balancer {self._id} in that region."
        )


_WITHOUT_WEAK_PROTOCOLS: Final = tuple(
    {"securityProtocolName": name, "securityProtocolStatus": "DISABLED"}
    for name in ("TLS_10", "TLS_11")
)


def _mapping_body(material: Material, *, host: str = "") -> dict[str, Any]:
    body = {"certificate": material.certificate, "privateKey": material.private_key}
    if host:
        body["hostName"] = host
    if material.intermediates:
        body["intermediateCertificate"] = material.intermediates
    return {"certificateMapping": body}


def _parsed(answer: Answer, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(answer.body, type=kind, strict=False)
    except (msgspec.MsgspecError, RecursionError):
        raise Unavailable(
            reasons.PROVIDER_UNAVAILABLE, "Rackspace gives an answer that cannot be used."
        ) from None


def fault_text(answer: Answer) -> str:
    """What a fault says, where it is short and printable and holds no material; else ""."""
    try:
        fault = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    if isinstance(fault, dict) and len(fault) == 1:
        inner = next(iter(fault.values()))
        fault = inner if isinstance(inner, dict) else fault
    if not isinstance(fault, dict):
        return ""
    errors = fault.get("validationErrors")
    details = errors.get("messages") if isinstance(errors, dict) else None
    said = [fault.get("message"), *(details if isinstance(details, list) else ())]
    return answer.quotable(" ".join(part for part in said if isinstance(part, str)))
