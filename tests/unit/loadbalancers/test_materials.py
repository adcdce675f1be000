"""What is taken from a Certificate's Secret, and what is not."""

import base64
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from certfront.loadbalancers.bindings import Candidate, PriorBinding
from certfront.loadbalancers.materials import given_by, of_certificate, of_secret, verdict_on
from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.certificate import Certificate
from certfront.model.conditions import Condition
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import parse
from certfront.pki import facts, keys
from certfront.pki.issue import self_signed
from certfront.pki.pair import KeyPair
from certfront.pki.request import Request
from tests.unit.pki.builders import NOW

SOURCE = CertificateSource("Certificate", "shop", "shop")
UPLOADED = {"type": "Uploaded", "uploaded": {"secretRef": {"name": "shop"}}}


def pair(*, begins: timedelta = timedelta()) -> KeyPair:
    request = Request(dns_names=("a.example",), duration=timedelta(days=90))
    key = keys.generate(KeyAlgorithm.ECDSA)
    return self_signed(request, key, now=NOW + begins, object_name="shop")


def certificate(fingerprint: str = "", **spec: Any) -> Certificate:
    wanted = spec or {"type": "SelfSigned", "dnsNames": ["A.example."]}
    metadata = {"namespace": "shop", "name": "shop"}
    status = {"fingerprint": fingerprint}
    return parse(Certificate, {"metadata": metadata, "spec": wanted, "status": status})


def secret(held: KeyPair, owner: str | None = "shop/shop", **data: bytes) -> dict[str, Any]:
    annotations = {} if owner is None else {"certfront.io/certificate": owner}
    values = {"tls.crt": held.tls_crt, "tls.key": held.private_key_pem, **data}
    return {
        "metadata": {"name": "shop", "namespace": "shop", "annotations": annotations},
        "data": {key: base64.b64encode(value).decode() for key, value in values.items()},
    }


def found(owner: Certificate | None, held: dict[str, Any] | None) -> Candidate:
    return of_certificate(SOURCE, owner, held, now=NOW)


def reason(candidate: Candidate) -> str:
    return "" if candidate.problem is None else candidate.problem.reason.name


def test_the_pair_of_a_marked_secret_is_taken() -> None:
    held = pair()
    candidate = found(certificate(), secret(held))
    assert candidate.material is not None
    assert candidate.material.names == ("a.example",)
    assert candidate.expected == ("a.example",)
    assert candidate.problem is None


@pytest.mark.parametrize("owner", [None, "shop/other", "other/shop"])
def test_a_secret_of_someone_else_is_not_taken(owner: str | None) -> None:
    candidate = found(certificate(), secret(pair(), owner))
    assert candidate.material is None
    assert reason(candidate) == "CertificateNotReady"


def test_of_a_secret_in_place_only_the_accepted_pair_is_taken() -> None:
    held = pair()
    fingerprint = facts.read(held.leaf, 0).fingerprint
    accepted = found(certificate(fingerprint, **UPLOADED), secret(held, None))
    assert accepted.material is not None
    replaced = found(certificate(fingerprint, **UPLOADED), secret(pair(), None))
    assert replaced.material is None
    unseen = found(certificate(**UPLOADED), secret(held, None))
    assert unseen.material is None


def test_a_pair_that_is_not_valid_yet_is_not_taken() -> None:
    assert found(certificate(), secret(pair(begins=timedelta(hours=2)))).material is None


BROKEN = {
    "no key": {"tls.key": b""},
    "not a key": {"tls.key": b"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"},
    "not a certificate": {"tls.crt": b"canary"},
    "too big": {"tls.crt": b"x" * 600_000},
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_damaged_secret_is_not_taken_and_not_repeated(data: dict[str, bytes]) -> None:
    candidate = found(certificate(), secret(pair(), **data))
    assert candidate.material is None
    assert candidate.problem is not None
    assert "canary" not in candidate.problem.message


def test_a_managed_certificate_needs_a_provider_that_issues() -> None:
    candidate = found(certificate(type="Managed", dnsNames=["a.example"]), None)
    assert reason(candidate) == "UnsupportedCertificateType"


def test_what_is_missing_is_told_with_what_stays_served() -> None:
    prior = PriorBinding(
        hostnames=("a.example",), key_type=KeyAlgorithm.ECDSA, fingerprint="x", not_after=None
    )
    gone = of_certificate(SOURCE, None, None, now=NOW, prior=prior)
    assert reason(gone) == "CertificateNotFound"
    assert gone.problem is not None
    assert "stays served" in gone.problem.message
    never = of_certificate(SOURCE, None, None, now=NOW)
    assert never.problem is not None
    assert "stays served" not in never.problem.message


def test_a_secret_of_someone_else_is_checked_like_an_upload() -> None:
    source = CertificateSource("Secret", "shop", "theirs")

    def candidate(held: dict[str, Any] | None) -> Candidate:
        given = given_by(held)
        return of_secret(source, held, None if given is None else verdict_on(given, NOW))

    good, other = pair(), pair()
    assert candidate(secret(good, None)).material is not None
    mixed = candidate(secret(good, None, **{"tls.key": other.private_key_pem}))
    assert mixed.material is None
    assert mixed.problem is not None
    assert "KeyMismatch" in mixed.problem.message
    assert reason(candidate(None)) == "SecretNotFound"
    early = candidate(secret(pair(begins=timedelta(hours=2)), None))
    assert early.material is None
    assert reason(early) == "CertificateNotReady"


@pytest.mark.parametrize(
    ("ready", "served", "told"),
    [
        ("True", True, ""),
        ("False", True, "CertificateNotReady"),
        ("True", False, "CertificateNotReady"),
    ],
    ids=["a rotation", "the Certificate is not Ready", "something else is served"],
)
def test_a_pair_replaced_in_place_is_no_problem_before_it_is_looked_at(
    ready: str, *, served: bool, told: str
) -> None:
    old = facts.read(pair().leaf, 0).fingerprint
    owner = certificate(old, **UPLOADED)
    condition = Condition(type="Ready", status=ready, reason="Issued")  # type: ignore[arg-type] # one of the two
    status = msgspec.structs.replace(owner.status, conditions=(condition,))
    owner = msgspec.structs.replace(owner, status=status)
    prior = PriorBinding(
        hostnames=("a.example",),
        key_type=KeyAlgorithm.ECDSA,
        fingerprint=old if served else "other",
        not_after=None,
    )
    candidate = of_certificate(SOURCE, owner, secret(pair(), None), now=NOW, prior=prior)
    assert candidate.material is None
    assert reason(candidate) == told
