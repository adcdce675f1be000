"""A watch event goes to the store, and whoever it concerns to the queue; an echo does neither."""

import asyncio
import random
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import kopf
import pytest

from certfront.engine.domains import Domains
from certfront.engine.keys import Key
from certfront.engine.queue import WorkQueue
from certfront.handlers import watches
from certfront.kube.client import Listing, WatchEvent
from certfront.kube.resources import Resource
from certfront.model.clock import FrozenClock
from certfront.model.settings import Settings
from certfront.reconcilers.context import Context
from certfront.reconcilers.stores import OWN_KINDS, new_store, watched

KEY = Key("Certificate", "shop", "site")


def certificate(version: str, uid: str = "u", **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "site", "uid": uid, "resourceVersion": version}
    return {"kind": "Certificate", "metadata": metadata, "spec": {"type": "SelfSigned", **spec}}


@pytest.fixture
def context() -> Context:
    clock = FrozenClock()
    store, indices = new_store(Settings())
    return Context(
        client=None,  # type: ignore[arg-type] # no request is made
        store=store,
        indices=indices,
        queue=WorkQueue(clock, random.Random(1)),  # noqa: S311 -- jitter, not a secret
        clock=clock,
        settings=Settings(),
        domains=Domains(),
        executor=ThreadPoolExecutor(1),
    )


async def _taken(context: Context) -> list[Key]:
    found = []
    while context.queue.depth():
        key = await context.queue.get()
        context.queue.done(key)
        found.append(key)
    return found


@pytest.mark.parametrize("change", [None, "ADDED", "MODIFIED"])
async def test_what_is_new_is_held_and_queued(context: Context, change: str | None) -> None:
    watches.observe(context, "Certificate", change, certificate("1"))
    assert context.store.get("Certificate", "shop", "site") is not None
    assert await _taken(context) == [KEY]


async def test_an_echo_and_what_is_older_queue_nothing(context: Context) -> None:
    watches.observe(context, "Certificate", "ADDED", certificate("5"))
    await _taken(context)
    for version in ("5", "4"):
        watches.observe(context, "Certificate", "MODIFIED", certificate(version))
    assert await _taken(context) == []


@pytest.mark.parametrize(
    ("change", "seen", "echo"),
    [
        ("MODIFIED", certificate("5"), True),
        ("ADDED", certificate("5"), True),
        (None, certificate("5"), False),
        ("MODIFIED", certificate("6"), False),
        ("MODIFIED", certificate("4"), False),
        ("ADDED", certificate("5", uid="another"), False),
        ("DELETED", certificate("5"), False),
    ],
    ids=["change", "start of a watch", "list", "newer", "older", "other object", "deletion"],
)
async def test_only_the_very_state_that_is_held_is_an_echo(
    context: Context, change: str | None, seen: dict[str, Any], echo: bool
) -> None:
    """An older state is none: after a restore of etcd it is the truth."""
    assert not watches.is_echo(context, "Certificate", change, seen)
    watches.observe(context, "Certificate", "ADDED", certificate("5"))
    assert watches.is_echo(context, "Certificate", change, seen) is echo


def test_kopf_sees_no_difference_and_writes_nothing_of_its_own() -> None:
    """Its annotations would hold a copy of a Secret's data, and cost a write per object."""
    storages = watches.settings().persistence
    body, patch = kopf.Body(certificate("5")), kopf.Patch()
    essence = storages.diffbase_storage.build(body=body)
    assert essence == {}
    assert storages.diffbase_storage.fetch(body=body) is None
    storages.diffbase_storage.store(body=body, patch=patch, essence=essence)
    progress = storages.progress_storage
    progress.store(key=kopf.HandlerId("watch"), record={}, body=body, patch=patch)
    progress.touch(body=body, patch=patch, value="now")
    progress.purge(key=kopf.HandlerId("watch"), body=body, patch=patch)
    assert progress.fetch(key=kopf.HandlerId("watch"), body=body) is None
    assert progress.clear(essence=essence) == essence
    assert not patch


