"""The queue, case by case; `test_queue_machine` searches for what these do not think of."""

import asyncio

import pytest

from certfront.engine.keys import Key
from certfront.engine.queue import Priority, QueueShutDown, WorkQueue
from certfront.model.clock import FrozenClock, SystemClock
from tests.unit.engine.surroundings import new_queue


def key(name: str, namespace: str = "shop") -> Key:
    return Key("Certificate", namespace, name)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def queue(clock: FrozenClock) -> WorkQueue:
    return new_queue(clock)


async def drain(queue: WorkQueue) -> list[str]:
    names = []
    while queue.depth():
        taken = await queue.get()
        names.append(taken.name)
        queue.done(taken)
    return names


async def test_a_key_added_twice_is_handed_out_once(queue: WorkQueue) -> None:
    queue.add(key("a"))
    queue.add(key("a"))
    assert await drain(queue) == ["a"]


async def test_a_key_added_while_it_is_with_a_worker_comes_once_more(queue: WorkQueue) -> None:
    queue.add(key("a"))
    taken = await queue.get()
    queue.add(key("a"))
    queue.add(key("a"))
    assert queue.depth() == 0
    queue.done(taken)
    assert await drain(queue) == ["a"]


async def test_fresh_changes_overtake_the_first_list(queue: WorkQueue) -> None:
    for name in ("a", "b", "c"):
        queue.add(key(name), Priority.INITIAL)
    queue.add(key("new"))
    queue.add(key("c"))
    assert await drain(queue) == ["new", "c", "a", "b"]


async def test_a_lower_priority_does_not_push_a_waiting_key_back(queue: WorkQueue) -> None:
    queue.add(key("b"), Priority.INITIAL)
    queue.add(key("a"))
    queue.add(key("a"), Priority.DEFERRED)
    assert await drain(queue) == ["a", "b"]


async def test_the_last_lane_has_every_eighth_turn(queue: WorkQueue) -> None:
    queue.add(key("renewal"), Priority.DEFERRED)
    for number in range(20):
        queue.add(key(f"change-{number:02}"))
    assert (await drain(queue)).index("renewal") == 7


async def test_namespaces_take_turns(queue: WorkQueue) -> None:
    for number in range(5):
        queue.add(key(f"big-{number}", "big"))
    queue.add(key("small", "small"))
    assert (await drain(queue))[:3] == ["big-0", "small", "big-1"]


async def test_of_several_times_the_earliest_holds(queue: WorkQueue, clock: FrozenClock) -> None:
    queue.add_after(key("a"), 60)
    queue.add_after(key("a"), 5)
    queue.add_after(key("a"), 30)
    assert queue.delayed() == 1
    clock.advance(5)
    queue.promote_due()
    assert await drain(queue) == ["a"]
    clock.advance(100)
    queue.promote_due()
    assert queue.depth() == 0


async def test_a_replaced_time_does_not_call_a_later_one_early(
    queue: WorkQueue, clock: FrozenClock
) -> None:
    queue.add_after(key("a"), 60)
    queue.add_after(key("a"), 5)
    clock.advance(5)
    queue.promote_due()
    assert await drain(queue) == ["a"]
    queue.add_after(key("a"), 100)
    clock.advance(60)
    queue.promote_due()
    assert (queue.depth(), queue.delayed()) == (0, 1)


async def test_back_off_doubles_to_a_limit_and_is_forgotten(
    queue: WorkQueue, clock: FrozenClock
) -> None:
    delays = []
    for _ in range(40):
        delays.append(queue.add_failed(key("a")))
        clock.advance(300)
        queue.promote_due()
    for number, delay in enumerate(delays):
        longest = min(300.0, 0.2 * 2**number)
        assert longest / 2 <= delay <= longest
    assert queue.failures(key("a")) == 40
    queue.forget(key("a"))
    assert queue.add_failed(key("a")) <= 0.2


async def test_back_off_of_many_keys_is_spread(queue: WorkQueue) -> None:
    assert len({queue.add_failed(key(str(number))) for number in range(50)}) == 50


async def test_a_waiting_worker_gets_what_is_added(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(key("a"))
    assert await waiting == key("a")


async def test_a_timer_wakes_a_waiting_worker() -> None:
    queue = new_queue(SystemClock())
    queue.add_after(key("late"), 30)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after(key("soon"), 0.01)
    assert await waiting == key("soon")
    queue.shutdown()


def test_times_kept_before_there_was_a_loop_are_timed() -> None:
    queue = new_queue(SystemClock())
    queue.add_after(key("a"), 0.01)
    assert asyncio.run(queue.get()) == key("a")


async def test_a_cancelled_worker_passes_its_wake_up_on(queue: WorkQueue) -> None:
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(key("a"))
    first.cancel()
    assert await second == key("a")


async def test_shutdown_ends_those_who_wait_and_drops_what_comes(queue: WorkQueue) -> None:
    queue.add(key("busy"))
    taken = await queue.get()
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.shutdown()
    queue.add(key("a"))
    queue.add_after(key("b"), 1)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [QueueShutDown] * 3
    queue.done(taken)
    with pytest.raises(QueueShutDown):
        await queue.get()
    assert (queue.depth(), queue.delayed(), queue.in_progress()) == (0, 0, 0)


async def test_the_age_is_that_of_the_oldest_ready_key(
    queue: WorkQueue, clock: FrozenClock
) -> None:
    assert queue.oldest_age() == 0.0
    queue.add(key("a"), Priority.INITIAL)
    clock.advance(10)
    queue.add(key("b"))
    queue.add(key("a"))  # lifted, but no younger for it
    clock.advance(1)
    assert queue.oldest_age() == 11
    assert (await queue.get()).name == "b"
    assert (await queue.get()).name == "a"
    assert queue.oldest_age() == 0.0


async def test_no_task_and_one_timer_however_many_times_are_kept(queue: WorkQueue) -> None:
    tasks = len(asyncio.all_tasks())
    for number in range(1000):
        queue.add_after(key(str(number)), 1000 - number)
        queue.add_after(key(str(number)), 10)
    assert len(asyncio.all_tasks()) == tasks
    assert queue.delayed() == 1000
    # Replaced entries do not pile up.
    assert len(queue._heap) <= 2 * 1000
    queue.shutdown()
