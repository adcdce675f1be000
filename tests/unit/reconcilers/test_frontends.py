"""What one pass over a frontend does, seen from outside: Secrets, statuses, writes."""

import base64
import copy
from datetime import timedelta

import pytest

from certfront.engine.keys import Key
from certfront.kube.errors import Conflict
from certfront.loadbalancers.haproxy.checks import check
from certfront.loadbalancers.haproxy.watermark import Failed
from certfront.loadbalancers.materials import Verdict, verdict_on
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki import keys
from certfront.pki.issue import self_signed
from certfront.pki.pair import KeyPair
from certfront.pki.request import Request
from certfront.reconcilers.frontends import FrontendReconciler, uploads
from certfront.reconcilers.frontends.handover import manifest_name
from tests.unit.reconcilers.frontend_world import EDGE, START, World


def pair(
    *names: str,
    days: int = 90,
    algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA,
    issued: timedelta = timedelta(),
) -> KeyPair:
    request = Request(dns_names=names, duration=timedelta(days=days))
    key = keys.generate(algorithm, None)
    return self_signed(request, key, now=START + issued, object_name="test")


@pytest.fixture
def world() -> World:
    return World()


async def test_a_certificate_and_a_frontend_are_served_after_two_passes_and_one_report(
    world: World,
) -> None:
    world.node()
    world.certificate(names=["shop.example.com"])
    world.secret(pair("shop.example.com"))
    key = world.frontend(farms="own", httpsOnly=True)

    await world.settle(key)

    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.hostnames == ("shop.example.com",)
    assert manifest.http_port == 80
    assert manifest.https_only == 308
    assert [c.hostnames for c in manifest.certificates] == [("shop.example.com",)]
    assert len(world.bundles()) == 1
    assert world.condition(key, "Ready") == ("True", "Served")
    assert world.condition(key, "Served") == ("True", "Served")
    assert world.condition(key, "Progressing") == ("", "")
    status = world.status(key)
    assert status["loadBalancer"] == "edge/haproxy"
    assert status["certificate"] == "shop"
    assert status["task"]["status"] == "done"
    assert status["installed"][0]["verified"] is True
    assert [w for w in world.api.writes if w.startswith("status")] == [
        "status LoadBalancerFrontend shop"
    ]
    assert world.events == []


async def served(world: World, name: str = "shop", **spec: object) -> Key:
    """A frontend with its own certificate, Ready."""
    world.node()
    names = [f"{name}.example.com"]
    world.certificate(name, names=names)
    world.secret(pair(*names), name, of=f"shop/{name}")
    key = world.frontend(name, **{"farms": "own", **spec})
    await world.settle(key)
    assert world.condition(key, "Ready") == ("True", "Served"), world.message(key)
    return key


async def test_a_converged_frontend_costs_no_writes(world: World) -> None:
    key = await served(world)
    await world.run(Key("LoadBalancer", "edge", "haproxy"), 2)
    world.api.writes.clear()
    world.clock.advance(3)
    world.node()
    await world.run(key, 3)
    assert world.api.writes == []


async def test_a_restarted_operator_writes_nothing(world: World) -> None:
    key = await served(world)
    world.api.writes.clear()
    fresh = FrontendReconciler(world.context, world.targets)
    await fresh.reconcile(key)
    assert world.api.writes == []


async def test_the_http_twin_comes_before_the_certificate(world: World) -> None:
    world.node()
    world.certificate(names=["shop.example.com"], type="ACME")
    key = world.frontend(farms="own")
    await world.settle(key)
    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.challenge_port == 80
    assert manifest.certificates == ()
    assert world.condition(key, "Programmed") == ("True", "Programmed")
    assert world.condition(key, "ResolvedRefs") == ("False", "CertificateNotReady")
    assert world.condition(key, "Ready") == ("False", "CertificateNotReady")
    assert world.condition(key, "Reconciling")[0] == "True"
    assert world.condition(key, "Stalled") == ("", "")
    assert world.events == []

    world.secret(pair("shop.example.com"))
    assert key in world.woken
    await world.settle(key)
    assert world.condition(key, "Ready") == ("True", "Served")
    assert world.events == []


async def test_one_certificate_that_is_missing_does_not_hold_the_others(world: World) -> None:
    world.node()
    world.certificate("a", names=["a.example.com"])
    world.secret(pair("a.example.com"), "a", of="shop/a")
    world.certificate("b", names=["b.example.com"])
    key = world.frontend(farms="own", certificates=[{"name": "a"}, {"name": "b"}])
    await world.settle(key)
    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.hostnames == ("a.example.com", "b.example.com")
    assert [c.hostnames for c in manifest.certificates] == [("a.example.com",)]
    assert world.status(key)["installed"][0]["name"] == "a"
    assert world.condition(key, "Served") == ("True", "Served")
    assert "Certificate b is not ready" in world.message(key)


async def test_a_rotation_never_turns_ready_false_and_is_reported_once(world: World) -> None:
    key = await served(world)
    world.api.writes.clear()
    world.secret(pair("shop.example.com", days=30))
    await world.run(key)
    assert world.condition(key, "Ready") == ("True", "Served")
    world.clock.advance(2)
    await world.run(key)
    assert world.condition(key, "Ready") == ("True", "Served")
    assert world.condition(key, "Progressing") == ("True", "WaitingForNodes")
    assert world.condition(key, "Reconciling") == ("", "")
    assert world.status(key)["task"]["status"] == "doing"
    world.node()
    await world.run(key)
    assert world.condition(key, "Progressing") == ("", "")
    assert world.status(key)["task"]["status"] == "done"
    assert len(world.status(key)["taskHistory"]) == 1
    assert world.status(key)["installed"][0]["verified"] is True
    assert sum(w.startswith("status") for w in world.api.writes) == 2
    assert sum(w.startswith("apply") for w in world.api.writes) == 1


