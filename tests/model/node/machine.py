"""A search for lives of one node that break an invariant: people, kills, restarts and power cuts."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from certfront.kube.errors import Forbidden, Unreachable
from tests.model.node.material import BAD, GOOD, ONE, SOURCES, TWO, VARIANTS
from tests.model.node.world import FAULTS, INVARIANTS, Violation, World

DEEP: Final = int(os.environ.get("CERTFRONT_MODEL_EXAMPLES", "0"))
"""How many lives of each kind are searched, in place of the few of an ordinary run."""

_STEPS: Final = 14
_PLANS = st.one_of(
    st.just({}),
    st.dictionaries(st.integers(1, 45), st.sampled_from(FAULTS), min_size=1, max_size=2),
)


def machine(  # noqa: C901 - a class of one-line rules
    watch: Collection[str] = INVARIANTS, mutate: Callable[[pytest.MonkeyPatch], None] | None = None
) -> type[RuleBasedStateMachine]:
    """A machine that looks at some invariants, of the product as it is or with a rule taken out."""

    class Node(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self._mutation = pytest.MonkeyPatch()
            if mutate is not None:
                mutate(self._mutation)
            self.world: World | None = None

        @property
        def node(self) -> World:
            assert self.world is not None
            return self.world

        @initialize(mixes=st.booleans(), start=st.sampled_from(sorted(VARIANTS)))
        def begin(self, mixes: bool, start: str) -> None:
            self.world = World(mixes=mixes, watch=watch)
            for source in SOURCES:
                self.node.put_bundle(source, "one")
            self.node.put_manifest(VARIANTS[start])
            self.node.one_pass()

        @rule(source=st.sampled_from(SOURCES), kind=st.sampled_from((*GOOD, *GOOD, *BAD)))
        def put_bundle(self, source: str, kind: str) -> None:
            self.node.put_bundle(source, kind)

        @rule(source=st.sampled_from(SOURCES))
        def drop_bundle(self, source: str) -> None:
            self.node.drop_bundle(source)

        @rule(variant=st.sampled_from(sorted(VARIANTS)))
        def put_manifest(self, variant: str) -> None:
            self.node.put_manifest(VARIANTS[variant])

        @rule(frontend=st.sampled_from((ONE, TWO)), first_told=st.booleans())
        def remove_manifest(self, frontend: str, first_told: bool) -> None:
            if first_told:
                self.node.release(frontend)
            else:
                self.node.vanish(frontend)

        @rule(error=st.sampled_from((None, None, Forbidden, Unreachable)))
        def api(self, error: type[Forbidden | Unreachable] | None) -> None:
            self.node.outage(error)

        @rule()
        def relist(self) -> None:
            self.node.relist()

        @rule(
            time=st.sampled_from(
                (timedelta(seconds=61), timedelta(seconds=301), timedelta(hours=3))
            )
        )
        def wait(self, time: timedelta) -> None:
            self.node.wait(time)

        @rule(plan=_PLANS)
        def converge(self, plan: dict[int, str]) -> None:
            self.node.one_pass(plan)

        @rule(plan=_PLANS)
        def converge_again(self, plan: dict[int, str]) -> None:
            self.node.one_pass(plan)

        @rule(plan=_PLANS)
        def restart_agent(self, plan: dict[int, str]) -> None:
            self.node.start_agent(plan)

        @rule(plan=_PLANS)
        def audit(self, plan: dict[int, str]) -> None:
            self.node.audit(plan)

        @rule()
        def restart_haproxy(self) -> None:
            self.node.start_haproxy()

        @rule()
        def stop_haproxy(self) -> None:
            self.node.stop_haproxy()

        @rule(choice=st.integers(0, 31))
        def power_cut(self, choice: int) -> None:
            self.node.power_cut(choice)

        @rule(source=st.sampled_from(SOURCES), kind=st.sampled_from(GOOD))
        def leave_transaction(self, source: str, kind: str) -> None:
            self.node.leave_transaction(source, kind)

        @rule()
        def jam(self) -> None:
            self.node.jam()

        def teardown(self) -> None:
            """Every life ends well once the faults do."""
            try:
                if self.world is not None and not self.world.broken:
                    self.world.converge()
            finally:
                if self.world is not None:
                    self.world.close()
                self._mutation.undo()

    return Node


def search(
    watch: Collection[str],
    examples: int,
    mutate: Callable[[pytest.MonkeyPatch], None] | None = None,
) -> Violation | None:
    """The first violation that so many lives have, if any."""
    phases = (Phase.generate,) if mutate is not None else (Phase.generate, Phase.shrink)
    try:
        run_state_machine_as_test(
            machine(watch, mutate),
            settings=settings(
                max_examples=DEEP or examples if mutate is None else examples,
                stateful_step_count=_STEPS,
                deadline=None,
                derandomize=not DEEP,
                database=None,
                phases=phases,
                print_blob=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Violation as violation:
        return violation
    return None
