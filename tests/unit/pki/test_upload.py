"""The check list of uploaded certificates, row by row."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import re
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certfront.pki import keys, pair
from certfront.pki.upload import (
    REMEDY,
    Accepted,
    Refused,
    UploadFault,
    UploadMaterial,
    check,
)
from tests.unit.pki import builders as b

# A serial number of zero is loaded with a warning today; the check list accepts it as Lenient.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

ROOT = b.authority("Example Root")
INTERMEDIATE = b.authority("Example Intermediate", issuer=ROOT, path_length=0)
LEAF = b.certificate(issuer=INTERMEDIATE)
SHA256_RSA, SHA1_RSA, MD5_RSA = (bytes.fromhex(f"2a864886f70d01010{x}") for x in "b54")


def material(issued: b.Issued = LEAF, **fields: bytes | None) -> UploadMaterial:
    chosen = {"certificate": issued.pem, "private_key": issued.key_pem, **fields}
    return UploadMaterial(**chosen)


def full(issued: b.Issued = LEAF, *others: b.Issued, **fields: bytes | None) -> UploadMaterial:
    """The leaf and its chain in the certificate field."""
    others = others or (INTERMEDIATE,)
    return material(issued, certificate=issued.pem + b"".join(o.pem for o in others), **fields)


def run(
    given: UploadMaterial, *names: str, policy: str = "Strict", now: dt.datetime = b.NOW
) -> Accepted:
    return check(given, names_required=names, policy=policy, now=now)  # type: ignore[arg-type]


def refusal(given: UploadMaterial, *names: str, **how: object) -> Refused:
    with pytest.raises(Refused) as caught:
        run(given, *names, **how)  # type: ignore[arg-type]
    return caught.value


def p12(
    key: object = LEAF.key,
    certificate: x509.Certificate | None = LEAF.certificate,
    others: tuple[b.Issued, ...] = (INTERMEDIATE,),
    password: bytes | None = b"opensesame",
) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return pkcs12.serialize_key_and_certificates(
        b"shop",
        key,  # type: ignore[arg-type]
        certificate,
        [one.certificate for one in others],
        encryption,
    )


def extra_leaf(value: x509.ExtensionType, *, critical: bool = False) -> b.Issued:
    return b.certificate(issuer=INTERMEDIATE, extra=[(value, critical)])


def with_issuer(issuer: b.Issued, **fields: object) -> UploadMaterial:
    return full(b.certificate(issuer=issuer, **fields), issuer)  # type: ignore[arg-type]


def request_pem() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(b.name("shop.example.com"))
    return builder.sign(LEAF.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


def public_pem() -> bytes:
    return LEAF.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def openssh_pem() -> bytes:
    return LEAF.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def foreign_point() -> UploadMaterial:
    """A key file with the scalar of one key and the public point of another."""
    ours, other = b.ec_key(), b.certificate()
    scalar = ours.private_numbers().private_value.to_bytes(32, "big")
    point = other.key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    curve = bytes.fromhex("06082a8648ce3d030107")
    body = (
        b.tlv(0x02, b"\x01")
        + b.tlv(0x04, scalar)
        + b.tlv(0xA0, curve)
        + b.tlv(0xA1, b.tlv(0x03, b"\x00" + point))
    )
    return material(other, private_key=b.pem_block("EC PRIVATE KEY", b.tlv(0x30, body)))


def explicit_curve_key() -> bytes:
    """A SEC1 key whose parameters are spelled out, as `-param_enc explicit` writes it."""
    scalar = b.tlv(0x04, b"\x01" * 32)
    body = b.tlv(0x02, b"\x01") + scalar + b.tlv(0xA0, b.tlv(0x30, b.tlv(0x02, b"\x01")))
    return b.pem_block("EC PRIVATE KEY", b.tlv(0x30, body))


def many_iterations(key: bytes) -> bytes:
    """An encrypted PKCS#8 whose PBKDF2 asks for two thousand million iterations."""
    salt = b.tlv(0x04, b"s" * 8)
    costs = b.tlv(0x30, salt + b.tlv(0x02, b"\x7f\xff\xff\xff"))
    kdf = b.tlv(0x30, b.tlv(0x06, bytes.fromhex("2a864886f70d01050c")) + costs)
    scheme = b.tlv(0x30, b.tlv(0x06, bytes.fromhex("60864801650304012a")) + b.tlv(0x04, b"i" * 16))
    pbes2 = b.tlv(0x06, bytes.fromhex("2a864886f70d01050d")) + b.tlv(0x30, kdf + scheme)
    body = b.tlv(0x30, b.tlv(0x30, pbes2) + b.tlv(0x04, key))
    return b.pem_block("ENCRYPTED PRIVATE KEY", body)


