"""What is known of a load balancer's certificates, and the changes that can be made. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from certfront.pki.pair import KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A certificate as OpenScaler tells it; what it does not tell is empty. There is no fingerprint."""

    name: str
    common_name: str = ""
    subject: str = ""
    domains: tuple[str, ...] = ()
    issuers: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    serial: str = ""
    size: int = 0

    def may_be(self, pair: KeyPair) -> bool:
        """Whether the serial number, where one is told, is that of the pair's certificate."""
        try:
            told = int(self.serial.replace(":", ""), 16)
        except ValueError:
            return True
        return told == pair.leaf.serial_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is known: by a list where OpenScaler offers one, else by the answers since the start.

    `listed` and `deletes` are None until it was tried whether reading and deletion are offered; neither
    is documented. `gone` are names that were deleted since the start, `left` those that could not be,
    `failed` what was said of orders that were refused.
    """

    listed: bool | None = None
    deletes: bool | None = None
    certificates: Mapping[str, Facts] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Store a certificate with its chain and key."""

    name: str
    pair: KeyPair = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Have OpenScaler issue a certificate; it answers when the certificate is there."""

    name: str
    kind: Literal["Public", "SelfSigned"]
    domain: str
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a certificate; `certain` is False where it is not known to be there."""

    name: str
    certain: bool = True


Act = Upload | Order | Delete
