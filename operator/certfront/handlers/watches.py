"""Where news comes in: what a watch says goes to the store, who is concerned to the queue.

kopf watches our own kinds, with one stateless handler each: handlers that detect changes would write
annotations. The kinds of others, Secrets above all, only fill the store and never pass through kopf.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import kopf
import msgspec

from certfront.engine.keys import Key
from certfront.engine.queue import Priority
from certfront.engine.store import Object, key_of, trim_metadata
from certfront.handlers.stateless import NoDiffBase, NoProgress
from certfront.kube.following import follow
from certfront.kube.resources import Resource
from certfront.kube.source import Watched
from certfront.reconcilers.context import Context
from certfront.reconcilers.stores import OWN_KINDS, RESOURCES
from certfront.reconcilers.wakeups import keys_to_wake

_log: Final = logging.getLogger(__name__)
SERVER_TIMEOUT_SECONDS = 300
CONNECT_TIMEOUT_SECONDS = 30


def register(
    registry: kopf.OperatorRegistry, context: Context, stop: Callable[[], Awaitable[None]]
) -> None:
    """Register log-in, one event handler per watched kind, and `stop` for the end, in `registry`.

    `stop` runs while kopf shuts down, because kopf cancels every task that is left after that.
    """
    kopf.on.login(registry=registry, id="service-account")(_login_with_service_account)
    kopf.on.login(registry=registry, id="kubeconfig")(_login_with_kubeconfig)
    for kind in OWN_KINDS:
        _watch(registry, context, RESOURCES[kind])

    @kopf.on.cleanup(registry=registry, id="stop")
    async def stopping(**_: Any) -> None:
        await stop()


def settings() -> kopf.OperatorSettings:
    """kopf without posting, peering and scanning; watches that end and begin again on their own."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.persistence.diffbase_storage = NoDiffBase()
    chosen.persistence.progress_storage = NoProgress()
    chosen.watching.server_timeout = SERVER_TIMEOUT_SECONDS
    chosen.watching.client_timeout = SERVER_TIMEOUT_SECONDS + 10
    chosen.watching.connect_timeout = CONNECT_TIMEOUT_SECONDS
    chosen.watching.chunk_size = 500
    chosen.queueing.idle_timeout = 0.2
    return chosen


async def follow_foreign(context: Context, watched: Mapping[str, Watched]) -> None:
    """Follow the kinds that are not our own, as `watched` says, for ever."""
    async with asyncio.TaskGroup() as group:
        for kind, each in watched.items():
            if kind not in OWN_KINDS:
                for namespace in each.namespaces or (None,):
                    group.create_task(_follow(context, kind, each, namespace))


async def _follow(context: Context, kind: str, watched: Watched, namespace: str | None) -> None:
    objects = follow(context.client, watched.resource, namespace, watched.label_selector)
    async for change, obj in objects:
        try:
            observe(context, kind, change, obj)
        except Exception:  # noqa: BLE001 - tenants write these objects: none may end the operator
            _log.exception("an object of kind %s is left out", kind)
        if change is None:
            # A list of thousands must not hold up everything else.
            await asyncio.sleep(0)


def observe(context: Context, kind: str, event_type: str | None, obj: Object) -> None:
    """Take one watch event: the store learns it, and whoever it concerns is queued.

    The echo of our own write is known already and queues nothing. Objects of the first list
    (`event_type` None) wait behind fresh changes.
    """
    if is_echo(context, kind, event_type, obj):
        return
    key = key_of(kind, obj)
    before = context.store.find(key)
    if event_type == "DELETED":
        context.store.remove(kind, key.namespace, key.name, obj["metadata"].get("uid"))
    elif not context.store.upsert(kind, obj):
        return
    after = context.store.find(key)
    priority = Priority.INITIAL if event_type is None else Priority.FRESH
    context.enqueue(keys_to_wake(context.store, context.indices, kind, before, after), priority)


def is_echo(context: Context, kind: str, event_type: str | None, obj: Object) -> bool:
    """Whether the store has this very state already, mostly from the answer to a write of our own."""
    if event_type in (None, "DELETED"):
        # After a restore the same revision may be another state: what is listed is compared whole.
        return False
    held = context.store.find(key_of(kind, obj))
    return held is not None and _incarnation(held) == _incarnation(obj)


def repaired(context: Context, key: Key, before: Object | None, after: Object | None) -> None:
    """Take what the sweep has put right: the object and whoever refers to it are queued."""
    concerned = keys_to_wake(context.store, context.indices, key.kind, before, after)
    context.enqueue(concerned, Priority.DEFERRED)


def _compact(obj: Object) -> Object:
    """The same object in two thirds of the memory: msgspec lets all objects share their keys."""
    compact: Object = msgspec.json.decode(msgspec.json.encode(trim_metadata(obj)))
    return compact


def _incarnation(obj: Object) -> tuple[str | None, str | None]:
    metadata = obj["metadata"]
    return metadata.get("uid"), metadata.get("resourceVersion")


def _watch(registry: kopf.OperatorRegistry, context: Context, resource: Resource) -> None:
    def is_news(event: kopf.RawEvent, **_: Any) -> bool:
        # Every other event is an echo: here it costs a third less than in the handler.
        return not is_echo(context, resource.kind, event["type"], dict(event["object"]))

    @kopf.on.event(
        resource.group,
        resource.version,
        resource.plural,
        registry=registry,
        id=f"watch-{resource.plural}",
        when=is_news,
    )
    async def watched(event: kopf.RawEvent, **_: Any) -> None:
        observe(context, resource.kind, event["type"], _compact(dict(event["object"])))


async def _login_with_service_account(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs)


async def _login_with_kubeconfig(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**kwargs)
