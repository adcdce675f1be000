"""Leases (coordination.k8s.io/v1): who acts, and who is alive.

`LeaderElection` is used by `app`, `HeartbeatLease` by the agent. Both count locally observed,
monotonic time; the wall times in a Lease are for people.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from certfront.kube.client import ApiClient, Object
from certfront.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from certfront.kube.resources import LEASES
from certfront.model.clock import Clock

_log: Final = logging.getLogger(__name__)


class LeaderElection:
    """One leader among replicas, by a Lease.

    `run` waits until the Lease is ours, then renews it every `retry` seconds. If it could not be
    renewed for `renew_deadline` seconds, or someone else holds it, `on_lost` is called at once and
    `run` returns; no call outlives that deadline, and the deadline ends before `duration` does, which
    is what others wait for. `identity` must be another one in each process, restarts included.
    """

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_lost: Callable[[], None],
        duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        if not retry < renew_deadline < duration:
            raise ValueError("retry < renew_deadline < duration does not hold")
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._on_lost = on_lost
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry = retry
        self._lease: Object | None = None
        self._observed: tuple[object, ...] = ()
        self._observed_at = 0.0
        self._renewed_at = 0.0
        self._leading = asyncio.Event()

    def is_leader(self) -> bool:
        """Whether we may act now. Counted anew at each call, so a stalled process is not fooled."""
        deadline = self._renewed_at + self._renew_deadline
        return self._leading.is_set() and self._clock.monotonic() < deadline

    async def wait_leading(self) -> None:
        """Return once the Lease is ours."""
        await self._leading.wait()

    async def run(self) -> None:
        """Acquire, hold, and return after a loss. Cancel it to stop, then call `release`."""
        while not await self._tried(self._acquire, self._renew_deadline):  # noqa: ASYNC110 - remote
            # Spread, so that standbys do not knock together.
            await asyncio.sleep(self._retry * random.uniform(1.0, 1.2))  # noqa: S311 - no secret
        _log.info("leading as %s", self._identity)
        self._leading.set()
        await self._hold()
        self._leading.clear()
        _log.error("the lease %s/%s is lost", self._namespace, self._name)
        self._on_lost()

    async def release(self) -> None:
        """Give the Lease away, so that a standby acts within its retry period. Raises no ApiError."""
        if not self.is_leader() or self._lease is None:
            return
        self._leading.clear()
        seconds = self._renew_deadline / 2
        try:
            try:
                await self._give_away(self._lease, seconds)
            except Conflict:
                # The renewal that was cancelled may have been applied.
                lease = await self._client.get(LEASES, self._namespace, self._name, timeout=seconds)
                if _holder(lease) == self._identity:
                    await self._give_away(lease, seconds)
        except ApiError as error:
            _log.warning("the lease could not be released: %s", error)

    async def _give_away(self, lease: Object, seconds: float) -> None:
        body = self._body("", lease)
        # As client-go does: a Lease without a holder is over in a second.
        body["spec"]["leaseDurationSeconds"] = 1
        await self._client.update(LEASES, body, timeout=seconds)

    async def _hold(self) -> None:
        """Renew until the deadline has passed or someone else holds the Lease."""
        while True:
            remaining = self._renewed_at + self._renew_deadline - self._clock.monotonic()
            await asyncio.sleep(max(0.0, min(self._retry, remaining)))
            remaining = self._renewed_at + self._renew_deadline - self._clock.monotonic()
            if remaining <= 0:
                return
            if await self._tried(self._renew, remaining):
                continue
            if self._lease is not None and _holder(self._lease) != self._identity:
                return

    async def _tried(self, step: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await step()
        except (ApiError, TimeoutError) as error:
            _log.warning("lease %s/%s: %s", self._namespace, self._name, error or "no answer")
            return False

    async def _acquire(self) -> bool:
        try:
            lease = await self._client.get(LEASES, self._namespace, self._name)
        except NotFound:
            return await self._create()
        self._observe(lease)
        if _holder(lease) not in {"", self._identity} and not self._is_over(lease):
            return False
        return await self._update(lease)

    async def _renew(self) -> bool:
        assert self._lease is not None  # noqa: S101 - it was acquired
        try:
            return await self._update(self._lease)
        except (Conflict, NotFound):
            # Someone annotated or deleted it (that is a 409, too), our last answer was lost, or it
            # is no longer ours.
            return await self._acquire()

    async def _create(self) -> bool:
        started = self._clock.monotonic()
        body = self._body(self._identity, {"metadata": {}, "spec": {}})
        self._took(await self._client.create(LEASES, body), started)
        return True

    async def _update(self, lease: Object) -> bool:
        # Time counts from before the call: the server may have applied it at its very start.
        started = self._clock.monotonic()
        body = self._body(self._identity, lease)
        self._took(await self._client.update(LEASES, body), started)
        return True

    def _took(self, lease: Object, started: float) -> None:
        self._observe(lease)
        self._renewed_at = started

    def _observe(self, lease: Object) -> None:
        spec = lease.get("spec", {})
        record = (_holder(lease), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._observed:
            self._observed = record
            self._observed_at = self._clock.monotonic()
        self._lease = lease

    def _is_over(self, lease: Object) -> bool:
        seconds = lease.get("spec", {}).get("leaseDurationSeconds")
        duration = float(seconds) if isinstance(seconds, int) else self._duration
        return self._clock.monotonic() > self._observed_at + duration

    def _body(self, holder: str, lease: Object) -> Object:
        now = _micro_time(self._clock.now())
        spec = dict(lease.get("spec", {}))
        if _holder(lease) != holder:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
            spec["acquireTime"] = now
        # The field holds whole seconds; the rounding is up, so others never wait too little.
        spec |= {
            "holderIdentity": holder,
            "renewTime": now,
            "leaseDurationSeconds": math.ceil(self._duration),
        }
        metadata = lease["metadata"] | {"namespace": self._namespace, "name": self._name}
        return {"metadata": metadata, "spec": spec}


class HeartbeatLease:
    """An agent's own Lease: its `renewTime` is the heartbeat, its annotations are the report.

    `run` writes it every `interval` seconds and soon after each `report`, at most once a second
    (what is reported meanwhile is written together), and goes on through every error of the API.
    """

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        labels: Mapping[str, str] | None = None,
        duration: float = 15.0,
        interval: float = 5.0,
        spacing: float = 1.0,
    ) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._labels = dict(labels or {})
        self._duration = duration
        # A call that hangs must leave time for another before others think the node is down.
        self._call_timeout = duration / 3
        self._interval = interval
        self._spacing = spacing
        self._annotations: dict[str, str] = {}
        self._reported = asyncio.Event()
        self._lease: Object | None = None
        self._written_at: float | None = None

    @property
    def written_at(self) -> float | None:
        """When (monotonic seconds) a heartbeat last reached the API server; None: never yet."""
        return self._written_at

    def report(self, annotations: Mapping[str, str]) -> None:
        """Let the Lease carry these annotations; those of earlier reports are kept or replaced."""
        if any(self._annotations.get(key) != value for key, value in annotations.items()):
            self._annotations |= annotations
            self._reported.set()

    async def run(self) -> None:
        """Write until cancelled. Cancel it to stop, then call `stop`."""
        while True:
            self._reported.clear()
            await self._write()
            # Also after a failure: at most one attempt a second.
            await asyncio.sleep(self._spacing)
            if self._written_at is not None:
                await self._wait(self._written_at + self._interval - self._clock.monotonic())

    async def stop(self) -> None:
        """Delete the Lease: a node that was stopped is not a node that is down. Raises no ApiError."""
        if self._lease is None:
            return
        try:
            await self._client.delete(
                LEASES, self._namespace, self._name, uid=self._lease["metadata"]["uid"], timeout=3.0
            )
        except ApiError as error:
            _log.warning("the lease could not be deleted: %s", error)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._reported.wait()
        except TimeoutError:
            pass

    async def _write(self) -> None:
        started = self._clock.monotonic()
        try:
            if self._lease is None:
                await self._find()
            assert self._lease is not None  # noqa: S101 - _find sets it or raises
            self._lease = await self._client.update(
                LEASES, self._body(self._lease), timeout=self._call_timeout
            )
            self._written_at = started
        except ApiError as error:
            # Deleted, changed or unknown: what is there now decides next time.
            self._lease = None
            self._reported.set()
            _log.warning("heartbeat %s/%s: %s", self._namespace, self._name, error)

    async def _find(self) -> None:
        try:
            self._lease = await self._client.get(
                LEASES, self._namespace, self._name, timeout=self._call_timeout
            )
        except NotFound:
            try:
                self._lease = await self._client.create(
                    LEASES, self._body({"metadata": {}, "spec": {}}), timeout=self._call_timeout
                )
            except AlreadyExists:
                self._lease = await self._client.get(
                    LEASES, self._namespace, self._name, timeout=self._call_timeout
                )

    def _body(self, lease: Object) -> Object:
        metadata = dict(lease["metadata"])
        metadata |= {"namespace": self._namespace, "name": self._name}
        metadata["labels"] = (metadata.get("labels") or {}) | self._labels
        metadata["annotations"] = (metadata.get("annotations") or {}) | self._annotations
        spec = lease.get("spec", {}) | {
            "holderIdentity": self._identity,
            "renewTime": _micro_time(self._clock.now()),
            "leaseDurationSeconds": math.ceil(self._duration),
        }
        return {"metadata": metadata, "spec": spec}


def _holder(lease: Object) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
