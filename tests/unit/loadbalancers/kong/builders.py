"""Wishes for Kong, made short: certificates by name and version, listeners by what they bind."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.protocol import Binding, CertificateSource, Listener, Memory, Wish
from certfront.model.frontend import KongRoute, KongSettings
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki import certificates
from certfront.pki.pair import KeyPair, parse_pair
from tests.unit.pki import builders as pki

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SCOPE = Scope(installation="test-installation", load_balancer=ObjectName("balancers", "main"))
RSA, ECDSA = KeyAlgorithm.RSA, KeyAlgorithm.ECDSA


def frontend(name: str, namespace: str = "shop") -> ObjectName:
    return ObjectName(namespace, name)


def source(name: str, namespace: str = "shop") -> CertificateSource:
    return CertificateSource("Certificate", namespace, name)


def pair(name: str, version: int = 1, key_type: KeyAlgorithm = ECDSA) -> KeyPair:
    """A certificate, the same whenever it is asked for; a later version starts later."""
    return _pair(name, version, key_type)


@functools.cache
def _pair(name: str, version: int, key_type: KeyAlgorithm) -> KeyPair:
    key = pki.rsa_key() if key_type is RSA else pki.ec_key()
    issued = pki.certificate(
        f"{name}.example", key=key, not_before=NOW - timedelta(days=30) + version * pki.DAY
    )
    return parse_pair(issued.pem, issued.key_pem)


def fingerprint(name: str, version: int = 1, key_type: KeyAlgorithm = ECDSA) -> str:
    return certificates.fingerprint(pair(name, version, key_type).leaf)


def binding(
    name: str,
    *hostnames: str,
    version: int = 1,
    key_type: KeyAlgorithm = ECDSA,
    at_hand: bool = True,
    namespace: str = "shop",
) -> Binding:
    """A certificate bound to hostnames; `at_hand` False: its material is gone."""
    material = pair(name, version, key_type)
    return Binding(
        source=source(name, namespace),
        hostnames=hostnames,
        key_type=key_type,
        fingerprint=certificates.fingerprint(material.leaf),
        not_after=material.leaf.not_valid_after_utc,
        pair=material if at_hand else None,
    )


def listener(
    name: str,
    *bindings: Binding,
    namespace: str = "shop",
    age: int = 0,
    routes: Iterable[str] = (),
    tags: Iterable[str] = (),
    **rest: object,
) -> Listener:
    """What one frontend wants; `age` in days, the older is asked first."""
    named = tuple(KongRoute(name=route) for route in routes)
    tagged = tuple(KongRoute(tag=tag) for tag in tags)
    hostnames = tuple(dict.fromkeys(h for one in bindings for h in one.hostnames))
    return Listener(
        frontend=frontend(name, namespace),
        created=NOW - timedelta(days=age),
        hostnames=hostnames,
        port=443,
        bindings=bindings,
        kong=KongSettings(routes=named + tagged) if named or tagged else None,
        **rest,  # type: ignore[arg-type]  # fields of Listener by name
    )


def wish(
    *listeners: Listener,
    staying: Iterable[str] = (),
    releasing: Iterable[str] = (),
    complete: bool = True,
    memory: Mapping[ObjectName, Memory] | None = None,
) -> Wish:
    return Wish(
        listeners=tuple(sorted(listeners, key=lambda one: (one.created, one.frontend))),
        staying=frozenset(map(frontend, staying)),
        releasing=frozenset(map(frontend, releasing)),
        memory=dict(memory or {}),
        complete=complete,
        now=NOW,
    )
