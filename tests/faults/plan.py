"""What a run does, decided by its seed alone: a list of faults with all their numbers.

Five seeds in a row bring every kind of fault. :mod:`tests.faults.acts` does what is written here.
"""

import random
from dataclasses import dataclass, field

GROUPS: tuple[tuple[str, ...], ...] = (
    ("restart-apiserver", "edit-secret", "kill-agent", "lose-answer"),
    ("restart-pebble", "strip-label", "kill-haproxy", "drop-request"),
    ("restore-copy", "delete-secret", "deaf-operator"),
    ("pause-leader", "delete-namespace", "clock"),
    ("restore-by-runbook", "deaf-agent", "kill-node", "slow"),
)
"""The kinds besides kills of the operator, of which every run has some."""

KINDS = ("kill-before", "kill-after", "kill", *(kind for group in GROUPS for kind in group))
DAY = 86400.0
KILLS = 10
"""How many kills of the operator a run has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `at` is the number of an effect or write from now on, `seconds` a moment.

    `pick` chooses what is hit, as a part of one; `amount` is how far the clock goes, or how slow
    the network is, in seconds.
    """

    kind: str
    at: int = 1
    seconds: float = 0.0
    pick: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        """For the log."""
        told = {"at": self.at, "s": round(self.seconds, 2), "pick": round(self.pick, 3)}
        if self.amount:
            told["amount"] = round(self.amount, 2)
        return f"{self.kind}({', '.join(f'{name}={value}' for name, value in told.items())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Its `name` is unique among the runs of all kinds."""

    name: str
    seed: int
    faults: tuple[Fault, ...] = field(default=())
    from_start: bool = False
    """Whether the first fault counts from before the first object is applied."""

    def kinds(self) -> set[str]:
        """The kinds of its faults."""
        return {fault.kind for fault in self.faults}


def plan(seed: int) -> Plan:
    """The run of `seed`: kills of the operator, and the other faults among them."""
    chosen = random.Random(seed)  # noqa: S311 - repeatable on purpose
    kinds = [chosen.choice(("kill", "kill", "kill-before", "kill-after")) for _ in range(KILLS)]
    kinds += GROUPS[seed % len(GROUPS)]
    chosen.shuffle(kinds)
    faults = tuple(_fault(kind, chosen) for kind in kinds)
    return Plan(name=f"seed-{seed}", seed=seed, faults=faults)


def only_kills(seed: int, kills: int) -> Plan:
    """A run with nothing but kills at random moments."""
    chosen = random.Random(seed)  # noqa: S311 - repeatable on purpose
    faults = tuple(_fault("kill", chosen) for _ in range(kills))
    return Plan(name=f"kills-{seed}", seed=seed, faults=faults)


def at_effect(number: int, when: str) -> Plan:
    """A run with one kill: before or after (`when`) its effect number `number`."""
    fault = Fault(kind=f"kill-{when}", at=number)
    return Plan(name=f"{when}-{number}", seed=number, faults=(fault,), from_start=True)


def _fault(kind: str, chosen: random.Random) -> Fault:
    days = chosen.choice((-400.0, -1.0, 1.0, 40.0, 4000.0))
    return Fault(
        kind=kind,
        at=chosen.randint(1, 25),
        seconds=chosen.uniform(0.0, 1.5),
        pick=chosen.random(),
        amount=days * DAY if kind == "clock" else 0.3 if kind == "slow" else 0.0,
    )
