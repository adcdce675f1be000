"""An account's conversation with its CA: one step of RFC 8555 per call.

Blocking; `worker` runs it in threads. Built on `acme`'s JWS and `josepy`'s keys, without its
client: that polls, waits, retries a bad nonce once only and drops status and headers of errors.
Nothing here waits for the CA to finish something: an order or an authorization is read once and
comes with the CA's advice when to read it again.
"""

import base64
import binascii
import re
import threading
from typing import Any
from urllib.parse import urljoin

import msgspec
from acme import jws
from josepy.b64 import b64decode, b64encode
from josepy.jwa import HS256, JWASignature
from josepy.jwk import JWKOct

from certfront.issuance.acme import problems, resources
from certfront.issuance.acme.account_key import AccountKey, key_authorization
from certfront.issuance.acme.endpoints import AddressGuard
from certfront.issuance.acme.nonces import NoncePool
from certfront.issuance.acme.problems import (
    AcmeProblem,
    CaUnreachable,
    Operation,
)
from certfront.issuance.acme.resources import Authorization, Challenge, Directory, Order
from certfront.issuance.acme.transport import (
    CALL_SECONDS,
    CHAIN_LIMIT,
    JSON_LIMIT,
    Answer,
    Transport,
    deadline,
)
from certfront.model.clock import Clock
from certfront.model.retry_after import seconds as retry_after_seconds
from certfront.model.retry_after import seconds_in_text

NONCE_ATTEMPTS = 20
"""Tries of one POST. At 50 % rejection ten tries still lose one POST in a thousand."""

DIRECTORY_AGE_SECONDS = 3600.0

_OK = range(200, 300)
_HMAC_BYTES = range(1, 1025)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----")
_PEM_CHAIN = "application/pem-certificate-chain"


