"""OpenScaler's certificate API, as far as its page on creating a certificate goes.

Conformance
-----------
Followed, from OpenScaler's documentation page "Create a certificate" (the only public source):

- `POST /v1/lbs/{lb_id}/certificates` with `Authorization: Bearer`; `lb_id` is any string.
- Fields `name`, `cert_type` (`self_signed`, `let_encrypt`, `upload`), `cn_name` and
  `let_encrypt_email` (both required for let_encrypt), `cert_content` (required for upload: one PEM).
  Fields of the other types are tolerated, as in its example; fields it does not name are refused.
- The answer's ten fields and their forms: `domains` one string with ", " between, `issuers` a
  string, times in RFC 3339 UTC, `serial` in upper-case hex with colons, `size` in bytes; no id.

Not known, and chosen here:

- Success is 201 (`success_status` gives 200 or 202). Errors are `{"code", "message"}`, the form of
  HAProxy's Data Plane API, whose storage object the documented answer resembles: 400 for a wrong
  body, 401, 404, 405, 409 for a name that the load balancer has, 413 over 256 KiB, 415, 422 where
  Let's Encrypt would not issue, 403 over `quota`.
- `cert_content` is leaf, then chain in order, with the key anywhere (as HAProxy takes it),
  unencrypted, RSA or EC. Nothing is verified to a root, and validity is not looked at.
- `let_encrypt` answers when the certificate is there, after `issuance_seconds` of the clock, and
  only for a name in `points_here`. The name is taken meanwhile. There is no renewal.
- `self_signed` without `cn_name` has the certificate's name as its common name; it lasts a year.
- A list, a single certificate and deletion are documented nowhere: without `listing` and `deletion`
  they are answered 405 and 404. With them, in the same form; 204 for a deletion.
- The newest certificate that covers a name is served after `propagation_seconds`; a handshake for
  any other name, or none, is refused.
"""

import asyncio
import datetime as dt
import functools
import hmac
import itertools
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.emulators.server import BadBody, Clock, Emulator, json_object, timestamp
from sandbox.emulators.tls import Offer, Pair, covers, server_context

_FIELDS = ("name", "cert_type", "cn_name", "let_encrypt_email", "cert_content")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "self_signed": (),
    "let_encrypt": ("cn_name", "let_encrypt_email"),
    "upload": ("cert_content",),
}
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_KEY_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}", re.IGNORECASE | re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LONGEST_COMMON_NAME = 64  # ub-common-name, RFC 5280 appendix A.1
_POLL_SECONDS = 0.02
_T = TypeVar("_T")
_COLLECTION = "/v1/lbs/{lb_id}/certificates"


class _Refused(Exception):
    """An error answer; its text is the message, which never holds what was sent."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate of a load balancer."""

    facts: Mapping[str, str | int]
    fingerprint: str
    names: tuple[str, ...]
    pair: Pair
    served_from: dt.datetime


