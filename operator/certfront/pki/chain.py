"""Chains: the path from a leaf to its root, and the check of what an ACME server returned.

Used by `upload`, and by `certfront.reconcilers` for what a CA returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from certfront.model.clock import CLOCK_TOLERANCE
from certfront.model.keys import KeyEncoding
from certfront.pki import certificates, facts, keys
from certfront.pki.faults import UnusableMaterial
from certfront.pki.pair import MAX_CHAIN_LENGTH, KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A built path: `served` is leaf first without the root; `extras` lead nowhere from the leaf."""

    served: tuple[x509.Certificate, ...]
    root: x509.Certificate | None
    extras: tuple[x509.Certificate, ...]


class IssuedFault(StrEnum):
    """Why a certificate that an authority has just issued is not what was asked for."""

    UNREADABLE = "IssuedUnreadable"
    KEY_MISMATCH = "IssuedKeyMismatch"
    NAMES_MISMATCH = "IssuedNamesMismatch"
    NOT_VALID_NOW = "IssuedNotValidNow"
    CHAIN_BROKEN = "IssuedChainBroken"


class IssuedMismatch(Exception):
    """What the authority returned must not replace what is in force; `reason` says why."""

    def __init__(self, reason: IssuedFault, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


def order(leaf: x509.Certificate, others: Iterable[x509.Certificate]) -> Path:
    """Build the path from a leaf through others in whatever order; duplicates fold.

    The issuer is found by name and signature; between several, the one that the authority key
    identifier points at comes first, then the order given. At most `MAX_CHAIN_LENGTH` steps.
    """
    remaining = [one for one in dict.fromkeys(others) if one != leaf]
    path = [leaf]
    while len(path) <= MAX_CHAIN_LENGTH and not certificates.is_self_signed(path[-1]):
        issuer = _issuer_of(path[-1], remaining)
        if issuer is None:
            break
        remaining.remove(issuer)
        path.append(issuer)
    root = path[-1] if certificates.is_self_signed(path[-1]) else None
    served = path[:-1] if root is not None and len(path) > 1 else path
    return Path(served=tuple(served), root=root, extras=tuple(remaining))


def verify_issued(
    chain_pem: bytes,
    key: keys.PrivateKey,
    requested: Iterable[str],
    now: datetime,
    *,
    encoding: KeyEncoding,
) -> KeyPair:
    """Check a chain that an authority returned for our request; raises `IssuedMismatch`.

    Demanded: the leaf has our key; its names are the `requested` ones (canonical, as sets); it is
    valid now, give or take `CLOCK_TOLERANCE`; each certificate signs the one before. A chain with
    its root, or out of order, is repaired (RFC 8555 section 7.4.2).
    """
    try:
        found = certificates.load_pem(chain_pem)
    except UnusableMaterial as error:
        raise IssuedMismatch(IssuedFault.UNREADABLE, error.message) from None
    if len(found) > MAX_CHAIN_LENGTH:
        raise IssuedMismatch(IssuedFault.CHAIN_BROKEN, "The chain is longer than ten certificates.")
    leaf = _leaf_of(found, key)
    _check_names(leaf, frozenset(requested))
    _check_dates(leaf, now)
    path = order(leaf, found)
    if path.extras:
        raise IssuedMismatch(
            IssuedFault.CHAIN_BROKEN, "A certificate of the chain does not sign the previous one."
        )
    return KeyPair(chain=path.served, private_key_pem=keys.to_pem(key, encoding))


def _issuer_of(
    certificate: x509.Certificate, candidates: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    named = [one for one in candidates if one.subject == certificate.issuer]
    named.sort(key=lambda one: not _is_hinted(certificate, one))
    return next((one for one in named if certificates.is_issued_by(certificate, one)), None)


def _is_hinted(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    hint = certificates.extension(certificate, x509.AuthorityKeyIdentifier)
    identifier = certificates.extension(issuer, x509.SubjectKeyIdentifier)
    if hint is None or identifier is None:
        return False
    return hint.key_identifier == identifier.digest


def _leaf_of(found: Sequence[x509.Certificate], key: keys.PrivateKey) -> x509.Certificate:
    for certificate in found:
        if keys.same_key(key, certificate):
            return certificate
    raise IssuedMismatch(IssuedFault.KEY_MISMATCH, "No certificate of the chain has our key.")


def _check_names(leaf: x509.Certificate, requested: frozenset[str]) -> None:
    issued = frozenset(facts.read(leaf, 0).domains)
    if issued == requested:
        return
    missing = ", ".join(sorted(requested - issued)[:5]) or "none"
    surplus = ", ".join(sorted(issued - requested)[:5]) or "none"
    raise IssuedMismatch(
        IssuedFault.NAMES_MISMATCH,
        f"The names differ from the request: missing {missing}; not asked for {surplus}.",
    )


def _check_dates(leaf: x509.Certificate, now: datetime) -> None:
    if leaf.not_valid_before_utc > now + CLOCK_TOLERANCE:
        raise IssuedMismatch(IssuedFault.NOT_VALID_NOW, "The certificate is not yet valid.")
    if leaf.not_valid_after_utc <= now:
        raise IssuedMismatch(IssuedFault.NOT_VALID_NOW, "The certificate has already expired.")
