"""What IAM and ACM check of a certificate, its chain and its key before they take them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

_CURVES = {"secp256r1": "prime256v1", "secp384r1": "secp384r1", "secp521r1": "secp521r1"}
_BEGIN = "-----BEGIN CERTIFICATE-----"


class Malformed(Exception):
    """Material that does not parse, is of an unknown kind, or is not valid now; `reason` says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Mismatch(Exception):
    """A key that is not the certificate's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A certificate that was taken, with the texts as they came."""

    leaf: x509.Certificate
    certificate: str
    chain: str
    key: str = field(repr=False)

    @property
    def pair(self) -> tuple[str, str]:
        """What a listener serves: the chain with its leaf first, and the key."""
        return self.certificate.rstrip("\n") + "\n" + self.chain, self.key

    @property
    def key_algorithm(self) -> str:
        """As ACM names it: RSA_2048, EC_prime256v1."""
        return algorithm_of(self.leaf)

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names and addresses that it is for."""
        try:
            value = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            common = self.leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            return tuple(str(attribute.value) for attribute in common)
        addresses = (str(address) for address in value.get_values_for_type(x509.IPAddress))
        return (*value.get_values_for_type(x509.DNSName), *addresses)


def taken(certificate: str, chain: str, key: str, now: datetime) -> Material:
    """The material; raises Malformed or Mismatch."""
    leaves = _certificates(certificate, "certificate")
    if len(leaves) != 1:
        raise Malformed("the certificate must be one certificate; the others belong in the chain")
    leaf = leaves[0]
    algorithm_of(leaf)
    if now < leaf.not_valid_before_utc:
        raise Malformed("the certificate is not in effect yet")
    if now > leaf.not_valid_after_utc:
        raise Malformed("the certificate has expired")
    issuers = _certificates(chain, "certificate chain") if chain else []
    _check_chain(leaf, issuers)
    _check_key(leaf, key)
    return Material(leaf=leaf, certificate=certificate, chain=chain, key=key)


def algorithm_of(leaf: x509.Certificate) -> str:
    """The key's kind as ACM names it; raises Malformed for one that AWS does not take."""
    public = leaf.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size in (1024, 2048, 3072, 4096):
        return f"RSA_{public.key_size}"
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return f"EC_{_CURVES[public.curve.name]}"
    raise Malformed("the key algorithm or its size is not supported")


def self_signed(leaf: x509.Certificate) -> bool:
    """Whether a certificate is its own issuer."""
    return leaf.issuer == leaf.subject and _issued(leaf, leaf)


def _certificates(pem: str, what: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem.encode("ascii"))
    except (ValueError, UnicodeEncodeError):
        raise Malformed(f"the {what} is not PEM-encoded, or is not valid") from None
    if len(found) != pem.count(_BEGIN):
        raise Malformed(f"the {what} is not PEM-encoded, or is not valid")
    return found


def _check_chain(leaf: x509.Certificate, issuers: Sequence[x509.Certificate]) -> None:
    if leaf in issuers:
        raise Malformed("the chain must not contain the certificate itself")
    below = leaf
    for issuer in issuers:
        if not _issued(below, issuer):
            raise Malformed(
                "the certificate chain must start with the immediate signing certificate,"
                " followed by any intermediaries in order"
            )
        below = issuer


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_key(leaf: x509.Certificate, pem: str) -> None:
    try:
        key = load_pem_private_key(pem.encode("ascii"), password=None)
    except TypeError:
        raise Malformed("the private key is encrypted") from None
    except (ValueError, UnsupportedAlgorithm, UnicodeEncodeError):
        raise Malformed("the private key is not PEM-encoded, or is not valid") from None
    ours, theirs = (
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (key.public_key(), leaf.public_key())
    )
    if ours != theirs:
        raise Mismatch
