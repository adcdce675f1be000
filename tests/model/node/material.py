"""Pairs, made once, and the manifests that name them."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import Farm, Manifest, ManifestCertificate
from certfront.model.frontend import Server
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from tests.integration.agent.harness import fingerprint, pair

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
LOAD_BALANCER: Final = ObjectName("edge", "haproxy")

SOURCES: Final = ("a", "b", "c", "d")
GOOD: Final = ("one", "two", "short")
BAD: Final = ("expired", "early", "mismatched", "empty")
_NAMES: Final = {
    "a": ("a.example",),
    "b": ("a.example", "b.example"),
    "c": ("c.example",),
    "d": ("d.example",),
}
_DATES: Final = {
    "short": (timedelta(hours=-1), timedelta(hours=2)),
    "expired": (timedelta(days=-9), timedelta(hours=-1)),
    "early": (timedelta(days=1), timedelta(days=40)),
}


@functools.cache
def tls(source: str, kind: str) -> tuple[bytes, bytes]:
    """tls.crt and tls.key of a Certificate, in one of its versions."""
    if kind == "mismatched":
        return tls(source, "one")[0], tls(source, "two")[1]
    if kind == "empty":
        return tls(source, "one")[0], b""
    start, end = _DATES.get(kind, (timedelta(hours=-1), timedelta(days=30)))
    return pair(*_NAMES[source], not_before=START + start, not_after=START + end)


def shown(source: str, kind: str) -> str:
    """The SHA-256 of its leaf."""
    return fingerprint(tls(source, kind)[0])


def bundle(source: str, kind: str) -> dict[str, Any]:
    tls_crt, tls_key = tls(source, kind)
    return handover.bundle_secret(
        LOAD_BALANCER,
        kind="Certificate",
        source=ObjectName("shop", source),
        tls_crt=tls_crt,
        tls_key=tls_key,
    )


def bundle_name(source: str) -> str:
    return handover.secret_name(LOAD_BALANCER, "bundle", "Certificate", "shop", source)


def manifest_name(frontend: str) -> str:
    return handover.secret_name(
        LOAD_BALANCER, "manifest", "LoadBalancerFrontend", *frontend.split("/")
    )


def certificate(source: str, *names: str) -> ManifestCertificate:
    return ManifestCertificate(
        bundle=bundle_name(source), key_type=KeyAlgorithm.ECDSA, hostnames=names
    )


def manifest(frontend: str, *certificates: ManifestCertificate, **changes: Any) -> Manifest:
    """A frontend on 443 and 80 that answers for what its certificates are bound to."""
    names = tuple(sorted({name for one in certificates for name in one.hostnames}))
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "port": 443,
        "http_port": 80,
        "hostnames": names,
        "certificates": certificates,
        "https_only": 308,
        "farm": Farm(name="web", servers=(Server(address="127.0.0.1", port=9),)),
    }
    return Manifest(frontend=frontend, **(values | changes))


ONE, TWO, THREE = "shop/one", "shop/two", "shop/three"
_A, _B, _C = (
    certificate("a", "a.example"),
    certificate("b", "b.example"),
    certificate("c", "c.example"),
)
_BOTH = certificate("b", "a.example", "b.example")
_GUARDED: Final = {"allowed_sources": ("192.0.2.0/24",), "own_namespace": True}

VARIANTS: Final = {
    "one": manifest(ONE, _A),
    "one+b": manifest(ONE, _A, _B),
    "one by b": manifest(ONE, _BOTH),
    "one, default d": manifest(ONE, _A, default_bundle=bundle_name("d")),
    "one+b, default b": manifest(ONE, _A, _B, default_bundle=bundle_name("b")),
    "two": manifest(TWO, _C),
    "two on 8443": manifest(TWO, _C, port=8443, http_port=None),
    "two, guarded": manifest(TWO, _C, **_GUARDED),
}

# Used by the exhaustive searches only.
MORE: Final = {
    "one+b+d": manifest(ONE, _A, _B, certificate("d", "d.example")),
    "three": manifest(THREE, certificate("d", "d.example"), port=8443, **_GUARDED),
}
