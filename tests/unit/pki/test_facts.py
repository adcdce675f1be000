"""The facts of a certificate in the shapes that status publishes."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certfront.pki import facts
from tests.unit.pki import builders as b


def test_the_facts_are_read() -> None:
    issued = b.certificate(
        "Shop.example.com",
        names=("Shop.example.com", "2001:db8:0::1", "192.0.2.1", "a.example"),
        serial=0x0A1B2C,
        not_before=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        not_after=dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
    )
    read = facts.read(issued.certificate, 1234)
    assert read.common_name == "Shop.example.com"
    assert read.subject == read.issuer == "CN=Shop.example.com"
    assert read.domains == ("shop.example.com", "a.example", "2001:db8::1", "192.0.2.1")
    assert read.serial == "0a:1b:2c"
    assert read.size == 1234
    assert read.not_before == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert read.not_after == dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
    assert len(read.fingerprint.split(":")) == 32
    assert read.fingerprint == read.fingerprint.upper()
    assert not read.is_ca


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (b.ec_key(), "ECDSA-P256"),
        (b.ec_key(ec.SECP384R1()), "ECDSA-P384"),
        (b.ec_key(ec.SECP521R1()), "ECDSA-P521"),
        (b.rsa_key(), "RSA-2048"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
    ids=["P256", "P384", "P521", "RSA", "Ed25519"],
)
def test_the_key_algorithm_is_named(key: b.AnyKey, shown: str) -> None:
    assert facts.read(b.certificate(key=key).certificate, 0).key_algorithm == shown


@pytest.mark.parametrize(
    ("serial", "shown"),
    [(0, "00"), (1, "01"), (255, "ff"), (256, "01:00"), (1 << 158, "40" + ":00" * 19)],
)
def test_a_serial_number_is_whole_octets(serial: int, shown: str) -> None:
    assert facts.serial_text(serial) == shown


def test_a_certificate_without_names_has_no_domains() -> None:
    read = facts.read(b.authority().certificate, 0)
    assert read.domains == ()
    assert read.is_ca
