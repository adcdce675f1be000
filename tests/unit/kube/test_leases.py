"""Leader election and heartbeats, with the server and the time under control."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from certfront.kube.client import ApiClient
from certfront.kube.leases import HeartbeatLease, LeaderElection
from certfront.kube.resources import LEASES
from certfront.model.clock import Clock, FrozenClock, SystemClock
from tests.unit.kube.apiserver import ApiServer, answering, status, until

PATH = "/apis/coordination.k8s.io/v1/namespaces/certfront/leases/operator"


@dataclass
class Replica:
    election: LeaderElection
    task: asyncio.Task[None]
    lost: list[str] = field(default_factory=list)

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def replica(
    client: ApiClient, name: str, clock: Clock, *, deadline: float = 10.0
) -> AsyncIterator[Replica]:
    lost: list[str] = []
    election = LeaderElection(
        client,
        clock,
        namespace="certfront",
        name="operator",
        identity=name,
        on_lost=lambda: lost.append(name),
        duration=15.0,
        renew_deadline=deadline,
        retry=0.005,
    )
    one = Replica(election, asyncio.create_task(election.run()), lost)
    try:
        yield one
    finally:
        await one.kill()


async def test_the_first_makes_the_lease_and_leads(server: ApiServer, client: ApiClient) -> None:
    async with replica(client, "a", FrozenClock()) as a:
        assert not a.election.is_leader()
        await a.election.wait_leading()
        assert a.election.is_leader()
        spec = server.objects[PATH]["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("a", 15)
        assert spec["renewTime"] == "2026-01-01T00:00:00.000000Z"
        renewals = len(server.asked)
        await until(lambda: len(server.asked) > renewals + 3)
        # A renewal is one call.
        assert {asked.method for asked in server.asked[renewals:]} == {"PUT"}
    assert a.lost == []


def asked_more(server: ApiServer, than: int) -> bool:
    return len(server.asked) > than


async def test_a_standby_waits_as_long_as_the_lease_is_renewed(
    server: ApiServer, client: ApiClient
) -> None:
    clock_a, clock_b = FrozenClock(), FrozenClock()
    async with replica(client, "a", clock_a) as a, replica(client, "b", clock_b) as b:
        await until(lambda: a.election.is_leader() or b.election.is_leader())
        leader, standby = (a, b) if a.election.is_leader() else (b, a)
        for _ in range(5):
            asked = len(server.asked)
            clock_a.advance(5)
            clock_b.advance(5)
            await until(partial(asked_more, server, asked + 6))
        assert leader.election.is_leader()
        assert not standby.election.is_leader()


async def test_a_standby_takes_over_once_it_saw_no_renewal_for_the_duration(
    server: ApiServer, client: ApiClient
) -> None:
    clock = FrozenClock()
    async with replica(client, "a", FrozenClock()) as a:
        await a.election.wait_leading()
        await a.kill()
    async with replica(client, "b", clock) as b:
        # Wall time says nothing: the lease could be an hour old by it.
        asked = len(server.asked)
        await until(lambda: len(server.asked) > asked + 2)
        clock.advance(14.9)
        asked = len(server.asked)
        await until(lambda: len(server.asked) > asked + 2)
        assert not b.election.is_leader()
        clock.advance(0.2)
        await b.election.wait_leading()
    assert server.objects[PATH]["spec"]["holderIdentity"] == "b"
    assert server.objects[PATH]["spec"]["leaseTransitions"] == 2


async def test_a_released_lease_is_taken_at_once(server: ApiServer, client: ApiClient) -> None:
    async with replica(client, "a", FrozenClock()) as a:
        await a.election.wait_leading()
        async with replica(client, "b", FrozenClock()) as b:
            await a.kill()
            await a.election.release()
            assert not a.election.is_leader()
            await b.election.wait_leading()
            assert b.election.is_leader()
    assert a.lost == []


async def test_a_release_that_fails_is_only_logged(
    server: ApiServer, client: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with replica(client, "a", FrozenClock()) as a:
        await a.election.wait_leading()
        await a.kill()
        server.objects.clear()
        await a.election.release()
        assert not a.election.is_leader()
    assert "the lease could not be released" in caplog.text
    assert server.objects == {}


async def test_a_lease_that_is_not_held_is_not_given_away(
    server: ApiServer, client: ApiClient
) -> None:
    async with replica(client, "a", FrozenClock()) as a:
        await a.election.wait_leading()
        async with replica(client, "b", FrozenClock()) as b:
            await b.election.release()
            assert a.election.is_leader()
    assert server.objects[PATH]["spec"]["holderIdentity"] == "a"


async def test_an_unanswered_renewal_loses_the_lease_at_the_deadline(
    server: ApiServer, client: ApiClient
) -> None:
    async with replica(client, "a", SystemClock(), deadline=0.2) as a:
        await a.election.wait_leading()
        server.hang = asyncio.Event()
        await until(lambda: a.lost)
        assert not a.election.is_leader()
        await a.task
    assert a.lost == ["a"]


async def test_refused_renewals_lose_the_lease_at_the_deadline(
    server: ApiServer, client: ApiClient
) -> None:
    async with replica(client, "a", SystemClock(), deadline=0.2) as a:
        await a.election.wait_leading()
        server.script = [answering(lambda: status(500, "InternalError", "etcd"))] * 10_000
        await until(lambda: a.lost)


async def test_a_process_that_stood_still_does_not_lead(
    server: ApiServer, client: ApiClient
) -> None:
    """`is_leader` counts at each call, before the election's own task has had its turn."""
    clock = FrozenClock()
    async with replica(client, "a", clock) as a:
        await a.election.wait_leading()
        clock.advance(11)
        assert not a.election.is_leader()
        await until(lambda: a.lost)


