"""What can be wrong with a certificate, a key or a chain that someone hands over.

Each fault has a name, which becomes a condition's reason; one sentence, which says what it is; and
one remedy, which says what a person does about it. The documentation pages are made from here.
Users are every module of this package that reads material, and `certfront.reconcilers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from certfront.model import errors

_PLAIN_KEY = "openssl pkey -in encrypted.key -out tls.key"


class UploadFault(StrEnum):
    """The reasons for which material is refused, spelled as the reason of a condition."""

    TOO_LARGE = "TooLarge"
    TOO_MANY_BLOCKS = "TooManyBlocks"
    CHAIN_TOO_LONG = "ChainTooLong"
    CONFLICTING_MATERIAL = "ConflictingMaterial"
    NO_CERTIFICATE = "NoCertificate"
    NO_PRIVATE_KEY = "NoPrivateKey"
    NOT_PEM = "NotPEM"
    DER_NOT_PEM = "DERNotPEM"
    PKCS7_NOT_PEM = "PKCS7NotPEM"
    UTF16_TEXT = "UTF16Text"
    ESCAPED_NEWLINES = "EscapedNewlines"
    ENCODED_TWICE = "EncodedTwice"
    DAMAGED_PEM = "DamagedPEM"
    TRUSTED_CERTIFICATE_FORMAT = "TrustedCertificateFormat"
    PRIVATE_KEY_IN_CERTIFICATE = "PrivateKeyInCertificate"
    REQUEST_IN_CERTIFICATE = "RequestInCertificate"
    FIELDS_SWAPPED = "FieldsSwapped"
    CERTIFICATE_IN_PRIVATE_KEY = "CertificateInPrivateKey"
    REQUEST_IN_PRIVATE_KEY = "RequestInPrivateKey"
    PUBLIC_KEY_ONLY = "PublicKeyOnly"
    OPENSSH_KEY = "OpenSSHKey"
    SEVERAL_PRIVATE_KEYS = "SeveralPrivateKeys"
    PASSPHRASE_PROTECTED = "PassphraseProtected"  # noqa: S105 -- the name of a fault
    MISSING_PASSWORD = "MissingPassword"  # noqa: S105 -- the name of a fault
    WRONG_PASSWORD = "WrongPassword"  # noqa: S105 -- the name of a fault
    MALFORMED_PRIVATE_KEY = "MalformedPrivateKey"
    EXCESSIVE_KEY_DERIVATION = "ExcessiveKeyDerivation"
    MALFORMED_PKCS12 = "MalformedPKCS12"
    PKCS12_WITHOUT_PRIVATE_KEY = "PKCS12WithoutPrivateKey"
    PKCS12_WITHOUT_CERTIFICATE = "PKCS12WithoutCertificate"
    MALFORMED_CERTIFICATE = "MalformedCertificate"
    SIGNATURE_ALGORITHM_MISMATCH = "SignatureAlgorithmMismatch"
    UNSUPPORTED_KEY = "UnsupportedKey"
    UNSUPPORTED_CURVE = "UnsupportedCurve"
    EXPLICIT_CURVE_PARAMETERS = "ExplicitCurveParameters"
    WEAK_KEY = "WeakKey"
    OVERSIZED_KEY = "OversizedKey"
    WEAK_EXPONENT = "WeakExponent"
    UNEVEN_MODULUS = "UnevenModulus"
    WEAK_SIGNATURE = "WeakSignature"
    KEY_MISMATCH = "KeyMismatch"
    SEVERAL_LEAVES = "SeveralLeaves"
    CHAIN_DISCONNECTED = "ChainDisconnected"
    CHAIN_INCOMPLETE = "ChainIncomplete"
    INVALID_TRUST_BUNDLE = "InvalidTrustBundle"
    ISSUER_NOT_CA = "IssuerNotCA"
    ISSUER_LACKS_CERT_SIGN = "IssuerLacksCertSign"
    ISSUER_VERSION1 = "IssuerVersion1"
    PATH_LENGTH_EXCEEDED = "PathLengthExceeded"
    NAME_CONSTRAINT_VIOLATED = "NameConstraintViolated"
    ISSUER_USAGE_VIOLATED = "IssuerUsageViolated"
    PRECERTIFICATE = "Precertificate"
    EXPIRED = "Expired"
    INTERMEDIATE_EXPIRED = "IntermediateExpired"
    NO_SUBJECT_ALTERNATIVE_NAME = "NoSubjectAlternativeName"
    INVALID_SUBJECT_ALTERNATIVE_NAME = "InvalidSubjectAlternativeName"
    NAMES_NOT_COVERED = "NamesNotCovered"
    NO_SERVER_AUTH = "NoServerAuth"
    LEAF_IS_AUTHORITY = "LeafIsAuthority"
    VERSION1_CERTIFICATE = "Version1Certificate"
    UNKNOWN_CRITICAL_EXTENSION = "UnknownCriticalExtension"
    NEGATIVE_SERIAL = "NegativeSerial"
    INVALID_SERIAL = "InvalidSerial"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One sentence that says what a fault is, and one that says what to do."""

    sentence: str
    remedy: str