async def test_a_rotation_that_a_node_does_not_follow_is_told_after_a_minute(world: World) -> None:
    key = await served(world)
    behind = int(
        world.api.objects["Lease", "edge", "haproxy.node-1"]["metadata"]["resourceVersion"]
    )
    world.secret(pair("shop.example.com", days=30))
    await world.run(key)
    for _ in range(14):
        world.clock.advance(5)
        world.node(revision=behind)
        await world.run(key)
    assert world.condition(key, "Ready") == ("False", "WaitingForNodes")
    assert world.condition(key, "Reconciling")[0] == "True"


async def test_a_deleted_certificate_stays_served_and_the_frontend_says_so(world: World) -> None:
    key = await served(world)
    before = world.manifest(key)
    world.delete("Secret", "shop", "shop")
    world.delete("Certificate", "shop", "shop")
    assert key in world.woken
    await world.settle(key)
    assert world.manifest(key) == before
    assert len(world.bundles()) == 1
    assert world.condition(key, "Ready") == ("False", "CertificateNotFound")
    assert world.condition(key, "Served") == ("True", "Served")
    assert "stays served" in world.message(key)
    assert world.events == ["CertificateNotFound"]


async def test_a_secret_that_is_damaged_changes_nothing_that_is_served(world: World) -> None:
    key = await served(world)
    bundle = world.bundles()[0]
    good, other = pair("shop.example.com"), pair("shop.example.com")
    broken = KeyPair(chain=good.chain, private_key_pem=other.private_key_pem)
    world.secret(broken)
    await world.settle(key)
    assert world.bundles() == [bundle]
    assert world.condition(key, "Ready") == ("False", "CertificateNotReady")


async def test_an_expired_certificate_stays_served_and_ready_turns_false(world: World) -> None:
    key = await served(world)
    world.secret(pair("shop.example.com", days=1))
    await world.settle(key)
    delay = await world.run(key)
    assert delay is not None
    world.clock.advance(delay)
    world.node()
    before = world.manifest(key)
    await world.run(key)
    assert world.condition(key, "Ready") == ("False", "Expired")
    assert world.condition(key, "Served") == ("True", "Served")
    assert world.manifest(key) == before
    assert world.events == ["Expired"]


async def test_an_expired_pair_never_replaces_what_is_served(world: World) -> None:
    key = await served(world)
    bundle = world.bundles()[0]
    world.secret(pair("shop.example.com", days=1, issued=-timedelta(days=3)))
    await world.settle(key)
    assert world.bundles() == [bundle]
    assert world.condition(key, "Ready") == ("False", "Expired")


async def test_a_key_in_a_bundle_is_never_shown_in_a_status_or_event(world: World) -> None:
    key = await served(world)
    told = str(world.status(key)) + str(world.events)
    assert "PRIVATE" not in told
    assert "BEGIN" not in told


SPECS_REFUSED = {
    "zone": ({"zone": "gra"}, "UnsupportedField"),
    "display name": ({"displayName": "Web shop"}, "UnsupportedField"),
    "store only": ({"manage": "StoreOnly"}, "UnsupportedField"),
    "policy": ({"tls": {"policy": "modern"}}, "UnsupportedField"),
    "kong": ({"kong": {"routes": []}}, "UnsupportedField"),
    "orphan": ({"deletionPolicy": "Orphan"}, "UnsupportedField"),
    "no farm": ({"redirectLocation": ""}, "FarmRequired"),
    "two farms": (
        {
            "redirectLocation": "",
            "farms": [
                {"name": "a", "servers": [{"address": "10.1.0.1", "port": 1}]},
                {"name": "b", "servers": [{"address": "10.1.0.1", "port": 1}]},
            ],
        },
        "FarmRequired",
    ),
    "another farm": (
        {
            "redirectLocation": "",
            "defaultFarm": "b",
            "farms": [{"name": "a", "servers": [{"address": "10.1.0.1", "port": 1}]}],
        },
        "FarmNotFound",
    ),
    "empty farm": ({"redirectLocation": "", "farms": [{"name": "a"}]}, "FarmEmpty"),
    "default not listed": ({"defaultCertificate": {"name": "b"}}, "DefaultCertificateNotListed"),
    "not a hostname": ({"hostnames": ["a..b"]}, "InvalidHostname"),
}


@pytest.mark.parametrize(("spec", "reason"), SPECS_REFUSED.values(), ids=SPECS_REFUSED)
async def test_a_spec_that_cannot_be_honoured_is_stalled_and_programs_nothing(
    world: World, spec: dict[str, object], reason: str
) -> None:
    world.node()
    world.certificate(names=["shop.example.com"])
    world.secret(pair("shop.example.com"))
    key = world.frontend(**spec)
    await world.settle(key)
    assert world.manifest(key) is None
    assert world.condition(key, "Ready") == ("False", reason)
    assert world.condition(key, "Accepted") == ("False", reason)
    assert world.condition(key, "Stalled") == ("True", reason)
    assert world.condition(key, "Reconciling") == ("", "")
    assert world.message(key).endswith(f"See https://docs/{reason}")
    assert world.status(key)["task"]["status"] == "error"
    assert world.events == [reason]


@pytest.mark.parametrize(("spec", "reason"), SPECS_REFUSED.values(), ids=SPECS_REFUSED)
async def test_a_spec_that_becomes_impossible_leaves_what_is_served(
    world: World, spec: dict[str, object], reason: str
) -> None:
    key = await served(world, farms=[], redirectLocation="https://other.example/")
    before = world.manifest(key)
    world.frontend(**spec)
    await world.settle(key)
    assert world.condition(key, "Ready") == ("False", reason)
    assert world.manifest(key) == before
    assert "what was installed stays" in world.message(key, "Programmed")


WAITING = {
    "no default": ({}, {"default_load_balancer": ""}, "NoLoadBalancer"),
    "absent": ({"loadBalancerRef": {"name": "none"}}, {}, "LoadBalancerNotFound"),
    "no service": (
        {"redirectLocation": "", "farms": [{"name": "a", "serviceRef": {"name": "x", "port": 1}}]},
        {},
        "ServiceNotFound",
    ),
    "no secret": ({"certificates": [{"secretRef": {"name": "none"}}]}, {}, "SecretNotFound"),
    "no certificate": ({"certificates": [{"name": "none"}]}, {}, "CertificateNotFound"),
}


