"""From manifests to a provider's API and back into status, through the reconcilers and one target."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from certfront.engine.keys import Key
from certfront.loadbalancers import reasons, registry
from certfront.loadbalancers.errors import Denied, NotYet, Refused, Throttled, Unavailable
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.reconcilers.installations import algorithm_taken
from tests.unit.reconcilers.remote_world import BALANCER, RemoteWorld, issued
from tests.unit.reconcilers.shelf import CAPABILITIES


async def test_a_certificate_is_uploaded_bound_and_told_in_one_status(world: RemoteWorld) -> None:
    issued(world)
    key = world.remote_frontend()

    await world.work()

    assert [one.partition(" ")[0] for one in world.shelf.calls] == ["observe", "upload", "bind"]
    assert world.condition(key, "Ready") == ("True", "Served")
    assert world.condition(key, "Served") == ("Unknown", "NothingToProbe")
    status = world.status(key)
    assert status["task"]["status"] == "done"
    assert status["installed"][0]["providerID"] in world.shelf.certificates
    assert world.writes_of("status LoadBalancerFrontend") == ["status LoadBalancerFrontend shop"]
    assert world.condition(BALANCER, "Ready") == ("True", "Available")


async def test_at_rest_and_after_a_restart_nothing_is_written_or_changed(
    world: RemoteWorld,
) -> None:
    issued(world)
    world.remote_frontend()
    await world.work()
    await world.work(30)
    world.api.writes.clear()
    world.shelf.calls.clear()

    await world.begin_again()
    await world.work()
    await world.work(60)

    assert world.api.writes == []
    assert world.shelf.calls == ["observe"]


async def test_a_rotation_switches_first_and_removes_the_old_a_minute_later(
    world: RemoteWorld,
) -> None:
    first = issued(world)
    key = world.remote_frontend()
    await world.work()
    old = next(iter(world.shelf.certificates))

    renewed = issued(world)
    await world.work()

    assert old in world.shelf.certificates
    assert old not in world.shelf.ports[443]
    assert world.condition(key, "Ready") == ("True", "Served")
    for _ in range(30):
        await world.work(3)
    assert list(world.shelf.certificates.values()) != []
    assert old not in world.shelf.certificates
    assert first is not renewed
    assert len(world.shelf.certificates) == 1


async def test_behind_our_back_what_was_removed_is_put_back_within_ten_minutes(
    world: RemoteWorld,
) -> None:
    issued(world)
    key = world.remote_frontend()
    await world.work()
    world.shelf.ports.clear()

    for _ in range(70):
        await world.work(10)

    assert 443 in world.shelf.ports
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_refused_upload_holds_no_other_frontend(world: RemoteWorld) -> None:
    issued(world)
    issued(world, "other", "other.example.com")
    world.shelf.fail("upload", Refused(reasons.REFUSED_BY_PROVIDER, "Too odd.", stalled=True))
    first, second = world.remote_frontend(), world.remote_frontend("other", port=8443)

    await world.work()
    await world.work(2)

    told = {world.condition(first, "Ready"), world.condition(second, "Ready")}
    assert told == {("True", "Served"), ("False", "RefusedByProvider")}
    for _ in range(20):
        await world.work(2)
    assert world.condition(first, "Ready") == world.condition(second, "Ready") == ("True", "Served")


async def test_wrong_credentials_are_told_and_corrected_ones_taken_at_once(
    world: RemoteWorld,
) -> None:
    issued(world)
    key = world.remote_frontend()
    refused = Denied(reasons.CREDENTIALS_REFUSED, "The key is not known.")
    world.shelf.fail("observe", refused)
    await world.work()
    await world.work(3)
    assert world.condition(BALANCER, "Ready") == ("False", "CredentialsRefused")
    assert world.condition(key, "Ready")[0] == "False"

    world.credentials("corrected")
    await world.work()
    await world.work(2)

    assert world.condition(BALANCER, "Ready") == ("True", "Available")
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_missing_secret_or_key_is_named(world: RemoteWorld) -> None:
    world.delete("Secret", "shop", "ovh-api")
    await world.work()
    assert world.condition(BALANCER, "Ready") == ("False", "CredentialsNotFound")
    assert "ovh-api" in world.message(BALANCER)
    assert world.shelf.calls == []


async def test_a_provider_that_is_down_for_an_hour_costs_no_served_frontend(
    world: RemoteWorld,
) -> None:
    issued(world)
    key = world.remote_frontend()
    await world.work()
    down = Unavailable(reasons.PROVIDER_UNAVAILABLE, "No answer.")
    world.shelf.fail("observe", *[down] * 40)
    world.api.writes.clear()

    for _ in range(130):
        await world.work(30)
    await world.begin_again()
    await world.work()

    assert world.condition(key, "Ready") == ("True", "Served")
    assert world.writes_of("status LoadBalancerFrontend") == []


async def test_a_lost_answer_is_observed_and_not_repeated(world: RemoteWorld) -> None:
    issued(world)
    key = world.remote_frontend()

    world.shelf.fail("upload", Unavailable(reasons.PROVIDER_UNAVAILABLE, "It broke off."))
    await world.work()
    # The service did it all the same.
    name = next(one for one in world.shelf.calls if one.startswith("upload")).partition(" ")[2]
    world.shelf.certificates[name] = "done"
    await world.work(5)
    await world.work(2)

    assert [one for one in world.shelf.calls if one.startswith("upload")] == [f"upload {name}"]
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_pause_that_the_provider_asks_for_is_kept(world: RemoteWorld) -> None:
    issued(world)
    world.remote_frontend()
    world.shelf.fail(
        "upload", Throttled(reasons.RATE_LIMITED, "The provider asks for a pause.", retry_after=40)
    )
    await world.work()
    before = len(world.shelf.calls)
    await world.work(39)
    assert len(world.shelf.calls) == before
    await world.work(2)
    assert world.shelf.ports


async def test_a_deleted_frontend_is_taken_off_with_what_only_it_had(world: RemoteWorld) -> None:
    issued(world)
    key = world.remote_frontend()
    await world.work()

    world.delete(*key)
    for _ in range(5):
        await world.work(2)

    assert world.shelf.ports == {}
    assert world.shelf.certificates == {}
    assert tuple(key) not in world.api.objects


async def test_a_deleted_load_balancer_takes_everything_off_first(world: RemoteWorld) -> None:
    issued(world)
    key = world.remote_frontend()
    await world.work()

    world.delete(*BALANCER)
    for _ in range(10):
        await world.work(3)

    assert world.shelf.certificates == {}
    assert tuple(BALANCER) not in world.api.objects
    assert world.condition(key, "Accepted") == ("False", "LoadBalancerNotFound")


async def test_nothing_is_removed_while_a_frontend_is_unknown(world: RemoteWorld) -> None:
    """A frontend that a live list shows and the store does not hold may want what looks unused."""
    issued(world)
    world.remote_frontend()
    await world.work()
    old = next(iter(world.shelf.certificates))
    hidden = world.api.put(
        "LoadBalancerFrontend",
        {
            "apiVersion": "certfront.io/v1alpha1",
            "kind": "LoadBalancerFrontend",
            "metadata": {"namespace": "shop", "name": "hidden"},
            "spec": {"loadBalancerRef": {"name": "elsewhere"}},
        },
    )
    world.store.remove("LoadBalancerFrontend", "shop", "hidden", hidden["metadata"]["uid"])
    world.woken.clear()

    issued(world)
    for _ in range(60):
        await world.work(3)

    assert old in world.shelf.certificates


async def test_a_claim_is_in_the_status_before_the_certificate_is_made(world: RemoteWorld) -> None:
    world.shelf.claims = True
    issued(world)
    key = world.remote_frontend()
    seen: list[Any] = []
    called = world.shelf.called

    def watching(call: str) -> None:
        if call.startswith("upload"):
            seen.extend(world.status(key).get("installed", ()))
        called(call)

    world.shelf.called = watching  # type: ignore[method-assign]
    await world.work()

    assert len(seen) == 1
    assert "providerID" not in seen[0]
    assert world.status(key)["installed"][0]["providerID"]


async def test_a_second_load_balancer_for_the_same_service_is_refused(world: RemoteWorld) -> None:
    await world.work()
    world.clock.advance(60)
    world.service_balancer("again")
    await world.work()

    again = Key("LoadBalancer", "shop", "again")
    assert world.condition(again, "Ready") == ("False", "DuplicateTarget")
    assert world.condition(BALANCER, "Ready") == ("True", "Available")


async def test_served_waits_for_a_handshake_where_there_is_an_address(
    world: RemoteWorld, shown: list[str]
) -> None:
    world.service_balancer(probeAddress="192.0.2.10")
    made = issued(world)
    key = world.remote_frontend()
    from certfront.pki import facts

    fingerprint = facts.read(made.leaf, 1).fingerprint
    shown[:] = ["", "00", fingerprint]

    await world.work()
    await world.work(2)
    assert world.condition(key, "Served") == ("False", "WaitingForHandshake")
    assert "192.0.2.10:443" in world.message(key, "Served")

    for _ in range(5):
        await world.work(2)
    assert world.condition(key, "Served") == ("True", "Served")
    assert world.status(key)["installed"][0]["verified"] is True


async def test_the_old_one_stays_while_no_handshake_shows_the_new_one(
    world: RemoteWorld, shown: list[str]
) -> None:
    """NeverUncovered: what replaces it has to be seen before the old one goes."""
    from certfront.pki import facts

    world.service_balancer(probeAddress="192.0.2.10")
    first = issued(world)
    shown[:] = [facts.read(first.leaf, 1).fingerprint]
    world.remote_frontend()
    await world.work()
    old = next(iter(world.shelf.certificates))

    second = issued(world)
    for _ in range(40):
        await world.work(5)
    assert old in world.shelf.certificates

    shown[:] = [facts.read(second.leaf, 1).fingerprint]
    for _ in range(20):
        await world.work(5)
    assert old not in world.shelf.certificates


async def test_in_use_is_asked_again_later(world: RemoteWorld) -> None:
    issued(world)
    world.remote_frontend()
    await world.work()
    old = next(iter(world.shelf.certificates))
    world.shelf.fail("remove", NotYet(reasons.IN_USE, "It is in use.", retry_after=20))
    issued(world)
    for _ in range(50):
        await world.work(3)
    assert old not in world.shelf.certificates
    assert len([one for one in world.shelf.calls if one.startswith("remove")]) == 2


async def test_a_key_that_names_no_algorithm_is_rsa_where_the_balancer_takes_no_other(
    world: RemoteWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rackspace takes RSA only, whichever of the two objects comes first."""
    only_rsa = replace(CAPABILITIES, key_types=(KeyAlgorithm.RSA,))
    monkeypatch.setitem(registry.CAPABILITIES, "OVH", only_rsa)  # type: ignore[arg-type]
    world.certificate(names=["shop.example.com"])
    name = ObjectName("shop", "shop")
    assert algorithm_taken(world.context, name) is KeyAlgorithm.ECDSA

    world.woken.clear()
    world.remote_frontend()

    assert Key("Certificate", "shop", "shop") in world.woken
    assert algorithm_taken(world.context, name) is KeyAlgorithm.RSA


