"""Who holds a hostname when several ask for it."""

from hypothesis import given
from hypothesis import strategies as st

from certfront.loadbalancers.claims import (
    Claim,
    Installed,
    Protocol,
    conflicts,
    lost,
    lost_port,
    ports_of,
)
from certfront.model.frontend import FrontendSpec
from certfront.model.meta import ObjectName


def claim(
    name: str,
    *hostnames: str,
    age: int = 0,
    namespace: str | None = None,
    installed: tuple[str, ...] = (),
    routed: tuple[str, ...] = (),
    ready: tuple[str, ...] | None = None,
    ports: dict[int, Protocol] | None = None,
    installed_ports: dict[int, Protocol] | None = None,
    challenge_port: int | None = None,
) -> Claim:
    """A claim whose certificates are ready, unless told otherwise, on the port 443."""
    where = namespace or name
    listening: dict[int, Protocol] = ports or {443: "TLS"}
    told = frozenset((*installed, *routed))
    return Claim(
        frontend=ObjectName(where, name),
        age_order=(f"2026-01-{age + 1:02}", where, name),
        ports=listening,
        challenge_port=challenge_port,
        installed=Installed(
            ports=(installed_ports or listening) if told else {},
            routed=told,
            bound=frozenset(installed),
        ),
        claimed=frozenset(hostnames),
        ready=frozenset(hostnames if ready is None else ready),
    )


def losses(mine: Claim, *rivals: Claim) -> dict[str, str]:
    return {loss.hostname: str(loss.winner) for loss in lost(mine, rivals)}


def test_the_older_object_wins_a_name_that_no_one_has_yet() -> None:
    old, new = claim("old", "a.example", age=1), claim("new", "a.example", "b.example", age=2)
    assert losses(new, old) == {"a.example": "old/old"}
    assert losses(old, new) == {}


def test_namespace_and_name_decide_between_objects_of_one_age() -> None:
    a, b = claim("a", "x.example"), claim("b", "x.example")
    assert losses(b, a) == {"x.example": "a/a"}
    assert losses(a, b) == {}


def test_what_is_installed_beats_an_older_claim() -> None:
    old = claim("old", "a.example", age=1)
    new = claim("new", "a.example", age=2, installed=("a.example",))
    assert losses(old, new) == {"a.example": "new/new"}
    assert losses(new, old) == {}


def test_of_two_that_have_it_installed_the_older_keeps_it() -> None:
    old = claim("old", "a.example", age=1, installed=("a.example",))
    new = claim("new", "a.example", age=2, installed=("a.example",))
    assert losses(new, old) == {"a.example": "old/old"}
    assert losses(old, new) == {}


def test_a_name_inside_another_namespaces_wildcard_is_a_conflict_both_ways() -> None:
    wild, exact = claim("wild", "*.example", age=1), claim("exact", "a.example", age=2)
    assert losses(exact, wild) == {"a.example": "wild/wild"}
    assert losses(wild, exact) == {}
    older = claim("exact", "a.example", age=0)
    assert losses(wild, older) == {"*.example": "exact/exact"}


def test_inside_one_namespace_an_exact_name_lives_beside_a_wildcard() -> None:
    wild = claim("wild", "*.example", age=1, namespace="shop")
    exact = claim("exact", "a.example", age=2, namespace="shop")
    assert losses(exact, wild) == {}
    assert losses(wild, exact) == {}


def test_other_ports_are_other_claims() -> None:
    a = claim("a", "x.example", age=1, ports={443: "TLS"})
    b = claim("b", "x.example", age=2, ports={8443: "TLS"})
    assert losses(b, a) == {}


def test_the_plain_twin_is_claimed_too() -> None:
    a = claim("a", "x.example", age=1, ports={443: "TLS", 80: "HTTP"})
    b = claim("b", "x.example", age=2, ports={8443: "TLS", 80: "HTTP"})
    found = lost(b, [a])
    assert [(loss.hostname, loss.port) for loss in found] == [("x.example", 80)]
    problem = conflicts(found, others_served=False)
    assert problem is not None
    assert problem.message == "x.example is claimed on port 80 by a/a."


def test_a_port_with_another_protocol_belongs_to_who_came_first() -> None:
    tls = claim("tls", "x.example", age=1, ports={8080: "TLS"})
    plain = claim("plain", "y.example", age=2, ports={8080: "HTTP"})
    assert lost_port(plain, [tls]) == (8080, ObjectName("tls", "tls"))
    assert lost_port(tls, [plain]) is None


