"""The key of an ACME account as a JSON Web Key, and what is derived from it.

The key's PEM lives in a Secret; it is created once and never overwritten (DESIGN section 6.8).
"""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.b64 import b64encode
from josepy.jwa import ES256, ES384, PS256, RS256, RS384, RS512, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA
from josepy.util import ComparableRSAKey

_LARGEST_PEM = 16 * 1024
_RSA_BITS = range(2048, 8193)


class InvalidAccountKey(Exception):
    """The bytes are not a private key that an ACME account can use. Never shows them."""


def new_account_key() -> bytes:
    """A new ECDSA P-256 key (ES256, understood by every CA) as PKCS#8 PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class AccountKey:
    """A signing key with the algorithms it can sign with, preferred first (RFC 8555 §6.2)."""

    __slots__ = ("algorithms", "jwk")

    def __init__(self, pem: bytes) -> None:
        """Read a PEM private key: ECDSA P-256 or P-384, or RSA of 2048 to 8192 bits."""
        self.jwk, self.algorithms = _load(pem)

    @property
    def thumbprint(self) -> str:
        """The JWK thumbprint (RFC 7638), unpadded base64url."""
        return b64encode(self.jwk.thumbprint()).decode("ascii")

    def __repr__(self) -> str:
        """Never the key."""
        return f"AccountKey({self.thumbprint})"


def key_authorization(token: str, thumbprint: str) -> str:
    """What proves control over a name: token and thumbprint (RFC 8555 section 8.1)."""
    return f"{token}.{thumbprint}"


def _load(pem: bytes) -> tuple[JWK, tuple[JWASignature, ...]]:
    if len(pem) > _LARGEST_PEM:
        raise InvalidAccountKey("the account key is larger than 16 KiB")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except Exception:  # noqa: BLE001 - any failure means the same, and its text may hold input
        raise InvalidAccountKey("the account key is not an unencrypted PEM private key") from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if isinstance(key.curve, ec.SECP256R1):
            return JWKEC(key=key), (ES256,)
        if isinstance(key.curve, ec.SECP384R1):
            return JWKEC(key=key), (ES384,)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size in _RSA_BITS:
        wrapped = ComparableRSAKey(key)
        return JWKRSA(key=wrapped), (RS256, PS256, RS384, RS512)
    raise InvalidAccountKey("an account key is ECDSA P-256 or P-384, or RSA of 2048 to 8192 bits")
