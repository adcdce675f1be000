"""Certificates as Rackspace takes and returns them, reduced to what can be compared.

The API gives back the PEM of certificate and intermediates, trimmed or not, and never the key. What
is compared is the SHA-256 of each DER, so line ends and blank lines do not matter.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from certfront.model.keys import KeyEncoding
from certfront.pki import certificates, keys
from certfront.pki.pair import KeyPair

_LONGEST: Final = 256 * 1024
_BLOCK: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A pair as it is sent: the leaf alone, its intermediates in order, the key in PKCS#1.

    The documentation's examples have PKCS#1; several certificates in `certificate` are refused.
    """

    certificate: str
    private_key: str = field(repr=False)
    intermediates: str


@lru_cache(maxsize=256)
def material_of(pair: KeyPair) -> Material:
    """`pair` as it is sent."""
    return Material(
        certificate=certificates.to_pem(pair.chain[:1]).decode("ascii"),
        private_key=keys.to_pem(pair.private_key, KeyEncoding.PKCS1).decode("ascii"),
        intermediates=certificates.to_pem(pair.chain[1:]).decode("ascii"),
    )


def fingerprints(pem: str) -> tuple[str, ...]:
    """SHA-256 (upper-case hex with colons) of each certificate; empty where the text has none."""
    found = []
    for block in _BLOCK.findall(pem[:_LONGEST]):
        try:
            encoded = binascii.a2b_base64("".join(block.split()), strict_mode=True)
        except binascii.Error:
            return ()
        found.append(hashlib.sha256(encoded).hexdigest().upper())
    return tuple(":".join(text[i : i + 2] for i in range(0, 64, 2)) for text in found)


def fingerprint(pem: str) -> str:
    """That of the first certificate, "" where there is none."""
    return next(iter(fingerprints(pem)), "")


@lru_cache(maxsize=256)
def chain_of(pair: KeyPair) -> tuple[str, ...]:
    """The fingerprints of the intermediates that are sent with the pair."""
    return tuple(certificates.fingerprint(one) for one in pair.chain[1:])