def rsa_edited(old: bytes, new: bytes, digest: hashes.HashAlgorithm) -> UploadMaterial:
    leaf = b.certificate(key=b.rsa_key())
    return material(
        leaf,
        certificate=b.edited(leaf, b.replacing(old, new), digest=digest),
    )


def mismatched_algorithms() -> bytes:
    inner, outer, signature = b.elements(b.elements(LEAF.der)[0][1])
    other = outer[1].replace(bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040303"))
    parts = (inner, (0x30, other), signature)
    return b.pem_block("CERTIFICATE", b.tlv(0x30, b"".join(b.tlv(*part) for part in parts)))


def long_chain() -> UploadMaterial:
    issuers = [ROOT]
    for depth in range(11):
        issuers.append(b.authority(f"Example {depth}", issuer=issuers[-1]))
    return full(b.certificate(issuer=issuers[-1]), *reversed(issuers))


def limited(constraints: x509.NameConstraints, **leaf: object) -> UploadMaterial:
    issuer = b.authority("Limited", issuer=ROOT, extra=[(constraints, True)])
    return with_issuer(issuer, **leaf)


def permitted(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None)


def excluded(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=names)


def utf16() -> bytes:
    return LEAF.pem.decode().encode("utf-16")


def dsa_material() -> UploadMaterial:
    return material(b.certificate(key=dsa.generate_private_key(key_size=1024)))  # noqa: S505 -- weak on purpose


def ed448_material() -> UploadMaterial:
    key = ed448.Ed448PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return material(private_key=pem)


F = UploadFault
Row = tuple[str, Callable[[], UploadMaterial], UploadFault]

FORMATS: list[Row] = [
    ("nothing", UploadMaterial, F.NO_CERTIFICATE),
    ("no certificate", lambda: material(certificate=b""), F.NO_CERTIFICATE),
    ("no key", lambda: material(private_key=None), F.NO_PRIVATE_KEY),
    ("blank certificate", lambda: material(certificate=b" \n"), F.NOT_PEM),
    ("prose", lambda: material(certificate=b"see attachment"), F.NOT_PEM),
    ("DER certificate", lambda: material(certificate=LEAF.der), F.DER_NOT_PEM),
    (
        "PKCS7 in DER",
        lambda: material(certificate=b.tlv(0x30, bytes.fromhex("06092a864886f70d010702"))),
        F.PKCS7_NOT_PEM,
    ),
    ("PKCS7", lambda: material(certificate=b.pem_block("PKCS7", b"0")), F.PKCS7_NOT_PEM),
    ("UTF-16", lambda: material(certificate=utf16()), F.UTF16_TEXT),
    ("UTF-16 key", lambda: material(private_key=utf16()), F.UTF16_TEXT),
    (
        "backslash n",
        lambda: material(certificate=LEAF.pem.replace(b"\n", rb"\n")),
        F.ESCAPED_NEWLINES,
    ),
    ("base64 twice", lambda: material(certificate=base64.b64encode(LEAF.pem)), F.ENCODED_TWICE),
    ("truncated", lambda: material(certificate=LEAF.pem[:-60]), F.DAMAGED_PEM),
    (
        "damaged second block",
        lambda: material(certificate=LEAF.pem + INTERMEDIATE.pem.replace(b"M", b"!", 3)),
        F.DAMAGED_PEM,
    ),
    (
        "second block without its begin",
        lambda: material(certificate=LEAF.pem + INTERMEDIATE.pem[30:]),
        F.DAMAGED_PEM,
    ),
    (
        "four dashes",
        lambda: material(certificate=LEAF.pem + INTERMEDIATE.pem[1:]),
        F.DAMAGED_PEM,
    ),
    (
        "trusted certificate",
        lambda: material(certificate=LEAF.pem.replace(b" CERT", b" TRUSTED CERT")),
        F.TRUSTED_CERTIFICATE_FORMAT,
    ),
    (
        "key in the certificate",
        lambda: material(certificate=LEAF.pem + LEAF.key_pem),
        F.PRIVATE_KEY_IN_CERTIFICATE,
    ),
    (
        "key in the chain",
        lambda: material(chain=INTERMEDIATE.pem + LEAF.key_pem),
        F.PRIVATE_KEY_IN_CERTIFICATE,
    ),
    (
        "swapped",
        lambda: UploadMaterial(certificate=LEAF.key_pem, private_key=LEAF.pem),
        F.FIELDS_SWAPPED,
    ),
    (
        "certificate as key",
        lambda: material(private_key=LEAF.pem),
        F.CERTIFICATE_IN_PRIVATE_KEY,
    ),
    ("CSR as certificate", lambda: material(certificate=request_pem()), F.REQUEST_IN_CERTIFICATE),
    ("CSR as key", lambda: material(private_key=request_pem()), F.REQUEST_IN_PRIVATE_KEY),
    ("public key only", lambda: material(private_key=public_pem()), F.PUBLIC_KEY_ONLY),
    ("OpenSSH key", lambda: material(private_key=openssh_pem()), F.OPENSSH_KEY),
    ("two keys", lambda: material(private_key=LEAF.key_pem * 2), F.SEVERAL_PRIVATE_KEYS),
    (
        "malformed key",
        lambda: material(private_key=b.pem_block("PRIVATE KEY", b.tlv(0x30, b"\x02\x01\x00"))),
        F.MALFORMED_PRIVATE_KEY,
    ),
    (
        "key of no ASN.1",
        lambda: material(private_key=b.pem_block("PRIVATE KEY", b"hello")),
        F.MALFORMED_PRIVATE_KEY,
    ),
    (
        "certificate of no ASN.1",
        lambda: material(certificate=b.pem_block("CERTIFICATE", b"hello")),
        F.MALFORMED_CERTIFICATE,
    ),
    (
        "encrypted key",
        lambda: material(private_key=b.pkcs8(LEAF.key, b"secret")),
        F.PASSPHRASE_PROTECTED,
    ),
    (
        "encrypted traditional key",
        lambda: material(private_key=b.traditional(LEAF.key, b"secret")),
        F.PASSPHRASE_PROTECTED,
    ),
    (
        "empty password",
        lambda: material(private_key=b.pkcs8(LEAF.key, b"secret"), password=b""),
        F.MISSING_PASSWORD,
    ),
    (
        "wrong password",
        lambda: material(private_key=b.pkcs8(LEAF.key, b"secret"), password=b"other"),
        F.WRONG_PASSWORD,
    ),
    (
        "endless PBKDF2",
        lambda: material(private_key=many_iterations(b"k" * 64), password=b"secret"),
        F.EXCESSIVE_KEY_DERIVATION,
    ),
    (
        "PKCS12 and PEM",
        lambda: material(pkcs12=p12(), password=b"opensesame"),
        F.CONFLICTING_MATERIAL,
    ),
    (
        "PKCS12 wrong password",
        lambda: UploadMaterial(pkcs12=p12(), password=b"other"),
        F.WRONG_PASSWORD,
    ),
    ("PKCS12 no password", lambda: UploadMaterial(pkcs12=p12()), F.MISSING_PASSWORD),
    ("PKCS12 garbage", lambda: UploadMaterial(pkcs12=b"hello"), F.MALFORMED_PKCS12),
    ("PKCS12 other ASN.1", lambda: UploadMaterial(pkcs12=LEAF.der), F.MALFORMED_PKCS12),
    ("PKCS12 as PEM", lambda: UploadMaterial(pkcs12=LEAF.pem), F.MALFORMED_PKCS12),
    (
        "PKCS12 in base64",
        lambda: UploadMaterial(pkcs12=base64.b64encode(p12()), password=b"opensesame"),
        F.ENCODED_TWICE,
    ),
    (
        "PKCS12 trust store",
        lambda: UploadMaterial(pkcs12=p12(key=None, certificate=None), password=b"opensesame"),
        F.PKCS12_WITHOUT_PRIVATE_KEY,
    ),
    (
        "PKCS12 key alone",
        lambda: UploadMaterial(pkcs12=p12(certificate=None, others=()), password=b"opensesame"),
        F.PKCS12_WITHOUT_CERTIFICATE,
    ),
    ("900 KiB flood", lambda: material(certificate=LEAF.pem * 1500), F.TOO_LARGE),
    ("too many blocks", lambda: material(certificate=LEAF.pem * 40), F.TOO_MANY_BLOCKS),
    ("long chain", long_chain, F.CHAIN_TOO_LONG),
    (
        "enormous key",
        lambda: material(private_key=b.pem_block("RSA PRIVATE KEY", b.tlv(0x30, bytes(9000)))),
        F.OVERSIZED_KEY,
    ),
]

CONTENTS: list[Row] = [
    ("other key", lambda: full(private_key=b.pkcs8(b.ec_key())), F.KEY_MISMATCH),
    ("embedded point of another key", foreign_point, F.MALFORMED_PRIVATE_KEY),
    (
        "two leaves",
        lambda: full(LEAF, b.certificate("b.example", issuer=INTERMEDIATE), INTERMEDIATE),
        F.SEVERAL_LEAVES,
    ),
    ("unrelated chain", lambda: full(LEAF, b.authority("Stranger")), F.CHAIN_DISCONNECTED),
    (
        "unrelated chain in its own field",
        lambda: material(chain=b.authority("Stranger").pem),
        F.CHAIN_DISCONNECTED,
    ),
    (
        "issuer of the right name and a different key",
        lambda: full(LEAF, b.authority("Example Intermediate", issuer=ROOT)),
        F.CHAIN_DISCONNECTED,
    ),
    ("trust bundle missed", lambda: material(trust_bundle=ROOT.pem), F.CHAIN_INCOMPLETE),
    (
        "trust bundle of a stranger",
        lambda: full(trust_bundle=b.authority("Example Root").pem),
        F.CHAIN_INCOMPLETE,
    ),
    ("trust bundle of prose", lambda: full(trust_bundle=b"roots"), F.INVALID_TRUST_BUNDLE),
    (
        "issuer is no authority",
        lambda: with_issuer(b.certificate("Example Leaf", issuer=ROOT, names=())),
        F.ISSUER_NOT_CA,
    ),
    (
        "issuer lacks keyCertSign",
        lambda: with_issuer(b.authority("X", issuer=ROOT, key_usage=b.usage("crl_sign"))),
        F.ISSUER_LACKS_CERT_SIGN,
    ),
    (
        "issuer of client certificates",
        lambda: with_issuer(
            b.authority("X", issuer=ROOT, extended=[ExtendedKeyUsageOID.CLIENT_AUTH])
        ),
        F.ISSUER_USAGE_VIOLATED,
    ),
    (
        "name outside the permitted domain",
        lambda: limited(permitted(x509.DNSName("example.org"))),
        F.NAME_CONSTRAINT_VIOLATED,
    ),
    (
        "name in the excluded domain",
        lambda: limited(excluded(x509.DNSName("example.com"))),
        F.NAME_CONSTRAINT_VIOLATED,
    ),
    (
        "wildcard over an excluded host",
        lambda: limited(excluded(x509.DNSName("a.example.com")), common_name="*.example.com"),
        F.NAME_CONSTRAINT_VIOLATED,
    ),
    (
        "address outside the permitted network",
        lambda: limited(
            permitted(x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))),
            common_name="",
            names=("192.0.2.1",),
        ),
        F.NAME_CONSTRAINT_VIOLATED,
    ),
    (
        "subject outside the permitted directory",
        lambda: limited(permitted(x509.DirectoryName(b.name("other")))),
        F.NAME_CONSTRAINT_VIOLATED,
    ),
    (
        "precertificate",
        lambda: full(extra_leaf(x509.PrecertPoison(), critical=True)),
        F.PRECERTIFICATE,
    ),
    (
        "unknown critical extension",
        lambda: full(
            extra_leaf(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
                critical=True,
            )
        ),
        F.UNKNOWN_CRITICAL_EXTENSION,
    ),
    (
        "expired",
        lambda: full(b.certificate(issuer=INTERMEDIATE, not_before=b.NOW - 90 * b.DAY)),
        F.EXPIRED,
    ),
    (
        "expired intermediate",
        lambda: with_issuer(
            b.authority("Old", issuer=ROOT, not_before=b.NOW - 20 * b.DAY, days=10)
        ),
        F.INTERMEDIATE_EXPIRED,
    ),
    ("RSA 1024", lambda: material(b.certificate(key=b.rsa_key(1024))), F.WEAK_KEY),
    ("RSA 2052", lambda: material(b.certificate(key=b.rsa_key(2052))), F.UNEVEN_MODULUS),
    ("exponent 3", lambda: material(b.certificate(key=b.rsa_key(2048, 3))), F.WEAK_EXPONENT),
    ("DSA", dsa_material, F.UNSUPPORTED_KEY),
    ("Ed448", ed448_material, F.UNSUPPORTED_KEY),
    (
        "secp256k1",
        lambda: material(b.certificate(key=b.ec_key(ec.SECP256K1()))),
        F.UNSUPPORTED_CURVE,
    ),
    (
        "explicit curve",
        lambda: material(private_key=explicit_curve_key()),
        F.EXPLICIT_CURVE_PARAMETERS,
    ),
    ("MD5", lambda: rsa_edited(SHA256_RSA, MD5_RSA, hashes.MD5()), F.WEAK_SIGNATURE),  # noqa: S303 -- weak on purpose
    (
        "two signature algorithms",
        lambda: material(certificate=mismatched_algorithms()),
        F.SIGNATURE_ALGORITHM_MISMATCH,
    ),
    (
        "blank in a DNS name",
        lambda: full(b.certificate(issuer=INTERMEDIATE, names=("shop .example",))),
        F.INVALID_SUBJECT_ALTERNATIVE_NAME,
    ),
    (
        "dot after a DNS name",
        lambda: full(b.certificate(issuer=INTERMEDIATE, names=("shop.example.",))),
        F.INVALID_SUBJECT_ALTERNATIVE_NAME,
    ),
    (
        "partial wildcard",
        lambda: full(b.certificate(issuer=INTERMEDIATE, names=("w*.example.com",))),
        F.INVALID_SUBJECT_ALTERNATIVE_NAME,
    ),
    (
        "negative serial",
        lambda: material(certificate=b.edited(LEAF, b.with_serial(b"\x81"))),
        F.NEGATIVE_SERIAL,
    ),
    (
        "duplicate extension",
        lambda: material(
            certificate=b.edited(
                LEAF, b.replacing(bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d0f"))
            )
        ),
        F.MALFORMED_CERTIFICATE,
    ),
    (
        "subject that is not UTF-8",
        lambda: material(
            certificate=b.edited(LEAF, b.replacing(b"\x0c\x10shop", b"\x0c\x10\xff\xfe\xfd\xfc"))
        ),
        F.MALFORMED_CERTIFICATE,
    ),
    (
        "address of five octets",
        lambda: material(
            certificate=b.edited(
                b.certificate(names=("192.0.2.1", "xxx")),
                b.replacing(
                    b"\x87\x04\xc0\x00\x02\x01\x82\x03xxx", b"\x87\x09\xc0\x00\x02\x01\x82\x03xxx"
                ),
            )
        ),
        F.MALFORMED_CERTIFICATE,
    ),
]

