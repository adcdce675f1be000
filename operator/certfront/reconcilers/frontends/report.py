"""The status of a frontend, made from the decision and how far the nodes are. Pure.

Conditions and task say the same: Accepted, ResolvedRefs, Programmed, Served and Ready always,
Progressing while a task runs or will be retried, Reconciling or Stalled while Ready
is False.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.haproxy import reasons as node_reasons
from certfront.loadbalancers.haproxy.watermark import Verdict
from certfront.loadbalancers.listeners import Decision, View
from certfront.loadbalancers.problems import ConditionType, Problem
from certfront.model.columns import column
from certfront.model.conditions import Condition, ConditionStatus, find, merged, with_page
from certfront.model.frontend import Frontend, FrontendStatus, InstalledCertificate
from certfront.model.meta import FINALIZER
from certfront.model.reasons import Reason
from certfront.model.settings import Settings
from certfront.model.tasks import Task, advance, begin, finish, remember
from certfront.model.times import from_text, to_text
from certfront.reconcilers.frontends.progress import Progress

SETTLING_PATIENCE = timedelta(seconds=60)
"""For so long nodes may take to follow a renewal before the frontend is told as not served."""

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
        frontend_id=before.frontend_id,
    )


def _states(
    view: View, decision: Decision, progress: Progress | None
) -> dict[ConditionType, _State]:
    served = _served(view, decision, progress)
    return {
        "Accepted": _first(decision.problems, "Accepted")
        or _State(status="True", reason=reasons.ACCEPTED),
        "ResolvedRefs": _first(decision.problems, "ResolvedRefs")
        or _State(status="True", reason=reasons.RESOLVED),
        "Programmed": _programmed(view, decision, progress),
        "Served": served,
    }


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
    if decision.listener is None or progress is None:
        return _State(
            status="False",
            reason=reasons.NOT_PROGRAMMED,
            message=f"Nothing new was handed to the load balancer{_what_stays(view, decision)}.",
        )
    verdict = progress.configuration
    if verdict.served or _settling(view, verdict):
        return _State(status="True", reason=reasons.PROGRAMMED, message=_count(verdict))
    return _behind(verdict)


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
        verdict
        for _, verdict in progress.certificates
        if not verdict.served and not _settling(view, verdict)
    ]
    if behind:
        return _behind(min(behind, key=lambda v: v.state != "Failed"))
    return _State(status="True", reason=reasons.SERVED, message=_count(progress.configuration))


def _settling(view: View, verdict: Verdict) -> bool:
    """Whether a Ready frontend only follows a change of another object, such as a renewal.

    What was served before is served until the nodes have come so far, so nothing turns False.
    """
    status = view.frontend.status
    if verdict.state != "Pending" or not _ready_now(status):
        return False
    if status.observed_generation != view.frontend.metadata.generation:
        return False
    task = status.task
    if task is None or task.status != "doing" or not task.start_time:
        return True
    return view.now - from_text(task.start_time) <= SETTLING_PATIENCE


def _ready_now(status: FrontendStatus) -> bool:
    ready = find(status.conditions, "Ready")
    return ready is not None and ready.status == "True"


def _behind(verdict: Verdict) -> _State:
    """Why not every node has come so far."""
    if verdict.state == "Failed":
        told = "; ".join(
            f"{node}: {failure.reason}: {failure.message.rstrip('.')}".removesuffix(": ")
            for node, failure in verdict.failed[:3]
        )
        given = verdict.failed[0][1].reason if verdict.failed else ""
        return _State(
            status="False",
            reason=reasons.NODE_FAILED,
            message=f"{told}.",
            wrong=True,
            page=node_reasons.page_of(given, reasons.NODE_FAILED),
        )
    if verdict.state == "TooFewNodes":
        return _State(
            status="False",
            reason=reasons.TOO_FEW_NODES,
            message=f"{_count(verdict)} can serve{_down(verdict)}: fewer than the load balancer "
            "needs.",
            wrong=True,
        )
    if verdict.state == "Unknown":
        return _State(
            status="False",
            reason=reasons.NODE_FAILED,
            message=f"{', '.join(verdict.waiting[:5])}: more failures than are listed; "
            "see the agent's log.",
            wrong=True,
        )
    return _State(
        status="False",
        reason=reasons.WAITING_FOR_NODES,
        message=f"Waiting for {', '.join(verdict.waiting[:5])}.",
    )


def _count(verdict: Verdict) -> str:
    return f"{verdict.current} of {verdict.total} node{'s' if verdict.total != 1 else ''}"


def _down(verdict: Verdict) -> str:
    """Which nodes do not count, and why; nothing where all do."""
    told = "; ".join(f"{node}: {why}" for node, why in verdict.down[:_MOST_NODES_TOLD])
    return f"; {told}" if told else ""


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
        down = "" if progress is None else _down(progress.configuration)
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
    held = {(c.name, c.fingerprint): c for c in before.installed}
    return tuple(
        InstalledCertificate(
            name=binding.source.name,
            fingerprint=binding.fingerprint,
            not_after=to_text(binding.not_after) if binding.not_after else "",
            since=_since(held.get((binding.source.name, binding.fingerprint)), now),
            verified=verdict.served,
        )
        for binding, verdict in progress.certificates[:_MOST_INSTALLED]
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


def _since(held: InstalledCertificate | None, now: datetime) -> str:
    return held.since if held is not None and held.since else to_text(now)


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
    if progress is not None and not progress.settled and progress.worst.state == "Pending":
        return advance(
            task,
            step=reasons.WAITING_FOR_NODES.name,
            progress=50,
            message=_behind(progress.worst).message,
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
