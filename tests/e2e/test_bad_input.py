"""What bad input gets: one row each, with what is told, what stays served, and how it heals."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509

from tests.e2e import material
from tests.e2e.api import Object, Refused
from tests.e2e.material import DAY, Issued
from tests.e2e.world import FARM, Tenant, World, condition
from tests.unit.pki.builders import ec_key, pkcs8, rsa_key

ROOT = material.ca("Row Root")
INNER = material.ca("Row Inner", issuer=ROOT)
OUTER = material.ca("Row Outer", issuer=ROOT)


def good(host: str) -> tuple[bytes, bytes]:
    """A pair with its chain."""
    pair = material.leaf(host, issuer=INNER)
    return material.chain(pair, INNER), pair.key_pem


Pair = tuple[bytes, bytes]


@dataclass(frozen=True)
class Upload:
    """One row of uploaded material: how `bad` is made for a host, and what is said about it."""

    bad: Callable[[str], Pair]
    reason: str
    says: str
    uploaded: dict[str, Any] = field(default_factory=dict)


def _spoiled(**spoiled: Any) -> Callable[[str], Pair]:
    def bad(host: str) -> Pair:
        pair = material.leaf(host, issuer=INNER, **spoiled)
        return material.chain(pair, INNER), pair.key_pem

    return bad


def _with(change: Callable[[Issued], Pair]) -> Callable[[str], Pair]:
    return lambda host: change(material.leaf(host, issuer=INNER))


UPLOADS = {
    "passphrase": Upload(
        _with(lambda pair: (material.chain(pair, INNER), pkcs8(pair.key, b"secret"))),
        "PassphraseProtected",
        "protected by a passphrase. Remove it",
    ),
    "mismatched key": Upload(
        _with(lambda pair: (material.chain(pair, INNER), pkcs8(ec_key()))),
        "KeyMismatch",
        "does not belong to the certificate",
    ),
    "expired": Upload(
        _spoiled(not_before=material.now() - 9 * DAY, days=8), "Expired", "expired at"
    ),
    "disconnected chain": Upload(
        _with(lambda pair: (material.chain(pair, OUTER), pair.key_pem)),
        "ChainDisconnected",
        "do not lead on from the leaf",
    ),
    "missing intermediate": Upload(
        _with(lambda pair: (pair.pem, pair.key_pem)),
        "ChainIncomplete",
        "does not lead to a certificate of the trust bundle",
        uploaded={"trustBundleRef": {"name": "roots", "key": "ca.crt"}},
    ),
    "weak key": Upload(_spoiled(key=rsa_key(1024)), "WeakKey", "fewer than 2048 bits"),
    "garbage": Upload(lambda _host: (b"\x00garbage\xff", b"more garbage"), "NotPEM", "no PEM"),
    "oversized": Upload(
        _with(lambda pair: (material.chain(*[pair, INNER] * 400), pair.key_pem)),
        "TooLarge",
        "larger than any",
    ),
}


@pytest.mark.parametrize("row", UPLOADS.values(), ids=UPLOADS.keys())
def test_a_bad_upload_is_told_and_what_is_served_stays(
    tenant: Tenant, world: World, row: Upload
) -> None:
    host, root = tenant.host(), ROOT.pem.decode()
    tenant.secret("roots", {"ca.crt": ROOT.pem})
    tenant.pair("given", *good(host))
    source = {"secretRef": {"name": "given"}, **row.uploaded}
    tenant.certificate("held", "Uploaded", uploaded=source)
    tenant.frontend("held", ["held"])
    before = tenant.ready("held")["status"]["fingerprint"]
    tenant.served(host, before, root)

    tenant.pair("given", *row.bad(host))
    told = tenant.condition("held", "Ready", "True", reason="RenewalFailing", message=row.says)
    assert told["status"]["fingerprint"] == before
    _no_kstatus_conditions(told)
    event = world.journal.wait_event(tenant.namespace, "held", "RenewalFailing")
    assert event["type"] == "Warning"

    tenant.certificate("fresh", "Uploaded", uploaded=source, dnsNames=[host])
    fresh = tenant.condition("fresh", "Ready", "False", reason=row.reason, message=row.says)
    assert condition(fresh, "Stalled")["reason"] == row.reason  # type: ignore[index]
    assert condition(fresh, "Ready")["message"].endswith(f"/{row.reason}")  # type: ignore[index]
    assert condition(fresh, "Reconciling") is None
    world.journal.wait_event(tenant.namespace, "fresh", row.reason)
    tenant.served(host, before, root)

    tenant.pair("given", *good(host))
    after = tenant.revision("held", 2)["status"]
    assert after["fingerprint"] != before
    assert "lastFailure" not in after
    assert tenant.ready("fresh")["status"]["fingerprint"] == after["fingerprint"]
    tenant.served(host, after["fingerprint"], root)


def _no_kstatus_conditions(body: Object) -> None:
    """A Ready object must hold nobody's upgrade."""
    assert condition(body, "Reconciling") is None
    assert condition(body, "Stalled") is None


