"""What is searched: each scenario wholly, within its budget. `CERTFRONT_MODEL=deep` searches further."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

from tests.model import people
from tests.model.search import Found, Scenario, Search
from tests.model.state import Budget

DEEP = os.environ.get("CERTFRONT_MODEL") == "deep"
FAR = 3_000_000
EVERYTHING = tuple(people.USERS)

SHORT = (
    Scenario(name="kills", budget=Budget(crashes=2, lost=1)),
    Scenario(name="kills and a watch that lags", budget=Budget(crashes=1, lost=1, stale=2)),
    Scenario(name="a person", budget=Budget(user=1), user=EVERYTHING),
    Scenario(
        name="a person, once issued",
        budget=Budget(user=1, crashes=1, lost=1, stale=1),
        user=EVERYTHING,
        issued=True,
    ),
    Scenario(name="an unwilling CA", budget=Budget(trouble=1, crashes=1)),
    Scenario(name="an event that is lost", budget=Budget(deaf=1, user=1), user=EVERYTHING),
    Scenario(name="a CA that fails twice", budget=Budget(trouble=2)),
    Scenario(
        name="two people, once issued",
        budget=Budget(user=2),
        user=("recreate", "delete secret", "rename", "renew"),
        issued=True,
    ),
    Scenario(name="a hand-over and a lag", operators=2, budget=Budget(handovers=1, stale=1)),
    Scenario(
        name="a person at a hand-over, once issued",
        operators=2,
        budget=Budget(handovers=1, user=1),
        user=("renew", "delete secret"),
        issued=True,
    ),
)
LONG = (
    Scenario(name="a person and a kill", budget=Budget(user=1, crashes=1), user=EVERYTHING),
    Scenario(
        name="two of everybody, once issued", budget=Budget(user=2), user=EVERYTHING, issued=True
    ),
    Scenario(
        name="everybody at a hand-over",
        operators=2,
        budget=Budget(handovers=1, user=1),
        user=EVERYTHING,
        issued=True,
    ),
    Scenario(name="two hand-overs", operators=2, budget=Budget(handovers=2)),
    Scenario(name="a hand-over with pauses", operators=2, budget=Budget(handovers=1, pauses=1)),
    Scenario(name="a hand-over and a kill", operators=2, budget=Budget(handovers=1, crashes=1)),
    Scenario(name="a zombie", operators=2, budget=Budget(handovers=1, zombie=1)),
)
"""Minutes each; `most_states` is lifted to FAR for them."""


@cache
def found(scenario: Scenario) -> Found:
    """What the search of a scenario came to; each is searched once a process."""
    return Search(scenario).run()


def searched() -> tuple[tuple[Scenario, Found], ...]:
    """Every scenario of this run with what was found."""
    far = tuple(replace(scenario, most_states=FAR) for scenario in LONG) if DEEP else ()
    return tuple((scenario, found(scenario)) for scenario in (*SHORT, *far))
