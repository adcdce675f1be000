"""Certificates, listeners and wishes for the tests of type OVH."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certfront.loadbalancers.protocol import (
    Binding,
    CertificateSource,
    Listener,
    ManagedCertificate,
    Wish,
)
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki import certificates
from certfront.pki.pair import KeyPair, parse_pair

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAMESPACE = "shop"


@lru_cache(maxsize=256)
def pair(*names: str, version: int = 0) -> KeyPair:
    """A pair for the names; another `version` is another key."""
    del version
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return parse_pair(
        leaf.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def frontend(name: str, namespace: str = NAMESPACE) -> ObjectName:
    """The name of a LoadBalancerFrontend."""
    return ObjectName(namespace, name)


def source(name: str, namespace: str = NAMESPACE) -> CertificateSource:
    """A Certificate."""
    return CertificateSource("Certificate", namespace, name)


def binding(name: str, *hostnames: str, version: int = 0, namespace: str = NAMESPACE) -> Binding:
    """A certificate with its material, for hostnames that default to `<name>.example.org`."""
    names = hostnames or (f"{name}.example.org",)
    material = pair(*names, version=version)
    return Binding(
        source=source(name, namespace),
        hostnames=names,
        key_type=KeyAlgorithm.ECDSA,
        fingerprint=certificates.fingerprint(material.leaf),
        not_after=material.leaf.not_valid_after_utc,
        pair=material,
    )


def managed(name: str, *hostnames: str) -> Binding:
    """A certificate that OVH is to issue."""
    names = hostnames or (f"{name}.example.org",)
    return Binding(
        source=source(name),
        hostnames=names,
        key_type=KeyAlgorithm.RSA,
        fingerprint="",
        not_after=None,
        pair=None,
        managed=ManagedCertificate(kind="Public", names=names),
    )


def without_material(one: Binding) -> Binding:
    """The same after its Certificate was deleted: known by its fingerprint only."""
    return replace(one, pair=None)


def listener(name: str, *bindings: Binding, **changes: Any) -> Listener:
    """A frontend on port 443 that leads to farm `web`."""
    found = Listener(
        frontend=frontend(name, changes.pop("namespace", NAMESPACE)),
        created=changes.pop("created", NOW),
        hostnames=tuple(name for one in bindings for name in one.hostnames),
        port=changes.pop("port", 443),
        bindings=bindings,
        farm_name=changes.pop("farm_name", "" if "redirect_location" in changes else "web"),
    )
    return replace(found, **changes)


def wish(*listeners: Listener, now: datetime = NOW, **changes: Any) -> Wish:
    """What these listeners want together."""
    return Wish(listeners=tuple(listeners), now=now, **changes)


def names(*found: str) -> frozenset[ObjectName]:
    """Names of frontends."""
    return frozenset(frontend(one) for one in found)


def keys_of(operations: Iterable[Any]) -> list[str]:
    """The keys of operations, in their order."""
    return [operation.key for operation in operations]
