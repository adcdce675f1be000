"""A search for sequences that break the queue's promises."""

from collections import Counter, defaultdict

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from certfront.engine.keys import Key
from certfront.engine.queue import Priority
from certfront.model.clock import FrozenClock
from tests.unit.engine.surroundings import new_queue

KEYS = st.builds(
    Key, st.just("Certificate"), st.sampled_from(["red", "green", "blue"]), st.sampled_from("abc")
)


class QueueMachine(RuleBasedStateMachine):
    """Drives a queue beside a plain model of it: what is ready, with workers, and due when."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FrozenClock()
        self.queue = new_queue(self.clock)
        self.ready: dict[Key, Priority] = {}
        self.working: set[Key] = set()
        self.again: dict[Key, Priority] = {}
        self.due: dict[Key, float] = {}
        self.pops = 0
        # Per lane and waiting namespace: how often each other namespace was served meanwhile.
        self.passed: dict[tuple[Priority, str], Counter[str]] = defaultdict(Counter)

    def model_add(self, key: Key, priority: Priority) -> None:
        if key in self.working:
            self.again[key] = min(priority, self.again.get(key, priority))
        else:
            self.ready[key] = min(priority, self.ready.get(key, priority))

    def model_promote(self) -> None:
        for key, when in list(self.due.items()):
            if when <= self.clock.monotonic():
                del self.due[key]
                self.model_add(key, Priority.DEFERRED)

    @rule(key=KEYS, priority=st.sampled_from(Priority))
    def add(self, key: Key, priority: Priority) -> None:
        self.queue.add(key, priority)
        self.model_add(key, priority)

    @rule(key=KEYS, delay=st.integers(1, 20))
    def add_after(self, key: Key, delay: int) -> None:
        self.queue.add_after(key, delay)
        when = self.clock.monotonic() + delay
        self.due[key] = min(when, self.due.get(key, when))

    @rule(key=KEYS)
    def add_failed(self, key: Key) -> None:
        when = self.clock.monotonic() + self.queue.add_failed(key)
        self.due[key] = min(when, self.due.get(key, when))

    @rule(key=KEYS)
    def forget(self, key: Key) -> None:
        self.queue.forget(key)

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.queue.promote_due()
        self.model_promote()

    @precondition(lambda self: self.ready)
    @rule()
    def get(self) -> None:
        key = self.pop()
        assert key in self.ready, "handed out, but not waiting"
        assert key not in self.working, "two workers on one key"
        self.pops += 1
        waiting = sorted(set(self.ready.values()))
        lane = self.ready.pop(key)
        assert lane == waiting[-1 if self.pops % 8 == 0 else 0]
        self.working.add(key)
        self.check_turn(lane, key.namespace)

    def pop(self) -> Key:
        # With something ready `get` does not wait, so its first step is its last.
        with pytest.raises(StopIteration) as stop:
            self.queue.get().send(None)
        key = stop.value.value
        assert isinstance(key, Key)
        return key

    def check_turn(self, lane: Priority, served: str) -> None:
        self.passed.pop((lane, served), None)
        waiting = {key.namespace for key, at in self.ready.items() if at == lane}
        for namespace in waiting - {served}:
            counts = self.passed[lane, namespace]
            counts[served] += 1
            assert counts[served] <= 1, "a namespace was served twice while another waited"

    @invariant()
    def only_waiting_namespaces_count_turns(self) -> None:
        waiting = {(lane, key.namespace) for key, lane in self.ready.items()}
        for entry in set(self.passed) - waiting:
            del self.passed[entry]

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.working.remove(key)
        again = self.again.pop(key, None)
        if again is not None:
            self.model_add(key, again)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.queue.depth() == len(self.ready)
        assert self.queue.in_progress() == len(self.working)
        assert self.queue.delayed() == len(self.due)

    def teardown(self) -> None:
        """At the end everything that was asked for is handed out."""
        self.clock.advance(1000)
        self.queue.promote_due()
        self.model_promote()
        for key in sorted(self.working):
            self.queue.done(key)
        expected = set(self.ready) | set(self.again)
        handed = {self.pop() for _ in range(self.queue.depth())}
        assert handed == expected


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
