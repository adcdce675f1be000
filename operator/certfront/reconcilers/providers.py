"""LoadBalancers that a provider runs: their credentials, their target, and what it tells of them.

Called by `loadbalancers` for every type but HAProxy. A pass gives the target its provider and starts
it; the work itself is the target's own (`targets`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from certfront.engine.keys import Key
from certfront.engine.results import Result
from certfront.engine.store import Object
from certfront.kube.resources import LOADBALANCERS, SECRETS
from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, ProviderError
from certfront.loadbalancers.kinds import Credentials, ProviderKind
from certfront.loadbalancers.protocol import Provider
from certfront.loadbalancers.registry import KINDS
from certfront.model.conditions import Condition, merged, with_page
from certfront.model.loadbalancer import LoadBalancer, LoadBalancerSpec, LoadBalancerStatus
from certfront.model.meta import FINALIZER, Meta, ObjectName, parsed
from certfront.model.secret_data import value_of
from certfront.reconcilers import statuses
from certfront.reconcilers.capabilities import told as capabilities_told
from certfront.reconcilers.context import POLL_UNLABELLED, Context
from certfront.reconcilers.frontends import finalizers
from certfront.reconcilers.stores import FRONTEND, LOADBALANCER
from certfront.reconcilers.targets import Target, Targets
from certfront.reconcilers.transitions import announce_ready

_LARGEST_VALUE: Final = 48 * 1024 - 3
_LOOK_FOR_CREDENTIALS: Final = 30.0
_POLL: Final = 5.0
_MOST_ORPHANS: Final = 256
"""The bound of the list in the CRD."""
_RELEASE_PATIENCE: Final = timedelta(seconds=300)


class ProviderReconciler:
    """See the module."""

    def __init__(self, context: Context, targets: Targets) -> None:
        self._context = context
        self._targets = targets
        self._built: dict[ObjectName, tuple[str, Provider[Any, Any]]] = {}
        self._read_at: dict[ObjectName, tuple[float, Object | None]] = {}

    async def advance(self, raw: Object, balancer: LoadBalancer) -> Result:
        """One pass over a LoadBalancer that is wanted."""
        name = balancer.metadata.object_name
        target = self._targets.of(name)
        await self._equip(target, balancer)
        target.start()
        before = balancer.status
        told = before.observed_generation == balancer.metadata.generation
        if not target.asked and target.trouble is None and told:
            # What was told is told until the provider was asked.
            return Result(after=_POLL)
        status = status_of(balancer, target, self._context.clock.now(), self._documentation)
        if await statuses.write(self._context, LOADBALANCERS, raw, status) and before.conditions:
            await announce_ready(
                self._context, raw, before.conditions, status.conditions, action="Observe"
            )
        return Result(after=self._next(name, balancer, target))

    async def delete(self, raw: Object, metadata: Meta) -> Result:
        """One pass over a LoadBalancer that is being deleted: everything goes off it first."""
        name, now = metadata.object_name, self._context.clock.now()
        if FINALIZER not in metadata.finalizers:
            await self.forget(name)
            return Result()
        target = self._targets.of(name)
        balancer = parsed(LoadBalancer, raw)
        if balancer is not None:
            await self._equip(target, balancer)
            target.start()
        holding = tuple(self._holding(name))
        self._context.enqueue(holding)
        since = metadata.deletion_timestamp or now
        in_time = now - since < _RELEASE_PATIENCE
        alive = target.idle_seconds() < _RELEASE_PATIENCE.total_seconds()
        if holding and (in_time or alive):
            return Result(after=_POLL)
        await finalizers.drop(self._context, LOADBALANCERS, raw)
        await self.forget(name)
        return Result()

    async def forget(self, name: ObjectName) -> None:
        """The LoadBalancer is gone."""
        self._built.pop(name, None)
        self._read_at.pop(name, None)
        await self._targets.drop(name)

    @property
    def _documentation(self) -> str:
        return self._context.settings.documentation_url

    def _holding(self, name: ObjectName) -> Iterator[Key]:
        """The frontends of which something may be installed."""
        for key in self._context.indices.frontends_at(*name):
            raw = self._context.store.get(FRONTEND, key.namespace, key.name)
            finalizers = () if raw is None else raw["metadata"].get("finalizers") or ()
            if FINALIZER in finalizers:
                yield key

    # --- the provider

    async def _equip(self, target: Target, balancer: LoadBalancer) -> None:
        """Give the target a provider made from the spec and the credentials as they are now."""
        name, kind = balancer.metadata.object_name, KINDS[balancer.spec.type]
        try:
            self._check_alone(balancer, kind)
            credentials = await self._credentials(target, balancer, kind)
            made_from = _digest(balancer, credentials)
            built = self._built.get(name)
            if built is None or built[0] != made_from:
                environment = self._targets.environment(name)
                provider = kind.build(balancer.spec, credentials, environment)
                built = self._built[name] = (made_from, provider)
            await target.equip(built[1], None)
        except ProviderError as error:
            self._built.pop(name, None)
            await target.equip(None, error)

    def _check_alone(self, balancer: LoadBalancer, kind: ProviderKind) -> None:
        """Raise Denied where an older LoadBalancer is for the same service."""
        mine = kind.target(balancer.spec)
        for raw in self._context.store.items(LOADBALANCER):
            other = parsed(LoadBalancer, raw)
            if other is None or other.metadata.object_name == balancer.metadata.object_name:
                continue
            same = other.spec.type == balancer.spec.type and _target_of(other.spec, kind) == mine
            if same and other.metadata.age_order < balancer.metadata.age_order:
                # Whoever may not read the other one learns no more than that there is one.
                near = other.metadata.namespace == balancer.metadata.namespace
                which = f" ({other.metadata.name})" if near else " in another namespace"
                raise Denied(
                    reasons.DUPLICATE_TARGET,
                    f"An older LoadBalancer{which} is for the same service.",
                )

    async def _credentials(
        self, target: Target, balancer: LoadBalancer, kind: ProviderKind
    ) -> Credentials:
        """The decoded Secret. Raises Denied where it is not there, or lacks a key."""
        secret_name = kind.secret(balancer.spec)
        if not secret_name:
            return {}
        name = balancer.metadata.object_name
        held = self._context.store.get(SECRETS.kind, name.namespace, secret_name)
        if held is None:
            held = await self._read(name, secret_name, target)
        found = _decoded(held)
        if found is None:
            raise Denied(reasons.CREDENTIALS_NOT_FOUND, f"Secret {secret_name} does not exist.")
        if not any(all(found.get(key) for key in keys) for keys in kind.secret_keys):
            wanted = " or ".join(", ".join(keys) for keys in kind.secret_keys if keys)
            raise Denied(
                reasons.CREDENTIALS_NOT_FOUND, f"Secret {secret_name} needs the keys {wanted}."
            )
        return found

    async def _read(self, name: ObjectName, secret: str, target: Target) -> Object | None:
        """A Secret without our label is read now and then, and sooner while it is of no use."""
        now = self._context.clock.monotonic()
        read = self._read_at.get(name)
        patience = POLL_UNLABELLED.total_seconds()
        if read is None or read[1] is None or target.trouble is not None:
            patience = _LOOK_FOR_CREDENTIALS
        if read is not None and now - read[0] < patience:
            return read[1]
        found = await self._context.live(SECRETS, name.namespace, secret)
        self._read_at[name] = (now, found)
        return found

    def _next(self, name: ObjectName, balancer: LoadBalancer, target: Target) -> float | None:
        """When the credentials are looked at again; the target asks for itself."""
        if target.trouble is not None:
            return _LOOK_FOR_CREDENTIALS
        if not KINDS[balancer.spec.type].secret(balancer.spec):
            return None
        read = self._read_at.get(name)
        if read is None:
            return None
        return _LOOK_FOR_CREDENTIALS if read[1] is None else POLL_UNLABELLED.total_seconds()


def _target_of(spec: LoadBalancerSpec, kind: ProviderKind) -> str | None:
    try:
        return kind.target(spec)
    except (AttributeError, ValueError):
        # Its settings are not there: it is for no service.
        return None


def _digest(balancer: LoadBalancer, credentials: Credentials) -> str:
    """What a provider was made from, without keeping any of it."""
    digest = hashlib.sha256(f"{balancer.metadata.uid}|{balancer.metadata.generation}".encode())
    for key in sorted(credentials):
        value = hashlib.sha256(credentials[key]).digest()
        digest.update(key.encode() + b"\0" + value)
    return digest.hexdigest()


def _decoded(secret: Object | None) -> Credentials | None:
    if secret is None:
        return None
    values = {
        key: value_of(secret, key, largest=_LARGEST_VALUE) for key in secret.get("data") or ()
    }
    # A final newline is what an editor or `echo` leaves.
    return {key: value.rstrip(b"\r\n") for key, value in values.items() if value is not None}


def status_of(
    balancer: LoadBalancer, target: Target, now: datetime, documentation: str
) -> LoadBalancerStatus:
    """The status of a LoadBalancer by what its target tells."""
    kind, plan = KINDS[balancer.spec.type], target.plan
    limits = {} if plan is None else dict(plan.limits)
    return LoadBalancerStatus(
        observed_generation=balancer.metadata.generation,
        conditions=merged(
            balancer.status.conditions,
            _conditions(balancer, target, documentation),
            generation=balancer.metadata.generation,
            now=now,
        ),
        capabilities=capabilities_told(kind.capabilities, limits),
        orphaned=tuple(sorted(map(str, target.orphans())))[:_MOST_ORPHANS],
    )


def _conditions(
    balancer: LoadBalancer, target: Target, documentation: str
) -> tuple[Condition, ...]:
    trouble, plan = target.trouble, target.plan
    if trouble is not None:
        text = with_page(trouble.message, f"{documentation}/{trouble.reason.name}")
        ready = Condition(type="Ready", status="False", reason=trouble.reason.name, message=text)
        waiting = Condition(
            type="Reconciling", status="True", reason=trouble.reason.name, message=text
        )
        return (ready, waiting)
    if plan is None or not target.asked:
        reason, text = reasons.WAITING_FOR_PROVIDER.name, "The provider is being asked."
        return (
            Condition(type="Ready", status="False", reason=reason, message=text),
            Condition(type="Reconciling", status="True", reason=reason, message=text),
        )
    notice = next(iter(plan.notices), None)
    reason = reasons.AVAILABLE.name if notice is None else notice.reason.name
    text = f"{balancer.spec.type} answers." if notice is None else notice.message
    return (Condition(type="Ready", status="True", reason=reason, message=text),)