class OpenScaler(Emulator):
    """OpenScaler: certificates that can be created under a load balancer, and little else.

    It is steered with `token`, `points_here`, `listing`, `deletion`, `quota` and `issuance_seconds`
    (the options), and with `remove` ([lb_id, name]), which does what a person does in its console.
    """

    name = "openscaler"
    largest_body = 256 << 10

    def __init__(
        self,
        *,
        clock: Clock,
        front: str = "127.0.0.1",
        seed: int = 0,
        token: Annotated[str, "The bearer token that is taken."] = "openscaler-token",  # noqa: S107 - an emulator's
        lbs: Annotated[
            Mapping[str, int], "A load balancer and its HTTPS port on the front (0: none)."
        ] = {"42": 0},
        points_here: Annotated[
            tuple[str, ...], "A name that Let's Encrypt would find pointing here."
        ] = (),
        issuance_seconds: Annotated[float, "What a let_encrypt certificate takes."] = 2.0,
        propagation_seconds: Annotated[float, "Until a certificate is served."] = 0.0,
        quota: Annotated[int, "Certificates of a load balancer (0: no limit)."] = 0,
        listing: Annotated[bool, "Offer GET of certificates, which is not documented."] = False,
        deletion: Annotated[bool, "Offer DELETE, which is not documented."] = False,
        success_status: Annotated[
            Literal["200", "201", "202"], "The status of success, which is not documented."
        ] = "201",
    ) -> None:
        super().__init__(clock=clock, front=front, seed=seed)
        self.token = token
        self.points_here = frozenset(name.lower() for name in points_here)
        self.issuance_seconds = issuance_seconds
        self.quota = quota
        self.listing = listing
        self.deletion = deletion
        self._ports = dict(lbs)
        self._propagation = dt.timedelta(seconds=propagation_seconds)
        self._success = int(success_status)
        self._lbs: dict[str, dict[str, Certificate]] = {lb: {} for lb in lbs}
        self._taken: set[tuple[str, str]] = set()
        self._authority = _Authority(clock.now(), self._serial)

    # What the server asks for

    def routes(self) -> Iterable[web.RouteDef]:
        """The documented path, and the undocumented ones that can be offered."""
        return [
            web.post(_COLLECTION, self._create),
            web.get(_COLLECTION, self._list, allow_head=False),
            web.get(_COLLECTION + "/{name}", self._show, allow_head=False),
            web.delete(_COLLECTION + "/{name}", self._delete),
        ]

    def unknown(self, request: web.Request) -> web.Response:
        """404, or 405 for another method of the documented path."""
        found = request.match_info.http_exception
        if isinstance(found, web.HTTPMethodNotAllowed) and request.path.endswith("/certificates"):
            return _wrong_method()
        return _error(404, "path not found")

    def too_large(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the shared signature
        """413 in the form of the other errors."""
        return _error(413, "the body is too large")

    def offers(self) -> Iterable[Offer]:
        """The HTTPS port of each load balancer that has one."""
        return [
            Offer(port=port, tls=True, certificate=functools.partial(self._served, lb))
            for lb, port in self._ports.items()
            if port
        ]

    def snapshot(self) -> Any:
        """Facts and fingerprint (SHA-256) of every certificate, and the stand-in's own root."""
        return {
            "lbs": {
                lb: [
                    {**certificate.facts, "fingerprint": certificate.fingerprint}
                    for certificate in certificates.values()
                ]
                for lb, certificates in self._lbs.items()
            },
            "issuing": sorted(f"{lb}/{name}" for lb, name in self._taken),
            "authority": self._authority.root_pem,
            "points_here": sorted(self.points_here),
            "listing": self.listing,
            "deletion": self.deletion,
        }

    def steer(self, what: str, value: Any) -> None:
        """Change an option, or remove a certificate behind the client's back."""
        if what == "remove":
            lb, name = value
            del self._lbs[lb][name]
        elif what == "points_here":
            self.points_here = frozenset(str(name).lower() for name in value)
        elif what in ("listing", "deletion"):
            setattr(self, what, _typed(value, bool))
        elif what == "token":
            self.token = _typed(value, str)
        elif what == "quota":
            self.quota = _typed(value, int)
        elif what == "issuance_seconds":
            self.issuance_seconds = float(value)
        else:
            super().steer(what, value)

    # The API

    async def _create(self, request: web.Request) -> web.Response:
        try:
            lb = self._admitted(request)
            fields = _fields(request)
            name = fields["name"]
            self._refuse_taken(lb, name)
            self._taken.add((lb, name))
            try:
                made = await self._make(fields)
            finally:
                self._taken.discard((lb, name))
            self._lbs[lb][name] = made
        except _Refused as refused:
            return _answer_refused(refused)
        return web.json_response(made.facts, status=self._success)

    async def _list(self, request: web.Request) -> web.Response:
        if not self.listing:
            return _wrong_method()
        try:
            lb = self._admitted(request)
        except _Refused as refused:
            return _answer_refused(refused)
        return web.json_response([certificate.facts for certificate in self._lbs[lb].values()])

    async def _show(self, request: web.Request) -> web.Response:
        if not self.listing:
            return _error(404, "path not found")
        try:
            lb = self._admitted(request)
            certificate = self._found(lb, request.match_info["name"])
        except _Refused as refused:
            return _answer_refused(refused)
        return web.json_response(certificate.facts)

    async def _delete(self, request: web.Request) -> web.Response:
        if not self.deletion:
            return _error(404, "path not found")
        try:
            lb = self._admitted(request)
            name = request.match_info["name"]
            self._found(lb, name)
        except _Refused as refused:
            return _answer_refused(refused)
        del self._lbs[lb][name]
        return web.Response(status=204)

    def _admitted(self, request: web.Request) -> str:
        """The load balancer of a request that has the token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.encode(errors="surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self.token.encode()):
            raise _Refused(401, "the access token is missing or not valid")
        if request.query_string:
            raise _Refused(400, "no query parameters are taken")
        lb = request.match_info["lb_id"]
        if lb not in self._lbs:
            raise _Refused(404, "load balancer not found")
        return lb

    def _found(self, lb: str, name: str) -> Certificate:
        certificate = self._lbs[lb].get(name)
        if certificate is None:
            raise _Refused(404, "certificate not found")
        return certificate

    def _refuse_taken(self, lb: str, name: str) -> None:
        if name in self._lbs[lb] or (lb, name) in self._taken:
            raise _Refused(409, "a certificate of that name exists")
        taken = len(self._lbs[lb]) + sum(1 for other, _ in self._taken if other == lb)
        if self.quota and taken >= self.quota:
            raise _Refused(403, "the load balancer has as many certificates as it may")

    # Making one

    async def _make(self, fields: Mapping[str, str]) -> Certificate:
        kind = fields["cert_type"]
        if kind == "upload":
            return self._certificate(fields, *_uploaded(fields["cert_content"]))
        now = self.clock.now()
        if kind == "self_signed":
            common_name = fields.get("cn_name") or fields["name"]
            _check_common_name(common_name)
            key = ec.generate_private_key(ec.SECP256R1())
            template = _template(common_name, now, dt.timedelta(days=365), self._serial())
            signed = _sign(template, key, _subject(common_name), key)
            return self._certificate(fields, [signed], _pem_of_key(key))
        common_name = fields["cn_name"].lower()
        if not _HOST.fullmatch(common_name):
            raise _Refused(400, "cn_name is not a domain")
        _check_common_name(common_name)
        if not _EMAIL.fullmatch(fields["let_encrypt_email"]):
            raise _Refused(400, "let_encrypt_email is not an address")
        await self._wait(self.issuance_seconds)
        if common_name not in self.points_here:
            raise _Refused(422, "the domain does not point to this load balancer")
        key = ec.generate_private_key(ec.SECP256R1())
        chain = self._authority.issue(common_name, key, self.clock.now())
        return self._certificate(fields, chain, _pem_of_key(key))

    async def _wait(self, seconds: float) -> None:
        due = self.clock.now() + dt.timedelta(seconds=seconds)
        while self.clock.now() < due:  # noqa: ASYNC110 - the clock, which tests move, tells nobody
            await asyncio.sleep(_POLL_SECONDS)

    def _certificate(
        self,
        fields: Mapping[str, str],
        chain: list[x509.Certificate],
        key_pem: str,
    ) -> Certificate:
        leaf = chain[0]
        chain_pem = "".join(_pem(certificate) for certificate in chain)
        names = _names(leaf)
        issuers = dict.fromkeys(certificate.issuer.rfc4514_string() for certificate in chain)
        content = fields["cert_content"] if fields["cert_type"] == "upload" else chain_pem + key_pem
        return Certificate(
            facts={
                "name": fields["name"],
                "cert_type": fields["cert_type"],
                "common_name": _common_name(leaf),
                "subject": leaf.subject.rfc4514_string(),
                "domains": ", ".join(names),
                "issuers": ", ".join(issuers),
                "not_before": timestamp(leaf.not_valid_before_utc),
                "not_after": timestamp(leaf.not_valid_after_utc),
                "serial": _colons(leaf.serial_number),
                "size": len(content.encode()),
            },
            fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
            names=names or (_common_name(leaf),),
            pair=(chain_pem, key_pem),
            served_from=self.clock.now() + self._propagation,
        )

    def _served(self, lb: str, host: str | None) -> Pair | None:
        """The newest certificate of a load balancer that covers the name."""
        if host is None:
            return None
        now = self.clock.now()
        for certificate in reversed(self._lbs[lb].values()):
            if certificate.served_from <= now and covers(certificate.names, host):
                return certificate.pair
        return None

    def _serial(self) -> int:
        return self.random.getrandbits(120) | 1 << 120


class _Authority:
    """The root and the issuing certificate that stand in for Let's Encrypt's."""

    def __init__(self, now: dt.datetime, serial: Callable[[], int]) -> None:
        root, issuing = "Emulated Root X1", "Emulated E1"
        lifetime = dt.timedelta(days=3650)
        root_key = ec.generate_private_key(ec.SECP384R1())
        self._key = ec.generate_private_key(ec.SECP384R1())
        self._serial = serial
        template = _template(root, now, lifetime, serial(), ca=True)
        self.root_pem = _pem(_sign(template, root_key, _subject(root), root_key))
        template = _template(issuing, now, lifetime, serial(), ca=True)
        self._issuing = _sign(template, self._key, _subject(root), root_key)

    def issue(
        self, host: str, key: ec.EllipticCurvePrivateKey, now: dt.datetime
    ) -> list[x509.Certificate]:
        """A chain for one name, of 90 days."""
        template = _template(host, now, dt.timedelta(days=90), self._serial())
        return [_sign(template, key, self._issuing.subject, self._key), self._issuing]


def _fields(request: web.Request) -> dict[str, str]:
    """The body's fields, all of them strings, with what the type requires."""
    if request.content_type != "application/json":
        raise _Refused(415, "the body must be application/json")
    try:
        given = json_object(request)
    except BadBody as error:
        raise _Refused(400, str(error)) from error
    if given.keys() - set(_FIELDS):
        raise _Refused(400, "the body has an unknown field")
    for field, value in given.items():
        if not isinstance(value, str):
            raise _Refused(400, f"{field} is not a string")
    kind = given.get("cert_type", "")
    if kind not in _REQUIRED:
        raise _Refused(400, f"cert_type is not one of {', '.join(_REQUIRED)}")
    for field in ("name", *_REQUIRED[kind]):
        if not given.get(field):
            raise _Refused(400, f"{field} is required for {kind}")
    return given


def _uploaded(content: str) -> tuple[list[x509.Certificate], str]:
    """The chain, leaf first, and the key of an uploaded PEM."""
    blocks = [(found[1], found[0] + "\n") for found in _BLOCK.finditer(content)]
    if any(label not in ("CERTIFICATE", *_KEY_LABELS) for label, _ in blocks):
        raise _Refused(400, "cert_content has something else than certificates and a key")
    certificates = [text for label, text in blocks if label == "CERTIFICATE"]
    keys = [text for label, text in blocks if label in _KEY_LABELS]
    if not certificates or len(keys) != 1:
        raise _Refused(400, "cert_content must have a certificate and one private key")
    try:
        chain = [x509.load_pem_x509_certificate(text.encode()) for text in certificates]
        key = serialization.load_pem_private_key(keys[0].encode(), password=None)
        public_key = chain[0].public_key()
        _names(chain[0])
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `from None`: the parser's message may quote what it read.
        raise _Refused(400, "cert_content cannot be parsed") from None
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise _Refused(400, "the private key is neither RSA nor EC")
    if public_key != key.public_key():
        raise _Refused(400, "the private key does not belong to the first certificate")
    for issued, issuer in itertools.pairwise(chain):
        _check_issued(issued, issuer)
    try:
        server_context(("".join(certificates), keys[0]))
    except ssl.SSLError:
        raise _Refused(400, "cert_content cannot be loaded") from None
    return chain, keys[0]


def _check_issued(issued: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        issued.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - cryptography raises three kinds, all saying "not by this one"
        raise _Refused(400, "the chain of cert_content is not in order") from None


def _check_common_name(common_name: str) -> None:
    if len(common_name) > _LONGEST_COMMON_NAME:
        raise _Refused(400, f"a common name has at most {_LONGEST_COMMON_NAME} characters")


def _template(
    common_name: str, now: dt.datetime, lifetime: dt.timedelta, serial: int, *, ca: bool = False
) -> x509.CertificateBuilder:
    """All of a certificate but its key and issuer; valid from an hour ago, for clocks that differ."""
    start = now - dt.timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(common_name))
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(purposes, critical=False)
        if _HOST.fullmatch(common_name.removeprefix("*.")):
            names = x509.SubjectAlternativeName([x509.DNSName(common_name)])
            builder = builder.add_extension(names, critical=False)
    return builder


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _sign(
    template: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Complete the template for `key` and sign it as the issuer."""
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        template.public_key(key.public_key())
        .issuer_name(issuer)
        .add_extension(subject_key, critical=False)
        .add_extension(authority_key, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(extension.value.get_values_for_type(x509.DNSName))


def _common_name(leaf: x509.Certificate) -> str:
    found = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _colons(serial: int) -> str:
    digits = f"{serial:x}"
    digits = digits.zfill(len(digits) + len(digits) % 2).upper()
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _typed(value: Any, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise TypeError(f"not of type {kind.__name__}")
    return value


def _wrong_method() -> web.Response:
    return _error(405, "method not allowed", {"Allow": "POST"})


def _answer_refused(refused: _Refused) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    return _error(refused.status, str(refused), headers)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(
        {"code": status, "message": message}, status=status, headers=dict(headers or {})
    )
