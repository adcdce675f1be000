"""The model's CA and keys: Ed25519 from numbers, so that the same history makes the same bytes."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from certfront.issuance.acme import resources
from certfront.issuance.acme.resources import Authorization, Challenge, Identifier
from certfront.pki import keys
from tests.model.state import START, Order

_CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Model CA")])


@cache
def key_pem(number: int) -> bytes:
    """The `number`-th key that an operator made."""
    seed = hashlib.sha256(f"key {number}".encode()).digest()
    return keys.to_pem(Ed25519PrivateKey.from_private_bytes(seed))


@cache
def public_key_of_key(pem: bytes) -> bytes:
    """The raw public half of a private key."""
    key = keys.from_pem(pem)
    assert isinstance(key, Ed25519PrivateKey)
    return key.public_key().public_bytes_raw()


@cache
def public_key_of_request(csr: bytes) -> bytes:
    """The raw public key that a request asks a certificate for."""
    key = x509.load_der_x509_csr(csr).public_key()
    assert isinstance(key, Ed25519PublicKey)
    return key.public_bytes_raw()


@cache
def public_key_of_certificate(pem: bytes) -> bytes:
    """The raw public key of the first certificate."""
    key = x509.load_pem_x509_certificate(pem).public_key()
    assert isinstance(key, Ed25519PublicKey)
    return key.public_bytes_raw()


@cache
def serial_of(pem: bytes) -> int:
    """The number of the order that a certificate came from."""
    return x509.load_pem_x509_certificate(pem).serial_number


@cache
def names_of(pem: bytes) -> tuple[str, ...]:
    """The DNS names of the first certificate."""
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return tuple(names.value.get_values_for_type(x509.DNSName))


@cache
def chain(serial: int, names: tuple[str, ...], public_key: bytes) -> bytes:
    """What the CA issues: 90 days from the start, the order's number for a serial."""
    issuer = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
    names_of = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(_CA_NAME)
        .public_key(Ed25519PublicKey.from_public_bytes(public_key))
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=90))
        .add_extension(names_of, critical=True)
        .sign(issuer, None)
    )
    return made.public_bytes(serialization.Encoding.PEM)


def order_url(number: int) -> str:
    """Orders are numbered from 1."""
    return f"https://ca.example/o/{number}"


def number_of(url: str) -> int:
    """The number of the order that an URL belongs to."""
    return int(url.rpartition("/")[2])


def order(number: int, held: Order) -> resources.Order:
    """The order as the CA shows it."""
    return resources.Order(
        url=order_url(number),
        status={"validating": "pending"}.get(held.status, held.status),
        finalize=f"https://ca.example/f/{number}",
        authorizations=(f"https://ca.example/a/{number}",),
        certificate=f"https://ca.example/c/{number}" if held.status == "valid" else None,
    )


def authorization(number: int, held: Order) -> Authorization:
    """The one authorization of an order."""
    status = {"pending": "pending", "validating": "pending", "invalid": "invalid"}.get(
        held.status, "valid"
    )
    challenge = Challenge(
        type="http-01",
        url=f"https://ca.example/h/{number}",
        status={"validating": "processing"}.get(held.status, status),
        token=f"token{number}",
    )
    return Authorization(
        url=f"https://ca.example/a/{number}",
        identifier=Identifier(type="dns", value=held.names[0]),
        status=status,
        challenges=(challenge,),
    )
