"""The check list for uploaded certificates, one small function a row.

Each row is a rule of RFC 5280, or a property without which servers or browsers refuse the pair.

Each check looks at a closed `Candidate` and yields findings; `apply` refuses on the first one that
is not merely a warning. Used by `certfront.pki.upload` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from certfront.pki import certificates, facts, keys, names
from certfront.pki.chain import Path
from certfront.pki.faults import REMEDY, UnusableMaterial, UploadFault
from certfront.pki.upload import constraints

_BROWSER_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_PUBLIC_LIMITS = (
    (datetime(2029, 3, 15, tzinfo=UTC), 47),
    (datetime(2027, 3, 15, tzinfo=UTC), 100),
    (datetime(2026, 3, 15, tzinfo=UTC), 200),
    (datetime(2020, 9, 1, tzinfo=UTC), 398),
)
"""Days a public certificate issued from then on may be valid (CA/Browser Forum ballot SC-081)."""

_PRIVATE_LIMIT_DAYS = 825
"""Days that Apple's devices accept of a private authority (support.apple.com/103769)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Everything the checks look at. `trusted` is None where no trust bundle is configured."""

    leaf: x509.Certificate
    path: Path
    trusted: tuple[x509.Certificate, ...] | None
    names_required: tuple[str, ...]
    now: datetime

    @property
    def is_self_signed(self) -> bool:
        """Whether the leaf is its own root."""
        return self.path.root == self.leaf

    @property
    def issuers(self) -> tuple[x509.Certificate, ...]:
        """The intermediates, then the root if it was given."""
        root = () if self.path.root is None or self.is_self_signed else (self.path.root,)
        return (*self.path.served[1:], *root)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """Something to refuse (`fault`), or to mention; `lenient` findings are good practice only."""

    text: str = ""
    fault: UploadFault | None = None
    lenient: bool = False


def apply(candidate: Candidate, *, lenient: bool) -> tuple[str, ...]:
    """Return the warnings; raises `UnusableMaterial` for the first finding that refuses."""
    warnings: list[str] = []
    for check in _CHECKS:
        for finding in check(candidate):
            if finding.fault is None:
                warnings.append(finding.text)
            elif lenient and finding.lenient:
                warnings.append(finding.text or REMEDY[finding.fault].sentence)
            else:
                raise UnusableMaterial(finding.fault, finding.text)
    return tuple(warnings)


def _dates(candidate: Candidate) -> Iterator[_Finding]:
    leaf_end = candidate.leaf.not_valid_after_utc
    if leaf_end <= candidate.now:
        text = f"The certificate expired at {_moment(leaf_end)}."
        yield _Finding(fault=UploadFault.EXPIRED, text=text)
    for issuer in candidate.path.served[1:]:
        end = issuer.not_valid_after_utc
        if end <= candidate.now:
            text = f"An intermediate of the chain expired at {_moment(end)}."
            yield _Finding(fault=UploadFault.INTERMEDIATE_EXPIRED, text=text)
        elif end < leaf_end:
            yield _Finding(text=f"An intermediate expires at {_moment(end)}, before the leaf.")


def _key_strength(candidate: Candidate) -> Iterator[_Finding]:
    for certificate in candidate.path.served:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            yield from _rsa_strength(key)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if key.curve.name not in _BROWSER_CURVES:
                yield _Finding(fault=UploadFault.UNSUPPORTED_CURVE)
        elif isinstance(key, ed25519.Ed25519PublicKey):
            yield _Finding(text="Browsers do not accept Ed25519 certificates.")
        else:
            yield _Finding(fault=UploadFault.UNSUPPORTED_KEY)


def _rsa_strength(key: rsa.RSAPublicKey) -> Iterator[_Finding]:
    exponent = key.public_numbers().e
    if key.key_size < 2048:
        yield _Finding(fault=UploadFault.WEAK_KEY)
    if key.key_size > keys.MAX_RSA_BITS:
        yield _Finding(fault=UploadFault.OVERSIZED_KEY)
    if key.key_size % 8:
        yield _Finding(fault=UploadFault.UNEVEN_MODULUS)
    if exponent < 65537 or exponent % 2 == 0:
        yield _Finding(fault=UploadFault.WEAK_EXPONENT)