LENIENT: list[Row] = [
    ("SHA-1", lambda: rsa_edited(SHA256_RSA, SHA1_RSA, hashes.SHA1()), F.WEAK_SIGNATURE),  # noqa: S303 -- weak on purpose
    (
        "no alternative name",
        lambda: full(b.certificate(issuer=INTERMEDIATE, names=())),
        F.NO_SUBJECT_ALTERNATIVE_NAME,
    ),
    (
        "client certificate",
        lambda: full(
            b.certificate(issuer=INTERMEDIATE, extended=[ExtendedKeyUsageOID.CLIENT_AUTH])
        ),
        F.NO_SERVER_AUTH,
    ),
    (
        "any extended usage",
        lambda: full(
            b.certificate(
                issuer=INTERMEDIATE, extended=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
            )
        ),
        F.NO_SERVER_AUTH,
    ),
    (
        "authority as leaf",
        lambda: with_issuer(
            b.authority("CA", issuer=ROOT),
            constraints=x509.BasicConstraints(ca=True, path_length=None),
        ),
        F.LEAF_IS_AUTHORITY,
    ),
    (
        "version 1",
        lambda: material(certificate=b.edited(LEAF, b.as_version1)),
        F.VERSION1_CERTIFICATE,
    ),
    (
        "serial zero",
        lambda: material(certificate=b.edited(LEAF, b.with_serial(b"\x00"))),
        F.INVALID_SERIAL,
    ),
    (
        "serial of 21 octets",
        lambda: material(certificate=b.edited(LEAF, b.with_serial(b"\x01" * 21))),
        F.INVALID_SERIAL,
    ),
]


