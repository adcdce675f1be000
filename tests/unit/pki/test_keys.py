"""Keys are made in every size, written in every encoding, and proven against certificates."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certfront.model.keys import KeyAlgorithm, KeyEncoding
from certfront.pki import keys
from certfront.pki.faults import UnusableMaterial, UploadFault
from tests.unit.pki import builders as b

SIZES = [
    (KeyAlgorithm.ECDSA, None, 256),
    (KeyAlgorithm.ECDSA, 256, 256),
    (KeyAlgorithm.ECDSA, 384, 384),
    (KeyAlgorithm.ECDSA, 521, 521),
    (KeyAlgorithm.RSA, None, 2048),
    (KeyAlgorithm.RSA, 2056, 2056),
    (KeyAlgorithm.ED25519, None, None),
]


@pytest.mark.parametrize(("algorithm", "asked", "size"), SIZES)
@pytest.mark.parametrize("encoding", list(KeyEncoding))
def test_a_key_survives_being_written(
    algorithm: KeyAlgorithm, asked: int | None, size: int | None, encoding: KeyEncoding
) -> None:
    key = keys.generate(algorithm, asked)
    written = keys.to_pem(key, encoding)
    read = keys.from_pem(written)
    assert keys.algorithm_of(read) is algorithm
    assert keys.size_of(read) == size
    assert keys.public_key_der(read) == keys.public_key_der(key)
    assert written.endswith(b"-----\n")
    assert b"\n\n" not in written


@pytest.mark.parametrize(
    ("algorithm", "encoding", "label"),
    [
        (KeyAlgorithm.ECDSA, KeyEncoding.PKCS8, b"PRIVATE KEY"),
        (KeyAlgorithm.ECDSA, KeyEncoding.PKCS1, b"EC PRIVATE KEY"),
        (KeyAlgorithm.RSA, KeyEncoding.PKCS1, b"RSA PRIVATE KEY"),
        (KeyAlgorithm.ED25519, KeyEncoding.PKCS1, b"PRIVATE KEY"),
    ],
)
def test_pkcs1_is_the_traditional_format_of_the_algorithm(
    algorithm: KeyAlgorithm, encoding: KeyEncoding, label: bytes
) -> None:
    written = keys.to_pem(keys.generate(algorithm), encoding)
    assert written.startswith(b"-----BEGIN " + label + b"-----\n")


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [
        (KeyAlgorithm.ECDSA, 255),
        (KeyAlgorithm.ECDSA, 2048),
        (KeyAlgorithm.RSA, 1024),
        (KeyAlgorithm.RSA, 2047),
        (KeyAlgorithm.RSA, 4104),
        (KeyAlgorithm.RSA, 8192),
        (KeyAlgorithm.ED25519, 256),
    ],
)
def test_a_size_the_algorithm_lacks_is_refused(algorithm: KeyAlgorithm, size: int) -> None:
    with pytest.raises(ValueError, match="key has"):
        keys.generate(algorithm, size)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", UploadFault.NOT_PEM),
        (b"-----BEGIN PRIVATE KEY-----\n", UploadFault.DAMAGED_PEM),
        (b.pem_block("PUBLIC KEY", b"0"), UploadFault.NO_PRIVATE_KEY),
        (b"x" * 1_000_000, UploadFault.TOO_LARGE),
    ],
    ids=["empty", "cut", "public", "flood"],
)
def test_what_is_no_key_is_refused(text: bytes, fault: UploadFault) -> None:
    with pytest.raises(UnusableMaterial) as caught:
        keys.from_pem(text)
    assert caught.value.fault is fault


def test_a_key_belongs_to_its_certificate_only() -> None:
    for key in (b.ec_key(), b.rsa_key(), keys.generate(KeyAlgorithm.ED25519)):
        issued = b.certificate(key=key)
        assert keys.same_key(key, issued.certificate)
        assert not keys.same_key(b.ec_key(), issued.certificate)


class ForeignScalar(ec.EllipticCurvePrivateKey):
    """A private key that claims the public point of another key, as a forged file could."""

    def __init__(
        self, scalar: ec.EllipticCurvePrivateKey, point: ec.EllipticCurvePublicKey
    ) -> None:
        self._scalar, self._point = scalar, point

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._point

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._scalar.sign(data, signature_algorithm)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scalar, name)

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._scalar.curve

    @property
    def key_size(self) -> int:
        return self._scalar.key_size

    def exchange(self, algorithm: Any, peer_public_key: Any) -> bytes:
        raise NotImplementedError

    def private_numbers(self) -> Any:
        raise NotImplementedError

    def private_bytes(self, *arguments: Any) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> ForeignScalar:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> ForeignScalar:
        return self


def test_an_equal_public_point_is_not_enough() -> None:
    """The proof is a signature: the scalar must lead to the point."""
    issued = b.certificate()
    point = issued.certificate.public_key()
    assert isinstance(point, ec.EllipticCurvePublicKey)
    assert not keys.same_key(ForeignScalar(b.ec_key(), point), issued.certificate)
