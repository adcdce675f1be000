"""Each type of certificate becomes Ready, and every node serves it to a client that verifies it."""

import base64

import pytest
from cryptography import x509

from tests.e2e import clients, material
from tests.e2e.world import Tenant, World, condition


def test_a_self_signed_certificate_is_served(tenant: Tenant) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    status = tenant.ready("site")["status"]
    root, _ = tenant.tls("site")
    tenant.served(tenant.host(), status["fingerprint"], root)
    frontend = tenant.ready("site", kind="LoadBalancerFrontend", reason="Served")
    assert condition(frontend, "Served")["status"] == "True"  # type: ignore[index]
    tenant.condition("site", "Installed", "True", message="Served by 1 of 1 frontend: site")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        pytest.param({}, "ECDSA", id="by default"),
        pytest.param({"algorithm": "RSA", "size": 3072, "encoding": "PKCS1"}, "RSA", id="RSA"),
        pytest.param({"algorithm": "Ed25519"}, "Ed25519", id="Ed25519"),
    ],
)
def test_a_certificate_of_a_private_ca_is_served(
    tenant: Tenant, key: dict[str, object], algorithm: str
) -> None:
    """The CA is itself one of our certificates; the client trusts it alone."""
    tenant.certificate("root", commonName="Shop CA", isCA=True)
    tenant.ready("root")
    tenant.apply("Issuer", "private", {"type": "CA", "ca": {"secretRef": {"name": "root"}}})
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}}, privateKey=key)
    tenant.frontend("site", ["site"])
    status = tenant.ready("site")["status"]
    assert status["keyAlgorithm"].startswith(algorithm)
    root, _ = tenant.tls("root")
    if algorithm == "Ed25519":
        # No browser and few libraries take it by default; the handshake of the agent did.
        tenant.ready("site", kind="LoadBalancerFrontend")
    tenant.served(tenant.host(), status["fingerprint"], root)
    secret = tenant.get("Secret", "site")
    assert base64.b64decode(secret["data"]["ca.crt"]).decode().strip() == root.strip()


def test_an_acme_certificate_is_validated_through_the_nodes(tenant: Tenant, world: World) -> None:
    names = [tenant.host(), tenant.host("shop")]
    tenant.certificate("site", "ACME", dnsNames=names)
    tenant.frontend("site", ["site"])
    status = tenant.ready("site", seconds=60)["status"]
    for name in names:
        tenant.served(name, status["fingerprint"], world.pebble_root)
    steps = [
        found["reason"]
        for entry in world.journal.of("Certificate", tenant.namespace, "site")
        if (found := condition(entry.body, "Progressing"))
    ]
    assert {"OrderCreated", "ChallengePresented"} <= set(steps)
    assert status["task"]["status"] == "done"
    assert "order" not in status


def test_an_acme_certificate_by_an_external_route(tenant: Tenant, world: World) -> None:
    """Somebody else's server on port 80 sends challenge paths to the operator's own port."""
    operator, pebble = world.state.operator, world.state.pebble
    assert operator is not None
    assert pebble is not None
    host, _, port = operator.solver_address.rpartition(":")
    issuer = tenant.world.api.get("Issuer", "edge", "pebble")
    assert issuer is not None
    acme = {**issuer["spec"]["acme"], "solvers": [{"http01": {"route": "External"}}]}
    tenant.apply("Issuer", "external", {"type": "ACME", "acme": acme})
    # The route: a frontend of the same load balancer that forwards everything to the port.
    tenant.certificate("route", dnsNames=["route." + tenant.host(), tenant.host()])
    tenant.frontend(
        "route",
        ["route"],
        httpPort=80,
        farms=[{"name": "solver", "servers": [{"address": host, "port": int(port)}]}],
    )
    tenant.ready("route", kind="LoadBalancerFrontend")
    tenant.certificate("site", "ACME", acme={"issuerRef": {"name": "external"}})
    status = tenant.ready("site", seconds=60)["status"]
    assert status["domains"] == [tenant.host()]