async def test_a_lease_taken_by_another_is_lost_at_once(
    server: ApiServer, client: ApiClient
) -> None:
    async with replica(client, "a", FrozenClock()) as a:
        await a.election.wait_leading()
        lease = server.objects[PATH]
        server.store(PATH, lease | {"spec": lease["spec"] | {"holderIdentity": "b"}})
        await until(lambda: a.lost)
    assert server.objects[PATH]["spec"]["holderIdentity"] == "b"


async def test_a_lease_that_someone_annotated_or_deleted_is_kept(
    server: ApiServer, client: ApiClient
) -> None:
    async with replica(client, "a", FrozenClock()) as a:
        await a.election.wait_leading()
        lease = server.objects[PATH]
        server.store(PATH, lease | {"metadata": lease["metadata"] | {"annotations": {"x": "y"}}})
        revision = server.revision
        await until(lambda: server.revision > revision)
        assert server.objects[PATH]["metadata"]["annotations"] == {"x": "y"}
        del server.objects[PATH]
        await until(lambda: PATH in server.objects)
        assert a.election.is_leader()
    assert a.lost == []


async def test_of_two_that_start_together_one_leads(server: ApiServer, client: ApiClient) -> None:
    clock = FrozenClock()
    async with replica(client, "a", clock) as a, replica(client, "b", clock) as b:
        await until(lambda: a.election.is_leader() or b.election.is_leader())
        asked = len(server.asked)
        await until(lambda: len(server.asked) > asked + 10)
        assert [a.election.is_leader(), b.election.is_leader()].count(True) == 1


def test_deadlines_that_could_overlap_are_refused(client: Any) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        LeaderElection(
            client,
            FrozenClock(),
            namespace="n",
            name="l",
            identity="a",
            on_lost=lambda: None,
            renew_deadline=15.0,
        )


# --- heartbeats

NODE = "/apis/coordination.k8s.io/v1/namespaces/edge/leases/haproxy.node-1"


def heartbeat(client: ApiClient, clock: Clock, **changed: float) -> HeartbeatLease:
    return HeartbeatLease(
        client,
        clock,
        namespace="edge",
        name="haproxy.node-1",
        identity="node-1",
        labels={"certfront.io/load-balancer": "haproxy"},
        **changed,
    )


