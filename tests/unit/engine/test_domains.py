"""Domains of serialization."""

import asyncio

import pytest

from certfront.engine.domains import DomainBusy, Domains, shard_of
from certfront.engine.results import Retry


async def test_a_target_is_changed_by_one_at_a_time() -> None:
    domains = Domains()
    inside = most = 0

    async def change() -> None:
        nonlocal inside, most
        async with domains.exclusive("target:one"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(change() for _ in range(20)))
    assert most == 1
    assert domains.in_use() == 0


async def test_an_account_has_eight_orders_at_a_time() -> None:
    domains = Domains()
    inside = most = 0

    async def order() -> None:
        nonlocal inside, most
        async with domains.bounded("account:one"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(order() for _ in range(50)))
    assert most == 8


async def test_different_domains_do_not_wait_for_each_other() -> None:
    domains = Domains()
    async with domains.exclusive("target:one"), domains.exclusive("target:two", patience=0):
        assert domains.in_use() == 2


@pytest.mark.parametrize("patience", [0, 0.01])
async def test_a_worker_is_freed_when_its_patience_ends(patience: float) -> None:
    domains = Domains()
    async with domains.exclusive("target:one"):
        with pytest.raises(DomainBusy) as busy:
            async with domains.exclusive("target:one", patience=patience):
                raise AssertionError("two in one domain")
        assert isinstance(busy.value, Retry)
        assert busy.value.delay == 0.5
    async with domains.exclusive("target:one", patience=patience):
        pass
    assert domains.in_use() == 0


async def test_a_cancelled_waiter_leaves_the_domain_usable() -> None:
    domains = Domains()

    async def enter() -> None:
        async with domains.exclusive("target:one"):
            pass

    async with domains.exclusive("target:one"):
        waiting = asyncio.create_task(enter())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await enter()
    assert domains.in_use() == 0


async def test_a_failure_inside_frees_the_domain() -> None:
    domains = Domains()
    with pytest.raises(ZeroDivisionError):
        async with domains.exclusive("target:one"):
            raise ZeroDivisionError
    assert domains.in_use() == 0


async def test_one_domain_has_one_limit() -> None:
    domains = Domains()
    async with domains.exclusive("target:one"):
        with pytest.raises(ValueError, match="one limit"):
            async with domains.bounded("target:one"):
                raise AssertionError("a second limit")


def test_every_domain_has_exactly_one_owner_and_the_owner_is_stable() -> None:
    replicas = [Domains(shard=shard, shards=3) for shard in range(3)]
    names = [f"target:{number}" for number in range(300)]
    assert all(sum(r.owns(name) for r in replicas) == 1 for name in names)
    assert {shard_of(name, 3) for name in names} == {0, 1, 2}
    # A changed hash would let two versions of the operator own one domain during an upgrade.
    assert [shard_of(name, 16) for name in ("target:a", "account:b")] == [7, 11]
    assert all(Domains().owns(name) for name in names)


def test_a_shard_is_one_of_the_shards() -> None:
    with pytest.raises(ValueError, match="one of the shards"):
        Domains(shard=3, shards=3)
