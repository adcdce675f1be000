from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certfront.issuance import record, triggers
from certfront.issuance.record import ABSENT, RENEW
from certfront.issuance.triggers import Observed
from certfront.model.certificate import CertificateStatus
from tests.unit.issuance.samples import NOW, certificate, observed, pair_for, secret

DAY = timedelta(days=1)
UPLOADED: dict[str, Any] = {"type": "Uploaded", "uploaded": {"secretRef": {"name": "given"}}}


def _held(**spec: Any) -> record.Record:
    owner = certificate(**spec)
    return record.observe(owner, secret(owner))


def _asked(value: str, *, handled: str = "", **more: Any) -> Observed:
    status = CertificateStatus(handled_renew=handled)
    return observed(certificate(status, annotations={RENEW: value}), _held(), **more)


SUSPENDED: dict[str, Any] = {"renewal": {"suspend": True}}
ROWS: dict[str, tuple[Observed, str]] = {
    "all is well": (observed(certificate()), ""),
    "no Secret": (observed(certificate(), ABSENT), "SecretMissing"),
    "damaged": (observed(certificate(), replace(_held(), pair=None, facts=None)), "SecretDamaged"),
    "other names": (observed(certificate(dnsNames=["b.example"]), _held()), "SpecChanged"),
    "other key": (observed(certificate(privateKey={"algorithm": "RSA"}), _held()), "SpecChanged"),
    "other rotation": (observed(certificate(privateKey={"rotation": "Never"}), _held()), ""),
    "no hash, fits": (observed(certificate(), replace(_held(), spec_hash=None)), ""),
    "no hash, does not fit": (
        observed(certificate(dnsNames=["b.example"]), replace(_held(), spec_hash=None)),
        "SpecChanged",
    ),
    "other issuer": (observed(certificate(), issuer_identity="other"), "IssuerChanged"),
    "issuer unknown": (observed(certificate(), issuer_identity=None), ""),
    "no hash, another CA": (
        observed(certificate(), replace(_held(), spec_hash=None), issued_by_authority=False),
        "IssuerChanged",
    ),
    "issued too early": (
        observed(certificate(), reissue_before=NOW + DAY, now=NOW + 2 * DAY),
        "ReissueRequested",
    ),
    "issued late enough": (observed(certificate(), reissue_before=NOW, now=NOW + DAY), ""),
    "the limit has not come": (observed(certificate(), reissue_before=NOW + DAY), ""),
    "asked for": (_asked("1"), "RenewRequested"),
    "asked for and done": (
        observed(
            certificate(annotations={RENEW: "1"}),
            record.observe(certificate(), secret(certificate(), renewed_for="1")),
        ),
        "",
    ),
    "due": (observed(certificate(), now=NOW + 61 * DAY), "RenewalDue"),
    "not due": (observed(certificate(), now=NOW + 50 * DAY), ""),
    "due, suspended": (observed(certificate(**SUSPENDED), now=NOW + 61 * DAY), ""),
    "due, clock not trusted": (
        observed(certificate(), now=NOW + 61 * DAY, trust_clock=False),
        "",
    ),
    "expired": (observed(certificate(), now=NOW + 91 * DAY), "Expired"),
    "expired, suspended": (observed(certificate(**SUSPENDED), now=NOW + 91 * DAY), ""),
    "expired, clock not trusted": (
        observed(certificate(), now=NOW + 91 * DAY, trust_clock=False),
        "",
    ),
    "suspended, no Secret": (observed(certificate(**SUSPENDED), ABSENT), "SecretMissing"),
    "suspended, other names": (
        observed(certificate(dnsNames=["b.example"], **SUSPENDED), _held()),
        "SpecChanged",
    ),
    "suspended, asked for": (
        observed(certificate(annotations={RENEW: "1"}, **SUSPENDED), _held()),
        "RenewRequested",
    ),
    "uploaded, expired": (observed(certificate(**UPLOADED), now=NOW + 91 * DAY), ""),
    "uploaded, asked for": (observed(certificate(annotations={RENEW: "1"}, **UPLOADED)), ""),
    "uploaded, replaced": (
        observed(certificate(**UPLOADED), source_fingerprint="AA:BB"),
        "SourceChanged",
    ),
    "uploaded, the same": (
        observed(
            certificate(**UPLOADED),
            source_fingerprint=_held().facts.fingerprint,  # type: ignore[union-attr]
        ),
        "",
    ),
}


@pytest.mark.parametrize(("seen", "reason"), ROWS.values(), ids=ROWS.keys())
def test_why_a_certificate_is_issued(seen: Observed, reason: str) -> None:
    found = triggers.first_trigger(seen)
    assert (found.reason if found else "") == reason


def test_only_what_may_be_known_to_others_overrules_a_kept_key() -> None:
    found = {
        trigger.reason
        for seen, _ in ROWS.values()
        if (trigger := triggers.first_trigger(seen)) and trigger.new_key
    }
    assert found == {"ReissueRequested"}


@pytest.mark.parametrize(
    ("seen", "urgent"),
    [
        pytest.param(_asked("1"), True, id="asked for"),
        pytest.param(_asked("2", handled="1"), True, id="asked for again"),
        pytest.param(_asked("1", handled="1"), False, id="tried once"),
        pytest.param(
            observed(certificate(annotations={RENEW: "1"}), ABSENT), True, id="nothing issued yet"
        ),
        pytest.param(observed(certificate(), ABSENT), False, id="not asked for"),
    ],
)
def test_a_request_is_tried_at_once_and_then_backs_off(seen: Observed, *, urgent: bool) -> None:
    found = triggers.first_trigger(seen)
    assert found is not None
    assert found.urgent is urgent


@pytest.mark.parametrize(
    ("names", "current"),
    [
        pytest.param(["shop.example.com"], True, id="covered"),
        pytest.param([], True, id="none asked for"),
        pytest.param(["other.example.com"], False, id="not covered"),
    ],
)
def test_an_uploaded_pair_matches_where_it_covers_what_is_asked_for(
    names: list[str], *, current: bool
) -> None:
    owner = certificate(**UPLOADED, dnsNames=names)
    held = record.observe(owner, secret(owner, pair_for()))
    assert triggers.spec_current(observed(owner, held)) is current