@pytest.mark.parametrize(("spec", "settings", "reason"), WAITING.values(), ids=WAITING)
async def test_what_another_object_could_cure_is_waited_for(
    spec: dict[str, object], settings: dict[str, str], reason: str
) -> None:
    world = World(**settings)
    world.node()
    world.certificate(names=["shop.example.com"])
    world.secret(pair("shop.example.com"))
    key = world.frontend(**spec)
    await world.settle(key)
    assert world.condition(key, "Ready") == ("False", reason)
    assert world.condition(key, "Stalled") == ("", "")
    assert world.condition(key, "Reconciling") == ("True", reason)
    assert world.status(key)["task"]["status"] == "blocked"


async def test_a_namespace_without_a_grant_reads_that_the_balancer_is_absent(world: World) -> None:
    world.balancer(ObjectName("edge", "private"), grants=[])
    key = world.frontend(loadBalancerRef={"name": "private", "namespace": "edge"})
    absent = world.frontend("other", loadBalancerRef={"name": "absent", "namespace": "edge"})
    await world.run(key)
    await world.run(absent)
    assert world.condition(key, "Ready") == world.condition(absent, "Ready")
    assert world.message(key).replace("private", "absent") == world.message(absent)


async def test_the_installations_own_default_is_told_plainly(world: World) -> None:
    world.balancer(grants=[])
    key = world.frontend()
    await world.run(key)
    assert world.condition(key, "Ready") == ("False", "LoadBalancerNotGranted")
    assert "edge/haproxy grants nothing to namespace shop" in world.message(key)


async def test_a_selector_on_the_namespaces_labels_grants(world: World) -> None:
    tenants = {"selector": {"matchLabels": {"tenant": "true"}}}
    world.balancer(grants=[{"namespaces": tenants, "hostnames": ["*.$(namespace).example.com"]}])
    world.node()
    world.certificate(names=["a.shop.example.com", "shop.example.org"])
    world.secret(pair("a.shop.example.com", "shop.example.org"))
    key = world.frontend()
    await world.run(key)
    assert world.condition(key, "Accepted") == ("False", "LoadBalancerNotGranted")
    world.namespace("shop", tenant="true")
    assert key in world.woken
    await world.settle(key)
    assert world.manifest(key).hostnames == ("a.shop.example.com",)
    assert world.condition(key, "Accepted") == ("False", "HostnameNotGranted")
    assert "shop.example.org" in world.message(key)
    assert world.condition(key, "Served") == ("True", "Served")


async def test_a_grant_that_is_withdrawn_takes_the_frontend_off(world: World) -> None:
    key = await served(world)
    world.balancer(grants=[])
    assert key in world.woken
    await world.run(key)
    assert world.manifest(key).hostnames == ()
    world.node()
    await world.run(key)
    assert world.manifest(key) is None
    assert world.bundles() == []
    assert world.condition(key, "Ready") == ("False", "LoadBalancerNotGranted")
    assert "installed" not in world.status(key)
    assert world.api.objects[tuple(key)]["metadata"]["finalizers"] == []


async def test_the_older_frontend_keeps_a_contested_name_and_the_loser_its_others(
    world: World,
) -> None:
    world.namespace("rival")
    everyone = {"all": True}
    world.balancer(grants=[{"namespaces": everyone, "hostnames": ["*"]}])
    first = await served(world, redirectLocation="https://a.example/", farms=[])
    world.clock.advance(60)
    names = ["shop.example.com", "rival.example.com"]
    world.certificate("rival", "rival", names=names)
    world.secret(pair(*names), "rival", "rival", of="rival/rival")
    second = world.frontend("rival", "rival")
    await world.settle(second)
    assert world.manifest(second).hostnames == ("rival.example.com",)
    assert world.condition(second, "Accepted") == ("False", "HostnameConflict")
    assert "shop.example.com is claimed on port 443 by shop/shop" in world.message(second)
    assert world.condition(second, "Served") == ("True", "Served")
    assert world.condition(first, "Ready") == ("True", "Served")

    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.settle(first)
    await world.run(first)
    assert world.manifest(first) is None
    assert second in await world.queued()
    world.node()
    await world.settle(second)
    assert world.manifest(second).hostnames == ("shop.example.com", "rival.example.com")
    assert world.condition(second, "Ready") == ("True", "Served")


async def test_deletion_is_acknowledged_by_the_nodes_before_the_secrets_go(world: World) -> None:
    key = await served(world)
    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.run(key)
    assert world.manifest(key).disabled is True
    assert world.manifest(key).hostnames == ()
    assert len(world.bundles()) == 1
    await world.run(key)
    assert world.manifest(key) is not None
    world.node()
    assert key in world.woken
    await world.run(key)
    assert world.manifest(key) is None
    assert world.bundles() == []
    assert tuple(key) not in world.api.objects


async def test_a_node_that_is_gone_holds_a_deletion_for_a_minute_at_most(world: World) -> None:
    key = await served(world)
    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.run(key)
    for _ in range(11):
        world.clock.advance(5)
        await world.run(key)
    assert tuple(key) in world.api.objects
    world.clock.advance(6)
    await world.run(key)
    assert tuple(key) not in world.api.objects
    assert world.bundles() == []


async def test_a_bundle_that_another_frontend_uses_survives(world: World) -> None:
    key = await served(world)
    other = world.frontend("second", certificates=[{"name": "shop"}], port=8443)
    await world.settle(other)
    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.settle(key)
    assert tuple(key) not in world.api.objects
    assert len(world.bundles()) == 1
    assert world.condition(other, "Ready") == ("True", "Served")


async def test_too_few_nodes_turn_served_and_ready_false(world: World) -> None:
    key = await served(world)
    world.clock.advance(20)
    await world.run(key)
    assert world.condition(key, "Served") == ("False", "TooFewNodes")
    assert world.condition(key, "Ready") == ("False", "TooFewNodes")
    world.node()
    await world.run(key)
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_node_that_is_down_does_not_block_the_others(world: World) -> None:
    world.node("node-2")
    await world.run(Key("LoadBalancer", "edge", "haproxy"))
    world.clock.advance(20)
    key = await served(world)
    assert world.message(key) == "Served on edge/haproxy by 1 of 2 nodes; node-2: no heartbeat."


