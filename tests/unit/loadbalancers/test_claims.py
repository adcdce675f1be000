"""Who holds a hostname when several ask for it."""

from hypothesis import given
from hypothesis import strategies as st

from certfront.loadbalancers.claims import Claim, conflicts, lost, lost_port, ports_of
from certfront.model.frontend import FrontendSpec
from certfront.model.meta import ObjectName


def claim(
    name: str,
    *hostnames: str,
    age: int = 0,
    namespace: str | None = None,
    installed: tuple[str, ...] = (),
    ports: dict[int, str] | None = None,
) -> Claim:
    where = namespace or name
    return Claim(
        frontend=ObjectName(where, name),
        age_order=(f"2026-01-{age + 1:02}", where, name),
        ports=ports or {443: "TLS"},  # type: ignore[arg-type] # the literals of Protocol
        installed=frozenset(installed),
        claimed=frozenset(hostnames),
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
    problem = conflicts(found)
    assert problem is not None
    assert "x.example is claimed on port 80 by a/a" in problem.message


def test_a_port_with_another_protocol_belongs_to_who_came_first() -> None:
    tls = claim("tls", "x.example", age=1, ports={8080: "TLS"})
    plain = claim("plain", "y.example", age=2, ports={8080: "HTTP"})
    assert lost_port(plain, [tls]) == (8080, ObjectName("tls", "tls"))
    assert lost_port(tls, [plain]) is None


def test_ports_follow_from_the_spec() -> None:
    assert ports_of(FrontendSpec()) == {443: "TLS"}
    assert ports_of(FrontendSpec(https_only=True)) == {443: "TLS", 80: "HTTP"}
    assert ports_of(FrontendSpec(http_port=8080)) == {443: "TLS", 8080: "HTTP"}
    assert ports_of(FrontendSpec(ssl=False, port=80, http_port=81)) == {80: "HTTP"}


NAMES = st.sampled_from(["a.x", "b.x", "*.x", "a.b.x", "*.b.x", "c.y"])
CLAIMS = st.lists(
    st.tuples(st.sets(NAMES, min_size=1), st.sampled_from(["n1", "n2", "n3"])),
    min_size=2,
    max_size=5,
)


@given(CLAIMS)
def test_no_name_is_ever_held_by_two(wanted: list[tuple[set[str], str]]) -> None:
    """Whoever is served a name is the only one, whatever the claims are."""
    claims = [
        claim(f"f{i}", *names, age=i % 3, namespace=namespace)
        for i, (names, namespace) in enumerate(wanted)
    ]
    held: dict[str, Claim] = {}
    for one in claims:
        for name in one.claimed - losses(one, *claims).keys():
            assert name not in held
            held[name] = one
