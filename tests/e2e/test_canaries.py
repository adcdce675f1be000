"""Private keys in every kind of input, and not a trace of them anywhere that people look."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.e2e import material
from tests.e2e.api import Object, Refused
from tests.e2e.material import Issued
from tests.e2e.world import FARM, Tenant, World
from tests.unit.pki.builders import ec_key, pkcs8, rsa_key, traditional

ROOT = material.ca("Canary Root")
_SHORTEST = 24


def marks(pem: bytes) -> Iterator[str]:
    """Every line of the body, and what of it survives in base64 of the whole at any offset."""
    for line in pem.decode().splitlines():
        if not line.startswith("-----") and len(line) >= _SHORTEST:
            yield line[:40]
    for skip in range(3):
        yield base64.b64encode(pem[30 + skip : 30 + skip + 60]).decode()[4:-4]


def numbers(key: RSAPrivateKey) -> Iterator[str]:
    """The secret primes as numbers, as an exception might print them."""
    private = key.private_numbers()
    yield from (str(private.p), f"{private.p:x}", str(private.d)[:60])


class Canaries:
    """Collects what must be found nowhere."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def add(self, pem: bytes) -> bytes:
        """Remember a private key in PEM, and give it back."""
        self.found.update(marks(pem))
        return pem

    def pair(self, issued: Issued) -> Issued:
        """Remember the key of a pair, in both shapes."""
        self.add(issued.key_pem)
        self.add(traditional(issued.key))
        return issued

    def secret(self, text: str) -> str:
        """Remember a password."""
        self.found.add(text)
        return text


def test_a_private_key_is_found_nowhere(tenant: Tenant, world: World) -> None:
    canaries = Canaries()
    canaries.found.update(numbers(rsa_key()))
    refusals = [
        *_uploads(tenant, canaries),
        *_authorities(tenant, canaries),
        *_accounts(tenant, canaries),
        *_pasted(tenant, canaries),
    ]
    world.quiet()
    _stored(world, tenant, canaries)
    places = dict(_places(world, tenant))
    places["answers"] = "\n".join(refusals)
    assert len(refusals) > 5, "the API server has refused what was pasted"
    assert all(places.values()), "every place has something in it"
    for where, text in places.items():
        flat = re.sub(r"\s|\\n", "", text)
        for mark in canaries.found:
            assert mark not in text, f"a private key is in {where}"
            assert re.sub(r"\s", "", mark) not in flat, f"a private key is in {where}"


def _uploads(tenant: Tenant, canaries: Canaries) -> Iterator[str]:
    """Good, mismatched, encrypted, swapped, damaged; PEM and PKCS#12."""
    good = canaries.pair(material.leaf(tenant.host(), issuer=ROOT))
    other = canaries.add(pkcs8(ec_key()))
    rsa = canaries.pair(material.leaf(tenant.host(), issuer=ROOT, key=rsa_key()))
    password = canaries.secret("correct horse battery staple")
    material_of = {
        "good": {"tls.crt": good.pem, "tls.key": good.key_pem},
        "rsa": {"tls.crt": rsa.pem, "tls.key": traditional(rsa.key)},
        "mismatched": {"tls.crt": good.pem, "tls.key": other},
        "encrypted": {"tls.crt": good.pem, "tls.key": pkcs8(good.key, password.encode())},
        "swapped": {"tls.crt": good.key_pem, "tls.key": good.pem},
        "both": {"tls.crt": good.pem + good.key_pem, "tls.key": good.key_pem},
        "damaged": {"tls.crt": good.pem, "tls.key": good.key_pem.replace(b"\n", b"\n!", 2)},
        "cut": {"tls.crt": good.pem, "tls.key": good.key_pem[:120]},
        "one-line": {"tls.crt": good.pem, "tls.key": good.key_pem.replace(b"\n", b"\\n")},
    }
    for name, data in material_of.items():
        tenant.secret(f"source-{name}", data)
        tenant.certificate(
            f"up-{name}", "Uploaded", uploaded={"secretRef": {"name": f"source-{name}"}}
        )
    wrong = canaries.secret("wrong horse battery staple")
    for name, word in (("p12", password), ("p12-wrong", wrong)):
        bundle = material.pkcs12_of(good, password.encode())
        tenant.secret(f"source-{name}", {"shop.p12": bundle, "password": word.encode()})
        source = {"name": f"source-{name}", "pkcs12Key": "shop.p12"}
        reference = {"name": f"source-{name}", "key": "password"}
        tenant.certificate(
            f"up-{name}", "Uploaded", uploaded={"secretRef": source, "passwordSecretRef": reference}
        )
    tenant.frontend("up", ["up-good", "up-mismatched"], hostnames=[tenant.host()])
    for name in ("good", "rsa", "p12"):
        tenant.ready(f"up-{name}")
    for name in (*set(material_of) - {"good", "rsa"}, "p12-wrong"):
        tenant.condition(f"up-{name}", "Stalled", "True")
    yield from ()


