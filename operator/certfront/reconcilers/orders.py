"""Orders of ACME certificates: the driver's steps against Secrets, challenge routes and status.

A fact learned from the CA is in status, by compare-and-set, before the next effect (protocols 2).
"""

import base64
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.issuance.acme import driver as drivers
from certfront.issuance.acme.account_key import (
    AccountKey,
    InvalidAccountKey,
    key_authorization,
)
from certfront.issuance.acme.driver import OrderRequest
from certfront.issuance.acme.order import Attempt, Backoff, Pending, Presentation, View
from certfront.issuance.needs import Wanted
from certfront.issuance.outcomes import Blocked, Done, Failed, Outcome, Working
from certfront.issuance.record import MARKER, RENEW, ROLE_LABEL, owner_reference
from certfront.issuance.report import failures_before
from certfront.issuance.triggers import Trigger
from certfront.kube.errors import AlreadyExists, Conflict, NotFound
from certfront.kube.resources import CERTIFICATES, SECRETS
from certfront.loadbalancers import acceptance, challenges
from certfront.loadbalancers.challenges import ChallengeRoute, NoRouteForChallenge, Route
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.watermark import served
from certfront.model.certificate import Certificate
from certfront.model.frontend import Frontend
from certfront.model.issuer import Issuer
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import InvalidObject, ObjectName, parse, parsed, plain
from certfront.model.secret_data import value_of
from certfront.model.times import from_text, to_text
from certfront.pki import chain, issue, keys
from certfront.pki.pair import KeyPair
from certfront.reconcilers import secrets
from certfront.reconcilers.accounts import KEY, Account, Accounts, account_secret_name
from certfront.reconcilers.context import POLL_UNLABELLED, Context
from certfront.reconcilers.frontends.leases import nodes_of
from certfront.reconcilers.stores import CERTIFICATE, ISSUER, LOADBALANCER, SECRET
from certfront.reconcilers.view import View as CertificateView
from certfront.reconcilers.view import kept_key
from certfront.reconcilers.wakeups import is_handed_over

ATTEMPT = "certfront.io/attempt"
ORDER_URL = "certfront.io/order-url"
CREATED_AT = "certfront.io/created-at"
PENDING_KEY = "tls.key"
ORDERS_AT_A_TIME = 8
CHALLENGE_TYPES = ("http-01",)
_DAY = timedelta(days=1)
_PROGRESS = {
    "Ordering": 5,
    "OrderCreated": 15,
    "ChallengePresented": 30,
    "Validating": 50,
    "Finalizing": 75,
    "Downloading": 90,
}


