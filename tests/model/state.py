"""Values of the model: what a state of the little cluster is made of. All of it is hashable.

Objects of the API are interned: a state holds small numbers, and equal objects have equal ones.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

Object = dict[str, Any]
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAMESPACE, SITE = "shop", "site"
CERTIFICATE = ("Certificate", SITE)
SECRET = ("Secret", SITE)
WATCHED = "certfront.io/secret"
MARKER = "certfront.io/certificate"

Where = tuple[str, str]
"""Kind and name; there is one namespace."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Interned:
    """Objects by number and back. Nobody changes what came out of it; `intact` proves that."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._objects: list[Any] = []

    def number(self, obj: Any) -> int:
        text = _encode(obj)
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self._objects)
            self._objects.append(msgspec.json.decode(text))
        return found

    def __getitem__(self, number: int) -> Any:
        return self._objects[number]

    def intact(self) -> bool:
        return all(self._numbers[_encode(o)] == n for n, o in enumerate(self._objects))


OBJECTS = Interned()


def moment(now: int) -> datetime:
    """The wall time at so many seconds after the start."""
    return START + timedelta(seconds=now)


class Call(NamedTuple):
    """One request of a pass. `what` is its verb, `to` "api" or "ca"."""

    to: str
    what: str
    args: tuple[Hashable, ...]

    @property
    def is_write(self) -> bool:
        return self.what in WRITES


WRITES = frozenset({"create", "apply", "status", "delete", "newOrder", "start", "finalize"})


class Raised(NamedTuple):
    """An answer that is an exception: the name of its class and what it is made with."""

    name: str
    text: str = ""


class Event(NamedTuple):
    """What a watch says."""

    kind: str
    type: str
    obj: int


class Order(NamedTuple):
    """An order at the CA, and what the invariants must remember of it."""

    need: str
    names: tuple[str, ...]
    status: str = "pending"
    public_key: bytes = b""
    failing: bool = False
    forgotten: bool = False
    recorded: bool = False
    finalized: bool = False


class Operator(NamedTuple):
    """An operator's process. `log` is the pass that it is in the middle of; 0 for none."""

    memory: int
    log: int = 0
    woken: bool = True
    due: int = -1
    pending: tuple[Event, ...] = ()
    boots: int = 0


class Budget(NamedTuple):
    """What may still happen to the operators from outside."""

    handovers: int = 0
    pauses: int = 0
    zombie: int = 0
    crashes: int = 0
    lost: int = 0
    user: int = 0
    trouble: int = 0
    stale: int = 0
    deaf: int = 0


class World(NamedTuple):
    """A state of everything."""

    objects: tuple[tuple[Where, int], ...]
    versions: tuple[tuple[Where, int], ...]
    orders: tuple[Order, ...]
    keys: int
    now: int
    operators: tuple[Operator, ...]
    leader: int
    budget: Budget
    resumed: bool = False
    revision: int = 0
    justified: int = 1
    excused: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()


Invariant = Literal[
    "OneFinalized",
    "KeyBeforeRequest",
    "RecordedBeforeFinalize",
    "PairAtomic",
    "RevisionMonotone",
    "NoForeignWrite",
    "Quiescence",
    "BoundedOrders",
    "Convergence",
    "NoDefect",
]
"""The names of all invariants; docs/model.md says which rule keeps which."""


class Violation(Exception):
    """An invariant does not hold. `invariant` is its name."""

    def __init__(self, invariant: Invariant, message: str) -> None:
        self.invariant = invariant
        super().__init__(f"{invariant}: {message}")


def put(
    pairs: tuple[tuple[Where, int], ...], key: Where, value: int | None
) -> tuple[tuple[Where, int], ...]:
    """`pairs` with another value for `key`, or without it; sorted."""
    found = dict(pairs)
    if value is None:
        found.pop(key, None)
    else:
        found[key] = value
    return tuple(sorted(found.items()))


def get(pairs: tuple[tuple[Where, int], ...], key: Where) -> int | None:
    """The value of `key`."""
    for held, value in pairs:
        if held == key:
            return value
    return None


def find(world: World, key: Where) -> Object | None:
    """The object as the API server has it."""
    number = get(world.objects, key)
    return None if number is None else OBJECTS[number]
