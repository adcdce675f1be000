"""The checks that the service makes of a key, a certificate and its intermediates.

Source: the guide's tables of the SSL termination and certificate mapping ("validated and verified
against") and the vendor's own published implementation (atlas-lb, `ZeusUtils`). RSA only. Nothing
in an error quotes what was sent.
"""

import itertools
import re
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_BLANK = re.compile(r"(?m)^[ \t]*\r?\n")


def cleaned(pem: str) -> str:
    """Without blank lines and surrounding space, as the service stores it."""
    return _BLANK.sub("", pem).strip()


def errors(private_key: str, certificate: str, intermediates: str, *, now: datetime) -> list[str]:
    """Why this material is refused; empty where it is taken. `intermediates` may be empty.

    An expired certificate is refused, one that is not valid yet is taken.
    """
    found: list[str] = []
    key = _rsa_key(private_key, found)
    leaf = _certificate(certificate, found)
    chain = _chain(intermediates, found)
    if key is not None and leaf is not None and leaf.public_key() != key.public_key():
        found.append("Private key does not match the certificate.")
    if leaf is not None and leaf.not_valid_after_utc < now:
        found.append("User cert expired on " + leaf.not_valid_after_utc.strftime("%Y-%m-%d"))
    if leaf is not None and chain:
        if not _issued(leaf, chain[0]):
            found.append("Error the cert at the top of the chain file does not sign the main cert")
        if not all(_issued(*pair) for pair in itertools.pairwise(chain)):
            found.append("Error chain out of order")
    return found


def _rsa_key(pem: str, found: list[str]) -> rsa.RSAPrivateKey | None:
    blocks = _BLOCK.findall(pem)
    if not blocks:
        found.append("Key Required")
        return None
    if len(blocks) > 1:
        found.append("Multiple pem blocks used in Key")
        return None
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found.append("Unable to parse pemblock to RSA Key")
        return None
    if not isinstance(key, rsa.RSAPrivateKey):
        found.append("Error Decoding Key: the object is no RSA key but was expected to be one")
        return None
    return key


def _certificate(pem: str, found: list[str]) -> x509.Certificate | None:
    blocks = _BLOCK.findall(pem)
    if not blocks:
        found.append("Cert Required")
        return None
    if len(blocks) > 1:
        found.append("userCrt contains more then one pem block")
        return None
    try:
        leaf = x509.load_pem_x509_certificate(pem.encode())
        public_key = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        found.append("Error Decoding Cert")
        return None
    if not isinstance(public_key, rsa.RSAPublicKey):
        found.append("Error Decoding Cert: its public key is no RSA key")
        return None
    return leaf


def _chain(pem: str, found: list[str]) -> list[x509.Certificate]:
    if not pem:
        return []
    blocks = [match.group(0) for match in _BLOCK.finditer(pem)]
    try:
        chain = [x509.load_pem_x509_certificate(block.encode()) for block in blocks]
    except (ValueError, UnsupportedAlgorithm):
        chain = []
    if not chain:
        found.append("Intermediate certificate is invalid.")
    return chain


def _issued(subject: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