def rows(table: list[Row]) -> dict[str, object]:
    return {"argvalues": [row[1:] for row in table], "ids": [row[0] for row in table]}


@pytest.mark.parametrize(("make", "fault"), **rows(FORMATS))
def test_a_wrong_format_is_named(make: Callable[[], UploadMaterial], fault: UploadFault) -> None:
    """Each format has its own fault, and leniency changes nothing about it."""
    for policy in ("Strict", "Lenient"):
        assert refusal(make(), policy=policy).fault is fault


@pytest.mark.parametrize(("make", "fault"), **rows(CONTENTS))
def test_what_would_break_is_refused(
    make: Callable[[], UploadMaterial], fault: UploadFault
) -> None:
    """What breaks the pair, the chain or the parser is refused under either policy."""
    given = make()
    for policy in ("Strict", "Lenient"):
        assert refusal(given, policy=policy).fault is fault


@pytest.mark.parametrize(("make", "fault"), **rows(LENIENT))
def test_what_good_practice_refuses_is_a_warning_if_lenient(
    make: Callable[[], UploadMaterial], fault: UploadFault
) -> None:
    given = make()
    assert refusal(given).fault is fault
    accepted = run(given, policy="Lenient")
    assert accepted.warnings


def test_a_good_chain_is_accepted_without_a_warning() -> None:
    accepted = run(full(trust_bundle=ROOT.pem), "shop.example.com")
    assert accepted.warnings == ()
    assert not accepted.not_yet_valid
    assert accepted.pair.chain == (LEAF.certificate, INTERMEDIATE.certificate)
    assert accepted.pair.ca is None


