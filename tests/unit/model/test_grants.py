"""Consent: everything that is not plainly granted is withheld."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.model.grants import (
    Grant,
    GrantNamespaces,
    LabelExpression,
    LabelSelector,
    applying,
    backend_allowed,
    withheld,
)

EVERYONE = GrantNamespaces(all=True)
NAMES = st.text("abc-", min_size=1, max_size=5)


def hostnames(*patterns: str) -> Grant:
    return Grant(namespaces=EVERYONE, hostnames=patterns)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("shop.example", "shop.example"),
        ("Shop.Example.", "shop.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "www.xn--bcher-kva.example"),
        ("*.example.com", "shop.example.com"),
        ("*.example.com", "*.example.com"),
        ("*", "shop.example.com"),
        ("*", "*.example.com"),
        ("*", "192.0.2.1"),
        ("*", "2001:db8::1"),
        ("*", "Internal Root"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("$(namespace).apps.example", "shop.apps.example"),
        ("*.$(namespace).apps.example", "a.shop.apps.example"),
    ],
)
def test_a_pattern_covers_what_it_says(pattern: str, name: str) -> None:
    assert hostnames(pattern).allows_hostname(name, "shop")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*.example.com", "example.com"),
        ("*.example.com", "a.b.example.com"),
        ("*.example.com", ".example.com"),
        ("*.example.com", "*.a.example.com"),
        ("shop.example.com", "*.example.com"),
        ("*.a.example.com", "*.example.com"),
        ("*.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.2"),
        ("", ""),
        ("", "shop.example"),
        ("**", "shop.example"),
        ("*.*.example", "a.b.example"),
        ("*.*.example", "*.*.example"),
        ("a.*.example", "a.b.example"),
        ("$(namespace).apps.example", "other.apps.example"),
        ("$(namespace).apps.example", "$(namespace).apps.example"),
        ("\u202ebücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_pattern_covers_nothing_else(pattern: str, name: str) -> None:
    assert not hostnames(pattern).allows_hostname(name, "shop")


@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=4))
def test_a_leading_star_stands_for_exactly_one_label(labels: list[str], suffix: list[str]) -> None:
    name = ".".join([*labels, *suffix])
    covered = hostnames("*." + ".".join(suffix)).allows_hostname(name, "shop")
    assert covered == (len(labels) == 1)


@pytest.mark.parametrize(
    ("namespaces", "included"),
    [
        (GrantNamespaces(), False),
        (GrantNamespaces(names=("shop",)), True),
        (GrantNamespaces(names=("other",)), False),
        (GrantNamespaces(all=True), True),
        (GrantNamespaces(selector=LabelSelector()), False),
        (GrantNamespaces(selector=LabelSelector(match_labels={"tenant": "true"})), True),
        (GrantNamespaces(selector=LabelSelector(match_labels={"tenant": "false"})), False),
        (GrantNamespaces(selector=LabelSelector(match_labels={"absent": ""})), False),
    ],
)
def test_a_grant_is_for_the_namespaces_it_names(
    namespaces: GrantNamespaces, included: bool
) -> None:
    assert namespaces.include("shop", {"tenant": "true"}) is included


@pytest.mark.parametrize(
    ("operator", "key", "values", "selected"),
    [
        ("In", "tenant", ("a", "true"), True),
        ("In", "tenant", ("a",), False),
        ("In", "absent", ("a",), False),
        ("NotIn", "tenant", ("a",), True),
        ("NotIn", "tenant", ("true",), False),
        ("NotIn", "absent", ("a",), True),
        ("Exists", "tenant", (), True),
        ("Exists", "absent", (), False),
        ("DoesNotExist", "absent", (), True),
        ("DoesNotExist", "tenant", (), False),
        ("Gt", "tenant", ("1",), False),
    ],
)
def test_an_expression_means_what_it_means_in_kubernetes(
    operator: str, key: str, values: tuple[str, ...], selected: bool
) -> None:
    expression = LabelExpression(key=key, operator=operator, values=values)
    selector = LabelSelector(match_expressions=(expression,))
    assert selector.selects({"tenant": "true"}) is selected


def test_labels_and_expressions_must_both_hold() -> None:
    expression = LabelExpression(key="stage", operator="Exists")
    selector = LabelSelector(match_labels={"tenant": "true"}, match_expressions=(expression,))
    assert not selector.selects({"tenant": "true"})
    assert selector.selects({"tenant": "true", "stage": "x"})


def test_what_no_applying_grant_covers_is_withheld() -> None:
    grants = (
        Grant(namespaces=GrantNamespaces(names=("shop",)), hostnames=("shop.example",)),
        Grant(namespaces=GrantNamespaces(names=("other",)), hostnames=("*",)),
    )
    names = ("shop.example", "www.shop.example")
    assert withheld(names, applying(grants, "shop", {}), "shop") == ("www.shop.example",)
    assert withheld(names, (), "shop") == names


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.20.0.5", True),
        ("10.21.0.5", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("::ffff:10.20.0.5", False),
        ("shop.example", False),
        ("", False),
    ],
)
def test_traffic_goes_only_into_granted_ranges(address: str, allowed: bool) -> None:
    grants = [Grant(backend_cidrs=("nonsense", "10.20.0.0/16", "2001:db8::/32"))]
    assert backend_allowed(address, grants) is allowed


def test_without_a_range_no_traffic_is_allowed() -> None:
    assert not backend_allowed("10.0.0.1", [Grant(hostnames=("*",))])