def test_an_uploaded_pem_pair_is_normalised_and_served(tenant: Tenant) -> None:
    """The intermediates come in the wrong order, with a root that does not belong there."""
    root = material.ca()
    outer = material.ca("Outer", issuer=root)
    inner = material.ca("Inner", issuer=outer)
    pair = material.leaf(tenant.host(), issuer=inner)
    tenant.pair("given", material.chain(outer, root, pair, inner), pair.key_pem)
    tenant.certificate("site", "Uploaded", uploaded={"secretRef": {"name": "given"}})
    tenant.frontend("site", ["site"])
    status = tenant.ready("site")["status"]
    assert clients.spelled(status["fingerprint"]) == clients.fingerprint(pair.der)
    tenant.served(tenant.host(), status["fingerprint"], root.pem.decode())
    stored = x509.load_pem_x509_certificates(tenant.tls("site")[0].encode())
    assert stored == [pair.certificate, inner.certificate, outer.certificate]


def test_an_uploaded_pkcs12_is_opened_with_its_password(tenant: Tenant) -> None:
    root = material.ca()
    inner = material.ca("Inner", issuer=root)
    pair = material.leaf(tenant.host(), issuer=inner)
    tenant.secret("given", {"shop.pfx": material.pkcs12_of(pair, b"open sesame", inner)})
    tenant.secret("password", {"password": b"open sesame"})
    tenant.certificate(
        "site",
        "Uploaded",
        uploaded={
            "secretRef": {"name": "given", "pkcs12Key": "shop.pfx"},
            "passwordSecretRef": {"name": "password", "key": "password"},
        },
    )
    tenant.frontend("site", ["site"])
    status = tenant.ready("site")["status"]
    tenant.served(tenant.host(), status["fingerprint"], root.pem.decode())


@pytest.mark.parametrize("in_place", [False, True], ids=["stored", "in place"])
def test_a_replaced_source_is_taken_over_at_once(
    tenant: Tenant, world: World, *, in_place: bool
) -> None:
    root = material.ca()
    first, second = (material.leaf(tenant.host(), issuer=root) for _ in range(2))
    tenant.pair("given", first.pem, first.key_pem)
    secret = {"name": "given"} if in_place else {"name": "stored"}
    tenant.certificate("site", "Uploaded", uploaded={"secretRef": {"name": "given"}}, secret=secret)
    tenant.frontend("site", ["site"])
    tenant.ready("site")
    tenant.served(tenant.host(), clients.fingerprint(first.der), root.pem.decode())
    before = tenant.get("Secret", "given")
    assert tenant.revision("site", 1)["status"]["revision"] == 1
    tenant.pair("given", second.pem, second.key_pem)
    assert tenant.revision("site", 2)["status"]["revision"] == 2
    tenant.served(tenant.host(), clients.fingerprint(second.der), root.pem.decode())
    managers = {
        entry["manager"] for entry in tenant.get("Secret", "given")["metadata"]["managedFields"]
    }
    assert managers == {"test"}, "the source is never written"
    assert before["metadata"]["uid"] == tenant.get("Secret", "given")["metadata"]["uid"]
    event = world.journal.wait_event(tenant.namespace, "site", "Renewed")
    assert event["type"] == "Normal"


def test_a_source_without_a_label_is_read_by_name(tenant: Tenant) -> None:
    pair = material.leaf(tenant.host())
    tenant.pair("given", pair.pem, pair.key_pem, labelled=False)
    tenant.certificate("site", "Uploaded", uploaded={"secretRef": {"name": "given"}})
    status = tenant.ready("site")["status"]
    assert clients.spelled(status["fingerprint"]) == clients.fingerprint(pair.der)


def test_a_pair_that_is_early_is_staged(tenant: Tenant, world: World) -> None:
    """What is in force stays until the new one may be used."""
    root = material.ca()
    now = material.leaf(tenant.host(), issuer=root)
    start = material.now() + 2 * material.DAY
    later = material.leaf(tenant.host(), issuer=root, not_before=start)
    tenant.pair("given", now.pem, now.key_pem)
    tenant.certificate("site", "Uploaded", uploaded={"secretRef": {"name": "given"}})
    tenant.frontend("site", ["site"])
    tenant.ready("site")
    tenant.pair("given", later.pem, later.key_pem)
    body = tenant.condition("site", "Progressing", "True", reason="NotYetValid")
    assert condition(body, "Ready")["status"] == "True"  # type: ignore[index]
    assert clients.spelled(body["status"]["fingerprint"]) == clients.fingerprint(now.der)
    tenant.served(tenant.host(), clients.fingerprint(now.der), root.pem.decode())
