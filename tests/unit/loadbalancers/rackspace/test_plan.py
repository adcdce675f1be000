"""What is planned for a Rackspace load balancer, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from certfront.loadbalancers.protocol import Installation, Memory, Plan
from certfront.loadbalancers.rackspace import plan as planning
from certfront.loadbalancers.rackspace import state
from tests.unit.loadbalancers.rackspace.builders import (
    ECDSA,
    MADE,
    binding,
    fingerprint,
    frontend,
    listener,
    mapping,
    memory,
    observed,
    pair,
    source,
    termination,
    wish,
)

WEB = frontend("web")


def plan(wanted: Any, there: state.Observed) -> Plan[Any]:
    return planning.plan(wanted, there, namespace="edge")


def keys(planned: Plan[Any]) -> list[str]:
    return [operation.key for operation in planned.operations]


def reasons(planned: Plan[Any], name: str = "web") -> list[str]:
    return [problem.reason.name for problem in planned.outlooks[frontend(name)].problems]


def web(*bindings: Any, **rest: Any) -> Any:
    return listener("web", *bindings, **rest)


A = binding("a", "a.example")
B = binding("b", "b.example")
WILD = binding("wild", "*.example")


# --- one at a time


@pytest.mark.parametrize("status", ["BUILD", "PENDING_UPDATE", "PENDING_DELETE"])
def test_nothing_is_planned_while_the_load_balancer_is_at_work(status: str) -> None:
    planned = plan(wish(web(A)), observed(status=status))
    assert planned.operations == ()
    assert planned.look_again == 5.0
    assert planned.outlooks[WEB].waits


@pytest.mark.parametrize("status", ["ERROR", "SUSPENDED"])
def test_a_load_balancer_that_nobody_may_change_is_a_problem(status: str) -> None:
    planned = plan(wish(web(A)), observed(status=status))
    assert planned.operations == ()
    assert planned.look_again is None
    assert reasons(planned) == ["LoadBalancerState"]


# --- the default


def test_the_termination_is_made_first_and_claimed() -> None:
    planned = plan(wish(web(A, B)), observed())
    assert keys(planned) == ["termination"]
    made = planned.operations[0]
    assert made.act == state.PutTermination(pair=pair("a"), port=443, create=True)
    assert made.claims == (WEB, source("a"), fingerprint("a"))


def test_the_certificates_key_is_in_no_representation() -> None:
    planned = plan(wish(web(A)), observed())
    assert "PRIVATE" not in repr(planned)


def test_the_default_certificate_is_the_one_that_the_frontend_names() -> None:
    planned = plan(wish(web(A, B, default="b")), observed())
    assert planned.operations[0].act.pair == pair("b")


def test_the_own_namespaces_default_certificate_goes_before_an_older_frontends() -> None:
    old = web(A, age=9, default="a")
    own = listener(
        "edge", binding("b", "b.example", namespace="edge"), namespace="edge", default="b"
    )
    assert plan(wish(old, own), observed()).operations[0].act.pair == pair("b")


def test_without_material_for_the_default_the_first_that_is_there_starts() -> None:
    waiting = binding("a", "a.example", at_hand=False)
    assert plan(wish(web(waiting, B)), observed()).operations[0].act.pair == pair("b")


def test_a_renewed_default_is_replaced_in_place() -> None:
    planned = plan(
        wish(
            web(binding("a", "a.example", version=2)), memory={WEB: memory(True, a="termination")}
        ),
        observed(termination("a")),
    )
    assert [o.act for o in planned.operations] == [
        state.PutTermination(pair=pair("a", 2), port=443)
    ]


def test_a_settled_load_balancer_is_left_alone() -> None:
    planned = plan(
        wish(web(A, B), memory={WEB: memory(True, a="termination", b="7")}),
        observed(termination("a"), mapping(7, "b.example", "b")),
    )
    assert planned.operations == ()
    outlook = planned.outlooks[WEB]
    assert outlook.configured
    assert all(one.bound for one in outlook.standings)
    assert [one.provider_id for one in outlook.standings] == ["termination", "7"]
    assert outlook.frontend_id == MADE
    assert outlook.probe == ("192.0.2.7", 443)


def test_the_default_moves_only_when_its_names_have_mappings() -> None:
    """Names that the old default answers for would be shown the new one otherwise."""
    wanted = wish(web(A, B, default="b"), memory={WEB: memory(True, a="termination", b="7")})
    before = plan(wanted, observed(termination("a"), mapping(7, "b.example", "b")))
    assert keys(before) == ["mapping a.example"]
    after = plan(
        wanted,
        observed(termination("a"), mapping(7, "b.example", "b"), mapping(8, "a.example", "a")),
    )
    assert keys(after) == ["termination"]


def test_the_default_stays_where_the_limit_leaves_its_names_without_mapping() -> None:
    full = [mapping(n, f"n{n}.other.example") for n in range(20)]
    planned = plan(
        wish(web(A, B, default="b"), memory={WEB: memory(True, a="termination")}),
        observed(termination("a"), *full),
    )
    assert keys(planned) == []
    assert reasons(planned) == ["QuotaExceeded"]


def test_a_mapping_that_the_default_made_superfluous_is_removed() -> None:
    planned = plan(
        wish(web(A), memory={WEB: memory(True, a="termination 7")}),
        observed(termination("a"), mapping(7, "a.example", "a")),
    )
    assert [(o.act, o.removes) for o in planned.operations] == [(state.DeleteMapping(id="7"), True)]
    assert planned.outlooks[WEB].standings[0].provider_id == "termination 7" or (
        "7" in planned.outlooks[WEB].standings[0].provider_id.split()
    )


# --- mappings


def test_every_other_name_gets_a_mapping_exact_ones_first() -> None:
    planned = plan(wish(web(A, WILD, B)), observed(termination("a")))
    assert keys(planned) == ["mapping a.example", "mapping b.example"]


def test_a_wildcard_waits_for_the_names_that_it_would_take_over() -> None:
    """`a.example` is served by the default; a wildcard mapping would be more specific."""
    wanted = wish(web(A, WILD))
    assert keys(plan(wanted, observed(termination("a")))) == ["mapping a.example"]
    then = plan(wanted, observed(termination("a"), mapping(7, "a.example", "a")))
    assert keys(then) == ["mapping *.example"]


def test_an_intermediate_that_differs_is_replaced() -> None:
    chained = binding("b", "b.example", chained=True)
    there = state.Mapping(
        id="7", host="b.example", fingerprint=chained.fingerprint, chain=("AA:BB",)
    )
    planned = plan(wish(web(A, chained)), observed(termination("a"), there))
    assert [o.act.id for o in planned.operations] == ["7"]


def test_intermediates_that_are_no_more_are_cleared() -> None:
    there = state.Mapping(id="7", host="b.example", fingerprint=fingerprint("b"), chain=("AA:BB",))
    planned = plan(wish(web(A, B)), observed(termination("a"), there))
    assert planned.operations[0].act.clears_chain


def test_a_mapping_of_someone_else_is_never_changed() -> None:
    planned = plan(wish(web(A, B)), observed(termination("a"), mapping(7, "b.example", "x")))
    assert planned.operations == ()
    assert reasons(planned) == ["NameTaken"]
    assert not planned.outlooks[WEB].standings[1].bound


def test_a_mapping_of_someone_else_is_taken_over_where_it_is_handed_over() -> None:
    planned = plan(
        wish(web(A, B, adopt=True)), observed(termination("a"), mapping(7, "b.example", "x"))
    )
    assert [o.act.id for o in planned.operations] == ["7"]


def test_a_mapping_for_a_name_of_the_default_is_seen_though_it_needs_none() -> None:
    planned = plan(wish(web(A)), observed(termination("a"), mapping(7, "a.example", "x")))
    assert reasons(planned) == ["NameTaken"]


def test_what_does_not_fit_is_told_and_the_others_are_served() -> None:
    names = [f"n{n}.example" for n in range(22)]
    planned = plan(wish(web(A, binding("b", *names))), observed(termination("a")))
    assert len(planned.operations) == 20
    assert reasons(planned) == ["QuotaExceeded"]
    assert "n20.example" in planned.outlooks[WEB].problems[0].message
    assert planned.limits == {"certificateMappings": 20}


def test_a_lost_mapping_is_found_again_by_its_claim() -> None:
    """The answer to POST was lost and the certificate was renewed meanwhile."""
    claimed = Memory(
        frontend_id=MADE,
        installed=(
            Installation(
                source=source("a"), fingerprint=fingerprint("a"), provider_id="termination"
            ),
            Installation(source=source("b"), fingerprint=fingerprint("b")),
        ),
    )
    planned = plan(
        wish(web(A, binding("b", "b.example", version=2)), memory={WEB: claimed}),
        observed(termination("a"), mapping(7, "b.example", "b")),
    )
    assert [(o.act.id, o.claims) for o in planned.operations] == [("7", None)]


def test_a_certificate_without_material_keeps_its_mapping() -> None:
    gone = binding("b", "b.example", at_hand=False)
    planned = plan(
        wish(web(A, gone), memory={WEB: memory(True, a="termination", b="7")}),
        observed(termination("a"), mapping(7, "b.example", "b")),
    )
    assert planned.operations == ()
    assert planned.outlooks[WEB].standings[1].bound


def test_a_mapping_that_nobody_wants_is_removed_and_remembered_until_then() -> None:
    planned = plan(
        wish(web(A), memory={WEB: memory(True, a="termination", b="7")}),
        observed(termination("a"), mapping(7, "b.example", "b")),
    )
    assert keys(planned) == ["unmap 7"]
    assert planned.operations[0].removes
    assert planned.outlooks[WEB].frontend_id == f"{MADE} 7"
    kept = Memory(frontend_id=planned.outlooks[WEB].frontend_id)
    again = plan(
        wish(web(A), memory={WEB: kept}), observed(termination("a"), mapping(7, "b.example", "b"))
    )
    assert keys(again) == ["unmap 7"]


@pytest.mark.parametrize(
    "rest", [{"complete": False}, {"staying": ["old"]}], ids=["incomplete", "staying"]
)
def test_nothing_is_removed_that_could_be_someones_of_whom_nothing_is_known(
    rest: dict[str, Any],
) -> None:
    planned = plan(
        wish(web(A), memory={frontend("old"): memory(False, b="7")}, **rest),
        observed(termination("a"), mapping(7, "b.example", "b")),
    )
    assert not any(o.removes for o in planned.operations)


def test_an_elliptic_key_is_a_problem_and_what_is_installed_stays() -> None:
    other = binding("b", "b.example", key_type=ECDSA)
    planned = plan(
        wish(web(A, other), memory={WEB: memory(True, a="termination", b="7")}),
        observed(termination("a"), mapping(7, "b.example", "b")),
    )
    assert planned.operations == ()
    assert reasons(planned) == ["KeyTypeUnsupported"]


# --- settings


def test_plain_traffic_is_refused_and_then_redirected_when_all_names_are_served() -> None:
    wanted = wish(web(A, B, https_only=True), memory={WEB: memory(True, a="termination")})
    assert keys(plan(wanted, observed(termination("a")))) == ["mapping b.example", "settings"]
    mapped = mapping(7, "b.example", "b")
    first = plan(wanted, observed(termination("a"), mapped))
    assert [o.act for o in first.operations] == [state.SetTermination(secure_only=True)]
    second = plan(wanted, observed(termination("a", secure_only=True), mapped))
    assert [o.act for o in second.operations] == [state.SetRedirect(on=True)]
    done = plan(wanted, observed(termination("a", secure_only=True), mapped, https_redirect=True))
    assert done.operations == ()
    assert done.outlooks[WEB].configured


def test_the_redirect_ends_before_plain_traffic_is_let_in() -> None:
    wanted = wish(web(A), memory={WEB: memory(True, a="termination")})
    first = plan(wanted, observed(termination("a", secure_only=True), https_redirect=True))
    assert [o.act for o in first.operations] == [state.SetRedirect(on=False)]
    second = plan(wanted, observed(termination("a", secure_only=True)))
    assert [o.act for o in second.operations] == [state.SetTermination(secure_only=False)]


def test_beside_another_port_plain_traffic_is_refused_with_a_notice() -> None:
    planned = plan(
        wish(web(A, port=8443, https_only=True), memory={WEB: memory(True, a="termination")}),
        observed(termination("a", port=8443, secure_only=True)),
    )
    assert planned.operations == ()
    assert [n.reason.name for n in planned.outlooks[WEB].notices] == ["PlainHTTPRefused"]


def test_a_disabled_listener_keeps_its_certificates() -> None:
    wanted = wish(
        web(A, https_only=True, disabled=True), memory={WEB: memory(True, a="termination")}
    )
    there = observed(termination("a", secure_only=True), https_redirect=True)
    assert [o.act for o in plan(wanted, there).operations] == [state.SetRedirect(on=False)]
    then = plan(wanted, observed(termination("a", secure_only=True)))
    assert [o.act for o in then.operations] == [
        state.SetTermination(enabled=False, secure_only=False)
    ]


def test_old_tls_versions_are_taken_away() -> None:
    planned = plan(
        wish(web(A), memory={WEB: memory(True, a="termination")}),
        observed(termination("a", weak_protocols=True)),
    )
    assert [o.act for o in planned.operations] == [
        state.SetTermination(without_weak_protocols=True)
    ]


@pytest.mark.parametrize(
    ("younger", "reason"),
    [
        ({"port": 8443}, "PortConflict"),
        ({"https_only": True}, "SettingConflict"),
        ({"disabled": True}, "SettingConflict"),
    ],
)
def test_the_older_frontend_decides_what_there_is_once(
    younger: dict[str, Any], reason: str
) -> None:
    planned = plan(wish(web(A, age=9), listener("late", B, **younger)), observed(termination("a")))
    assert reasons(planned) == []
    assert reasons(planned, "late") == [reason]


def test_a_conflicting_setting_does_not_keep_certificates_from_being_served() -> None:
    planned = plan(
        wish(web(A, age=9), listener("late", B, https_only=True)), observed(termination("a"))
    )
    assert keys(planned) == ["mapping b.example"]


@pytest.mark.parametrize(
    ("wanted", "there", "reason"),
    [
        (web(A, port=80), observed(), "PortConflict"),
        (web(A), observed(protocol="HTTPS"), "ProtocolUnsuited"),
        (web(A, redirect_status=302), observed(), "UnsupportedField"),
        (web(ssl=False), observed(), "UnsupportedField"),
        (web(A), observed(termination("x")), "ListenerExists"),
        (web(A, manage="CertificatesOnly"), observed(), "ListenerNotFound"),
        (
            web(A, manage="CertificatesOnly"),
            observed(termination("x", enabled=False)),
            "ListenerNotFound",
        ),
        (
            web(A, manage="CertificatesOnly", https_only=True),
            observed(termination("x")),
            "UnsupportedField",
        ),
    ],
    ids=[
        "own port",
        "secure protocol",
        "other redirect",
        "plain listener",
        "someone else's termination",
        "no termination",
        "termination switched off",
        "settings of a listener that is not ours",
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_done(
    wanted: Any, there: state.Observed, reason: str
) -> None:
    planned = plan(wish(wanted), there)
    assert planned.operations == ()
    assert reasons(planned) == [reason]
    assert not planned.outlooks[WEB].configured


@pytest.mark.parametrize("status", [301, 308])
def test_the_permanent_redirects_are_what_rackspace_does(status: Any) -> None:
    planned = plan(wish(web(A, redirect_status=status)), observed())
    assert reasons(planned) == []


def test_settings_stay_while_a_frontend_that_has_a_part_in_them_was_not_looked_at() -> None:
    planned = plan(
        wish(
            web(A, https_only=False),
            staying=["old"],
            memory={frontend("old"): memory(True, b="termination")},
        ),
        observed(termination("b", secure_only=True), https_redirect=True),
    )
    assert keys(planned) == ["mapping a.example"]
    assert planned.outlooks[WEB].waits


# --- whose listener it is


def test_a_termination_just_as_it_is_wanted_is_taken_for_ours() -> None:
    planned = plan(wish(web(A)), observed(termination("a")))
    assert planned.operations == ()
    assert planned.outlooks[WEB].frontend_id == MADE


def test_a_termination_that_is_handed_over_gets_our_certificate() -> None:
    planned = plan(wish(web(A, adopt=True)), observed(termination("x")))
    assert [o.act for o in planned.operations] == [state.PutTermination(pair=pair("a"), port=443)]


def test_certificates_only_installs_mappings_and_nothing_else() -> None:
    there = observed(termination("x", secure_only=True, weak_protocols=True), https_redirect=True)
    planned = plan(wish(web(A, manage="CertificatesOnly")), there)
    assert keys(planned) == ["mapping a.example"]
    assert planned.outlooks[WEB].configured
    assert planned.outlooks[WEB].frontend_id == ""


def test_certificates_only_replaces_the_default_where_it_is_asked_to_and_keeps_it_current() -> None:
    only = web(A, manage="CertificatesOnly", default="a")
    assert keys(plan(wish(only), observed(termination("x")))) == ["termination"]
    later = web(binding("a", "a.example", version=2), manage="CertificatesOnly")
    renewed = plan(
        wish(later, memory={WEB: memory(False, a="termination")}), observed(termination("a"))
    )
    assert keys(renewed) == ["termination"]


# --- the end


def gone(there: state.Observed, **rest: Any) -> Plan[Any]:
    held = memory(True, a="termination", b="7")
    return plan(wish(releasing=["web"], memory={WEB: held}, **rest), there)


def test_a_release_takes_mappings_then_the_redirect_then_the_termination() -> None:
    secure = termination("a", secure_only=True)
    steps = [
        (observed(secure, mapping(7, "b.example", "b"), https_redirect=True), "unmap 7"),
        (observed(secure, https_redirect=True), "redirect off"),
        (observed(secure), "settings"),
        (observed(termination("a")), "unterminate"),
    ]
    for there, key in steps:
        planned = gone(there)
        assert keys(planned) == [key]
        assert planned.operations[0].removes
        assert planned.left == {WEB}
    assert gone(observed()).left == frozenset()


def test_a_termination_with_someone_elses_mapping_stays() -> None:
    planned = gone(observed(termination("a"), mapping(9, "other.example")))
    assert planned.operations == ()
    assert planned.left == frozenset()


def test_a_termination_that_others_use_stays_and_its_certificate_is_replaced() -> None:
    other = listener("other", B)
    held = {WEB: memory(True, a="termination"), other.frontend: memory(True, b="7")}
    wanted = wish(other, releasing=["web"], memory=held)
    before = plan(wanted, observed(termination("a"), mapping(7, "b.example", "b")))
    assert keys(before) == ["termination"]
    assert before.left == {WEB}
    after = plan(wanted, observed(termination("b"), mapping(7, "b.example", "b")))
    assert keys(after) == ["unmap 7"]
    assert after.left == frozenset()


def test_a_release_removes_nothing_while_some_frontend_is_unknown() -> None:
    assert gone(observed(termination("a")), complete=False).operations == ()


def test_a_release_leaves_what_a_frontend_that_stays_has_a_part_in() -> None:
    held = {WEB: memory(True, a="termination"), frontend("old"): memory(False, b="7")}
    planned = plan(
        wish(releasing=["web"], staying=["old"], memory=held),
        observed(termination("a"), mapping(7, "b.example", "b")),
    )
    assert planned.operations == ()


def test_a_certificates_only_release_leaves_the_termination() -> None:
    planned = plan(
        wish(releasing=["web"], memory={WEB: memory(False, a="7")}),
        observed(termination("x"), mapping(7, "a.example", "a")),
    )
    assert keys(planned) == ["unmap 7"]
    done = plan(
        wish(releasing=["web"], memory={WEB: memory(False, a="7")}), observed(termination("x"))
    )
    assert done.operations == ()
    assert done.left == frozenset()


# --- what is easily got wrong


def test_a_new_mapping_is_claimed_before_it_is_made() -> None:
    planned = plan(wish(web(A, B)), observed(termination("a")))
    assert planned.operations[0].claims == (WEB, source("b"), fingerprint("b"))


def test_a_wildcard_that_nobody_wants_stays_while_a_name_is_served_by_it_alone() -> None:
    wanted = wish(
        web(A, binding("wild", "b.example")),
        memory={WEB: memory(True, a="termination", wild="7")},
    )
    there = observed(termination("a"), mapping(7, "*.example", "wild"))
    assert [o.key for o in plan(wanted, there).operations if o.removes] == []
    both = observed(
        termination("a"), mapping(7, "*.example", "wild"), mapping(8, "b.example", "wild")
    )
    assert "unmap 7" in keys(plan(wanted, both))


def test_a_release_leaves_the_termination_while_it_has_a_staying_frontends_certificate() -> None:
    held = {WEB: memory(True), frontend("old"): memory(False, a="termination")}
    planned = plan(
        wish(releasing=["web"], staying=["old"], memory=held), observed(termination("a"))
    )
    assert planned.operations == ()
    assert planned.left == frozenset()


def test_a_certificate_that_left_the_termination_does_not_claim_it_any_more() -> None:
    """What is remembered of A is outdated: B is there now."""
    wanted = wish(
        web(A, B, default="b"), memory={WEB: memory(True, a="termination 8", b="termination")}
    )
    planned = plan(wanted, observed(termination("b"), mapping(8, "a.example", "a")))
    assert planned.operations == ()
    places = [one.provider_id for one in planned.outlooks[WEB].standings]
    assert places == ["8", "termination"]
