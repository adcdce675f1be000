"""What all reconcilers share: the API client, the store with its reverse look-ups, the queue, the clock."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import timedelta

from certfront.engine.domains import Domains
from certfront.engine.keys import Key
from certfront.engine.queue import Priority, WorkQueue
from certfront.engine.runner import current_key
from certfront.engine.store import Object, Store, key_of
from certfront.kube import events
from certfront.kube.client import ApiClient
from certfront.kube.errors import NotFound
from certfront.kube.resources import NAMESPACES, Resource
from certfront.model.clock import CLOCK_TOLERANCE, Clock
from certfront.model.settings import Settings
from certfront.reconcilers.stores import NAMESPACE, WATCHED_LABEL, Indices
from certfront.reconcilers.wakeups import keys_to_wake

POLL_UNLABELLED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Passed to every reconciler. Only `store` and `queue` have state."""

    client: ApiClient
    store: Store
    indices: Indices
    queue: WorkQueue
    clock: Clock
    settings: Settings
    domains: Domains
    executor: Executor
    on_event: Callable[[str], None] = field(default=lambda _reason: None)

    async def live(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """The object as etcd has it now, or None; what kinds the store holds, it learns."""
        held = self._held(resource.kind, namespace or "", name)
        try:
            found = await self.client.get(resource, namespace, name)
        except NotFound:
            if held is not None and self._held(resource.kind, namespace or "", name) is held:
                self.forget(resource.kind, held)
            return None
        # Where the watch was faster, what it said is at least as new.
        unmoved = self._held(resource.kind, namespace or "", name) is held
        known = resource.kind in self.store.kinds and self._watched(resource, found)
        if known and unmoved and self.store.upsert(resource.kind, found):
            self._wake_others(resource.kind, held, found)
            mine = current_key.get()
            if held is not None and mine == key_of(resource.kind, found):
                # The pass has decided on the older one, and the watch will bring no news.
                self.enqueue((mine,))
        return found

    def learn(self, kind: str, answer: Object) -> None:
        """Take the answer to a write of our own: its echo on the watch is known then.

        Whoever it concerns is woken, except the pass that made it.
        """
        before = self.store.find(key_of(kind, answer))
        changed = (
            self.store.upsert(kind, answer) if before is None else self.store.accept(kind, answer)
        )
        if changed:
            self._wake_others(kind, before, answer)

    def forget(self, kind: str, obj: Object) -> None:
        """Take a deletion, and wake whoever it concerns, except the pass that made it."""
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        if self.store.remove(kind, namespace, metadata["name"], metadata.get("uid")):
            self._wake_others(kind, obj, None)

    async def known(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The last known object, else a live read: absence is confirmed, presence is a hint."""
        held = self.store.get(resource.kind, namespace, name)
        return held if held is not None else await self.live(resource, namespace, name)

    async def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """The labels of a namespace; none for one that does not exist."""
        held = self.store.get(NAMESPACE, "", namespace)
        found = held if held is not None else await self.live(NAMESPACES, None, namespace)
        return (found or {}).get("metadata", {}).get("labels") or {}

    def enqueue(self, keys: Iterable[Key], priority: Priority = Priority.FRESH) -> None:
        """Ask for a pass over each of `keys`."""
        for key in keys:
            self.queue.add(key, priority)

    def trust_clock(self) -> bool:
        """Whether the clock agrees with the API server's: else nothing is done because of time."""
        offset = self.client.clock_offset
        return offset is None or abs(offset) <= CLOCK_TOLERANCE

    async def event(
        self, obj: Object, *, warning: bool, reason: str, message: str, action: str
    ) -> None:
        """Post one Event about `obj`; a failure to do so is nobody's failure."""
        self.on_event(reason)
        await events.post(
            self.client,
            obj,
            reason=reason,
            message=message,
            action=action,
            clock=self.clock,
            type_="Warning" if warning else "Normal",
        )

    def _held(self, kind: str, namespace: str, name: str) -> Object | None:
        return self.store.get(kind, namespace, name) if kind in self.store.kinds else None

    def _wake_others(self, kind: str, before: Object | None, after: Object | None) -> None:
        mine = current_key.get()
        keys = keys_to_wake(self.store, self.indices, kind, before, after)
        self.enqueue(key for key in keys if key != mine)

    @staticmethod
    def _watched(resource: Resource, obj: Object) -> bool:
        label = WATCHED_LABEL.get(resource.kind)
        return label is None or label in (obj["metadata"].get("labels") or {})
