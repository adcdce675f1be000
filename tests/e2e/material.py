"""Certificates, good and bad, valid around now, for tests that hand them to the operator."""

import datetime as dt
from typing import Any

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.unit.pki.builders import DAY, Issued, authority, certificate

__all__ = ["DAY", "Issued", "authority", "ca", "chain", "leaf", "now", "pkcs12_of"]


def now() -> dt.datetime:
    """The moment, in whole seconds."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def ca(name: str = "Test Root", *, issuer: Issued | None = None) -> Issued:
    """An authority that is valid now."""
    return authority(name, issuer=issuer, not_before=now() - DAY)


def leaf(host: str, *, issuer: Issued | None = None, days: int = 90, **spoiled: Any) -> Issued:
    """A server certificate for `host` that is valid now, unless spoiled."""
    arguments: dict[str, Any] = {"not_before": now() - DAY, "names": [host], **spoiled}
    return certificate(host, issuer=issuer, days=days, **arguments)


def chain(*issued: Issued) -> bytes:
    """Certificates in one PEM text, in this order."""
    return b"".join(each.pem for each in issued)


def pkcs12_of(issued: Issued, password: bytes, *others: Issued) -> bytes:
    """A PKCS#12 with the pair and further certificates."""
    return pkcs12.serialize_key_and_certificates(
        b"shop",
        issued.key,
        issued.certificate,
        [each.certificate for each in others],
        BestAvailableEncryption(password),
    )
