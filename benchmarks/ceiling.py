"""How fast the API server takes the two writes of a certificate from clients that do nothing else.

Two processes, for one core each; every certificate's Secret is applied, then its status is patched,
as the operator does it and with the bodies that it wrote.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import msgspec

from benchmarks.api import (
    CERTIFICATES,
    MERGE,
    SECRETS,
    Access,
    Api,
    Object,
    Patch,
    applied,
    collection,
)
from benchmarks.errors import BenchError
from benchmarks.measures import shares, span

PROCESSES = 2
IN_FLIGHT = 32
MANAGER = "certfront"

_SERVER_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")

Timing = tuple[float, float, float]
"""Start and end (monotonic), and processor seconds, of one client."""

Pair = tuple[Patch, Patch]
"""The writes of one certificate: its Secret, then its status."""


def secret_patch(secret: Object) -> Patch:
    """The apply that created `secret`, as it is read from the API server."""
    metadata = {
        key: value for key, value in secret["metadata"].items() if key not in _SERVER_FIELDS
    }
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata, "resourceVersion": "1"},
        "type": secret["type"],
        "data": secret["data"],
    }
    return applied(SECRETS, body, force=False, manager=MANAGER)


def status_patch(certificate: Object, status: Mapping[str, object]) -> Patch:
    """The patch that gives a fresh `certificate` this `status`."""
    metadata = certificate["metadata"]
    path = f"{collection(CERTIFICATES, metadata['namespace'])}/{metadata['name']}/status"
    body = {"status": status, "metadata": {"resourceVersion": metadata["resourceVersion"]}}
    return Patch(f"{path}?fieldManager={MANAGER}", MERGE, msgspec.json.encode(body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Seconds from the first write to the last answer, and processor seconds of all clients."""

    seconds: float
    cpu_seconds: float


def measure(access: Access, pairs: Sequence[Pair], seconds: float) -> Replayed:
    """Make all writes, within `seconds`. Raises BenchError."""
    context = multiprocessing.get_context("spawn")
    workers, ends = [], []
    try:
        for share in shares(len(pairs), PROCESSES):
            ours, theirs = context.Pipe()
            mine = [pairs[index] for index in share]
            worker = context.Process(target=_worker, args=(theirs, access, mine), daemon=True)
            worker.start()
            theirs.close()
            workers.append(worker)
            ends.append(ours)
        for end in ends:
            _received(end, seconds)
        for end in ends:
            end.send("go")
        timings = [_received(end, seconds) for end in ends]
        return Replayed(
            seconds=span([(started, ended) for started, ended, _ in timings]),
            cpu_seconds=sum(cpu for _, _, cpu in timings),
        )
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _received(end: Connection, seconds: float) -> Timing:
    try:
        if not end.poll(seconds):
            raise BenchError(f"the bare clients did not end within {seconds:.0f} s")
        answer = end.recv()
    except EOFError:
        raise BenchError("a bare client ended; its trace is above") from None
    if isinstance(answer, str):
        raise BenchError(f"a bare client failed: {answer}")
    started, ended, cpu = answer
    return started, ended, cpu


def _worker(end: Connection, access: Access, pairs: Sequence[Pair]) -> None:
    """Tell when it is ready, wait for the word, write, and tell from when until when it took."""
    try:
        end.send(asyncio.run(_run(end, access, pairs)))
    except BenchError as error:
        end.send(str(error))


async def _run(end: Connection, access: Access, pairs: Sequence[Pair]) -> Timing:
    async with Api(access, connections=IN_FLIGHT) as api:
        # Connections are made before the clock starts, as those of a running operator are.
        await asyncio.gather(*(api.text("version") for _ in range(IN_FLIGHT)))
        end.send((0.0, 0.0, 0.0))
        await asyncio.to_thread(end.recv)
        started, used = time.monotonic(), time.process_time()
        waiting = iter(pairs)
        await asyncio.gather(*(_write(api, waiting) for _ in range(IN_FLIGHT)))
        return started, time.monotonic(), time.process_time() - used


async def _write(api: Api, waiting: Iterator[Pair]) -> None:
    for secret, status in waiting:
        await api.send(secret)
        await api.send(status)
