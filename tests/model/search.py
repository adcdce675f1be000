"""A breadth-first search over everything that can happen to one Certificate within a budget.

A state is pruned by its value. What can happen in it: an operator begins a pass or makes the next call
of one; a watch event arrives; a process ends right after a write; an answer is lost; a person acts;
the CA refuses, forgets, or gets on with its work. The clock moves when the leader has nothing else to do.

One operator leads. The Lease may go to the other one at any point: the one that led stands still in the
middle of its pass for any time, and then goes on to the end of it, between any two calls of the new leader;
each further time that it stands still costs a pause. With `zombie` in the budget it even begins passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model import cluster, people
from tests.model.passes import Memory, Passes
from tests.model.state import (
    CERTIFICATE,
    OBJECTS,
    SECRET,
    Budget,
    Event,
    Invariant,
    Object,
    Operator,
    Raised,
    Violation,
    Where,
    World,
    find,
)

_NAMES = "ab"
HORIZON = 2400
SWEEP = 300
NOTHING = Budget()
Action = Callable[[World], World | None]


@dataclass
class Found:
    """What a search came to."""

    states: int = 0
    transitions: int = 0
    ends: int = 0
    passes: int = 0
    complete: bool = True
    violations: dict[Invariant, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def trace(self, invariant: Invariant) -> str:
        """How the invariant was broken, a step a line."""
        message, steps = self.violations[invariant]
        return "\n".join((message, *(f"  {n:3} {step}" for n, step in enumerate(steps, 1))))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What one search is about. `user` names the actions of `people` that are in its budget."""

    name: str
    operators: int = 1
    budget: Budget = NOTHING
    user: tuple[str, ...] = ()
    issued: bool = False
    most_states: int = 60_000


