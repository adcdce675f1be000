"""What is known of one application load balancer, and the steps that change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from certfront.loadbalancers.aws.material import Leaf
from certfront.loadbalancers.identity import same_fingerprint
from certfront.pki.pair import KeyPair

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An imported certificate in ACM. `owner` is whose it is where it is of our scope, else "".

    `leaf` is None where it was not read.
    """

    arn: str
    not_after: datetime | None
    imported: datetime = field(default=_LONG_AGO, compare=False)
    owner: str = ""
    leaf: Leaf | None = None

    def is_of(self, fingerprint: str) -> bool:
        """Whether it is exactly that certificate."""
        return self.leaf is not None and same_fingerprint(self.leaf.fingerprint, fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Traffic goes to one target group."""

    target_group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Requests are sent elsewhere; the defaults keep what was asked for."""

    protocol: str
    port: str
    status: Literal["HTTP_301", "HTTP_302"]
    host: str = "#{host}"
    path: str = "/#{path}"
    query: str = "#{query}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """An action of another kind, which certfront never makes."""

    kind: str


Action: TypeAlias = Forward | Redirect | Other


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listener. `default` is the certificate for names that no other covers; `others` by SNI.

    `mark` says for whom certfront made it, "" for one that it did not make.
    """

    arn: str
    port: int
    protocol: str
    action: Action
    policy: str = ""
    default: str = ""
    others: frozenset[str] = frozenset()
    mark: str = ""

    @property
    def secure(self) -> bool:
        """Whether it terminates TLS."""
        return self.protocol == "HTTPS"

    @property
    def offered(self) -> frozenset[str]:
        """All certificates that it offers."""
        return self.others | ({self.default} if self.default else frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One load balancer, and the imported certificates of its account and region.

    `groups` are names of target groups that were looked for, with their ARN, "" where there is none.
    `attempts` are imports that got no answer, by fingerprint; `began` is when this process began.
    """

    arn: str
    address: str
    began: datetime
    listeners: Mapping[int, Listener] = field(default_factory=dict)
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    attempts: Mapping[str, datetime] = field(default_factory=dict)

    def with_certificate(self, certificate: Certificate) -> Observed:
        """The same with one certificate more, or another state of it."""
        return replace(self, certificates={**self.certificates, certificate.arn: certificate})

    def with_listener(self, listener: Listener) -> Observed:
        """The same with a listener in place of what its port had."""
        return replace(self, listeners={**self.listeners, listener.port: listener})

    def offered(self) -> frozenset[str]:
        """The certificates of all listeners."""
        return frozenset(arn for one in self.listeners.values() for arn in one.offered)

    def owned(self, owner: str) -> list[Certificate]:
        """Ours of one source, those that are offered first, then by age."""
        offered = self.offered()
        found = [one for one in self.certificates.values() if one.owner == owner]
        return sorted(found, key=lambda one: (one.arn not in offered, one.imported, one.arn))

    def find(self, fingerprint: str, owner: str) -> Certificate | None:
        """The certificate itself: one of the source before another of ours, that before a foreign."""
        found = [one for one in self.certificates.values() if one.is_of(fingerprint)]
        offered = self.offered()
        return min(
            found,
            key=lambda one: (one.owner != owner, not one.owner, one.arn not in offered, one.arn),
            default=None,
        )


def without(arns: Iterable[str], gone: str) -> frozenset[str]:
    """All but one."""
    return frozenset(arn for arn in arns if arn != gone)


# --- steps


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Look for a target group by name. It changes nothing."""

    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Read a certificate that may be exactly what is wanted. It changes nothing."""

    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Store a certificate: a new one with tags, or new material under `arn`, whose tags stay."""

    fingerprint: str
    owner: str
    tags: Mapping[str, str]
    arn: str = ""
    pair: KeyPair = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Make a listener (its ARN is not looked at)."""

    listener: Listener
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Mark a listener that was made elsewhere as handed over."""

    port: int
    mark: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Set what a listener has besides its SNI list; None stays as it is."""

    port: int
    protocol: str | None = None
    policy: str | None = None
    default: str | None = None
    action: Action | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Offer one certificate more by SNI."""

    port: int
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """Offer a certificate by SNI no more."""

    port: int
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisten:
    """Take a listener away."""

    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Delete a certificate."""

    arn: str


Act: TypeAlias = (
    LookUp | Read | Import | Listen | Adopt | Change | Attach | Detach | Unlisten | Remove
)