def _signatures(candidate: Candidate) -> Iterator[_Finding]:
    """Look at what is served; a root that was given is not, so its signature is irrelevant."""
    for certificate in candidate.path.served:
        digest = certificate.signature_hash_algorithm
        if isinstance(digest, hashes.MD5):
            yield _Finding(
                fault=UploadFault.WEAK_SIGNATURE, text="A certificate is signed with MD5."
            )
        elif isinstance(digest, hashes.SHA1):
            text = "A certificate is signed with SHA-1."
            yield _Finding(fault=UploadFault.WEAK_SIGNATURE, text=text, lenient=True)


def _serials(candidate: Candidate) -> Iterator[_Finding]:
    for certificate in candidate.path.served:
        serial = certificate.serial_number
        # The encoded integer has a sign bit (RFC 5280 section 4.1.2.2).
        if serial == 0 or serial.bit_length() // 8 + 1 > 20:
            yield _Finding(fault=UploadFault.INVALID_SERIAL, lenient=True)


def _critical_extensions(candidate: Candidate) -> Iterator[_Finding]:
    for certificate in candidate.path.served:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.PrecertPoison):
                yield _Finding(fault=UploadFault.PRECERTIFICATE)
            elif extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
                yield _Finding(fault=UploadFault.UNKNOWN_CRITICAL_EXTENSION)


def _leaf_role(candidate: Candidate) -> Iterator[_Finding]:
    leaf = candidate.leaf
    if leaf.version is x509.Version.v1:
        yield _Finding(fault=UploadFault.VERSION1_CERTIFICATE, lenient=True)
    if certificates.is_authority(leaf):
        if candidate.is_self_signed:
            yield _Finding(text="The certificate is an authority (CA:TRUE); make it CA:FALSE.")
        else:
            yield _Finding(fault=UploadFault.LEAF_IS_AUTHORITY, lenient=True)


def _usages(candidate: Candidate) -> Iterator[_Finding]:
    extended = certificates.extension(candidate.leaf, x509.ExtendedKeyUsage)
    if extended is None:
        yield _Finding(text="The certificate has no extended key usage; server auth is expected.")
    elif ExtendedKeyUsageOID.SERVER_AUTH not in extended:
        yield _Finding(fault=UploadFault.NO_SERVER_AUTH, lenient=True)
    usage = certificates.extension(candidate.leaf, x509.KeyUsage)
    if usage is None:
        return
    is_ecdsa = isinstance(candidate.leaf.public_key(), ec.EllipticCurvePublicKey)
    if is_ecdsa and not usage.digital_signature:
        yield _Finding(text="The key usage lacks digital signature, which ECDSA needs.")
    if usage.key_cert_sign and not certificates.is_authority(candidate.leaf):
        yield _Finding(text="The key usage of a server certificate includes cert sign.")


def _names(candidate: Candidate) -> Iterator[_Finding]:
    dns_names, addresses = certificates.san_names(candidate.leaf)
    if certificates.extension(candidate.leaf, x509.SubjectAlternativeName) is None:
        yield _Finding(fault=UploadFault.NO_SUBJECT_ALTERNATIVE_NAME, lenient=True)
    for address in addresses:
        if not names.is_ip(address):
            text = "An address of the subject alternative name is a whole network."
            yield _Finding(fault=UploadFault.INVALID_SUBJECT_ALTERNATIVE_NAME, text=text)
    canonical = list(addresses)
    for name in dns_names:
        if names.is_ip(name):
            yield _Finding(text="An address is written as a DNS name; clients do not match it.")
            continue
        try:
            canonical.append(names.normalise_san_dns(name))
        except names.InvalidName as error:
            text = f"A DNS name of the subject alternative name is invalid: {error}."
            yield _Finding(fault=UploadFault.INVALID_SUBJECT_ALTERNATIVE_NAME, text=text)
        if name.endswith("."):
            text = "A DNS name of the subject alternative name ends with a dot."
            yield _Finding(fault=UploadFault.INVALID_SUBJECT_ALTERNATIVE_NAME, text=text)
    yield from _coverage(candidate, canonical)


