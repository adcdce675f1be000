"""Certificates in the shapes that IAM and ACM take and give.

Sources: IAM User Guide, "Manage server certificates in IAM"; ACM User Guide, "Prerequisites for
importing ACM certificates" and "Reimport a certificate".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certfront.loadbalancers.protocol import Binding
from certfront.model.keys import KeyEncoding
from certfront.pki import certificates, keys
from certfront.pki.faults import UnusableMaterial
from certfront.pki.pair import KeyPair

KEY_ALGORITHMS: Final = (
    "RSA_1024",
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "EC_prime256v1",
    "EC_secp384r1",
    "EC_secp521r1",
)
"""As ACM names them; ListCertificates shows the first two unless it is asked for the others."""

_CURVES: Final = {"secp256r1": "prime256v1", "secp384r1": "secp384r1", "secp521r1": "secp521r1"}
_NEAR: Final = timedelta(seconds=1)
_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is uploaded: leaf, chain without it ("" if there is none), and the key, in PEM."""

    body: str
    chain: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What matters of a certificate that AWS has. All is empty where it cannot be read."""

    fingerprint: str = ""
    key_algorithm: str = ""
    usages: frozenset[str] = frozenset()
    not_after: datetime | None = None


def parts_of(pair: KeyPair) -> Parts:
    """The pair for an upload. The key goes in the traditional form, which both services document."""
    return Parts(
        body=certificates.to_pem(pair.chain[:1]).decode("ascii"),
        chain=certificates.to_pem(pair.chain[1:]).decode("ascii") if pair.chain[1:] else "",
        key=keys.to_pem(pair.private_key, KeyEncoding.PKCS1).decode("ascii"),
    )


def leaf_of(certificate: x509.Certificate) -> Leaf:
    """The facts of a certificate at hand."""
    return Leaf(
        fingerprint=certificates.fingerprint(certificate),
        key_algorithm=_key_algorithm(certificate),
        usages=_usages(certificate) | _extended_usages(certificate),
        not_after=certificate.not_valid_after_utc,
    )


def leaf_of_pem(text: str) -> Leaf:
    """The facts of what AWS gave back; empty ones where it cannot be read."""
    try:
        return leaf_of(certificates.load_pem(text.encode("ascii", "replace"))[0])
    except (UnusableMaterial, IndexError):
        return Leaf()


def is_taken(leaf: Leaf) -> bool:
    """Whether AWS's load balancers take keys of that kind and size."""
    return leaf.key_algorithm in KEY_ALGORITHMS[1:]


def is_sendable(binding: Binding, now: datetime) -> bool:
    """Whether AWS takes what is at hand: neither what has ended nor every kind of key."""
    ended = binding.not_after is not None and binding.not_after <= now
    return binding.pair is not None and not ended and is_taken(leaf_of(binding.pair.leaf))


def ends_with(one: datetime | None, other: datetime | None) -> bool:
    """Whether two certificates could be the same one by their end, which AWS tells unasked."""
    return one is not None and other is not None and abs(one - other) <= _NEAR


def may_replace(new: Leaf, old: Leaf) -> bool:
    """Whether ACM takes `new` in place of `old`: same kind of key, and no usage fewer."""
    return new.key_algorithm == old.key_algorithm and new.usages >= old.usages


def _key_algorithm(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA_{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC_{_CURVES.get(key.curve.name, key.curve.name)}"
    return type(key).__name__


def _usages(certificate: x509.Certificate) -> frozenset[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name for name in _USAGES if getattr(usage, name))


def _extended_usages(certificate: x509.Certificate) -> frozenset[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(one.dotted_string for one in usage)