def test_a_wrong_order_is_put_right(tenant: Tenant) -> None:
    pair = material.leaf(tenant.host(), issuer=INNER)
    tenant.pair("given", material.chain(INNER, pair), pair.key_pem)
    tenant.certificate("site", "Uploaded", uploaded={"secretRef": {"name": "given"}})
    tenant.ready("site")
    stored = x509.load_pem_x509_certificates(tenant.tls("site")[0].encode())
    assert stored == [pair.certificate, INNER.certificate]


def test_a_fresh_pair_that_is_not_yet_valid_waits(tenant: Tenant, world: World) -> None:
    start = material.now() + 2 * DAY
    early = material.leaf(tenant.host(), issuer=ROOT, not_before=start)
    tenant.pair("given", early.pem, early.key_pem)
    tenant.certificate("site", "Uploaded", uploaded={"secretRef": {"name": "given"}})
    tenant.frontend("site", ["site"], hostnames=[tenant.host()])
    told = tenant.condition("site", "Ready", "False", reason="NotYetValid", message="valid from")
    assert condition(told, "Stalled") is None, "time cures it"
    assert condition(told, "Reconciling")["reason"] == "NotYetValid"  # type: ignore[index]
    world.journal.wait_event(tenant.namespace, "site", "NotYetValid")
    tenant.pair("given", *good(tenant.host()))
    tenant.served(tenant.host(), tenant.ready("site")["status"]["fingerprint"], ROOT.pem.decode())


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        pytest.param(
            {"type": "Uploaded", "uploaded": {"secretRef": {"name": "given"}}},
            "SecretNotFound",
            "Secret given does not exist",
            id="no such Secret",
        ),
        pytest.param(
            {
                "type": "Uploaded",
                "uploaded": {
                    "secretRef": {"name": "given", "pkcs12Key": "p12"},
                    "passwordSecretRef": {"name": "password"},
                },
            },
            "SecretNotFound",
            "Secret given does not exist",
            id="no such PKCS#12",
        ),
        pytest.param(
            {"type": "CA", "ca": {"issuerRef": {"name": "given"}}},
            "IssuerNotFound",
            "There is no Issuer",
            id="no such Issuer",
        ),
        pytest.param(
            {"type": "ACME", "acme": {"issuerRef": {"name": "given"}}},
            "IssuerNotFound",
            "There is no Issuer",
            id="no such ACME Issuer",
        ),
    ],
)
def test_what_is_absent_is_waited_for(
    tenant: Tenant, world: World, spec: Object, reason: str, says: str
) -> None:
    """What another object can cure is never Stalled, and its coming is noticed at once."""
    host = tenant.host()
    wanted = {**spec, "dnsNames": [host]}
    tenant.apply("Certificate", "site", wanted)
    tenant.frontend("site", ["site"], hostnames=[host])
    told = tenant.condition("site", "Ready", "False", reason=reason, message=says)
    assert condition(told, "Stalled") is None
    assert condition(told, "Reconciling")["reason"] == reason  # type: ignore[index]
    assert world.journal.wait_event(tenant.namespace, "site", reason)["type"] == "Warning"
    root = _supply(tenant, spec)
    healed = tenant.ready("site", seconds=60)["status"]
    tenant.served(host, healed["fingerprint"], root)


