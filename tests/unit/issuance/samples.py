"""Certificates, Secrets and findings for the tests of this package, with one thing changed at a time."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from certfront.issuance import needs, record
from certfront.issuance.needs import SpecHash
from certfront.issuance.outcomes import Outcome
from certfront.issuance.record import Record
from certfront.issuance.report import Findings, Installation
from certfront.issuance.triggers import Observed
from certfront.model.certificate import Certificate, CertificateStatus
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import parse, plain
from certfront.pki import issue, keys
from certfront.pki.pair import KeyPair

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
UID = "6f3e0b1c-9d4e-4f7a-8f0e-1b2c3d4e5f60"
DOCS = "https://docs"


def certificate(
    status: CertificateStatus | None = None,
    *,
    annotations: Mapping[str, str] | None = None,
    generation: int = 1,
    uid: str = UID,
    **spec: Any,
) -> Certificate:
    """A self-signed one for shop.example.com, unless something else is said."""
    body: dict[str, Any] = {
        "metadata": {
            "name": "shop",
            "namespace": "shop",
            "uid": uid,
            "generation": generation,
            "annotations": dict(annotations or {}),
        },
        "spec": {"type": "SelfSigned", "dnsNames": ["shop.example.com"], **spec},
    }
    if status is not None:
        body["status"] = plain(status)
    return parse(Certificate, body)


@functools.cache
def pair_for(
    *names: str, days: float = 90, issued: datetime = NOW, algorithm: str = "ECDSA"
) -> KeyPair:
    """A self-signed pair."""
    spec: dict[str, Any] = {"dnsNames": list(names or ("shop.example.com",))}
    spec["duration"] = f"{int(days * 24)}h"
    wanted = needs.wanted(certificate(**spec))
    key = keys.generate(KeyAlgorithm(algorithm), 2048 if algorithm == "RSA" else None)
    return issue.self_signed(wanted.request, key, now=issued, object_name="shop")


def secret(
    owner: Certificate,
    pair: KeyPair | None = None,
    *,
    identity: str = "",
    revision: int = 1,
    issued: datetime = NOW,
    renewed_for: str = "",
) -> dict[str, Any]:
    """What the operator writes for `owner`, as the API server gives it back."""
    spec_hash = SpecHash.of(needs.wanted(owner), identity)
    body = record.body(
        owner,
        pair or pair_for(),
        need=needs.need(owner.metadata.uid, spec_hash, revision),
        revision=revision,
        spec_hash=spec_hash,
        issued_at=issued,
        renewed_for=renewed_for,
    )
    metadata = {**body["metadata"], "uid": "secret-uid", "resourceVersion": "7"}
    return {**body, "metadata": metadata}


def observed(
    owner: Certificate, held: Record | None = None, *, now: datetime = NOW, **changes: Any
) -> Observed:
    """All is as it should be, except what is changed."""
    found = held if held is not None else record.observe(owner, secret(owner))
    value = Observed(certificate=owner, wanted=needs.wanted(owner), record=found, now=now)
    return replace(value, **changes)


def findings(
    outcome: Outcome,
    owner: Certificate | None = None,
    *,
    held: Record | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> Findings:
    """A pass over a certificate that is in force, except what is changed."""
    owner = owner or certificate()
    found = held if held is not None else record.observe(owner, secret(owner))
    value = Findings(
        certificate=owner,
        record=found,
        in_force=found.facts,
        matches_spec=found.pair is not None,
        trigger=None,
        outcome=outcome,
        installation=Installation(),
        uploaded=owner.spec.type == "Uploaded",
        renewal_time=now + timedelta(days=60),
        warning_time=None,
        need="0123456789abcdef",
        now=now,
        documentation_url=DOCS,
    )
    return replace(value, **changes)
