"""The client, Leases, Events and the sweep's reads against a real kube-apiserver."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from certfront.kube.client import ApiClient, WatchEvent
from certfront.kube.errors import (
    AlreadyExists,
    Cause,
    Conflict,
    Invalid,
    NotFound,
)
from certfront.kube.events import post
from certfront.kube.leases import HeartbeatLease, LeaderElection
from certfront.kube.resources import CERTIFICATES, EVENTS, LEASES, NAMESPACES, SECRETS
from certfront.kube.source import LiveSource, Watched
from certfront.model.clock import SystemClock
from certfront.model.meta import revision_of
from sandbox.state import State


@pytest.fixture
async def client(cluster: State) -> AsyncIterator[ApiClient]:
    assert cluster.kubeconfigs is not None
    kubeconfig = str(cluster.kubeconfigs.admin)
    async with await ApiClient.from_environment(kubeconfig=kubeconfig) as connected:
        yield connected


def secret(namespace: str, name: str = "tls", **rest: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "labels": {"certfront.io/secret": "pending"}}
    return {"metadata": metadata, "type": "Opaque", "stringData": {"a": "b"}} | rest


def certificate(namespace: str, name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"type": "SelfSigned", "dnsNames": ["web.test"]} | spec,
    }


async def test_objects_are_made_read_changed_and_deleted(client: ApiClient, namespace: str) -> None:
    made = await client.create(SECRETS, secret(namespace))
    read = await client.get(SECRETS, namespace, "tls")
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(AlreadyExists):
        await client.create(SECRETS, secret(namespace))
    changed = await client.update(SECRETS, read | {"stringData": {"a": "c"}})
    with pytest.raises(Conflict):
        await client.update(SECRETS, read | {"stringData": {"a": "d"}})
    with pytest.raises(Conflict):
        await client.delete(
            SECRETS, namespace, "tls", resource_version=made["metadata"]["resourceVersion"]
        )
    with pytest.raises(Conflict):
        await client.delete(SECRETS, namespace, "tls", uid="00000000-0000-0000-0000-000000000000")
    uid, revision = changed["metadata"]["uid"], changed["metadata"]["resourceVersion"]
    await client.delete(SECRETS, namespace, "tls", uid=uid, resource_version=revision)
    with pytest.raises(NotFound):
        await client.get(SECRETS, namespace, "tls")


async def test_a_cluster_scoped_object_is_read(client: ApiClient, namespace: str) -> None:
    assert (await client.get(NAMESPACES, None, namespace))["metadata"]["name"] == namespace


async def test_an_apply_with_revision_one_only_creates(client: ApiClient, namespace: str) -> None:
    body: dict[str, Any] = {
        "metadata": {"namespace": namespace, "name": "tls", "resourceVersion": "1"},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "YQ==", "tls.key": "Yg=="},
    }
    made = await client.apply(SECRETS, body, force=False)
    for _ in range(2):
        with pytest.raises(Conflict) as refused:
            await client.apply(SECRETS, body, force=False)
        assert refused.value.causes == ()
    # A later write carries what it was decided on.
    body["metadata"] |= {
        "resourceVersion": made["metadata"]["resourceVersion"],
        "uid": made["metadata"]["uid"],
    }
    await client.apply(SECRETS, body | {"data": {"tls.crt": "Yw==", "tls.key": "ZA=="}}, force=True)
    with pytest.raises(Conflict):
        await client.apply(SECRETS, body, force=True)


async def test_an_apply_names_the_fields_that_others_own(client: ApiClient, namespace: str) -> None:
    body = {
        "metadata": {"namespace": namespace, "name": "tls"},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "YQ==", "tls.key": "Yg=="},
    }
    # What was not applied, but written, belongs to another manager even under the same name.
    await client.create(SECRETS, body)
    with pytest.raises(Conflict) as refused:
        await client.apply(
            SECRETS, body | {"data": {"tls.crt": "Yw==", "tls.key": "Yg=="}}, force=False
        )
    assert refused.value.causes == (Cause("FieldManagerConflict", ".data.tls.crt"),)


async def test_a_status_is_written_whole_and_compared(client: ApiClient, namespace: str) -> None:
    made = await client.create(CERTIFICATES, certificate(namespace))

    async def write(held: dict[str, Any], status: dict[str, Any], **changed: str) -> dict[str, Any]:
        decided_on = {
            "uid": held["metadata"]["uid"],
            "resource_version": held["metadata"]["resourceVersion"],
        }
        return await client.patch_status(
            CERTIFICATES,
            namespace,
            "web",
            status=status,
            previous=held.get("status", {}),
            **(decided_on | changed),
        )

    first = await write(
        made, {"observedGeneration": 1, "commonName": "web.test", "domains": ["web.test"]}
    )
    second = await write(first, {"observedGeneration": 1, "domains": ["a.test"]})
    assert second["status"] == {"observedGeneration": 1, "domains": ["a.test"]}
    with pytest.raises(Conflict):
        await write(first, {"observedGeneration": 1})
    with pytest.raises(Conflict):
        await write(second, {"observedGeneration": 2}, uid="another")
    third = await client.get(CERTIFICATES, namespace, "web")
    # Nothing differs: the revision stays, and so no event wakes anyone.
    fourth = await write(third, third["status"])
    assert fourth["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]


async def test_finalizers_are_patched_with_comparison(client: ApiClient, namespace: str) -> None:
    made = await client.create(CERTIFICATES, certificate(namespace))
    held = made["metadata"]
    patched = await client.patch_finalizers(
        CERTIFICATES,
        namespace,
        "web",
        uid=held["uid"],
        resource_version=held["resourceVersion"],
        finalizers=["certfront.io/installed"],
    )
    assert patched["metadata"]["finalizers"] == ["certfront.io/installed"]
    with pytest.raises(Conflict):
        await client.patch_finalizers(
            CERTIFICATES,
            namespace,
            "web",
            uid=held["uid"],
            resource_version=held["resourceVersion"],
            finalizers=[],
        )
    held = patched["metadata"]
    await client.patch_finalizers(
        CERTIFICATES,
        namespace,
        "web",
        uid=held["uid"],
        resource_version=held["resourceVersion"],
        finalizers=[],
    )
    metadata = (await client.get(CERTIFICATES, namespace, "web"))["metadata"]
    assert "finalizers" not in metadata


async def test_a_refused_object_is_invalid_and_its_value_is_not_repeated(
    client: ApiClient, namespace: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await client.create(CERTIFICATES, certificate(namespace, type="CANARY"))
    assert "CANARY" not in f"{refused.value!r}"
    assert "spec.type" in refused.value.message


async def test_lists_have_pages_metadata_and_selectors(client: ApiClient, namespace: str) -> None:
    for number in range(7):
        await client.create(SECRETS, secret(namespace, f"s{number}"))
    whole = await client.list(SECRETS, namespace, page_size=2)
    names = [item["metadata"]["name"] for item in whole.items]
    assert names == [f"s{number}" for number in range(7)]
    assert revision_of({"metadata": {"resourceVersion": whole.resource_version}}) >= max(
        map(revision_of, whole.items)
    )
    other = secret(namespace, "other")
    other["metadata"]["labels"] = {"certfront.io/secret": "other"}
    await client.create(SECRETS, other)
    some = await client.list(
        SECRETS,
        namespace,
        label_selector="certfront.io/secret=other",
        metadata_only=True,
    )
    (item,) = some.items
    assert item.keys() == {"apiVersion", "kind", "metadata"}
    assert (item["kind"], item["metadata"]["name"]) == ("Secret", "other")


async def test_a_watch_goes_on_from_a_list(client: ApiClient, namespace: str) -> None:
    await client.create(SECRETS, secret(namespace, "before"))
    listing = await client.list(SECRETS, namespace, label_selector="certfront.io/secret")
    made = await client.create(SECRETS, secret(namespace, "after"))
    await client.create(SECRETS, secret(namespace, "other") | {"metadata": unlabelled(namespace)})
    await client.update(SECRETS, made | {"stringData": {"a": "c"}})
    await client.delete(SECRETS, namespace, "after")
    seen: list[tuple[str, str]] = []
    watch = client.watch(
        SECRETS,
        namespace,
        label_selector="certfront.io/secret",
        resource_version=listing.resource_version,
    )
    async with aclosing(watch):
        async for kind, obj in watch:
            if kind == "BOOKMARK":
                continue
            assert (obj["apiVersion"], obj["kind"]) == ("v1", "Secret")
            seen.append((kind, obj["metadata"]["name"]))
            if kind == "DELETED":
                break
    assert seen == [("ADDED", "after"), ("MODIFIED", "after"), ("DELETED", "after")]


def unlabelled(namespace: str) -> dict[str, Any]:
    return {"namespace": namespace, "name": "other"}


async def test_bookmarks_move_a_quiet_watch_on(
    client: ApiClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an agent's watermark rests on: the revision advances though nothing happens here."""
    # The server sends one every minute and mostly one before it ends a watch: a short one, then.
    monkeypatch.setattr("certfront.kube.client._WATCH_LENGTH", (8, 8))
    listing = await client.list(SECRETS, namespace)
    await client.create(SECRETS, secret("default", f"far-from-{namespace}"))
    try:
        async with asyncio.timeout(90):
            revision = int(listing.resource_version)
            while revision == int(listing.resource_version):
                revision = await first_bookmark(client, namespace, revision)
    finally:
        await client.delete(SECRETS, "default", f"far-from-{namespace}")
    assert revision > int(listing.resource_version)