def _supply(tenant: Tenant, spec: Object) -> str:
    """Make what the spec refers to; returns the root of what comes of it."""
    if spec["type"] == "Uploaded":
        pair = material.leaf(tenant.host(), issuer=ROOT)
        if "pkcs12Key" in spec["uploaded"]["secretRef"]:
            tenant.secret("password", {"password": b"open"})
            tenant.secret("given", {"p12": material.pkcs12_of(pair, b"open")})
        else:
            tenant.pair("given", pair.pem, pair.key_pem)
        return ROOT.pem.decode()
    if spec["type"] == "CA":
        tenant.pair("authority", ROOT.pem, ROOT.key_pem)
        settings = {"type": "CA", "ca": {"secretRef": {"name": "authority"}}}
        tenant.apply("Issuer", "given", settings)
        return ROOT.pem.decode()
    shared = tenant.world.api.get("Issuer", "edge", "pebble")
    assert shared is not None
    tenant.apply("Issuer", "given", {"type": "ACME", "acme": shared["spec"]["acme"]})
    return tenant.world.pebble_root


def test_a_secret_of_someone_else_is_left_alone(tenant: Tenant, world: World) -> None:
    theirs = material.leaf(tenant.host(), issuer=ROOT)
    tenant.pair("site", theirs.pem, theirs.key_pem, labelled=False)
    tenant.certificate("site", "ACME")
    tenant.frontend("site", ["site"])
    told = tenant.condition("site", "Ready", "False", reason="SecretConflict", message="left alone")
    assert condition(told, "Stalled") is None
    world.journal.wait_event(tenant.namespace, "site", "SecretConflict")
    assert tenant.tls("site")[0].encode() == theirs.pem
    assert "order" not in told["status"], "nothing is ordered"
    world.api.delete("Secret", tenant.namespace, "site")
    tenant.annotate("Certificate", "site", renew="1")  # an unlabelled Secret is not watched
    healed = tenant.ready("site", seconds=60)["status"]
    tenant.served(tenant.host(), healed["fingerprint"], world.pebble_root)


def test_a_domain_that_does_not_resolve_is_told_by_name(tenant: Tenant, world: World) -> None:
    bad = tenant.host("nowhere")
    world.dns("set-servfail", host=f"{bad}.")
    tenant.certificate("site", "ACME", dnsNames=[tenant.host(), bad])
    tenant.frontend("site", ["site"])
    told = tenant.condition("site", "Ready", "False", reason="ChallengeFailed", seconds=60)
    failure = told["status"]["lastFailure"]
    assert (failure["identifier"], failure["challenge"]) == (bad, "http-01")
    assert failure["reason"] == "ChallengeFailed"
    assert told["status"]["nextAttemptTime"]
    assert told["status"]["failedAttempts"] == 1
    assert condition(told, "Stalled") is None
    assert condition(told, "Ready")["message"].startswith(bad)  # type: ignore[index]
    assert condition(told, "Progressing")["reason"] == "Retrying"  # type: ignore[index]
    world.journal.wait_event(tenant.namespace, "site", "ChallengeFailed")
    world.dns("clear-servfail", host=f"{bad}.")
    tenant.annotate("Certificate", "site", renew="now")
    healed = tenant.ready("site", seconds=60)["status"]
    assert "lastFailure" not in healed
    assert healed.get("failedAttempts", 0) == 0
    tenant.served(bad, healed["fingerprint"], world.pebble_root)


