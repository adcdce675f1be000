"""What was observed of a load balancer, and the changes that can be made to it. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from certfront.pki.pair import KeyPair

TERMINATION: Final = "termination"
"""The place of the default certificate; the place of a mapping is its id."""

SETTINGS: Final = "settings"
"""Stands for everything but certificates among what is `changing`."""

ACTIVE: Final = "ACTIVE"
AT_WORK: Final = frozenset({"BUILD", "PENDING_UPDATE", "PENDING_DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """The SSL termination: the certificate for all names without a mapping.

    `weak_protocols` is whether TLS 1.0 or 1.1 is told to be enabled.
    """

    fingerprint: str
    chain: tuple[str, ...] = ()
    port: int
    enabled: bool = True
    secure_only: bool = False
    weak_protocols: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """The certificate of one host name. `fingerprint` is "" where it could not be read."""

    id: str
    host: str
    fingerprint: str
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The load balancer, as its API tells.

    `changing` are the places that our last change is about while the load balancer is not ACTIVE again:
    until then clients may see what was there before. A fresh observation does not know them.
    """

    status: str
    protocol: str
    port: int
    https_redirect: bool = False
    address: str = ""
    termination: Termination | None = None
    mappings: tuple[Mapping, ...] = ()
    changing: frozenset[str] = frozenset()

    @property
    def is_active(self) -> bool:
        """Whether a change may be sent now."""
        return self.status == ACTIVE

    def mapping(self, host: str) -> Mapping | None:
        """The mapping of exactly that host name."""
        return next((one for one in self.mappings if one.host == host), None)

    def shown(self, host: str) -> str:
        """The fingerprint that a client is shown: of the most specific mapping, else the default."""
        exact = self.mapping(host)
        if exact is not None:
            return exact.fingerprint
        wild = [one for one in self.mappings if is_under(host, one.host)]
        if wild:
            return max(wild, key=lambda one: len(one.host)).fingerprint
        return self.at(TERMINATION)

    def holds(self, place: str, fingerprint: str) -> bool:
        """Whether the certificate is at that place."""
        return bool(fingerprint) and self.at(place) == fingerprint

    def at(self, place: str) -> str:
        """The fingerprint at a place, "" where there is none."""
        if place == TERMINATION:
            return "" if self.termination is None else self.termination.fingerprint
        return next((one.fingerprint for one in self.mappings if one.id == place), "")


def is_under(host: str, wildcard: str) -> bool:
    """Whether a mapping for the wildcard could answer for the host, if nothing more specific does.

    How many labels a star stands for is not documented, so it may be any number.
    """
    return wildcard.startswith("*.") and host != wildcard and host.endswith(wildcard[1:])


# --- changes: each is one call


@dataclass(frozen=True, slots=True, kw_only=True)
class PutTermination:
    """Make the termination, or replace its certificate: certificate, key and port go together."""

    pair: KeyPair = field(repr=False)
    port: int
    create: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTermination:
    """Change what may be changed without material; None stays."""

    port: int | None = None
    enabled: bool | None = None
    secure_only: bool | None = None
    without_weak_protocols: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRedirect:
    """Redirect plain HTTP to HTTPS, or not."""

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PutMapping:
    """Map a host name to a certificate; `id` is "" for a new mapping."""

    host: str
    pair: KeyPair = field(repr=False)
    id: str = ""
    clears_chain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMapping:
    """Take a mapping away."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTermination:
    """Take the termination away."""


Act = PutTermination | SetTermination | SetRedirect | PutMapping | DeleteMapping | DeleteTermination
