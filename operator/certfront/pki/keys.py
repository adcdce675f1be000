"""Private keys: made, written, read within bounds, and proven to belong to a certificate.

No function here puts a key, or a part of one, into an exception or a representation. Users are the
other modules of this package, `certfront.issuance`, `certfront.reconcilers` and `certfront.agent`.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from certfront.model.keys import KeyAlgorithm, KeyEncoding
from certfront.pki import certificates, der, pem
from certfront.pki.faults import UnusableMaterial, UploadFault

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""The private keys that TLS servers use."""

MAX_RSA_BITS = 8192

_MAX_KEY_DER = 8 * 1024
"""Octets of one private key: RSA with 8192 bits and its encryption take less than five thousand."""

_CURVES: dict[int, ec.EllipticCurve] = {
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}
_CHALLENGE = b"certfront proves that this key makes the signatures of this certificate"


def generate(algorithm: KeyAlgorithm, size: int | None = None) -> PrivateKey:
    """Make a new key; raises ValueError for a size that the algorithm does not have.

    ECDSA: 256 (default), 384 or 521 bits, the NIST curves. RSA: 2048 (default) to 4096 bits in
    steps of eight; several seconds for the largest, so run it in an executor. Ed25519 has one size.
    """
    match algorithm:
        case KeyAlgorithm.ECDSA:
            if (size or 256) not in _CURVES:
                raise ValueError("an ECDSA key has 256, 384 or 521 bits")
            return ec.generate_private_key(_CURVES[size or 256])
        case KeyAlgorithm.RSA:
            bits = size or 2048
            if not 2048 <= bits <= 4096 or bits % 8:
                raise ValueError("an RSA key has 2048 to 4096 bits, a multiple of eight")
            return rsa.generate_private_key(public_exponent=65537, key_size=bits)
        case KeyAlgorithm.ED25519:
            if size:
                raise ValueError("an Ed25519 key has no choice of size")
            return ed25519.Ed25519PrivateKey.generate()


def to_pem(key: PrivateKey, encoding: KeyEncoding = KeyEncoding.PKCS8) -> bytes:
    """Return the key unencrypted in PEM, LF, one newline at the end.

    PKCS1 means the traditional format of the algorithm: PKCS#1 for RSA, SEC1 (RFC 5915) for ECDSA.
    Ed25519 has none and is always PKCS#8 (RFC 8410).
    """
    traditional = encoding is KeyEncoding.PKCS1 and not isinstance(key, ed25519.Ed25519PrivateKey)
    formats = serialization.PrivateFormat
    return key.private_bytes(
        serialization.Encoding.PEM,
        formats.TraditionalOpenSSL if traditional else formats.PKCS8,
        serialization.NoEncryption(),
    )


def from_pem(data: bytes) -> PrivateKey:
    """Read the one unencrypted private key of a text; raises `UnusableMaterial`.

    Other blocks, as EC PARAMETERS or certificates, may stand beside it. That the factors of an RSA
    key are primes is not proven again, which takes seconds for a large one: `upload` has done it,
    and a key that does not sign for its certificate is found out by `same_key`.
    """
    found = [one for one in pem.blocks(data) if pem.is_private_key(one.label)]
    if not found:
        raise UnusableMaterial(UploadFault.NO_PRIVATE_KEY)
    if len(found) > 1:
        raise UnusableMaterial(UploadFault.SEVERAL_PRIVATE_KEYS)
    key, _ = load_block(found[0], None, prove_primes=False)
    return key


def load_block(
    block: pem.Block, password: bytes | None, *, prove_primes: bool = True
) -> tuple[PrivateKey, bool]:
    """Read a private key, and say whether it was encrypted; raises `UnusableMaterial`.

    A password that an unencrypted key does not need is ignored.
    """
    _check_block(block)
    encrypted = block.encrypted or block.label == "ENCRYPTED PRIVATE KEY"
    if not encrypted:
        return _load(block.text, None, prove_primes), False
    if password is None:
        raise UnusableMaterial(UploadFault.PASSPHRASE_PROTECTED)
    if not password:
        raise UnusableMaterial(UploadFault.MISSING_PASSWORD)
    return _load(block.text, password, prove_primes), True


