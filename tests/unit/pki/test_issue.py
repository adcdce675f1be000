"""Certificates made here follow RFC 5280, and verifiers accept them."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from certfront.model.certificate import Subject
from certfront.model.keys import KeyAlgorithm, KeyEncoding
from certfront.pki import certificates, keys
from certfront.pki.issue import (
    Authority,
    AuthorityFault,
    InvalidAuthority,
    InvalidRequest,
    csr,
    load_authority,
    self_signed,
    sign,
)
from certfront.pki.pair import KeyPair, parse_pair
from certfront.pki.request import Request
from certfront.pki.upload import UploadMaterial, check
from tests.unit.pki import builders as b

NOW = b.NOW
HOUR = dt.timedelta(hours=1)
SECOND = dt.timedelta(seconds=1)


def make(now: dt.datetime = NOW, object_name: str = "shop", **fields: Any) -> KeyPair:
    request = Request(**{"dns_names": ("shop.example.com",), **fields})
    return self_signed(request, b.ec_key(), now=now, object_name=object_name)


def root(**fields: Any) -> KeyPair:
    wanted = {"common_name": "Example CA", "dns_names": (), "is_ca": True, **fields}
    return make(**{"duration": dt.timedelta(days=3650), **wanted})


def authority(pair: KeyPair | None = None) -> Authority:
    pair = pair or root()
    return load_authority(pair.tls_crt, pair.private_key_pem, pair.ca_crt)


def signed(by: Authority, now: dt.datetime = NOW, **fields: Any) -> KeyPair:
    request = Request(**{"dns_names": ("shop.example.com",), **fields})
    return sign(request, b.ec_key(), authority=by, now=now)


def value(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


def common_names(certificate: x509.Certificate) -> list[str]:
    return [str(one.value) for one in certificate.subject]


@pytest.mark.parametrize(
    ("key", "encipherment"),
    [(b.ec_key(), False), (b.rsa_key(), True), (keys.generate(KeyAlgorithm.ED25519), False)],
    ids=["ECDSA", "RSA", "Ed25519"],
)
def test_a_leaf_has_the_extensions_of_a_server(key: keys.PrivateKey, encipherment: bool) -> None:
    pair = self_signed(Request(dns_names=("a.test",)), key, now=NOW, object_name="a")
    leaf = pair.leaf
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert (usage.critical, usage.value.digital_signature) == (True, True)
    assert usage.value.key_encipherment is encipherment
    assert list(value(leaf, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert leaf.version is x509.Version.v3
    assert isinstance(leaf.signature_hash_algorithm, hashes.SHA256 | None)
    identifier = value(leaf, x509.AuthorityKeyIdentifier).key_identifier
    assert identifier == value(leaf, x509.SubjectKeyIdentifier).digest
    assert pair.ca == leaf
    assert parse_pair(pair.tls_crt, pair.private_key_pem) == pair


def test_serial_numbers_are_positive_random_and_at_most_20_octets() -> None:
    serials = {make().leaf.serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(1 << 64 < one < 1 << 159 for one in serials)


@pytest.mark.parametrize(
    ("duration", "before"),
    [
        (dt.timedelta(days=90), HOUR),
        (dt.timedelta(hours=10), HOUR),
        (dt.timedelta(hours=1), dt.timedelta(minutes=6)),
        (dt.timedelta(seconds=60), dt.timedelta(seconds=6)),
    ],
)
def test_the_lifetime_counts_from_the_moment_of_issue(
    duration: dt.timedelta, before: dt.timedelta
) -> None:
    leaf = make(duration=duration, now=NOW + dt.timedelta(microseconds=999)).leaf
    assert leaf.not_valid_after_utc == NOW + duration
    assert leaf.not_valid_before_utc == NOW - before


@pytest.mark.parametrize("year", [2049, 2050, 2051, 9998])
def test_dates_from_2050_are_encoded_as_clients_expect(year: int) -> None:
    """RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050."""
    now = dt.datetime(year, 6, 1, tzinfo=dt.UTC)
    leaf = make(now=now, duration=dt.timedelta(days=3650)).leaf
    assert leaf.not_valid_before_utc == now - HOUR
    end = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    assert leaf.not_valid_after_utc == (end if year == 9998 else now + dt.timedelta(days=3650))
    encoded = now.strftime("%Y0531230000Z" if year >= 2050 else "%y0531230000Z").encode()
    tag = b"\x18\x0f" if year >= 2050 else b"\x17\x0d"
    assert tag + encoded in leaf.tbs_certificate_bytes


@pytest.mark.parametrize(
    ("fields", "object_name", "common_name"),
    [
        ({"dns_names": ("B.example", "a.example")}, "shop", "b.example"),
        ({"dns_names": ("a" * 63 + ".example", "b.example")}, "shop", "b.example"),
        ({"dns_names": ("a" * 63 + ".example",)}, "shop", "shop"),
        ({"dns_names": ("a" * 63 + ".example",)}, "s" * 70, "s" * 64),
        ({"dns_names": (), "ip_addresses": ("2001:DB8::1",)}, "shop", "2001:db8::1"),
        ({"common_name": "c.example"}, "shop", "c.example"),
        ({"common_name": "c" * 63 + ".example"}, "shop", "shop.example.com"),
    ],
)
def test_a_self_signed_certificate_has_a_common_name(
    fields: dict[str, Any], object_name: str, common_name: str
) -> None:
    assert common_names(make(object_name=object_name, **fields).leaf) == [common_name]


def test_the_common_name_is_among_the_alternative_names() -> None:
    names = value(make(common_name="C.example").leaf, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["shop.example.com", "c.example"]


def test_names_are_normalised_and_folded() -> None:
    leaf = make(
        dns_names=("A.example", "a.example.", "bücher.example"),
        ip_addresses=("2001:db8:0::1", "2001:DB8::1"),
    ).leaf
    assert certificates.san_names(leaf) == (
        ("a.example", "xn--bcher-kva.example"),
        ("2001:db8::1",),
    )


def test_a_subject_is_written_as_in_cert_manager() -> None:
    subject = Subject(
        organizations=("Example",),
        countries=("CH",),
        organizational_units=("Web",),
        localities=("Bern",),
        provinces=("BE",),
        street_addresses=("Gasse 1",),
        postal_codes=("3000",),
        serial_number="42",
    )
    leaf = make(subject=subject, common_name="a.example").leaf
    text = leaf.subject.rfc4514_string()
    for part in (
        "O=Example",
        "C=CH",
        "OU=Web",
        "L=Bern",
        "ST=BE",
        "STREET=Gasse 1",
        "CN=a.example",
    ):
        assert part in text
    assert {"3000", "42"} <= set(common_names(leaf))


@pytest.mark.parametrize(
    "fields",
    [
        {"dns_names": ("a b",)},
        {"dns_names": ("192.0.2.1",)},
        {"ip_addresses": ("a.example",)},
        {"dns_names": ()},
        {"subject": Subject(countries=("Switzerland",))},
        {"subject": Subject(organizations=("",))},
        {"usages": ("server auth", "make coffee")},
        {"duration": dt.timedelta(0)},
    ],
    ids=["name", "address as name", "name as address", "none", "country", "empty", "usage", "zero"],
)
def test_a_request_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        make(**fields)


@pytest.mark.parametrize(
    ("usages", "present", "absent", "extended"),
    [
        (
            ("digital signature", "key encipherment"),
            {"digital_signature"},
            {"key_encipherment"},
            [ExtendedKeyUsageOID.SERVER_AUTH],
        ),
        (
            ("server auth", "client auth"),
            {"digital_signature"},
            {"key_encipherment"},
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
        ),
        (
            ("cert sign",),
            {"digital_signature"},
            {"key_cert_sign"},
            [ExtendedKeyUsageOID.SERVER_AUTH],
        ),
        (
            ("encipher only", "signing"),
            {"digital_signature"},
            set(),
            [ExtendedKeyUsageOID.SERVER_AUTH],
        ),
        (("client auth",), {"digital_signature"}, set(), [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_usages_are_those_asked_for_within_what_the_key_can_do(
    usages: tuple[str, ...], present: set[str], absent: set[str], extended: list[Any]
) -> None:
    leaf = make(usages=usages).leaf
    usage = value(leaf, x509.KeyUsage)
    assert all(getattr(usage, field) for field in present)
    assert not any(getattr(usage, field) for field in absent)
    assert list(value(leaf, x509.ExtendedKeyUsage)) == extended


def test_a_root_may_sign_and_has_a_path_length() -> None:
    ca = root().leaf
    usage = value(ca, x509.KeyUsage)
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert value(ca, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=1)
    assert not any(isinstance(one.value, x509.AuthorityKeyIdentifier) for one in ca.extensions)
    assert not any(isinstance(one.value, x509.ExtendedKeyUsage) for one in ca.extensions)


def test_a_signed_leaf_serves_no_root_and_names_it_as_ca() -> None:
    by = authority()
    pair = signed(by)
    assert pair.chain == (pair.leaf,)
    assert pair.ca == by.certificate
    assert certificates.is_issued_by(pair.leaf, by.certificate)
    parsed = parse_pair(pair.tls_crt, pair.private_key_pem, pair.ca_crt)
    assert parsed == pair


def test_a_signed_leaf_without_a_common_name_has_critical_names() -> None:
    """RFC 5280 section 4.2.1.6: the names are critical if the subject is empty."""
    for fields, critical in (({}, True), ({"common_name": "a.example"}, False)):
        leaf = signed(authority(), **fields).leaf
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.critical is critical
        assert bool(common_names(leaf)) is not critical


def test_a_leaf_never_outlives_its_authority() -> None:
    by = authority(root(duration=dt.timedelta(days=10)))
    leaf = signed(by, duration=dt.timedelta(days=90)).leaf
    assert leaf.not_valid_after_utc == by.certificate.not_valid_after_utc
    assert leaf.not_valid_before_utc == by.certificate.not_valid_before_utc
    later = signed(by, now=NOW + 5 * b.DAY, duration=dt.timedelta(days=1)).leaf
    assert later.not_valid_before_utc == NOW + 5 * b.DAY - HOUR


def test_a_leaf_never_outlives_an_intermediate_above_its_authority() -> None:
    top = authority()
    middle = signed(top, common_name="Middle", dns_names=(), is_ca=True, duration=3 * b.DAY)
    by = authority(middle)
    leaf = signed(by, duration=dt.timedelta(days=90)).leaf
    assert leaf.not_valid_after_utc == middle.leaf.not_valid_after_utc


@pytest.mark.parametrize(
    ("moment", "fault"),
    [
        (NOW - 2 * HOUR, AuthorityFault.NOT_YET_VALID),
        (NOW + 11 * b.DAY, AuthorityFault.EXPIRED),
        (NOW + 10 * b.DAY, AuthorityFault.EXPIRED),
    ],
)
def test_an_authority_signs_only_while_it_is_valid(
    moment: dt.datetime, fault: AuthorityFault
) -> None:
    by = authority(root(duration=dt.timedelta(days=10)))
    with pytest.raises(InvalidAuthority) as caught:
        signed(by, now=moment)
    assert caught.value.fault is fault
    assert caught.value.reason == fault.value


def test_an_intermediate_authority_is_served_after_the_leaf() -> None:
    top = authority()
    middle = signed(top, common_name="Middle", dns_names=(), is_ca=True)
    pair = signed(authority(middle))
    assert pair.chain[1:] == (middle.leaf,)
    assert pair.ca == top.certificate
    assert value(middle.leaf, x509.BasicConstraints).path_length == 0
    with pytest.raises(InvalidAuthority) as caught:
        signed(authority(middle), common_name="Deeper", dns_names=(), is_ca=True)
    assert caught.value.fault is AuthorityFault.PATH_LENGTH


@pytest.mark.parametrize(
    ("material", "fault"),
    [
        (lambda: make(), AuthorityFault.NOT_CA),
        (
            lambda: b.authority(key_usage=b.usage("digital_signature")),
            AuthorityFault.LACKS_CERT_SIGN,
        ),
        (lambda: b.authority(""), AuthorityFault.NOT_CA),
    ],
    ids=["leaf", "usage", "empty subject"],
)
def test_what_is_no_authority_is_refused(material: Any, fault: AuthorityFault) -> None:
    given = material()
    crt, key = (
        (given.tls_crt, given.private_key_pem)
        if isinstance(given, KeyPair)
        else (given.pem, given.key_pem)
    )
    with pytest.raises(InvalidAuthority) as caught:
        load_authority(crt, key)
    assert caught.value.fault is fault


def test_an_unreadable_authority_and_a_foreign_root_are_refused() -> None:
    with pytest.raises(InvalidAuthority) as caught:
        load_authority(b"", b"")
    assert caught.value.fault is AuthorityFault.UNREADABLE
    middle = b.authority("Middle", issuer=b.authority())
    with pytest.raises(InvalidAuthority) as caught:
        load_authority(middle.pem, middle.key_pem, b.authority("Other").pem)
    assert caught.value.fault is AuthorityFault.WRONG_ROOT


def test_an_authority_is_not_represented_with_its_key() -> None:
    assert "private_key" not in repr(authority())


def test_the_verifier_of_cryptography_accepts_what_is_made() -> None:
    top = authority()
    middle = signed(top, common_name="Middle", dns_names=(), is_ca=True)
    for by, store in ((top, top), (authority(middle), top)):
        pair = signed(by, ip_addresses=("192.0.2.1",))
        builder = (
            verification.PolicyBuilder().time(NOW).store(verification.Store([store.certificate]))
        )
        for subject in (
            x509.DNSName("shop.example.com"),
            x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        ):
            path = builder.build_server_verifier(subject).verify(pair.leaf, list(pair.chain[1:]))
            assert path[0] == pair.leaf
    own = make()
    builder = verification.PolicyBuilder().time(NOW).store(verification.Store([own.leaf]))
    assert builder.build_server_verifier(x509.DNSName("shop.example.com")).verify(own.leaf, [])


@pytest.mark.parametrize("key", [b.ec_key(), b.rsa_key()], ids=["ECDSA", "RSA"])
def test_the_upload_policy_accepts_what_is_made(key: keys.PrivateKey) -> None:
    request = Request(dns_names=("shop.example.com",), common_name="shop.example.com")
    for pair in (
        self_signed(request, key, now=NOW, object_name="x"),
        sign(request, key, authority=authority(), now=NOW, encoding=KeyEncoding.PKCS1),
    ):
        given = UploadMaterial(
            certificate=pair.tls_crt,
            private_key=pair.private_key_pem,
            trust_bundle=pair.ca_crt,
        )
        accepted = check(given, names_required=("shop.example.com",), policy="Strict", now=NOW)
        assert accepted.warnings == ()


@pytest.mark.parametrize(
    ("names", "common_name", "expected"),
    [
        (("a.example", "b.example"), "b.example", ["b.example"]),
        (("a.example",), "c.example", []),
        (("a.example",), None, []),
        (("a" * 63 + ".example",), "a" * 63 + ".example", []),
        (("192.0.2.1",), None, []),
    ],
)
@pytest.mark.parametrize(
    "key", [b.ec_key(), keys.generate(KeyAlgorithm.ED25519)], ids=["ECDSA", "Ed25519"]
)
def test_a_request_for_acme_has_its_names(
    names: tuple[str, ...], common_name: str | None, expected: list[str], key: keys.PrivateKey
) -> None:
    request = x509.load_der_x509_csr(csr(names, common_name, key))
    assert request.is_signature_valid
    assert [one.value for one in request.subject] == expected
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    listed = [
        *found.get_values_for_type(x509.DNSName),
        *(str(one) for one in found.get_values_for_type(x509.IPAddress)),
    ]
    assert listed == list(names)


def test_a_request_without_names_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        csr((), None, b.ec_key())
