"""What Kong checks of a certificate and a key when they are written: that they parse and belong together.

Kong asks OpenSSL for the first certificate of the text and for the key, private or public, and
compares them; validity, key size, the chain behind the leaf and anything around the first block
are not looked at (recorded from Kong 3.9.3). Vault references are taken as they are.
"""

import re

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_CERTIFICATE = re.compile(
    r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----.*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----",
    re.DOTALL,
)
_PUBLIC = re.compile(r"-----BEGIN (?:RSA )?PUBLIC KEY-----.*?-----END [A-Z ]+-----", re.DOTALL)
_PRIVATE = re.compile(
    r"-----BEGIN (?:RSA |EC |ENCRYPTED )?PRIVATE KEY-----.*?-----END [A-Z ]+-----", re.DOTALL
)
_NO_BLOCK = (
    "x509.new: error:680008E:asn1 encoding routines:asn1_d2i_read_bio:not enough data:"
    "crypto/asn1/a_d2i_fp.c:283:"
)
_BAD_BLOCK = (
    "x509.new: error:688010A:asn1 encoding routines:asn1_item_embed_d2i:nested asn1 error:"
    "crypto/asn1/tasn_dec.c:375:"
)
_NO_KEY = (
    "pkey.new:load_key: error:1E08010C:DECODER routines:OSSL_DECODER_from_bio:unsupported:"
    "crypto/encode_decode/decoder_lib.c:103:"
)
_ENCRYPTED = (
    "pkey.new:load_key: error:1C80009F:Provider routines:epki2pki_decode:"
    "unable to get passphrase:providers/implementations/encode_decode/decode_epki2pki.c:96:"
)


def is_reference(text: str) -> bool:
    """Whether Kong would resolve this value from a vault when it is used."""
    return text.startswith("{vault://") and text.endswith("}")


def first_certificate(text: str) -> x509.Certificate | None:
    """The first certificate of the text; None where there is none that parses."""
    found = _CERTIFICATE.search(text)
    try:
        return x509.load_pem_x509_certificate(found.group().encode()) if found else None
    except ValueError:
        return None


def certificate_error(text: str) -> str | None:
    """Why Kong refuses this as a certificate."""
    if is_reference(text) or first_certificate(text) is not None:
        return None
    return "invalid certificate: " + (_BAD_BLOCK if "-----BEGIN" in text else _NO_BLOCK)


def key_error(text: str) -> str | None:
    """Why Kong refuses this as a key. Nothing of the text is in the answer."""
    if is_reference(text) or public_key(text) is not None:
        return None
    encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----" in text
    return "invalid key: " + (_ENCRYPTED if encrypted else _NO_KEY)


def public_key(text: str) -> PublicKeyTypes | None:
    """The public half of a key, private or public; None where it cannot be read."""
    try:
        if found := _PRIVATE.search(text):
            block = found.group().encode()
            # As OpenSSL loads it: whether its primes are primes is not looked at.
            private = serialization.load_pem_private_key(
                block, None, unsafe_skip_rsa_key_validation=True
            )
            return private.public_key()
        if found := _PUBLIC.search(text):
            return serialization.load_pem_public_key(found.group().encode())
    except (ValueError, TypeError):
        # A key that is encrypted raises TypeError: there is no passphrase here.
        return None
    return None


def belong_together(certificate: str, key: str) -> bool:
    """Whether the first certificate has this key; true where one is a vault reference."""
    leaf, public = first_certificate(certificate), public_key(key)
    return leaf is None or public is None or leaf.public_key() == public


def same_type(one: str, other: str) -> bool:
    """Whether both certificates have keys of one type; false where one is a vault reference."""
    first, second = first_certificate(one), first_certificate(other)
    if first is None or second is None:
        return False
    return (
        first.public_key_algorithm_oid.dotted_string
        == second.public_key_algorithm_oid.dotted_string
    )
