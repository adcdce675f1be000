"""Certificates, bindings and the time that the contract tests begin at; the same for every provider.

Keys are RSA, which every provider takes, and come from a small pool: making one is slow. Each version
of a certificate is a certificate of its own, and of two versions in a row each has its own key.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from certfront.loadbalancers.protocol import Binding, CertificateSource
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki import certificates
from certfront.pki.pair import KeyPair, parse_pair
from tests.unit.pki import builders as pki

START = datetime.now(UTC).replace(microsecond=0)
"""When every test begins; botocore signs with the time that it is."""

DOMAIN = "contract.example"
FOREIGN = f"foreign.{DOMAIN}"
"""A hostname whose certificate somebody else brought."""

_POOL = 3


def frontend(name: str) -> ObjectName:
    """The name of a LoadBalancerFrontend."""
    return ObjectName("shop", name)


def source(name: str) -> CertificateSource:
    """A Certificate."""
    return CertificateSource("Certificate", "shop", name)


@functools.cache
def pair(name: str, hostnames: tuple[str, ...], version: int = 1) -> KeyPair:
    """A leaf with one intermediate; a later version is valid from a later day on."""
    issued = pki.certificate(
        hostnames[0],
        key=_key(version % _POOL),
        names=hostnames,
        not_before=START - timedelta(days=30) + version * pki.DAY,
        issuer=_intermediate(),
        # Tells two certificates for the same names apart.
        serial=int.from_bytes(f"{name}/{version}/{len(hostnames)}".encode()[-19:], "big"),
    )
    return parse_pair(issued.pem + _intermediate().pem, issued.key_pem)


def binding(name: str, *hosts: str, version: int = 1, at_hand: bool = True) -> Binding:
    """Certificate `name` for `hosts` (labels below DOMAIN, `name` itself unless given).

    `at_hand` False: its material is gone, and only its fingerprint is known.
    """
    hostnames = tuple(f"{host}.{DOMAIN}" for host in (hosts or (name,)))
    material = pair(name, hostnames, version)
    return Binding(
        source=source(name),
        hostnames=hostnames,
        key_type=KeyAlgorithm.RSA,
        fingerprint=certificates.fingerprint(material.leaf),
        not_after=material.leaf.not_valid_after_utc,
        pair=material if at_hand else None,
    )


def foreign(version: int = 1, host: str = FOREIGN) -> KeyPair:
    """What somebody else has installed."""
    return pair("foreign", (host,), version)


def plain(fingerprint: str) -> str:
    """A fingerprint as 64 lower-case digits."""
    return fingerprint.replace(":", "").lower()


def fingerprint_of_pem(pem: str) -> str:
    """The SHA-256 of the first certificate in a PEM, plain."""
    return _leaf(pem).fingerprint(hashes.SHA256()).hex()


def is_valid_for(pem: str, hostname: str, now: datetime) -> bool:
    """Whether a client that trusts the issuer takes the first certificate of a PEM for a name."""
    leaf = _leaf(pem)
    wildcard = "*." + hostname.partition(".")[2]
    within = leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc
    return within and bool({hostname, wildcard} & _names(pem))


@functools.lru_cache(maxsize=1024)
def _leaf(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pem.encode())[0]


@functools.lru_cache(maxsize=1024)
def _names(pem: str) -> frozenset[str]:
    try:
        found = _leaf(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(found.value.get_values_for_type(x509.DNSName))


@functools.cache
def _key(number: int) -> rsa.RSAPrivateKey:
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def _intermediate() -> pki.Issued:
    # The leaf must not outlive it, and real intermediates are older than what they issue.
    begin = START - timedelta(days=400)
    root = pki.authority(not_before=begin)
    return pki.authority("Contract Intermediate", issuer=root, not_before=begin)
