"""Names by which our objects are found again at a provider, from a fresh process or another cluster.

A name ends in a mark: `cf` and 22 hex digits, six of the scope (the installation's id and the
LoadBalancer) and 16 of what it was made for, then for certificates 12 digits of the fingerprint. A
tenant chooses the names that the 16 are made from: fewer could be made to collide.
What stands before it is for people. Objects without our mark, or with that of another scope, are
someone else's: they are never changed or removed.
"""

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import Final

from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.meta import ObjectName

_MARK: Final = re.compile(r"cf([0-9a-f]{6})([0-9a-f]{16})(?:-([0-9a-f]{12}))?$")
_NOT_PLAIN: Final = re.compile(r"[^a-z0-9]+")
_FINGERPRINT_DIGITS: Final = 12
_OWNER_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a name says: whom the object was made for, and of which certificate."""

    scope: str
    owner: str
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One LoadBalancer of one installation: what it made is its own to change and to remove."""

    installation: str
    load_balancer: ObjectName

    @property
    def digits(self) -> str:
        """Six hex digits of this scope."""
        return _digits(f"{self.installation}|{self.load_balancer}", 6)

    def certificate_name(
        self, source: CertificateSource, fingerprint: str, *, longest: int = 64
    ) -> str:
        """A name for one version of a certificate: `[a-z0-9-]`, at most `longest` (40 or more)."""
        mark = f"cf{self.digits}{owner_of(source)}-{_plain(fingerprint)[:_FINGERPRINT_DIGITS]}"
        return _readable(f"{source.namespace}-{source.name}", longest - len(mark) - 1, mark)

    def frontend_name(
        self, frontend: ObjectName, part: str = "", *, shown: str = "", longest: int = 64
    ) -> str:
        """A name for an object made for a frontend; `part` tells its objects apart (`http`).

        `shown` (`spec.displayName`) stands in front as it is, cut where it is too long.
        """
        mark = f"cf{self.digits}{_digits(f'{frontend}|{part}', _OWNER_DIGITS)}"
        room = longest - len(mark) - 1
        if shown:
            return f"{shown[:room].rstrip()} {mark}"
        return _readable(f"{frontend.namespace}-{frontend.name}", room, mark)

    def is_frontend(self, name: str, frontend: ObjectName, part: str = "") -> bool:
        """Whether the object of that name was made for that frontend (and part)."""
        mark = self.mark(name)
        return mark is not None and mark.owner == _digits(f"{frontend}|{part}", _OWNER_DIGITS)

    def is_certificate(self, name: str, source: CertificateSource) -> bool:
        """Whether the object of that name is some version of that certificate."""
        mark = self.mark(name)
        return mark is not None and bool(mark.fingerprint) and mark.owner == owner_of(source)

    def mark(self, name: str) -> Mark | None:
        """What the name says if the object is of this scope, else None."""
        found = _MARK.search(name or "")
        if found is None or found.group(1) != self.digits:
            return None
        return Mark(scope=found.group(1), owner=found.group(2), fingerprint=found.group(3) or "")

    def uuid(self, kind: str, *parts: str) -> str:
        """A UUID (version 5, RFC 9562) of our choice, for providers that take one."""
        text = "|".join((self.installation, str(self.load_balancer), kind, *parts))
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"certfront:{text}"))


def owner_of(source: CertificateSource) -> str:
    """Sixteen hex digits of a certificate's source."""
    return _digits(f"{source.kind}|{source.namespace}|{source.name}", _OWNER_DIGITS)


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two SHA-256 fingerprints agree, however they are spelled; an empty one never does."""
    return bool(_plain(one)) and _plain(one) == _plain(other)


def _plain(fingerprint: str) -> str:
    return fingerprint.replace(":", "").lower()


def _readable(text: str, room: int, mark: str) -> str:
    plain = _NOT_PLAIN.sub("-", text.lower()).strip("-")[: max(room, 0)].strip("-")
    return f"{plain}-{mark}" if plain else mark


def _digits(text: str, count: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:count]
