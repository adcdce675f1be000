"""ACME accounts of Issuers: the key is created once, the account registered or found again.

Opened by the Issuer's reconciler, used by orders. Two Issuers with one key and CA share a session.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import timedelta

from certfront import __version__
from certfront.issuance.acme.account_key import InvalidAccountKey, new_account_key
from certfront.issuance.acme.driver import OrderDriver
from certfront.issuance.acme.endpoints import AllowedEndpoints
from certfront.issuance.acme.problems import (
    AcmeProblem,
    CaUnreachable,
    CaUntrusted,
    Disposition,
    EndpointRefused,
)
from certfront.issuance.acme.session import Session
from certfront.issuance.acme.worker import AccountWorker
from certfront.issuance.record import ROLE_LABEL
from certfront.kube.errors import AlreadyExists
from certfront.kube.resources import SECRETS
from certfront.model.errors import CertfrontError, Refused, Waiting
from certfront.model.issuer import ACMEIssuer, Issuer
from certfront.model.meta import ObjectName
from certfront.model.secret_data import value_of
from certfront.reconcilers.context import Context

KEY = "tls.key"
DIRECTORY = "certfront.io/directory-url"
ISSUER = "certfront.io/issuer"
USER_AGENT = f"certfront/{__version__}"
RETRY = timedelta(minutes=1)
_TERMS, _BINDING = "userActionRequired", "externalAccountRequired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that can order. `driver` serializes what must be."""

    url: str
    session: Session
    worker: AccountWorker
    driver: OrderDriver

    @property
    def domain(self) -> str:
        """The domain of serialization of its orders."""
        return f"acme {self.url}"