async def test_a_node_whose_haproxy_is_down_is_named_and_does_not_block_the_others(
    world: World,
) -> None:
    key = await served(world)
    world.node("node-2", failed=[Failed(secret="", reason="HAProxyDown", message="no answer")])
    await world.run(key)
    assert world.condition(key, "Ready") == ("True", "Served")
    assert world.message(key) == "Served on edge/haproxy by 1 of 2 nodes; node-2: HAProxy is down."


async def test_what_a_node_refuses_is_told_with_its_name(world: World) -> None:
    key = await served(world)
    name = manifest_name(EDGE, ObjectName("shop", "shop"))
    failed = Failed(secret=name, reason="InvalidConfiguration", message="haproxy refused it")
    world.node(failed=[failed])
    await world.run(key)
    assert world.condition(key, "Programmed") == ("False", "NodeFailed")
    assert world.condition(key, "Ready") == ("False", "NodeFailed")
    assert "node-1: InvalidConfiguration: haproxy refused it" in world.message(key)


SERVICE_FARM = {"name": "shop", "serviceRef": {"name": "shop", "port": 8080}}


def before_a_service(world: World) -> Key:
    """A frontend with all that it needs but the Service that its farm names."""
    world.node()
    world.certificate(names=["shop.example.com"])
    world.secret(pair("shop.example.com"))
    return world.frontend(redirectLocation="", farms=[SERVICE_FARM])


async def test_a_service_is_reached_at_its_cluster_address(world: World) -> None:
    key = before_a_service(world)
    delay = await world.run(key)
    assert world.condition(key, "ResolvedRefs") == ("False", "ServiceNotFound")
    assert delay is not None
    assert delay <= 10
    world.service("shop", clusterIP="None")
    await world.run(key)
    assert world.condition(key, "ResolvedRefs") == ("False", "ServiceUnsupported")
    world.service("shop", clusterIP="10.96.0.10")
    await world.settle(key)
    assert [(s.address, s.port) for s in world.manifest(key).farm.servers] == [("10.96.0.10", 8080)]
    assert world.condition(key, "Ready") == ("True", "Served")
    delay = await world.run(key)
    assert delay is not None, "no watch tells of the Service"
    assert delay <= 300


async def test_a_service_that_is_deleted_leaves_the_farm_as_it_is(world: World) -> None:
    world.service("shop")
    key = before_a_service(world)
    await world.settle(key)
    before = world.manifest(key)
    world.delete("Service", "shop", "shop")
    await world.settle(key)
    assert world.manifest(key) == before
    assert world.condition(key, "Ready") == ("False", "ServiceNotFound")


async def test_the_balancers_own_wildcard_serves_granted_names(world: World) -> None:
    world.balancer(
        certificates=[{"name": "wildcard"}],
        grants=[{"namespaces": {"names": ["shop"]}, "hostnames": ["*.apps.example.com"]}],
    )
    world.node()
    world.certificate("wildcard", "edge", names=["*.apps.example.com"])
    world.secret(pair("*.apps.example.com"), "wildcard", "edge", of="edge/wildcard")
    key = world.frontend(certificates=[], hostnames=["shop.apps.example.com"])
    await world.settle(key)
    assert [c.hostnames for c in world.manifest(key).certificates] == [("shop.apps.example.com",)]
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_tls_secret_of_someone_else_is_checked_and_served(world: World) -> None:
    world.node()
    label = {"certfront.io/secret": "source"}
    world.secret(pair("shop.example.com"), "theirs", of=None, labels=label)
    key = world.frontend(certificates=[{"secretRef": {"name": "theirs"}}])
    await world.settle(key)
    assert world.manifest(key).hostnames == ("shop.example.com",)
    assert world.condition(key, "Ready") == ("True", "Served")
    good, other = pair("shop.example.com"), pair("shop.example.com")
    bundle = world.bundles()[0]
    broken = KeyPair(chain=good.chain, private_key_pem=other.private_key_pem)
    world.secret(broken, "theirs", of=None, labels=label)
    assert key in world.woken
    await world.settle(key)
    assert world.condition(key, "Ready") == ("False", "CertificateRefused")
    assert "KeyMismatch" in world.message(key)
    assert world.bundles() == [bundle]


async def test_a_secret_without_our_label_is_looked_at_every_five_minutes(world: World) -> None:
    world.node()
    world.secret(pair("shop.example.com"), "theirs", of=None, labels={"app": "theirs"})
    key = world.frontend(certificates=[{"secretRef": {"name": "theirs"}}])
    await world.settle(key)
    assert world.condition(key, "Ready") == ("True", "Served")
    assert await world.run(key) == 300


async def test_a_bundle_someone_has_deleted_is_written_again(world: World) -> None:
    key = await served(world)
    bundle = world.bundles()[0]
    world.woken.clear()
    world.delete("Secret", "edge", bundle["metadata"]["name"])
    assert key in world.woken
    await world.run(key)
    assert world.bundles()[0]["data"] == bundle["data"]


async def test_a_disabled_frontend_is_ready_and_says_so(world: World) -> None:
    key = await served(world, disabled=False)
    world.frontend(farms="own", disabled=True)
    await world.settle(key)
    assert world.manifest(key).disabled is True
    assert world.condition(key, "Ready") == ("True", "Disabled")


async def test_a_plain_frontend_has_nothing_to_probe(world: World) -> None:
    world.node()
    key = world.frontend(ssl=False, port=8080, certificates=[], hostnames=["shop.example.com"])
    await world.settle(key)
    assert world.condition(key, "Served") == ("Unknown", "NothingToProbe")
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_an_object_that_does_not_parse_is_stalled_without_its_values(world: World) -> None:
    key = world.frontend(manage="SECRET-VALUE")
    await world.run(key, 2)
    assert world.condition(key, "Stalled") == ("True", "InvalidSpec")
    assert "SECRET-VALUE" not in str(world.status(key))
    assert sum(w.startswith("status") for w in world.api.writes) == 1