def test_a_ca_that_is_unreachable_is_waited_for(tenant: Tenant, world: World) -> None:
    shared = world.api.get("Issuer", "edge", "pebble")
    assert shared is not None
    acme = shared["spec"]["acme"]
    with _unused_port(world) as address:
        dead = {**acme, "directoryURL": f"https://{address}/dir"}
        tenant.apply("Issuer", "mine", {"type": "ACME", "acme": dead})
        tenant.certificate("site", "ACME", acme={"issuerRef": {"name": "mine"}})
        tenant.frontend("site", ["site"])
        issuer = tenant.condition("mine", "Ready", "False", kind="Issuer", reason="CAUnreachable")
        assert condition(issuer, "Stalled") is None
        told = tenant.condition("site", "Ready", "False", reason="CAUnreachable")
        assert condition(told, "Stalled") is None
        assert told["status"].get("failedAttempts", 0) == 0, "it costs no attempt"
        world.journal.wait_event(tenant.namespace, "mine", "CAUnreachable")
        world.journal.wait_event(tenant.namespace, "site", "CAUnreachable")
    tenant.apply("Issuer", "mine", {"type": "ACME", "acme": acme})
    tenant.ready("mine", kind="Issuer")
    healed = tenant.ready("site", seconds=60)["status"]
    tenant.served(tenant.host(), healed["fingerprint"], world.pebble_root)


@contextlib.contextmanager
def _unused_port(world: World) -> Iterator[str]:
    """An address that takes no connection, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.bind((world.state.control_address, 0))
        yield f"{held.getsockname()[0]}:{held.getsockname()[1]}"


def test_an_invalid_ca_issuer_is_told_on_both(tenant: Tenant, world: World) -> None:
    """A leaf in place of a CA: the Issuer's own bytes are at fault, the Certificate waits."""
    leaf = material.leaf("not-a-ca.example.com")
    tenant.pair("authority", leaf.pem, leaf.key_pem)
    tenant.apply("Issuer", "private", {"type": "CA", "ca": {"secretRef": {"name": "authority"}}})
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}})
    tenant.frontend("site", ["site"], hostnames=[tenant.host()])
    issuer = tenant.condition("private", "Ready", "False", kind="Issuer")
    reason = condition(issuer, "Ready")["reason"]  # type: ignore[index]
    assert condition(issuer, "Stalled")["reason"] == reason  # type: ignore[index]
    told = tenant.condition("site", "Ready", "False", reason=reason)
    assert condition(told, "Stalled") is None, "the Issuer can be cured"
    world.journal.wait_event(tenant.namespace, "private", reason)
    world.journal.wait_event(tenant.namespace, "site", reason)
    tenant.pair("authority", ROOT.pem, ROOT.key_pem)
    tenant.ready("private", kind="Issuer")
    tenant.served(tenant.host(), tenant.ready("site")["status"]["fingerprint"], ROOT.pem.decode())


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({"isCA": True}, "does not sign CAs", id="a CA"),
        pytest.param({"usages": ["client auth"]}, "client auth", id="a client certificate"),
        pytest.param({"duration": "9000h"}, "at most", id="too long"),
    ],
)
def test_what_the_issuer_does_not_sign_is_refused(
    tenant: Tenant, world: World, spec: Object, says: str
) -> None:
    tenant.pair("authority", ROOT.pem, ROOT.key_pem)
    settings = {"secretRef": {"name": "authority"}, "maxDuration": "720h"}
    tenant.apply("Issuer", "private", {"type": "CA", "ca": settings})
    asked = {"duration": "24h", **spec}
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}}, **asked)
    told = tenant.condition("site", "Ready", "False", reason="NotAllowedByIssuer", message=says)
    assert condition(told, "Stalled") is not None, "the spec itself asks for it"
    world.journal.wait_event(tenant.namespace, "site", "NotAllowedByIssuer")
    tenant.certificate("site", "CA", ca={"issuerRef": {"name": "private"}}, duration="24h")
    tenant.ready("site")


def test_a_name_that_is_not_granted_is_withheld(
    tenant: Tenant, neighbour: Tenant, world: World
) -> None:
    neighbour.pair("authority", ROOT.pem, ROOT.key_pem)
    granted: Object = {
        "type": "CA",
        "ca": {"secretRef": {"name": "authority"}},
        "grants": [{"namespaces": {"names": [tenant.namespace]}, "hostnames": [tenant.host("ok")]}],
    }
    neighbour.apply("Issuer", "shared", granted)
    reference = {"issuerRef": {"name": "shared", "namespace": neighbour.namespace}}
    tenant.certificate("site", "CA", ca=reference, dnsNames=[tenant.host("ok"), tenant.host()])
    tenant.frontend("site", ["site"], hostnames=[tenant.host("ok")])
    told = tenant.condition(
        "site", "Ready", "False", reason="NameNotGranted", message=tenant.host()
    )
    assert tenant.host("ok") not in condition(told, "Ready")["message"]  # type: ignore[index]
    assert condition(told, "Stalled") is None
    world.journal.wait_event(tenant.namespace, "site", "NameNotGranted")
    granted["grants"][0]["hostnames"] = ["*.$(namespace).example.com"]
    neighbour.apply("Issuer", "shared", granted)
    healed = tenant.ready("site")["status"]
    tenant.served(tenant.host("ok"), healed["fingerprint"], ROOT.pem.decode())