def test_what_is_accepted_is_normalised() -> None:
    """BOM, CRLF, text around blocks and SEC1 go in; LF and PKCS#8 come out."""
    rough = b"\xef\xbb\xbfBag Attributes\r\n" + LEAF.pem.replace(b"\n", b"\r\n") + b"\r\n# end"
    given = material(certificate=rough, private_key=b.traditional(LEAF.key))
    stored = run(given).pair
    assert stored.tls_crt == LEAF.pem
    assert stored.private_key_pem == LEAF.key_pem
    assert pair.parse_pair(stored.tls_crt, stored.private_key_pem) == stored


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda pem: pem.replace(b"\n", b" "), id="one line"),
        pytest.param(lambda pem: pem.replace(b"\n", b"\n    "), id="indented"),
        pytest.param(lambda pem: pem.replace(b"\n", b"  \n"), id="trailing blanks"),
        pytest.param(lambda pem: pem.rstrip(), id="no newline at the end"),
    ],
)
def test_sloppy_pem_is_accepted(spoil: Callable[[bytes], bytes]) -> None:
    given = material(certificate=spoil(LEAF.pem), private_key=spoil(LEAF.key_pem))
    assert run(given).pair.tls_crt == LEAF.pem


def test_a_parameters_block_or_certificate_beside_the_key_is_accepted() -> None:
    parameters = b.pem_block("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))
    given = material(private_key=parameters + LEAF.pem + b.traditional(LEAF.key))
    assert run(given).pair.private_key_pem == LEAF.key_pem


WARNINGS: list[tuple[str, Callable[[], UploadMaterial], str]] = [
    ("leaf last", lambda: material(certificate=INTERMEDIATE.pem + LEAF.pem), "moved to the front"),
    ("duplicate", lambda: full(LEAF, INTERMEDIATE, INTERMEDIATE), "Repeated"),
    ("root given", lambda: full(LEAF, INTERMEDIATE, ROOT), "root was dropped"),
    ("out of order", lambda: full(LEAF, ROOT, INTERMEDIATE), "out of order"),
    ("extras", lambda: full(LEAF, INTERMEDIATE, b.authority("Stranger")), "do not belong"),
    ("no chain", material, "No intermediate"),
    (
        "intermediate ends first",
        lambda: with_issuer(b.authority("Short", issuer=ROOT, days=30)),
        "before the leaf",
    ),
    (
        "Ed25519",
        lambda: material(b.certificate(key=ed25519.Ed25519PrivateKey.generate())),
        "Ed25519",
    ),
    (
        "common name elsewhere",
        lambda: full(b.certificate(issuer=INTERMEDIATE, names=("other.example",))),
        "common name",
    ),
    (
        "no extended usage",
        lambda: full(b.certificate(issuer=INTERMEDIATE, extended=None)),
        "no extended key usage",
    ),
    (
        "no digital signature",
        lambda: full(b.certificate(issuer=INTERMEDIATE, key_usage=b.usage("key_agreement"))),
        "digital signature",
    ),
    (
        "cert sign on a leaf",
        lambda: full(
            b.certificate(
                issuer=INTERMEDIATE, key_usage=b.usage("digital_signature", "key_cert_sign")
            )
        ),
        "cert sign",
    ),
    (
        "self-signed authority",
        lambda: material(
            b.certificate(constraints=x509.BasicConstraints(ca=True, path_length=None))
        ),
        "CA:TRUE",
    ),
    ("825 days", lambda: full(b.certificate(issuer=INTERMEDIATE, days=900)), "825"),
    ("public maximum", lambda: full(b.certificate(issuer=INTERMEDIATE, days=250)), "200"),
    (
        "must-staple",
        lambda: full(extra_leaf(x509.TLSFeature([x509.TLSFeatureType.status_request]))),
        "Must-staple",
    ),
    (
        "address as DNS name",
        lambda: full(
            b.certificate(
                issuer=INTERMEDIATE,
                alternative=x509.SubjectAlternativeName(
                    [x509.DNSName("shop.example.com"), x509.DNSName("192.0.2.1")]
                ),
            )
        ),
        "written as a DNS name",
    ),
    (
        "password without need",
        lambda: full(password=b"secret"),
        "not encrypted",
    ),
]


@pytest.mark.parametrize(
    ("make", "text"), [row[1:] for row in WARNINGS], ids=[row[0] for row in WARNINGS]
)
def test_what_is_merely_unwise_is_a_warning(make: Callable[[], UploadMaterial], text: str) -> None:
    accepted = run(make())
    assert any(text in warning for warning in accepted.warnings), accepted.warnings
    assert accepted.pair.chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)


