"""LoadBalancers: the nodes behind them, what they can do, and what is left over on them.

Folds the agents' Leases into the status when something besides time has changed, deletes what no
one asks for any more, and lets a LoadBalancer go once nothing is installed through it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from certfront.engine.keys import Key
from certfront.engine.results import Result
from certfront.engine.store import Object
from certfront.kube.errors import Conflict, Forbidden, NotFound
from certfront.kube.resources import FRONTENDS, LEASES, LOADBALANCERS
from certfront.loadbalancers import reasons
from certfront.loadbalancers.haproxy import reasons as node_reasons
from certfront.loadbalancers.haproxy.watermark import (
    MOST_LISTED,
    NODE_FAILURE,
    NodeLease,
    node_lease,
)
from certfront.loadbalancers.registry import CAPABILITIES, KINDS
from certfront.model.conditions import Condition, merged, with_page
from certfront.model.loadbalancer import (
    FailedItem,
    LoadBalancer,
    LoadBalancerStatus,
    NodeStatus,
)
from certfront.model.meta import (
    FINALIZER,
    InvalidObject,
    Meta,
    ObjectName,
    parse,
    parsed,
    revision_of,
)
from certfront.model.reasons import Reason
from certfront.reconcilers import secrets, statuses, unreadable
from certfront.reconcilers.capabilities import told as told_of
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends import finalizers, release
from certfront.reconcilers.frontends.handover import read_manifest, secrets_of
from certfront.reconcilers.frontends.leases import leases_of, nodes_of
from certfront.reconcilers.frontends.reconciler import FrontendReconciler, target_domain
from certfront.reconcilers.parsed import Parsed
from certfront.reconcilers.providers import ProviderReconciler
from certfront.reconcilers.stores import CERTIFICATE, SECRET
from certfront.reconcilers.targets import Targets
from certfront.reconcilers.transitions import announce_ready

_log: Final = logging.getLogger(__name__)

STALE_LEASE_KEPT: Final = timedelta(hours=1)
_LEFT_OVER_PATIENCE: Final = timedelta(seconds=60)
_RELEASE_PATIENCE: Final = timedelta(seconds=150)
_FOLD_PROGRESS_AFTER: Final = 10.0
_POLL: Final = 5.0
_AFTER_STALE: Final = 0.2
_MOST_NODES: Final = 64
_LOOK_AGAIN_AT_STALE: Final = 10.0
"""Within a Lease's duration: a heartbeat wakes nobody, and may be that of a node that is back."""