async def test_an_edit_that_does_not_parse_leaves_what_is_installed_and_since_when(
    world: World,
) -> None:
    key = await served(world)
    installed = world.status(key)["installed"]
    world.frontend(farms="own", manage="Unknown")
    await world.run(key)
    first = world.status(key)
    assert first["installed"] == installed
    assert first["loadBalancer"] == "edge/haproxy"
    assert world.events == ["InvalidSpec"]
    world.clock.advance(60)
    world.frontend(farms="own", manage="AlsoUnknown", port=8443)
    await world.run(key)
    second = world.status(key)
    assert second["observedGeneration"] == first["observedGeneration"] + 1
    assert [c["lastTransitionTime"] for c in second["conditions"]] == [
        c["lastTransitionTime"] for c in first["conditions"]
    ]
    assert world.events == ["InvalidSpec"]


async def test_a_long_message_keeps_the_page_that_says_more(world: World) -> None:
    labels = ".".join(letter * 60 for letter in "xyz")
    names = [f"n{number}.{labels}.{'w' * 40}.example" for number in range(20)]
    world.balancer(
        grants=[{"namespaces": {"names": ["shop"]}, "hostnames": ["only.example"]}],
    )
    key = world.frontend(hostnames=names)
    await world.run(key)
    message = world.message(key)
    assert len(message) == 1024
    assert message.endswith("… See https://docs/HostnameNotGranted")


async def test_the_finalizers_are_there_before_anything_is_installed(world: World) -> None:
    await served(world)
    kinds = [w.split()[0:2] for w in world.api.writes]
    first_secret = kinds.index(["apply", "Secret"])
    assert ["metadata", "LoadBalancerFrontend"] in kinds[:first_secret]
    assert ["metadata", "LoadBalancer"] in kinds[:first_secret]
    applied = [w for w in world.api.writes if w.startswith("apply")]
    assert "bundle-" in applied[0]
    assert "manifest-" in applied[1]


async def test_a_report_of_a_node_concerns_only_those_that_wait(world: World) -> None:
    key = await served(world)
    other = world.frontend("other", farms="own", certificates=[{"name": "none"}])
    await world.settle(other)
    assert world.frontends.pending_on(EDGE) == ()
    world.secret(pair("shop.example.com"))
    await world.run(key)
    assert world.frontends.pending_on(EDGE) == (key,)
    world.node()
    await world.run(key)
    assert world.frontends.pending_on(EDGE) == ()


async def test_a_lost_race_for_a_write_is_decided_again(world: World) -> None:
    key = await served(world)
    world.secret(pair("shop.example.com"))
    name = world.bundles()[0]["metadata"]["name"]
    held = world.store.get("Secret", "edge", name)
    world.api.objects["Secret", "edge", name]["metadata"]["resourceVersion"] = "99999"
    with pytest.raises(Conflict):
        await world.run(key)
    assert held is not None


async def test_a_manifest_without_its_label_is_found_and_labelled_again(world: World) -> None:
    key = await served(world)
    name = manifest_name(EDGE, ObjectName("shop", "shop"))
    held = copy.deepcopy(world.api.objects["Secret", "edge", name])
    held["metadata"]["labels"] = {}
    world.api.put("Secret", held)
    world.store.remove("Secret", "edge", name)
    bundle = copy.deepcopy(world.bundles()[0])
    bundle["metadata"]["labels"] = {}
    world.api.put("Secret", bundle)
    world.store.remove("Secret", "edge", bundle["metadata"]["name"])
    await world.settle(key)
    for secret in (world.api.objects["Secret", "edge", name], world.bundles()[0]):
        assert secret["metadata"]["labels"]["certfront.io/load-balancer"] == "haproxy"
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_changed_default_moves_the_frontend_and_leaves_the_old_one_last() -> None:
    world = World()
    new = ObjectName("edge", "new")
    key = await served(world)
    world.balancer(new, **world.api.objects["LoadBalancer", "edge", "haproxy"]["spec"])
    world.restart(default_load_balancer=str(new))
    await world.run(key)
    assert world.manifest(key, new) is not None
    assert world.manifest(key).hostnames == ("shop.example.com",)
    assert world.status(key)["loadBalancer"] == "edge/haproxy"
    world.node("node-1", target=new)
    await world.run(key)
    assert world.manifest(key).hostnames == ()
    world.node()
    await world.run(key)
    assert world.manifest(key) is None
    assert world.status(key)["loadBalancer"] == "edge/new"
    assert world.condition(key, "Ready") == ("True", "Served")
    assert [b["metadata"]["labels"]["certfront.io/load-balancer"] for b in world.bundles()] == [
        "new"
    ]


async def test_an_older_frontend_that_could_never_be_programmed_keeps_no_name_from_others(
    world: World,
) -> None:
    names = ["shop.example.com"]
    world.node()
    world.frontend("old", zone="gra", hostnames=names)
    world.clock.advance(60)
    world.certificate(names=names)
    world.secret(pair(*names))
    key = world.frontend()
    await world.settle(key)
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_load_balancer_that_cannot_be_read_takes_nothing_off(world: World) -> None:
    key = await served(world)
    before = world.manifest(key)
    world.balancer(haproxy={"minNodes": "many"})
    await world.settle(key)
    await world.run(key)
    assert world.manifest(key) == before
    assert world.condition(key, "Ready") == ("False", "LoadBalancerNotFound")


MANIFESTS = {
    "farm": {"farms": "own", "httpsOnly": True},
    "redirect": {"redirectLocation": "https://other.example/path", "redirectStatusCode": 301},
    "hardened": {
        "farms": "own",
        "httpPort": 8080,
        "httpsOnly": True,
        "acceptHTTPIfAlreadyTerminated": True,
        "trustedSources": ["10.0.0.0/8"],
        "hsts": {"maxAge": 3600, "includeSubDomains": True},
        "allowedSources": ["192.0.2.0/24"],
        "deniedSources": ["192.0.2.1/32"],
        "tls": {"minVersion": "TLS1.3"},
        "defaultCertificate": {"name": "shop"},
    },
    "plain": {"farms": "own", "ssl": False, "port": 8080},
    "disabled": {"farms": "own", "disabled": True},
    "health check": {
        "redirectLocation": "",
        "farms": [
            {
                "name": "web",
                "servers": [{"address": "10.1.0.1", "port": 80}],
                "healthCheck": {"path": "/healthz", "host": "shop.internal"},
            }
        ],
    },
}


