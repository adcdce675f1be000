"""Loading X.509 certificates so that nothing about them can fail later.

`cryptography` parses lazily: a certificate that loads may still raise when its extensions or its
subject are read. `load` touches every field that this package reads, once, inside one place that
turns each failure into a fault. Used by `pair`, `chain`, `issue` and `upload`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from certfront.pki import der, pem
from certfront.pki.faults import UnusableMaterial, UploadFault

MAX_CERTIFICATE_SIZE = 64 * 1024
"""Octets of one certificate in DER: a hundred long names and two large keys fit several times."""

UNPARSABLE = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises, now or at a later access, for material that it cannot read."""

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def load(encoded: bytes) -> x509.Certificate:
    """Parse one certificate in DER, with every field touched; raises `UnusableMaterial`.

    Refused beside malformed input: a negative serial number, two signature algorithms that
    differ, a curve that is spelled out, and a public key of unknown type.
    """
    if len(encoded) > MAX_CERTIFICATE_SIZE:
        raise UnusableMaterial(UploadFault.TOO_LARGE)
    try:
        negative = der.serial_number(encoded) < 0
        inner, outer = der.signature_algorithms(encoded)
    except der.Malformed:
        raise UnusableMaterial(UploadFault.MALFORMED_CERTIFICATE) from None
    if negative:
        raise UnusableMaterial(UploadFault.NEGATIVE_SERIAL)
    if inner != outer:
        raise UnusableMaterial(UploadFault.SIGNATURE_ALGORITHM_MISMATCH)
    if der.has_explicit_curve(encoded):
        raise UnusableMaterial(UploadFault.EXPLICIT_CURVE_PARAMETERS)
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        _touch(certificate)
    except UNPARSABLE:
        raise UnusableMaterial(UploadFault.MALFORMED_CERTIFICATE) from None
    _touch_public_key(certificate)
    return certificate


def load_pem(
    data: bytes, *, max_size: int = pem.MAX_PEM_SIZE, max_blocks: int = pem.MAX_BLOCKS
) -> tuple[x509.Certificate, ...]:
    """Parse a text that holds certificates and nothing else; raises `UnusableMaterial`."""
    return load_blocks(pem.blocks(data, max_size=max_size, max_blocks=max_blocks))


def load_blocks(found: Iterable[pem.Block]) -> tuple[x509.Certificate, ...]:
    """Parse blocks that are certificates, all of them; raises `UnusableMaterial`."""
    found = tuple(found)
    for block in found:
        if pem.is_private_key(block.label):
            raise UnusableMaterial(UploadFault.PRIVATE_KEY_IN_CERTIFICATE)
        if block.label not in pem.CERTIFICATE_LABELS:
            raise UnusableMaterial(_fault_of_label(block.label))
    return tuple(load(block.body) for block in found)


def to_der(certificate: x509.Certificate) -> bytes:
    """Return the certificate in DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def to_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Return canonical PEM: no text between the blocks, LF, one newline at the end."""
    return b"".join(pem.encode("CERTIFICATE", to_der(one)) for one in certificates)


def public_key_der(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo in DER, as `cryptography` writes it."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the DER as upper-case hex with colons."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return the value of an extension, None where the certificate lacks it."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_authority(certificate: x509.Certificate) -> bool:
    """Say whether BasicConstraints make the certificate an authority."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether `issuer` has the issuer's name and its key made the signature."""
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNPARSABLE):
        return False
    return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Say whether the certificate is signed with its own key."""
    return is_issued_by(certificate, certificate)


def san_names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the DNS names and the canonical addresses of the subject alternative name."""
    names = extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return (), ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return tuple(names.get_values_for_type(x509.DNSName)), tuple(str(one) for one in addresses)


def _touch(certificate: x509.Certificate) -> None:
    """Read every lazily parsed field, so that a malformed one raises here."""
    for name in (certificate.subject, certificate.issuer):
        name.rfc4514_string()
    _ = certificate.version, certificate.serial_number, list(certificate.extensions)
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    _ = certificate.signature_algorithm_oid
    san_names(certificate)


def _touch_public_key(certificate: x509.Certificate) -> None:
    try:
        certificate.public_key()
    except UNPARSABLE:
        raise UnusableMaterial(UploadFault.UNSUPPORTED_KEY) from None


def _fault_of_label(label: str) -> UploadFault:
    if label == "TRUSTED CERTIFICATE":
        return UploadFault.TRUSTED_CERTIFICATE_FORMAT
    if label in {"PKCS7", "CMS", "PKCS #7 SIGNED DATA"}:
        return UploadFault.PKCS7_NOT_PEM
    if label.endswith("CERTIFICATE REQUEST"):
        return UploadFault.REQUEST_IN_CERTIFICATE
    return UploadFault.NO_CERTIFICATE