class LoadBalancerReconciler:
    """Reconciles LoadBalancers: those of type HAProxy here, all others by `providers`."""

    def __init__(self, context: Context, frontends: FrontendReconciler, targets: Targets) -> None:
        """`frontends` knows who waits for a node to report."""
        self._context = context
        self._frontends = frontends
        self._providers = ProviderReconciler(context, targets)
        self._manifests = Parsed(read_manifest, self._exists)
        self._progress_since: dict[ObjectName, float] = {}
        self._left_over: dict[tuple[ObjectName, str], tuple[datetime, int]] = {}

    def _exists(self, namespace: str, name: str) -> bool:
        return self._context.store.get(SECRET, namespace, name) is not None

    async def reconcile(self, key: Key) -> Result:
        """One pass. Raises what the API client raises; the runner asks again."""
        raw = await self._context.known(LOADBALANCERS, key.namespace, key.name)
        if raw is None:
            await self._providers.forget(ObjectName(key.namespace, key.name))
            return Result()
        try:
            balancer = parse(LoadBalancer, raw)
        except InvalidObject as error:
            metadata = parsed(Meta, raw["metadata"])
            if metadata is not None and metadata.deletion_timestamp is not None:
                if (raw.get("spec") or {}).get("type") in KINDS:
                    return await self._providers.delete(raw, metadata)
                return await self._delete(raw, metadata)
            return await self._unreadable(raw, error)
        going = balancer.metadata.deletion_timestamp is not None
        if balancer.spec.type in KINDS:
            if going:
                return await self._providers.delete(raw, balancer.metadata)
            return await self._providers.advance(raw, balancer)
        if going:
            return await self._delete(raw, balancer.metadata)
        return await self._advance(raw, balancer)

    async def _advance(self, raw: Object, balancer: LoadBalancer) -> Result:
        target, now = balancer.metadata.object_name, self._context.clock.now()
        nodes = nodes_of(self._context, target) if balancer.spec.type == "HAProxy" else ()
        nodes = tuple(sorted(nodes, key=lambda node: node.node))
        status = status_of(
            balancer,
            nodes,
            newest=self._newest(target),
            now=now,
            documentation=self._context.settings.documentation_url,
        )
        self._context.enqueue(self._frontends.pending_on(target))
        unfolded = self._only_progress(target, balancer.status, status)
        if unfolded is None and await statuses.write(self._context, LOADBALANCERS, raw, status):
            await self._announce(raw, balancer.status, status)
        await self._delete_stale_leases(target, now)
        waiting = await self._collect(target, nodes, now)
        return Result(after=_next(nodes, now, waiting=waiting, unfolded=unfolded))

    def _newest(self, target: ObjectName) -> int:
        """The highest revision of what nodes have to serve."""
        return max(
            (
                revision_of(secret)
                for role in ("manifest", "bundle")
                for secret in secrets_of(self._context, target, role)
            ),
            default=0,
        )

    def _only_progress(
        self, target: ObjectName, before: LoadBalancerStatus, status: LoadBalancerStatus
    ) -> float | None:
        """For how many seconds the status is not worth a write: how far nodes are moves all the time.

        A burst of changes is folded in once. None: write it, if it differs.
        """
        if before == status or _without_progress(before) != _without_progress(status):
            self._progress_since.pop(target, None)
            return None
        now = self._context.clock.monotonic()
        since = self._progress_since.setdefault(target, now)
        if now - since >= _FOLD_PROGRESS_AFTER:
            self._progress_since.pop(target, None)
            return None
        return _FOLD_PROGRESS_AFTER - (now - since)

    async def _announce(
        self, raw: Object, before: LoadBalancerStatus, after: LoadBalancerStatus
    ) -> None:
        if not before.conditions:
            # Of one that is new, nothing is news: its nodes have yet to come.
            return
        await announce_ready(
            self._context,
            raw,
            before.conditions,
            after.conditions,
            action="Observe",
            troubling=(reasons.NODE_FAILED.name, reasons.NODES_DOWN.name),
        )

    async def _delete_stale_leases(self, target: ObjectName, now: datetime) -> None:
        """An agent that stops deletes its Lease; those of nodes that vanished go after an hour."""
        alive = {node.node for node in nodes_of(self._context, target) if node.is_current(now)}
        for lease in leases_of(self._context, target):
            node = node_lease(target.name, lease)
            if node is None or node.renew_time is None or node.node in alive:
                continue
            if now - node.renew_time < STALE_LEASE_KEPT or not self._context.trust_clock():
                continue
            metadata = lease["metadata"]
            try:
                await self._context.client.delete(
                    LEASES,
                    metadata["namespace"],
                    metadata["name"],
                    uid=metadata["uid"],
                    resource_version=metadata["resourceVersion"],
                )
            except (NotFound, Conflict):
                # It is gone, or the node is back.
                continue
            except Forbidden as error:
                # A courtesy to whoever reads them: what follows must not wait for it.
                _log.warning("the Lease of a node that is gone stays: %s", error)
                return

    async def _collect(self, target: ObjectName, nodes: Iterable[NodeLease], now: datetime) -> bool:
        """Delete the bundles that no manifest names; whether some still wait for the nodes."""
        self._context.enqueue(self._certificates_gone(target))
        domain = target_domain(target)
        async with self._context.domains.exclusive(domain, patience=_POLL):
            orphans = await self._release_orphans(target, now)
            used = release.used_bundles(self._context, target, self._manifests.of)
            left = {
                bundle["metadata"]["name"]
                for bundle in secrets_of(self._context, target, "bundle")
                if used is not None and bundle["metadata"]["name"] not in used
            }
            going = [name for name in sorted(left) if self._may_go(target, name, nodes, now)]
            await release.delete_bundles(self._context, target, going)
        names = orphans | left
        self._left_over = {
            held: since
            for held, since in self._left_over.items()
            if held[0] != target or held[1] in names
        }
        return any(held[0] == target for held in self._left_over)

    def _certificates_gone(self, target: ObjectName) -> Iterator[Key]:
        """The Certificates that are not there and have left a challenge: they clean it up.

        Their deletion may have been missed, as when the operator was down.
        """
        for secret in secrets_of(self._context, target, "challenge"):
            annotations = secret["metadata"].get("annotations") or {}
            owner = ObjectName.parse(annotations.get("certfront.io/certificate", ""))
            if owner is not None and self._context.store.get(CERTIFICATE, *owner) is None:
                yield Key(CERTIFICATE, *owner)

    def _may_go(
        self, target: ObjectName, name: str, nodes: Iterable[NodeLease], now: datetime
    ) -> bool:
        """Whether every node has read the manifests that omit the bundle, or has had a minute."""
        known = self._left_over.get((target, name))
        if known is None:
            newest = max(map(revision_of, secrets_of(self._context, target, "manifest")), default=0)
            known = self._left_over[target, name] = (now, newest)
        since, revision = known
        if now - since >= _LEFT_OVER_PATIENCE or _all_passed(nodes, revision, now):
            del self._left_over[target, name]
            return True
        return False

    async def _release_orphans(self, target: ObjectName, now: datetime) -> set[str]:
        """Take down the frontends that are gone, as when a finalizer was removed by hand.

        Returns the names of the manifests that are theirs.
        """
        found = set()
        for secret in list(secrets_of(self._context, target, "manifest")):
            manifest = self._manifests.of(secret)
            frontend = None if manifest is None else ObjectName.parse(manifest.frontend)
            if frontend is None:
                continue
            if await self._context.known(FRONTENDS, *frontend) is None:
                _log.info("the manifest of frontend %s is left over", frontend)
                held = secret["metadata"]["name"]
                since, _ = self._left_over.setdefault((target, held), (now, 0))
                await release.empty_or_delete(self._context, target, secret, since=since)
                found.add(held)
        return found

    async def _delete(self, raw: Object, metadata: Meta) -> Result:
        if FINALIZER not in metadata.finalizers:
            return Result()
        target, now = metadata.object_name, self._context.clock.now()
        self._context.enqueue(
            self._context.indices.frontends_by_load_balancer.lookup(tuple(target))
        )
        left = [
            secret
            for role in ("manifest", "bundle")
            for secret in secrets_of(self._context, target, role)
        ]
        since = metadata.deletion_timestamp or now
        if left and now - since < _RELEASE_PATIENCE:
            await self._collect(target, nodes_of(self._context, target), now)
            return Result(after=_POLL)
        for secret in (*left, *secrets_of(self._context, target, "challenge")):
            await secrets.delete(self._context, secret)
        await finalizers.drop(self._context, LOADBALANCERS, raw)
        return Result()

    async def _unreadable(self, raw: Object, error: InvalidObject) -> Result:
        before, status = unreadable.status_of(LoadBalancerStatus, raw, error, self._context)
        if await statuses.write(self._context, LOADBALANCERS, raw, status):
            await self._announce(raw, before, status)
        return Result()


