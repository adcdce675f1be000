"""Certificates that the load balancer's provider issues and keeps: what it tells becomes their status.

There is no Secret and nothing is issued here: the targets of the frontends that use the Certificate
order it (`targets`), and this reconciler is woken when they have news.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from certfront.engine.results import Result
from certfront.engine.store import Object
from certfront.issuance import schedule
from certfront.issuance.record import RENEW
from certfront.issuance.report import Installation, installed_condition
from certfront.kube.resources import CERTIFICATES
from certfront.loadbalancers import reasons
from certfront.loadbalancers.materials import expected_names
from certfront.loadbalancers.protocol import CertificateSource, ManagedState, ProviderTask
from certfront.loadbalancers.registry import CAPABILITIES
from certfront.model.certificate import (
    Certificate,
    CertificateStatus,
    LastFailure,
    ManagedSource,
)
from certfront.model.columns import column
from certfront.model.conditions import Condition, merged, with_page
from certfront.model.tasks import Task, remember
from certfront.model.times import to_text
from certfront.reconcilers import statuses
from certfront.reconcilers.context import Context
from certfront.reconcilers.installations import balancer_types, installation_at
from certfront.reconcilers.targets import Targets
from certfront.reconcilers.transitions import announce_ready

_AFTER: Final = 0.1
_ASK_AGAIN: Final = 5.0
_USUAL_LIFETIME: Final = timedelta(days=90)
"""Of what providers issue (Let's Encrypt's), where they tell the end alone."""
_OPEN: Final = ("todo", "doing", "blocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that a pass over one Certificate depends on.

    `state` is None while no provider has told anything since the start. `refused` are the types of
    load balancers that issue none of this kind, of those that are to use it. `advice` says which names
    lead elsewhere.
    """

    certificate: Certificate
    state: ManagedState | None
    installation: Installation
    used: bool
    refused: tuple[str, ...]
    advice: str
    now: datetime
    documentation: str


class ManagedReconciler:
    """See the module."""

    def __init__(self, context: Context, targets: Targets) -> None:
        self._context = context
        self._targets = targets

    async def reconcile(self, obj: Object, certificate: Certificate) -> Result:
        """One pass over one Certificate of type Managed."""
        source = CertificateSource("Certificate", *certificate.metadata.object_name)
        found = self._observe(certificate, source)
        asked = certificate.metadata.annotations.get(RENEW, "")
        retry = bool(asked) and asked != certificate.status.handled_renew
        if retry:
            self._targets.retry(source)
        told = certificate.status.observed_generation == certificate.metadata.generation
        asked_nobody = found.state is None and found.used and not found.refused
        if asked_nobody and (told or certificate.status.serial or certificate.status.fingerprint):
            # What was told before the start is told until the provider was asked again.
            return Result(after=_ASK_AGAIN if retry or not told else None)
        status = status_of(found, handled_renew=asked or certificate.status.handled_renew)
        before = certificate.status
        if await statuses.write(self._context, CERTIFICATES, obj, status):
            await announce_ready(
                self._context,
                obj,
                before.conditions,
                status.conditions,
                action="Reconcile",
                expected=(reasons.ORDERED_AT_PROVIDER.name, reasons.WAITING_FOR_FRONTEND.name),
                troubling=(reasons.NOT_ROUTED.name, "ExpiringSoon"),
            )
        return Result(after=_next(found))

    def _observe(self, certificate: Certificate, source: CertificateSource) -> Found:
        balancers = balancer_types(self._context, certificate.metadata.object_name)
        kind = (certificate.spec.managed or ManagedSource()).kind
        refused = tuple(
            sorted(
                {
                    type_
                    for type_ in balancers.values()
                    if type_ not in CAPABILITIES or kind not in CAPABILITIES[type_].managed
                }
            )
        )
        states = [state for _, state in self._targets.managed(source)]
        state = min(states, key=_worst_first, default=None)
        fingerprint = "" if state is None else state.fingerprint
        return Found(
            certificate=certificate,
            state=state,
            installation=installation_at(self._context, certificate, fingerprint),
            used=bool(balancers),
            refused=refused if len(refused) == len(set(balancers.values())) else (),
            advice=self._targets.advice(source),
            now=self._context.clock.now(),
            documentation=self._context.settings.documentation_url,
        )


def _worst_first(state: ManagedState) -> tuple[bool, datetime]:
    """With several load balancers, the one that has none yet decides, then the one that ends first."""
    return (bool(state.provider_id), state.not_after or datetime.max.replace(tzinfo=UTC))


def status_of(found: Found, *, handled_renew: str) -> CertificateStatus:
    """The status of a Certificate that a provider issues. Pure."""
    certificate, state, before = found.certificate, found.state, found.certificate.status
    task, history = _task(before, None if state is None else state.task, found.now)
    names = expected_names(certificate)
    facts = state if state is not None and state.provider_id else None
    # What a provider does not tell again is still so while it has the same certificate.
    kept = before if state is None or facts is not None else CertificateStatus()
    ready = _ready(found)
    return CertificateStatus(
        observed_generation=certificate.metadata.generation,
        conditions=merged(
            before.conditions,
            _conditions(found, ready),
            generation=certificate.metadata.generation,
            now=found.now,
        ),
        task=task,
        task_history=history,
        last_failure=_last_failure(found),
        common_name=facts.domains[0] if facts and facts.domains else kept.common_name,
        subject=(facts and facts.subject) or kept.subject,
        domains=(facts and facts.domains) or kept.domains,
        issuer=(facts and facts.issuer) or kept.issuer,
        not_before=_text(facts.not_before if facts else None, kept.not_before),
        not_after=_text(facts.not_after if facts else None, kept.not_after),
        serial=(facts and facts.serial) or kept.serial,
        size=(facts and facts.size) or kept.size,
        fingerprint=(facts and facts.fingerprint) or kept.fingerprint,
        names=column(facts.domains if facts and facts.domains else names),
        revision=_revision(before, facts),
        handled_renew=handled_renew,
    )


