"""Making certificates: self-signed, signed by an authority of one's own, and requests for ACME.

The rules are those of RFC 5280 and what verifiers ask for beyond it. Nothing here reads a clock; the
random serial number is the only input that is not an argument. Used by `certfront.reconcilers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from certfront.model.errors import Refused
from certfront.model.keys import KeyEncoding
from certfront.pki import certificates, keys
from certfront.pki import request as requests
from certfront.pki.faults import UnusableMaterial
from certfront.pki.pair import KeyPair, parse_pair
from certfront.pki.request import InvalidRequest, Request

_MAX_BACKDATING = timedelta(hours=1)
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The end of GeneralizedTime, which RFC 5280 section 4.1.2.5 uses for "no expiry"."""

_SELF_SIGNED_PATH_LENGTH = 1
"""A root made here signs leaves, and authorities that sign leaves."""


class AuthorityFault(StrEnum):
    """Why a key pair cannot sign certificates now."""

    UNREADABLE = "AuthorityUnreadable"
    NOT_CA = "AuthorityNotCA"
    LACKS_CERT_SIGN = "AuthorityLacksCertSign"
    NOT_YET_VALID = "AuthorityNotYetValid"
    EXPIRED = "AuthorityExpired"
    PATH_LENGTH = "AuthorityPathLength"
    WRONG_ROOT = "AuthorityWrongRoot"


class InvalidAuthority(Refused):
    """An authority cannot sign as asked; `fault` says why, the message what to do."""

    def __init__(self, fault: AuthorityFault, message: str) -> None:
        self.fault = fault
        super().__init__(fault.value, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An authority of one's own.

    `chain` is what is served after the leaf: the authority and its issuers without the root, so
    empty for a root. `root` is what clients trust: the root, or the topmost certificate known.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate
    private_key: keys.PrivateKey = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, upper-case hex with colons."""
        return certificates.fingerprint(self.certificate)


def load_authority(tls_crt: bytes, tls_key: bytes, ca_crt: bytes | None = None) -> Authority:
    """Read an authority from its Secret; raises `InvalidAuthority`. Dates are checked by `sign`.

    `ca_crt` names the root where `tls_crt` is an intermediate; it must have signed the chain.
    """
    try:
        pair = parse_pair(tls_crt, tls_key, ca_crt)
        private_key = pair.private_key
    except UnusableMaterial as error:
        raise InvalidAuthority(AuthorityFault.UNREADABLE, error.message) from None
    _check_authority(pair.leaf)
    top = pair.chain[-1]
    if pair.ca is not None and top != pair.ca and not certificates.is_issued_by(top, pair.ca):
        raise InvalidAuthority(
            AuthorityFault.WRONG_ROOT,
            "ca.crt did not sign the chain in tls.crt: put the root of this chain there.",
        )
    is_root = certificates.is_self_signed(pair.leaf)
    return Authority(
        certificate=pair.leaf,
        chain=() if is_root else pair.chain,
        root=pair.leaf if is_root else pair.ca or top,
        private_key=private_key,
    )


def self_signed(
    request: Request,
    key: keys.PrivateKey,
    *,
    now: datetime,
    object_name: str,
    encoding: KeyEncoding = KeyEncoding.PKCS8,
) -> KeyPair:
    """Make a certificate signed with its own key; it is its own `ca`. Raises `InvalidRequest`.

    Without a subject, the common name is the first name of at most 64 characters, else
    `object_name`: some clients refuse an empty issuer.
    """
    subject = requests.subject_name(request, object_name)
    not_before, not_after = _validity(request.duration, now)
    extensions = requests.extensions(request, key, subject, path_length=_SELF_SIGNED_PATH_LENGTH)
    if not request.is_ca:
        # Only a root goes without: path verifiers refuse a leaf that lacks the identifier.
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        extensions = (*extensions, (identifier, False))
    certificate = _signed(_builder(key, subject, subject, not_before, not_after), extensions, key)
    return KeyPair(chain=(certificate,), private_key_pem=keys.to_pem(key, encoding), ca=certificate)


def sign(
    request: Request,
    key: keys.PrivateKey,
    *,
    authority: Authority,
    now: datetime,
    encoding: KeyEncoding = KeyEncoding.PKCS8,
) -> KeyPair:
    """Make a certificate signed by an authority, never valid outside the authority's own dates.

    Raises `InvalidRequest`, and `InvalidAuthority` if the authority is not valid now or may not
    sign another authority.
    """
    issuer = authority.certificate
    _check_valid_now(authority, now)
    path_length = _path_length_below(issuer) if request.is_ca else None
    subject = requests.subject_name(request, None)
    if request.is_ca and not subject.rdns:
        raise InvalidRequest("an authority needs a commonName or a subject")
    not_before, not_after = _validity(request.duration, now)
    certificate = _signed(
        _builder(
            key,
            subject,
            issuer.subject,
            max(not_before, *_starts(authority)),
            min(not_after, *_ends(authority)),
        ),
        (
            *requests.extensions(request, key, subject, path_length=path_length),
            (_authority_key_identifier(issuer), False),
        ),
        authority.private_key,
    )
    return KeyPair(
        chain=(certificate, *authority.chain),
        private_key_pem=keys.to_pem(key, encoding),
        ca=authority.root,
    )


def csr(names: Sequence[str], common_name: str | None, key: keys.PrivateKey) -> bytes:
    """Return a certificate request in DER for canonical names, DNS names and addresses alike.

    The common name is put in only if it is one of the names and has at most 64 characters;
    authorities refuse others or leave them out (RFC 8555 section 7.4).
    """
    if not names:
        raise InvalidRequest("no names: a request needs at least one")
    attributes = (
        [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if common_name and common_name in names and len(common_name) <= requests.MAX_COMMON_NAME
        else []
    )
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(attributes))
        .add_extension(requests.general_names(names), critical=not attributes)
    )
    return builder.sign(key, _digest_for(key)).public_bytes(serialization.Encoding.DER)


def _validity(duration: timedelta, now: datetime) -> tuple[datetime, datetime]:
    """Return notBefore and notAfter in whole seconds; the lifetime counts from now."""
    moment = now.astimezone(UTC).replace(microsecond=0)
    if duration <= timedelta():
        raise InvalidRequest("duration: must be positive")
    lifetime_left = _LAST_MOMENT - moment
    not_after = moment + min(duration, lifetime_left)
    not_before = moment - min(_MAX_BACKDATING, duration / 10)
    return not_before.replace(microsecond=0), not_after.replace(microsecond=0)


def _builder(
    key: keys.PrivateKey,
    subject: x509.Name,
    issuer: x509.Name,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _signed(
    builder: x509.CertificateBuilder,
    extensions: Sequence[requests.Extension],
    key: keys.PrivateKey,
) -> x509.Certificate:
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(key, _digest_for(key))


def _digest_for(key: keys.PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Point at the issuer's own identifier, however it was made (RFC 5280 section 4.2.1.1)."""
    identifier = certificates.extension(issuer, x509.SubjectKeyIdentifier)
    if identifier is not None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    # The type is narrowed by load_authority: the authority's private key is of a supported type.
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]


