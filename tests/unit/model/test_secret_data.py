"""What is read out of a Secret is bounded before it is decoded, and never repeated."""

import base64

import pytest

from certfront.model.secret_data import UnusableValue, read, value_of

UNUSABLE = {
    "absent": ({}, "KeyMissing"),
    "empty": ({"key": ""}, "KeyMissing"),
    "null": ({"key": None}, "KeyMissing"),
    "a number": ({"key": 7}, "KeyMissing"),
    "too large": ({"key": base64.b64encode(b"c" * 104).decode()}, "TooLarge"),
    "too large and torn": ({"key": "%" * 200}, "TooLarge"),
    "torn": ({"key": "canary%"}, "InvalidData"),
    "not ASCII": ({"key": "canaryé"}, "InvalidData"),
}


@pytest.mark.parametrize(("data", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_value_is_refused_without_repeating_it(
    data: dict[str, object], reason: str
) -> None:
    with pytest.raises(UnusableValue) as raised:
        read(data, "key", largest=99)
    assert raised.value.reason == reason
    assert "canary" not in str(raised.value)


def test_a_value_is_decoded() -> None:
    data = {"key": base64.b64encode(b"c" * 99).decode()}
    assert read(data, "key", largest=99) == b"c" * 99
    assert value_of({"data": data}, "key") == b"c" * 99


@pytest.mark.parametrize("secret", [None, {}, {"data": None}, {"data": {"key": "%%%"}}])
def test_nothing_is_found_in_a_secret_without_a_usable_value(
    secret: dict[str, object] | None,
) -> None:
    assert value_of(secret, "key") is None
