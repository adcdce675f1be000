"""How the operator is put together: one process, its parts, and the order in which they start and stop.

kopf fills the store; when it covers our own first list and the Lease is ours, workers take keys.
Losing the Lease, or the cluster's history, ends the process at once: it starts cold again.
"""

import asyncio
import gc
import logging
import os
import random
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

import kopf

from certfront.endpoints import health, metrics, served
from certfront.engine.domains import Domains
from certfront.engine.queue import WorkQueue
from certfront.engine.runner import Reconcile, Runner
from certfront.engine.sweep import HistoryChanged, Sweep
from certfront.handlers import watches
from certfront.issuance.acme.solver import ChallengePort
from certfront.kube.client import ApiClient
from certfront.kube.errors import ApiError, Conflict
from certfront.kube.leases import LeaderElection
from certfront.kube.source import LiveSource
from certfront.metrics import Metrics
from certfront.model.clock import Clock, SystemClock
from certfront.model.settings import Settings
from certfront.reconcilers.accounts import Accounts
from certfront.reconcilers.certificates import CertificateReconciler
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends import FrontendReconciler
from certfront.reconcilers.issuers import IssuerReconciler
from certfront.reconcilers.loadbalancers import LoadBalancerReconciler
from certfront.reconcilers.orders import OrderReconciler, token_lookup
from certfront.reconcilers.stores import (
    CERTIFICATE,
    FRONTEND,
    ISSUER,
    LOADBALANCER,
    new_store,
    watched,
)
from certfront.reconcilers.targets import Targets

_log: Final = logging.getLogger(__name__)
LEASE_NAME: Final = "certfront-operator"
WORKERS: Final = 32
THREADS: Final = 4
STOP_SECONDS: Final = 20.0
STUCK_SECONDS: Final = 600.0
SILENT_SECONDS: Final = 60.0
DEEPEST_OBJECT: Final = 25_000
"""Whoever edits an object can nest its managedFields as deep as the API server takes, 10,000 levels."""
COLLECT_EVERY: Final = 20_000
"""Allocations between two runs of the cycle collector; Python's 700 take a tenth of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The parts of a running operator."""

    context: Context
    accounts: Accounts
    targets: Targets
    runner: Runner
    sweep: Sweep
    election: LeaderElection
    metrics: Metrics
    clock: Clock

    def not_live(self) -> str:
        """Why the process should be restarted; empty if it makes progress."""
        running = self.runner.oldest_running()
        if running is not None and running[1] > STUCK_SECONDS:
            return f"a pass over {running[0].kind} does not end"
        if self.election.is_leader() and self.context.queue.oldest_age() > STUCK_SECONDS:
            return "the queue does not move"
        last = self.sweep.last_sweep
        if last is not None and self.clock.monotonic() - last > 3 * STUCK_SECONDS:
            return "the sweep does not end"
        return ""

    def not_ready(self) -> str:
        """Why the process could not act if it led; empty if it could."""
        if not self.sweep.covered:
            return "the store is not covered yet"
        last = self.context.client.last_answer
        if last is None or self.clock.monotonic() - last > SILENT_SECONDS:
            return "the API server does not answer"
        return ""


async def run(settings: Settings) -> None:
    """Run the operator until it is asked to stop (SIGTERM, SIGINT)."""
    gc.set_threshold(COLLECT_EVERY, 20, 20)
    sys.setrecursionlimit(DEEPEST_OBJECT)
    counted = Metrics()
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            await ApiClient.from_environment(clock=clock, count=counted.requested)
        )
        executor = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="work"))
        operator = assemble(settings, client, counted, clock, executor)
        stack.push_async_callback(operator.accounts.close)
        port = ChallengePort(token_lookup(operator.context), clock)
        await stack.enter_async_context(served(port.application(), settings.solver_address))
        await stack.enter_async_context(
            served(health(operator.not_live, operator.not_ready), settings.health_address)
        )
        await stack.enter_async_context(
            served(metrics(counted.exposition), settings.metrics_address)
        )
        await _operate(operator)


