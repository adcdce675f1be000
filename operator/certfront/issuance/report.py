"""What the status of a Certificate says: a pure function of what was observed and what came of it.

The conditions mirror the task (DESIGN section 2). Nothing here reads a clock or another object.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from certfront.issuance import schedule
from certfront.issuance.outcomes import Blocked, Done, Failed, Impossible, Outcome, Waiting, Working
from certfront.issuance.record import RENEW, Record
from certfront.issuance.triggers import Trigger
from certfront.model import tasks
from certfront.model.certificate import Certificate, CertificateStatus, LastFailure
from certfront.model.clock import CLOCK_TOLERANCE
from certfront.model.columns import column
from certfront.model.conditions import Condition, bounded, find, merged, with_page
from certfront.model.tasks import Action, Task
from certfront.model.times import from_text, to_text
from certfront.pki.facts import Facts

NEED_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where the certificate is installed: how many frontends use it, and which serve it now."""

    frontends: int = 0
    serving: tuple[str, ...] = ()
    lagging: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The closed value that the status is made of. `in_force` is what the Secret holds now."""

    certificate: Certificate
    record: Record
    in_force: Facts | None
    matches_spec: bool
    trigger: Trigger | None
    outcome: Outcome
    installation: Installation
    uploaded: bool
    renewal_time: datetime | None
    warning_time: datetime | None
    need: str
    now: datetime
    documentation_url: str

    @property
    def valid(self) -> bool:
        """Whether what is in force may be served now and is what the spec asks for."""
        facts = self.in_force
        return (
            facts is not None
            and self.matches_spec
            and facts.not_before <= self.now + CLOCK_TOLERANCE
            and self.now < facts.not_after
        )

    @property
    def expired(self) -> bool:
        """Whether what is in force has expired."""
        return self.in_force is not None and self.now >= self.in_force.not_after


def status(findings: Findings) -> CertificateStatus:
    """The whole status after this pass; equal to the previous one where nothing has changed."""
    before = findings.certificate.status
    task, history = _task(findings)
    failed_attempts = _failed_attempts(findings)
    next_attempt = _next_attempt(findings, failed_attempts)
    renewal = to_text(findings.renewal_time) if findings.renewal_time else ""
    facts = findings.in_force
    return CertificateStatus(
        observed_generation=findings.certificate.metadata.generation,
        conditions=merged(
            before.conditions,
            conditions(findings),
            generation=findings.certificate.metadata.generation,
            now=findings.now,
        ),
        task=task,
        task_history=history,
        last_failure=_last_failure(findings),
        common_name=facts.common_name if facts else "",
        subject=facts.subject if facts else "",
        domains=facts.domains if facts else (),
        issuer=facts.issuer if facts else "",
        not_before=to_text(facts.not_before) if facts else "",
        not_after=to_text(facts.not_after) if facts else "",
        serial=facts.serial if facts else "",
        size=facts.size if facts else 0,
        fingerprint=facts.fingerprint if facts else "",
        key_algorithm=facts.key_algorithm if facts else "",
        secret_name=findings.certificate.secret_name if facts else before.secret_name,
        names=column(_names(findings)),
        renewal_time=renewal,
        next_attempt_time=next_attempt,
        next_time=min(filter(None, (renewal, next_attempt)), default=""),
        failed_attempts=failed_attempts,
        revision=max(findings.record.revision, before.revision),
        handled_renew=_handled_renew(findings),
        order=_order(findings),
    )


def conditions(findings: Findings) -> tuple[Condition, ...]:
    """Ready always; the others only while they say something."""
    ready = _ready(findings)
    stalled = ready.status == "False" and _needs_a_person(findings)
    found = [ready]
    if (progressing := _progressing(findings)) is not None:
        found.append(progressing)
    if stalled:
        found.append(
            Condition(type="Stalled", status="True", reason=ready.reason, message=ready.message)
        )
    elif ready.status != "True":
        found.append(
            Condition(type="Reconciling", status="True", reason=ready.reason, message=ready.message)
        )
    if findings.installation.frontends:
        found.append(installed_condition(findings.installation))
    return tuple(found)


def wake_time(findings: Findings) -> datetime | None:
    """The next moment at which time alone changes something."""
    facts, outcome = findings.in_force, findings.outcome
    moments: list[datetime | None] = [findings.renewal_time, findings.warning_time]
    if facts is not None:
        moments.append(facts.not_after)
    if isinstance(outcome, Waiting):
        moments.append(outcome.until)
    return min((moment for moment in moments if moment and moment > findings.now), default=None)


def _ready(findings: Findings) -> Condition:
    if not findings.valid:
        reason, message = _why_not(findings)
        return Condition(type="Ready", status="False", reason=reason, message=message)
    reason, message = _worst(findings)
    return Condition(type="Ready", status="True", reason=reason, message=message)


def _why_not(findings: Findings) -> tuple[str, str]:
    """Why nothing valid is in force: what stands in the way, or the step that is being made."""
    facts = findings.in_force
    if facts is not None and findings.expired and findings.matches_spec:
        message = f"It expired at {to_text(facts.not_after)}.{_trouble(findings)}"
        return "Expired", _with_page(findings, message, "Expired")
    match findings.outcome:
        case Working(step=step, message=message):
            return step, message
        case Done():
            return "NotYetValid", "The certificate is not valid yet."
        case Waiting():
            reason = _previous_reason(findings)
        case Failed(reason=reason) | Blocked(reason=reason) | Impossible(reason=reason):
            pass
    return reason, _with_page(findings, f"{_damage(findings)}{_trouble(findings)}".strip(), reason)


def _damage(findings: Findings) -> str:
    """That the Secret was spoiled, where that is why there is nothing in force."""
    damage = findings.record.damage
    if not damage:
        return ""
    return f"Secret {findings.certificate.secret_name} is damaged: {damage.rstrip('.')}."


def _worst(findings: Findings) -> tuple[str, str]:
    """The worst that is true of a certificate that is valid and in force."""
    facts = findings.in_force
    until = f"valid until {to_text(facts.not_after)}" if facts else ""
    trouble = _trouble(findings)
    if trouble:
        page = _with_page(
            findings,
            f"Valid, but renewal is failing.{trouble}{_how_to_retry(findings)}",
            "RenewalFailing",
        )
        return "RenewalFailing", page
    if _warned(findings):
        cure = (
            "Put a new pair into its Secret."
            if findings.uploaded
            else "Remove spec.renewal.suspend, or renew it by annotation."
        )
        message = f"It is {until} and nobody renews it. {cure}"
        return "ExpiringSoon", _with_page(findings, message, "ExpiringSoon")
    if findings.certificate.spec.renewal.suspend:
        return "Suspended", f"Renewal is suspended by spec.renewal.suspend; {until}."
    if isinstance(findings.outcome, Working):
        return "Renewing", f"Being renewed; {until}."
    warnings = findings.outcome.warnings if isinstance(findings.outcome, Done) else ()
    return "Issued", " ".join((f"{until[:1].upper()}{until[1:]}.", *warnings))


def _trouble(findings: Findings) -> str:
    """What stands in the way, as a sentence with a leading space; empty for nothing."""
    match findings.outcome:
        case Failed(message=message) | Impossible(message=message):
            return f" {message}"
        case Blocked(reason=reason, message=message) if not findings.valid or (
            findings.trigger is not None and reason != "NotYetValid"
        ):
            return f" {message}"
        case Waiting():
            failure = findings.certificate.status.last_failure
            return f" {failure.message}" if failure else " The last attempt failed."
        case _:
            return ""


def _how_to_retry(findings: Findings) -> str:
    if findings.uploaded:
        return ""
    name = findings.certificate.metadata
    return (
        f" Then: kubectl annotate lbcert {name.name} -n {name.namespace}"
        " certfront.io/renew=$(date +%s) --overwrite."
    )


def _with_page(findings: Findings, message: str, reason: str) -> str:
    return with_page(message, f"{findings.documentation_url}/{reason}")


def _previous_reason(findings: Findings) -> str:
    failure = findings.certificate.status.last_failure
    return failure.reason if failure and failure.reason else "Retrying"


def _warned(findings: Findings) -> bool:
    return findings.warning_time is not None and findings.now >= findings.warning_time


def _needs_a_person(findings: Findings) -> bool:
    match findings.outcome:
        case Impossible() | Failed(permanent=True):
            return True
        case Waiting():
            # Until the slow re-check: what was refused for good still is.
            return find(findings.certificate.status.conditions, "Stalled") is not None
        case _:
            return findings.uploaded and findings.expired


def _progressing(findings: Findings) -> Condition | None:
    match findings.outcome:
        case Working(step=step, message=message):
            return Condition(type="Progressing", status="True", reason=step, message=message)
        case Failed(message=message):
            return Condition(type="Progressing", status="True", reason="Retrying", message=message)
        case Waiting():
            failure = findings.certificate.status.last_failure
            message = failure.message if failure else ""
            return Condition(type="Progressing", status="True", reason="Retrying", message=message)
        case Blocked(reason=reason, message=message) if _is_wanted(findings):
            return Condition(type="Progressing", status="True", reason=reason, message=message)
        case _:
            return None


def _is_wanted(findings: Findings) -> bool:
    """Whether there is work that what blocks holds up: something to issue, or a source to take over."""
    return findings.trigger is not None or findings.uploaded


def installed_condition(installation: Installation) -> Condition:
    """Where the certificate is served, of the frontends that use it."""
    serving, total = len(installation.serving), installation.frontends
    plural = "frontend" if total == 1 else "frontends"
    if installation.lagging:
        message = (
            f"Served by {serving} of {total} {plural}; not by {', '.join(installation.lagging[:5])}"
        )
        return Condition(type="Installed", status="False", reason="NotServed", message=message)
    message = f"Served by {serving} of {total} {plural}: {', '.join(installation.serving[:5])}"
    return Condition(type="Installed", status="True", reason="Served", message=message)


def _task(findings: Findings) -> tuple[Task | None, tuple[Task, ...]]:
    before = findings.certificate.status
    current = _current_task(findings, before.task)
    if before.task is not None and current is not None and before.task.id != current.id:
        return current, tasks.remember(before.task_history, _closed(before.task, findings.now))
    return current, before.task_history


def _current_task(findings: Findings, previous: Task | None) -> Task | None:
    now, outcome = findings.now, findings.outcome
    match outcome:
        case Done(issued=True, why=why):
            return tasks.finish(_same_or_new(findings, previous), "done", message=why, now=now)
        case Done():
            return _settled(previous, now)
        case Working(step=step, progress=progress, message=message):
            task = _same_or_new(findings, previous)
            return tasks.advance(task, step=step, progress=progress, message=message, now=now)
        case Failed(message=message):
            return tasks.finish(_same_or_new(findings, previous), "error", message=message, now=now)
        case Blocked(message=message) if _is_wanted(findings):
            return _blocked(_same_or_new(findings, previous), message, now)
        case Impossible(message=message) if findings.need:
            return _refused(_same_or_new(findings, previous), message, now)
        case Blocked() | Waiting() | Impossible():
            return previous


def _settled(previous: Task | None, now: datetime) -> Task | None:
    """Nothing is to be done: a task that was left open by a crash is done, a failed one given up."""
    if previous is None or previous.status in ("done", "cancelled"):
        return previous
    return tasks.finish(
        previous, "done" if previous.status == "doing" else "cancelled", message="", now=now
    )


def _blocked(task: Task, message: str, now: datetime) -> Task:
    if task.status == "blocked" and task.message == message:
        return task
    return msgspec.structs.replace(
        task, status="blocked", message=message, last_update_time=to_text(now)
    )


def _refused(task: Task, message: str, now: datetime) -> Task:
    if task.status == "error" and task.message == message:
        return task
    return tasks.finish(task, "error", message=message, now=now)


def _same_or_new(findings: Findings, previous: Task | None) -> Task:
    """The task of this need and attempt: continued where it is the same, else begun."""
    attempt = failures_before(findings.certificate, findings.need) + 1
    task_id = f"{findings.need[:NEED_DIGITS]}-{attempt}"
    if previous is not None and previous.id == task_id:
        return previous
    return tasks.begin(task_id, _action(findings), findings.now, attempt=attempt)


def _closed(task: Task, now: datetime) -> Task:
    ended = task.status in ("done", "error", "cancelled")
    return task if ended else tasks.finish(task, "cancelled", message=task.message, now=now)


def _action(findings: Findings) -> Action:
    if findings.uploaded:
        return "importCertificate"
    return "renewCertificate" if findings.certificate.status.revision else "orderCertificate"


def _last_failure(findings: Findings) -> LastFailure | None:
    match findings.outcome:
        case Failed(reason=reason, message=message, identifier=identifier, challenge=challenge):
            return LastFailure(
                time=to_text(findings.now),
                reason=reason,
                identifier=identifier,
                challenge=challenge,
                message=bounded(message),
            )
        case Impossible(reason=reason, message=message):
            return _refusal(findings, reason, bounded(message))
        case Done():
            return None
        case _:
            return findings.certificate.status.last_failure


def _refusal(findings: Findings, reason: str, message: str) -> LastFailure:
    """Said once: the time is that of the first pass that found it."""
    before = findings.certificate.status.last_failure
    if before is not None and (before.reason, before.message) == (reason, message):
        return before
    return LastFailure(time=to_text(findings.now), reason=reason, message=message)


def _failed_attempts(findings: Findings) -> int:
    match findings.outcome:
        case Failed():
            return failures_before(findings.certificate, findings.need) + 1
        case Done():
            return 0
        case _:
            return failures_before(findings.certificate, findings.need)


def _next_attempt(findings: Findings, failures: int) -> str:
    match findings.outcome:
        case Failed(immediate=True) if failures == 1:
            return ""
        case Failed(at_least=at_least):
            uid = findings.certificate.metadata.uid
            delay = schedule.retry_delay(failures, uid, findings.need, at_least=at_least)
            return to_text(findings.now + delay)
        case Waiting(until=until):
            return to_text(until)
        case Blocked(reason="NotYetValid", after=timedelta() as after):
            return to_text(findings.now + after)
        case _:
            return ""


def _names(findings: Findings) -> tuple[str, ...]:
    spec = findings.certificate.spec
    facts = findings.in_force
    if facts is not None and (findings.uploaded or findings.matches_spec):
        own = facts.domains or (facts.common_name,)
        first = tuple(name for name in spec.dns_names[:1] if name in own)
        return first + tuple(name for name in own if name not in first)
    asked = (*spec.dns_names, *spec.ip_addresses)
    return asked or ((spec.common_name,) if spec.common_name else ())


def _handled_renew(findings: Findings) -> str:
    match findings.outcome:
        case Done(issued=True, renewed_for=value):
            return value
        case Failed() | Working():
            return findings.certificate.metadata.annotations.get(RENEW, "")
        case Done():
            return findings.record.renewed_for or findings.certificate.status.handled_renew
        case _:
            return findings.certificate.status.handled_renew


def _order(findings: Findings) -> dict[str, Any] | None:
    if findings.certificate.spec.type != "ACME":
        return None
    match findings.outcome:
        case Working(order=order):
            return order
        case Blocked(order=order):
            # Whoever is in the way, an order that is open at the CA is never dropped for it.
            return order or findings.certificate.status.order
        case Waiting() | Impossible():
            return findings.certificate.status.order
        case Done() | Failed():
            return None


def failures_before(certificate: Certificate, need: str) -> int:
    """Failures in a row at this need: another one, as after a changed spec, begins anew.

    It never falls within one need, because attempts are numbered by it.
    """
    task = certificate.status.task
    same = task is not None and task.id.startswith(f"{need[:NEED_DIGITS]}-")
    return certificate.status.failed_attempts if same else 0


def backoff_until(certificate: Certificate, need: str) -> datetime | None:
    """When the next attempt at `need` is allowed after failures. Another need has no such past."""
    text = certificate.status.next_attempt_time
    return from_text(text) if text and failures_before(certificate, need) else None