@asynccontextmanager
async def beating(lease: HeartbeatLease) -> AsyncIterator[None]:
    task = asyncio.create_task(lease.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_heartbeat_is_made_and_renewed_by_one_call_each(
    server: ApiServer, client: ApiClient
) -> None:
    lease = heartbeat(client, SystemClock(), interval=0.02, spacing=0.005)
    async with beating(lease):
        await until(lambda: sum(asked.method == "PUT" for asked in server.asked) >= 3)
    assert [asked.method for asked in server.asked[:5]] == ["GET", "POST", "PUT", "PUT", "PUT"]
    held = server.objects[NODE]
    assert held["metadata"]["labels"] == {"certfront.io/load-balancer": "haproxy"}
    assert held["spec"]["holderIdentity"] == "node-1"
    assert held["spec"]["leaseDurationSeconds"] == 15
    assert lease.written_at is not None


async def test_reports_between_two_writes_are_written_together(
    server: ApiServer, client: ApiClient
) -> None:
    lease = heartbeat(client, FrozenClock(), spacing=0.05)
    async with beating(lease):
        await until(lambda: NODE in server.objects and lease.written_at is not None)
        writes = server.revision
        for number in range(100):
            lease.report({"certfront.io/watermark": str(number)})
            await asyncio.sleep(0)
        await until(lambda: "99" in str(server.objects[NODE]["metadata"].get("annotations")))
        assert server.revision - writes <= 2
        lease.report({"certfront.io/watermark": "99"})
        revision = server.revision
        await asyncio.sleep(0.1)
        assert server.revision == revision, "an unchanged report was written"


async def test_a_report_waits_until_the_last_write_is_long_enough_ago(
    server: ApiServer, client: ApiClient
) -> None:
    lease = heartbeat(client, FrozenClock(), interval=0.0, spacing=3600.0)
    async with beating(lease):
        await until(lambda: lease.written_at is not None)
        lease.report({"a": "1"})
        for _ in range(5):
            await client.get(LEASES, "edge", "haproxy.node-1")
        assert [asked.method for asked in server.asked].count("PUT") == 1


async def test_a_report_comes_before_the_next_heartbeat(
    server: ApiServer, client: ApiClient
) -> None:
    lease = heartbeat(client, SystemClock(), interval=3600.0, spacing=0.001)
    async with beating(lease):
        await until(lambda: lease.written_at is not None)
        lease.report({"a": "1"})
        await until(lambda: server.objects[NODE]["metadata"]["annotations"] == {"a": "1"})


async def test_a_heartbeat_goes_on_after_deletion_change_and_outage(
    server: ApiServer, client: ApiClient
) -> None:
    lease = heartbeat(client, SystemClock(), interval=0.01, spacing=0.001)
    lease.report({"a": "1"})
    async with beating(lease):
        await until(lambda: lease.written_at is not None)
        del server.objects[NODE]
        await until(lambda: NODE in server.objects)
        held = server.objects[NODE]
        server.store(NODE, held | {"metadata": held["metadata"] | {"labels": {"theirs": "1"}}})
        revision = server.revision
        server.script = [answering(lambda: status(500, "InternalError", "x"))] * 3
        await until(lambda: server.revision > revision)
    metadata = server.objects[NODE]["metadata"]
    assert metadata["labels"] == {"theirs": "1", "certfront.io/load-balancer": "haproxy"}
    assert metadata["annotations"] == {"a": "1"}


async def test_a_stopped_node_takes_its_lease_away(server: ApiServer, client: ApiClient) -> None:
    lease = heartbeat(client, FrozenClock())
    await lease.stop()
    async with beating(lease):
        await until(lambda: lease.written_at is not None)
    await lease.stop()
    assert NODE not in server.objects
    assert server.asked[-1].body["preconditions"]["uid"]
    await lease.stop()


async def test_an_existing_lease_of_the_node_is_taken_over(
    server: ApiServer, client: ApiClient
) -> None:
    server.store(NODE, {"metadata": {"namespace": "edge", "name": "haproxy.node-1"}, "spec": {}})
    async with beating(heartbeat(client, FrozenClock())):
        await until(lambda: server.objects[NODE]["spec"].get("holderIdentity") == "node-1")
    lease = await client.get(LEASES, "edge", "haproxy.node-1")
    assert lease["spec"]["renewTime"]
