"""What an order leaves behind is removed where it can be ours, and answers come from admins' accounts."""

import base64
from typing import Any

import pytest

from certfront.issuance.acme.account_key import AccountKey, new_account_key
from certfront.model.issuer import Issuer
from certfront.model.meta import ObjectName, parse
from certfront.reconcilers.accounts import Accounts, account_secret_name
from certfront.reconcilers.orders import OrderReconciler, token_lookup
from tests.unit.reconcilers.frontend_world import World

SITE = ObjectName("shop", "site")
OPEN, ENDED = "need-2", "need-1"
ISSUER: dict[str, Any] = {
    "apiVersion": "certfront.io/v1alpha1",
    "kind": "Issuer",
    "metadata": {"name": "le", "namespace": "edge", "uid": "i", "resourceVersion": "1"},
    "spec": {"type": "ACME", "acme": {"directoryURL": "https://ca.example/dir"}},
}


@pytest.fixture
def world() -> World:
    return World()


def _secret(
    name: str,
    role: str,
    *,
    namespace: str = "shop",
    attempt: str = ENDED,
    key: bytes = b"k",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"certfront.io/secret": role, **(labels or {})},
            "annotations": {
                "certfront.io/certificate": str(SITE),
                "certfront.io/attempt": attempt,
                **(annotations or {}),
            },
        },
        "type": "Opaque",
        "data": {"tls.key": base64.b64encode(key).decode()},
    }


def _ordering(world: World, **spec: Any) -> None:
    """Certificate shop/site with the attempt `OPEN` and a challenge in status."""
    order = {"id": OPEN, "authorizations": [{"identifier": "a.example", "token": "T"}]}
    world.api.put(
        "Certificate",
        {
            "apiVersion": "certfront.io/v1alpha1",
            "kind": "Certificate",
            "metadata": {"name": "site", "namespace": "shop", "generation": 1},
            "spec": {"type": "ACME", "dnsNames": ["a.example"], **spec},
            "status": {"order": order},
        },
    )


def _taken(world: World, kind: str, body: dict[str, Any]) -> None:
    """Put an object into the cluster and into the store, as its watch event does."""
    world.api.put(kind, body)
    metadata = body["metadata"]
    world.store.upsert(kind, world.api.objects[kind, metadata["namespace"], metadata["name"]])


async def _swept(world: World) -> set[str]:
    """The names of the Secrets that are left after a sweep."""
    await OrderReconciler(world.context, Accounts(world.context)).sweep(SITE)
    return {name for kind, _, name in world.api.objects if kind == "Secret"}


async def test_the_key_of_the_open_attempt_stays_whatever_the_store_says(world: World) -> None:
    """The store may lag: it is the live object that names the open attempt."""
    _ordering(world)
    _taken(world, "Secret", _secret("open", "pending", attempt=OPEN))
    _taken(world, "Secret", _secret("ended", "pending"))
    left = await _swept(world)
    assert "open" in left
    assert "ended" not in left


async def test_everything_goes_with_the_certificate(world: World) -> None:
    _taken(world, "Secret", _secret("pending", "pending"))
    balancer = {"certfront.io/load-balancer": "haproxy"}
    _taken(world, "Secret", _secret("asked", "challenge", namespace="edge", labels=balancer))
    left = await _swept(world)
    assert not {"pending", "asked"} & left


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(_secret("theirs", "pending", namespace="evil"), id="a pending key elsewhere"),
        pytest.param(
            _secret(
                "theirs", "challenge", namespace="evil", labels={"certfront.io/load-balancer": "x"}
            ),
            id="a challenge where no load balancer is",
        ),
    ],
)
async def test_what_others_have_marked_like_ours_is_left_alone(
    world: World, foreign: dict[str, Any]
) -> None:
    _taken(world, "Secret", foreign)
    assert "theirs" in await _swept(world)


async def test_a_token_is_answered_with_the_issuers_account(world: World) -> None:
    key = new_account_key()
    issuer = parse(Issuer, ISSUER)
    assert issuer.spec.acme is not None
    _ordering(world, acme={"issuerRef": {"name": "le", "namespace": "edge"}})
    world.store.upsert("Certificate", world.api.objects["Certificate", "shop", "site"])
    world.store.upsert("Issuer", ISSUER)
    name = account_secret_name(issuer, issuer.spec.acme)
    _taken(world, "Secret", _secret(name, "account", namespace="edge", key=key))
    answer = token_lookup(world.context)
    assert answer("T", "a.example") == f"T.{AccountKey(key).thumbprint}"
    assert answer("U", "a.example") is None


async def test_a_key_that_a_tenant_marked_as_an_account_answers_nothing(world: World) -> None:
    """With its own account's thumbprint a tenant could prove control of everybody's names."""
    _ordering(world, acme={"issuerRef": {"name": "le", "namespace": "edge"}})
    world.store.upsert("Certificate", world.api.objects["Certificate", "shop", "site"])
    world.store.upsert("Issuer", ISSUER)
    marks = {"certfront.io/issuer": "edge/le"}
    planted = _secret("planted", "account", key=new_account_key(), annotations=marks)
    _taken(world, "Secret", planted)
    assert token_lookup(world.context)("T", "a.example") is None