@pytest.mark.parametrize("spec", MANIFESTS.values(), ids=MANIFESTS)
async def test_every_manifest_is_one_that_agents_take(
    world: World, spec: dict[str, object]
) -> None:
    world.node()
    world.certificate(names=["shop.example.com"], type="ACME")
    world.secret(pair("shop.example.com"))
    key = world.frontend(**spec)
    await world.settle(key)
    manifest = world.manifest(key)
    assert manifest is not None
    check(manifest)
    assert manifest.bundles == (() if spec.get("ssl") is False else manifest.bundles)
    assert world.condition(key, "Ready")[0] == "True", world.message(key)
    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.run(key)
    emptied = world.manifest(key)
    assert emptied is not None
    check(emptied)


async def test_the_default_certificate_is_told_to_the_agents_by_its_bundle(world: World) -> None:
    key = await served(world, defaultCertificate={"name": "shop"})
    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.default_bundle == manifest.certificates[0].bundle


async def test_tls_to_the_backend_is_verified_against_a_secret(world: World) -> None:
    world.node()
    world.certificate(names=["shop.example.com"])
    world.secret(pair("shop.example.com"))
    farm = {
        "name": "web",
        "servers": [{"address": "10.1.0.1", "port": 443}],
        "verify": {"caSecretRef": {"name": "ca", "key": "root.pem"}, "serverName": "web.internal"},
    }
    key = world.frontend(redirectLocation="", farms=[farm])
    await world.run(key)
    assert world.condition(key, "ResolvedRefs") == ("False", "SecretNotFound")
    trusted = pair("root").tls_crt
    noise = b"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"
    labels = {"certfront.io/secret": "source"}
    encoded = {"root.pem": base64.b64encode(trusted + noise).decode()}
    world._apply("Secret", "v1", "shop", "ca", data=encoded, labels=labels)
    await world.settle(key)
    assert "canary" not in str(world.manifest(key))
    assert "canary" not in str(world.status(key))
    encoded = {"root.pem": base64.b64encode(trusted).decode()}
    world._apply("Secret", "v1", "shop", "ca", data=encoded, labels=labels)
    await world.settle(key)
    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.farm is not None
    assert manifest.farm.verify is not None
    assert manifest.farm.verify.ca_pem == trusted.decode()
    check(manifest)
    assert world.condition(key, "Ready") == ("True", "Served")
    delay = await world.run(key)
    assert delay is not None, "no watch tells of a Secret without our label"
    assert delay <= 300


def _granting(*hostnames: str, cidrs: tuple[str, ...] = ("10.1.0.0/16",)) -> list[object]:
    grant = {"namespaces": {"names": ["shop"]}, "hostnames": list(hostnames)}
    return [{**grant, "backendCIDRs": list(cidrs)}]


async def test_a_frontend_that_keeps_no_hostname_becomes_no_catch_all(world: World) -> None:
    world.balancer(grants=_granting("a.example"))
    world.node()
    plain = {"ssl": False, "port": 80, "certificates": [], "farms": "own"}
    key = world.frontend(**plain, hostnames=["a.example"])
    await world.settle(key)
    assert world.condition(key, "Ready") == ("True", "Served")
    world.frontend(**plain, hostnames=["other.example"])
    await world.settle(key)
    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.disabled
    assert manifest.farm is None
    assert world.condition(key, "Ready") == ("False", "HostnameNotGranted")
    assert "nothing of it is served" in world.message(key, "Programmed")
    world.api.writes.clear()
    await world.run(key, 2)
    assert world.api.writes == []


async def test_a_revoked_hostname_is_given_up_by_a_frontend_that_cannot_be_programmed(
    world: World,
) -> None:
    names = ["a.example", "b.example"]
    world.balancer(grants=_granting(*names))
    world.node()
    world.certificate(names=names)
    world.secret(pair(*names))
    key = world.frontend(farms="own")
    await world.settle(key)
    world.frontend(farms="own", zone="gra")
    world.balancer(grants=_granting("b.example"))
    await world.settle(key)
    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.hostnames == ("b.example",)
    assert [c.hostnames for c in manifest.certificates] == [("b.example",)]
    assert world.condition(key, "Ready") == ("False", "UnsupportedField")
    world.namespace("new")
    world.balancer(
        grants=[
            *_granting("b.example"),
            {"namespaces": {"names": ["new"]}, "hostnames": ["a.example"]},
        ]
    )
    world.certificate("new", "new", names=["a.example"])
    world.secret(pair("a.example"), "new", "new", of="new/new")
    owner = world.frontend("new", "new")
    await world.settle(owner)
    assert world.condition(owner, "Ready") == ("True", "Served"), world.message(owner)


async def test_a_backend_that_is_granted_no_more_is_taken_off(world: World) -> None:
    key = await served(world)
    world.balancer(grants=_granting("*", cidrs=("10.2.0.0/16",)))
    await world.settle(key)
    manifest = world.manifest(key)
    assert manifest is not None
    assert manifest.farm is None
    assert manifest.disabled
    assert world.condition(key, "Ready") == ("False", "BackendNotGranted")


async def test_a_service_needs_no_grant_to_stay(world: World) -> None:
    world.balancer(grants=_granting("*", cidrs=()))
    world.service("shop")
    key = before_a_service(world)
    await world.settle(key)
    before = world.manifest(key)
    world.frontend(redirectLocation="", farms=[SERVICE_FARM], zone="gra")
    await world.settle(key)
    assert world.manifest(key) == before
    assert before is not None
    assert not before.disabled


async def test_tls_on_the_port_of_challenges_is_refused_to_guests(world: World) -> None:
    acme = await served(world)
    world.certificate("evil", names=["evil.example"])
    world.secret(pair("evil.example"), "evil", of="shop/evil")
    evil = world.frontend("evil", port=80)
    await world.settle(evil)
    assert world.manifest(evil) is None
    assert world.condition(evil, "Ready") == ("False", "PortConflict")
    assert world.condition(acme, "Ready") == ("True", "Served")