def supported(key: object) -> PrivateKey:
    """Return the key if it is one that TLS servers use; raises `UnusableMaterial`."""
    if isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in {curve.name for curve in _CURVES.values()}:
            raise UnusableMaterial(UploadFault.UNSUPPORTED_CURVE)
        return key
    raise UnusableMaterial(UploadFault.UNSUPPORTED_KEY)


def algorithm_of(key: PrivateKey) -> KeyAlgorithm:
    """Return the algorithm as the API spells it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return KeyAlgorithm.RSA
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return KeyAlgorithm.ED25519
    return KeyAlgorithm.ECDSA


def size_of(key: PrivateKey) -> int | None:
    """Return the size in bits, as `generate` takes it; None for Ed25519."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else key.key_size


def public_key_der(key: PrivateKey) -> bytes:
    """Return the SubjectPublicKeyInfo of the key in DER."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def same_key(private: PrivateKey, certificate: x509.Certificate) -> bool:
    """Say whether a private key is that of a certificate, proven by one signature.

    Comparing SubjectPublicKeyInfo is not enough: a key file can embed a public point that its own
    scalar does not lead to.
    """
    try:
        if public_key_der(private) != certificates.public_key_der(certificate):
            return False
        _verify(certificate.public_key(), _sign(private))
    except (InvalidSignature, *certificates.UNPARSABLE):
        return False
    return True


def _sign(key: PrivateKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(_CHALLENGE, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(_CHALLENGE)
    return key.sign(_CHALLENGE, ec.ECDSA(hashes.SHA256()))


def _verify(key: PublicKeyTypes, signature: bytes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, _CHALLENGE, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, _CHALLENGE)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, _CHALLENGE, ec.ECDSA(hashes.SHA256()))
    else:
        raise InvalidSignature


def _check_block(block: pem.Block) -> None:
    """Refuse what must not reach the parser: foreign formats, and work without bound."""
    if block.label == "OPENSSH PRIVATE KEY":
        raise UnusableMaterial(UploadFault.OPENSSH_KEY)
    if len(block.body) > _MAX_KEY_DER:
        raise UnusableMaterial(UploadFault.OVERSIZED_KEY)
    if block.encrypted:
        return
    try:
        excessive = der.derivation_is_excessive(block.body)
    except der.Malformed:
        raise UnusableMaterial(UploadFault.MALFORMED_PRIVATE_KEY) from None
    if excessive and block.label == "ENCRYPTED PRIVATE KEY":
        raise UnusableMaterial(UploadFault.EXCESSIVE_KEY_DERIVATION)
    if der.has_explicit_curve(block.body):
        raise UnusableMaterial(UploadFault.EXPLICIT_CURVE_PARAMETERS)


def _load(text: bytes, password: bytes | None, prove_primes: bool) -> PrivateKey:
    """Load a key, its size checked before the costly validation of its primes."""
    try:
        unchecked = serialization.load_pem_private_key(
            text, password, unsafe_skip_rsa_key_validation=True
        )
        if isinstance(unchecked, rsa.RSAPrivateKey) and unchecked.key_size > MAX_RSA_BITS:
            raise UnusableMaterial(UploadFault.OVERSIZED_KEY)
        if not prove_primes or not isinstance(unchecked, rsa.RSAPrivateKey):
            return supported(unchecked)
        return supported(serialization.load_pem_private_key(text, password))
    except certificates.UNPARSABLE as error:
        raise UnusableMaterial(_fault_of(error, password)) from None


def _fault_of(error: Exception, password: bytes | None) -> UploadFault:
    """Class an error of the parser.

    One wrong password in 256 yields good padding around nonsense, so a password that led to
    nothing readable counts as wrong, whatever the parser says.
    """
    if password is not None and isinstance(error, ValueError):
        return UploadFault.WRONG_PASSWORD
    return UploadFault.MALFORMED_PRIVATE_KEY
