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
    for item in announcements(before, after, local=local):
        await context.event(
            obj, warning=item.warning, reason=item.reason, message=item.message, action="Reconcile"
        )


def announcements(
    before: CertificateStatus, after: CertificateStatus, *, local: bool
) -> Iterator[Announcement]:
    """What has changed for people: a new certificate, trouble of a new kind, or its end.

    The first success of a local certificate is not worth an Event.
    """
    was, now = find(before.conditions, "Ready"), find(after.conditions, "Ready")
    if now is None:
        return
    if after.revision > before.revision and now.status == "True":
        if before.revision or not local:
            reason = "Renewed" if before.revision else "Issued"
            yield Announcement(
                False, reason, f"Certificate {after.serial}, valid until {after.not_after}"
            )
        return
    trouble = _is_trouble(now.status, now.reason, after)
    if trouble and (was is None or (was.status, was.reason) != (now.status, now.reason)):
        yield Announcement(True, now.reason, now.message)
    elif now.status == "True" and was is not None and was.status == "False" and before.revision:
        yield Announcement(False, now.reason, now.message)


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