async def test_a_claim_that_was_only_told_gives_way_to_one_with_a_certificate(
    world: World,
) -> None:
    world.namespace("owner")
    world.balancer(grants=[{"namespaces": {"all": True}, "hostnames": ["*"]}])
    world.node()
    squatter = world.frontend(hostnames=["a.example"])
    await world.settle(squatter)
    told = world.manifest(squatter)
    assert told is not None
    assert told.hostnames == ("a.example",)
    world.clock.advance(10)
    world.node()
    world.certificate("owner", "owner", names=["a.example"])
    held = copy.deepcopy(world.api.objects["Certificate", "owner", "owner"])
    held["status"] = {"conditions": [{"type": "Ready", "status": "True", "reason": "Issued"}]}
    world.api.put("Certificate", held)
    world.secret(pair("a.example"), "owner", "owner", of="owner/owner")
    owner = world.frontend("owner", "owner")
    await world.run(owner)
    assert world.manifest(owner).hostnames == ("a.example",)
    assert squatter in await world.queued()
    await world.run(squatter)
    assert world.manifest(squatter).disabled
    assert world.condition(squatter, "Accepted") == ("False", "HostnameConflict")
    assert "owner/owner" in world.message(squatter)
    assert "other names" not in world.message(squatter)
    world.node()
    await world.run(owner)
    assert world.condition(owner, "Ready") == ("True", "Served")


async def test_a_deletion_that_takes_longer_says_whom_it_waits_for(world: World) -> None:
    key = await served(world)
    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.run(key)
    assert world.condition(key, "Ready") == ("True", "Served")
    world.clock.advance(4)
    await world.run(key)
    assert world.condition(key, "Ready") == ("False", "Releasing")
    assert "waiting for node-1" in world.message(key)
    world.node()
    await world.run(key)
    assert tuple(key) not in world.api.objects


async def test_a_frontend_that_cannot_be_read_can_be_deleted(world: World) -> None:
    key = await served(world)
    world.frontend(farms="own", manage="Unknown")
    await world.run(key)
    world.delete("LoadBalancerFrontend", "shop", "shop")
    await world.run(key)
    world.node()
    await world.run(key)
    assert tuple(key) not in world.api.objects
    assert world.manifest(key) is None


async def test_the_load_balancer_that_is_named_is_told_although_it_is_not_accepted(
    world: World,
) -> None:
    key = world.frontend(loadBalancerRef={"name": "none", "namespace": "edge"})
    await world.run(key)
    assert world.status(key)["loadBalancer"] == "edge/none"


async def test_a_refusal_by_a_node_ends_like_a_sentence_and_leads_to_its_own_page(
    world: World,
) -> None:
    key = await served(world)
    name = manifest_name(EDGE, ObjectName("shop", "shop"))
    world.node(failed=[Failed(secret=name, reason="PortInUse", message="port 443 is taken")])
    await world.run(key)
    assert world.message(key) == (
        "node-1: PortInUse: port 443 is taken. See https://docs/PortInUse"
    )


async def test_a_node_whose_clock_is_behind_is_alive_while_its_lease_moves(world: World) -> None:
    key = await served(world)
    for _ in range(12):
        world.clock.advance(5)
        world.node(behind=timedelta(minutes=4))
        await world.run(key)
        assert world.condition(key, "Ready") == ("True", "Served")
    world.clock.advance(16)
    await world.run(key)
    assert world.condition(key, "Ready") == ("False", "TooFewNodes")


async def test_a_lease_from_long_ago_is_not_alive_before_it_moves(world: World) -> None:
    key = await served(world)
    world.clock.advance(600)
    world.restart()
    await world.run(key)
    assert world.condition(key, "Ready") == ("False", "TooFewNodes")
    world.node(behind=timedelta(minutes=8))
    await world.run(key)
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_secret_of_someone_else_is_checked_once_for_many_passes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[object] = []

    def counted(given: object, now: object) -> Verdict:
        checked.append(given)
        return verdict_on(given, now)  # type: ignore[arg-type] # handed on as it came

    monkeypatch.setattr(uploads, "verdict_on", counted)
    world.node()
    label = {"certfront.io/secret": "source"}
    world.secret(pair("shop.example.com"), "theirs", of=None, labels=label)
    key = world.frontend(certificates=[{"secretRef": {"name": "theirs"}}])
    await world.settle(key)
    await world.run(key, 5)
    assert len(checked) == 1
    world.clock.advance(400)
    await world.run(key)
    assert len(checked) == 2


NEW = ObjectName("edge", "new")


@pytest.mark.parametrize(
    ("default", "grants"),
    [
        (str(NEW), None),
        (str(NEW), []),
        ("", None),
    ],
    ids=["absent", "grants nothing", "none named"],
)
async def test_a_changed_default_that_cannot_be_used_takes_nothing_off(
    default: str, grants: list[object] | None
) -> None:
    """Whoever changes the default, wrongly or early, must not take all TLS down."""
    world = World()
    key = await served(world)
    before = world.manifest(key)
    if grants is not None:
        world.balancer(NEW, grants=grants)
    world.restart(default_load_balancer=default)
    for _ in range(2):
        await world.run(key)
        world.node()
        world.node(target=NEW)
    assert world.manifest(key) == before
    assert len(world.bundles()) == 1
    assert world.status(key)["loadBalancer"] == str(EDGE)
    assert world.condition(key, "Ready")[0] == "False"

    world.woken.clear()
    world.balancer(grants=[])
    assert key in world.woken
    for _ in range(2):
        await world.run(key)
        world.node()
    await world.run(key)
    assert world.manifest(key) is None, "what is granted no more is left all the same"
    assert world.bundles() == []