async def test_a_key_of_a_type_that_is_not_taken_is_told_and_installed_nowhere(
    world: RemoteWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_rsa = replace(CAPABILITIES, key_types=(KeyAlgorithm.RSA,))
    monkeypatch.setitem(registry.CAPABILITIES, "OVH", only_rsa)  # type: ignore[arg-type]
    issued(world)
    key = world.remote_frontend()
    await world.work()
    assert world.condition(key, "ResolvedRefs") == ("False", "KeyTypeUnsupported")
    assert world.shelf.certificates == {}


async def test_a_release_that_a_silent_provider_holds_up_is_given_up_and_told(
    world: RemoteWorld,
) -> None:
    """Each release is bounded in time, and what was left behind is listed."""
    issued(world)
    key = world.remote_frontend()
    await world.work()
    name = next(iter(world.shelf.certificates))
    world.shelf.fail("close", *[Unavailable(reasons.PROVIDER_UNAVAILABLE, "No answer.")] * 50)
    world.delete(*key)

    for _ in range(40):
        await world.work(5)

    assert tuple(key) not in world.api.objects
    assert "LeftAtProvider" in world.events
    assert name in world.shelf.certificates


async def test_an_orphaned_frontend_leaves_everything_as_it_is(world: RemoteWorld) -> None:
    """Written down in the LoadBalancer's status, so that a restart does not clean it up."""
    issued(world)
    key = world.remote_frontend(deletionPolicy="Orphan")
    await world.work()
    world.delete(*key)
    for _ in range(5):
        await world.work(5)
    assert tuple(key) not in world.api.objects
    assert world.status(BALANCER)["orphaned"] == ["shop/shop"]

    await world.begin_again()
    for _ in range(30):
        await world.work(5)

    assert world.shelf.ports
    assert world.shelf.certificates


async def test_a_frontend_that_is_there_again_owns_what_was_orphaned(world: RemoteWorld) -> None:
    issued(world)
    key = world.remote_frontend(deletionPolicy="Orphan")
    await world.work()
    world.delete(*key)
    for _ in range(5):
        await world.work(5)

    key = world.remote_frontend()
    await world.work()
    await world.work(5)
    assert "orphaned" not in world.status(BALANCER)
    assert world.condition(key, "Ready") == ("True", "Served")

    world.delete(*key)
    for _ in range(5):
        await world.work(5)
    assert world.shelf.ports == {}
