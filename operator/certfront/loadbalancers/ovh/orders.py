"""Certificates that OVH issues, keeps and renews: found by their names, ordered once, followed.

An order names the domains and OVH's task does not, so two open orders could not be told apart: there
is one at a time for a service, and a claim in the status of a frontend says since when it is whose.
One that OVH is at for more than an hour holds up no other any more. Pure; used by `plan`.

Sources: ovh/docs "Order a free SSL certificate", "Configure an HTTP/HTTPS OVHcloud Load Balancer
service"; POST /freeCertificate of the OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.ovh.client import OVHTask, Ssl
from certfront.loadbalancers.ovh.reasons import ORDER_OVERDUE
from certfront.loadbalancers.ovh.state import Observed
from certfront.loadbalancers.ovh.stock import Stock, names_of, spelled
from certfront.loadbalancers.problems import listed
from certfront.loadbalancers.protocol import (
    Binding,
    CertificateSource,
    Listener,
    ManagedCertificate,
    ManagedState,
    Notice,
    ProviderTask,
    Wish,
)
from certfront.model.tasks import Action

ORDER_DEADLINE: Final = timedelta(hours=1)
"""OVH orders within minutes where the names lead to the service; later a person has to look."""

LISTED_WITHIN: Final = timedelta(minutes=2)
"""An order that was sent shows as a task, or was never taken, after so long."""

POLL_SECONDS: Final = 30.0
SELDOM_SECONDS: Final = 300.0

_SKEW: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """One managed certificate of the wish: what is there of it, and what it waits for.

    `may_order`: it is neither there nor ordered. `by_us`: it comes from an order of ours.
    """

    source: CertificateSource
    listener: Listener
    binding: Binding
    certificate: ManagedCertificate
    ssl: Ssl | None
    task: OVHTask | None
    state: ManagedState
    may_order: bool
    by_us: bool

    @property
    def waits(self) -> str:
        """What it waits for, for people."""
        if self.ssl is not None:
            return ""
        if self.task is not None and self.task.status in ("todo", "doing"):
            return f"OVH is at work on {self.source}"
        return f"{self.source} is to be ordered at OVH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """All managed certificates of a wish. `next_one` may be ordered now; None where none may.

    `look_again`: after so many seconds OVH may have news of one of them.
    """

    managed: Mapping[CertificateSource, Managed]
    next_one: Managed | None
    look_again: float | None


def earliest_claim(wish: Wish) -> datetime | None:
    """When the oldest order of which nothing has come yet was claimed."""
    return min(_claims(wish).values(), default=None)


def find(wish: Wish, observed: Observed, stock: Stock) -> Orders:
    """How the managed certificates of the wish stand."""
    claims = _claims(wish)
    tasks = _attributed(claims, observed)
    managed: dict[CertificateSource, Managed] = {}
    for listener, binding in wish.bindings():
        if binding.managed is not None and binding.source not in managed:
            managed[binding.source] = _managed(
                listener, binding, binding.managed, claims, tasks, wish, observed, stock
            )
    busy = _is_busy(wish, observed, claims, managed)
    waiting = [one for one in managed.values() if one.may_order]
    return Orders(
        managed=managed,
        next_one=waiting[0] if waiting and not busy and observed.looked.orders else None,
        look_again=_look_again(managed.values()),
    )


def _look_again(managed: Iterable[Managed]) -> float | None:
    """Often while it is a matter of minutes, now and then while a person has to act."""
    waiting = [one for one in managed if one.ssl is None]
    if any(one.state.problem is None for one in waiting):
        return POLL_SECONDS
    if any(one.task is not None and one.task.status in ("todo", "doing") for one in waiting):
        return SELDOM_SECONDS
    return None


def mirrored(task: OVHTask, action: Action) -> ProviderTask:
    """A task of OVH's in the terms of our status, which are OVH's own."""
    return ProviderTask(
        id=str(task.id),
        action=action,
        status=task.status,
        progress=task.progress,
        created=task.creation_date,
        done=task.done_date,
    )


def _claims(wish: Wish) -> dict[CertificateSource, datetime]:
    found: dict[CertificateSource, datetime] = {}
    managed = {binding.source for _, binding in wish.bindings() if binding.managed is not None}
    for memory in wish.memory.values():
        for one in memory.installed:
            if one.source in managed and not one.fingerprint and one.since is not None:
                found[one.source] = max(one.since, found.get(one.source, one.since))
    return found


def _attributed(
    claims: Mapping[CertificateSource, datetime], observed: Observed
) -> dict[CertificateSource, OVHTask]:
    """Whose order each task is: as this process knows, else the first after the claim.

    One order at a time, so claims and tasks have the same order in time.
    """
    found = {
        source: observed.orders[task_id]
        for source, task_id in observed.ordered.items()
        if task_id in observed.orders
    }
    taken = {task.id for task in found.values()}
    rest = sorted(
        (task for task in observed.orders.values() if task.id not in taken),
        key=lambda task: task.id,
    )
    for source, since in sorted(claims.items(), key=lambda item: item[1]):
        if source in found or source in observed.ordered:
            continue
        for task in rest:
            if task.creation_date is not None and task.creation_date >= since - _SKEW:
                found[source] = task
                rest.remove(task)
                break
    return found


def _managed(
    listener: Listener,
    binding: Binding,
    certificate: ManagedCertificate,
    claims: Mapping[CertificateSource, datetime],
    tasks: Mapping[CertificateSource, OVHTask],
    wish: Wish,
    observed: Observed,
    stock: Stock,
) -> Managed:
    source = binding.source
    wanted = frozenset(name.lower() for name in certificate.names)
    ssl = stock.issued(wanted) if certificate.kind == "Public" else None
    task = tasks.get(source)
    since = claims.get(source)
    return Managed(
        source=source,
        listener=listener,
        binding=binding,
        certificate=certificate,
        ssl=ssl,
        task=task,
        state=_state(certificate, ssl, task, since, wish.now),
        may_order=ssl is None and task is None and _is_free(source, since, wish.now, observed),
        by_us=source in observed.ordered or since is not None,
    )


def _is_free(
    source: CertificateSource, since: datetime | None, now: datetime, observed: Observed
) -> bool:
    """Whether no order of it can be on its way."""
    if source in observed.ordered:
        return False
    return since is None or now - since >= LISTED_WITHIN


def _is_busy(
    wish: Wish,
    observed: Observed,
    claims: Mapping[CertificateSource, datetime],
    managed: Mapping[CertificateSource, Managed],
) -> bool:
    """Whether an order that would be placed now could be taken for another one."""
    for task in observed.orders.values():
        is_open = task.status in ("todo", "doing")
        if is_open and not _is_overdue(task, None, wish.now):
            return True
    return any(
        managed[source].ssl is None
        and managed[source].task is None
        and wish.now - since < LISTED_WITHIN
        for source, since in claims.items()
        if source in managed
    )


def _is_overdue(task: OVHTask, since: datetime | None, now: datetime) -> bool:
    begun = task.creation_date or since
    return begun is not None and now - begun >= ORDER_DEADLINE


def _state(
    certificate: ManagedCertificate,
    ssl: Ssl | None,
    task: OVHTask | None,
    since: datetime | None,
    now: datetime,
) -> ManagedState:
    shown = None if task is None else mirrored(task, "orderFreeCertificate")
    if ssl is None:
        return ManagedState(task=shown, problem=_trouble(certificate, task, since, now))
    routed = ssl.type != "built_not_routed"
    problem = None
    if not routed:
        problem = Notice(
            reason=reasons.NOT_ROUTED,
            message="OVH says that a name no longer leads to the service and will not renew: look "
            f"at the A and AAAA records of {listed(certificate.names)}.",
        )
    return ManagedState(
        task=shown,
        provider_id=str(ssl.id),
        fingerprint=spelled(ssl.fingerprint),
        domains=tuple(sorted(names_of(ssl))),
        subject=ssl.subject,
        serial=ssl.serial,
        not_after=ssl.expire_date,
        routed=routed,
        problem=problem,
    )


def _trouble(
    certificate: ManagedCertificate,
    task: OVHTask | None,
    since: datetime | None,
    now: datetime,
) -> Notice | None:
    """Why there is no certificate, once it is more than a matter of time."""
    names = listed(certificate.names)
    if task is None:
        return None
    if task.status in ("error", "cancelled", "blocked"):
        return Notice(
            reason=reasons.MANAGED_ORDER_FAILED,
            message=f"OVH's order ended as {task.status}: see that A and AAAA of {names} lead to "
            "the service, then ask again.",
        )
    if not _is_overdue(task, since, now):
        return None
    if task.status == "done":
        return Notice(
            reason=reasons.MANAGED_ORDER_FAILED,
            message=f"OVH's order is done, but there is no certificate for exactly {names}.",
        )
    return Notice(
        reason=ORDER_OVERDUE,
        message=f"OVH has been at the order for more than an hour: see that A and AAAA of {names} "
        "lead to the service.",
    )