class OrderReconciler:
    """Advances the order of a Certificate by one step a pass."""

    def __init__(self, context: Context, accounts: Accounts) -> None:
        self._context = context
        self._accounts = accounts
        self._holder = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"

    async def advance(self, view: CertificateView, trigger: Trigger) -> Outcome | KeyPair:
        """The next step of the order that `trigger` calls for; the pair once the CA has issued."""
        issuer, wanted = view.supply.issuer, view.wanted
        if issuer is None or wanted is None:
            return Blocked(reason="IssuerNotReady", message="The Issuer is not known.")
        await self._check_claim(view.certificate)
        account = await self._accounts.open(issuer)
        ports = _Ports(self._context, view.certificate, account, external=_is_external(issuer))
        request = self._request(view, wanted, issuer)
        # A slow CA must not hold the workers: who finds no place is asked again.
        async with self._context.domains.bounded(
            account.domain, limit=ORDERS_AT_A_TIME, patience=0
        ):
            outcome = await account.driver.advance(
                await self._seen(view, trigger, issuer), request, ports
            )
        if isinstance(outcome, drivers.Blocked) and outcome.reason == "AccountLost":
            await self._accounts.open(issuer, lost=account)
            self._context.queue.add(Key(ISSUER, issuer.metadata.namespace, issuer.metadata.name))
        if isinstance(outcome, drivers.Obtained):
            return self._checked(wanted, outcome)
        return _translated(outcome, view)

    async def sweep(self, certificate: ObjectName) -> None:
        """Delete the pending keys and challenges of every attempt but the one that is open now.

        Which one that is, a live read tells: an older view must not cost an open order its key.
        """
        left = tuple(self._left_behind(certificate))
        if not left:
            return
        live = await self._context.live(CERTIFICATES, *certificate)
        order = ((live or {}).get("status") or {}).get("order") or {}
        for secret in left:
            if _attempt_of(secret) != order.get("id"):
                await secrets.delete(self._context, secret)

    def _left_behind(self, certificate: ObjectName) -> Iterator[Object]:
        """Pending keys of its own namespace, and challenges where a LoadBalancer reads them.

        Others may carry the same marks: a tenant can write what it likes into Secrets of its own.
        """
        lookup = self._context.indices.secrets_by_certificate.lookup
        for key in lookup(("pending", str(certificate))):
            secret = self._context.store.find(key)
            if secret is not None and key.namespace == certificate.namespace:
                yield secret
        for key in lookup(("challenge", str(certificate))):
            secret = self._context.store.find(key)
            if secret is not None and is_handed_over(self._context.store, secret):
                yield secret

    async def _check_claim(self, certificate: Certificate) -> None:
        """Raise Conflict where a claim that has no order yet is not the latest that was written.

        Nothing at the CA tells one newOrder from another, and the watch may lag behind our own write.
        """
        order = certificate.status.order
        if not order or order.get("orderURL"):
            return
        live = await self._context.live(CERTIFICATES, *certificate.metadata.object_name)
        if ((live or {}).get("status") or {}).get("order") != order:
            raise Conflict(409, "Conflict", "the order was placed already, or given up")

    async def _seen(self, view: CertificateView, trigger: Trigger, issuer: Issuer) -> View:
        status = view.certificate.status
        failures = failures_before(view.certificate, view.need)
        return View(
            now=self._context.clock.now(),
            holder=self._holder,
            need=view.need,
            number=failures + 1,
            attempt=_attempt(status.order),
            failed_attempts=failures,
            secret_has_need=view.record.need == view.need,
            no_route=await self._no_route(view, issuer),
            challenge_types=CHALLENGE_TYPES,
            keep_key=kept_key(view, trigger) is not None,
        )

    async def _no_route(self, view: CertificateView, issuer: Issuer) -> str | None:
        """Why the challenges could not be answered; None where they can, or where nobody can tell."""
        if _is_external(issuer):
            return None
        try:
            await routes_of(
                self._context, view.certificate, view.wanted.names if view.wanted else ()
            )
        except NoRouteForChallenge as error:
            return error.message
        return None

    def _request(self, view: CertificateView, wanted: Wanted, issuer: Issuer) -> OrderRequest:
        key, encoding = wanted.key, wanted.key.encoding
        names, common_name = wanted.names, wanted.request.common_name
        profile = wanted.profile or (issuer.spec.acme.profile if issuer.spec.acme else "")
        return OrderRequest(
            dns_names=wanted.request.dns_names,
            ip_addresses=wanted.request.ip_addresses,
            make_key=lambda: keys.to_pem(keys.generate(key.algorithm, key.size or None), encoding),
            make_csr=lambda pem: issue.csr(names, common_name, keys.from_pem(pem)),
            profile=profile or None,
            existing_key=view.record.pair.private_key_pem if view.record.pair else None,
        )

    def _checked(self, wanted: Wanted, obtained: drivers.Obtained) -> Outcome | KeyPair:
        """The pair, if the CA has issued what was asked for; nothing else reaches the Secret."""
        try:
            return chain.verify_issued(
                obtained.chain_pem,
                keys.from_pem(obtained.key_pem),
                wanted.names,
                self._context.clock.now(),
                encoding=wanted.key.encoding,
            )
        except chain.IssuedMismatch as error:
            message = f"The CA issued something else than was ordered: {error}"
            return Failed(reason="IssuedMismatch", message=message)