def test_the_path_length_is_counted() -> None:
    outer = b.authority("Outer", issuer=ROOT, path_length=0)
    inner = b.authority("Inner", issuer=outer)
    assert refusal(full(b.certificate(issuer=inner), inner, outer)).fault is F.PATH_LENGTH_EXCEEDED


def test_a_version_1_intermediate_is_refused() -> None:
    issuer = b.authority("Old", issuer=ROOT)
    leaf = b.certificate(issuer=issuer)
    old = b.edited(issuer, b.as_version1, signer=ROOT.key)
    assert refusal(material(leaf, certificate=leaf.pem + old)).fault is F.ISSUER_VERSION1


def test_a_root_that_is_given_becomes_ca_and_a_self_signed_leaf_is_its_own() -> None:
    assert run(full(LEAF, INTERMEDIATE, ROOT)).pair.ca == ROOT.certificate
    own = b.certificate()
    assert run(material(own)).pair.ca == own.certificate


@pytest.mark.parametrize(
    ("required", "covered"),
    [
        ("a.example.com", True),
        ("*.example.com", True),
        ("example.com", False),
        ("b.a.example.com", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8::1", True),
    ],
)
def test_required_names_are_covered_label_by_label(required: str, covered: bool) -> None:
    leaf = b.certificate(
        "*.example.com",
        issuer=INTERMEDIATE,
        names=("*.example.com", "192.0.2.1", "2001:db8:0:0::1"),
    )
    if covered:
        assert run(full(leaf), required)
    else:
        error = refusal(full(leaf), required, policy="Lenient")
        assert error.fault is F.NAMES_NOT_COVERED
        assert required in error.message


def test_an_address_is_never_covered_by_a_dns_name() -> None:
    alternative = x509.SubjectAlternativeName([x509.DNSName("192.0.2.1")])
    leaf = b.certificate(issuer=INTERMEDIATE, alternative=alternative)
    assert refusal(full(leaf), "192.0.2.1").fault is F.NAMES_NOT_COVERED


@pytest.mark.parametrize(("minutes", "staged"), [(4, False), (6, True)])
def test_a_pair_more_than_five_minutes_early_is_staged(minutes: int, staged: bool) -> None:
    leaf = b.certificate(issuer=INTERMEDIATE, not_before=b.NOW + dt.timedelta(minutes=minutes))
    assert run(full(leaf)).not_yet_valid is staged


def test_a_certificate_is_expired_at_its_very_end() -> None:
    end = LEAF.certificate.not_valid_after_utc
    assert run(full(), now=end - dt.timedelta(seconds=1))
    assert refusal(full(), now=end).fault is F.EXPIRED


@pytest.mark.parametrize("write", [b.pkcs8, b.traditional], ids=["PKCS8", "traditional"])
@pytest.mark.parametrize("password", [b"secret", b"secret\n"], ids=["exact", "with a newline"])
def test_an_encrypted_key_is_opened_and_stored_plain(
    write: Callable[..., bytes], password: bytes
) -> None:
    accepted = run(full(private_key=write(LEAF.key, b"secret"), password=password))
    assert accepted.pair.private_key_pem == LEAF.key_pem
    assert bool(accepted.warnings) is password.endswith(b"\n")


def test_a_wrong_password_is_named_even_if_the_padding_comes_out_right() -> None:
    """One in 256 does: five hundred tries meet it."""
    encrypted = b.traditional(LEAF.key, b"secret")
    for attempt in range(500):
        given = full(private_key=encrypted, password=b"wrong%d" % attempt)
        assert refusal(given).fault is F.WRONG_PASSWORD


@pytest.mark.parametrize("password", [b"opensesame", b"opensesame\n", None])
def test_a_pkcs12_is_opened(password: bytes | None) -> None:
    held = p12(password=b"opensesame" if password else None)
    accepted = run(UploadMaterial(pkcs12=held, password=password), "shop.example.com")
    assert accepted.pair.chain == (LEAF.certificate, INTERMEDIATE.certificate)
    assert accepted.pair.private_key_pem == LEAF.key_pem


def test_a_pkcs12_with_endless_iterations_is_refused_before_it_is_opened() -> None:
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2_000)
        .build(b"opensesame")
    )
    held = pkcs12.serialize_key_and_certificates(
        b"x",
        LEAF.key,
        LEAF.certificate,
        None,
        encryption,  # type: ignore[arg-type]
    )
    costly = held.replace(b"\x02\x02\x07\xd0", b"\x02\x02\x7f\xff")
    assert costly != held
    # Two octets cannot ask for enough: the limit itself is tested on a MAC of four octets.
    mac = b.tlv(0x30, b.tlv(0x30, b"") + b.tlv(0x04, b"salt") + b.tlv(0x02, b"\x7f\xff\xff\xff"))
    assert (
        refusal(UploadMaterial(pkcs12=b.tlv(0x30, mac), password=b"x")).fault
        is F.EXCESSIVE_KEY_DERIVATION
    )


