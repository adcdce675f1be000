"""One canonical spelling for each name, and which name covers which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.pki.names import (
    InvalidName,
    covered_by,
    covers,
    normalise_dns,
    normalise_ip,
    normalise_name,
    normalise_san_dns,
)


@pytest.mark.parametrize(
    ("given_name", "canonical"),
    [
        ("example.com", "example.com"),
        ("WWW.Example.COM", "www.example.com"),
        ("example.com.", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("食狮。中国", "xn--85x722f.xn--fiqs8s"),
        ("localhost", "localhost"),
        ("1.example", "1.example"),
    ],
)
def test_o20_a_dns_name_has_one_spelling(given_name: str, canonical: str) -> None:
    """O20: A-labels by IDNA 2008, upper case folded, the trailing dot removed."""
    assert normalise_dns(given_name) == canonical


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "*",
        "*.",
        "example..com",
        ".example.com",
        "example.com..",
        "w*.example.com",
        "*w.example.com",
        "a.*.example.com",
        "*.*.example.com",
        "-a.example",
        "a-.example",
        "a_b.example",
        "a b.example",
        " example.com",
        "example.com\n",
        "a/b.example",
        "https://example.com",
        "example.com:443",
        "192.0.2.1",
        "2001:db8::1",
        "１92.0.2.1",
        "a.123",
        "ab--c.example",
        "xn--a.example",
        "xn--zzzzzzzzzz99999.example",
        "☃.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "ü" * 5000,
        "a" * 100_000,
    ],
)
def test_o20_what_is_no_host_name_is_refused(bad: str) -> None:
    with pytest.raises(InvalidName) as caught:
        normalise_dns(bad)
    assert len(str(caught.value)) < 120


def test_the_longest_name_is_accepted_and_one_more_octet_is_not() -> None:
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert normalise_dns(longest) == longest
    with pytest.raises(InvalidName):
        normalise_dns(longest + "a")


def test_names_of_other_authorities_may_have_underscores() -> None:
    assert normalise_san_dns("My_Host.example") == "my_host.example"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::1", "::1"),
    ],
)
def test_an_address_has_one_spelling(text: str, canonical: str) -> None:
    assert normalise_ip(text) == canonical
    assert normalise_name(text) == canonical


@pytest.mark.parametrize(
    "bad",
    ["", "example.com", "192.0.2", "192.0.2.01", "fe80::1%eth0", "::ffff:192.0.2.1", "1" * 99],
)
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(InvalidName):
        normalise_ip(bad)


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("a.example", "a.example", True),
        ("a.example", "b.example", False),
        ("*.example", "a.example", True),
        ("*.example", "example", False),
        ("*.example", "b.a.example", False),
        ("*.example", "*.example", True),
        ("*.example", "*.a.example", False),
        ("*.a.example", "*.example", False),
        ("a.example", "*.example", False),
        ("*.2.0.192", "1.2.0.192", False),
        ("*.example", ".example", False),
        ("192.0.2.1", "192.0.2.1", True),
    ],
)
def test_a_wildcard_covers_exactly_one_label(pattern: str, name: str, covered: bool) -> None:
    assert covers(pattern, name) is covered
    assert covered_by(["other.test", pattern], name) is covered


@given(st.text(max_size=300))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """Whatever is accepted is a fixed point, in lower-case ASCII, within the bounds of DNS."""
    try:
        once = normalise_dns(text)
    except InvalidName:
        return
    assert normalise_dns(once) == once
    assert once.isascii()
    assert once == once.lower()
    assert len(once) <= 253
    assert all(1 <= len(label) <= 63 for label in once.split("."))


_LABELS = st.from_regex(r"[a-z]([a-z]{0,8}[a-z])?", fullmatch=True)


@given(st.lists(_LABELS, min_size=1, max_size=4), st.lists(_LABELS, min_size=1, max_size=4))
def test_a_wildcard_covers_a_name_only_if_the_rest_is_equal(
    parent: list[str], name: list[str]
) -> None:
    pattern = "*." + ".".join(parent)
    assert covers(pattern, ".".join(name)) is (name[1:] == parent)
    assert covers(pattern, ".".join(["x", *parent]))
    assert not covers(pattern, ".".join(parent))
