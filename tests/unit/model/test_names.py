"""Names of objects as texts, and as columns have them."""

import pytest

from certfront.model.certificate import Certificate
from certfront.model.columns import column
from certfront.model.meta import ObjectName, parsed


def test_a_name_is_read_as_it_is_written() -> None:
    name = ObjectName("shop", "web")
    assert ObjectName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["", "web", "/web", "shop/", "/", "shop/web/more"])
def test_what_is_no_namespace_and_name_is_none(text: str) -> None:
    assert ObjectName.parse(text) is None


def test_what_does_not_parse_is_none() -> None:
    metadata = {"namespace": "shop", "name": "web"}
    assert parsed(Certificate, {"metadata": metadata, "spec": {"type": "None"}}) is None
    assert parsed(Certificate, {"metadata": metadata, "spec": {"type": "SelfSigned"}}) is not None


@pytest.mark.parametrize(
    ("names", "expected"),
    [((), ""), (("a",), "a"), (("a", "b"), "a +1"), (("a", "b", "c"), "a +2")],
    ids=["none", "one", "two", "three"],
)
def test_a_column_has_the_first_name_and_how_many_more(
    names: tuple[str, ...], expected: str
) -> None:
    assert column(names) == expected