def assemble(
    settings: Settings,
    client: ApiClient,
    counted: Metrics,
    clock: Clock,
    executor: ThreadPoolExecutor,
) -> Operator:
    """All parts, connected; nothing runs yet."""
    store, indices = new_store(settings)
    queue = WorkQueue(clock, random.Random())  # noqa: S311 -- jitter, not a secret
    context = Context(
        client=client,
        store=store,
        indices=indices,
        queue=queue,
        clock=clock,
        settings=settings,
        domains=Domains(),
        executor=executor,
        on_event=counted.event_posted,
    )
    accounts = Accounts(context)
    counted.watch(store, queue)
    election = _election(context)
    targets = Targets(context, may_act=election.is_leader)
    return Operator(
        context=context,
        accounts=accounts,
        targets=targets,
        runner=_runner(context, accounts, targets, election, counted),
        sweep=_sweep(context),
        election=election,
        metrics=counted,
        clock=clock,
    )


def _election(context: Context) -> LeaderElection:
    return LeaderElection(
        context.client,
        context.clock,
        namespace=context.settings.namespace,
        name=LEASE_NAME,
        identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
        on_lost=_die,
    )


def _runner(
    context: Context,
    accounts: Accounts,
    targets: Targets,
    election: LeaderElection,
    counted: Metrics,
) -> Runner:
    return Runner(
        context.queue,
        _reconcilers(context, accounts, targets),
        clock=context.clock,
        workers=WORKERS,
        observer=counted,
        conflicts=(Conflict,),
        transient=(ApiError,),
        may_act=election.is_leader,
    )


def _sweep(context: Context) -> Sweep:
    return Sweep(
        source=LiveSource(context.client, watched(context.settings)),
        store=context.store,
        repaired=partial(watches.repaired, context),
        clock=context.clock,
    )


def _reconcilers(context: Context, accounts: Accounts, targets: Targets) -> Mapping[str, Reconcile]:
    frontends = FrontendReconciler(context, targets)
    return {
        CERTIFICATE: CertificateReconciler(
            context, OrderReconciler(context, accounts), targets
        ).reconcile,
        ISSUER: IssuerReconciler(context, accounts).reconcile,
        LOADBALANCER: LoadBalancerReconciler(context, frontends, targets).reconcile,
        FRONTEND: frontends.reconcile,
    }


async def _operate(operator: Operator) -> None:
    """Run all parts until kopf is told to stop, or one of them fails."""
    parts = {
        asyncio.create_task(operator.election.run(), name="election"),
        asyncio.create_task(_cover_and_sweep(operator.sweep), name="sweep"),
        asyncio.create_task(
            watches.follow_foreign(operator.context, watched(operator.context.settings)),
            name="followers",
        ),
        asyncio.create_task(_work(operator), name="workers"),
    }

    async def stop() -> None:
        await _stop(operator, parts)

    watching = asyncio.create_task(_watch(operator.context, stop), name="watches")
    try:
        done, _ = await asyncio.wait({watching, *parts}, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            if not part.cancelled():
                part.result()
        # Asked to stop: kopf ends last, after `stop` has ended the other parts.
        await watching
    except HistoryChanged as change:
        _log.critical("%s: starting cold", change)
        _die()


async def _watch(context: Context, stop: Callable[[], Awaitable[None]]) -> None:
    watched_namespaces = context.settings.watch_namespaces
    registry = kopf.OperatorRegistry()
    watches.register(registry, context, stop)
    namespaces: dict[str, Any] = (
        {"namespaces": list(watched_namespaces)} if watched_namespaces else {"clusterwide": True}
    )
    await kopf.operator(
        registry=registry, settings=watches.settings(), standalone=True, **namespaces
    )


async def _cover_and_sweep(sweep: Sweep) -> None:
    """Cover the store, then sweep for ever; a server that is away is waited for."""
    while not sweep.covered:
        try:
            await sweep.cover()
        except ApiError as error:
            _log.warning("the first list could not be read: %s", error)
            await asyncio.sleep(1)
    # What the first list brought stays: it need not be looked through for cycles again.
    gc.freeze()
    await sweep.run(transient=(ApiError,))


async def _work(operator: Operator) -> None:
    await operator.sweep.wait_covered()
    await operator.election.wait_leading()
    await operator.runner.run()


async def _stop(operator: Operator, parts: set[asyncio.Task[None]]) -> None:
    """Take no more keys, let passes end, then give the Lease away."""
    ended = await operator.runner.stop(STOP_SECONDS)
    if not ended:
        _log.warning("some passes did not end within %.0f s", STOP_SECONDS)
    await operator.targets.stop(STOP_SECONDS)
    for part in parts:
        part.cancel()
    await asyncio.gather(*parts, return_exceptions=True)
    await operator.election.release()


def _die() -> NoReturn:
    """End the process without another write: someone else may act already."""
    logging.shutdown()
    os._exit(1)