async def first_bookmark(client: ApiClient, namespace: str, revision: int) -> int:
    watch = client.watch(SECRETS, namespace, resource_version=str(revision))
    # Closed here: left to the garbage collector, its connection would outlive the test.
    async with aclosing(watch):
        async for kind, obj in watch:
            assert kind == "BOOKMARK"
            return revision_of(obj)
    return revision


async def test_a_watch_from_a_revision_that_is_not_yet_is_deaf(
    client: ApiClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restore of etcd a watch that is resumed says nothing, not even that it is wrong.

    So whoever watches lists again after a silence and compares the revisions.
    """
    monkeypatch.setattr("certfront.kube.client._WATCH_LENGTH", (3, 3))
    watch = client.watch(SECRETS, namespace, resource_version="99999999")
    heard = asyncio.create_task(collect(watch))
    await client.create(SECRETS, secret(namespace))
    assert await heard == []


async def collect(watch: AsyncIterator[WatchEvent]) -> list[WatchEvent]:
    return [event async for event in watch]


async def test_the_clocks_of_one_machine_agree(client: ApiClient) -> None:
    with pytest.raises(NotFound):
        await client.get(SECRETS, "default", "none")
    assert client.clock_offset is not None
    assert abs(client.clock_offset.total_seconds()) < 300


async def test_an_event_is_kept_once(client: ApiClient, namespace: str) -> None:
    made = await client.create(CERTIFICATES, certificate(namespace))
    for _ in range(2):
        await post(
            client,
            made,
            reason="Renewed",
            message="renewed until May",
            action="renewCertificate",
            clock=SystemClock(),
        )
    listing = await client.list(EVENTS, namespace)
    (event,) = [item for item in listing.items if item["reason"] == "Renewed"]
    assert event["regarding"]["name"] == "web"


async def test_a_lease_is_handed_over(client: ApiClient, namespace: str) -> None:
    lost: list[str] = []

    def elector(name: str) -> LeaderElection:
        return LeaderElection(
            client,
            SystemClock(),
            namespace=namespace,
            name="operator",
            identity=name,
            on_lost=lambda: lost.append(name),
            duration=1.0,
            renew_deadline=0.7,
            retry=0.1,
        )

    first, second, third = elector("first"), elector("second"), elector("third")
    running = {
        name: asyncio.create_task(each.run())
        for name, each in (("first", first), ("second", second), ("third", third))
        if name == "first"
    }
    async with asyncio.timeout(30):
        await first.wait_leading()
        running["second"] = asyncio.create_task(second.run())
        # A crash: no release, so the second waits for the end of the Lease.
        running["first"].cancel()
        await second.wait_leading()
        running["third"] = asyncio.create_task(third.run())
        running["second"].cancel()
        await asyncio.gather(running["second"], return_exceptions=True)
        await second.release()
        await third.wait_leading()
        lease = await client.get(LEASES, namespace, "operator")
        assert lease["spec"]["holderIdentity"] == "third"
        # Someone deletes the Lease: it is made again, and no one is thrown out.
        await client.delete(LEASES, namespace, "operator")
        while (await holder(client, namespace)) != "third":  # noqa: ASYNC110 - at the server
            await asyncio.sleep(0.05)
    running["third"].cancel()
    await asyncio.gather(*running.values(), return_exceptions=True)
    assert lost == []


async def holder(client: ApiClient, namespace: str) -> str:
    try:
        lease = await client.get(LEASES, namespace, "operator")
    except NotFound:
        return ""
    return str(lease["spec"]["holderIdentity"])


async def test_a_heartbeat_carries_the_report(client: ApiClient, namespace: str) -> None:
    lease = HeartbeatLease(
        client,
        SystemClock(),
        namespace=namespace,
        name="haproxy.node-1",
        identity="node-1",
        interval=0.2,
        spacing=0.05,
    )
    lease.report({"certfront.io/watermark": "1"})
    beating = asyncio.create_task(lease.run())
    async with asyncio.timeout(30):
        while lease.written_at is None:  # noqa: ASYNC110 - at the server
            await asyncio.sleep(0.02)
        lease.report({"certfront.io/watermark": "2"})
        while (await watermark(client, namespace)) != "2":  # noqa: ASYNC110 - at the server
            await asyncio.sleep(0.02)
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    await lease.stop()
    with pytest.raises(NotFound):
        await client.get(LEASES, namespace, "haproxy.node-1")


async def watermark(client: ApiClient, namespace: str) -> str:
    lease = await client.get(LEASES, namespace, "haproxy.node-1")
    return str(lease["metadata"]["annotations"]["certfront.io/watermark"])


async def test_the_sweeps_source_reads_what_is_watched(client: ApiClient, namespace: str) -> None:
    await client.create(SECRETS, secret(namespace))
    await client.create(SECRETS, secret(namespace) | {"metadata": unlabelled(namespace)})
    watched = Watched(
        resource=SECRETS, namespaces=(namespace,), label_selector="certfront.io/secret"
    )
    source = LiveSource(client, {"Secret": watched})
    listing = await source.list_metadata("Secret")
    assert [item["metadata"]["name"] for item in listing.items] == ["tls"]
    assert await source.get("Secret", namespace, "absent") is None
    live = await source.get("Secret", namespace, "tls")
    assert live is not None
    assert live["data"] == {"a": "Yg=="}