def _check_authority(certificate: x509.Certificate) -> None:
    if not certificates.is_authority(certificate):
        raise InvalidAuthority(
            AuthorityFault.NOT_CA,
            "The certificate is no authority: use one with CA:TRUE, as isCA: true makes.",
        )
    usage = certificates.extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise InvalidAuthority(
            AuthorityFault.LACKS_CERT_SIGN,
            "The authority may not sign certificates: it lacks the key usage cert sign.",
        )
    if not certificate.subject.rdns:
        raise InvalidAuthority(
            AuthorityFault.NOT_CA, "The authority has an empty subject: give it a commonName."
        )


def _starts(authority: Authority) -> tuple[datetime, ...]:
    return tuple(one.not_valid_before_utc for one in (authority.certificate, *authority.chain))


def _ends(authority: Authority) -> tuple[datetime, ...]:
    return tuple(one.not_valid_after_utc for one in (authority.certificate, *authority.chain))


def _check_valid_now(authority: Authority, now: datetime) -> None:
    if min(_ends(authority)) <= now:
        raise InvalidAuthority(
            AuthorityFault.EXPIRED, "The authority has expired: put its successor in the Secret."
        )
    if max(_starts(authority)) > now:
        raise InvalidAuthority(
            AuthorityFault.NOT_YET_VALID, "The authority is not valid yet: check its dates."
        )


def _path_length_below(issuer: x509.Certificate) -> int:
    """Return the path length of an authority signed by `issuer`."""
    constraints = certificates.extension(issuer, x509.BasicConstraints)
    if constraints is None or constraints.path_length is None:
        return 0
    if constraints.path_length == 0:
        raise InvalidAuthority(
            AuthorityFault.PATH_LENGTH,
            "The authority may sign server certificates only (its path length is 0).",
        )
    return constraints.path_length - 1