async def test_a_deletion_is_taken_unless_it_is_of_an_earlier_object(context: Context) -> None:
    watches.observe(context, "Certificate", "ADDED", certificate("5", uid="new"))
    watches.observe(context, "Certificate", "DELETED", certificate("4", uid="old"))
    assert context.store.get("Certificate", "shop", "site") is not None
    watches.observe(context, "Certificate", "DELETED", certificate("6", uid="new"))
    assert context.store.get("Certificate", "shop", "site") is None
    assert KEY in await _taken(context)


async def test_a_fresh_change_goes_before_the_first_list(context: Context) -> None:
    """Thousands of objects of a start must not hold up what someone has just applied."""
    for number in range(5):
        obj = certificate("1")
        obj["metadata"]["name"] = f"old-{number}"
        watches.observe(context, "Certificate", None, obj)
    watches.observe(context, "Certificate", "ADDED", certificate("9"))
    assert (await _taken(context))[0] == KEY


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, certificate("1"), id="one that was missed"),
        pytest.param(certificate("1"), None, id="a deletion that was missed"),
        pytest.param(certificate("1"), certificate("2"), id="a change that was missed"),
    ],
)
async def test_what_the_sweep_has_put_right_is_queued(
    context: Context, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    watches.repaired(context, KEY, before, after)
    assert await _taken(context) == [KEY]


async def _nothing() -> None:
    pass


def test_only_our_own_kinds_pass_through_kopf_and_by_stateless_hooks(context: Context) -> None:
    """Handlers that detect changes would copy Secrets into annotations."""
    registry = kopf.OperatorRegistry()
    watches.register(registry, context, _nothing)
    watched = {str(handler.selector) for handler in registry._watching.get_all_handlers()}
    assert len(watched) == len(OWN_KINDS)
    assert not any("secrets" in selector for selector in watched)
    for forbidden in (registry._changing, registry._spawning, registry._indexing):
        assert list(forbidden.get_all_handlers()) == []


def test_kopf_posts_nothing_and_knows_no_peers() -> None:
    chosen = watches.settings()
    assert chosen.posting.enabled is False
    assert chosen.peering.standalone is True


class ListedOnly:
    """A client whose watches say nothing; it notes what was asked for."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.asked: list[tuple[str, str | None, str | None]] = []
        self._watches = 0
        self.watching = asyncio.Event()

    async def list(
        self, resource: Resource, namespace: str | None, *, label_selector: str | None
    ) -> Listing:
        self.asked.append((resource.kind, namespace, label_selector))
        return Listing(self.items if resource.kind == "Secret" else [], "9")

    async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[WatchEvent, None]:
        self._watches += 1
        if self._watches == len(self.asked) == 5:
            self.watching.set()
        await asyncio.Event().wait()
        yield "BOOKMARK", {}


async def test_secrets_and_leases_are_followed_by_label_alone_where_they_are_watched(
    context: Context,
) -> None:
    secret = {"metadata": {"namespace": "shop", "name": "site", "uid": "s", "resourceVersion": "3"}}
    client = ListedOnly([secret])
    following = asyncio.create_task(
        watches.follow_foreign(
            replace(context, client=client),  # type: ignore[arg-type]
            watched(Settings(watch_namespaces=("blog", "shop"))),
        )
    )
    async with asyncio.timeout(5):
        await client.watching.wait()
    following.cancel()
    assert context.store.get("Secret", "shop", "site") == secret
    assert sorted(client.asked, key=str) == [
        ("Lease", "blog", "certfront.io/load-balancer"),
        ("Lease", "shop", "certfront.io/load-balancer"),
        ("Namespace", None, None),
        ("Secret", "blog", "certfront.io/secret"),
        ("Secret", "shop", "certfront.io/secret"),
    ]
