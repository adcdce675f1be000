"""A certificate with its key, as it is stored in a Secret and handed to a load balancer.

`KeyPair` holds parsed objects only, so whatever is written from it is canonical: several load
balancers are stricter about PEM than the parser is. Users are `issue`, `chain`, `upload`,
`certfront.issuance`, `certfront.loadbalancers`, `certfront.reconcilers` and `certfront.agent`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from cryptography import x509

from certfront.model.keys import KeyEncoding
from certfront.pki import certificates, keys
from certfront.pki.faults import InvalidPair, UnusableMaterial, UploadFault

MAX_CHAIN_LENGTH = 10
"""Certificates of a chain, the leaf and a root included."""


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A chain, leaf first and without the root, the leaf's private key, and the root if known.

    `ca` is known only for private authorities and self-signed certificates (which are their own).
    """

    chain: tuple[x509.Certificate, ...]
    private_key_pem: bytes = field(repr=False)
    ca: x509.Certificate | None = None

    @property
    def leaf(self) -> x509.Certificate:
        """The server certificate."""
        return self.chain[0]

    @cached_property
    def tls_crt(self) -> bytes:
        """The leaf and its intermediates in PEM: LF, one newline at the end."""
        return certificates.to_pem(self.chain)

    @cached_property
    def ca_crt(self) -> bytes | None:
        """The root in PEM, None where it is not ours to name."""
        return None if self.ca is None else certificates.to_pem((self.ca,))

    @property
    def private_key(self) -> keys.PrivateKey:
        """The private key as an object; raises `UnusableMaterial` if the PEM is none."""
        return keys.from_pem(self.private_key_pem)


@lru_cache(maxsize=256)
def parse_pair(tls_crt: bytes, tls_key: bytes, ca_crt: bytes | None = None) -> KeyPair:
    """Read what a Secret of ours holds; raises `InvalidPair`.

    The chain is in order, each certificate signed by the next; the key is that of the first. A
    root at the end of the chain becomes `ca`. Dates are not looked at. The last few hundred pairs
    are remembered, because every pass over a certificate asks for the same one.
    """
    try:
        chain = _chain(tls_crt)
        key = keys.from_pem(tls_key)
        ca = certificates.load_pem(ca_crt)[0] if ca_crt else None
    except UnusableMaterial as error:
        raise InvalidPair(error.fault, error.detail) from None
    if not keys.same_key(key, chain[0]):
        raise InvalidPair(UploadFault.KEY_MISMATCH)
    if not certificates.is_self_signed(chain[-1]):
        return KeyPair(chain=chain, private_key_pem=_normalised(tls_key, key), ca=ca)
    served = chain[:-1] or chain
    return KeyPair(chain=served, private_key_pem=_normalised(tls_key, key), ca=ca or chain[-1])


def bundle_pem(pair: KeyPair) -> bytes:
    """Return one file with key, leaf and chain, and nothing between the blocks.

    HAProxy's runtime API ends a payload at the first blank line, so there is none.
    """
    return keys.to_pem(pair.private_key) + pair.tls_crt


def _chain(tls_crt: bytes) -> tuple[x509.Certificate, ...]:
    chain = certificates.load_pem(tls_crt)
    if len(chain) > MAX_CHAIN_LENGTH:
        raise UnusableMaterial(UploadFault.CHAIN_TOO_LONG)
    for issued, issuer in itertools.pairwise(chain):
        if not certificates.is_issued_by(issued, issuer):
            raise UnusableMaterial(UploadFault.CHAIN_DISCONNECTED)
    return chain


def _normalised(tls_key: bytes, key: keys.PrivateKey) -> bytes:
    """Return the key in canonical PEM, in the encoding that it came in."""
    is_pkcs8 = b"-----BEGIN PRIVATE KEY-----" in tls_key
    return keys.to_pem(key, KeyEncoding.PKCS8 if is_pkcs8 else KeyEncoding.PKCS1)