def _coverage(candidate: Candidate, canonical: list[str]) -> Iterator[_Finding]:
    missing = [one for one in candidate.names_required if not names.covered_by(canonical, one)]
    if missing:
        listed = ", ".join(missing[:5]) + (" and more" if len(missing) > 5 else "")
        text = f"The certificate does not cover {listed}."
        yield _Finding(fault=UploadFault.NAMES_NOT_COVERED, text=text)
    common = facts.common_name(candidate.leaf)
    if canonical and common and not certificates.is_authority(candidate.leaf):
        try:
            repeated = names.normalise_name(common) in canonical
        except names.InvalidName:
            repeated = False
        if not repeated:
            yield _Finding(text="The common name is not among the subject alternative names.")


def _issuers(candidate: Candidate) -> Iterator[_Finding]:
    for issuer in candidate.issuers:
        is_root = issuer == candidate.path.root
        if issuer.version is x509.Version.v1:
            if not is_root:
                yield _Finding(fault=UploadFault.ISSUER_VERSION1)
            continue
        if not certificates.is_authority(issuer):
            yield _Finding(fault=UploadFault.ISSUER_NOT_CA)
        usage = certificates.extension(issuer, x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:
            yield _Finding(fault=UploadFault.ISSUER_LACKS_CERT_SIGN)
        extended = certificates.extension(issuer, x509.ExtendedKeyUsage)
        allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        if extended is not None and not is_root and allowed.isdisjoint(extended):
            yield _Finding(fault=UploadFault.ISSUER_USAGE_VIOLATED)


def _path_lengths(candidate: Candidate) -> Iterator[_Finding]:
    """Count the intermediates below each authority, self-issued ones aside (RFC 5280 6.1.4)."""
    below = 0
    for issuer in candidate.issuers:
        limits = certificates.extension(issuer, x509.BasicConstraints)
        if limits is not None and limits.path_length is not None and below > limits.path_length:
            yield _Finding(fault=UploadFault.PATH_LENGTH_EXCEEDED)
        if issuer.subject != issuer.issuer:
            below += 1


def _name_constraints(candidate: Candidate) -> Iterator[_Finding]:
    for issuer in candidate.issuers:
        limits = certificates.extension(issuer, x509.NameConstraints)
        if limits is not None and not constraints.allow(limits, candidate.leaf):
            yield _Finding(fault=UploadFault.NAME_CONSTRAINT_VIOLATED)


def _anchor(candidate: Candidate) -> Iterator[_Finding]:
    if candidate.trusted is None:
        if not candidate.issuers and not candidate.is_self_signed:
            yield _Finding(text="No intermediate is given; clients must know the issuer itself.")
        return
    anchors = [one for one in candidate.trusted if one.not_valid_after_utc > candidate.now]
    path = (*candidate.path.served, *candidate.issuers)
    is_anchored = any(one in anchors for one in path) or any(
        certificates.is_issued_by(one, anchor)
        for one in candidate.path.served
        for anchor in anchors
        if certificates.is_authority(anchor) or anchor.version is x509.Version.v1
    )
    if not is_anchored:
        yield _Finding(fault=UploadFault.CHAIN_INCOMPLETE)


def _lifetime(candidate: Candidate) -> Iterator[_Finding]:
    start = candidate.leaf.not_valid_before_utc
    # The last second counts (RFC 5280 section 4.1.2.5).
    lifetime = candidate.leaf.not_valid_after_utc - start + timedelta(seconds=1)
    if lifetime > timedelta(days=_PRIVATE_LIMIT_DAYS):
        yield _Finding(text=f"Valid for more than {_PRIVATE_LIMIT_DAYS} days: Apple refuses it.")
    elif candidate.path.root is None and candidate.trusted is None:
        limit = next((days for since, days in _PUBLIC_LIMITS if start >= since), None)
        if limit is not None and lifetime > timedelta(days=limit):
            yield _Finding(text=f"Valid for more than {limit} days: browsers refuse public ones.")


def _stapling(candidate: Candidate) -> Iterator[_Finding]:
    features = certificates.extension(candidate.leaf, x509.TLSFeature)
    if features is not None and x509.TLSFeatureType.status_request in features:
        yield _Finding(text="Must-staple is set: clients fail unless the load balancer staples.")


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


_CHECKS: tuple[Callable[[Candidate], Iterable[_Finding]], ...] = (
    _critical_extensions,
    _key_strength,
    _signatures,
    _serials,
    _leaf_role,
    _usages,
    _names,
    _issuers,
    _path_lengths,
    _name_constraints,
    _anchor,
    _dates,
    _lifetime,
    _stapling,
)
