"""When a certificate is replaced, with which key, and that nobody notices."""

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from certfront.model.times import from_text, to_text
from tests.e2e import clients, material
from tests.e2e.material import DAY
from tests.e2e.world import Tenant, World, condition

ROOT = material.ca("Renewal Root")
_BETWEEN_REQUESTS = 0.01


def _public_key(tenant: Tenant) -> bytes:
    leaf = load_pem_x509_certificate(tenant.tls("site")[0].encode())
    return leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_an_annotation_renews_once_per_value(tenant: Tenant, world: World) -> None:
    tenant.certificate("site")
    tenant.ready("site")
    tenant.annotate("Certificate", "site", renew="a")
    status = tenant.revision("site", 2)["status"]
    assert status["handledRenew"] == "a"
    assert status["task"]["action"] == "renewCertificate"
    world.journal.wait_event(tenant.namespace, "site", "Renewed")
    tenant.world.api.merge(
        "Certificate",
        tenant.namespace,
        "site",
        {"metadata": {"annotations": {"certfront.io/renew": None}}},
    )
    tenant.annotate("Certificate", "site", renew="a")
    world.quiet(1)
    assert tenant.get("Certificate", "site")["status"]["revision"] == 2
    tenant.annotate("Certificate", "site", renew="b")
    assert tenant.revision("site", 3)["status"]["revision"] == 3
    # The value handled is on the Secret, so a Certificate made again does not repeat it.
    tenant.delete("Certificate", "site")
    tenant.apply(
        "Certificate",
        "site",
        {"type": "SelfSigned", "dnsNames": [tenant.host()]},
        annotations={"certfront.io/renew": "b"},
    )
    tenant.ready("site")
    world.quiet(1)
    assert tenant.get("Certificate", "site")["status"]["revision"] == 3


@pytest.mark.parametrize("rotation", ["Always", "Never"])
def test_the_key_is_kept_only_where_that_is_asked_for(tenant: Tenant, rotation: str) -> None:
    tenant.certificate("site", privateKey={"rotation": rotation})
    tenant.ready("site")
    before = _public_key(tenant)
    tenant.annotate("Certificate", "site", renew="1")
    tenant.revision("site", 2)
    assert (_public_key(tenant) == before) == (rotation == "Never")


def test_what_was_issued_too_early_is_replaced_with_a_new_key(tenant: Tenant, world: World) -> None:
    """Even under rotation Never: it is asked for when a key may be known to others."""
    tenant.certificate("site", privateKey={"rotation": "Never"})
    tenant.ready("site")
    before = _public_key(tenant)
    annotations = tenant.get("Secret", "site")["metadata"]["annotations"]
    limit = from_text(annotations["certfront.io/issued-at"]) + 2 * (DAY / 86400)
    tenant.certificate(
        "site", privateKey={"rotation": "Never"}, renewal={"reissueBefore": to_text(limit)}
    )
    tenant.revision("site", 2)
    assert _public_key(tenant) != before
    world.quiet(1)
    assert tenant.get("Certificate", "site")["status"]["revision"] == 2, "once"


def test_time_alone_renews_it_and_a_suspension_stops_that(tenant: Tenant) -> None:
    tenant.certificate("site", duration="60s", renewal={"before": "53s"})
    tenant.frontend("site", ["site"])
    first = tenant.ready("site")["status"]
    assert first["nextTime"] == first["renewalTime"] < first["notAfter"]
    second = tenant.revision("site", 2, seconds=40)["status"]
    tenant.served(tenant.host(), second["fingerprint"], tenant.tls("site")[0])
    tenant.certificate("site", duration="60s", renewal={"before": "53s", "suspend": True})
    told = tenant.ready("site", reason="Suspended")["status"]
    assert "renewalTime" not in told
    tenant.annotate("Certificate", "site", renew="1")
    after = tenant.revision("site", told["revision"] + 1)
    assert condition(after, "Ready")["reason"] == "Suspended"  # type: ignore[index]


