"""What is asked of a certificate, and the X.509 fields that follow from it.

Built by `certfront.issuance` from a Certificate's spec; used by `issue`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certfront.model.certificate import Subject
from certfront.pki import keys, names

MAX_COMMON_NAME = 64
"""Characters of a common name: ub-common-name of RFC 5280 appendix A.1."""

KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
"""cert-manager's spelling of key usages, to the arguments of `x509.KeyUsage`."""

EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
"""cert-manager's spelling of extended key usages, to their object identifiers."""

_SUBJECT_ATTRIBUTES = (
    ("countries", NameOID.COUNTRY_NAME),
    ("provinces", NameOID.STATE_OR_PROVINCE_NAME),
    ("localities", NameOID.LOCALITY_NAME),
    ("street_addresses", NameOID.STREET_ADDRESS),
    ("postal_codes", NameOID.POSTAL_CODE),
    ("organizations", NameOID.ORGANIZATION_NAME),
    ("organizational_units", NameOID.ORGANIZATIONAL_UNIT_NAME),
)

_NO_SUBJECT = Subject()

Extension = tuple[x509.ExtensionType, bool]
"""An extension and whether it is critical."""


class InvalidRequest(ValueError):
    """A certificate cannot be made as asked; the message says which field is wrong and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The fields of a certificate to be made.

    Names are in any spelling: they are normalised where they are used. `usages` are spelled as in
    cert-manager; `duration` counts from the moment of issue.
    """

    common_name: str | None = None
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    subject: Subject = _NO_SUBJECT
    usages: tuple[str, ...] = ()
    is_ca: bool = False
    duration: timedelta = timedelta(days=90)


def alternative_names(request: Request) -> tuple[str, ...]:
    """Return the canonical names of the certificate: DNS names, then addresses, without repeats.

    A common name that is a host name or an address is among them, since clients look nowhere
    else (RFC 9525 section 2). Raises `InvalidRequest`.
    """
    dns_names = _canonical("dnsNames", request.dns_names, names.normalise_dns)
    addresses = _canonical("ipAddresses", request.ip_addresses, names.normalise_ip)
    common = _name_in_common_name(request)
    if common is not None:
        (addresses if names.is_ip(common) else dns_names).append(common)
    return tuple(dict.fromkeys((*dns_names, *addresses)))


def subject_name(request: Request, fallback: str | None) -> x509.Name:
    """Return the subject; raises `InvalidRequest`.

    A common name over 64 characters is left out. If nothing remains, `fallback` gives the common
    name: the first canonical name that fits, else the fallback itself, cut. None keeps the subject
    empty, which is right where an authority is the issuer (RFC 5280 section 4.1.2.6) and wrong for
    a self-signed certificate, whose issuer would be empty too.
    """
    attributes = _subject_attributes(request.subject)
    common = _fitting_common_name(request)
    if common is None and not attributes and fallback is not None:
        fitting = (one for one in alternative_names(request) if len(one) <= MAX_COMMON_NAME)
        common = next(fitting, fallback[:MAX_COMMON_NAME])
    if common:
        attributes.append(_attribute(NameOID.COMMON_NAME, common, "commonName"))
    return x509.Name(attributes)


def extensions(
    request: Request, key: keys.PrivateKey, subject: x509.Name, *, path_length: int | None
) -> tuple[Extension, ...]:
    """Return all extensions but the authority key identifier; raises `InvalidRequest`.

    `path_length` is used for authorities only. The alternative names are critical exactly where
    the subject is empty (RFC 5280 section 4.2.1.6).
    """
    constraints = x509.BasicConstraints(
        ca=request.is_ca, path_length=path_length if request.is_ca else None
    )
    found: list[Extension] = [
        (constraints, True),
        (_key_usage(request, key), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    extended = _extended_usages(request)
    if extended:
        found.append((x509.ExtendedKeyUsage(extended), False))
    alternatives = alternative_names(request)
    if alternatives:
        found.append((general_names(alternatives), not subject.rdns))
    elif not request.is_ca:
        raise InvalidRequest("no names: give dnsNames, ipAddresses or a common name that is one")
    return tuple(found)


def general_names(canonical: Sequence[str]) -> x509.SubjectAlternativeName:
    """Return the alternative names for canonical DNS names and addresses."""
    return x509.SubjectAlternativeName(
        [
            x509.IPAddress(ipaddress.ip_address(name)) if names.is_ip(name) else x509.DNSName(name)
            for name in canonical
        ]
    )


def _canonical(field: str, values: Sequence[str], normalise: Callable[[str], str]) -> list[str]:
    try:
        return [normalise(value) for value in values]
    except names.InvalidName as error:
        raise InvalidRequest(f"{field}: {error}") from None


def _name_in_common_name(request: Request) -> str | None:
    """Return the common name as a canonical name, None if it is not one (as `Example CA`)."""
    if not request.common_name:
        return None
    try:
        return names.normalise_name(request.common_name)
    except names.InvalidName:
        return None


def _fitting_common_name(request: Request) -> str | None:
    common = _name_in_common_name(request) or request.common_name
    return common if common and len(common) <= MAX_COMMON_NAME else None


def _subject_attributes(subject: Subject) -> list[x509.NameAttribute[str]]:
    attributes = [
        _attribute(oid, value, field)
        for field, oid in _SUBJECT_ATTRIBUTES
        for value in getattr(subject, field)
    ]
    if subject.serial_number:
        attributes.append(
            _attribute(NameOID.SERIAL_NUMBER, subject.serial_number, "subject.serialNumber")
        )
    return attributes


def _attribute(oid: x509.ObjectIdentifier, value: str, field: str) -> x509.NameAttribute[str]:
    try:
        if not value:
            raise ValueError
        return x509.NameAttribute(oid, value)
    except ValueError:
        raise InvalidRequest(
            f"{field}: empty or too long for its attribute (a country has two letters)"
        ) from None


def _key_usage(request: Request, key: keys.PrivateKey) -> x509.KeyUsage:
    """Return the key usage: what is asked for, or digital signature (authorities: signing too).

    Key encipherment is left out for anything but RSA, which alone can do it (RFC 5480 section 3).
    """
    asked = {KEY_USAGES[usage] for usage in request.usages if usage in KEY_USAGES}
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    if not asked:
        asked = {"digital_signature"} | ({"key_encipherment"} if is_rsa else set())
        if request.is_ca:
            asked = {"digital_signature"}
    if request.is_ca:
        asked |= {"key_cert_sign", "crl_sign"}
    else:
        asked -= {"key_cert_sign"}
    if not is_rsa:
        asked -= {"key_encipherment", "data_encipherment"}
    if "key_agreement" not in asked:
        asked -= {"encipher_only", "decipher_only"}
    if not asked:
        asked = {"digital_signature"}
    return x509.KeyUsage(**{field: field in asked for field in set(KEY_USAGES.values())})


def _extended_usages(request: Request) -> list[x509.ObjectIdentifier]:
    """Return what is asked for; server auth where a leaf asks for no extended usage."""
    unknown = [one for one in request.usages if one not in KEY_USAGES | EXTENDED_USAGES]
    if unknown:
        raise InvalidRequest(f"usages: unknown usage {unknown[0][:40]!r}")
    asked = [EXTENDED_USAGES[usage] for usage in request.usages if usage in EXTENDED_USAGES]
    if not asked and not request.is_ca:
        asked = [ExtendedKeyUsageOID.SERVER_AUTH]
    return list(dict.fromkeys(asked))
