"""Certificates of every shape for tests, good and bad ones, made with `cryptography`'s builders.

What the builders refuse to make (version 1, negative serial numbers, MD5) is made by editing the
signed part in DER and signing it again.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH

AnyKey = (
    ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey
)


@dataclass(frozen=True)
class Issued:
    """A certificate and the key it was made for."""

    certificate: x509.Certificate
    key: AnyKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return pkcs8(self.key)


def pkcs8(key: AnyKey, password: bytes | None = None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def traditional(key: AnyKey, password: bytes | None = None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption
    )


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


@functools.cache
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def usage(*fields: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{field: field in fields for field in every})


def san(*names: str) -> x509.SubjectAlternativeName:
    values: list[x509.GeneralName] = []
    for one in names:
        try:
            values.append(x509.IPAddress(ipaddress.ip_address(one)))
        except ValueError:
            values.append(x509.DNSName(one))
    return x509.SubjectAlternativeName(values)


def certificate(
    common_name: str = "shop.example.com",
    *,
    key: AnyKey | None = None,
    issuer: Issued | None = None,
    names: Sequence[str] | None = None,
    alternative: x509.SubjectAlternativeName | None = None,
    days: int = 90,
    not_before: dt.datetime = NOW - DAY,
    not_after: dt.datetime | None = None,
    serial: int | None = None,
    digest: hashes.HashAlgorithm | None = None,
    constraints: x509.BasicConstraints | None = None,
    key_usage: x509.KeyUsage | None = None,
    extended: Sequence[x509.ObjectIdentifier] | None = (SERVER_AUTH,),
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Issued:
    """Make a good leaf, self-signed without an issuer; each argument spoils one thing."""
    key = key or ec_key()
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else name(common_name))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after or not_before + days * DAY)
        .add_extension(
            constraints or x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        .add_extension(key_usage or usage("digital_signature"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    names = (common_name,) if names is None else names
    alternative = alternative or (san(*names) if names else None)
    if alternative is not None:
        builder = builder.add_extension(alternative, critical=False)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    for value, critical in extra:
        builder = builder.add_extension(value, critical=critical)
    default = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signer, digest or default), key)


def authority(
    common_name: str = "Example Root",
    *,
    issuer: Issued | None = None,
    path_length: int | None = None,
    days: int = 3650,
    **spoiled: object,
) -> Issued:
    """Make an authority, a root without an issuer."""
    arguments: dict[str, object] = {
        "names": (),
        "constraints": x509.BasicConstraints(ca=True, path_length=path_length),
        "key_usage": usage("key_cert_sign", "crl_sign"),
        "extended": None,
    }
    return certificate(common_name, issuer=issuer, days=days, **{**arguments, **spoiled})  # type: ignore[arg-type]


def tlv(tag: int, content: bytes) -> bytes:
    """Encode one element in DER."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """Decode a row of elements in DER, as (tag, content)."""
    found = []
    while data:
        size, start = data[1], 2
        if size & 0x80:
            start = 2 + (size & 0x7F)
            size = int.from_bytes(data[2:start], "big")
        found.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return found


def edited(
    issued: Issued,
    edit: Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]],
    *,
    signer: AnyKey | None = None,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    """Return the PEM of a certificate whose signed fields were edited, signed again."""
    signer = signer or issued.key
    fields = edit(_fields(issued))
    tbs = tlv(0x30, b"".join(tlv(tag, content) for tag, content in fields))
    algorithm = next(content for tag, content in fields[1:] if tag == 0x30)
    digest = digest or hashes.SHA256()
    if isinstance(signer, rsa.RSAPrivateKey):
        signature = signer.sign(tbs, padding.PKCS1v15(), digest)
    else:
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        signature = signer.sign(tbs, ec.ECDSA(digest))
    whole = tlv(0x30, tbs + tlv(0x30, algorithm) + tlv(0x03, b"\x00" + signature))
    return pem_block("CERTIFICATE", whole)


def _fields(issued: Issued) -> list[tuple[int, bytes]]:
    return elements(elements(issued.certificate.tbs_certificate_bytes)[0][1])


def with_serial(encoded: bytes) -> Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]:
    return lambda fields: [fields[0], (0x02, encoded), *fields[2:]]


def as_version1(fields: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return [(tag, content) for tag, content in fields if tag not in {0xA0, 0xA3}]


def replacing(
    old: bytes, new: bytes
) -> Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]:
    assert len(old) == len(new)
    return lambda fields: [(tag, content.replace(old, new)) for tag, content in fields]


def pem_block(label: str, body: bytes) -> bytes:

    text = base64.encodebytes(body).replace(b"\n", b"")
    lines = b"\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    marker = label.encode()
    return b"-----BEGIN " + marker + b"-----\n" + lines + b"\n-----END " + marker + b"-----\n"
