"""The reconciler of Certificates: observe, decide, act, report.

A self-signed or CA certificate costs two writes: the Secret, then the status that mirrors it.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from certfront.engine.executors import run_blocking
from certfront.engine.keys import Key
from certfront.engine.results import Result
from certfront.engine.store import Object
from certfront.issuance import needs, record, report, schedule, triggers
from certfront.issuance.needs import Wanted
from certfront.issuance.outcomes import Blocked, Done, Failed, Impossible, Outcome, Waiting, Working
from certfront.issuance.record import ABSENT, Record
from certfront.issuance.report import Findings
from certfront.issuance.supply import Supply, check_supported
from certfront.issuance.triggers import Observed, Trigger
from certfront.kube.errors import Conflict
from certfront.kube.resources import CERTIFICATES, SECRETS
from certfront.model.certificate import Certificate, CertificateSpec, CertificateStatus
from certfront.model.conditions import find
from certfront.model.errors import CertfrontError, Refused
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import InvalidObject, ObjectName, parse
from certfront.pki import certificates, facts, issue, keys
from certfront.pki.facts import Facts
from certfront.pki.pair import KeyPair
from certfront.pki.request import InvalidRequest
from certfront.reconcilers import secrets, sources, statuses, transitions
from certfront.reconcilers.context import POLL_UNLABELLED, Context
from certfront.reconcilers.installations import algorithm_taken, installation_of
from certfront.reconcilers.managed import ManagedReconciler
from certfront.reconcilers.targets import Targets
from certfront.reconcilers.view import View, kept_key

_log: Final = logging.getLogger(__name__)
RSA_DEADLINE_SECONDS = 60.0
ACCOUNT_RETRY = timedelta(minutes=1)


class Orders(Protocol):
    """How certificates are ordered from an ACME CA, one step a call (reconcilers/orders.py)."""

    async def advance(self, view: View, trigger: Trigger) -> Outcome | KeyPair:
        """The next step of the order that `trigger` calls for; a pair when the CA has issued."""
        ...

    async def sweep(self, certificate: ObjectName) -> None:
        """Remove what ended orders of a Certificate have left behind."""
        ...


class CertificateReconciler:
    """Makes each Certificate's Secret hold what its spec asks for."""

    def __init__(self, context: Context, orders: Orders, targets: Targets) -> None:
        """`targets` are the load balancers whose providers issue certificates themselves."""
        self._context = context
        self._orders = orders
        self._managed = ManagedReconciler(context, targets)

    async def reconcile(self, key: Key) -> Result:
        """One pass over one Certificate."""
        obj = await self._context.known(CERTIFICATES, key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            await self._orders.sweep(ObjectName(key.namespace, key.name))
            return Result()
        try:
            certificate = parse(Certificate, obj)
        except InvalidObject as error:
            return await self._report_unreadable(obj, error)
        if certificate.spec.type == "Managed":
            return await self._managed.reconcile(obj, certificate)
        view = await self._observe(certificate, live=False)
        try:
            outcome, view = await self._act(view)
        except Conflict:
            # What the decision was made on has changed: once more, on live reads.
            view = await self._observe(certificate, live=True)
            outcome, view = await self._act(view)
        return await self._report(obj, view, outcome)

    # observe

    async def _observe(self, certificate: Certificate, *, live: bool) -> View:
        algorithm = algorithm_taken(self._context, certificate.metadata.object_name)
        wanted, refusal = _wanted(certificate, algorithm)
        supply = Supply()
        if wanted is not None:
            supply = await sources.supply(self._context, certificate, wanted)
        secret = await self._secret(certificate, live=live)
        held = _in_place(certificate, secret, supply) or await self._owned(certificate, secret)
        return View(
            certificate=certificate,
            secret=secret,
            record=held,
            wanted=wanted,
            refusal=refusal,
            supply=supply,
            live=live,
        )

    async def _secret(self, certificate: Certificate, *, live: bool) -> Object | None:
        """The target Secret. On the first pass nothing in the store is enough: the first write proves it."""
        namespace, name = certificate.metadata.namespace, certificate.secret_name
        if live:
            return await self._context.live(SECRETS, namespace, name)
        held = self._context.store.get("Secret", namespace, name)
        first_pass = certificate.status.observed_generation < 0
        if held is not None or (first_pass and certificate.spec.type in ("SelfSigned", "CA")):
            return held
        return await self._context.live(SECRETS, namespace, name)

    async def _owned(self, certificate: Certificate, secret: Object | None) -> Record:
        """The record in the Secret; one whose own Certificate is gone is taken over."""
        held = record.observe(certificate, secret)
        if held.ownership != "Foreign" or secret is None:
            return held
        marked = ObjectName.parse(held.marker)
        if marked is None or marked.namespace != certificate.metadata.namespace:
            return held
        if await self._context.live(CERTIFICATES, *marked) is not None:
            return held
        return record.observe(certificate, record.as_adoptable(secret))

    # decide and act

    async def _act(self, view: View) -> tuple[Outcome, View]:
        decision = decide(view, self._observed(view))
        if not isinstance(decision, Trigger):
            repaired = await self._repair_template(view, decision)
            if isinstance(decision, Done) and repaired.record.held:
                await self._drop_old_secret(repaired)
            return decision, repaired
        if view.certificate.spec.type == "ACME" and not view.live:
            # What is in the store is a hint: an order is justified by a live read alone.
            return await self._act(await self._observe(view.certificate, live=True))
        carried = await self._carried_over(view, decision)
        if carried is not None:
            return Done(issued=False), carried
        made = await self._obtain(view, decision)
        if not isinstance(made, KeyPair):
            return made, view
        return await self._store(view, decision, made)

    def _observed(self, view: View) -> Observed | None:
        if view.wanted is None:
            return None
        authority = view.supply.authority
        pair, accepted = view.record.pair, view.supply.accepted
        return Observed(
            certificate=view.certificate,
            wanted=view.wanted,
            record=view.record,
            now=self._context.clock.now(),
            issuer_identity=view.supply.identity,
            issued_by_authority=pair is None
            or authority is None
            or certificates.is_issued_by(pair.leaf, authority.certificate),
            reissue_before=view.supply.reissue_before,
            source_fingerprint=facts.read(accepted.pair.leaf, size=0).fingerprint
            if accepted
            else "",
            trust_clock=self._context.trust_clock(),
        )

    async def _obtain(self, view: View, trigger: Trigger) -> Outcome | KeyPair:
        """A new pair, or what came instead of one."""
        wanted = view.wanted
        if view.supply.accepted is not None:
            return view.supply.accepted.pair
        if wanted is None or wanted.type == "ACME":
            try:
                return await self._orders.advance(view, trigger)
            except CertfrontError as error:
                return Blocked(reason=error.reason, message=error.message, after=ACCOUNT_RETRY)
        key = await self._key(view, wanted, trigger)
        try:
            return self._sign(view, wanted, key)
        except issue.InvalidAuthority as error:
            return Blocked(reason=error.reason, message=error.message)
        except InvalidRequest as error:
            return Impossible(reason="InvalidSpec", message=f"{error}. Correct the spec.")

    def _sign(self, view: View, wanted: Wanted, key: keys.PrivateKey) -> KeyPair:
        now, encoding = self._context.clock.now(), wanted.key.encoding
        if view.supply.authority is not None:
            authority = view.supply.authority
            return issue.sign(wanted.request, key, authority=authority, now=now, encoding=encoding)
        name = view.certificate.metadata.name
        return issue.self_signed(wanted.request, key, now=now, object_name=name, encoding=encoding)

    async def _key(self, view: View, wanted: Wanted, trigger: Trigger) -> keys.PrivateKey:
        kept = kept_key(view, trigger)
        if kept is not None:
            return kept
        algorithm, size = wanted.key.algorithm, wanted.key.size or None
        if algorithm is not KeyAlgorithm.RSA:
            return keys.generate(algorithm, size)
        make = partial(keys.generate, algorithm, size)
        return await run_blocking(self._context.executor, make, RSA_DEADLINE_SECONDS)

    async def _store(self, view: View, trigger: Trigger, pair: KeyPair) -> tuple[Outcome, View]:
        """Write the pair with its need, and see what the Secret holds then."""
        renewed_for = view.certificate.metadata.annotations.get(record.RENEW, "")
        body = record.body(
            view.certificate,
            pair,
            need=view.need,
            revision=view.next_revision,
            spec_hash=view.spec_hash,
            issued_at=self._context.clock.now(),
            renewed_for=renewed_for,
        )
        after = await self._written(view, body, pair)
        await self._drop_old_secret(after)
        warnings = view.supply.accepted.warnings if view.supply.accepted else ()
        done = Done(issued=True, why=trigger.message, renewed_for=renewed_for, warnings=warnings)
        return done, after

    async def _written(self, view: View, body: Object, pair: KeyPair) -> View:
        secret = await secrets.write(self._context, body, view.secret)
        return replace(
            view, secret=secret, record=record.observe(view.certificate, secret, written=pair)
        )

    async def _repair_template(self, view: View, decision: Outcome) -> View:
        """Put labels, annotations and owner back where they differ; the pair stays what it is."""
        held, secret = view.record, view.secret
        if not isinstance(decision, Done) or view.certificate.in_place:
            return view
        if not held.held or held.pair is None or secret is None:
            return view
        if held.ownership == "Ours" and record.template_applied(view.certificate, secret):
            return view
        if held.spec_hash is None and view.supply.identity is None:
            # Who issued it cannot be said now; it is adopted once the issuer can be read.
            return view
        revision = held.revision or view.next_revision
        return await self._written(view, _same_pair(view, held, held.pair, revision), held.pair)

    async def _carried_over(self, view: View, trigger: Trigger) -> View | None:
        """After a change of spec.secret.name the pair moves to the new Secret without a new issue."""
        old_name = view.certificate.status.secret_name
        if trigger.reason != "SecretMissing" or old_name in ("", view.certificate.secret_name):
            return None
        secret = await self._context.live(SECRETS, view.certificate.metadata.namespace, old_name)
        old = record.observe(view.certificate, secret)
        if old.ownership != "Ours" or old.pair is None or old.spec_hash != view.spec_hash:
            return None
        after = await self._written(view, _same_pair(view, old, old.pair, old.revision), old.pair)
        await self._drop_old_secret(after)
        return after

    async def _drop_old_secret(self, view: View) -> None:
        """Delete the Secret of the earlier name where the policy says so; the new one is complete."""
        certificate = view.certificate
        old_name = certificate.status.secret_name
        if old_name in ("", certificate.secret_name):
            return
        if certificate.spec.secret.deletion_policy != "Delete":
            return
        secret = await self._context.live(SECRETS, certificate.metadata.namespace, old_name)
        if secret is not None and record.observe(certificate, secret).ownership == "Ours":
            await secrets.delete(self._context, secret)

    # report

    async def _report(self, obj: Object, view: View, outcome: Outcome) -> Result:
        try:
            return await self._reported(obj, view, outcome)
        except Conflict:
            # Another write came between. What was learned outside is said again, if it still holds.
            metadata = view.certificate.metadata
            live = await self._context.live(CERTIFICATES, metadata.namespace, metadata.name)
            if live is None or not _same_attempt(view.certificate, live):
                raise
            certificate = parse(Certificate, live)
            return await self._reported(live, replace(view, certificate=certificate), outcome)

    async def _reported(self, obj: Object, view: View, outcome: Outcome) -> Result:
        findings = self._findings(view, self._observed(view), outcome)
        status = report.status(findings)
        if await statuses.write(self._context, CERTIFICATES, obj, status):
            _log_transition(view.certificate, status)
            await transitions.announce(
                self._context,
                obj,
                view.certificate.status,
                status,
                local=_is_local(view.certificate.spec),
            )
        if status.order is None:
            await self._orders.sweep(view.certificate.metadata.object_name)
        return Result(after=self._delay(findings, view, outcome))

    def _findings(self, view: View, observed: Observed | None, outcome: Outcome) -> Findings:
        held = view.record
        in_force = held.facts
        uploaded = view.certificate.spec.type == "Uploaded"
        return Findings(
            certificate=view.certificate,
            record=_counted(view),
            in_force=in_force,
            matches_spec=triggers.spec_current(observed) if observed else False,
            trigger=triggers.first_trigger(observed) if observed else None,
            outcome=outcome,
            installation=installation_of(self._context, view.certificate, in_force),
            uploaded=uploaded,
            renewal_time=observed.renewal_time if observed else None,
            warning_time=_warning_time(view.certificate, in_force),
            need=_reported_need(view, outcome),
            now=self._context.clock.now(),
            documentation_url=self._context.settings.documentation_url,
        )

    def _delay(self, findings: Findings, view: View, outcome: Outcome) -> timedelta | None:
        """When to look again: the next moment that changes something, a step, or a poll."""
        delays: list[timedelta | None] = [view.supply.poll]
        moments = (report.wake_time(findings), view.supply.reissue_before)
        delays += [moment - findings.now for moment in moments if moment and moment > findings.now]
        if isinstance(outcome, Working | Blocked):
            delays.append(outcome.after)
        if isinstance(outcome, Failed):
            delays.append(timedelta(seconds=1))
        return min((delay for delay in delays if delay is not None), default=None)

    async def _report_unreadable(self, obj: Object, error: InvalidObject) -> Result:
        """The stored object does not fit this version's schema: said in status, nothing is done."""
        minimal = parse(Certificate, {"metadata": obj["metadata"], "spec": {"type": "SelfSigned"}})
        view = View(
            certificate=minimal,
            secret=None,
            record=ABSENT,
            wanted=None,
            refusal=None,
            supply=Supply(),
        )
        message = f"The spec is not understood: {error}."
        return await self._report(obj, view, Impossible(reason="InvalidSpec", message=message))


def decide(view: View, observed: Observed | None) -> Outcome | Trigger:
    """What this pass has to do: the reason to issue, or what is reported instead. Pure."""
    if view.refusal is not None or observed is None:
        refusal = view.refusal
        return Impossible(
            reason=refusal.reason if refusal else "InvalidSpec",
            message=refusal.message if refusal else "",
        )
    if view.record.ownership == "Foreign":
        return Blocked(reason="SecretConflict", message=_conflict(view), after=POLL_UNLABELLED)
    problem = view.supply.problem
    if observed.uploaded and problem is not None:
        return problem
    trigger = triggers.first_trigger(observed)
    if trigger is None or (view.certificate.in_place and observed.uploaded):
        warnings = view.supply.accepted.warnings if view.supply.accepted else ()
        return Done(warnings=warnings)
    if problem is not None:
        return problem
    start = _starts_later(view, observed)
    if start is not None:
        return Blocked(
            reason="NotYetValid", message=sources.not_yet_valid(start), after=start - observed.now
        )
    until = report.backoff_until(view.certificate, view.need)
    if until is not None and observed.now < until and not trigger.urgent:
        return Waiting(until=until)
    return trigger


def _starts_later(view: View, observed: Observed) -> datetime | None:
    """When an uploaded pair becomes valid, where a valid one is in force until then."""
    accepted, facts_now = view.supply.accepted, view.record.facts
    if accepted is None or facts_now is None or observed.now >= facts_now.not_after:
        return None
    start = accepted.pair.leaf.not_valid_before_utc
    return start if start > observed.now else None


def _wanted(
    certificate: Certificate, unset_algorithm: KeyAlgorithm
) -> tuple[Wanted | None, Refused | None]:
    try:
        check_supported(certificate)
        return needs.wanted(certificate, unset_algorithm=unset_algorithm), None
    except Refused as refusal:
        return None, refusal


def _in_place(certificate: Certificate, secret: Object | None, supply: Supply) -> Record | None:
    """The record of a pair that is used where the user keeps it: never ours to write."""
    if not certificate.in_place:
        return None
    if supply.accepted is not None:
        pair = supply.accepted.pair
    elif secret is not None and _has_expired(supply):
        return replace(record.observe(certificate, record.as_adoptable(secret)), ownership="Ours")
    else:
        return ABSENT
    return Record(ownership="Ours", pair=pair, facts=facts.read(pair.leaf, size=len(pair.tls_crt)))


def _log_transition(certificate: Certificate, status: CertificateStatus) -> None:
    """One line whenever Ready says something else."""
    was, now = find(certificate.status.conditions, "Ready"), find(status.conditions, "Ready")
    if now is not None and (was is None or (was.status, was.reason) != (now.status, now.reason)):
        name = certificate.metadata.object_name
        _log.info("Certificate %s: Ready=%s %s: %s", name, now.status, now.reason, now.message)


def _same_attempt(certificate: Certificate, live: Object) -> bool:
    """Whether `live` is the same object, with the same spec, and knows the same of the same order.

    No order before and after is the same only if none has come to its end meanwhile.
    """
    metadata, status, before = live["metadata"], live.get("status") or {}, certificate.status
    return (
        metadata["uid"] == certificate.metadata.uid
        and metadata["generation"] == certificate.metadata.generation
        and (before.order or {}) == (status.get("order") or {})
        and before.revision == status.get("revision", 0)
        and before.failed_attempts == status.get("failedAttempts", 0)
    )


def _warning_time(certificate: Certificate, in_force: Facts | None) -> datetime | None:
    """From when on the end is announced of what nobody renews."""
    renewal = certificate.spec.renewal
    if in_force is None or not (certificate.spec.type == "Uploaded" or renewal.suspend):
        return None
    return schedule.warning_time(
        renewal, not_before=in_force.not_before, not_after=in_force.not_after
    )


def _reported_need(view: View, outcome: Outcome) -> str:
    """The need that this pass was about: what was just fulfilled, else the next one."""
    if isinstance(outcome, Done) and outcome.issued:
        return view.record.need
    return view.need if view.wanted else ""


def _has_expired(supply: Supply) -> bool:
    """What expires in force is still what is in force."""
    return isinstance(supply.problem, Impossible) and supply.problem.reason == "Expired"


def _counted(view: View) -> Record:
    """In place every replacement is a revision too; it is counted in status alone."""
    before = view.certificate.status
    held = view.record
    if not view.certificate.in_place or held.facts is None:
        return held
    changed = held.facts.fingerprint != before.fingerprint
    return replace(held, revision=before.revision + 1 if changed else before.revision)


def _same_pair(view: View, held: Record, pair: KeyPair, revision: int) -> Object:
    return record.body(
        view.certificate,
        pair,
        need=held.need or view.need,
        revision=revision,
        spec_hash=held.spec_hash or view.spec_hash,
        issued_at=held.issued_at or pair.leaf.not_valid_before_utc,
        renewed_for=held.renewed_for,
    )


def _conflict(view: View) -> str:
    name = view.certificate.secret_name
    owner = f" It belongs to Certificate {view.record.marker}." if view.record.marker else ""
    return (
        f"Secret {name} exists and is not this certificate's.{owner} It is left alone. Choose another"
        " spec.secret.name, or annotate the Secret with certfront.io/adopt=true to hand it over."
    )


def _is_local(spec: CertificateSpec) -> bool:
    return spec.type in ("SelfSigned", "CA", "Uploaded")
