"""The Secrets between operator and agents: what is written is read, and nothing else is."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from certfront.loadbalancers.haproxy.checks import check
from certfront.loadbalancers.haproxy.handover import (
    Challenge,
    Challenges,
    InvalidHandover,
    NewerVersion,
    bundle_secret,
    challenge_secret,
    manifest_secret,
    read_challenges,
    read_manifest,
    released,
    secret_name,
)
from certfront.model.frontend import HSTS
from certfront.model.meta import ObjectName
from tests.unit.loadbalancers.haproxy.manifests import manifest

LB = ObjectName("edge", "haproxy")
GOOD = Challenge(hostname="a.example", token="to_k-1", key_authorization="to_k-1." + "t" * 43)


def encoded(**content: Any) -> dict[str, str]:
    raw = base64.b64encode(json.dumps(content).encode()).decode()
    return {"manifest.json": raw, "challenge.json": raw}


def test_a_manifest_survives_the_way() -> None:
    held = manifest(hsts=HSTS(max_age=1), accept_terminated=True, trusted_sources=("10.0.0.0/8",))
    secret = manifest_secret(LB, held)
    assert read_manifest(secret["data"]) == held
    assert secret["metadata"] == {
        "name": secret_name(LB, "manifest", "LoadBalancerFrontend", "shop", "shop"),
        "namespace": "edge",
        "annotations": {"certfront.io/frontend": "shop/shop"},
        "labels": {"certfront.io/secret": "manifest", "certfront.io/load-balancer": "haproxy"},
    }
    assert json.loads(base64.b64decode(secret["data"]["manifest.json"]))["version"] == 1


def test_a_bundle_is_a_tls_secret_with_its_source() -> None:
    secret = bundle_secret(
        LB, kind="Certificate", source=ObjectName("shop", "a"), tls_crt=b"c", tls_key=b"k"
    )
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["annotations"] == {"certfront.io/certificate": "shop/a"}
    assert secret["data"] == {"tls.crt": "Yw==", "tls.key": "aw=="}


def test_challenges_survive_the_way() -> None:
    secret = challenge_secret(LB, certificate=ObjectName("shop", "a"), challenges=[GOOD])
    assert read_challenges(secret["data"]) == Challenges(challenges=(GOOD,))


def test_names_are_stable_and_of_32_digits() -> None:
    assert secret_name(LB, "bundle", "Certificate", "shop", "a") == (
        "bundle-837a1df3590abb91a3f322aad1e6cefa"
    )
    assert secret_name(LB, "bundle", "Secret", "shop", "a") != secret_name(
        LB, "bundle", "Certificate", "shop", "a"
    )


def test_two_load_balancers_of_one_namespace_have_names_of_their_own() -> None:
    other = ObjectName("edge", "other")
    assert secret_name(LB, "challenge", "Certificate", "shop", "a") != secret_name(
        other, "challenge", "Certificate", "shop", "a"
    )


def test_a_released_manifest_omits_everything() -> None:
    emptied = released(manifest(own_namespace=True))
    assert emptied.disabled
    assert emptied.bundles == ()
    assert emptied.hostnames == ()
    assert emptied.own_namespace


def test_a_newer_version_is_told_from_garbage() -> None:
    with pytest.raises(NewerVersion):
        read_manifest(encoded(version=3, something="else"))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"manifest.json": ""},
        {"manifest.json": "%%%"},
        {"manifest.json": 7},
        {"manifest.json": base64.b64encode(b"{").decode()},
        {"manifest.json": base64.b64encode(b"\xff\xfe").decode()},
        {"manifest.json": base64.b64encode(b"[]").decode()},
        {"manifest.json": "A" * 2_000_000},
        encoded(frontend="a/b"),
        encoded(version="1", frontend="a/b"),
        encoded(version=1),
        encoded(version=1, frontend="a/b", created="x", port="443"),
        encoded(version=1, frontend="a/b", created="x", port=443, httpsOnly=200),
        encoded(version=1, frontend="a/b", created="x", port=443, minTlsVersion="SSLv3"),
    ],
    ids=lambda data: str(data)[:60],
)
def test_garbage_is_refused_without_repeating_it(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidHandover) as caught:
        read_manifest(data)
    assert not isinstance(caught.value, NewerVersion)
    assert "SSLv3" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "a/b"},
        {"token": ""},
        {"token": "a" * 129},
        {"token": "other"},
        {"key_authorization": "to_k-1"},
        {"key_authorization": "to_k-1." + "t" * 42},
        {"key_authorization": "to_k-1." + "t" * 42 + "\n"},
        {"key_authorization": "to_k-1.%[env(PATH)]" + "t" * 31},
    ],
    ids=str,
)
def test_a_challenge_outside_rfc_8555s_characters_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidHandover):
        challenge_secret(
            LB,
            certificate=ObjectName("shop", "a"),
            challenges=[msgspec.structs.replace(GOOD, **changes)],
        )


def test_too_many_challenges_are_refused() -> None:
    with pytest.raises(InvalidHandover):
        challenge_secret(LB, certificate=ObjectName("shop", "a"), challenges=[GOOD] * 201)


BARE = manifest(http_port=None, https_only=None, farm=None)


def test_certificates_alone_are_asked_for_in_a_version_that_an_older_agent_refuses() -> None:
    """It would make a listener on a port that another program has."""
    held = msgspec.structs.replace(BARE, manage="CertificatesOnly")
    secret = manifest_secret(LB, held)
    assert read_manifest(secret["data"]) == held
    content = json.loads(base64.b64decode(secret["data"]["manifest.json"]))
    assert content["version"] == 2
    assert manifest_secret(LB, released(held)) == manifest_secret(LB, released(BARE))
    with pytest.raises(InvalidHandover, match="version 1"):
        read_manifest(encoded(**{**content, "version": 1}))


@pytest.mark.parametrize(
    "more",
    [
        {"ssl": False},
        {"http_port": 80},
        {"challenge_port": 80},
        {"default_bundle": "bundle-a"},
        {"hsts": HSTS()},
        {"redirect_location": "https://a.example/"},
        {"denied_sources": ("10.0.0.0/8",)},
    ],
    ids=str,
)
def test_certificates_alone_go_with_nothing_of_a_listener(more: dict[str, Any]) -> None:
    held = msgspec.structs.replace(BARE, manage="CertificatesOnly")
    check(held)
    check(msgspec.structs.replace(BARE, **more))
    with pytest.raises(InvalidHandover, match="CertificatesOnly"):
        check(msgspec.structs.replace(held, **more))
