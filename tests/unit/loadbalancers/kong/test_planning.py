"""What is planned for Kong, driven against a small model until it is quiet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import NotYet, Refused
from certfront.loadbalancers.kong.acts import EditRoute, Move, Store
from certfront.loadbalancers.kong.ownership import certificate_id
from certfront.loadbalancers.kong.provider import KongProvider
from certfront.loadbalancers.kong.reasons import (
    CHANGED_BY_OTHERS,
    ROUTE_NOT_FOUND,
    ROUTE_UNSUITABLE,
    ROUTES_REQUIRED,
)
from certfront.loadbalancers.kong.state import Observed
from certfront.loadbalancers.protocol import CertificateSource, Installation, Memory, Plan, Wish
from certfront.model.frontend import KongSettings
from certfront.model.meta import ObjectName
from tests.contract.driver import Driver
from tests.unit.loadbalancers.kong.builders import (
    ECDSA,
    RSA,
    SCOPE,
    binding,
    fingerprint,
    frontend,
    listener,
    pair,
    source,
    wish,
)
from tests.unit.loadbalancers.kong.model import ModelKong


class Kong:
    """A model of Kong with a driver on it: `await kong.make(wish)` until it is quiet."""

    def __init__(self, probe: tuple[str, int] | None = None) -> None:
        self.api = ModelKong()
        self.provider = KongProvider(self.api, SCOPE, probe)  # type: ignore[arg-type]  # same methods
        self.driver: Driver | None = None

    async def make(self, wanted: Wish) -> Plan[Any]:
        if self.driver is None:
            self.driver = Driver(provider=self.provider, wish=wanted)
        else:
            self.driver.want(wanted)
        _, plan = await self.driver.settle()
        return plan

    async def observed(self) -> Observed:
        assert self.driver is not None
        return await self.provider.observe(self.driver.current())

    def served(self) -> dict[str, str | None]:
        """For each SNI the fingerprint-bearing text that answers: the PEM of its certificate."""
        return {name: self.api.stored[key]["cert"] for name, key in self.api.snis.items()}


@pytest.fixture
def kong() -> Kong:
    return Kong()


def pem(name: str, version: int = 1, key_type: Any = ECDSA) -> str:
    return pair(name, version, key_type).tls_crt.decode()


def key_of(*names: str) -> str:
    return certificate_id(SCOPE, frozenset(map(source, names)))


async def test_a_certificate_and_its_names_are_one_write_that_is_read_back(kong: Kong) -> None:
    plan = await kong.make(wish(listener("web", binding("a", "a.example", "*.a.example"))))
    assert kong.api.writes() == ["PUT /certificates/{}"]
    assert kong.served() == {"a.example": pem("a"), "*.a.example": pem("a")}
    standing = plan.outlooks[frontend("web")].standings[0]
    assert (standing.stored, standing.bound) == (True, True)
    assert (standing.provider_id, standing.fingerprint) == (key_of("a"), fingerprint("a"))
    assert plan.outlooks[frontend("web")].configured
    assert not plan.operations


async def test_what_is_settled_costs_reads_only_and_is_observed_alike(kong: Kong) -> None:
    wanted = wish(listener("web", binding("a", "a.example")))
    await kong.make(wanted)
    told = (await kong.driver.settle())[0] if kong.driver else None
    kong.api.calls.clear()
    assert await kong.observed() == told
    assert kong.api.calls == ["GET /certificates", "GET /snis", "GET /routes"]


async def test_rotation_is_one_write_in_place(kong: Kong) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example"))))
    kong.api.calls.clear()
    await kong.make(wish(listener("web", binding("a", "a.example", version=2))))
    assert kong.api.writes() == ["PUT /certificates/{}"]
    assert kong.served() == {"a.example": pem("a", 2)}


async def test_a_pair_is_one_certificate_whose_id_stays_when_a_half_rotates(kong: Kong) -> None:
    def both(version: int) -> Wish:
        rsa = binding("r", "a.example", key_type=RSA)
        return wish(listener("web", binding("e", "a.example", version=version), rsa))

    await kong.make(both(1))
    plan = await kong.make(both(2))
    assert set(kong.api.stored) == {key_of("r", "e")}
    stored = kong.api.stored[key_of("r", "e")]
    assert stored["cert"] == pem("r", key_type=RSA)
    assert stored["cert_alt"] == pem("e", 2)
    standings = plan.outlooks[frontend("web")].standings
    assert {s.source: s.bound for s in standings} == {source("e"): True, source("r"): True}


@pytest.mark.parametrize("rotating", ["e", "r"])
async def test_a_half_rotates_alone_where_the_other_half_s_material_is_gone(
    kong: Kong, rotating: str
) -> None:
    """A Certificate that was deleted stays served; its key is nowhere, so it cannot be sent again."""

    def both(version: int, *, deleted: bool) -> Wish:
        e = binding(
            "e",
            "a.example",
            version=version if rotating == "e" else 1,
            at_hand=rotating == "e" or not deleted,
        )
        r = binding(
            "r",
            "a.example",
            key_type=RSA,
            version=version if rotating == "r" else 1,
            at_hand=rotating == "r" or not deleted,
        )
        return wish(listener("web", e, r))

    await kong.make(both(1, deleted=False))
    kong.api.calls.clear()
    plan = await kong.make(both(2, deleted=True))
    assert kong.api.writes() == ["PATCH /certificates/{}"]
    stored = kong.api.stored[key_of("r", "e")]
    assert stored["cert"] == pem("r", 2 if rotating == "r" else 1, RSA)
    assert stored["cert_alt"] == pem("e", 2 if rotating == "e" else 1)
    assert all(one.bound for one in plan.outlooks[frontend("web")].standings)


async def test_a_second_half_moves_the_names_without_a_gap(kong: Kong) -> None:
    names = ("a.example", "b.example")
    await kong.make(wish(listener("web", binding("r", *names, key_type=RSA))))
    assert kong.driver is not None
    gaps: list[set[str]] = []
    kong.driver.on_step = lambda _: gaps.append(set(names) - kong.api.snis.keys())
    kong.api.calls.clear()
    await kong.make(wish(listener("web", binding("r", *names, key_type=RSA), binding("e", *names))))
    assert kong.api.writes() == [
        "PUT /certificates/{}",
        "PUT /snis/{}",
        "PUT /snis/{}",
        "DELETE /certificates/{}",
    ]
    assert not any(gaps)
    assert set(kong.api.stored) == {key_of("r", "e")}


async def test_two_frontends_share_the_certificate_that_both_use(kong: Kong) -> None:
    first = listener("one", binding("a", "a.example"), age=2)
    second = listener("two", binding("a", "b.example"), age=1)
    await kong.make(wish(first))
    await kong.make(wish(first, second))
    assert set(kong.api.stored) == {key_of("a")}
    assert set(kong.api.snis) == {"a.example", "b.example"}
    kong.api.calls.clear()
    plan = await kong.make(wish(first, releasing=["two"]))
    assert set(kong.api.snis) == {"a.example"}
    assert not plan.left
    assert kong.api.writes() == ["PATCH /certificates/{}"]
    plan = await kong.make(wish(releasing=["one"]))
    assert (kong.api.stored, kong.api.snis, plan.left) == ({}, {}, frozenset())


async def test_a_frontend_is_left_until_nothing_of_it_is_there(kong: Kong) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example"))))
    observed = await kong.observed()
    plan = kong.provider.plan(wish(releasing=["web"]), observed)
    assert plan.left == {frontend("web")}
    assert [operation.removes for operation in plan.operations] == [True]
    assert plan.operations[0].about == (frontend("web"),)


async def test_a_name_of_another_certificate_is_never_taken_and_the_others_are_served(
    kong: Kong,
) -> None:
    theirs = kong.api.add_foreign("b.example")
    plan = await kong.make(wish(listener("web", binding("a", "a.example", "b.example"))))
    assert kong.api.snis == {"a.example": key_of("a"), "b.example": theirs}
    (problem,) = plan.outlooks[frontend("web")].problems
    assert (problem.reason, problem.condition) == (reasons.NAME_TAKEN, "Accepted")
    assert f"b.example (certificate {theirs})" in problem.message
    assert plan.outlooks[frontend("web")].standings[0].bound
    del kong.api.snis["b.example"]
    await kong.make(wish(listener("web", binding("a", "a.example", "b.example"))))
    assert set(kong.api.snis.values()) == {key_of("a")}


async def test_all_names_taken_is_stored_and_not_bound(kong: Kong) -> None:
    kong.api.add_foreign("a.example")
    plan = await kong.make(wish(listener("web", binding("a", "a.example"))))
    (standing,) = plan.outlooks[frontend("web")].standings
    assert (standing.stored, standing.bound) == (True, False)


async def test_a_name_in_another_workspace_is_reported_once_kong_refuses_it(kong: Kong) -> None:
    kong.api.elsewhere.add("b.example")
    plan = await kong.make(wish(listener("web", binding("a", "a.example", "b.example"))))
    assert kong.api.snis == {"a.example": key_of("a")}
    assert [p.reason for p in plan.outlooks[frontend("web")].problems] == [reasons.NAME_TAKEN]


async def test_adopt_hands_a_name_over_in_one_step_and_leaves_the_other_certificate(
    kong: Kong,
) -> None:
    theirs = kong.api.add_foreign("a.example")
    plan = await kong.make(wish(listener("web", binding("a", "a.example"), adopt=True)))
    assert kong.api.snis == {"a.example": key_of("a")}
    assert theirs in kong.api.stored
    assert not plan.outlooks[frontend("web")].problems
    assert "DELETE /certificates/{}" not in kong.api.writes()


async def test_what_another_certfront_keeps_is_not_adopted(kong: Kong) -> None:
    theirs = kong.api.add_foreign("a.example", tags=("certfront", "certfront-scope:abcdef"))
    await kong.make(wish(listener("web", binding("a", "a.example"), adopt=True)))
    assert kong.api.snis == {"a.example": theirs}
    assert kong.driver is not None
    assert [type(error) for error in kong.driver.errors] == [Refused]


async def test_a_name_that_is_dropped_goes_and_a_new_one_comes(kong: Kong) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example", "b.example"))))
    kong.api.calls.clear()
    await kong.make(wish(listener("web", binding("a", "a.example", "c.example"))))
    assert set(kong.api.snis) == {"a.example", "c.example"}
    assert kong.api.writes() == ["PATCH /certificates/{}", "PATCH /certificates/{}"]


async def test_what_is_changed_or_deleted_behind_our_back_is_put_right(kong: Kong) -> None:
    wanted = wish(listener("web", binding("a", "a.example")))
    await kong.make(wanted)
    kong.api.stored[key_of("a")]["cert"] = pem("z")
    await kong.make(wanted)
    assert kong.served() == {"a.example": pem("a")}
    kong.api.snis.clear()
    await kong.make(wanted)
    assert kong.served() == {"a.example": pem("a")}
    kong.api.snis.clear()
    kong.api.stored.clear()
    await kong.make(wanted)
    assert kong.served() == {"a.example": pem("a")}


async def test_tags_that_were_removed_come_back_and_those_of_people_stay(kong: Kong) -> None:
    wanted = wish(listener("web", binding("a", "a.example")))
    await kong.make(wanted)
    kong.api.stored[key_of("a")]["tags"] = ["team-x"]
    await kong.make(wanted)
    tags = set(kong.api.stored[key_of("a")]["tags"])
    assert {
        "team-x",
        "certfront",
        f"certfront-scope:{SCOPE.digits}",
        "certfront-source:Certificate:shop:a",
        "certfront-frontend:shop:web",
    } == tags
    assert not [tag for tag in tags if "," in tag or "/" in tag]


async def test_a_certificate_without_tags_is_still_found_by_its_id_when_its_frontend_goes(
    kong: Kong,
) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example"))))
    kong.api.stored[key_of("a")]["tags"] = None
    await kong.make(wish(releasing=["web"]))
    assert kong.api.stored == {}


@pytest.mark.parametrize(
    "change",
    [
        {"staying": ["two"]},
        {"complete": False},
    ],
    ids=["it stays", "not all frontends are known"],
)
async def test_nothing_is_removed_of_a_frontend_about_which_nothing_was_decided(
    kong: Kong, change: dict[str, Any]
) -> None:
    first = listener("one", binding("a", "a.example"), age=2)
    second = listener("two", binding("a", "b.example"), binding("b", "c.example"), age=1)
    await kong.make(wish(first, second))
    before = dict(kong.api.snis)
    await kong.make(wish(first, **change))
    assert kong.api.snis == before


async def test_staying_is_recognised_by_memory_where_tags_are_gone(kong: Kong) -> None:
    await kong.make(wish(listener("one", binding("a", "a.example"))))
    kong.api.stored[key_of("a")]["tags"] = [f"certfront-scope:{SCOPE.digits}"]
    installed = Installation(
        source=source("a"), fingerprint=fingerprint("a"), provider_id=key_of("a")
    )
    memory = {frontend("one"): Memory(installed=(installed,))}
    await kong.make(wish(staying=["one"], memory=memory))
    assert set(kong.api.snis) == {"a.example"}


async def test_a_deleted_certificate_stays_as_it_is(kong: Kong) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example"))))
    kong.api.calls.clear()
    plan = await kong.make(wish(listener("web", binding("a", "a.example", at_hand=False))))
    assert kong.api.writes() == []
    assert plan.outlooks[frontend("web")].standings[0].bound


async def test_names_stay_where_they_are_while_their_new_certificate_cannot_be_stored(
    kong: Kong,
) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example"))))
    await kong.make(wish(listener("web", binding("b", "a.example", at_hand=False))))
    assert kong.served() == {"a.example": pem("a")}


async def test_the_older_frontend_has_a_name_that_two_want_with_different_certificates(
    kong: Kong,
) -> None:
    """On different ports both may claim it, but an SNI of Kong knows no port."""
    plan = await kong.make(
        wish(
            listener("old", binding("a", "a.example"), age=9),
            replace(listener("new", binding("b", "a.example", "b.example"), age=1), port=8443),
        )
    )
    assert kong.served() == {"a.example": pem("a"), "b.example": pem("b")}
    (problem,) = plan.outlooks[frontend("new")].problems
    assert problem.reason is reasons.HOSTNAME_CONFLICT
    assert "shop/old" in problem.message


async def test_a_renewal_is_not_undone_by_a_frontend_that_has_not_learned_of_it(
    kong: Kong,
) -> None:
    await kong.make(
        wish(
            listener("one", binding("a", "a.example", version=2), age=1),
            listener("two", binding("a", "b.example", version=1), age=2),
        )
    )
    assert set(kong.served().values()) == {pem("a", 2)}


async def test_the_default_certificate_is_sni_star_with_a_notice_about_clients_without_sni(
    kong: Kong,
) -> None:
    web = listener("web", binding("a", "a.example"), default_certificate=source("a"))
    plan = await kong.make(wish(web))
    assert set(kong.api.snis) == {"a.example", "*"}
    (notice,) = plan.outlooks[frontend("web")].notices
    assert notice.reason is reasons.PRECONDITION_UNVERIFIED
    assert "ssl_cert" in notice.message


async def test_the_default_certificate_of_the_load_balancer_s_namespace_goes_first(
    kong: Kong,
) -> None:
    old = listener("old", binding("a", "a.example"), age=9, default_certificate=source("a"))
    home = listener(
        "home",
        binding("h", "h.example", namespace="balancers"),
        namespace="balancers",
        default_certificate=CertificateSource("Certificate", "balancers", "h"),
    )
    plan = await kong.make(wish(old, home))
    assert kong.served()["*"] == pem("h")
    assert plan.outlooks[frontend("old")].problems[0].reason is reasons.HOSTNAME_CONFLICT


async def test_accepting_terminated_http_names_the_setting_to_make(kong: Kong) -> None:
    web = listener(
        "web",
        binding("a", "a.example"),
        accept_terminated=True,
        trusted_sources=("192.0.2.0/24", "2001:db8::/32"),
    )
    plan = await kong.make(wish(web))
    (notice,) = plan.outlooks[frontend("web")].notices
    assert notice.reason is reasons.PRECONDITION_UNVERIFIED
    assert "trusted_ips = 192.0.2.0/24,2001:db8::/32" in notice.message


async def test_a_name_of_digits_alone_holds_no_other_name_up(kong: Kong) -> None:
    plan = await kong.make(wish(listener("web", binding("a", "a.example", "1.2.3"))))
    assert set(kong.api.snis) == {"a.example"}
    assert plan.outlooks[frontend("web")].problems[0].reason is reasons.REFUSED_BY_PROVIDER


@pytest.mark.parametrize(
    ("told", "probe"),
    [(None, None), (("proxy.example", 8443), ("proxy.example", 8443)), (("p", 0), ("p", 443))],
    ids=["no address", "with a port", "the frontend's port"],
)
async def test_the_proxy_is_probed_where_its_address_was_told(told: Any, probe: Any) -> None:
    plan = await Kong(told).make(wish(listener("web", binding("a", "a.example"))))
    assert plan.outlooks[frontend("web")].probe == probe


# --- routes


def https_only(name: str = "web", *, status: Any = 301, **rest: Any) -> Any:
    rest.setdefault("routes", ["shop"])
    return listener(name, binding("a", "a.example"), redirect_status=status, **rest)


async def test_routes_are_made_https_only_once_the_certificate_is_bound(kong: Kong) -> None:
    key = kong.api.add_route("shop", tags=["mine"])
    plan = await kong.make(wish(https_only()))
    route = kong.api.all_routes[key]
    assert (route["protocols"], route["https_redirect_status_code"]) == (["https"], 301)
    assert kong.api.writes() == ["PUT /certificates/{}", "PATCH /routes/{}"]
    assert "mine" in route["tags"]
    assert plan.outlooks[frontend("web")].configured


@pytest.mark.parametrize(
    "after",
    [
        wish(releasing=["web"]),
        wish(listener("web", binding("a", "a.example"), routes=["shop"])),
        wish(https_only(routes=["other"])),
    ],
    ids=["released", "no longer httpsOnly", "no longer named"],
)
async def test_a_route_gets_back_what_it_was(kong: Kong, after: Wish) -> None:
    key = kong.api.add_route("shop", tags=["mine"], https_redirect_status_code=302)
    kong.api.add_route("other")
    before = dict(kong.api.all_routes[key])
    await kong.make(wish(https_only()))
    await kong.make(wish(https_only(status=308)))
    plan = await kong.make(after)
    assert kong.api.all_routes[key] == before
    assert not plan.left


async def test_a_route_is_put_back_before_its_certificate_goes(kong: Kong) -> None:
    kong.api.add_route("shop")
    await kong.make(wish(https_only()))
    kong.api.calls.clear()
    await kong.make(wish(releasing=["web"]))
    assert kong.api.writes() == ["PATCH /routes/{}", "DELETE /certificates/{}"]


async def test_a_route_whose_protocols_someone_changed_since_only_loses_our_tags(
    kong: Kong,
) -> None:
    key = kong.api.add_route("shop")
    await kong.make(wish(https_only()))
    kong.api.all_routes[key]["protocols"] = ["http"]
    await kong.make(wish(releasing=["web"]))
    route = kong.api.all_routes[key]
    assert (route["protocols"], route["tags"]) == (["http"], [])


async def test_a_route_that_is_https_only_already_is_not_touched(kong: Kong) -> None:
    kong.api.add_route("shop", protocols=["https"], https_redirect_status_code=301)
    plan = await kong.make(wish(https_only()))
    assert kong.api.writes() == ["PUT /certificates/{}"]
    assert plan.outlooks[frontend("web")].configured


async def test_drift_of_a_route_is_put_right(kong: Kong) -> None:
    key = kong.api.add_route("shop")
    await kong.make(wish(https_only()))
    kong.api.all_routes[key]["protocols"] = ["http", "https"]
    await kong.make(wish(https_only()))
    assert kong.api.all_routes[key]["protocols"] == ["https"]


async def test_routes_by_tag(kong: Kong) -> None:
    keys = [kong.api.add_route(name, tags=["team"]) for name in ("one", "two")]
    other = kong.api.add_route("three")
    await kong.make(wish(https_only(routes=(), tags=["team"])))
    assert all(kong.api.all_routes[key]["protocols"] == ["https"] for key in keys)
    assert kong.api.all_routes[other]["protocols"] == ["http", "https"]


async def test_a_route_that_is_not_there_is_looked_for_again(kong: Kong) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example"))))
    assert kong.driver is not None
    kong.driver.want(wish(https_only()))
    _, plan = await kong.driver.settle(until=lambda plan: plan.look_again is not None)
    outlook = plan.outlooks[frontend("web")]
    assert [p.reason for p in outlook.problems] == [ROUTE_NOT_FOUND]
    assert not outlook.configured
    assert outlook.standings[0].bound
    observed = await kong.observed()
    key = kong.api.add_route("shop")
    looked = await kong.provider.look(kong.driver.current(), observed)
    assert key in looked.routes


@pytest.mark.parametrize(
    ("asking", "reason"),
    [
        (https_only(status=303), reasons.UNSUPPORTED_FIELD),
        (https_only(routes=()), ROUTES_REQUIRED),
        (https_only(manage="CertificatesOnly"), reasons.UNSUPPORTED_FIELD),
        (
            replace(
                listener("web", binding("a", "a.example"), manage="CertificatesOnly"),
                kong=KongSettings(routes=https_only().kong.routes),
            ),
            reasons.UNSUPPORTED_FIELD,
        ),
    ],
    ids=["303", "no route named", "CertificatesOnly", "CertificatesOnly with routes"],
)
async def test_what_routes_cannot_do_is_refused_and_the_certificate_served(
    kong: Kong, asking: Any, reason: Any
) -> None:
    key = kong.api.add_route("shop")
    before = dict(kong.api.all_routes[key])
    plan = await kong.make(wish(asking))
    outlook = plan.outlooks[frontend("web")]
    assert [(p.reason, p.stalled) for p in outlook.problems] == [(reason, True)]
    assert not outlook.configured
    assert kong.api.all_routes[key] == before
    assert set(kong.api.snis) == {"a.example"}


@pytest.mark.parametrize(
    "route",
    [
        {"protocols": ["grpc", "grpcs"]},
        {"protocols": ["tls"]},
        {"tags": ["certfront-scope:abcdef"]},
    ],
    ids=["gRPC", "TLS", "another installation's"],
)
async def test_a_route_that_cannot_be_had_is_left_as_it_is(
    kong: Kong, route: dict[str, Any]
) -> None:
    key = kong.api.add_route("shop", **route)
    before = dict(kong.api.all_routes[key])
    plan = await kong.make(wish(https_only()))
    assert [p.reason for p in plan.outlooks[frontend("web")].problems] == [ROUTE_UNSUITABLE]
    assert kong.api.all_routes[key] == before


async def test_two_frontends_on_one_route_the_older_has_the_say(kong: Kong) -> None:
    key = kong.api.add_route("shop")
    plan = await kong.make(
        wish(https_only("old", status=301, age=9), https_only("new", status=302, age=1))
    )
    assert kong.api.all_routes[key]["https_redirect_status_code"] == 301
    assert [p.reason for p in plan.outlooks[frontend("new")].problems] == [ROUTE_UNSUITABLE]
    await kong.make(wish(https_only("new", status=302), releasing=["old"]))
    assert kong.api.all_routes[key]["https_redirect_status_code"] == 302
    await kong.make(wish(releasing=["new"]))
    assert kong.api.all_routes[key]["protocols"] == ["http", "https"]


async def test_the_route_of_a_frontend_that_stays_is_left(kong: Kong) -> None:
    key = kong.api.add_route("shop")
    await kong.make(wish(https_only()))
    before = dict(kong.api.all_routes[key])
    await kong.make(wish(staying=["web"]))
    await kong.make(wish(complete=False))
    assert kong.api.all_routes[key] == before


def test_another_scope_has_other_ids() -> None:
    other = replace(SCOPE, load_balancer=ObjectName("balancers", "second"))
    assert certificate_id(other, frozenset({source("a")})) != key_of("a")


# --- what a single plan may and may not have in it


async def planned(kong: Kong, wanted: Wish) -> Plan[Any]:
    """What is planned first for a wish, on a fresh observation."""
    return kong.provider.plan(wanted, await kong.provider.observe(wanted))


async def test_no_name_is_removed_while_a_route_still_sends_clients_to_it(kong: Kong) -> None:
    kong.api.add_route("shop")
    await kong.make(wish(https_only()))
    plan = await planned(kong, wish(releasing=["web"]))
    assert [(type(o.act), o.removes) for o in plan.operations] == [(EditRoute, False)]


async def test_a_frontend_is_not_configured_while_a_route_has_to_be_put_back(kong: Kong) -> None:
    kong.api.add_route("shop")
    await kong.make(wish(https_only()))
    plan = await planned(kong, wish(listener("web", binding("a", "a.example"))))
    assert not plan.outlooks[frontend("web")].configured
    assert [operation.key.partition(":")[0] for operation in plan.operations] == ["restore"]


async def test_no_route_is_redirected_before_the_certificate_is_bound(kong: Kong) -> None:
    kong.api.add_route("shop")
    plan = await planned(kong, wish(https_only()))
    assert [type(o.act) for o in plan.operations] == [Store]


async def test_a_frontend_that_goes_is_named_on_a_shared_certificate_until_its_names_are_gone(
    kong: Kong,
) -> None:
    first = listener("one", binding("a", "a.example"), age=2)
    await kong.make(wish(first, listener("two", binding("a", "b.example"), age=1)))
    plan = await planned(kong, wish(first, releasing=["two"]))
    assert plan.left == {frontend("two")}
    assert [(o.removes, o.about) for o in plan.operations] == [(True, (frontend("two"),))]


async def test_no_name_moves_to_a_certificate_that_is_not_as_it_should_be(kong: Kong) -> None:
    await kong.make(wish(listener("web", binding("a", "a.example"), binding("b", "b.example"))))
    plan = await planned(
        kong, wish(listener("web", binding("b", "a.example", "b.example", version=2)))
    )
    assert [type(o.act) for o in plan.operations] == [Store]
    plan = await planned(kong, wish(listener("web", binding("b", "a.example", "b.example"))))
    assert [type(o.act) for o in plan.operations] == [Move]


async def test_a_write_that_reads_back_otherwise_is_put_off(
    kong: Kong, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program that manages Kong undoes it at once: two would write without end."""

    async def undone(*_: Any) -> None:
        kong.api.stored[key_of("a")] = {"cert": "x", "tags": None}

    wanted = wish(listener("web", binding("a", "a.example")))
    (operation,) = (await planned(kong, wanted)).operations
    monkeypatch.setattr(kong.api, "put_certificate", undone)
    with pytest.raises(NotYet) as caught:
        await kong.provider.execute(operation, Observed())
    assert caught.value.reason is CHANGED_BY_OTHERS


async def test_plans_are_equal_and_show_no_key(kong: Kong) -> None:
    wanted = wish(listener("web", binding("a", "a.example")))
    (operation,) = (await planned(kong, wanted)).operations
    assert "PRIVATE" not in repr(operation)
    assert operation == (await planned(kong, wanted)).operations[0]