class Search:
    """One search; `until` ends it at the first violation of that invariant."""

    def __init__(self, scenario: Scenario, until: Invariant | None = None) -> None:
        self._scenario = scenario
        self._until = until
        self._passes = Passes()
        self._found = Found()
        self._parents: dict[World, tuple[World | None, str]] = {}
        self._at_rest: set[tuple[tuple[tuple[Where, int], ...], int, int]] = set()

    def run(self) -> Found:
        """Every state within the budget, or until `until`."""
        begin = self._begin()
        self._parents[begin] = (None, "")
        frontier = [begin]
        while frontier and self._until not in self._found.violations:
            following: list[World] = []
            for world in frontier:
                self._expand(world, following)
                if self._until in self._found.violations:
                    break
                if len(self._parents) > self._scenario.most_states:
                    self._found.complete = False
                    following = []
                    break
            frontier = following
        self._found.states = len(self._parents)
        self._found.passes = self._passes.count
        return self._found

    def _expand(self, world: World, following: list[World]) -> None:
        ended = True
        for label, action in self._actions(world):
            try:
                reached = action(world)
                if reached is None:
                    continue
                reached = self._until_a_choice(self._settled(reached))
                cluster.check(reached)
            except Violation as violation:
                self._violated(violation, world, label)
                ended = False
                continue
            ended = False
            self._found.transitions += 1
            if reached not in self._parents:
                self._parents[reached] = (world, label)
                following.append(reached)
        if ended:
            self._found.ends += 1
            try:
                self._check_end(world)
            except Violation as violation:
                self._violated(violation, world, "at the end")

    def _violated(self, violation: Violation, world: World, label: str) -> None:
        if violation.invariant in self._found.violations:
            return
        steps = [label]
        at: World | None = world
        while at is not None:
            at, step = self._parents[at]
            if step:
                steps.append(step)
        self._found.violations[violation.invariant] = (str(violation), tuple(steps[::-1]))

    # What can happen

    def _begin(self) -> World:
        scenario = self._scenario
        world = World(
            objects=(),
            versions=(),
            orders=(),
            keys=0,
            now=0,
            operators=(),
            leader=0,
            budget=Budget(),
        )
        world = cluster.born(world, CERTIFICATE, people.manifest())
        operators = tuple(self._started(world, number, 0) for number in range(scenario.operators))
        world = world._replace(operators=operators)
        if scenario.issued:
            world = self._calm(world)
        return world._replace(budget=scenario.budget)

    def _calm(self, world: World) -> World:
        """Let everything happen that happens by itself, one operator after the other."""
        for _ in range(5000):
            for _, action in self._actions(world):
                reached = action(world)
                if reached is not None:
                    world = self._settled(reached)
                    break
            else:
                return world
        raise AssertionError("it does not come to rest")

    def _started(self, world: World, number: int, boots: int) -> Operator:
        store = tuple(
            (where, held)
            for where, held in world.objects
            if cluster.watched(where[0], OBJECTS[held])
        )
        memory = Memory(holder=f"{_NAMES[number]}{boots}", store=store)
        return Operator(memory=self._passes.remember(memory), boots=boots)

    def _actions(self, world: World) -> Iterator[tuple[str, Action]]:
        active = False
        for number, operator in enumerate(world.operators):
            for label, action in self._of_operator(world, number, operator):
                active = active or number == world.leader
                yield f"{_NAMES[number]} {label}", action
            if world.budget.handovers and number != world.leader and operator.log == 0:
                yield f"{_NAMES[number]} leads", lambda w, n=number: self._takes_over(w, n)
        for label, act in people.actions(world, self._scenario.user):
            yield label, act
        leader = world.operators[world.leader]
        if leader.log == 0 and not active and not world.resumed:
            yield "time passes", self._time_passes

    def _of_operator(
        self, world: World, number: int, operator: Operator
    ) -> Iterator[tuple[str, Action]]:
        if world.budget.deaf and operator.log == 0 and operator.pending:
            yield "misses an event", lambda w: self._miss(w, number)
        if number == world.leader and world.resumed:
            # The one that led is at it again: that it stops once more is another pause.
            if not world.budget.pauses:
                return
            spent = world.budget._replace(pauses=world.budget.pauses - 1)
            world = world._replace(budget=spent, resumed=False)
        elif number != world.leader:
            world = world._replace(resumed=True)
        budget = world.budget
        if operator.log:
            yield from self._calls(world, number, operator)
        elif number == world.leader or budget.zombie:
            if number != world.leader:
                world = world._replace(budget=budget._replace(zombie=budget.zombie - 1))
            for held_back, ready in self._ready(world, number):
                lag = f", not having heard of the {held_back}" if held_back else ""
                yield f"begins a pass{lag}", lambda _, w=ready: self._begin_pass(w, number)

    def _takes_over(self, world: World, number: int) -> World:
        """The Lease goes to another; what its holder is in the middle of goes on."""
        budget = world.budget._replace(handovers=world.budget.handovers - 1)
        woken = world.operators[number]._replace(woken=True)
        return _with(world, number, woken)._replace(budget=budget, leader=number, resumed=False)

    def _ready(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        """The operator as it begins a pass: it has heard of everything, or one kind lags behind."""
        kinds = dict.fromkeys(event.kind for event in world.operators[number].pending)
        for held_back in ("", *(kinds if world.budget.stale else ())):
            heard = self._hear_all(world, number, but=held_back)
            operator = heard.operators[number]
            if operator.woken or 0 <= operator.due <= world.now:
                stale = world.budget.stale - bool(held_back)
                yield held_back, heard._replace(budget=world.budget._replace(stale=stale))

    def _hear_all(self, world: World, number: int, but: str = "") -> World:
        while True:
            kind = next((e.kind for e in world.operators[number].pending if e.kind != but), None)
            if kind is None:
                return world
            world = self._hear(world, number, kind)

    def _calls(self, world: World, number: int, operator: Operator) -> Iterator[tuple[str, Action]]:
        call = self._passes.at(operator.log).call
        assert call is not None
        said = _said(call)
        yield said, lambda _: self._call(world, number)
        budget = world.budget
        if not call.is_write:
            return
        if budget.crashes:
            spent = world._replace(budget=budget._replace(crashes=budget.crashes - 1))
            yield f"{said}, and is killed", lambda _: self._crash(spent, number)
        if budget.lost:
            spent_lost = world._replace(budget=budget._replace(lost=budget.lost - 1))
            yield f"{said}; the answer is lost", lambda _: self._call(spent_lost, number, lost=True)

    def _until_a_choice(self, world: World) -> World:
        """Make the reads that nothing can come in between."""
        while True:
            budget = world.budget
            at_it = [n for n, o in enumerate(world.operators) if o.log]
            if len(at_it) != 1 or budget.user or budget.trouble or budget.zombie:
                return world
            if at_it[0] != world.leader or budget.handovers or people.orphans(world):
                return world
            call = self._passes.at(world.operators[at_it[0]].log).call
            if call is None or call.is_write:
                return world
            world = self._settled(self._call(world, at_it[0]))

    # Doing it

    def _begin_pass(self, world: World, number: int) -> World:
        operator = world.operators[number]
        log = self._passes.begin(operator.memory, world.now)
        begun = operator._replace(log=log, woken=False, due=-1)
        return self._ended_if_over(_with(world, number, begun), number)

    def _call(self, world: World, number: int, *, lost: bool = False) -> World:
        operator = world.operators[number]
        call = self._passes.at(operator.log).call
        assert call is not None
        world, answer = cluster.execute(world, call)
        self._check_orders(world)
        if lost:
            answer = Raised("Unreachable" if call.to == "api" else "CaUnreachable")
        operator = world.operators[number]
        log = self._passes.answered(operator.log, answer, world.now)
        return self._ended_if_over(_with(world, number, operator._replace(log=log)), number)

    def _ended_if_over(self, world: World, number: int) -> World:
        operator = world.operators[number]
        node = self._passes.at(operator.log)
        if node.call is not None:
            return world
        if node.failed:
            raise Violation("NoDefect", f"a pass ended with {node.failed}")
        assert node.memory is not None
        due = -1 if node.delay is None else world.now + math.ceil(node.delay)
        over = operator._replace(
            log=0,
            memory=self._passes.remember(node.memory),
            woken=node.woken or operator.woken or node.delay == 0,
            due=due if node.delay else -1,
        )
        return _with(world, number, over)

    def _crash(self, world: World, number: int) -> World:
        call = self._passes.at(world.operators[number].log).call
        assert call is not None
        world, _ = cluster.execute(world, call)
        self._check_orders(world)
        boots = world.operators[number].boots + 1
        return _with(world, number, self._started(world, number, boots))

    def _hear(self, world: World, number: int, kind: str) -> World:
        """The oldest event of the kind reaches the operator."""
        operator = world.operators[number]
        place = next(i for i, event in enumerate(operator.pending) if event.kind == kind)
        event = operator.pending[place]
        rest = operator.pending[:place] + operator.pending[place + 1 :]
        operator = operator._replace(pending=rest)
        if operator.log:
            log = self._passes.told(operator.log, event, world.now)
            return _with(world, number, operator._replace(log=log))
        memory, woken = self._passes.hear(operator.memory, event, world.now)
        operator = operator._replace(memory=memory, woken=operator.woken or woken)
        return _with(world, number, operator)

    def _miss(self, world: World, number: int) -> World:
        operator = world.operators[number]
        budget = world.budget._replace(deaf=world.budget.deaf - 1)
        missed = operator._replace(pending=operator.pending[1:])
        return _with(world, number, missed)._replace(budget=budget)

    def _settled(self, world: World) -> World:
        """No view lags more than one version of a kind; the end of a pass is no place of its own."""
        for number in range(len(world.operators)):
            for kind in ("Certificate", "Secret"):
                while _lag(world.operators[number], kind) > 1:
                    world = self._hear(world, number, kind)
        if all(o.log == 0 for n, o in enumerate(world.operators) if n != world.leader):
            world = world._replace(resumed=False)
        return world if self._scenario.budget.deaf else self._idlers_told(world)

    def _idlers_told(self, world: World) -> World:
        """News that gives an operator nothing to do may as well have reached it."""
        for number, operator in enumerate(world.operators):
            if operator.log or operator.woken or not operator.pending:
                continue
            if 0 <= operator.due <= world.now:
                continue
            told = self._hear_all(world, number)
            if not told.operators[number].woken:
                world = told
        return world

    def _time_passes(self, world: World) -> World | None:
        """To the next moment that someone waits for; the renewal is not waited for."""
        due = world.operators[world.leader].due
        if self._scenario.budget.deaf and self._out_of_step(world):
            return self._swept(world)
        if due < 0 or due > HORIZON:
            return None
        return cluster.ca_works(world._replace(now=max(due, world.now)))

    # The sweep, where events were missed

    def _out_of_step(self, world: World) -> bool:
        return any(self._ghosts(world, o) for o in world.operators if o.log == 0)

    def _ghosts(self, world: World, operator: Operator) -> list[Event]:
        held = dict(self._passes.memories[operator.memory].store)
        live = {
            where: number
            for where, number in world.objects
            if cluster.watched(where[0], OBJECTS[number])
        }
        told = [
            Event(where[0], "MODIFIED", number)
            for where, number in live.items()
            if held.get(where) != number
        ]
        gone = [Event(w[0], "DELETED", number) for w, number in held.items() if w not in live]
        return told + gone

    def _swept(self, world: World) -> World:
        """Every five minutes a list repairs the store: the same as if the events had come now."""
        world = world._replace(now=world.now + SWEEP)
        for number, operator in enumerate(world.operators):
            if operator.log == 0:
                for event in self._ghosts(world, operator):
                    told = world.operators[number]
                    told = told._replace(pending=(*told.pending, event))
                    world = self._hear(_with(world, number, told), number, event.kind)
        return cluster.ca_works(world)

    # What must hold of orders, and at the end

    def _check_orders(self, world: World) -> None:
        """Orders of one need: the first, and one for each of what may cost one."""
        needs: dict[str, int] = {}
        for order in world.orders:
            needs[order.need] = needs.get(order.need, 0) + 1
        spent = _spent(self._scenario.budget, world.budget)
        allowed = 1 + spent
        if needs and max(needs.values()) > allowed:
            raise Violation("BoundedOrders", f"{max(needs.values())} orders, {allowed} are allowed")
        if len(needs) > world.justified:
            raise Violation(
                "BoundedOrders",
                f"orders for {len(needs)} needs, where {world.justified} had a reason",
            )

    def _check_end(self, world: World) -> None:
        self._check_converged(world)
        self._check_rest(world)

    def _check_converged(self, world: World) -> None:
        certificate, secret = find(world, CERTIFICATE), find(world, SECRET)
        status = (certificate or {}).get("status") or {}
        kept = f"pending-{status.get('order', {}).get('id', '')}"
        left = [
            where[1]
            for where, number in world.objects
            if where not in (CERTIFICATE, SECRET, ("Secret", kept))
            and cluster.is_ours(OBJECTS[number])
        ]
        if left:
            raise Violation("Convergence", f"{', '.join(left)} is left behind")
        if certificate is None:
            return
        if secret is not None and not cluster.is_ours(secret):
            _converged(certificate, "SecretConflict", "False")
            return
        if secret is None or not cluster.watched("Secret", secret):
            raise Violation("Convergence", "there is no Secret with its label")
        if "order" in status:
            raise Violation("Convergence", "an order is left in status")
        _converged(certificate, "Issued", "True")
        if status["revision"] != int(secret["metadata"]["annotations"]["certfront.io/revision"]):
            raise Violation("Convergence", "status and Secret tell of different revisions")
        people.check_wanted(certificate, secret)

    def _check_rest(self, world: World) -> None:
        """At rest neither another pass nor a restart writes anything."""
        for number, operator in enumerate(world.operators):
            if operator.log:
                continue
            heard = self._hear_all(world, number).operators[number]
            self._is_quiet(world, number, heard.memory)
            again = self._started(world, number, operator.boots + 1)
            self._is_quiet(world, number, again.memory)

    def _is_quiet(self, world: World, number: int, memory: int) -> None:
        asleep = (world.objects, memory, world.now)
        if asleep in self._at_rest:
            return
        self._at_rest.add(asleep)
        begun = world.operators[number]._replace(memory=memory, log=0)
        world = self._begin_pass(_with(world, number, begun), number)
        while log := world.operators[number].log:
            call = self._passes.at(log).call
            assert call is not None
            if call.is_write:
                raise Violation("Quiescence", f"{_NAMES[number]} writes at rest: {_said(call)}")
            world = self._call(world, number)


def _lag(operator: Operator, kind: str) -> int:
    return sum(event.kind == kind for event in operator.pending)


def _with(world: World, number: int, operator: Operator) -> World:
    operators = (*world.operators[:number], operator, *world.operators[number + 1 :])
    return world._replace(operators=operators)


def _spent(had: Budget, left: Budget) -> int:
    """What was spent of the budget and may have cost an order.

    A pause is none: the hand-over before it has paid for the pass that goes on. Nor is a view that lags
    or an event that is missed: an order is placed only after a live read.
    """
    return (
        (had.handovers - left.handovers)
        + (had.zombie - left.zombie)
        + (had.crashes - left.crashes)
        + (had.lost - left.lost)
        + (had.trouble - left.trouble)
        + (had.user - left.user)
    )


def _converged(certificate: Object, reason: str, state: str) -> None:
    conditions = (certificate.get("status") or {}).get("conditions") or ()
    ready = next((c for c in conditions if c["type"] == "Ready"), {})
    if (ready.get("status"), ready.get("reason")) != (state, reason):
        said = f"{ready.get('status')} {ready.get('reason')}: {ready.get('message')}"
        raise Violation("Convergence", f"at the end Ready is {said}")


def _said(call: Any) -> str:
    parts = [str(arg)[:60] for arg in call.args if isinstance(arg, str) and not _is_version(arg)]
    return " ".join((call.what, *parts))


def _is_version(text: str) -> bool:
    return text.isdecimal()