def test_what_is_installed_on_another_port_holds_nothing_here() -> None:
    moved = claim("moved", "a.example", installed=("a.example",), installed_ports={8443: "TLS"})
    there = claim("there", "a.example", age=1, installed=("a.example",))
    assert losses(moved, there) == {"a.example": "there/there"}
    assert losses(there, moved) == {}


def test_a_name_that_a_rival_loses_itself_blocks_no_one() -> None:
    """c loses *.x to a, so it keeps b.x from no one; and the true holder is named."""
    a = claim("a", "a.x", age=0)
    c = claim("c", "*.x", age=1)
    b = claim("b", "b.x", "a.x", age=2)
    assert losses(c, a, b) == {"*.x": "a/a"}
    assert losses(b, a, c) == {"a.x": "a/a"}


def test_a_claim_that_could_not_be_served_keeps_no_one_out_who_could() -> None:
    squatter = claim("squatter", "a.example", age=0, ready=())
    owner = claim("owner", "a.example", age=1)
    assert losses(owner, squatter) == {}
    assert losses(squatter, owner) == {"a.example": "owner/owner"}
    told = claim("squatter", "a.example", age=0, ready=(), routed=("a.example",))
    assert losses(owner, told) == {}
    unready = claim("owner", "a.example", age=1, ready=())
    assert losses(unready, squatter) == {"a.example": "squatter/squatter"}


def test_what_is_served_stays_with_its_holder_whose_certificate_is_not_ready_any_more() -> None:
    holder = claim("holder", "a.example", age=1, ready=(), installed=("a.example",))
    other = claim("other", "a.example", age=0)
    assert losses(other, holder) == {"a.example": "holder/holder"}
    assert losses(holder, other) == {}


def test_a_wildcard_is_told_which_name_of_whom_collides() -> None:
    wild, exact = claim("wild", "*.x", age=1), claim("exact", "a.x", age=0)
    problem = conflicts(lost(wild, [exact]), others_served=True)
    assert problem is not None
    assert problem.message == (
        "*.x collides on port 443 with a.x, which exact/exact claims. Its other names are served."
    )


def test_tls_gives_way_where_others_answer_challenges() -> None:
    acme = claim("acme", "a.x", age=1, challenge_port=80)
    older = claim("older", "b.x", age=0, ports={80: "TLS"})
    assert lost_port(acme, [older]) == (80, ObjectName("older", "older"))
    served = claim("acme", "a.x", age=1, installed=("a.x",), installed_ports={80: "HTTP"})
    assert lost_port(older, [served]) == (80, ObjectName("acme", "acme"))


def test_a_port_that_two_speak_is_not_changed_by_the_older_one() -> None:
    told: dict[int, Protocol] = {8443: "TLS"}
    older = claim(
        "older", "a.x", age=0, installed=("a.x",), installed_ports=told, ports={8443: "HTTP"}
    )
    newer = claim("newer", "b.x", age=1, installed=("b.x",), ports=told)
    assert lost_port(older, [newer]) == (8443, ObjectName("newer", "newer"))
    assert lost_port(newer, [older]) is None


def test_ports_follow_from_the_spec() -> None:
    assert ports_of(FrontendSpec()) == {443: "TLS"}
    assert ports_of(FrontendSpec(https_only=True)) == {443: "TLS", 80: "HTTP"}
    assert ports_of(FrontendSpec(http_port=8080)) == {443: "TLS", 8080: "HTTP"}
    assert ports_of(FrontendSpec(ssl=False, port=80, http_port=81)) == {80: "HTTP"}


NAMES = st.sampled_from(["a.x", "b.x", "*.x", "a.b.x", "*.b.x", "c.y"])
CLAIMS = st.lists(
    st.tuples(
        st.sets(NAMES, min_size=1),
        st.sampled_from(["n1", "n2", "n3"]),
        st.booleans(),
        st.sets(NAMES, max_size=2),
    ),
    min_size=2,
    max_size=5,
)


@given(CLAIMS)
def test_no_name_is_ever_held_by_two(
    wanted: list[tuple[set[str], str, bool, set[str]]],
) -> None:
    """Whoever is served a name is the only one, whatever the claims are."""
    claims = [
        claim(
            f"f{i}",
            *names,
            age=i % 3,
            namespace=namespace,
            ready=None if ready else (),
            installed=tuple(installed),
        )
        for i, (names, namespace, ready, installed) in enumerate(wanted)
    ]
    held: dict[str, Claim] = {}
    for one in claims:
        for name in one.claimed - losses(one, *claims).keys():
            assert name not in held
            held[name] = one