def _authorities(tenant: Tenant, canaries: Canaries) -> Iterator[str]:
    """A CA Secret that works, and one with the key in the place of the certificate."""
    good, swapped = (canaries.pair(material.ca(f"CA {n}")) for n in range(2))
    tenant.pair("ca-good", good.pem, good.key_pem)
    tenant.pair("ca-swapped", swapped.key_pem, swapped.pem)
    for name in ("good", "swapped"):
        tenant.apply("Issuer", name, {"type": "CA", "ca": {"secretRef": {"name": f"ca-{name}"}}})
        tenant.certificate(f"ca-site-{name}", "CA", ca={"issuerRef": {"name": name}})
    tenant.ready("ca-site-good")
    tenant.condition("ca-site-swapped", "Ready", "False")
    tenant.condition("swapped", "Ready", "False", kind="Issuer")
    yield from ()


def _accounts(tenant: Tenant, canaries: Canaries) -> Iterator[str]:
    """Account keys: one that works, and text that is no key with a key in it."""
    shared = tenant.world.api.get("Issuer", "edge", "pebble")
    assert shared is not None
    acme = shared["spec"]["acme"]
    keys = {
        "account-good": canaries.add(pkcs8(ec_key())),
        "account-bad": b"x" + canaries.add(pkcs8(ec_key()))[20:],
    }
    for name, key in keys.items():
        tenant.secret(name, {"tls.key": key}, labels={"certfront.io/secret": "account"})
        tenant.apply(
            "Issuer",
            name,
            {"type": "ACME", "acme": {**acme, "privateKeySecretRef": {"name": name}}},
        )
    tenant.ready("account-good", kind="Issuer")
    tenant.condition("account-bad", "Ready", "False", kind="Issuer")
    yield from ()


def _pasted(tenant: Tenant, canaries: Canaries) -> Iterator[str]:
    """A key in string fields: what the API server refuses is returned, the rest is looked at."""
    key = canaries.add(pkcs8(ec_key())).decode()
    host = tenant.host()
    specs: list[tuple[str, Object]] = [
        ("Certificate", {"type": "SelfSigned", "dnsNames": [key]}),
        ("Certificate", {"type": "SelfSigned", "commonName": key}),
        ("Certificate", {"type": "SelfSigned", "dnsNames": [host], "duration": key}),
        ("Certificate", {"type": "SelfSigned", "dnsNames": [host], "secret": {"name": key}}),
        (
            "Certificate",
            {"type": "SelfSigned", "dnsNames": [host], "secret": {"annotations": {"a": key}}},
        ),
        (
            "Certificate",
            {"type": "SelfSigned", "dnsNames": [host], "subject": {"organizations": [key]}},
        ),
        ("Certificate", {"type": "Uploaded", "uploaded": {"secretRef": {"name": key}}}),
        ("Issuer", {"type": "ACME", "acme": {"directoryURL": "https://a.example", "email": key}}),
        (
            "Issuer",
            {"type": "ACME", "acme": {"directoryURL": "https://a.example", "caBundle": key}},
        ),
        # Not where a list or a block belongs: to that a server-side apply is answered by the API
        # server's own merge code, before any schema, and it repeats the value.
        ("LoadBalancerFrontend", {"hostnames": [key], "farms": [FARM]}),
        ("LoadBalancerFrontend", {"displayName": key, "farms": [FARM]}),
        ("LoadBalancerFrontend", {"redirectLocation": key}),
        ("LoadBalancerFrontend", {"farms": [{**FARM, "name": key}]}),
    ]
    for number, (kind, spec) in enumerate(specs):
        try:
            tenant.apply(kind, f"pasted-{number}", spec)
        except Refused as refusal:
            yield refusal.text


def _stored(world: World, tenant: Tenant, canaries: Canaries) -> None:
    """The keys that the operator itself has made and stored are canaries, too."""
    for namespace in (tenant.namespace, "edge"):
        for secret in world.api.found("Secret", namespace, selector="certfront.io/secret"):
            key = base64.b64decode(secret.get("data", {}).get("tls.key", ""))
            if b"PRIVATE KEY" in key:
                canaries.add(key)


def _places(world: World, tenant: Tenant) -> Iterator[tuple[str, str]]:
    yield "the audit log", Path(world.state.audit_log).read_text()
    yield "the operator's metrics", world.metrics()
    for service in world.state.services:
        if service.name not in ("dns", "etcd"):
            yield f"the log of {service.name}", world.log(service.name) or "(empty)"
    own = [e for e in world.journal.entries if e.kind in ("Lease", "Event")]
    yield "events and leases", json.dumps([entry.body for entry in own])
    for kind in ("Certificate", "Issuer", "LoadBalancer", "LoadBalancerFrontend"):
        entries = [entry.body for entry in world.journal.entries if entry.kind == kind]
        yield f"statuses of {kind}", json.dumps([body.get("status") for body in entries])
    metadata = [e.body["metadata"] for e in world.journal.of("Secret", tenant.namespace)]
    yield "metadata of Secrets", json.dumps(metadata)
    configurations = [Path(node.configuration).read_text() for node in world.nodes]
    yield "configurations of HAProxy", "\n".join(configurations)


@pytest.mark.parametrize("key", [ec_key(), rsa_key()], ids=["EC", "RSA"])
def test_the_search_would_find_a_key(key: object) -> None:
    """In a log line, in JSON, and encoded once more."""
    pem = pkcs8(key)  # type: ignore[arg-type]
    for text in (pem.decode(), json.dumps(pem.decode()), base64.b64encode(b"a" + pem).decode()):
        assert any(mark in text for mark in marks(pem))
