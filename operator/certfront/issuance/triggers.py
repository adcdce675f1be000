"""Why a certificate must be issued now: small checks in order, the first that holds is the reason.

Each check reads one closed value and is shared by the decision and by what the status says.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from certfront.issuance import record as records
from certfront.issuance import schedule
from certfront.issuance.needs import SpecHash, Wanted
from certfront.issuance.record import Record
from certfront.model.certificate import Certificate

TriggerReason = Literal[
    "SecretMissing",
    "SecretDamaged",
    "SpecChanged",
    "IssuerChanged",
    "SourceChanged",
    "ReissueRequested",
    "RenewRequested",
    "Expired",
    "RenewalDue",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that is needed to decide, gathered before.

    `issuer_identity` is None while the issuer cannot be read: then it cannot have changed.
    `source_fingerprint` is that of an uploaded pair which passed every check.
    `trust_clock` is False while the clock differs from the API server's: nothing is due by time.
    """

    certificate: Certificate
    wanted: Wanted
    record: Record
    now: datetime
    issuer_identity: str | None = ""
    issued_by_authority: bool = True
    reissue_before: datetime | None = None
    source_fingerprint: str = ""
    trust_clock: bool = True

    @property
    def uploaded(self) -> bool:
        """Whether the pair comes from the user: then nothing but a new one can renew it."""
        return self.wanted.type == "Uploaded"

    @property
    def renewal_time(self) -> datetime | None:
        """When time alone renews it; None where nothing does."""
        facts = self.record.facts
        renewal = self.certificate.spec.renewal
        if facts is None or self.uploaded or renewal.suspend:
            return None
        return schedule.renewal_time(
            renewal,
            not_before=facts.not_before,
            not_after=facts.not_after,
            uid=self.certificate.metadata.uid,
        )

    @property
    def renew_request(self) -> str:
        """The value of the annotation that asks for a renewal, until a Secret was written for it."""
        asked = self.certificate.metadata.annotations.get(records.RENEW, "")
        return "" if asked == self.record.renewed_for else asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One reason to issue, with a sentence for people.

    `new_key` overrules `rotation: Never`; `urgent` ignores a back-off.
    """

    reason: TriggerReason
    message: str
    new_key: bool = False
    urgent: bool = False


def first_trigger(observed: Observed) -> Trigger | None:
    """The first reason that holds, or None: the Secret is as it should be.

    A request by annotation that was not tried yet overrules a back-off, whatever the reason is.
    """
    found = next(filter(None, (check(observed) for check in CHECKS)), None)
    return replace(found, urgent=True) if found is not None and _asked_now(observed) else found


def spec_current(observed: Observed) -> bool:
    """Whether the stored pair is what the spec asks for, whoever issued it."""
    held = observed.record
    if held.pair is None:
        return False
    if observed.uploaded:
        return records.covers(held, observed.wanted)
    if held.spec_hash is None:
        return records.satisfies(held, observed.wanted)
    return held.spec_hash.spec == observed.wanted.hash


def _missing(observed: Observed) -> Trigger | None:
    if observed.record.ownership == "Absent":
        lost = bool(observed.certificate.status.fingerprint)
        message = "The Secret was deleted." if lost else "There is no Secret yet."
        return Trigger(reason="SecretMissing", message=message, urgent=lost)
    return None


def _damaged(observed: Observed) -> Trigger | None:
    if observed.record.pair is None:
        found_now = bool(observed.certificate.status.fingerprint)
        message = f"The Secret was damaged: {observed.record.damage}"
        return Trigger(reason="SecretDamaged", message=message, urgent=found_now)
    return None


def _spec_changed(observed: Observed) -> Trigger | None:
    if observed.uploaded or spec_current(observed):
        return None
    return Trigger(reason="SpecChanged", message="The spec asks for another certificate.")


def _issuer_changed(observed: Observed) -> Trigger | None:
    held = observed.record.spec_hash
    if observed.uploaded or observed.issuer_identity is None:
        return None
    if held is None:
        changed = not observed.issued_by_authority
    else:
        changed = held.issuer != SpecHash.of(observed.wanted, observed.issuer_identity).issuer
    return Trigger(reason="IssuerChanged", message="The issuer has changed.") if changed else None


def _source_changed(observed: Observed) -> Trigger | None:
    facts = observed.record.facts
    if not observed.source_fingerprint or facts is None:
        return None
    if facts.fingerprint == observed.source_fingerprint:
        return None
    return Trigger(reason="SourceChanged", message="The uploaded pair was replaced.", urgent=True)


def _reissue_requested(observed: Observed) -> Trigger | None:
    limit, issued = observed.reissue_before, observed.record.issued_at
    if limit is None or observed.uploaded or issued is None or issued >= limit:
        return None
    if observed.now < limit or not observed.trust_clock:
        return None
    message = "It was issued before the time in reissueBefore."
    return Trigger(reason="ReissueRequested", message=message, new_key=True)


def _renew_requested(observed: Observed) -> Trigger | None:
    if observed.uploaded or not observed.renew_request:
        return None
    message = "The annotation certfront.io/renew asks for it."
    return Trigger(reason="RenewRequested", message=message)


def _asked_now(observed: Observed) -> bool:
    asked = observed.renew_request
    return bool(asked) and asked != observed.certificate.status.handled_renew


def _expired(observed: Observed) -> Trigger | None:
    facts = observed.record.facts
    if facts is None or observed.uploaded or not observed.trust_clock:
        return None
    if observed.certificate.spec.renewal.suspend or observed.now < facts.not_after:
        return None
    return Trigger(reason="Expired", message="It has expired.")


def _renewal_due(observed: Observed) -> Trigger | None:
    moment = observed.renewal_time
    if moment is None or observed.now < moment or not observed.trust_clock:
        return None
    return Trigger(reason="RenewalDue", message="Its renewal time has come.")


CHECKS: tuple[Callable[[Observed], Trigger | None], ...] = (
    _missing,
    _damaged,
    _spec_changed,
    _issuer_changed,
    _source_changed,
    _reissue_requested,
    _renew_requested,
    _expired,
    _renewal_due,
)
