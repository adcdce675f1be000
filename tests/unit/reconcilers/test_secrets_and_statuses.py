"""Every write carries what it was decided on, and what has not changed is not written."""

from typing import Any

import pytest

from certfront.kube.errors import Conflict
from certfront.kube.resources import CERTIFICATES
from certfront.model.certificate import CertificateStatus
from certfront.model.conditions import Condition
from certfront.reconcilers import secrets, statuses
from tests.unit.reconcilers.frontend_world import World

BODY: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "type": "kubernetes.io/tls",
    "metadata": {
        "name": "site",
        "namespace": "shop",
        "labels": {"certfront.io/secret": "certificate"},
    },
    "data": {"tls.crt": "YQ==", "tls.key": "Yg=="},
}


@pytest.fixture
def world() -> World:
    return World()


async def test_a_secret_is_created_only_where_there_is_none(world: World) -> None:
    made = await secrets.create(world.context, BODY)
    assert world.store.get("Secret", "shop", "site") is not None, "its echo is known"
    with pytest.raises(Conflict):
        await secrets.create(world.context, BODY)
    assert made["metadata"]["resourceVersion"] != "1"


@pytest.mark.parametrize(
    "stale",
    [
        pytest.param({"uid": "another"}, id="another object"),
        pytest.param({"resource_version": "1"}, id="an older version"),
    ],
)
async def test_a_secret_that_has_changed_is_not_written_over(
    world: World, stale: dict[str, str]
) -> None:
    metadata = (await secrets.create(world.context, BODY))["metadata"]
    seen = {"uid": metadata["uid"], "resource_version": metadata["resourceVersion"]}
    changed = {**BODY, "data": {"tls.crt": "Yw==", "tls.key": "Yg=="}}
    with pytest.raises(Conflict):
        await secrets.update(world.context, changed, **{**seen, **stale})
    after = await secrets.update(world.context, changed, **seen)
    assert after["data"]["tls.crt"] == "Yw=="


async def test_what_is_deleted_is_what_was_read(world: World) -> None:
    read = await secrets.create(world.context, BODY)
    world.api.put("Secret", {**read, "data": {"tls.crt": "ZA=="}})
    with pytest.raises(Conflict):
        await secrets.delete(world.context, read)
    await secrets.delete(world.context, world.api.objects["Secret", "shop", "site"])
    assert ("Secret", "shop", "site") not in world.api.objects
    await secrets.delete(world.context, read)  # one that is gone is as good


async def test_a_status_is_written_once_and_only_where_it_differs(world: World) -> None:
    world.certificate("site", names=["a.example"])
    status = CertificateStatus(
        observed_generation=1,
        conditions=(Condition(type="Ready", status="True", reason="Issued"),),
        domains=("a.example",),
    )
    obj = world.api.objects["Certificate", "shop", "site"]
    assert await statuses.write(world.context, CERTIFICATES, obj, status)
    written = world.api.objects["Certificate", "shop", "site"]
    assert written["status"]["domains"] == ["a.example"]
    assert "failedAttempts" not in written["status"], "defaults are left out"
    assert not await statuses.write(world.context, CERTIFICATES, written, status)
    assert world.store.get("Certificate", "shop", "site") == written
    with pytest.raises(Conflict):
        await statuses.write(world.context, CERTIFICATES, obj, CertificateStatus())


async def test_a_status_is_never_without_its_generation(world: World) -> None:
    """Also where it is the default, which is left out of what is written otherwise."""
    world.certificate("site", names=["a.example"])
    obj = world.api.objects["Certificate", "shop", "site"]
    await statuses.write(world.context, CERTIFICATES, obj, CertificateStatus())
    assert world.api.objects["Certificate", "shop", "site"]["status"] == {"observedGeneration": -1}
