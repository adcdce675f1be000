"""What Secrets say: read one by one, and none can do harm."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from certfront.agent.bundles import from_pem, from_secret
from certfront.agent.inbox import Inbox
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import InvalidHandover
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from tests.unit.loadbalancers.haproxy.manifests import manifest
from tests.unit.pki import builders

LB = ObjectName("edge", "haproxy")
ROOT = builders.authority()
ISSUED = builders.certificate(issuer=ROOT)
CANARY = b"canary-in-the-key"


def stamped(secret: dict[str, Any], version: str = "1") -> dict[str, Any]:
    secret["metadata"]["resourceVersion"] = version
    return secret


def bundle(tls_crt: bytes = ISSUED.pem, tls_key: bytes = ISSUED.key_pem) -> dict[str, Any]:
    return stamped(
        handover.bundle_secret(
            LB,
            kind="Certificate",
            source=ObjectName("shop", "a"),
            tls_crt=tls_crt,
            tls_key=tls_key,
        )
    )


BUNDLE = bundle()["metadata"]["name"]


def test_what_is_good_is_offered() -> None:
    inbox = Inbox("haproxy")
    secret = stamped(handover.manifest_secret(LB, manifest()))
    inbox.replace([secret, bundle()], "9")
    offers = inbox.snapshot()
    assert offers.resource_version == "9"
    assert list(offers.manifests.values()) == [manifest()]
    assert list(offers.bundles) == [BUNDLE]
    assert offers.unreadable == {}


def test_the_order_is_key_leaf_chain_and_a_root_is_left_out() -> None:
    held = from_secret(bundle(ISSUED.pem + ROOT.pem)["data"])
    assert held.pem == ISSUED.key_pem + ISSUED.pem
    assert held.key_type is KeyAlgorithm.ECDSA
    assert from_pem(held.pem) == held
    assert b"PRIVATE" not in repr(held).encode()


def newer() -> dict[str, Any]:
    secret = stamped(handover.manifest_secret(LB, manifest()))
    content = json.dumps({"version": 3}).encode()
    secret["data"]["manifest.json"] = base64.b64encode(content).decode()
    return secret


def unfit() -> dict[str, Any]:
    return stamped(handover.manifest_secret(LB, manifest(hostnames=("a b",))))


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (bundle(tls_key=b""), "KeyMissing"),
        (bundle(tls_key=builders.pkcs8(builders.ec_key())), "KeyMismatch"),
        (bundle(tls_key=CANARY), "NotPEM"),
        (bundle(tls_crt=CANARY), "NotPEM"),
        (bundle(tls_crt=b"A" * 300_000), "TooLarge"),
        (newer(), "NewerVersion"),
        (unfit(), "InvalidManifest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_listed_without_a_word_of_it(
    secret: dict[str, Any], reason: str
) -> None:
    inbox = Inbox("haproxy")
    inbox.put(secret)
    (failure,) = inbox.snapshot().unreadable.values()
    assert failure.secret == secret["metadata"]["name"]
    assert failure.reason == reason
    assert "canary" not in failure.message


def test_a_bad_version_replaces_a_good_one_and_heals() -> None:
    inbox = Inbox("haproxy")
    inbox.put(bundle())
    inbox.put(stamped(bundle(tls_key=b""), "2"))
    assert inbox.snapshot().bundles == {}
    inbox.put(stamped(bundle(), "3"))
    assert inbox.snapshot().unreadable == {}


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"certfront.io/secret": "bundle", "certfront.io/load-balancer": "other"},
        {"certfront.io/secret": "account", "certfront.io/load-balancer": "haproxy"},
    ],
    ids=["none", "another load balancer", "another role"],
)
def test_secrets_that_are_not_for_us_are_not_read(labels: dict[str, str]) -> None:
    inbox = Inbox("haproxy")
    secret = bundle()
    secret["metadata"]["labels"] = labels
    inbox.put(secret)
    assert inbox.snapshot().secrets == frozenset()


def test_a_list_replaces_all_and_an_event_one() -> None:
    inbox = Inbox("haproxy")
    inbox.put(bundle())
    inbox.replace([], "5")
    assert inbox.snapshot().secrets == frozenset()
    inbox.put(bundle())
    before = inbox.snapshot()
    inbox.drop(BUNDLE)
    assert inbox.snapshot().secrets == frozenset()
    assert before.secrets == {BUNDLE}


@pytest.mark.parametrize(
    "content",
    [b"", b"torn", ISSUED.pem, ISSUED.key_pem, ISSUED.pem + ISSUED.key_pem],
    ids=["empty", "torn", "no key", "no certificate", "wrong order"],
)
def test_a_file_that_we_did_not_write_is_none_of_ours(content: bytes) -> None:
    with pytest.raises(InvalidHandover):
        from_pem(content)
