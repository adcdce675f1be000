"""What was observed of Kong, as far as it concerns us; no private key ever gets here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from cryptography import x509

from certfront.pki import certificates
from certfront.pki.faults import UnusableMaterial

LARGEST_CHAIN = 256 * 1024
"""Octets of PEM that are parsed; a longer text cannot be one that we have written."""


class Half(NamedTuple):
    """One chain of a Kong certificate: its leaf's fingerprint, and a digest over all of it."""

    fingerprint: str
    digest: str


UNREADABLE = Half("", "")
"""A text that is no chain: someone else has written it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KongCertificate:
    """A certificate of ours in Kong: `main` is `cert`, `alternative` is `cert_alt`."""

    id: str
    main: Half
    alternative: Half | None = None
    tags: frozenset[str] = frozenset()

    @property
    def halves(self) -> tuple[Half, ...]:
        """What is in the two places."""
        return (self.main,) if self.alternative is None else (self.main, self.alternative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route, made by someone else; `tags` are in no order."""

    id: str
    name: str = ""
    protocols: tuple[str, ...] = ()
    redirect_status: int = 426
    tags: frozenset[str] = frozenset()


class Selector(NamedTuple):
    """What `spec.kong.routes` names: one route by its name, or all that have a tag."""

    kind: Literal["name", "tag"]
    value: str

    def selects(self, route: Route) -> bool:
        """Whether the route is meant."""
        return route.name == self.value if self.kind == "name" else self.value in route.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Kong as it was read, and as the answers to our own changes told since.

    `certificates` are ours, by id. `names` are all SNIs of the workspace with the id of their
    certificate. `taken` are names that Kong says are in use where we cannot see them (another
    workspace). `routes` are those that we changed or were asked about, by id; `looked_for` says which
    questions were asked.
    """

    certificates: Mapping[str, KongCertificate] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()
    routes: Mapping[str, Route] = field(default_factory=dict)
    looked_for: frozenset[Selector] = frozenset()

    def names_by_holder(self) -> dict[str, frozenset[str]]:
        """The SNIs that lead to each certificate."""
        found: dict[str, set[str]] = {}
        for name, holder in self.names.items():
            found.setdefault(holder, set()).add(name)
        return {holder: frozenset(names) for holder, names in found.items()}


def half_of_chain(chain: Iterable[x509.Certificate]) -> Half:
    """A chain, leaf first, as it is compared."""
    return _half_of(tuple(chain))


@lru_cache(maxsize=4096)
def _half_of(members: tuple[x509.Certificate, ...]) -> Half:
    """Remembered, because every plan asks for the same chains."""
    digest = hashlib.sha256()
    for member in members:
        digest.update(hashlib.sha256(certificates.to_der(member)).digest())
    return Half(certificates.fingerprint(members[0]), digest.hexdigest())


def half_of_pem(text: str | None) -> Half | None:
    """The chain in the PEM that Kong returned; UNREADABLE for any other text, None for none."""
    if not text:
        return None
    if len(text) > LARGEST_CHAIN:
        return UNREADABLE
    try:
        return half_of_chain(certificates.load_pem(text.encode("utf-8", "replace")))
    except UnusableMaterial:
        return UNREADABLE
