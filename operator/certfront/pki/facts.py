"""What a certificate says about itself, in the shapes that `Certificate.status` publishes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from certfront.pki import certificates, names

_CURVE_NAMES = {"secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of a leaf.

    `subject` and `issuer` are RFC 4514 strings; `domains` are the canonical DNS names, then the
    canonical addresses, of the subject alternative name; dates are aware, in UTC; `serial` is
    colon-separated lower-case hex of whole octets; `size` counts the octets of tls.crt;
    `fingerprint` is the SHA-256 of the leaf as colon-separated upper-case hex; `key_algorithm`
    reads as `ECDSA-P256`, `RSA-2048` or `Ed25519`.
    """

    common_name: str
    subject: str
    domains: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime
    serial: str
    size: int
    fingerprint: str
    key_algorithm: str
    is_ca: bool


def read(leaf: x509.Certificate, size: int) -> Facts:
    """Return the facts of a certificate that `certificates.load` has accepted."""
    return Facts(
        common_name=common_name(leaf),
        subject=leaf.subject.rfc4514_string(),
        domains=_domains(leaf),
        issuer=leaf.issuer.rfc4514_string(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        serial=serial_text(leaf.serial_number),
        size=size,
        fingerprint=certificates.fingerprint(leaf),
        key_algorithm=_key_algorithm(leaf.public_key()),
        is_ca=certificates.is_authority(leaf),
    )


def common_name(certificate: x509.Certificate) -> str:
    """Return the first common name of the subject, the empty string without one."""
    attributes = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    value = attributes[0].value if attributes else ""
    return value if isinstance(value, str) else value.hex(":")


def serial_text(serial: int) -> str:
    """Return a serial number as colon-separated hex of whole octets."""
    return serial.to_bytes(max(1, (serial.bit_length() + 7) // 8), "big").hex(":")


def _domains(leaf: x509.Certificate) -> tuple[str, ...]:
    dns_names, addresses = certificates.san_names(leaf)
    return tuple(dict.fromkeys((*(_canonical(name) for name in dns_names), *addresses)))


def _canonical(name: str) -> str:
    try:
        return names.normalise_san_dns(name)
    except names.InvalidName:
        return name


def _key_algorithm(key: PublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA-{_CURVE_NAMES.get(key.curve.name, key.curve.name)}"
    return type(key).__name__.removesuffix("PublicKey")
