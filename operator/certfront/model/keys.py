"""Names of key algorithms and encodings as the API spells them."""

from enum import StrEnum


class KeyAlgorithm(StrEnum):
    """Value of `Certificate.spec.privateKey.algorithm`."""

    ECDSA = "ECDSA"
    RSA = "RSA"
    ED25519 = "Ed25519"


class KeyEncoding(StrEnum):
    """Value of `Certificate.spec.privateKey.encoding`."""

    PKCS8 = "PKCS8"
    PKCS1 = "PKCS1"