class UnusableMaterial(errors.Refused):
    """Material cannot be used: a person must hand over other material.

    The message holds the sentence (or the detail of this case) and the remedy; it never holds
    bytes of the input.
    """

    def __init__(self, fault: UploadFault, detail: str = "") -> None:
        explanation = REMEDY[fault]
        self.fault = fault
        self.detail = detail
        super().__init__(fault.value, f"{detail or explanation.sentence} {explanation.remedy}")


class InvalidPair(UnusableMaterial):
    """What a Secret of ours holds is not a certificate with its own key."""


class Refused(UnusableMaterial):
    """Uploaded material is refused; what is in force stays."""


_NEW_CERTIFICATE = "Ask its issuer for a new certificate."
_FULL_CHAIN = (
    "Give the leaf followed by all intermediates, in one file, as the issuer's full chain file."
)

REMEDY: dict[UploadFault, Explanation] = {
    UploadFault.TOO_LARGE: Explanation(
        "The material is larger than any certificate, key or chain.",
        "Give only the leaf, its intermediates and its key.",
    ),
    UploadFault.TOO_MANY_BLOCKS: Explanation(
        "The material holds too many PEM blocks.",
        "Give only the leaf, its intermediates and its key.",
    ),
    UploadFault.CHAIN_TOO_LONG: Explanation(
        "The chain has more than ten certificates.",
        "Give only the leaf and the intermediates that lead to its root.",
    ),
    UploadFault.CONFLICTING_MATERIAL: Explanation(
        "A PKCS#12 and PEM material are both given.",
        "Give either pkcs12Key, or certificateKey and privateKeyKey.",
    ),
    UploadFault.NO_CERTIFICATE: Explanation(
        "There is no certificate in the material.",
        "Put the certificate, in PEM, into the Secret's certificate key (tls.crt).",
    ),
    UploadFault.NO_PRIVATE_KEY: Explanation(
        "There is no private key in the material.",
        "Put the private key, in PEM, into the Secret's private key field (tls.key).",
    ),
    UploadFault.NOT_PEM: Explanation(
        "The text holds no PEM block.",
        "Give text that begins with a line -----BEGIN ...----- and ends with -----END ...-----.",
    ),
    UploadFault.DER_NOT_PEM: Explanation(
        "The material is binary (DER), not PEM.",
        "Convert it: openssl x509 -inform DER -in file -out tls.crt (openssl pkey for a key).",
    ),
    UploadFault.PKCS7_NOT_PEM: Explanation(
        "The material is a PKCS#7 bundle.",
        "Convert it: openssl pkcs7 -print_certs -in file.p7b -out tls.crt.",
    ),
    UploadFault.UTF16_TEXT: Explanation(
        "The text is in UTF-16.", "Save it as plain ASCII or UTF-8 and upload it again."
    ),
    UploadFault.ESCAPED_NEWLINES: Explanation(
        "The text holds a backslash and the letter n where its lines should end.",
        "Store it with real line ends, for example kubectl create secret tls --cert --key.",
    ),
    UploadFault.ENCODED_TWICE: Explanation(
        "The text was encoded in base64 twice.",
        "Put plain PEM under stringData, or encode it once under data.",
    ),
    UploadFault.DAMAGED_PEM: Explanation(
        "A PEM block is damaged or cut off.", "Copy the whole file again, markers included."
    ),
    UploadFault.TRUSTED_CERTIFICATE_FORMAT: Explanation(
        "The certificate is in OpenSSL's TRUSTED CERTIFICATE format.",
        "Convert it: openssl x509 -in file -out tls.crt.",
    ),
    UploadFault.PRIVATE_KEY_IN_CERTIFICATE: Explanation(
        "A private key lies in a field for certificates, where it can leak.",
        "Move it to the private key field; replace the key if others could read that field.",
    ),
    UploadFault.REQUEST_IN_CERTIFICATE: Explanation(
        "A certificate request (CSR) lies in the field for the certificate.",
        "Give the certificate that the issuer returned for it.",
    ),
    UploadFault.FIELDS_SWAPPED: Explanation(
        "The certificate and the private key are each in the other's field.",
        "Swap the two fields.",
    ),
    UploadFault.CERTIFICATE_IN_PRIVATE_KEY: Explanation(
        "A certificate lies in the field for the private key.", "Put the private key there."
    ),
    UploadFault.REQUEST_IN_PRIVATE_KEY: Explanation(
        "A certificate request (CSR) lies in the field for the private key.",
        "Give the private key that was made together with the request.",
    ),
    UploadFault.PUBLIC_KEY_ONLY: Explanation(
        "Only a public key lies in the field for the private key.", "Give the private key."
    ),
    UploadFault.OPENSSH_KEY: Explanation(
        "The key is in OpenSSH's format.",
        "Convert a copy: ssh-keygen -p -m PKCS8 -f copy.key.",
    ),
    UploadFault.SEVERAL_PRIVATE_KEYS: Explanation(
        "There is more than one private key.", "Give only the key of this certificate."
    ),
    UploadFault.PASSPHRASE_PROTECTED: Explanation(
        "The private key is protected by a passphrase.",
        f"Remove it ({_PLAIN_KEY}) or name a Secret with it in passwordSecretRef.",
    ),
    UploadFault.MISSING_PASSWORD: Explanation(
        "The material is encrypted and the password is absent or empty.",
        "Name a Secret that holds the password in passwordSecretRef.",
    ),
    UploadFault.WRONG_PASSWORD: Explanation(
        "The password does not open the material (or the material is damaged).",
        "Correct the password in the Secret that passwordSecretRef names.",
    ),
    UploadFault.MALFORMED_PRIVATE_KEY: Explanation(
        "The private key cannot be read.",
        "Export the key again, unencrypted in PKCS#8: openssl pkey -in file -out tls.key.",
    ),
    UploadFault.EXCESSIVE_KEY_DERIVATION: Explanation(
        "The encryption asks for an unreasonable number of iterations.",
        "Export it again with the defaults of OpenSSL.",
    ),
    UploadFault.MALFORMED_PKCS12: Explanation(
        "The material is no readable PKCS#12.",
        "Export it again: openssl pkcs12 -export -in tls.crt -inkey tls.key -out file.p12.",
    ),
    UploadFault.PKCS12_WITHOUT_PRIVATE_KEY: Explanation(
        "The PKCS#12 holds no private key: it is a trust store.",
        "Export the certificate together with its key.",
    ),
    UploadFault.PKCS12_WITHOUT_CERTIFICATE: Explanation(
        "The PKCS#12 holds a private key but no certificate.",
        "Export the key together with its certificate and chain.",
    ),
    UploadFault.MALFORMED_CERTIFICATE: Explanation(
        "A certificate cannot be read in full.", _NEW_CERTIFICATE
    ),
    UploadFault.SIGNATURE_ALGORITHM_MISMATCH: Explanation(
        "A certificate names two different signature algorithms.", _NEW_CERTIFICATE
    ),
    UploadFault.UNSUPPORTED_KEY: Explanation(
        "The key is of a type that TLS servers do not use.",
        "Use an ECDSA (P-256), RSA (2048 bits or more) or Ed25519 key.",
    ),
    UploadFault.UNSUPPORTED_CURVE: Explanation(
        "The key is on a curve that browsers do not accept.", "Use P-256, P-384 or P-521."
    ),
    UploadFault.EXPLICIT_CURVE_PARAMETERS: Explanation(
        "The key spells out its curve instead of naming it.",
        "Make a key with a named curve: openssl ecparam -name prime256v1 -genkey -noout.",
    ),
    UploadFault.WEAK_KEY: Explanation(
        "The RSA key has fewer than 2048 bits.", "Make a new key and ask for a new certificate."
    ),
    UploadFault.OVERSIZED_KEY: Explanation(
        "The key has more than 8192 bits.", "Use an RSA key of 2048 to 4096 bits, or ECDSA."
    ),
    UploadFault.WEAK_EXPONENT: Explanation(
        "The exponent of the RSA key is even or below 65537.",
        "Make a new key and ask for a new certificate.",
    ),
    UploadFault.UNEVEN_MODULUS: Explanation(
        "The number of bits of the RSA key is not a multiple of eight.",
        "Make a new key and ask for a new certificate.",
    ),
    UploadFault.WEAK_SIGNATURE: Explanation(
        "A certificate is signed with SHA-1 or MD5.",
        "Ask its issuer for a certificate signed with SHA-256 or better.",
    ),
    UploadFault.KEY_MISMATCH: Explanation(
        "The private key does not belong to the certificate.",
        "Give the key that was made for this certificate, or the certificate of this key.",
    ),
    UploadFault.SEVERAL_LEAVES: Explanation(
        "There is more than one server certificate.",
        "Give one server certificate and its intermediates.",
    ),
    UploadFault.CHAIN_DISCONNECTED: Explanation(
        "A chain is given but its certificates do not lead on from the leaf.", _FULL_CHAIN
    ),
    UploadFault.CHAIN_INCOMPLETE: Explanation(
        "The chain does not lead to a certificate of the trust bundle.", _FULL_CHAIN
    ),
    UploadFault.INVALID_TRUST_BUNDLE: Explanation(
        "The trust bundle cannot be read.", "Give root certificates in PEM, and nothing else."
    ),
    UploadFault.ISSUER_NOT_CA: Explanation(
        "A certificate of the chain issued another without being an authority.", _FULL_CHAIN
    ),
    UploadFault.ISSUER_LACKS_CERT_SIGN: Explanation(
        "An authority of the chain may not sign certificates (key usage).", _NEW_CERTIFICATE
    ),
    UploadFault.ISSUER_VERSION1: Explanation(
        "An intermediate of the chain is a version 1 certificate.", _NEW_CERTIFICATE
    ),
    UploadFault.PATH_LENGTH_EXCEEDED: Explanation(
        "The chain is longer than one of its authorities allows.", _NEW_CERTIFICATE
    ),
    UploadFault.NAME_CONSTRAINT_VIOLATED: Explanation(
        "The certificate has a name that an authority of its chain may not certify.",
        _NEW_CERTIFICATE,
    ),
    UploadFault.ISSUER_USAGE_VIOLATED: Explanation(
        "An authority of the chain may not issue certificates for servers.", _NEW_CERTIFICATE
    ),
    UploadFault.PRECERTIFICATE: Explanation(
        "The certificate is a precertificate for transparency logs.",
        "Give the final certificate that the issuer returned.",
    ),
    UploadFault.EXPIRED: Explanation("The certificate has expired.", "Upload its successor."),
    UploadFault.INTERMEDIATE_EXPIRED: Explanation(
        "An intermediate of the chain has expired.",
        "Take the current intermediate from the issuer.",
    ),
    UploadFault.NO_SUBJECT_ALTERNATIVE_NAME: Explanation(
        "The certificate has no subject alternative names; clients ignore the common name.",
        "Ask for a certificate with subject alternative names.",
    ),
    UploadFault.INVALID_SUBJECT_ALTERNATIVE_NAME: Explanation(
        "A subject alternative name is neither a host name nor an address.", _NEW_CERTIFICATE
    ),
    UploadFault.NAMES_NOT_COVERED: Explanation(
        "The certificate does not cover every name of the spec.",
        "Upload a certificate for these names, or correct dnsNames and ipAddresses.",
    ),
    UploadFault.NO_SERVER_AUTH: Explanation(
        "The extended key usage of the certificate leaves out servers.",
        "Ask for a certificate with the usage server auth, or set policy Lenient.",
    ),
    UploadFault.LEAF_IS_AUTHORITY: Explanation(
        "The server certificate is itself an authority.",
        "Use a certificate with CA:FALSE, or set policy Lenient.",
    ),
    UploadFault.VERSION1_CERTIFICATE: Explanation(
        "The server certificate is of version 1.",
        "Ask for a version 3 certificate, or set policy Lenient.",
    ),
    UploadFault.UNKNOWN_CRITICAL_EXTENSION: Explanation(
        "A certificate has a critical extension that clients do not know.", _NEW_CERTIFICATE
    ),
    UploadFault.NEGATIVE_SERIAL: Explanation(
        "The serial number of a certificate is negative.", _NEW_CERTIFICATE
    ),
    UploadFault.INVALID_SERIAL: Explanation(
        "The serial number of a certificate is zero or longer than 20 octets.",
        "Ask its issuer for a new certificate, or set policy Lenient.",
    ),
}
"""The sentence and the remedy of every fault."""
