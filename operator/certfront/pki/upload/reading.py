"""From the bytes of a Secret to certificates and a key, within bounds and with exact faults.

Used by `certfront.pki.upload` alone. Whatever is wrong with the format is found here; what is wrong
with the certificates themselves is the business of `policy`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from certfront.pki import certificates, der, keys, pem
from certfront.pki.faults import REMEDY, UnusableMaterial, UploadFault
from certfront.pki.pair import MAX_CHAIN_LENGTH

MAX_MATERIAL_SIZE = pem.MAX_PEM_SIZE
"""Octets of certificate, chain, key and PKCS#12 together."""

MAX_TRUST_BUNDLE_SIZE = 512 * 1024
"""Octets of a trust bundle: the public roots of the web take half of it."""

_MAX_TRUST_ANCHORS = 500
_MAX_PKCS12_SIZE = 64 * 1024
_MAX_WRAPPED_KEY = 8 * 1024
_MAX_PASSWORD = 1024
_PARAMETERS = frozenset({"EC PARAMETERS", "DH PARAMETERS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadMaterial:
    """The bytes as they are in Secrets; either `pkcs12`, or `certificate` and `private_key`.

    None of it is represented: a private key may lie in any field by mistake.
    """

    certificate: bytes | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)
    chain: bytes | None = field(default=None, repr=False)
    pkcs12: bytes | None = field(default=None, repr=False)
    password: bytes | None = field(default=None, repr=False)
    trust_bundle: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the material holds: certificates in the order given, the key, and warnings."""

    certificates: tuple[x509.Certificate, ...]
    chain: tuple[x509.Certificate, ...]
    private_key: keys.PrivateKey = field(repr=False)
    warnings: tuple[str, ...]


def read(material: UploadMaterial) -> Contents:
    """Read the material; raises `UnusableMaterial`."""
    _check_size(material)
    if material.pkcs12 is None:
        return _read_pem(material)
    if material.certificate or material.private_key:
        raise UnusableMaterial(UploadFault.CONFLICTING_MATERIAL)
    with _in_field("PKCS#12"):
        found, key, warnings = _read_pkcs12(material.pkcs12, material.password)
    chain = _certificates("chain", material.chain) if material.chain else ()
    return Contents(certificates=found, chain=chain, private_key=key, warnings=warnings)


def read_trust_bundle(data: bytes | None) -> tuple[x509.Certificate, ...] | None:
    """Read the trust anchors, None if none are configured; raises `UnusableMaterial`."""
    if data is None:
        return None
    try:
        return certificates.load_pem(
            data, max_size=MAX_TRUST_BUNDLE_SIZE, max_blocks=_MAX_TRUST_ANCHORS
        )
    except UnusableMaterial as error:
        detail = error.detail or REMEDY[error.fault].sentence
        raise UnusableMaterial(
            UploadFault.INVALID_TRUST_BUNDLE, f"In the trust bundle: {detail}"
        ) from None


def _check_size(material: UploadMaterial) -> None:
    fields = (material.certificate, material.private_key, material.chain, material.pkcs12)
    if sum(len(one) for one in fields if one) > MAX_MATERIAL_SIZE:
        raise UnusableMaterial(UploadFault.TOO_LARGE)
    if len(material.password or b"") > _MAX_PASSWORD:
        raise UnusableMaterial(UploadFault.TOO_LARGE, "The password is longer than 1024 octets.")


def _read_pem(material: UploadMaterial) -> Contents:
    if not material.certificate:
        raise UnusableMaterial(UploadFault.NO_CERTIFICATE)
    if not material.private_key:
        raise UnusableMaterial(UploadFault.NO_PRIVATE_KEY)
    _check_swapped(material.certificate, material.private_key)
    found = _certificates("certificate", material.certificate)
    chain = _certificates("chain", material.chain) if material.chain else ()
    if len({*found, *chain}) > MAX_CHAIN_LENGTH:
        raise UnusableMaterial(UploadFault.CHAIN_TOO_LONG)
    with _in_field("private key"):
        key, warnings = _private_key(material.private_key, material.password)
    return Contents(certificates=found, chain=chain, private_key=key, warnings=warnings)


def _check_swapped(certificate: bytes, private_key: bytes) -> None:
    has_key = b"PRIVATE KEY-----" in certificate and b"CERTIFICATE-----" not in certificate
    has_certificate = b"CERTIFICATE-----" in private_key and b"KEY-----" not in private_key
    if has_key and has_certificate:
        raise UnusableMaterial(UploadFault.FIELDS_SWAPPED)


def _certificates(name: str, data: bytes) -> tuple[x509.Certificate, ...]:
    with _in_field(name):
        found = [one for one in pem.blocks(data) if one.label not in _PARAMETERS]
        if not found:
            raise UnusableMaterial(UploadFault.NO_CERTIFICATE)
        if len({one.body for one in found}) > MAX_CHAIN_LENGTH:
            raise UnusableMaterial(UploadFault.CHAIN_TOO_LONG)
        return certificates.load_blocks(found)


def _private_key(data: bytes, password: bytes | None) -> tuple[keys.PrivateKey, tuple[str, ...]]:
    found = pem.blocks(data)
    private = [one for one in found if pem.is_private_key(one.label)]
    if len(private) > 1:
        raise UnusableMaterial(UploadFault.SEVERAL_PRIVATE_KEYS)
    if not private:
        raise UnusableMaterial(_fault_without_key([one.label for one in found]))
    return _open_key(private[0], password)


def _fault_without_key(labels: list[str]) -> UploadFault:
    if any(label.endswith("CERTIFICATE REQUEST") for label in labels):
        return UploadFault.REQUEST_IN_PRIVATE_KEY
    if any(label.endswith("CERTIFICATE") for label in labels):
        return UploadFault.CERTIFICATE_IN_PRIVATE_KEY
    if any(label.endswith("PUBLIC KEY") for label in labels):
        return UploadFault.PUBLIC_KEY_ONLY
    return UploadFault.NO_PRIVATE_KEY


def _open_key(block: pem.Block, password: bytes | None) -> tuple[keys.PrivateKey, tuple[str, ...]]:
    try:
        key, was_encrypted = keys.load_block(block, password)
    except UnusableMaterial as error:
        trimmed = _without_newline(password)
        if error.fault is not UploadFault.WRONG_PASSWORD or trimmed is None:
            raise
        key, _ = keys.load_block(block, trimmed)
        return key, (_NEWLINE_WARNING,)
    if password is not None and not was_encrypted:
        return key, ("A password is given but the private key is not encrypted.",)
    return key, ()


_NEWLINE_WARNING = "The password ends with a line end that is not part of it: it was ignored."


def _without_newline(password: bytes | None) -> bytes | None:
    """Return the password without the line end that `echo` appends, None if it has none."""
    if not password:
        return None
    trimmed = password.rstrip(b"\r\n")
    return trimmed if trimmed and trimmed != password else None


def _read_pkcs12(
    data: bytes, password: bytes | None
) -> tuple[tuple[x509.Certificate, ...], keys.PrivateKey, tuple[str, ...]]:
    warnings = _check_pkcs12(data)
    store, more = _open_pkcs12(data, password)
    held = [store.cert, *store.additional_certs]
    encoded = [certificates.to_der(one.certificate) for one in held if one is not None]
    if store.key is None:
        missing = (
            UploadFault.PKCS12_WITHOUT_PRIVATE_KEY if encoded else UploadFault.MALFORMED_PKCS12
        )
        raise UnusableMaterial(missing)
    if not encoded:
        raise UnusableMaterial(UploadFault.PKCS12_WITHOUT_CERTIFICATE)
    if len(set(encoded)) > MAX_CHAIN_LENGTH:
        raise UnusableMaterial(UploadFault.CHAIN_TOO_LONG)
    key = keys.supported(store.key)
    if (keys.size_of(key) or 0) > keys.MAX_RSA_BITS:
        raise UnusableMaterial(UploadFault.OVERSIZED_KEY)
    found = tuple(certificates.load(one) for one in encoded)
    return found, key, (*warnings, *more)


def _check_pkcs12(data: bytes) -> tuple[str, ...]:
    """Refuse what must not reach the parser, and say if it is BER."""
    if data.lstrip()[:3] == b"MII":
        raise UnusableMaterial(UploadFault.ENCODED_TWICE)
    if data.lstrip()[:10] == b"-----BEGIN":
        raise UnusableMaterial(
            UploadFault.MALFORMED_PKCS12, "PEM text lies in the field for a PKCS#12."
        )
    if len(data) > _MAX_PKCS12_SIZE:
        raise UnusableMaterial(UploadFault.TOO_LARGE)
    try:
        if der.derivation_is_excessive(data):
            raise UnusableMaterial(UploadFault.EXCESSIVE_KEY_DERIVATION)
        if der.largest_wrapped_key(data) > _MAX_WRAPPED_KEY:
            raise UnusableMaterial(UploadFault.OVERSIZED_KEY)
        lax = der.is_indefinite(data)
    except der.Malformed:
        raise UnusableMaterial(UploadFault.MALFORMED_PKCS12) from None
    return ("The PKCS#12 is encoded in BER, not DER: export it again.",) if lax else ()


def _open_pkcs12(
    data: bytes, password: bytes | None
) -> tuple[pkcs12.PKCS12KeyAndCertificates, tuple[str, ...]]:
    trimmed = _without_newline(password)
    for attempt, warnings in ((password, ()), (trimmed, (_NEWLINE_WARNING,))):
        if attempt is None and warnings:
            continue
        store = _try_pkcs12(data, attempt)
        if store is not None:
            return store, warnings
    raise UnusableMaterial(UploadFault.WRONG_PASSWORD if password else UploadFault.MISSING_PASSWORD)


def _try_pkcs12(data: bytes, password: bytes | None) -> pkcs12.PKCS12KeyAndCertificates | None:
    """Return the opened store, None if the password does not open it."""
    try:
        return pkcs12.load_pkcs12(data, password)
    except certificates.UNPARSABLE as error:
        if "password" in str(error).lower():
            return None
        raise UnusableMaterial(UploadFault.MALFORMED_PKCS12) from None


@contextmanager
def _in_field(name: str) -> Iterator[None]:
    """Name the field in the message of a fault."""
    try:
        yield
    except UnusableMaterial as error:
        detail = error.detail or REMEDY[error.fault].sentence
        raise UnusableMaterial(error.fault, f"In the {name} field: {detail}") from None