def _text(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else to_text(moment)


def _revision(before: CertificateStatus, facts: ManagedState | None) -> int:
    if facts is None or (before.revision and not (facts.fingerprint or facts.serial)):
        return before.revision
    same = (facts.fingerprint, facts.serial) == (before.fingerprint, before.serial)
    return before.revision if same and before.revision else before.revision + 1


def _ready(found: Found) -> tuple[bool, str, str, bool]:
    """Whether it is Ready, the reason and message, and whether a page says more."""
    state, now = found.state, found.now
    if state is not None and state.provider_id:
        return _in_force(found, state, now)
    if found.refused:
        reason = reasons.UNSUPPORTED_CERTIFICATE_TYPE
        types = ", ".join(found.refused)
        return False, reason.name, f"A load balancer of type {types} issues none of its kind.", True
    if not found.used:
        reason = reasons.WAITING_FOR_FRONTEND
        return False, reason.name, "No frontend uses it: the load balancer is that of one.", True
    if state is not None and state.problem is not None:
        text = " ".join(filter(None, (state.problem.message, found.advice)))
        return False, state.problem.reason.name, text, True
    text = " ".join(filter(None, ("The provider is at work on it.", found.advice)))
    return False, reasons.ORDERED_AT_PROVIDER.name, text, bool(found.advice)


def _in_force(found: Found, state: ManagedState, now: datetime) -> tuple[bool, str, str, bool]:
    until = "" if state.not_after is None else f"valid until {to_text(state.not_after)}"
    if state.not_after is not None and now >= state.not_after:
        return False, "Expired", f"It expired at {to_text(state.not_after)}.", True
    if not state.routed:
        message = "A name no longer points at the load balancer, so the provider will not renew"
        text = f"{message}; {until or 'valid now'}. {found.advice}".strip()
        return True, reasons.NOT_ROUTED.name, text, True
    if state.problem is not None:
        message = f"Valid, but renewal is failing. {state.problem.message}"
        return True, "RenewalFailing", message, True
    warn = _warning_time(found, state)
    if warn is not None and now >= warn:
        message = f"It is {until} and the provider has not renewed it."
        return True, "ExpiringSoon", message, True
    return True, "Issued", f"{until[:1].upper()}{until[1:]}." if until else "Issued.", False


def _warning_time(found: Found, state: ManagedState) -> datetime | None:
    """Providers renew a month before the end: half of what is left then is worth a warning."""
    if state.not_after is None:
        return None
    return schedule.warning_time(
        found.certificate.spec.renewal,
        not_before=state.not_before or state.not_after - _USUAL_LIFETIME,
        not_after=state.not_after,
    )


def _conditions(found: Found, ready: tuple[bool, str, str, bool]) -> Iterator[Condition]:
    good, reason, text, paged = ready
    message = with_page(text, f"{found.documentation}/{reason}") if paged else text
    yield Condition(
        type="Ready", status="True" if good else "False", reason=reason, message=message
    )
    yield Condition(
        type="SecretAvailable",
        status="False",
        reason=reasons.MANAGED_BY_PROVIDER.name,
        message="The provider issues it and keeps its key: there is no Secret.",
    )
    task = None if found.state is None else found.state.task
    if task is not None and task.status in _OPEN:
        yield Condition(
            type="Progressing",
            status="True",
            reason=reasons.ORDERED_AT_PROVIDER.name,
            message=f"Task {task.id} of the provider: {task.action}, {task.status}, {task.progress} %.",
        )
    if not good:
        yield Condition(type="Reconciling", status="True", reason=reason, message=message)
    if found.installation.frontends:
        yield installed_condition(found.installation)


def _task(
    before: CertificateStatus, theirs: ProviderTask | None, now: datetime
) -> tuple[Task | None, tuple[Task, ...]]:
    """The provider's own task, field by field; the last one stays when it has none any more."""
    held = before.task
    if theirs is None:
        return held, before.task_history
    mirrored = Task(
        id=f"provider-{theirs.id}",
        action=theirs.action,
        status=theirs.status,
        progress=theirs.progress,
        start_time="" if theirs.created is None else to_text(theirs.created),
        done_time="" if theirs.done is None else to_text(theirs.done),
        attempt=1,
        provider_id=theirs.id,
    )
    if held is None or held.id != mirrored.id:
        history = before.task_history if held is None else remember(before.task_history, held)
        return msgspec.structs.replace(mirrored, last_update_time=to_text(now)), history
    same = msgspec.structs.replace(mirrored, last_update_time=held.last_update_time)
    if same == held:
        return held, before.task_history
    return msgspec.structs.replace(mirrored, last_update_time=to_text(now)), before.task_history


def _last_failure(found: Found) -> LastFailure | None:
    state, before = found.state, found.certificate.status.last_failure
    if state is None:
        return before
    if state.problem is None:
        return None
    reason, message = state.problem.reason.name, state.problem.message
    if before is not None and (before.reason, before.message) == (reason, message):
        return before
    return LastFailure(time=to_text(found.now), reason=reason, message=message)


def _next(found: Found) -> float | None:
    """When time alone changes what is told."""
    state = found.state
    if state is None or state.not_after is None:
        return None
    moments = (state.not_after, _warning_time(found, state))
    waits = [
        (moment - found.now).total_seconds() + _AFTER
        for moment in moments
        if moment is not None and moment > found.now
    ]
    return min(waits, default=None)