def status_of(
    balancer: LoadBalancer,
    nodes: Iterable[NodeLease],
    *,
    newest: int,
    now: datetime,
    documentation: str,
) -> LoadBalancerStatus:
    """The status of a LoadBalancer whose agents' Leases are `nodes`. Pure.

    A heartbeat changes nothing in it, nor do revisions beyond the `newest` that there is to serve:
    every bookmark brings one, in a cluster that others write to.
    """
    held = tuple(nodes)
    before = {node.name: node.revision for node in balancer.status.nodes}
    told = tuple(
        _node_status(node, before.get(node.node, ""), newest, now) for node in held[:_MOST_NODES]
    )
    ready = sum(1 for node in held if node.is_current(now) and not node.node_failure)
    can = CAPABILITIES[balancer.spec.type]
    return LoadBalancerStatus(
        observed_generation=balancer.metadata.generation,
        conditions=merged(
            balancer.status.conditions,
            _conditions(balancer, told, ready, len(held), documentation),
            generation=balancer.metadata.generation,
            now=now,
        ),
        capabilities=told_of(can),
        nodes=told,
        ready_nodes=ready,
        ready_of_nodes=f"{ready}/{len(held)}",
    )


def _conditions(
    balancer: LoadBalancer,
    nodes: tuple[NodeStatus, ...],
    ready: int,
    total: int,
    documentation: str,
) -> tuple[Condition, ...]:
    def told(
        kind: str, reason: Reason, message: str, *, good: bool, wrong: bool = True
    ) -> Condition:
        text = with_page(message, f"{documentation}/{reason.name}") if wrong else message
        status = "True" if good else "False"
        return Condition(type=kind, status=status, reason=reason.name, message=text)  # type: ignore[arg-type] # one of the two

    refusal = _refusal(balancer)
    if refusal is not None:
        return (
            told("Ready", *refusal, good=False),
            told("Stalled", *refusal, good=True),
        )
    wanted = balancer.spec.haproxy.min_nodes if balancer.spec.haproxy else 1
    count = f"{ready} of {total} node{'s' if total != 1 else ''} ready"
    down = _down(nodes)
    if ready < max(wanted, 1):
        message = f"{count}, {wanted} needed{down}."
        reason = reasons.TOO_FEW_NODES
        return (
            told("Ready", reason, message, good=False),
            told("Reconciling", reason, message, good=True),
        )
    if down:
        return (told("Ready", reasons.NODES_DOWN, f"{count}{down}.", good=True),)
    failed = next((node for node in nodes if node.failed), None)
    if failed is not None:
        return (_node_failed(failed, count, documentation),)
    return (told("Ready", reasons.AVAILABLE, f"{count}.", good=True, wrong=False),)