class Session:
    """One account (or, without `account_url`, one key that may become one) at one directory URL.

    `ca_bundle` is PEM and replaces the public roots. `resolve_guard` returns the addresses that
    may be connected to (see `endpoints`). Every call raises AcmeProblem for the CA's refusals,
    CaUnreachable where no usable answer came, EndpointRefused for addresses that are not allowed.
    Safe to use from several threads.
    """

    def __init__(
        self,
        directory_url: str,
        account_key_pem: bytes,
        account_url: str | None,
        *,
        ca_bundle: bytes | None,
        user_agent: str,
        clock: Clock,
        resolve_guard: AddressGuard,
    ) -> None:
        self.directory_url = directory_url
        self.account_url = account_url
        self._key = AccountKey(account_key_pem)
        self._clock = clock
        self._transport = Transport(
            ca_bundle=ca_bundle, user_agent=user_agent, clock=clock, guard=resolve_guard
        )
        self._nonces = NoncePool(clock)
        self._lock = threading.Lock()
        self._directory: tuple[Directory, float] | None = None

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    # The account (section 7.3)

    def directory(self) -> Directory:
        """The CA's directory, at most an hour old; fetched anew after a 404 of one of its URLs."""
        now = self._clock.monotonic()
        with self._lock:
            cached = self._directory
        if cached is not None and now - cached[1] < DIRECTORY_AGE_SECONDS:
            return cached[0]
        answer = self._transport.exchange("GET", self.directory_url)
        if answer.status not in _OK:
            raise self._problem(answer, Operation.DIRECTORY)
        directory = resources.parse_directory(answer.body)
        with self._lock:
            self._directory = (directory, now)
        return directory

    def register(
        self,
        contact: tuple[str, ...],
        terms_agreed: bool,
        eab: tuple[str, str] | None,
    ) -> str:
        """The account's URL: created, or adopted where the key has one already.

        `contact` holds mailto: URLs. `eab` is (key id, base64url HMAC key), used for creation
        only. What the directory says to be missing (terms, external account) is refused before
        the request, in the CA's own terms.
        """
        directory = self.directory()
        _check_registration(directory, terms_agreed=terms_agreed, eab=eab)
        payload: dict[str, Any] = {}
        if contact:
            payload["contact"] = list(contact)
        if terms_agreed:
            payload["termsOfServiceAgreed"] = True
        if eab is not None:
            payload["externalAccountBinding"] = self._binding(eab, directory.new_account)
        return self._account(payload)

    def recover(self) -> str:
        """The URL of the account that the key already has; never creates one (section 7.3.1).

        Raises AcmeProblem accountDoesNotExist where the CA does not know the key.
        """
        return self._account({"onlyReturnExisting": True})

    # Orders (section 7.4)

    def new_order(
        self,
        dns_names: tuple[str, ...],
        ip_addresses: tuple[str, ...] = (),
        *,
        profile: str | None = None,
        replaces: str | None = None,
    ) -> Order:
        """Order a certificate for DNS names and addresses (canonical text, RFC 8738).

        The answer may be an order that is open already, or one that is `ready` at once.
        """
        identifiers = [{"type": "dns", "value": name} for name in dns_names]
        identifiers += [{"type": "ip", "value": address} for address in ip_addresses]
        payload: dict[str, Any] = {"identifiers": identifiers}
        if profile is not None:
            payload["profile"] = profile
        if replaces is not None:
            payload["replaces"] = replaces
        answer = self._post(Operation.NEW_ORDER, self.directory().new_order, payload)
        return self._order(answer, _location(answer, "newOrder"))

    def read_order(self, url: str) -> Order:
        """The order as it is now."""
        return self._order(self._post(Operation.READ_ORDER, url, None), url)

    def read_authorization(self, url: str) -> Authorization:
        """The authorization as it is now."""
        answer = self._post(Operation.READ_AUTHORIZATION, url, None)
        return resources.parse_authorization(
            answer.body, url=url, retry_after=self._retry_after(answer)
        )

    def start_challenge(self, url: str) -> Challenge:
        """Tell the CA that the answer to this challenge is in place (section 7.5.1)."""
        return resources.parse_challenge(self._post(Operation.START_CHALLENGE, url, {}).body)

    def key_authorization(self, token: str) -> str:
        """What the challenge's path must answer with."""
        return key_authorization(token, self._key.thumbprint)

    @property
    def thumbprint(self) -> str:
        """The account key's thumbprint: with it anyone can answer, nobody can sign."""
        return self._key.thumbprint

    def finalize(self, order: Order, csr_der: bytes) -> Order:
        """Hand in the request for a `ready` order; begins, does not wait (section 7.4)."""
        payload = {"csr": b64encode(csr_der).decode("ascii")}
        return self._order(self._post(Operation.FINALIZE, order.finalize, payload), order.url)

    def download(self, url: str) -> bytes:
        """The PEM chain of a `valid` order's certificate URL (section 7.4.2), unverified."""
        answer = self._post(
            Operation.DOWNLOAD, url, None, headers={"Accept": _PEM_CHAIN}, limit=CHAIN_LIMIT
        )
        if not _CERTIFICATE.search(answer.body):
            raise CaUnreachable("the CA's answer to a download holds no certificate")
        return answer.body

    # Signing and sending (section 6)

    def _account(self, payload: dict[str, Any]) -> str:
        url = self.directory().new_account
        answer = self._post(Operation.NEW_ACCOUNT, url, payload, with_jwk=True)
        location = _location(answer, "newAccount")
        status = _account_status(answer.body)
        if status in ("deactivated", "revoked"):
            raise problems.local(
                "unauthorized", f"the account is {status}", operation=Operation.NEW_ACCOUNT
            )
        self.account_url = location
        return location

    def _order(self, answer: Answer, url: str) -> Order:
        return resources.parse_order(answer.body, url=url, retry_after=self._retry_after(answer))

    def _post(
        self,
        operation: Operation,
        url: str,
        payload: dict[str, Any] | None,
        *,
        with_jwk: bool = False,
        headers: dict[str, str] | None = None,
        limit: int = JSON_LIMIT,
    ) -> Answer:
        """POST (None: POST-as-GET, whose payload is empty, unlike that of `{}`).

        A bad nonce is retried with the nonce that came with the refusal, within the deadline of
        one call; a refused signature algorithm with the next one that the CA lists.
        """
        body = b"" if payload is None else msgspec.json.encode(payload)
        algorithm = self._key.algorithms[0]
        refused: set[str] = set()
        with deadline(CALL_SECONDS, self._clock):
            for _ in range(NONCE_ATTEMPTS):
                signed = self._sign(body, url, algorithm, with_jwk=with_jwk)
                answer = self._transport.exchange(
                    "POST",
                    url,
                    body=signed,
                    headers={"Content-Type": "application/jose+json", **(headers or {})},
                    limit=limit,
                )
                self._nonces.add(answer.headers.get("replay-nonce"))
                if answer.status in _OK:
                    return answer
                problem = self._problem(answer, operation)
                if problem.code == "badNonce":
                    continue
                refused.add(algorithm.name)
                better = self._better_algorithm(problem, refused)
                if better is None:
                    raise problem
                algorithm = better
        raise problem

    def _sign(self, body: bytes, url: str, algorithm: JWASignature, *, with_jwk: bool) -> bytes:
        if not with_jwk and self.account_url is None:
            raise problems.local(
                "accountDoesNotExist", "no account is registered", operation=Operation.NEW_ACCOUNT
            )
        nonce = self._nonces.take() or self._fresh_nonce()
        token = jws.JWS.sign(
            body,
            key=self._key.jwk,
            alg=algorithm,
            nonce=b64decode(nonce),
            url=url,
            kid=None if with_jwk else self.account_url,
        )
        return str(token.json_dumps()).encode("ascii")

    def _fresh_nonce(self) -> str:
        answer = self._transport.exchange("HEAD", self.directory().new_nonce)
        self._nonces.add(answer.headers.get("replay-nonce"))
        nonce = self._nonces.take()
        if nonce is not None:
            return nonce
        if answer.status not in _OK:
            raise self._problem(answer, Operation.NEW_NONCE)
        raise CaUnreachable("the CA's answer to newNonce holds no nonce")

    def _better_algorithm(self, problem: AcmeProblem, refused: set[str]) -> JWASignature | None:
        if problem.code != "badSignatureAlgorithm":
            return None
        accepted = problem.problem.algorithms
        usable = (a for a in self._key.algorithms if a.name in accepted and a.name not in refused)
        return next(usable, None)

    def _problem(self, answer: Answer, operation: Operation) -> AcmeProblem:
        problem = problems.from_body(answer.body, status=answer.status)
        if answer.status == 404:  # The directory may have moved its URLs (N4).
            with self._lock:
                self._directory = None
        wait = self._retry_after(answer)
        if wait is None and problem.code == "rateLimited":
            # The kept text is without times, so this reads the answer as it came.
            text = answer.body[: 4 * problems.LONGEST_DETAIL].decode("utf-8", "replace")
            wait = seconds_in_text(text, now=self._clock.now())
        return AcmeProblem(problem, operation=operation, status=answer.status, retry_after=wait)

    def _retry_after(self, answer: Answer) -> float | None:
        return retry_after_seconds(answer.headers.get("retry-after"), now=self._clock.now())

    def _binding(self, eab: tuple[str, str], url: str) -> dict[str, Any]:
        """The inner JWS: the account's public key, signed with the CA's HMAC key (§7.3.4)."""
        kid, text = eab
        public = self._key.jwk.public_key().json_dumps().encode("ascii")
        inner = jws.JWS.sign(
            public,
            key=JWKOct(key=_hmac_key(text)),
            alg=HS256,
            nonce=None,
            url=url,
            kid=kid,
        )
        binding: dict[str, Any] = msgspec.json.decode(inner.json_dumps())
        return binding


