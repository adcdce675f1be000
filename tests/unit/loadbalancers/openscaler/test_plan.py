"""What is planned, by what is wanted, remembered and known; every table row is one situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.openscaler import orders
from certfront.loadbalancers.openscaler.plan import plan as planned
from certfront.loadbalancers.openscaler.reasons import (
    EMAIL_REQUIRED,
    ONE_NAME_ONLY,
)
from certfront.loadbalancers.openscaler.state import Delete, Facts, Observed, Order, Upload
from certfront.loadbalancers.protocol import ManagedCertificate, Memory, Plan, Wish
from certfront.loadbalancers.reasons import LEFT_AT_PROVIDER
from tests.unit.loadbalancers.openscaler.builders import (
    BALANCER,
    NOW,
    SCOPE,
    at,
    binding,
    facts,
    fingerprint,
    frontend,
    has,
    has_managed,
    listener,
    managed,
    name_of,
    source,
    wish,
)

BLIND = Observed(listed=False)
DELETES = Observed(listed=False, deletes=True)
KEEPS = Observed(listed=False, deletes=False)


def plan(wanted: Wish, observed: Observed = BLIND) -> Plan[Any]:
    return planned(wanted, observed, scope=SCOPE, load_balancer_id=BALANCER)


def acts(wanted: Wish, observed: Observed = BLIND) -> list[Any]:
    return [one.act for one in plan(wanted, observed).operations]


def seen(*held: Facts, **rest: Any) -> Observed:
    return Observed(listed=True, certificates={one.name: one for one in held}, **rest)


def word(name: str, version: int = 1, sign: str = "=") -> str:
    return f"{name_of(name, version)}{sign}{fingerprint(name, version).replace(':', '')}"


A, A2 = binding("a"), binding("a", version=2)
WEB, WEB2 = listener("web", A), listener("web", A2)


@pytest.mark.parametrize(
    ("wanted", "observed", "expected"),
    [
        pytest.param(wish(WEB), BLIND, ["a1"], id="nothing is known"),
        pytest.param(wish(WEB, memory={"web": has("a")}), BLIND, [], id="remembered"),
        pytest.param(
            wish(WEB, memory={"web": has("a", confirmed=False)}), BLIND, ["a1"], id="only claimed"
        ),
        pytest.param(
            wish(WEB, memory={"web": has("a")}), seen(), ["a1"], id="remembered and not listed"
        ),
        pytest.param(
            wish(WEB, memory={"web": has("a", version=2, words=word("a"))}),
            BLIND,
            ["a1"],
            id="wanted again: its deletion may have been under way",
        ),
        pytest.param(wish(WEB), seen(facts("a")), [], id="listed and not remembered"),
        pytest.param(
            wish(WEB, memory={"web": has("a")}),
            replace(KEEPS, left=frozenset({name_of("a")})),
            ["a1"],
            id="remembered, but its deletion was tried",
        ),
        pytest.param(
            wish(WEB), seen(replace(facts("a"), serial="01")), ["a1"], id="another of that name"
        ),
        pytest.param(
            wish(WEB, listener("late", A), memory={"web": has("a")}), BLIND, [], id="shared"
        ),
        pytest.param(wish(WEB, listener("late", A)), BLIND, ["a1"], id="shared, once"),
        pytest.param(wish(WEB2, memory={"web": has("a")}), BLIND, ["a2"], id="rotated"),
        pytest.param(
            wish(listener("web", replace(A, hostnames=()))), BLIND, [], id="without a name"
        ),
        pytest.param(
            wish(listener("web", binding("a", at_hand=False))), BLIND, [], id="no material"
        ),
    ],
)
def test_what_is_uploaded(wanted: Wish, observed: Observed, expected: list[str]) -> None:
    versions = {name_of("a"): "a1", name_of("a", 2): "a2"}
    found = acts(wanted, observed)
    assert all(isinstance(one, Upload) for one in found)
    assert [versions[one.name] for one in found] == expected


ROTATED = has("a", version=2, words=word("a"))


@pytest.mark.parametrize(
    ("wanted", "observed", "expected"),
    [
        pytest.param(wish(WEB2, memory={"web": ROTATED}), BLIND, ["a1"], id="after a rotation"),
        pytest.param(
            wish(WEB2, memory={"web": has("a", version=2, confirmed=False, words=word("a"))}),
            BLIND,
            [],
            id="not before the new one is there",
        ),
        pytest.param(
            wish(WEB2, memory={"web": ROTATED}, complete=False), BLIND, [], id="not all are known"
        ),
        pytest.param(
            wish(WEB2, staying=["late"], memory={"web": ROTATED, "late": has("a")}),
            BLIND,
            [],
            id="another one stays with it",
        ),
        pytest.param(
            wish(
                listener("web", binding("b")),
                staying=["late"],
                memory={
                    "web": has("b", words=word("a")),
                    "late": Memory(frontend_id=f"42 {word('a')}"),
                },
            ),
            BLIND,
            [],
            id="another one stays, and has it from before",
        ),
        pytest.param(
            wish(WEB2, listener("late", A), memory={"web": ROTATED}), BLIND, [], id="still wanted"
        ),
        pytest.param(
            wish(listener("web", binding("b")), memory={"web": has("b", words=word("a"))}),
            BLIND,
            ["a1"],
            id="listed no more",
        ),
        pytest.param(
            wish(releasing=["web"], memory={"web": has("a")}), BLIND, ["a1"], id="released"
        ),
        pytest.param(
            wish(listener("late", A), releasing=["web"], memory={"web": has("a")}),
            BLIND,
            [],
            id="released, and another one has it",
        ),
        pytest.param(
            wish(
                WEB2,
                staying=["late"],
                memory={"web": has("a", version=2), "late": has("a", version=2)},
            ),
            seen(facts("a"), facts("a", 2)),
            [],
            id="listed only, and another version stays with another one",
        ),
        pytest.param(wish(), seen(facts("a")), ["a1"], id="an orphan of ours"),
        pytest.param(
            wish(staying=["web"]), seen(facts("a")), [], id="it could be of one that stays"
        ),
        pytest.param(wish(), seen(Facts(name="by-hand")), [], id="not ours"),
        pytest.param(
            wish(releasing=["web"], memory={"web": has("a")}), seen(), [], id="gone by the list"
        ),
        pytest.param(
            wish(releasing=["web"], memory={"web": Memory(frontend_id="42 by-hand=00")}),
            BLIND,
            [],
            id="remembered and not ours",
        ),
        pytest.param(
            wish(
                listener("web", binding("a", at_hand=False)),
                memory={"web": has("a", words=word("a", 2))},
            ),
            BLIND,
            [],
            id="material is gone: all of it stays",
        ),
    ],
)
def test_what_is_deleted(wanted: Wish, observed: Observed, expected: list[str]) -> None:
    versions = {name_of("a"): "a1", name_of("a", 2): "a2"}
    deletions = [one for one in plan(wanted, observed).operations if isinstance(one.act, Delete)]
    assert [versions[one.act.name] for one in deletions] == expected
    assert all(one.removes for one in deletions)


def test_a_rotation_remembers_the_old_one_until_it_is_deleted() -> None:
    """`status.installed` has one entry a certificate, so the old one is in `frontendID`."""
    outlook = plan(wish(WEB2, memory={"web": has("a")})).outlooks[frontend("web")]
    assert outlook.frontend_id == f"42 {word('a')}"
    [standing] = outlook.standings
    assert (standing.stored, standing.provider_id) == (False, "")

    later = wish(WEB2, memory={"web": ROTATED})
    [standing] = plan(later).outlooks[frontend("web")].standings
    assert (standing.stored, standing.bound, standing.provider_id) == (True, True, name_of("a", 2))
    assert standing.superseded == {fingerprint("a").replace(":", "")}

    gone = replace(DELETES, gone=frozenset({name_of("a")}))
    outlook = plan(later, gone).outlooks[frontend("web")]
    assert outlook.frontend_id == "42"
    assert outlook.standings[0].superseded == frozenset()


def test_what_cannot_be_deleted_is_no_excuse_for_a_handshake() -> None:
    [standing] = (
        plan(wish(WEB2, memory={"web": ROTATED}), KEEPS).outlooks[frontend("web")].standings
    )
    assert standing.superseded == frozenset()


def test_an_upload_that_nobody_confirmed_is_remembered_as_uncertain() -> None:
    wanted = wish(WEB2, memory={"web": has("a", confirmed=False)})
    assert plan(wanted).outlooks[frontend("web")].frontend_id == f"42 {word('a', sign='?')}"
    settled = wish(WEB2, memory={"web": has("a", version=2, words=word("a", sign="?"))})
    assert acts(settled) == [Delete(name=name_of("a"), certain=False)]


def test_a_release_is_left_until_everything_is_gone_or_given_up() -> None:
    wanted = wish(releasing=["web"], memory={"web": has("a")})
    assert plan(wanted).left == {frontend("web")}
    assert plan(wanted, replace(DELETES, gone=frozenset({name_of("a")}))).left == frozenset()

    [noted] = plan(wanted, KEEPS).operations
    assert not noted.removes
    given_up = plan(wanted, replace(KEEPS, left=frozenset({name_of("a")})))
    assert (given_up.left, given_up.operations) == (frozenset(), ())
    [notice] = given_up.notices
    assert notice.reason == LEFT_AT_PROVIDER
    assert name_of("a") in notice.message


def test_a_release_that_is_shared_is_done_at_once() -> None:
    wanted = wish(listener("late", A), releasing=["web"], memory={"web": has("a")})
    assert plan(wanted).left == frozenset()


@pytest.mark.parametrize(
    ("manage", "expected"),
    [("Listener", [reasons.PRECONDITION_UNVERIFIED]), ("CertificatesOnly", [])],
)
def test_a_listener_is_somebody_elses_to_make(manage: Any, expected: list[Any]) -> None:
    found = plan(wish(listener("web", A, manage=manage))).outlooks[frontend("web")]
    assert [one.reason for one in found.notices] == expected


# --- what OpenScaler issues


def order_after(before: str, *, kind: Any = "Public", domain: str = "m.example") -> str:
    """The name that is ordered; spelled out here, since a changed one would order everything anew."""
    wanted = ManagedCertificate(kind=kind, names=(domain,), email="")

    return orders.name_of(SCOPE, source("m"), wanted, before)


M = listener("web", managed("m"))
FIRST = order_after(NOW.isoformat())
SECOND = order_after(FIRST)
_DAYS = 86400


def lived(name: str, days: float, life: float = 90) -> str:
    begin = int(NOW.timestamp() - days * _DAYS)
    return f"{name}@{begin}-{int(begin + life * _DAYS)}"


@pytest.mark.parametrize(
    ("memory", "observed", "expected"),
    [
        pytest.param(Memory(), BLIND, [FIRST], id="never ordered"),
        pytest.param(has_managed("m", FIRST, lived(FIRST, 10)), BLIND, [], id="issued"),
        pytest.param(has_managed("m", FIRST, lived(FIRST, 61)), BLIND, [SECOND], id="due"),
        pytest.param(has_managed("m", FIRST, lived(FIRST, 3, 6)), BLIND, [], id="short, not due"),
        pytest.param(
            has_managed("m", FIRST, lived(FIRST, 4.1, 6)), BLIND, [SECOND], id="short, due"
        ),
        pytest.param(
            has_managed("m", FIRST, lived(FIRST, 61)),
            Observed(listed=False, certificates={SECOND: Facts(name=SECOND, not_before=NOW)}),
            [],
            id="due and done since",
        ),
        pytest.param(has_managed("m", "", lived(FIRST, 10)), BLIND, [SECOND], id="asked for again"),
        pytest.param(
            has_managed("m", FIRST, lived(FIRST, 10)), seen(), [SECOND], id="removed by hand"
        ),
        pytest.param(
            has_managed("m", order_after("x", domain="old.example")),
            BLIND,
            [order_after(order_after("x", domain="old.example"))],
            id="another name is asked for",
        ),
    ],
)
def test_what_is_ordered(memory: Memory, observed: Observed, expected: list[str]) -> None:
    found = acts(wish(M, memory={"web": memory}), observed)
    assert [one for one in found if not isinstance(one, Delete)] == [
        Order(name=name, kind="Public", domain="m.example", email="ops@example.com")
        for name in expected
    ]


def test_what_is_issued_is_told_with_its_facts() -> None:
    issued = Facts(
        name=FIRST,
        common_name="m.example",
        subject="CN=m.example",
        domains=("m.example",),
        issuers="CN=R3",
        not_before=NOW,
        not_after=NOW + timedelta(days=90),
        serial="03:AB",
        size=2048,
    )
    found = plan(wish(M), replace(BLIND, certificates={FIRST: issued}))
    state = found.managed[source("m")]
    assert (state.provider_id, state.domains, state.subject) == (
        FIRST,
        ("m.example",),
        "CN=m.example",
    )
    assert (state.issuer, state.serial, state.size) == ("CN=R3", "03:AB", 2048)
    assert (state.not_before, state.not_after, state.task) == (NOW, NOW + timedelta(days=90), None)
    outlook = found.outlooks[frontend("web")]
    [standing] = outlook.standings
    assert (standing.provider_id, standing.fingerprint, standing.bound) == (FIRST, "", True)
    assert standing.not_after == NOW + timedelta(days=90)
    assert outlook.frontend_id == f"42 {lived(FIRST, 0)}"


def test_a_certificate_of_unknown_end_is_replaced_after_sixty_days() -> None:
    """After a lost answer, where nothing can be read."""
    first = wish(M, memory={"web": has_managed("m", FIRST)})
    remembered = plan(first).outlooks[frontend("web")].frontend_id
    memory = replace(has_managed("m", FIRST), frontend_id=remembered)
    later = wish(M, memory={"web": memory})
    assert acts(at(later, NOW + timedelta(days=59))) == []
    assert [one.name for one in acts(at(later, NOW + timedelta(days=61)))] == [SECOND]
    assert plan(later).outlooks[frontend("web")].frontend_id == remembered


def test_while_the_next_one_is_ordered_the_present_one_stands() -> None:
    found = plan(wish(M, memory={"web": has_managed("m", FIRST, lived(FIRST, 61))}))
    [standing] = found.outlooks[frontend("web")].standings
    assert (standing.provider_id, standing.bound) == (FIRST, True)
    state = found.managed[source("m")]
    assert (state.provider_id, state.task.id if state.task else "") == (FIRST, SECOND)


def test_the_one_before_is_deleted_when_the_next_one_is_there() -> None:
    memory = has_managed("m", SECOND, f"{lived(FIRST, 61)} {lived(SECOND, 0)}")
    assert acts(wish(M, memory={"web": memory})) == [Delete(name=FIRST)]


def test_of_two_frontends_the_one_that_has_the_later_certificate_is_believed() -> None:
    """Their statuses are written one after the other; names have no order of their own."""
    before = FIRST
    for _ in range(8):
        after = order_after(before)
        for one, other in ((before, after), (after, before)):
            held = {"web": has_managed("m", one), "late": has_managed("m", other)}
            found = plan(wish(M, listener("late", managed("m")), memory=held))
            assert found.managed[source("m")].provider_id == after
        before = after


def test_a_refused_order_is_told_to_its_certificate() -> None:
    found = plan(wish(M), replace(BLIND, failed={FIRST: "It points elsewhere."}))
    state = found.managed[source("m")]
    assert state.problem is not None
    assert (state.problem.reason, state.problem.message) == (
        reasons.MANAGED_ORDER_FAILED,
        "It points elsewhere.",
    )
    assert state.task is not None
    assert state.task.status == "error"


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        pytest.param(managed("m", "m.example", "n.example"), ONE_NAME_ONLY, id="two names"),
        pytest.param(managed("m", email=""), EMAIL_REQUIRED, id="no address"),
        pytest.param(managed("m", email="", kind="SelfSigned"), None, id="none is needed"),
    ],
)
def test_what_openscaler_cannot_issue_is_said(bound: Any, reason: Any) -> None:
    found = plan(wish(listener("web", bound)))
    problems = [one.reason for one in found.outlooks[frontend("web")].problems]
    assert problems == ([] if reason is None else [reason])
    assert len(found.operations) == (reason is None)
    state = found.managed[source("m")]
    assert (state.problem.reason if state.problem else None) == reason


def test_no_key_shows_in_an_act() -> None:
    assert "PRIVATE" not in repr(acts(wish(WEB)))
