"""Events: one per transition that a person may want to know, none per retry."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from certfront.engine.store import Object
from certfront.model.certificate import CertificateStatus
from certfront.model.conditions import Condition, find
from certfront.reconcilers.context import Context


@dataclass(frozen=True, slots=True)
class Announcement:
    """One Event to post."""

    warning: bool
    reason: str
    message: str


async def announce(
    context: Context,
    obj: Object,
    before: CertificateStatus,
    after: CertificateStatus,
    *,
    local: bool,
) -> None:
    """Post what `announcements` finds."""
    spec = obj.get("spec") or {}
    rotation = (spec.get("privateKey") or {}).get("rotation")
    new_ca_key = bool(spec.get("isCA")) and rotation != "Never"
    for item in announcements(before, after, local=local, new_ca_key=new_ca_key):
        await context.event(
            obj, warning=item.warning, reason=item.reason, message=item.message, action="Reconcile"
        )


def announcements(
    before: CertificateStatus,
    after: CertificateStatus,
    *,
    local: bool,
    new_ca_key: bool = False,
) -> Iterator[Announcement]:
    """What has changed for people: a new certificate, trouble of a new kind, or its end.

    The first success of a local certificate is not worth an Event, and a retry that fails as the
    attempt before did is none either. `new_ca_key`: a renewal replaces the key of an authority.
    """
    was, now = find(before.conditions, "Ready"), find(after.conditions, "Ready")
    if now is None:
        return
    if after.revision > before.revision and now.status == "True":
        if before.revision or not local:
            yield _new_certificate(before, after, new_ca_key=new_ca_key)
        return
    trouble = _is_trouble(now.status, now.reason, after)
    if trouble and _fails_again(before, after, now.reason):
        return
    if trouble and (was is None or (was.status, was.reason) != (now.status, now.reason)):
        yield Announcement(True, now.reason, now.message)
    elif now.status == "True" and was is not None and was.status == "False" and before.revision:
        yield Announcement(False, now.reason, now.message)


def _new_certificate(
    before: CertificateStatus, after: CertificateStatus, *, new_ca_key: bool
) -> Announcement:
    told = f"Certificate {after.serial}, valid until {after.not_after}"
    if not before.revision:
        return Announcement(False, "Issued", told)
    why = after.task.message.rstrip(".") if after.task is not None else ""
    told = f"{told}: {why}" if why else told
    if not new_ca_key:
        return Announcement(False, "Renewed", told)
    return Announcement(
        True,
        "Renewed",
        f"{told}. It has a new key: clients that trust the old root no longer trust what it signs",
    )


def _fails_again(before: CertificateStatus, after: CertificateStatus, reason: str) -> bool:
    """Whether the trouble is that of an attempt which failed like the one before it."""
    if before.last_failure is None or after.last_failure is None:
        return False
    if before.last_failure.reason != after.last_failure.reason:
        return False
    return reason in ("RenewalFailing", after.last_failure.reason)


async def announce_ready(
    context: Context,
    obj: Object,
    before: Iterable[Condition],
    after: Iterable[Condition],
    *,
    action: str,
    expected: Collection[str] = (),
    troubling: Collection[str] = (),
) -> None:
    """Post what `change_of_ready` finds between the conditions `before` and `after`."""
    item = change_of_ready(before, after, expected=expected, troubling=troubling)
    if item is not None:
        await context.event(
            obj, warning=item.warning, reason=item.reason, message=item.message, action=action
        )


def change_of_ready(
    before: Iterable[Condition],
    after: Iterable[Condition],
    *,
    expected: Collection[str] = (),
    troubling: Collection[str] = (),
) -> Announcement | None:
    """What a change of Ready means to people: trouble of a new kind, or its end.

    `expected` are reasons that are no news on the way to the first success, `troubling` those that
    are trouble although Ready is True. The first success itself is no news.
    """

    def troubled(ready: Condition) -> bool:
        return ready.status != "True" or ready.reason in troubling

    was, now = find(before, "Ready"), find(after, "Ready")
    if now is None or (was is not None and (was.status, was.reason) == (now.status, now.reason)):
        return None
    if troubled(now):
        begins = was is None or was.status != "True"
        if begins and now.reason in expected:
            return None
        return Announcement(True, now.reason, now.message)
    if was is None or not troubled(was) or was.reason in expected:
        return None
    return Announcement(False, now.reason, now.message)


def _is_trouble(status: str, reason: str, after: CertificateStatus) -> bool:
    if status == "True":
        return reason in ("RenewalFailing", "ExpiringSoon")
    return after.task is None or after.task.status != "doing"
