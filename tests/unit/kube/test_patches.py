"""Merge patches as differences."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from certfront.kube.patches import merge_difference
from tests.merge_patch import merged

SCALARS = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b"])
TREES = st.recursive(
    st.dictionaries(st.sampled_from("xyz"), SCALARS | st.lists(SCALARS, max_size=2), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner | SCALARS, max_size=3),
    max_leaves=8,
)


def without_nulls(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: without_nulls(v) for k, v in tree.items() if v is not None}
    return tree


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="equal"),
        pytest.param({"a": 1}, {}, {"a": None}, id="dropped"),
        pytest.param({"a": 1}, {"a": None}, {"a": None}, id="set-to-null"),
        pytest.param({}, {"a": None}, {}, id="null-of-nothing"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}, id="nested"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, {"a": [1]}, id="list-whole"),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="scalar-to-object"),
        pytest.param({"a": {"b": 1}}, {"a": 1}, {"a": 1}, id="object-to-scalar"),
        pytest.param({"a": True}, {"a": 1}, {"a": 1}, id="true-is-not-one"),
        pytest.param({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}, id="null-in-a-new-object"),
    ],
)
def test_the_difference_is_the_smallest_patch(
    old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert merge_difference(old, new) == patch


@given(TREES, TREES)
def test_applying_the_difference_gives_the_new_tree(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    # An object of the API holds no nulls.
    old = without_nulls(old)
    assert merged(old, merge_difference(old, new)) == without_nulls(new)
    assert merge_difference(without_nulls(new), new) == {}
