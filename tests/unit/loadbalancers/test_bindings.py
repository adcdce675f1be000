"""Which certificate answers for which hostname."""

from datetime import UTC, datetime, timedelta
from typing import cast

from certfront.loadbalancers import reasons
from certfront.loadbalancers.bindings import (
    Candidate,
    Material,
    PriorBinding,
    bind,
    default_hostnames,
)
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.keys import KeyAlgorithm
from certfront.pki.pair import KeyPair

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)
PAIR = cast("KeyPair", object())
ECDSA, RSA = KeyAlgorithm.ECDSA, KeyAlgorithm.RSA
MISSING = Problem(
    condition="ResolvedRefs", reason=reasons.CERTIFICATE_NOT_READY, message="not ready"
)


def material(
    *names: str, key_type: KeyAlgorithm = ECDSA, fingerprint: str = "new", days: int = 90
) -> Material:
    return Material(
        pair=PAIR,
        names=names,
        key_type=key_type,
        fingerprint=fingerprint,
        not_before=NOW - DAY,
        not_after=NOW + days * DAY,
    )


def candidate(name: str, found: Material | None = None, **more: object) -> Candidate:
    source = CertificateSource("Certificate", "shop", name)
    problem = None if found is not None else MISSING
    return Candidate(source=source, material=found, problem=problem, **more)  # type: ignore[arg-type] # fields of it


def prior(*names: str, fingerprint: str = "old") -> PriorBinding:
    return PriorBinding(
        hostnames=names, key_type=ECDSA, fingerprint=fingerprint, not_after=NOW + DAY
    )


def bound(candidates: list[Candidate], *hostnames: str) -> dict[str, tuple[str, ...]]:
    found = bind(candidates, hostnames, NOW)
    return {b.source.name: b.hostnames for b in found.bindings}


def reasons_of(candidates: list[Candidate], *hostnames: str) -> list[str]:
    return [problem.reason.name for problem in bind(candidates, hostnames, NOW).problems]


def test_names_go_to_the_certificate_that_covers_them() -> None:
    entries = [candidate("a", material("a.x")), candidate("w", material("*.y"))]
    assert bound(entries, "a.x", "b.y") == {"a": ("a.x",), "w": ("b.y",)}


def test_the_first_of_two_with_one_key_type_wins() -> None:
    entries = [candidate("a", material("a.x")), candidate("b", material("a.x", "b.x"))]
    assert bound(entries, "a.x", "b.x") == {"a": ("a.x",), "b": ("b.x",)}


def test_two_key_types_form_a_pair() -> None:
    entries = [candidate("e", material("a.x")), candidate("r", material("a.x", key_type=RSA))]
    assert bound(entries, "a.x") == {"e": ("a.x",), "r": ("a.x",)}


def test_an_entry_may_be_narrowed() -> None:
    entries = [candidate("a", material("a.x", "b.x"), narrowed=("b.x",))]
    assert bound(entries, "a.x", "b.x") == {"a": ("b.x",)}
    assert reasons_of(entries, "a.x", "b.x") == ["NoCertificateForHostname"]


def test_narrowing_to_a_name_that_is_not_covered_is_told() -> None:
    entries = [candidate("a", material("a.x"), narrowed=("c.x",))]
    assert "NoCertificateForHostname" in reasons_of(entries, "a.x")


def test_names_that_nothing_covers_are_told_and_awaited_ones_are_not() -> None:
    entries = [candidate("a", material("a.x")), candidate("b", expected=("b.x",))]
    found = bind(entries, ("a.x", "b.x", "c.x"), NOW)
    missing = [p for p in found.problems if p.reason is reasons.NO_CERTIFICATE_FOR_HOSTNAME]
    assert len(missing) == 1
    assert "c.x" in missing[0].message
    assert "b.x" not in missing[0].message


def test_what_is_installed_stays_when_its_material_is_gone() -> None:
    entries = [candidate("a", prior=prior("a.x"))]
    found = bind(entries, ("a.x",), NOW)
    assert found.bindings[0].pair is None
    assert found.bindings[0].hostnames == ("a.x",)
    assert [p.reason.name for p in found.problems] == ["CertificateNotReady"]


def test_an_expired_certificate_never_comes_in_anew() -> None:
    entries = [candidate("a", material("a.x", days=-1))]
    assert bound(entries, "a.x") == {}
    assert reasons_of(entries, "a.x")[0] == "Expired"


def test_an_expired_certificate_stays_where_it_is_served() -> None:
    entries = [candidate("a", material("a.x", days=-1), prior=prior("a.x", fingerprint="new"))]
    assert bound(entries, "a.x") == {"a": ("a.x",)}
    assert reasons_of(entries, "a.x") == ["Expired"]


def test_an_expired_successor_leaves_the_one_before_in_place() -> None:
    entries = [candidate("a", material("a.x", days=-1), prior=prior("a.x"))]
    found = bind(entries, ("a.x",), NOW)
    assert found.bindings[0].fingerprint == "old"
    assert found.bindings[0].pair is None


def test_the_balancers_own_certificate_answers_only_for_what_is_left() -> None:
    entries = [
        candidate("w", material("*.x", key_type=RSA), shared=True),
        candidate("a", material("a.x")),
    ]
    assert bound(entries, "a.x", "b.x") == {"a": ("a.x",), "w": ("b.x",)}
    assert bound(entries, "a.x") == {"a": ("a.x",)}


def test_trouble_with_the_balancers_own_certificate_is_not_the_tenants() -> None:
    entries = [candidate("w", shared=True), candidate("a", material("a.x"))]
    assert reasons_of(entries, "a.x") == []


def test_default_hostnames_are_those_of_the_own_certificates() -> None:
    entries = [
        candidate("a", material("a.x", "192.0.2.1")),
        candidate("b", expected=("b.x", "a.x")),
        candidate("w", material("*.x"), shared=True),
    ]
    assert default_hostnames(entries) == ("a.x", "b.x")


def test_the_names_of_a_certificate_that_is_gone_stay() -> None:
    assert default_hostnames([candidate("a", prior=prior("a.x"))]) == ("a.x",)
