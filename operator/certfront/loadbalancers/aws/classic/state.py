"""What is known of one classic load balancer, and the steps that change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from certfront.loadbalancers.aws.material import Leaf
from certfront.loadbalancers.identity import same_fingerprint
from certfront.model.meta import ObjectName
from certfront.pki.pair import KeyPair

SECURE = ("HTTPS", "SSL")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """A server certificate in IAM. `leaf` is None where it was not read."""

    name: str
    arn: str
    id: str
    uploaded: datetime
    expires: datetime
    leaf: Leaf | None = None

    def is_of(self, fingerprint: str) -> bool:
        """Whether it is exactly that certificate."""
        return self.leaf is not None and same_fingerprint(self.leaf.fingerprint, fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listener. `certificate` is an ARN of IAM or ACM, "" where it speaks no TLS."""

    port: int
    protocol: str
    instance_port: int
    instance_protocol: str
    certificate: str = ""

    @property
    def secure(self) -> bool:
        """Whether it terminates TLS."""
        return self.protocol in SECURE

    def leads_as(self, other: Listener) -> bool:
        """Whether it is made as the other, whatever certificate they have."""
        return replace(self, certificate="") == replace(other, certificate="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One load balancer and the certificates of its IAM path.

    `owners` are the marks that certfront put on the load balancer for the listeners that it makes,
    by port. `quota` is how many server certificates the account may have, None where it is not told.
    """

    address: str
    listeners: Mapping[int, Listener] = field(default_factory=dict)
    owners: Mapping[int, str] = field(default_factory=dict)
    certificates: Mapping[str, ServerCertificate] = field(default_factory=dict)
    quota: int | None = None

    def with_certificate(self, certificate: ServerCertificate) -> Observed:
        """The same with one certificate more."""
        return replace(self, certificates={**self.certificates, certificate.arn: certificate})

    def with_listener(self, listener: Listener) -> Observed:
        """The same with a listener in place of what its port had."""
        return replace(self, listeners={**self.listeners, listener.port: listener})

    def bound(self) -> frozenset[str]:
        """The ARNs of all certificates that listeners offer."""
        return frozenset(one.certificate for one in self.listeners.values() if one.certificate)

    def find(self, fingerprint: str, ours: Iterable[str]) -> ServerCertificate | None:
        """The certificate itself: one of ours before another, the older before the newer."""
        mine = frozenset(ours)
        found = [one for one in self.certificates.values() if one.is_of(fingerprint)]
        return min(
            found, key=lambda one: (one.arn not in mine, one.uploaded, one.arn), default=None
        )


# --- steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Read a certificate that may be exactly what is wanted. It changes nothing."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Store a certificate in IAM under a name that nothing else has."""

    name: str
    fingerprint: str
    tags: Mapping[str, str]
    pair: KeyPair = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Mark a port as one whose listener is certfront's."""

    port: int
    mark: str
    frontend: ObjectName


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Make a listener."""

    listener: Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Have a listener offer another certificate, in place: no connection is lost."""

    port: int
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisten:
    """Take a listener away."""

    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclaim:
    """Take the mark of a port away whose listener is gone."""

    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Delete a certificate."""

    arn: str
    name: str


Act: TypeAlias = Read | Upload | Claim | Listen | Bind | Unlisten | Unclaim | Remove
