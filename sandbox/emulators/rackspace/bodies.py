"""What requests may hold: every body as a type, unknown fields and wrong types refused.

Source: the guide's parameter tables; as its examples do, booleans may come as "true" and ports as
strings of digits. A null is an absent field. Neighbour: :mod:`.state` acts on these.
"""

import re
from typing import Annotated, Literal, TypeVar

import msgspec

from sandbox.emulators.rackspace import faults

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Pem = Annotated[str, msgspec.Meta(max_length=64 * 1024)]
HostName = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]

# fmt: off
Protocol = Literal[
    "DNS_TCP", "DNS_UDP", "FTP", "HTTP", "HTTPS", "IMAPS", "IMAPv4", "LDAP", "LDAPS", "MYSQL",
    "POP3", "POP3S", "SFTP", "SMTP", "TCP", "TCP_CLIENT_FIRST", "UDP", "UDP_STREAM",
]
Algorithm = Literal[
    "LEAST_CONNECTIONS", "RANDOM", "ROUND_ROBIN",
    "WEIGHTED_LEAST_CONNECTIONS", "WEIGHTED_ROUND_ROBIN",
]
# fmt: on

Body = TypeVar("Body", bound=msgspec.Struct)

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(\*|{_LABEL})(\.{_LABEL})+")

_TRIPLE = "Must supply certificates(s), key and secure port for updating ssl termination"


class LoadBalancerUpdate(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """PUT of a load balancer."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    algorithm: Algorithm | None = None
    protocol: Protocol | None = None
    port: Port | None = None
    timeout: Annotated[int, msgspec.Meta(ge=1, le=120)] | None = None
    half_closed: bool | None = None
    https_redirect: bool | None = None

    def faults(self) -> list[str]:
        """What is wrong with it whatever the load balancer."""
        if any(getattr(self, field) is not None for field in self.__struct_fields__):
            return []
        return ["The load balancer must have at least one of its attributes to update."]


class SecurityProtocol(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """One protocol version that is allowed or not."""

    security_protocol_name: Literal["TLS_10", "TLS_11"]
    security_protocol_status: Literal["ENABLED", "DISABLED"]


class TerminationUpdate(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """PUT of the SSL termination; the key is `privatekey` here."""

    secure_port: Port | None = None
    private_key: Pem | None = msgspec.field(default=None, name="privatekey")
    certificate: Pem | None = None
    intermediate_certificate: Pem | None = None
    enabled: bool | None = None
    secure_traffic_only: bool | None = None
    cipher_profile: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    security_protocols: tuple[SecurityProtocol, ...] | None = None

    @property
    def has_material(self) -> bool:
        """Whether it replaces the certificate and key."""
        return self.certificate is not None or self.private_key is not None

    def faults(self) -> list[str]:
        """What is wrong with it whatever the load balancer."""
        found = []
        if all(getattr(self, field) is None for field in self.__struct_fields__):
            found.append(f"{_TRIPLE}.")
        pair = self.certificate is not None and self.private_key is not None
        if (self.has_material or self.intermediate_certificate is not None) and not pair:
            found.append(f"{_TRIPLE} cert and or key values.")
        if pair and self.secure_port is None:
            found.append(f"{_TRIPLE}.")
        names = [item.security_protocol_name for item in self.security_protocols or ()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            found.append("Found duplicate Security protocols: " + ",".join(twice))
        return found


class MappingUpdate(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """POST and PUT of a certificate mapping; the key is `privateKey` here."""

    host_name: HostName | None = None
    private_key: Pem | None = None
    certificate: Pem | None = None
    intermediate_certificate: Pem | None = None

    def faults(self, *, new: bool) -> list[str]:
        """What is wrong with it whatever the load balancer."""
        found = []
        if self.host_name is not None and not _HOST.fullmatch(self.host_name.lower()):
            found.append("Host name is invalid. Please provide a valid host name.")
        if new and self.private_key is None:
            found.append("Must provide a private key for the certificate mapping.")
        if new and self.certificate is None:
            found.append("Must provide a certificate for the certificate mapping.")
        if new and self.host_name is None:
            found.append("Must provide a host name for the certificate mapping.")
        if all(getattr(self, field) is None for field in self.__struct_fields__):
            found.append("The certificate mapping must have at least one attribute to update.")
        return found


def parsed(value: object, wrapper: str, body: type[Body]) -> Body:
    """The `body` in the member `wrapper` of `value`; raises ApiFault 400 for any other shape."""
    if not isinstance(value, dict) or set(value) != {wrapper}:
        raise faults.invalid(f"The body must be an object with the only member {wrapper}.")
    try:
        return msgspec.convert(value[wrapper], body, strict=False)
    except msgspec.ValidationError as error:
        raise faults.invalid(str(error)) from None