def test_a_changed_ca_reissues(tenant: Tenant) -> None:
    first, second = material.ca("First"), material.ca("Second")
    tenant.pair("authority", first.pem, first.key_pem)
    tenant.apply("Issuer", "private", {"type": "CA", "ca": {"secretRef": {"name": "authority"}}})
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}})
    tenant.frontend("site", ["site"])
    status = tenant.ready("site")["status"]
    tenant.served(tenant.host(), status["fingerprint"], first.pem.decode())
    tenant.pair("authority", second.pem, second.key_pem)
    status = tenant.revision("site", 2)["status"]
    assert status["issuer"] == "CN=Second"
    tenant.served(tenant.host(), status["fingerprint"], second.pem.decode())


def test_a_certificate_never_outlives_its_ca(tenant: Tenant) -> None:
    end = material.now() + 3 * DAY
    authority = material.authority("Ending", not_before=material.now() - DAY, not_after=end)
    tenant.pair("authority", authority.pem, authority.key_pem)
    tenant.apply("Issuer", "private", {"type": "CA", "ca": {"secretRef": {"name": "authority"}}})
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}})
    assert tenant.ready("site")["status"]["notAfter"] == to_text(end)


def test_a_changed_spec_keeps_the_old_until_the_new(tenant: Tenant, world: World) -> None:
    """The new name cannot be validated: the old certificate stays served; going back costs nothing."""
    bad = tenant.host("nowhere")
    world.dns("set-servfail", host=f"{bad}.")
    tenant.certificate("site", "ACME")
    tenant.frontend("site", ["site"], hostnames=[tenant.host()])
    before = tenant.ready("site", seconds=60)["status"]
    tenant.served(tenant.host(), before["fingerprint"], world.pebble_root)
    tenant.certificate("site", "ACME", dnsNames=[tenant.host(), bad])
    told = tenant.condition("site", "Ready", "False", reason="ChallengeFailed", seconds=60)
    assert told["status"]["fingerprint"] == before["fingerprint"]
    tenant.served(tenant.host(), before["fingerprint"], world.pebble_root)
    tenant.certificate("site", "ACME")
    after = tenant.ready("site")["status"]
    assert after["fingerprint"] == before["fingerprint"]
    assert after["revision"] == before["revision"]
    assert "lastFailure" not in after
    world.dns("clear-servfail", host=f"{bad}.")


def test_a_changed_type_keeps_the_old_until_the_new(tenant: Tenant, world: World) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    status = tenant.ready("site")["status"]
    tenant.served(tenant.host(), status["fingerprint"], tenant.tls("site")[0])
    tenant.certificate("site", "ACME")
    status = tenant.revision("site", 2, seconds=60)["status"]
    tenant.served(tenant.host(), status["fingerprint"], world.pebble_root)


@pytest.fixture
def backend() -> Iterator[int]:
    """A server that answers; its port."""

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            # A health check is a connection without a request, and is reset.
            with contextlib.suppress(ConnectionResetError):
                super().handle()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_no_request_fails_while_certificates_rotate(
    tenant: Tenant, world: World, backend: int
) -> None:
    """Each request is a connection of its own, verified, and three rotations pass meanwhile."""
    tenant.pair("authority", ROOT.pem, ROOT.key_pem)
    tenant.apply("Issuer", "private", {"type": "CA", "ca": {"secretRef": {"name": "authority"}}})
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}})
    farm = {"name": "web", "servers": [{"address": "127.0.0.1", "port": backend}]}
    tenant.frontend("site", ["site"], farms=[farm])
    root = ROOT.pem.decode()
    tenant.served(tenant.host(), tenant.ready("site")["status"]["fingerprint"], root)
    tenant.ready("site", kind="LoadBalancerFrontend")
    done, failures, answers = threading.Event(), [], []

    def ask(number: int) -> None:
        node = world.nodes[number]
        while not done.is_set():
            try:
                answer = clients.request(node, tenant.host(), root=root)
                answers.append((answer.status, answer.body))
            except OSError as error:
                failures.append(repr(error))
            done.wait(_BETWEEN_REQUESTS)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(world.nodes))]
    for thread in threads:
        thread.start()
    try:
        for revision in (2, 3, 4):
            tenant.annotate("Certificate", "site", renew=str(revision))
            status = tenant.revision("site", revision)["status"]
            tenant.served(tenant.host(), status["fingerprint"], root)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(answers) == {(200, b"hello")}
    assert len(answers) > 10