def test_without_a_grant_an_issuer_reads_like_an_absent_one(
    tenant: Tenant, neighbour: Tenant
) -> None:
    neighbour.pair("authority", ROOT.pem, ROOT.key_pem)
    neighbour.apply("Issuer", "shared", {"type": "CA", "ca": {"secretRef": {"name": "authority"}}})
    for number, name in enumerate(("shared", "absent")):
        reference = {"issuerRef": {"name": name, "namespace": neighbour.namespace}}
        tenant.certificate(f"site-{number}", "CA", ca=reference)
    told = [
        condition(
            tenant.condition(f"site-{number}", "Ready", "False", reason="IssuerNotFound"), "Ready"
        )
        for number in range(2)
    ]
    messages = [each["message"].replace("absent", "shared") for each in told if each]
    assert messages[0] == messages[1]


def test_a_hostname_claimed_twice_is_withheld_from_the_later(
    tenant: Tenant, neighbour: Tenant, world: World
) -> None:
    """Only the contested name is; the loser's other names are served, and it is told by whom."""
    contested, own = tenant.host(), tenant.host("own")
    tenant.certificate("first", dnsNames=[contested])
    tenant.frontend("first", ["first"])
    first = tenant.ready("first")["status"]["fingerprint"]
    tenant.ready("first", kind="LoadBalancerFrontend")
    neighbour.certificate("second", dnsNames=[contested, own])
    neighbour.frontend("second", ["second"])
    second = neighbour.ready("second")["status"]["fingerprint"]
    told = neighbour.condition(
        "second",
        "Accepted",
        "False",
        kind="LoadBalancerFrontend",
        reason="HostnameConflict",
        message=f"{tenant.namespace}/first",
    )
    assert condition(told, "Stalled") is None
    world.journal.wait_event(neighbour.namespace, "second", "HostnameConflict")
    tenant.served(own, second, neighbour.tls("second")[0])
    tenant.served(contested, first, tenant.tls("first")[0])
    tenant.delete("LoadBalancerFrontend", "first")
    neighbour.ready("second", kind="LoadBalancerFrontend")
    tenant.served(contested, second, neighbour.tls("second")[0])


def test_a_hostname_that_the_load_balancer_does_not_grant_is_withheld(
    tenant: Tenant, world: World
) -> None:
    """Told on the frontend, whose other names are served; a grant heals it."""
    balancer = world.api.get("LoadBalancer", "edge", "haproxy")
    assert balancer is not None
    ok, other = tenant.host("ok"), tenant.host("other")
    tenant.certificate("site", dnsNames=[ok, other])
    limited = {**balancer["spec"]["grants"][0], "hostnames": [ok]}
    patch: Object = {"spec": {"grants": [limited]}}
    world.api.merge("LoadBalancer", "edge", "haproxy", patch)
    try:
        tenant.frontend("site", ["site"])
        tenant.condition(
            "site",
            "Accepted",
            "False",
            kind="LoadBalancerFrontend",
            reason="HostnameNotGranted",
            message=other,
        )
        world.journal.wait_event(tenant.namespace, "site", "HostnameNotGranted")
        fingerprint = tenant.ready("site")["status"]["fingerprint"]
        tenant.served(ok, fingerprint, tenant.tls("site")[0])
    finally:
        patch["spec"]["grants"] = balancer["spec"]["grants"]
        world.api.merge("LoadBalancer", "edge", "haproxy", patch)
    tenant.ready("site", kind="LoadBalancerFrontend")
    tenant.served(other, fingerprint, tenant.tls("site")[0])


