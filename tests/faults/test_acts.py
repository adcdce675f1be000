"""Rules of the gate hit the effect that they are for, and every kind of fault can be done."""

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox.gate import OPEN, Effect
from tests.faults import acts
from tests.faults.acts import Acts, Nth
from tests.faults.plan import KINDS, Fault


def test_every_kind_is_done_by_somebody() -> None:
    for kind in KINDS:
        assert callable(getattr(Acts, "_" + kind.replace("-", "_")))


def effect(number: int) -> Effect:
    return Effect(number=number, door="operator", method="PATCH", path="/")


def test_the_nth_effect_is_kept_and_no_other() -> None:
    rule = Nth(3, before=lambda: False)
    assert [rule.before(effect(number)) for number in (1, 2, 3, 4)] == [True, True, False, True]
    assert rule.effect == effect(3)


def test_the_answer_of_the_nth_effect_is_lost_and_no_other() -> None:
    rule = Nth(2, after=lambda: False)
    for number in (1, 2, 3):
        assert rule.before(effect(number))
    assert [rule.after(effect(number)) for number in (3, 1, 2)] == [True, True, False]


def test_a_fault_that_no_effect_came_for_has_hit_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "EFFECT_SECONDS", 0.0)
    doors = {name: SimpleNamespace(rule=OPEN) for name in ("operator", "pebble")}
    setting = cast("Any", SimpleNamespace(doors=doors, tell=lambda _: None))
    doing = Acts(setting, cast("Any", None), random.Random(1), audited=0)  # noqa: S311 - no secret
    missing = Fault(kind="lose-answer")
    doing.do(missing)
    assert doing.idle == [missing]
    assert all(door.rule is OPEN for door in doors.values())
