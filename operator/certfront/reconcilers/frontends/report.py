"""The status of a frontend, made from the decision and how far the nodes are. Pure.

Conditions and task say the same: Accepted, ResolvedRefs, Programmed, Served and Ready always,
Progressing while a task runs or will be retried, Reconciling or Stalled while Ready
is False.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import same_fingerprint
from certfront.loadbalancers.listeners import Decision, View
from certfront.loadbalancers.problems import ConditionType, Problem
from certfront.loadbalancers.protocol import ProviderTask
from certfront.model.columns import column
from certfront.model.conditions import Condition, ConditionStatus, find, merged, with_page
from certfront.model.frontend import Frontend, FrontendStatus, InstalledCertificate
from certfront.model.meta import FINALIZER, ObjectName
from certfront.model.reasons import Reason
from certfront.model.settings import Settings
from certfront.model.tasks import Task, advance, begin, finish, remember
from certfront.model.times import from_text, to_text
from certfront.reconcilers.frontends.progress import Installing, Part, Progress
from certfront.reconcilers.targets.fleet import named_installed

# The bounds of the lists in the CRD.
_MOST_HOSTNAMES = 512
_MOST_INSTALLED = 128
_MOST_NODES_TOLD = 5
_RELEASING: tuple[tuple[str, ConditionStatus], ...] = (
    ("Ready", "False"),
    ("Reconciling", "True"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """One condition before it is stamped; `problem` is what made it False."""

    status: ConditionStatus
    reason: Reason
    message: str = ""
    stalled: bool = False
    wrong: bool = False
    page: str = ""
    """The page that says more, if it is not that of the reason."""


def report(view: View, decision: Decision, progress: Progress | None) -> FrontendStatus:
    """The status to write. `progress` is None where nothing is handed over."""
    frontend, now = view.frontend, view.now
    before = frontend.status
    installed = _installed(frontend, decision, progress, now)
    held = before if _holds_anything(frontend) else FrontendStatus()
    states = _states(view, decision, progress)
    ready = _ready(view, decision, states, progress)
    task, history = _task(frontend, decision, progress, ready, installed, now)
    return FrontendStatus(
        observed_generation=frontend.metadata.generation,
        conditions=merged(
            before.conditions,
            _conditions(states, ready, task, view.settings),
            generation=frontend.metadata.generation,
            now=now,
        ),
        task=task,
        task_history=history,
        installed=installed,
        hostnames=_hostnames(held, decision),
        load_balancer=str(view.target) if view.target else held.load_balancer,
        certificate=column(_certificate_names(frontend)),
        not_after=min((c.not_after for c in installed if c.not_after), default=""),
        frontend_id=before.frontend_id
        if progress is None or not progress.frontend_id
        else progress.frontend_id,
    )


def _states(
    view: View, decision: Decision, progress: Progress | None
) -> dict[ConditionType, _State]:
    served = _served(view, decision, progress)
    return {
        "Accepted": _first(decision.problems, "Accepted") or _accepted(progress),
        "ResolvedRefs": _first(decision.problems, "ResolvedRefs")
        or _State(status="True", reason=reasons.RESOLVED),
        "Programmed": _programmed(view, decision, progress),
        "Served": served,
    }


def _accepted(progress: Progress | None) -> _State:
    """True, with what a person should know about it where there is something."""
    notice = next(iter(() if progress is None else progress.notices), None)
    if notice is None:
        return _State(status="True", reason=reasons.ACCEPTED)
    return _State(status="True", reason=notice.reason, message=notice.message)


def _first(problems: Sequence[Problem], kind: ConditionType) -> _State | None:
    """The worst problem of a kind: what stalls first, then an expiry, then in order."""
    found = sorted(
        (p for p in problems if p.condition == kind),
        key=lambda p: (not p.stalled, p.reason != reasons.CERTIFICATE_EXPIRED),
    )
    if not found:
        return None
    message = " ".join(dict.fromkeys(problem.message for problem in found))
    return _State(
        status="False",
        reason=found[0].reason,
        message=message,
        stalled=found[0].stalled,
        wrong=True,
    )


def _programmed(view: View, decision: Decision, progress: Progress | None) -> _State:
    found = _first(decision.problems, "Programmed")
    if found is not None:
        return found
    if decision.listener is None or progress is None:
        return _State(
            status="False",
            reason=reasons.NOT_PROGRAMMED,
            message=f"Nothing new was handed to the load balancer{_what_stays(view, decision)}.",
        )
    part = progress.configuration
    if part.good or _settling(view, progress, part):
        return _State(status="True", reason=reasons.PROGRAMMED, message=progress.where)
    return _behind(part)


def _what_stays(view: View, decision: Decision) -> str:
    if not _holds_anything(view.frontend):
        return ""
    nothing = decision.keeps is not None and not decision.keeps
    return "; nothing of it is served" if nothing else "; what was installed stays"


def _served(view: View, decision: Decision, progress: Progress | None) -> _State:
    listener = decision.listener
    if listener is None or progress is None:
        return _State(
            status="False", reason=reasons.NOT_PROGRAMMED, message="The frontend is not programmed."
        )
    if listener.disabled:
        return _State(status="False", reason=reasons.DISABLED, message="spec.disabled is true.")
    if not listener.ssl:
        return _State(status="Unknown", reason=reasons.NOTHING_TO_PROBE)
    if not progress.certificates:
        return _State(
            status="False",
            reason=reasons.WAITING_FOR_CERTIFICATE,
            message="There is no certificate to serve yet.",
        )
    behind = [
        one.part
        for one in progress.certificates
        if not one.part.good and not _settling(view, progress, one.part)
    ]
    if behind:
        return _behind(min(behind, key=lambda part: part.state != "Failed"))
    if any(one.part.state == "Unprobed" for one in progress.certificates):
        return _State(
            status="Unknown",
            reason=reasons.NOTHING_TO_PROBE,
            message="It is installed; there is no address at which a handshake could show it. "
            "Set spec.probeAddress of the LoadBalancer.",
        )
    return _State(status="True", reason=reasons.SERVED, message=_served_by(progress))


def _served_by(progress: Progress) -> str:
    """Who serves it and, where it is known, what has shown that."""
    parts = (one.part for one in progress.certificates)
    shown = next((part.message for part in parts if part.state == "Served"), progress.where)
    return progress.where if shown == progress.where else f"{progress.where}: {shown}"


def _settling(view: View, progress: Progress, part: Part) -> bool:
    """Whether a Ready frontend only follows a change of another object, such as a renewal.

    What was served before is served until its load balancer has come so far, so nothing turns False.
    """
    status = view.frontend.status
    if part.state != "Pending" or not _ready_now(status):
        return False
    if status.observed_generation != view.frontend.metadata.generation:
        return False
    task = status.task
    if task is None or task.status != "doing" or not task.start_time:
        return True
    return view.now - from_text(task.start_time) <= progress.patience


def _ready_now(status: FrontendStatus) -> bool:
    ready = find(status.conditions, "Ready")
    return ready is not None and ready.status == "True"


def _behind(part: Part) -> _State:
    """Why it has not come so far."""
    return _State(
        status="False",
        reason=part.reason,
        message=part.message,
        stalled=part.stalled,
        wrong=part.wrong or part.state != "Pending",
        page=part.page,
    )


def _ready(
    view: View,
    decision: Decision,
    states: dict[ConditionType, _State],
    progress: Progress | None,
) -> _State:
    """True when everything asked for is configured and served; else the worst that is true."""
    disabled = decision.listener is not None and decision.listener.disabled
    kinds: tuple[ConditionType, ...] = ("Accepted", "ResolvedRefs", "Programmed", "Served")
    false = [
        states[kind]
        for kind in kinds
        if states[kind].status == "False" and not (disabled and kind == "Served")
    ]
    if disabled and not false:
        return _State(status="True", reason=reasons.DISABLED, message="spec.disabled is true.")
    if not false:
        where = f"on {view.target} by {states['Programmed'].message}"
        down = "" if progress is None else progress.down
        return _State(status="True", reason=reasons.SERVED, message=f"Served {where}{down}.")
    return min(
        false, key=lambda s: (not s.stalled, s.reason != reasons.CERTIFICATE_EXPIRED, not s.wrong)
    )


def _conditions(
    states: dict[ConditionType, _State], ready: _State, task: Task | None, settings: Settings
) -> Iterator[Condition]:
    yield _condition("Ready", ready, settings)
    for kind, state in states.items():
        yield _condition(kind, state, settings)
    if task is not None and task.status in ("doing", "blocked", "todo"):
        yield Condition(type="Progressing", status="True", reason=task.step, message=task.message)
    if ready.status != "False":
        return
    yield _condition(
        "Stalled" if ready.stalled else "Reconciling", replace(ready, status="True"), settings
    )


def _condition(kind: str, state: _State, settings: Settings) -> Condition:
    message = state.message
    if state.wrong:
        message = with_page(
            message, f"{settings.documentation_url}/{state.page or state.reason.name}"
        )
    return Condition(type=kind, status=state.status, reason=state.reason.name, message=message)


def _installed(
    frontend: Frontend, decision: Decision, progress: Progress | None, now: datetime
) -> tuple[InstalledCertificate, ...]:
    before = frontend.status
    if decision.listener is None and decision.keeps is not None and not decision.keeps:
        return ()
    if decision.listener is None or progress is None:
        return before.installed if _holds_anything(frontend) else ()
    owner = frontend.metadata.object_name
    held = {_identity(one): one for one in before.installed}
    found: dict[tuple[str, str, str], InstalledCertificate] = {}
    for one in progress.certificates:
        entry = _entry(owner, one)
        if one.there is None:
            # Nobody can tell now: what was told of it stays, whatever its fingerprint.
            found.update(
                (_identity(former), former)
                for former in before.installed
                if (former.namespace, former.name) == (entry.namespace, entry.name)
            )
            continue
        if one.there or _is_remembered(one, held.get(_identity(entry))):
            found[_identity(entry)] = entry
        for former in before.installed:
            same = (former.namespace, former.name) == (entry.namespace, entry.name)
            if same and any(same_fingerprint(former.fingerprint, old) for old in one.superseded):
                found.setdefault(_identity(former), msgspec.structs.replace(former, verified=False))
    for source, fingerprint, not_before in progress.claims:
        claim = InstalledCertificate(**named_installed(source, owner), fingerprint=fingerprint)
        old = held.get(_identity(claim))
        if not_before is not None and old is not None and old.since < to_text(not_before):
            del held[_identity(claim)]
        found.setdefault(_identity(claim), claim)
    return tuple(
        msgspec.structs.replace(one, since=_since(held.get(_identity(one)), one, now))
        for one in list(found.values())[:_MOST_INSTALLED]
    )


def _is_remembered(one: Installing, former: InstalledCertificate | None) -> bool:
    """Whether the status says of a certificate that was not seen that it was about to be created."""
    return former is not None and not one.there and not former.provider_id


def _identity(one: InstalledCertificate) -> tuple[str, str, str]:
    return one.namespace, one.name, one.fingerprint


def _entry(owner: ObjectName, one: Installing) -> InstalledCertificate:
    binding = one.binding
    return InstalledCertificate(
        **named_installed(binding.source, owner),
        fingerprint=one.fingerprint,
        not_after=to_text(binding.not_after) if binding.not_after else "",
        provider_id=one.provider_id,
        verified=one.part.state == "Served",
        key_algorithm=str(binding.key_type),
        hostnames=binding.hostnames[:_MOST_HOSTNAMES],
    )


def _hostnames(held: FrontendStatus, decision: Decision) -> tuple[str, ...]:
    if decision.listener is not None:
        return decision.listener.hostnames[:_MOST_HOSTNAMES]
    keeps = decision.keeps
    return tuple(name for name in held.hostnames if keeps is None or name in keeps)


def releasing(frontend: Frontend, waiting: Sequence[str], now: datetime) -> FrontendStatus:
    """The status of a frontend that is being deleted while `waiting` nodes still have it."""
    before = frontend.status
    nodes = ", ".join(dict.fromkeys(waiting[:_MOST_NODES_TOLD]))
    message = f"It is being taken off; waiting for {nodes or 'the nodes'}."
    wanted = [
        Condition(type=kind, status=status, reason=reasons.RELEASING.name, message=message)
        for kind, status in _RELEASING
    ]
    generation = frontend.metadata.generation
    return msgspec.structs.replace(
        before,
        observed_generation=generation,
        conditions=merged(before.conditions, wanted, generation=generation, now=now),
    )


def _holds_anything(frontend: Frontend) -> bool:
    """Nothing is ever installed before the finalizer is there, nor left when it is gone."""
    return FINALIZER in frontend.metadata.finalizers


def _since(held: InstalledCertificate | None, one: InstalledCertificate, now: datetime) -> str:
    """Since when it is there as it is: another object at the provider is another certificate."""
    same = held is not None and held.provider_id in ("", one.provider_id)
    return held.since if held is not None and same and held.since else to_text(now)


def _task(
    frontend: Frontend,
    decision: Decision,
    progress: Progress | None,
    ready: _State,
    installed: tuple[InstalledCertificate, ...],
    now: datetime,
) -> tuple[Task | None, tuple[Task, ...]]:
    before = frontend.status
    settled = progress is not None and progress.settled and decision.listener is not None
    done = settled and ready.status == "True"
    held = before.task
    active = held is not None and held.status in ("doing", "blocked", "todo")
    history = before.task_history
    if held is None or not active:
        if held is not None and not _news(frontend, installed, ready, held, done=done):
            return held, history
        history = history if held is None else remember(history, held)
        held = begin(_task_id(frontend, installed, now), "installCertificate", now)
    if done:
        held = msgspec.structs.replace(held, action="installCertificate")
        return finish(held, "done", message="", now=now), history
    if ready.stalled:
        return finish(held, "error", message=ready.message, now=now), history
    return _under_way(held, progress, ready, decision, now), history


def _news(
    frontend: Frontend,
    installed: tuple[InstalledCertificate, ...],
    ready: _State,
    ended: Task,
    *,
    done: bool,
) -> bool:
    """Whether there is work that the task which ran last was not about."""
    before = frontend.status
    if before.observed_generation != frontend.metadata.generation:
        return True
    if done:
        fingerprints = {(c.name, c.fingerprint) for c in before.installed}
        return (
            ended.status == "error" or {(c.name, c.fingerprint) for c in installed} != fingerprints
        )
    return not (ended.status == "error" and ready.stalled)


def _under_way(
    task: Task, progress: Progress | None, ready: _State, decision: Decision, now: datetime
) -> Task:
    if progress is not None and progress.task is not None:
        return _mirrored(task, progress.task, progress.worst.message, now)
    if progress is not None and not progress.settled and progress.worst.state == "Pending":
        return advance(
            task,
            step=progress.worst.reason.name,
            progress=50,
            message=progress.worst.message,
            now=now,
        )
    waiting = bool(decision.problems) or progress is None or progress.settled
    blocked = msgspec.structs.replace(
        task,
        status="blocked" if waiting else "doing",
        step=ready.reason.name,
        progress=task.progress,
        message=ready.message,
    )
    if blocked == task:
        return task
    return msgspec.structs.replace(blocked, last_update_time=to_text(now))


def _mirrored(task: Task, theirs: ProviderTask, message: str, now: datetime) -> Task:
    """The provider's own task, field by field; ours keeps its id and attempt."""
    mirrored = msgspec.structs.replace(
        task,
        action=theirs.action,
        status=theirs.status,
        progress=theirs.progress,
        step=reasons.WAITING_FOR_PROVIDER.name,
        message=message,
        start_time=task.start_time if theirs.created is None else to_text(theirs.created),
        done_time="" if theirs.done is None else to_text(theirs.done),
        provider_id=theirs.id,
    )
    if mirrored == task:
        return task
    return msgspec.structs.replace(mirrored, last_update_time=to_text(now))


def _task_id(frontend: Frontend, installed: tuple[InstalledCertificate, ...], now: datetime) -> str:
    text = "|".join(
        (
            frontend.metadata.uid,
            str(frontend.metadata.generation),
            to_text(now),
            *(certificate.fingerprint for certificate in installed),
        )
    )
    return f"install-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _certificate_names(frontend: Frontend) -> list[str]:
    return [c.secret_ref.name if c.secret_ref else c.name for c in frontend.spec.certificates]