def _refusal(balancer: LoadBalancer) -> tuple[Reason, str] | None:
    """What only a change of the spec can cure."""
    if balancer.spec.probe_address:
        message = "Not supported on a load balancer of type HAProxy: spec.probeAddress. Remove it."
        return reasons.UNSUPPORTED_FIELD, message
    return None


def _node_failed(node: NodeStatus, count: str, documentation: str) -> Condition:
    """Ready all the same; the page is that of the node's own reason."""
    first = node.failed[0]
    what = f"{first.reason}: {first.message.rstrip('.')}".removesuffix(": ")
    message = f"{count}. {node.name} could not apply {first.secret}: {what}."
    page = f"{documentation}/{node_reasons.page_of(first.reason, reasons.NODE_FAILED)}"
    return Condition(
        type="Ready",
        status="True",
        reason=reasons.NODE_FAILED.name,
        message=with_page(message, page),
    )


def _down(nodes: tuple[NodeStatus, ...]) -> str:
    """Which nodes cannot serve, and why; nothing where all can."""
    stale = [node.name for node in nodes if node.state == "Stale"]
    failing = [
        f"{node.name}: {item.reason}"
        for node in nodes
        if node.state != "Stale"
        for item in node.failed
        if item.secret == NODE_FAILURE
    ]
    told = [f"{', '.join(stale[:5])} sent no heartbeat"] if stale else []
    return "".join(f"; {one}" for one in (*told, *failing[:5]))


def _shown(reached: str, before: str, newest: int) -> str:
    """How far a node is with what there is to serve; what was shown stays where it is further."""
    if int(reached) <= newest:
        return reached
    return str(max(newest, min(int(before or 0), int(reached))))


def _node_status(node: NodeLease, before: str, newest: int, now: datetime) -> NodeStatus:
    mark = node.watermark
    failed = () if mark is None else mark.failed[:MOST_LISTED]
    return NodeStatus(
        name=node.node,
        state=_state(node, now),
        revision="" if mark is None else _shown(mark.resource_version, before, newest),
        failed=tuple(
            FailedItem(secret=one.secret, reason=one.reason, message=one.message) for one in failed
        ),
        failed_count=0 if mark is None else mark.failed_count,
    )


def _state(node: NodeLease, now: datetime) -> Literal["Current", "Stale", "Failed"]:
    if not node.is_current(now):
        return "Stale"
    return "Failed" if node.node_failure else "Current"


def _without_progress(status: LoadBalancerStatus) -> LoadBalancerStatus:
    nodes = tuple(msgspec.structs.replace(node, revision="") for node in status.nodes)
    return msgspec.structs.replace(status, nodes=nodes)


def _next(
    nodes: Iterable[NodeLease], now: datetime, *, waiting: bool, unfolded: float | None
) -> float | None:
    """When the next node becomes stale, or its Lease old, if nothing is heard of it before."""
    waits = [_POLL] if waiting else []
    waits += [] if unfolded is None else [unfolded]
    for node in nodes:
        if node.renew_time is None:
            continue
        if not node.is_current(now):
            waits.append(_LOOK_AGAIN_AT_STALE)
        ends = node.renew_time + node.duration
        gone = node.renew_time + STALE_LEASE_KEPT
        waits += [
            (moment - now).total_seconds() + _AFTER_STALE
            for moment in (ends, gone)
            if moment >= now
        ]
    return min(waits, default=None)


def _all_passed(nodes: Iterable[NodeLease], revision: int, now: datetime) -> bool:
    current = [node for node in nodes if node.is_current(now)]
    return bool(current) and all(
        node.watermark is not None and int(node.watermark.resource_version) >= revision
        for node in current
    )
