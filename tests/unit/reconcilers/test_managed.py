"""Certificates that a provider issues: what its answers become in the status of the Certificate."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certfront.issuance.report import Installation
from certfront.loadbalancers import reasons
from certfront.loadbalancers.protocol import ManagedState, Notice, ProviderTask
from certfront.model.certificate import Certificate, CertificateStatus
from certfront.model.conditions import find
from certfront.model.meta import parse
from certfront.reconcilers.managed import Found, status_of
from certfront.reconcilers.targets import advice

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ISSUED = ManagedState(
    provider_id="17",
    fingerprint="AB:CD",
    domains=("d01.example", "d02.example"),
    subject="CN=d01.example",
    serial="01:02",
    not_before=NOW - timedelta(days=10),
    not_after=NOW + timedelta(days=80),
)
TASK = ProviderTask(
    id="4711", action="orderFreeCertificate", status="doing", progress=40, created=NOW
)


def certificate(status: CertificateStatus | None = None, **spec: Any) -> Certificate:
    made = parse(
        Certificate,
        {
            "metadata": {"namespace": "shop", "name": "sites", "uid": "u", "generation": 1},
            "spec": {"type": "Managed", "dnsNames": ["d01.example", "d02.example"], **spec},
        },
    )
    if status is None:
        return made
    return Certificate(metadata=made.metadata, spec=made.spec, status=status)


def found(state: ManagedState | None, **given: Any) -> Found:
    base = Found(
        certificate=certificate(),
        state=state,
        installation=Installation(),
        used=True,
        refused=(),
        advice="",
        now=NOW,
        documentation="https://docs",
    )
    return replace(base, **given)


def ready(status: CertificateStatus) -> tuple[str, str]:
    condition = find(status.conditions, "Ready")
    assert condition is not None
    return condition.status, condition.reason


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(found(None, used=False), ("False", "WaitingForFrontend"), id="no frontend"),
        pytest.param(
            found(None, refused=("HAProxy",)), ("False", "UnsupportedCertificateType"), id="refused"
        ),
        pytest.param(
            found(ManagedState(task=TASK)), ("False", "OrderedAtProvider"), id="being ordered"
        ),
        pytest.param(
            found(ManagedState(problem=Notice(reason=reasons.MANAGED_ORDER_FAILED, message="No."))),
            ("False", "ManagedOrderFailed"),
            id="failed",
        ),
        pytest.param(found(ISSUED), ("True", "Issued"), id="issued"),
        pytest.param(found(replace(ISSUED, routed=False)), ("True", "NotRouted"), id="not routed"),
        pytest.param(
            found(replace(ISSUED, not_before=None), now=NOW + timedelta(days=55)),
            ("True", "ExpiringSoon"),
            id="not renewed, and its beginning is not told",
        ),
        pytest.param(
            found(
                replace(
                    ISSUED,
                    routed=False,
                    problem=Notice(reason=reasons.NOT_ROUTED, message="d01 leads elsewhere."),
                )
            ),
            ("True", "NotRouted"),
            id="not routed, with advice",
        ),
        pytest.param(
            found(ISSUED, now=NOW + timedelta(days=60)), ("True", "ExpiringSoon"), id="not renewed"
        ),
        pytest.param(
            found(ISSUED, now=NOW + timedelta(days=81)), ("False", "Expired"), id="expired"
        ),
        pytest.param(
            found(
                replace(ISSUED, problem=Notice(reason=reasons.MANAGED_ORDER_FAILED, message="No."))
            ),
            ("True", "RenewalFailing"),
            id="renewal fails",
        ),
    ],
)
def test_ready_says_what_the_provider_tells(given: Found, expected: tuple[str, str]) -> None:
    status = status_of(given, handled_renew="")
    assert ready(status) == expected
    assert find(status.conditions, "SecretAvailable") is not None
    stalled = find(status.conditions, "Stalled")
    assert stalled is None
    assert (find(status.conditions, "Reconciling") is not None) == (expected[0] == "False")


def test_the_task_is_the_providers_own_field_by_field() -> None:
    status = status_of(found(ManagedState(task=TASK)), handled_renew="")
    task = status.task
    assert task is not None
    assert (task.provider_id, task.action, task.status, task.progress) == (
        "4711",
        "orderFreeCertificate",
        "doing",
        40,
    )
    assert task.start_time == "2026-11-24T12:00:00Z"
    progressing = find(status.conditions, "Progressing")
    assert progressing is not None
    assert "4711" in progressing.message


def test_a_second_pass_over_the_same_answer_changes_nothing() -> None:
    first = status_of(found(replace(ISSUED, task=TASK)), handled_renew="")
    later = found(
        replace(ISSUED, task=TASK), certificate=certificate(first), now=NOW + timedelta(hours=1)
    )
    assert status_of(later, handled_renew="") == first
    assert first.revision == 1
    assert first.secret_name == ""


def test_a_renewed_certificate_is_a_new_revision() -> None:
    first = status_of(found(ISSUED), handled_renew="")
    renewed = replace(ISSUED, fingerprint="EF:01", serial="03:04")
    second = status_of(found(renewed, certificate=certificate(first)), handled_renew="")
    assert second.revision == 2


def test_what_a_provider_does_not_tell_again_is_kept() -> None:
    """OpenScaler tells facts once, when it creates a certificate."""
    first = status_of(found(ISSUED), handled_renew="")
    silent = ManagedState(provider_id="17", not_after=ISSUED.not_after)
    second = status_of(found(silent, certificate=certificate(first)), handled_renew="")
    assert second == first


def test_names_that_lead_elsewhere_are_told_while_nothing_is_issued() -> None:
    given = found(ManagedState(task=TASK), advice="d02.example points to 203.0.113.9.")
    condition = find(status_of(given, handled_renew="").conditions, "Ready")
    assert condition is not None
    assert "d02.example points to 203.0.113.9" in condition.message


async def test_advice_names_what_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = {
        "192.0.2.10": ["192.0.2.10"],
        "good.example": ["192.0.2.10"],
        "bad.example": ["203.0.113.9"],
        "half.example": ["192.0.2.10", "2001:db8::1"],
    }

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in zone:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in zone[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    told = await advice.astray(
        ("good.example", "bad.example", "half.example", "absent.example", "*.any.example"),
        "192.0.2.10",
    )

    assert "good.example" not in told
    assert "any.example" not in told
    assert "bad.example points to 203.0.113.9" in told
    assert "half.example points to 2001:db8::1" in told
    assert "absent.example does not resolve" in told
    assert await advice.astray(("good.example",), "192.0.2.10") == ""
    assert await advice.astray(("bad.example",), "unknown.example") == ""