class _Ports:
    """What an order needs of the cluster, by live calls where absence would matter."""

    def __init__(
        self, context: Context, certificate: Certificate, account: Account, *, external: bool
    ) -> None:
        self._context = context
        self._certificate = certificate
        self._account = account
        self._external = external

    async def pending_key(self, attempt_id: str) -> Pending | None:
        secret = await self._context.live(SECRETS, self._namespace, _pending_name(attempt_id))
        return _pending(secret) if secret else None

    async def store_pending_key(self, attempt_id: str, key_pem: bytes, order_url: str) -> Pending:
        now = self._context.clock.now()
        body = _pending_secret(self._certificate, attempt_id, key_pem, order_url, to_text(now))
        try:
            secret = await self._context.client.create(SECRETS, body)
        except AlreadyExists:
            secret = await self._context.client.get(
                SECRETS, self._namespace, _pending_name(attempt_id)
            )
        self._context.learn(SECRET, secret)
        found = _pending(secret)
        if found is None:
            raise NotFound(404, "NotFound", "the pending key Secret holds no key")
        return found

    async def present(self, attempt: Attempt) -> None:
        for route in await self._routes(attempt):
            body = self._challenge_body(route, attempt)
            name = body["metadata"]["name"]
            held = await self._context.known(SECRETS, route.load_balancer.namespace, name)
            if held is None:
                await secrets.create(self._context, body)
            elif _attempt_of(held) != attempt.id:
                metadata = held["metadata"]
                await secrets.update(
                    self._context,
                    body,
                    uid=metadata["uid"],
                    resource_version=metadata["resourceVersion"],
                )

    async def presented(self, attempt: Attempt) -> Presentation:
        """READY once every current node of every load balancer on the way has passed the Secret."""
        routes = await self._routes(attempt)
        if not routes and not self._external:
            # The route went in the middle of the order: started now, the challenge would fail.
            return Presentation.PARTIAL
        states = [self._node_state(route, attempt) for route in routes]
        if Presentation.ABSENT in states:
            return Presentation.ABSENT
        return Presentation.PARTIAL if Presentation.PARTIAL in states else Presentation.READY

    @property
    def _namespace(self) -> str:
        return self._certificate.metadata.namespace

    async def _routes(self, attempt: Attempt) -> tuple[ChallengeRoute, ...]:
        names = [record.identifier for record in attempt.authorizations]
        try:
            return await routes_of(self._context, self._certificate, tuple(names))
        except NoRouteForChallenge:
            # An external route, or one that went meanwhile: then the CA tells.
            return ()

    def _challenge_body(self, route: ChallengeRoute, attempt: Attempt) -> Object:
        answers = tuple(
            handover.Challenge(
                hostname=record.identifier,
                token=record.token,
                key_authorization=self._account.session.key_authorization(record.token),
            )
            for record in attempt.authorizations
            if record.identifier in route.names
        )
        body = handover.challenge_secret(
            route.load_balancer,
            certificate=self._certificate.metadata.object_name,
            challenges=answers,
        )
        annotations = {**(body["metadata"].get("annotations") or {}), ATTEMPT: attempt.id}
        return {**body, "metadata": {**body["metadata"], "annotations": annotations}}

    def _node_state(self, route: ChallengeRoute, attempt: Attempt) -> Presentation:
        where = route.load_balancer
        name = self._challenge_body(route, attempt)["metadata"]["name"]
        secret = self._context.store.get(SECRET, where.namespace, name)
        balancer = self._context.store.get(LOADBALANCER, where.namespace, where.name)
        if secret is None or balancer is None or _attempt_of(secret) != attempt.id:
            return Presentation.ABSENT
        verdict = served(
            nodes_of(self._context, where),
            resource_version=secret["metadata"]["resourceVersion"],
            secrets=(name,),
            min_nodes=1,
            now=self._context.clock.now(),
        )
        return Presentation.READY if verdict.served else Presentation.PARTIAL


async def routes_of(
    context: Context, certificate: Certificate, names: tuple[str, ...]
) -> tuple[ChallengeRoute, ...]:
    """The load balancers that answer for `names`. Raises NoRouteForChallenge."""
    namespace = certificate.metadata.namespace
    labels = await context.namespace_labels(namespace)
    where = tuple(certificate.metadata.object_name)
    routes: list[Route] = []
    for key in context.indices.frontends_by_certificate.lookup(where):
        obj = context.store.find(key)
        frontend = parsed(Frontend, obj) if obj is not None else None
        if frontend is None or frontend.spec.manage != "Listener":
            # Whoever made the listener has its port 80, too.
            continue
        target = acceptance.target_of(frontend, context.settings)
        if target is not None:
            routes += _route(context, target, namespace, labels)
    for key in context.indices.load_balancers_by_certificate.lookup(where):
        target = ObjectName(key.namespace, key.name)
        routes += _route(context, target, namespace, labels)
    return challenges.routes_for(names, routes)


def token_lookup(context: Context) -> Callable[[str, str | None], str | None]:
    """What the challenge port of every replica answers: tokens are in status, keys in Secrets."""

    def lookup(token: str, _host: str | None) -> str | None:
        for key in context.indices.certificates_by_token.lookup(token):
            certificate = context.store.find(key)
            thumbprint = _thumbprint(context, certificate) if certificate else None
            if thumbprint is not None:
                return key_authorization(token, thumbprint)
        return None

    return lookup


def _thumbprint(context: Context, certificate: Object) -> str | None:
    """The thumbprint of the account that orders for this certificate, from the store alone.

    The Secret is found through the Issuer, which tenants cannot write, never by what it says itself.
    """
    key = Key(CERTIFICATE, certificate["metadata"]["namespace"], certificate["metadata"]["name"])
    for value in context.indices.certificates_by_issuer.values_of(key):
        namespace, name = cast("tuple[str, str]", value)
        found = context.store.find(Key(ISSUER, namespace, name))
        issuer = parsed(Issuer, found) if found else None
        if issuer is None or issuer.spec.acme is None:
            continue
        holder = account_secret_name(issuer, issuer.spec.acme)
        secret = context.store.get(SECRET, namespace, holder)
        pem = value_of(secret, KEY)
        try:
            return AccountKey(pem).thumbprint if pem else None
        except InvalidAccountKey:
            return None
    return None