async def test_a_frontend_on_its_way_leaves_the_one_that_grants_nothing_any_more() -> None:
    world = World()
    key = await served(world)
    granting = world.api.objects["LoadBalancer", "edge", "haproxy"]["spec"]["grants"]
    world.balancer(NEW, grants=granting)
    world.restart(default_load_balancer=str(NEW))
    await world.run(key)
    assert world.manifest(key, NEW).hostnames == ("shop.example.com",)
    world.balancer(NEW, grants=[])
    for _ in range(2):
        await world.run(key)
        world.node(target=NEW)
    await world.run(key)
    assert world.manifest(key, NEW) is None
    assert world.manifest(key).hostnames == ("shop.example.com",)
    world.balancer(NEW, grants=granting)
    world.balancer(grants=[])
    await world.run(key)
    world.clock.advance(2)
    for _ in range(2):
        world.node()
        await world.run(key)
    await world.run(key)
    assert world.manifest(key) is None, "although the new one does not serve it yet"
    assert world.manifest(key, NEW).hostnames == ("shop.example.com",)


@pytest.mark.parametrize("gone", ["Certificate", "Secret"])
async def test_a_default_certificate_that_is_gone_stays_installed(world: World, gone: str) -> None:
    """Also one that no hostname is bound to."""
    world.certificate("other", names=["other.example"])
    world.secret(pair("other.example"), "other", of="shop/other")
    entries = [{"name": "shop"}, {"name": "other"}]
    key = await served(
        world,
        certificates=entries,
        hostnames=["shop.example.com"],
        defaultCertificate={"name": "other"},
    )
    before = world.manifest(key)
    assert before.default_bundle is not None
    world.delete(gone, "shop", "other")
    await world.settle(key)
    assert world.manifest(key) == before
    assert world.condition(key, "ResolvedRefs")[0] == "False"
    world.frontend(farms="own", certificates=entries, hostnames=["shop.example.com"])
    held = world.api.objects[tuple(key)]
    held["spec"].pop("defaultCertificate", None)
    world.api.put(key.kind, held)
    await world.settle(key)
    assert world.manifest(key).default_bundle is None


async def test_who_is_granted_nothing_keeps_no_port_from_others(world: World) -> None:
    world.namespace("stranger")
    stranger = world.frontend(
        "stranger", "stranger", ssl=False, certificates=[], hostnames=["s.example"]
    )
    await world.settle(stranger)
    world.clock.advance(60)
    await served(world)


@pytest.mark.parametrize("redirects", [False, True])
async def test_a_name_served_over_plain_http_is_not_taken_by_a_newer_claim(
    world: World, *, redirects: bool
) -> None:
    """A redirect to what no certificate answers for serves nobody."""
    world.namespace("rival")
    world.balancer(grants=[{"namespaces": {"all": True}, "hostnames": ["*"]}])
    world.node()
    first = world.frontend(hostnames=["a.example"], httpPort=80, httpsOnly=redirects)
    await world.settle(first)
    assert world.manifest(first).hostnames == ("a.example",)
    world.clock.advance(10)
    world.node()
    second = world.frontend(
        "rival", "rival", ssl=False, port=80, certificates=[], hostnames=["a.example"]
    )
    await world.settle(second)
    assert (world.manifest(second) is not None) is redirects


async def test_a_restart_wakes_the_losers_of_what_was_given_up_meanwhile(world: World) -> None:
    first = await served(world)
    world.clock.advance(10)
    world.certificate("rival", names=["shop.example.com"])
    world.secret(pair("shop.example.com"), "rival", of="shop/rival")
    second = world.frontend("rival")
    await world.run(second)
    assert world.condition(second, "Accepted") == ("False", "HostnameConflict")
    world.certificate(names=["else.example.com"])
    world.secret(pair("else.example.com"))
    world.restart()
    await world.run(second)
    await world.queued()
    await world.run(first)
    assert world.manifest(first).hostnames == ("else.example.com",)
    assert second in await world.queued()


@pytest.mark.parametrize("named", [True, False], ids=["hostnames listed", "by certificates"])
@pytest.mark.parametrize("there", [True, False], ids=["not issued", "not there"])
async def test_a_certificate_is_served_until_what_replaces_it_is_issued(
    world: World, *, named: bool, there: bool
) -> None:
    names = {"hostnames": ["shop.example.com"]} if named else {}
    key = await served(world, **names)
    before = world.manifest(key)
    if there:
        world.certificate("next", names=["shop.example.com"])
    world.frontend(farms="own", certificates=[{"name": "next"}], **names)
    await world.settle(key)
    assert world.manifest(key) == before
    assert world.condition(key, "Served") == ("True", "Served")
    assert world.condition(key, "ResolvedRefs")[0] == "False"
    world.certificate("next", names=["shop.example.com"])
    world.secret(pair("shop.example.com"), "next", of="shop/next")
    await world.settle(key)
    after = world.manifest(key)
    assert [one.hostnames for one in after.certificates] == [("shop.example.com",)]
    assert after.certificates != before.certificates
    assert world.condition(key, "Ready") == ("True", "Served")


async def test_a_certificate_that_nothing_replaces_goes(world: World) -> None:
    """One that is expected to cover other names replaces nothing."""
    key = await served(world, hostnames=["shop.example.com"])
    world.certificate("next", names=["else.example.com"])
    entries = [{"name": "next"}]
    world.frontend(farms="own", certificates=entries, hostnames=["shop.example.com"])
    await world.settle(key)
    assert world.manifest(key).certificates == ()


async def test_a_certificate_that_is_listed_no_more_goes_when_it_expires(world: World) -> None:
    key = await served(world, hostnames=["shop.example.com"])
    world.certificate("next", names=["shop.example.com"])
    entries = [{"name": "next"}]
    world.frontend(farms="own", certificates=entries, hostnames=["shop.example.com"])
    await world.settle(key)
    assert len(world.manifest(key).certificates) == 1
    world.clock.advance(91 * 86400)
    await world.settle(key)
    assert world.manifest(key).certificates == ()


async def test_a_default_that_was_never_used_is_told_no_more_once_it_changes() -> None:
    world = World(default_load_balancer=str(NEW))
    key = world.frontend()
    await world.run(key)
    assert world.status(key)["loadBalancer"] == str(NEW)
    world.restart(default_load_balancer="edge/newest")
    await world.run(key)
    assert world.status(key)["loadBalancer"] == "edge/newest"