def test_a_port_that_another_process_holds_is_told(
    tenant: Tenant, neighbour: Tenant, world: World
) -> None:
    """HAProxy refuses the new configuration: the culprit alone is told, everyone else is served."""
    tenant.certificate("fine")
    tenant.frontend("fine", ["fine"])
    fine = tenant.ready("fine")["status"]["fingerprint"]
    tenant.served(tenant.host(), fine, tenant.tls("fine")[0])
    node = world.nodes[0]
    neighbour.certificate("site")
    with socket.create_server((node.address, 0)) as taken:
        port = taken.getsockname()[1]
        neighbour.frontend("site", ["site"], port=port)
        told = neighbour.condition(
            "site",
            "Ready",
            "False",
            kind="LoadBalancerFrontend",
            reason="NodeFailed",
            message=node.name,
            seconds=40,
        )
        assert condition(told, "Stalled") is None
        world.journal.wait_event(neighbour.namespace, "site", "NodeFailed")
        tenant.served(tenant.host(), fine, tenant.tls("fine")[0])
        tenant.ready("fine", kind="LoadBalancerFrontend")
        rotated = _rotated(tenant, "fine")
        tenant.served(tenant.host(), rotated, tenant.tls("fine")[0])
    neighbour.ready("site", kind="LoadBalancerFrontend", seconds=60)
    fingerprint = neighbour.get("Certificate", "site")["status"]["fingerprint"]
    neighbour.served(neighbour.host(), fingerprint, neighbour.tls("site")[0], port=port)


def _rotated(tenant: Tenant, name: str) -> str:
    tenant.annotate("Certificate", name, renew="again")
    fingerprint: str = tenant.revision(name, 2)["status"]["fingerprint"]
    return fingerprint


def test_a_configuration_that_haproxy_refuses_harms_only_its_tenant(
    tenant: Tenant, neighbour: Tenant, world: World
) -> None:
    """A trust store of a farm that is no PEM: told before or after HAProxy has seen it."""
    tenant.certificate("fine")
    tenant.frontend("fine", ["fine"])
    neighbour.certificate("site")
    neighbour.secret("backend", {"ca.crt": b"-----BEGIN CERTIFICATE-----\nAAAA\n"})
    farm = {**FARM, "verify": {"caSecretRef": {"name": "backend"}, "serverName": "backend"}}
    neighbour.frontend("site", ["site"], farms=[farm])
    fine = tenant.ready("fine")["status"]["fingerprint"]
    told = neighbour.condition("site", "Ready", "False", kind="LoadBalancerFrontend", seconds=40)
    assert condition(told, "Ready")["reason"] not in ("WaitingForNodes", "Applying")  # type: ignore[index]
    tenant.ready("fine", kind="LoadBalancerFrontend")
    tenant.served(tenant.host(), fine, tenant.tls("fine")[0])
    neighbour.secret("backend", {"ca.crt": ROOT.pem})
    neighbour.ready("site", kind="LoadBalancerFrontend", seconds=40)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param(
            {"type": "SelfSigned", "secret": {"formats": [{"type": "DER"}]}},
            "spec.secret.formats",
            id="formats",
        ),
        pytest.param(
            {"type": "SelfSigned", "secret": {"deletionPolicy": "RevokeAndDelete"}},
            "RevokeAndDelete",
            id="RevokeAndDelete",
        ),
    ],
)
def test_a_field_whose_capability_comes_later_is_refused(
    tenant: Tenant, spec: Object, field: str
) -> None:
    tenant.apply("Certificate", "site", {**spec, "dnsNames": [tenant.host()]})
    told = tenant.condition("site", "Ready", "False", reason="UnsupportedField", message=field)
    assert condition(told, "Stalled") is not None
    tenant.certificate("site", secret={"formats": [], "deletionPolicy": "Retain"})
    tenant.ready("site")


def test_an_oversized_secret_never_arrives(tenant: Tenant) -> None:
    """What the API server itself refuses needs no bound of ours."""
    with pytest.raises(Refused):
        tenant.pair("given", b"x" * 2_000_000, b"y")