def _route(
    context: Context,
    target: ObjectName,
    namespace: str,
    labels: Mapping[str, str],
) -> list[Route]:
    obj = context.store.get(LOADBALANCER, target.namespace, target.name)
    balancer = parsed(LoadBalancer, obj) if obj is not None else None
    if balancer is None:
        return []
    permission = acceptance.permission_of(balancer, namespace, labels)
    return [Route(load_balancer=balancer, permission=permission)]


def _translated(outcome: drivers.Outcome, view: CertificateView) -> Outcome:
    """The driver's outcome in the terms of a pass."""
    order = view.certificate.status.order
    match outcome:
        case drivers.Continue(attempt=attempt, step=step, message=message, wait_seconds=seconds):
            kept = plain(attempt) if attempt is not None else order
            after = timedelta(seconds=seconds)
            progress = _PROGRESS.get(step, 0)
            return Working(
                step=step, message=_sentence(message), progress=progress, order=kept, after=after
            )
        case drivers.Blocked(reason=reason, message=message, wait_seconds=seconds):
            after = timedelta(seconds=seconds)
            if reason == "NoRouteForChallenge":
                # Not every change that opens a route wakes the certificate.
                after = min(after, POLL_UNLABELLED)
            return Blocked(reason=reason, message=_sentence(message), after=after, order=order)
        case drivers.Failed():
            return _failed(outcome, _tokens(order))
        case drivers.Abandoned():
            return Working(
                step="Ordering",
                message=_sentence(outcome.message),
                progress=0,
                order=None,
                after=timedelta(),
            )
        case _:
            return Done(renewed_for=view.certificate.metadata.annotations.get(RENEW, ""))


def _failed(outcome: drivers.Failed, tokens: Iterable[str]) -> Outcome:
    """The failure without what differs in each attempt, so that equal failures read alike."""
    text = outcome.message
    for token in tokens:
        text = text.replace(token, "…")
    message = _sentence(text)
    at_least = timedelta(seconds=outcome.retry_after or 0)
    if outcome.backoff is Backoff.PERMANENT:
        at_least = max(at_least, _DAY)
    return Failed(
        reason=outcome.reason,
        message=message,
        identifier=outcome.identifier,
        challenge=outcome.challenge,
        at_least=at_least,
        immediate=outcome.backoff is Backoff.IMMEDIATE,
        permanent=outcome.backoff is Backoff.PERMANENT,
    )


def _tokens(order: Mapping[str, Any] | None) -> Iterator[str]:
    for entry in (order or {}).get("authorizations") or ():
        if entry.get("token"):
            yield entry["token"]


def _sentence(text: str) -> str:
    """`text` with a capital and a full stop; a host name that it begins with stays as it is."""
    begins_with_name = "." in text.partition(" ")[0]
    capital = text[:1] if begins_with_name else text[:1].upper()
    return capital + text[1:] + ("" if not text or text.endswith(".") else ".")


def _attempt(order: dict[str, object] | None) -> Attempt | None:
    if not order:
        return None
    try:
        return parse(Attempt, order)
    except InvalidObject:
        return None


def _attempt_of(secret: Object) -> str:
    found: str = (secret["metadata"].get("annotations") or {}).get(ATTEMPT, "")
    return found


def _is_external(issuer: Issuer) -> bool:
    solvers = issuer.spec.acme.solvers if issuer.spec.acme else ()
    return any(
        solver.http01 is not None and solver.http01.route == "External" for solver in solvers
    )


def _pending_name(attempt_id: str) -> str:
    return f"pending-{attempt_id}"


def _pending(secret: Object) -> Pending | None:
    key = value_of(secret, PENDING_KEY)
    annotations = secret["metadata"].get("annotations") or {}
    if key is None or ORDER_URL not in annotations:
        return None
    return Pending(
        key_pem=key,
        order_url=annotations[ORDER_URL],
        created_at=from_text(annotations[CREATED_AT]),
    )


def _pending_secret(
    certificate: Certificate, attempt: str, key_pem: bytes, order_url: str, created_at: str
) -> Object:
    return {
        "metadata": {
            "name": _pending_name(attempt),
            "namespace": certificate.metadata.namespace,
            "labels": {ROLE_LABEL: "pending"},
            "annotations": {
                MARKER: str(certificate.metadata.object_name),
                ATTEMPT: attempt,
                ORDER_URL: order_url,
                CREATED_AT: created_at,
            },
            "ownerReferences": [owner_reference(certificate)],
        },
        "type": "Opaque",
        "immutable": True,
        "data": {PENDING_KEY: base64.b64encode(key_pem).decode()},
    }