def _location(answer: Answer, resource: str) -> str:
    location = answer.headers.get("location")
    if not location:
        raise CaUnreachable(f"the CA's answer to {resource} has no Location")
    return urljoin(answer.url, location)


def _check_registration(
    directory: Directory, *, terms_agreed: bool, eab: tuple[str, str] | None
) -> None:
    if directory.external_account_required and eab is None:
        raise problems.local(
            "externalAccountRequired",
            "the CA requires an external account binding and the Issuer has none",
            operation=Operation.NEW_ACCOUNT,
        )
    if directory.terms is not None and not terms_agreed:
        raise problems.local(
            "userActionRequired",
            f"the CA's terms of service must be agreed to: {directory.terms}",
            operation=Operation.NEW_ACCOUNT,
        )


def _hmac_key(text: str) -> bytes:
    """The HMAC key as CAs print it: base64, usually url-safe, with or without padding."""
    plain = "".join(text.split()).rstrip("=").replace("+", "-").replace("/", "_")
    try:
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _HMAC_BYTES:
        raise problems.local(
            "malformed",
            "the external account binding's HMAC key is not base64url",
            operation=Operation.NEW_ACCOUNT,
        )
    return key


def _account_status(body: bytes) -> str:
    try:
        account = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return "valid"
    status = account.get("status") if isinstance(account, dict) else None
    return status if isinstance(status, str) else "valid"