def test_scrypt_costs_are_bounded_too() -> None:
    costs = b.tlv(0x04, b"salt") + b.tlv(0x02, b"\x40\x00\x00") + b.tlv(0x02, b"\x08")
    costs = b.tlv(0x30, costs + b.tlv(0x02, b"\x01"))
    key = b.pem_block("ENCRYPTED PRIVATE KEY", b.tlv(0x30, costs))
    given = material(private_key=key, password=b"x")
    assert refusal(given).fault is F.EXCESSIVE_KEY_DERIVATION


def test_the_command_that_removes_a_passphrase_is_in_the_message() -> None:
    error = refusal(full(private_key=b.pkcs8(LEAF.key, b"secret")))
    assert "openssl pkey -in" in error.message
    assert error.reason == "PassphraseProtected"


def test_the_field_at_fault_is_named() -> None:
    error = refusal(material(chain=b"prose"))
    assert error.message.startswith("In the chain field: ")


@pytest.mark.parametrize("fault", list(UploadFault))
def test_every_fault_has_a_sentence_and_a_remedy(fault: UploadFault) -> None:
    explanation = REMEDY[fault]
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", fault.value)
    assert explanation.sentence.endswith(".")
    assert explanation.remedy.endswith(".")


def test_no_key_appears_in_a_representation() -> None:
    accepted = run(full())
    secret = LEAF.key_pem.splitlines()[1].decode()
    misplaced = UploadMaterial(
        certificate=LEAF.key_pem, chain=LEAF.key_pem, trust_bundle=LEAF.key_pem
    )
    shown = repr(material()) + repr(misplaced) + repr(accepted) + str(accepted)
    assert secret not in shown
    assert "PRIVATE KEY" not in shown


def test_a_canary_key_never_appears_in_a_refusal() -> None:
    """Every refused row is tried with its key: no message repeats a line of the material."""
    for _, make, _ in FORMATS + CONTENTS:
        given = make()
        error = refusal(given)
        for line in (given.private_key or b"").splitlines():
            text = line.decode("latin-1")
            if len(text) >= 16 and "-----" not in text:
                assert text not in f"{error!r} {error} {error.message}"
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_the_key_of_an_accepted_pair_is_that_of_its_leaf() -> None:
    accepted = run(full())
    assert keys.same_key(accepted.pair.private_key, accepted.pair.leaf)
