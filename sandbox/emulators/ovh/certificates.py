"""The certificates of a service: what an upload must be, and those that the provider issues.

How the real API answers each kind of bad upload is not published; here every one is refused with
400. RSA from 2048 bits and the curves P-256, P-384 and P-521 are taken.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sandbox.emulators.ovh.refusals import bad_request
from sandbox.emulators.ovh.tasks import date_text

FingerprintForm = Literal["sha1", "sha1-colons", "sha256", "sha256-colons"]
SslType = Literal["built", "built_not_routed", "custom"]

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----")
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate of the service, with its key."""

    id: int
    type: SslType
    display_name: str | None
    leaf: x509.Certificate
    chain: str
    key: str

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names of its subject alternative names."""
        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ()
        return tuple(found.value.get_values_for_type(x509.DNSName))

    def fingerprint(self, form: FingerprintForm) -> str:
        """The digest of the leaf; which form the real API gives is not published."""
        algorithm = hashes.SHA1() if form.startswith("sha1") else hashes.SHA256()  # noqa: S303
        digest = self.leaf.fingerprint(algorithm)
        return digest.hex(":").upper() if form.endswith("colons") else digest.hex()

    def render(self, form: FingerprintForm) -> dict[str, Any]:
        """The API's object; never the key."""
        return {
            "id": self.id,
            "type": self.type,
            "displayName": self.display_name,
            "fingerprint": self.fingerprint(form),
            "serial": f"{self.leaf.serial_number:X}",
            "subject": self.leaf.subject.rfc4514_string(),
            "san": list(self.names),
            "expireDate": date_text(self.leaf.not_valid_after_utc),
        }

    def renamed(self, display_name: str | None) -> "Certificate":
        """The same under another display name."""
        return replace(self, display_name=display_name)

    def typed(self, kind: SslType) -> "Certificate":
        """The same with another type."""
        return replace(self, type=kind)


def uploaded(body: Mapping[str, Any], number: int, now: datetime) -> Certificate:
    """The certificate of a `POST /ssl`; raises the API's refusal (400)."""
    leaves = _certificates("certificate", body["certificate"])
    if len(leaves) != 1:
        raise bad_request("[certificate] One certificate is expected; its issuers go into chain")
    leaf = leaves[0]
    key, key_text = _private_key(body["key"])
    if key.public_key() != leaf.public_key():
        raise bad_request("[key] The key does not match the certificate")
    _check_strength(key)
    if leaf.not_valid_after_utc <= now:
        raise bad_request("[certificate] The certificate has expired")
    chain = _certificates("chain", body["chain"]) if body.get("chain", "").strip() else []
    _check_chain([leaf, *chain])
    return Certificate(
        id=number,
        type="custom",
        display_name=body.get("displayName"),
        leaf=leaf,
        chain="".join(_pem(certificate) for certificate in (leaf, *chain)),
        key=key_text,
    )


def host_names(fqdn: Sequence[str]) -> tuple[str, ...]:
    """The names of an order; raises the API's refusal (400) for none, a repeated or a bad one."""
    if not fqdn:
        raise bad_request("[fqdn] At least one name is needed")
    names = tuple(name.lower() for name in fqdn)
    if len(set(names)) != len(names) or len(names) > 100:
        raise bad_request("[fqdn] A name is given twice, or there are more than 100")
    if not all(_NAME.match(name) for name in names):
        raise bad_request("[fqdn] A name is not a fully qualified domain name")
    return names


class Authority:
    """The authority behind the free certificates, made when it is first needed."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate: x509.Certificate | None = None

    def issue(self, number: int, names: Sequence[str], now: datetime, days: float) -> Certificate:
        """A certificate that is `built`, valid from an hour before `now`."""
        root = self._root(now)
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            _builder(names[0], root.subject, now, timedelta(days=days))
            .public_key(key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        return Certificate(
            id=number,
            type="built",
            display_name=None,
            leaf=leaf,
            chain=_pem(leaf) + _pem(root),
            key=text,
        )

    def pem(self, now: datetime) -> str:
        """Its own certificate, for whoever must trust what it issues."""
        return _pem(self._root(now))

    def _root(self, now: datetime) -> x509.Certificate:
        if self._certificate is None:
            name = "certfront emulated OVH authority"
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            self._certificate = (
                _builder(name, subject, now, timedelta(days=3650))
                .public_key(self._key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .sign(self._key, hashes.SHA256())
            )
        return self._certificate


def _builder(
    common_name: str, issuer: x509.Name, now: datetime, validity: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])]))
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + validity)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _certificates(name: str, text: str) -> list[x509.Certificate]:
    blocks = list(_BLOCK.finditer(text))
    if not blocks or _BLOCK.sub("", text).strip():
        raise bad_request(f"[{name}] PEM is expected")
    if any(block[1] != "CERTIFICATE" for block in blocks):
        raise bad_request(f"[{name}] Only certificates are expected")
    try:
        return [x509.load_pem_x509_certificate(block[0].encode()) for block in blocks]
    except ValueError:
        raise bad_request(f"[{name}] A certificate cannot be read") from None


def _private_key(text: str) -> tuple[_PrivateKey, str]:
    blocks = list(_BLOCK.finditer(text))
    if len(blocks) != 1 or _BLOCK.sub("", text).strip():
        raise bad_request("[key] One private key in PEM is expected")
    try:
        key = serialization.load_pem_private_key(blocks[0][0].encode(), password=None)
    except (TypeError, ValueError):
        raise bad_request("[key] The key is encrypted or cannot be read") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise bad_request("[key] The key is neither RSA nor ECDSA")
    return key, blocks[0][0] + "\n"


def _check_strength(key: _PrivateKey) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < 2048:
            raise bad_request("[key] RSA keys have 2048 bits or more")
    elif not isinstance(key.curve, _CURVES):
        raise bad_request("[key] The curve is none of P-256, P-384, P-521")


def _check_chain(path: Sequence[x509.Certificate]) -> None:
    for issued, issuer in itertools.pairwise(path):
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, ValueError):
            raise bad_request("[chain] Each certificate must be issued by the next") from None