class Accounts:
    """The open accounts of this process, by Issuer and by key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._guard = AllowedEndpoints(context.settings.allow_endpoints)
        self._by_issuer: dict[ObjectName, tuple[str, Account]] = {}
        self._by_identity: dict[str, Account] = {}

    async def open(self, issuer: Issuer, *, lost: Account | None = None) -> Account:
        """The account of `issuer`, registered if need be; anew where the CA has forgotten `lost`.

        Raises Waiting and Refused with a reason of the catalogue.
        """
        acme = issuer.spec.acme
        if acme is None:
            raise Refused("InvalidSpec", "spec.acme is missing.")
        key = await self._key(issuer, acme)
        identity = _identity(acme, key)
        async with self._context.domains.exclusive(f"account {identity}", patience=0):
            held = self._by_identity.get(identity)
            if held is None or held is lost:
                held = await self._opened(issuer, acme, key, lost=held)
                self._by_identity[identity] = held
        await self._use(issuer.metadata.object_name, identity, held)
        return held

    async def _use(self, issuer: ObjectName, identity: str, account: Account) -> None:
        """Note whose account it is, and close the one that nobody uses any more."""
        before = self._by_issuer.get(issuer)
        self._by_issuer[issuer] = (identity, account)
        if before is not None and before[0] != identity:
            await self._close_unused(before[0])

    async def _close_unused(self, identity: str) -> None:
        if identity in {used for used, _ in self._by_issuer.values()}:
            return
        account = self._by_identity.pop(identity, None)
        if account is not None:
            await account.worker.aclose()

    async def forget(self, namespace: str, name: str) -> None:
        """Close what only this Issuer used; the account itself stays at the CA."""
        entry = self._by_issuer.pop(ObjectName(namespace, name), None)
        if entry is not None:
            await self._close_unused(entry[0])

    async def close(self) -> None:
        """Wait for calls in flight and close the connections."""
        for account in self._by_identity.values():
            await account.worker.aclose()
        self._by_identity.clear()
        self._by_issuer.clear()

    async def _opened(
        self, issuer: Issuer, acme: ACMEIssuer, key: bytes, *, lost: Account | None
    ) -> Account:
        """Known accounts are used without asking the CA; others are registered or found by key."""
        known = (
            issuer.status.account_url if issuer.status.directory_url == acme.directory_url else ""
        )
        if lost is not None:
            await lost.worker.aclose()
            known = ""
        session = self._session(acme, key, known or None)
        worker = AccountWorker(session, clock=self._context.clock)
        try:
            url = known or await self._registered(worker, issuer, acme)
        except CertfrontError:
            await worker.aclose()
            raise
        session.account_url = url
        driver = OrderDriver(worker, self._context.clock)
        return Account(url=url, session=session, worker=worker, driver=driver)

    def _session(self, acme: ACMEIssuer, key: bytes, url: str | None) -> Session:
        try:
            return Session(
                acme.directory_url,
                key,
                url,
                ca_bundle=acme.ca_bundle.encode() or None,
                user_agent=USER_AGENT,
                clock=self._context.clock,
                resolve_guard=self._guard,
            )
        except InvalidAccountKey as error:
            raise Waiting(
                "InvalidAccountKey", f"The account key cannot be used: {error}."
            ) from None

    async def _registered(self, worker: AccountWorker, issuer: Issuer, acme: ACMEIssuer) -> str:
        contact = (f"mailto:{acme.email}",) if acme.email else ()
        binding = await self._binding(issuer, acme)
        agreed = acme.terms_of_service_agreed
        try:
            return await worker.call(lambda: worker.session.register(contact, agreed, binding))
        except AcmeProblem as problem:
            raise _translated(problem) from None
        except CaUntrusted as error:
            raise Waiting("CAUntrusted", f"{error}. Set spec.acme.caBundle.") from None
        except CaUnreachable as error:
            raise Waiting("CAUnreachable", f"The CA cannot be used: {error}.") from None
        except EndpointRefused as error:
            raise Waiting("EndpointRefused", f"{error}.") from None

    async def _binding(self, issuer: Issuer, acme: ACMEIssuer) -> tuple[str, str] | None:
        binding = acme.external_account_binding
        if binding is None:
            return None
        reference = binding.key_secret_ref
        secret = await self._context.known(SECRETS, issuer.metadata.namespace, reference.name)
        found = value_of(secret, reference.key or "key")
        if found is None:
            key = reference.key or "key"
            raise Waiting(
                "SecretNotFound", f"Secret {reference.name} with key {key} does not exist."
            )
        return (binding.key_id, found.decode("ascii", "replace").strip())

    async def _key(self, issuer: Issuer, acme: ACMEIssuer) -> bytes:
        """The account key in its Secret, created on first use and never overwritten."""
        name = account_secret_name(issuer, acme)
        namespace = issuer.metadata.namespace
        secret = await self._context.known(SECRETS, namespace, name)
        if secret is None:
            try:
                secret = await self._context.client.create(SECRETS, _key_secret(issuer, acme, name))
            except AlreadyExists:
                secret = await self._context.live(SECRETS, namespace, name)
        key = value_of(secret, KEY)
        if secret is None or key is None:
            raise Waiting("InvalidAccountKey", f"Secret {name} has no {KEY} with the account key.")
        belongs = (secret["metadata"].get("annotations") or {}).get(DIRECTORY, acme.directory_url)
        if belongs != acme.directory_url:
            raise Waiting(
                "InvalidAccountKey",
                f"The key in Secret {name} belongs to another directory. Name another Secret in"
                " spec.acme.privateKeySecretRef.",
            )
        return key


def account_secret_name(issuer: Issuer, acme: ACMEIssuer) -> str:
    """The Secret of the account key: as asked, else named after the Issuer and its directory."""
    if acme.private_key_secret_ref is not None:
        return acme.private_key_secret_ref.name
    where = f"Issuer/{issuer.metadata.object_name}/{acme.directory_url}"
    return f"account-{hashlib.sha256(where.encode()).hexdigest()[:32]}"


def _key_secret(issuer: Issuer, acme: ACMEIssuer, name: str) -> dict[str, object]:
    return {
        "metadata": {
            "name": name,
            "namespace": issuer.metadata.namespace,
            "labels": {ROLE_LABEL: "account"},
            "annotations": {
                DIRECTORY: acme.directory_url,
                ISSUER: str(issuer.metadata.object_name),
            },
        },
        "type": "Opaque",
        "data": {KEY: base64.b64encode(new_account_key()).decode()},
    }


def _identity(acme: ACMEIssuer, key: bytes) -> str:
    binding = acme.external_account_binding
    parts = (
        acme.directory_url.encode(),
        acme.ca_bundle.encode(),
        acme.email.encode(),
        str(acme.terms_of_service_agreed).encode(),
        (binding.key_id if binding else "").encode(),
        key,
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _translated(problem: AcmeProblem) -> CertfrontError:
    """A refused registration as the Issuer's condition shows it."""
    if problem.code == _TERMS:
        return Refused("TermsNotAgreed", f"{problem.detail}. Set spec.acme.termsOfServiceAgreed.")
    if problem.code == _BINDING:
        return Refused("ExternalAccountRequired", f"{problem.detail}.")
    after = max(problem.retry_after or 0, RETRY.total_seconds())
    if problem.disposition is Disposition.RATE_LIMITED:
        return Waiting("RateLimited", f"The CA asks to wait: {problem.detail}", after_seconds=after)
    if problem.disposition is Disposition.RETRY_SOON:
        return Waiting("CAUnreachable", f"CA: {problem.problem.describe()}", after_seconds=after)
    return Waiting("AccountRefused", f"CA: {problem.problem.describe()}", after_seconds=3600)
