"""The load balancers: their rules, their status over time, and what each serves.

Source: the guide's operations and tables, and where they are silent the vendor's own published
implementation (atlas-lb). A change is stored at once and read back at once; it is served from the
moment the status is ACTIVE again. Neighbours: :mod:`.bodies` are the requests, :mod:`.material`
checks keys, :mod:`.api` speaks HTTP.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from sandbox.emulators.rackspace import faults, material
from sandbox.emulators.rackspace.bodies import (
    LoadBalancerUpdate,
    MappingUpdate,
    SecurityProtocol,
    TerminationUpdate,
)
from sandbox.emulators.server import timestamp

_Value = TypeVar("_Value")

SECURE_PROTOCOLS = frozenset({"HTTPS", "IMAPS", "LDAPS", "POP3S"})
_DATAGRAM_PROTOCOLS = frozenset({"DNS_UDP", "UDP", "UDP_STREAM"})
_DEFAULT_PORTS: Mapping[str, int] = {"FTP": 21, "HTTP": 80, "HTTPS": 443, "SMTP": 25}
_HTTPS_PORT = 443
_HTTP_PORT = 80
_NO_REDIRECT = (
    "HTTPS Redirect is only valid for load balancers using the HTTPS protocol, "
    "or for load balancers with a 'Secure Only' SSL Termination."
)
_NO_TERMINATION = "SSL termination not found for requested load balancer."


class Status(StrEnum):
    """What a load balancer's status may be; only ACTIVE allows a modification."""

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"
    SUSPENDED = "SUSPENDED"
    ERROR = "ERROR"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A key, its certificate and the intermediates, PEM."""

    private_key: str = field(repr=False)
    certificate: str
    intermediate: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Chain, leaf first, and key."""
        chain = [self.certificate, self.intermediate] if self.intermediate else [self.certificate]
        return "\n".join(chain) + "\n", self.private_key + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """The SSL termination of a load balancer."""

    secure_port: int
    material: Material
    enabled: bool = True
    secure_traffic_only: bool = False
    cipher_profile: str = ""
    security_protocols: tuple[SecurityProtocol, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateMapping:
    """The certificate of one host name, which may begin with `*.`."""

    id: int
    host_name: str
    material: Material


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a load balancer is set to."""

    name: str
    protocol: str = "HTTP"
    port: int = _HTTP_PORT
    algorithm: str = "RANDOM"
    timeout: int = 30
    half_closed: bool = False
    https_redirect: bool = False
    termination: Termination | None = None
    mappings: tuple[CertificateMapping, ...] = ()

    def certificate(self, name: str | None) -> tuple[str, str] | None:
        """The pair for a server name: the most specific mapping, else the termination's own."""
        if self.termination is None:
            return None
        best = max(
            (mapping for mapping in self.mappings if name and _maps(mapping.host_name, name)),
            key=lambda mapping: not mapping.host_name.startswith("*"),
            default=None,
        )
        return (best or self.termination).material.pair


@dataclass(slots=True, kw_only=True)
class LoadBalancer:
    """One load balancer: what it is set to, what it serves, and its status."""

    id: int
    region: str
    address: str
    created: datetime
    updated: datetime
    configuration: Configuration
    served: Configuration
    status: Status = Status.ACTIVE
    settles: datetime | None = None
    """When PENDING_UPDATE ends; None: not by time."""
    fails_next: bool = False
    """Whether the next accepted change ends in ERROR and is not served."""

    def settle(self, now: datetime) -> None:
        """Let time pass: a pending change is served once it is due."""
        if self.status is not Status.PENDING_UPDATE or self.settles is None or now < self.settles:
            return
        self.updated, self.settles = self.settles, None
        if self.fails_next:
            self.fails_next, self.status = False, Status.ERROR
        else:
            self.served, self.status = self.configuration, Status.ACTIVE

    def behind_its_back(self, **changes: Any) -> None:
        """Change it as a person at the vendor would: at once, unchecked, in any status."""
        self.configuration = replace(self.configuration, **changes)
        self.served = replace(self.served, **changes)

    def document(self) -> dict[str, Any]:
        """The answer of GET; raises ApiFault 404 once it is deleted."""
        if self.status is Status.DELETED:
            raise faults.not_found("Load balancer not found")
        now = self.configuration
        return {
            "id": self.id,
            "name": now.name,
            "protocol": now.protocol,
            "port": now.port,
            "algorithm": now.algorithm,
            "status": str(self.status),
            "timeout": now.timeout,
            "halfClosed": now.half_closed,
            "httpsRedirect": now.https_redirect,
            "connectionLogging": {"enabled": False},
            "virtualIps": [
                {"id": self.id, "address": self.address, "type": "PUBLIC", "ipVersion": "IPV4"}
            ],
            "nodes": [],
            "cluster": {"name": f"c1.{self.region.lower()}1"},
            "created": {"time": timestamp(self.created)},
            "updated": {"time": timestamp(self.updated)},
            "sourceAddresses": {"ipv4Public": self.address, "ipv4Servicenet": "10.0.0.1"},
        }


@dataclass(slots=True, kw_only=True)
class Rules:
    """The changes that the API makes to a load balancer.

    Each raises ApiFault where it is refused, and leaves the load balancer PENDING_UPDATE for
    `update_seconds` where it is accepted. A request that is wrong in itself is refused as such in
    any status; a good one in any status but ACTIVE is 422.
    """

    random: random.Random
    update_seconds: float
    mapping_limit: int
    _last_mapping: int = 0

    def update(self, balancer: LoadBalancer, change: LoadBalancerUpdate, now: datetime) -> None:
        """PUT of a load balancer."""
        _refuse(change.faults())
        current = balancer.configuration
        protocol = change.protocol or current.protocol
        port = change.port or (
            _DEFAULT_PORTS.get(protocol, current.port)
            if protocol != current.protocol
            else current.port
        )
        wanted = replace(
            current,
            name=_given(change.name, current.name),
            protocol=protocol,
            port=port,
            algorithm=_given(change.algorithm, current.algorithm),
            timeout=_given(change.timeout, current.timeout),
            half_closed=_given(change.half_closed, current.half_closed),
            https_redirect=_given(change.https_redirect, current.https_redirect),
        )
        if wanted.half_closed and protocol not in ("TCP", "TCP_CLIENT_FIRST"):
            raise faults.bad_request("Half closed is only for the TCP and TCP_CLIENT_FIRST.")
        if current.termination is not None:
            _refuse_beside_termination(change, current, current.termination)
        if wanted.https_redirect:
            _refuse_redirect(change, wanted)
        self._accept(balancer, wanted, now)

    def terminate(self, balancer: LoadBalancer, change: TerminationUpdate, now: datetime) -> None:
        """PUT of the SSL termination: material with its port, or attributes of what is there."""
        _refuse(change.faults())
        current = balancer.configuration
        before = current.termination
        if change.has_material:
            given = _material(change, None, now)
        elif before is None:
            raise faults.bad_request("No ssl termination to update values for.")
        else:
            given = before.material
        if current.protocol in SECURE_PROTOCOLS:
            raise faults.bad_request(
                "Can not create ssl termination on a load balancer using a secure protocol."
            )
        if current.protocol in _DATAGRAM_PROTOCOLS:
            raise faults.bad_request(
                "Protocol UDP, UDP_STREAM and DNS_UDP cannot be configured with ssl termination. "
            )
        if change.secure_port == current.port:
            raise faults.bad_request(
                f"Secure port: '{change.secure_port}'  must be unique  "
                f"Ports taken: '{current.port}'"
            )
        if current.https_redirect:
            if change.secure_traffic_only is False:
                raise faults.bad_request(
                    "Cannot use 'mixed-mode' SSL termination while HTTPS Redirect is enabled."
                )
            if change.secure_port not in (None, _HTTPS_PORT):
                raise faults.bad_request("Must use secure port 443 with HTTPS Redirect enabled.")
        self._accept(balancer, replace(current, termination=_applied(change, before, given)), now)

    def unterminate(self, balancer: LoadBalancer, now: datetime) -> None:
        """DELETE of the SSL termination, its mappings included."""
        if balancer.configuration.termination is None:
            raise faults.bad_request(
                "SSL termination could not be found for the requested loadbalancer."
            )
        wanted = replace(balancer.configuration, termination=None, mappings=())
        self._accept(balancer, wanted, now)

    def add_mapping(
        self, balancer: LoadBalancer, change: MappingUpdate, now: datetime
    ) -> CertificateMapping:
        """POST of a certificate mapping."""
        _refuse(change.faults(new=True))
        termination_of(balancer)
        current = balancer.configuration
        if len(current.mappings) >= self.mapping_limit:
            raise faults.over_limit(
                f"Certificate mapping limit reached. Limit is set to '{self.mapping_limit}'. "
                "Please contact support if you would like to increase your limit."
            )
        _refuse_duplicate(current, change.host_name, None)
        given = _material(change, None, now)
        self._last_mapping += self.random.randrange(1, 100)
        mapping = CertificateMapping(
            id=self._last_mapping, host_name=change.host_name or "", material=given
        )
        self._accept(balancer, replace(current, mappings=(*current.mappings, mapping)), now)
        return mapping

    def change_mapping(
        self, balancer: LoadBalancer, identifier: int, change: MappingUpdate, now: datetime
    ) -> None:
        """PUT of a certificate mapping; what is not given stays."""
        _refuse(change.faults(new=False))
        before = mapping_of(balancer, identifier)
        current = balancer.configuration
        _refuse_duplicate(current, change.host_name, identifier)
        changed = replace(
            before,
            host_name=_given(change.host_name, before.host_name),
            material=_material(change, before.material, now),
        )
        mappings = tuple(changed if old.id == identifier else old for old in current.mappings)
        self._accept(balancer, replace(current, mappings=mappings), now)

    def remove_mapping(self, balancer: LoadBalancer, identifier: int, now: datetime) -> None:
        """DELETE of a certificate mapping."""
        gone = mapping_of(balancer, identifier)
        current = balancer.configuration
        mappings = tuple(mapping for mapping in current.mappings if mapping.id != gone.id)
        self._accept(balancer, replace(current, mappings=mappings), now)

    def _accept(self, balancer: LoadBalancer, wanted: Configuration, now: datetime) -> None:
        if balancer.status is Status.DELETED:
            raise faults.unprocessable("The load balancer is deleted and considered immutable.")
        if balancer.status is not Status.ACTIVE:
            raise faults.immutable(balancer.id, balancer.status)
        balancer.configuration = wanted
        balancer.status = Status.PENDING_UPDATE
        balancer.settles = now + timedelta(seconds=self.update_seconds)
        balancer.settle(now)


def termination_of(balancer: LoadBalancer) -> Termination:
    """The SSL termination; raises ApiFault 404 where there is none."""
    if balancer.configuration.termination is None or balancer.status is Status.DELETED:
        raise faults.not_found(_NO_TERMINATION)
    return balancer.configuration.termination


def mapping_of(balancer: LoadBalancer, identifier: int) -> CertificateMapping:
    """One certificate mapping; raises ApiFault 404."""
    termination_of(balancer)
    for mapping in balancer.configuration.mappings:
        if mapping.id == identifier:
            return mapping
    raise faults.not_found("Certificate mapping not found")


def termination_document(termination: Termination) -> dict[str, Any]:
    """The answer of GET …/ssltermination, without the key."""
    found: dict[str, Any] = {
        "certificate": termination.material.certificate,
        "enabled": termination.enabled,
        "secureTrafficOnly": termination.secure_traffic_only,
        "securePort": termination.secure_port,
    }
    if termination.material.intermediate:
        found["intermediateCertificate"] = termination.material.intermediate
    if termination.cipher_profile:
        found["cipherProfile"] = termination.cipher_profile
    if termination.security_protocols:
        found["securityProtocols"] = [
            {
                "securityProtocolName": item.security_protocol_name,
                "securityProtocolStatus": item.security_protocol_status,
            }
            for item in termination.security_protocols
        ]
    return {"sslTermination": found}


def mapping_document(mapping: CertificateMapping) -> dict[str, Any]:
    """The answer of GET and POST of a mapping, without the key."""
    found: dict[str, Any] = {
        "id": mapping.id,
        "hostName": mapping.host_name,
        "certificate": mapping.material.certificate,
    }
    if mapping.material.intermediate:
        found["intermediateCertificate"] = mapping.material.intermediate
    return {"certificateMapping": found}


def _maps(pattern: str, name: str) -> bool:
    wanted = pattern.lower()
    return wanted == name or (wanted.startswith("*.") and wanted[2:] == name.partition(".")[2])


def _given(new: _Value | None, old: _Value) -> _Value:
    return old if new is None else new


def _refuse(errors: list[str]) -> None:
    if errors:
        raise faults.invalid(*errors)


def _refuse_duplicate(current: Configuration, host_name: str | None, own: int | None) -> None:
    if host_name is None:
        return
    for mapping in current.mappings:
        if mapping.host_name.lower() == host_name.lower() and mapping.id != own:
            raise faults.unprocessable(
                f"Duplicate host name detected. Certificate mapping with id '{mapping.id}' "
                "has already configured the host name provided."
            )


def _refuse_beside_termination(
    change: LoadBalancerUpdate, current: Configuration, termination: Termination
) -> None:
    if change.protocol not in (None, current.protocol):
        raise faults.bad_request("Cannot update protocol on a load balancer with ssl termination.")
    if change.port == termination.secure_port:
        raise faults.bad_request(
            "Port currently assigned to SSL termination for this load balancer. "
            "Please try another port."
        )


def _refuse_redirect(change: LoadBalancerUpdate, wanted: Configuration) -> None:
    """The preconditions of a redirect, asked of every update that leaves it on."""
    if wanted.termination is None:
        if wanted.protocol != "HTTPS":
            raise faults.bad_request(_NO_REDIRECT)
        if wanted.port != _HTTPS_PORT:
            raise faults.bad_request(
                "HTTPS Redirect can only be enabled for HTTPS load balancers using port 443."
            )
        return
    if not wanted.termination.secure_traffic_only:
        raise faults.bad_request(_NO_REDIRECT)
    if wanted.termination.secure_port != _HTTPS_PORT:
        raise faults.bad_request(
            "HTTPS Redirect can only be enabled for load balancers with SSL Termination "
            "using secure port 443."
        )
    if change.port not in (None, _HTTP_PORT):
        raise faults.bad_request(
            "Cannot change port on load balancers with HTTPS Redirect enabled."
        )


def _material(
    change: TerminationUpdate | MappingUpdate, before: Material | None, now: datetime
) -> Material:
    """The material after a change, checked; without `before` what is not given is empty."""
    given = Material(
        private_key=_pem(change.private_key, before.private_key if before else ""),
        certificate=_pem(change.certificate, before.certificate if before else ""),
        intermediate=_pem(change.intermediate_certificate, before.intermediate if before else ""),
    )
    _refuse(material.errors(given.private_key, given.certificate, given.intermediate, now=now))
    return given


def _pem(new: str | None, old: str) -> str:
    return old if new is None else material.cleaned(new)


def _applied(change: TerminationUpdate, before: Termination | None, given: Material) -> Termination:
    """The termination after a change; "secure only" is dropped where it is asked while disabled."""
    if before is None:
        before = Termination(secure_port=change.secure_port or 0, material=given)
    enabled = _given(change.enabled, before.enabled)
    secure_only = _given(change.secure_traffic_only, before.secure_traffic_only)
    return replace(
        before,
        material=given,
        secure_port=_given(change.secure_port, before.secure_port),
        enabled=enabled,
        secure_traffic_only=secure_only and (enabled or change.secure_traffic_only is None),
        cipher_profile=_given(change.cipher_profile, before.cipher_profile),
        security_protocols=_given(change.security_protocols, before.security_protocols),
    )
