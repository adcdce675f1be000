"""Wishes for AWS, made short: certificates by name and version, listeners by what they bind."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.protocol import Binding, CertificateSource, Listener, Memory, Wish
from certfront.model.frontend import ClassicListener
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki import certificates
from certfront.pki.pair import KeyPair, parse_pair
from tests.contract.driver import MAIN
from tests.unit.pki import builders as pki

NOW = datetime.now(UTC).replace(microsecond=0)
"""The emulator's time is the real one."""

SCOPE = Scope(installation="test-installation", load_balancer=MAIN)
RSA, ECDSA = KeyAlgorithm.RSA, KeyAlgorithm.ECDSA
WEB = ClassicListener(instance_port=8080)


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
    start = NOW - timedelta(days=30) + version * pki.DAY
    issued = pki.certificate(
        f"{name}.example", key=key, not_before=start, not_after=start + 90 * pki.DAY
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
        hostnames=hostnames or (f"{name}.example",),
        key_type=key_type,
        fingerprint=certificates.fingerprint(material.leaf),
        not_after=material.leaf.not_valid_after_utc,
        pair=material if at_hand else None,
    )


def listener(
    name: str, *bindings: Binding, namespace: str = "shop", age: int = 0, **rest: object
) -> Listener:
    """What one frontend wants; `age` in days, the older is asked first."""
    settings: dict[str, object] = {"port": 443, **rest}
    return Listener(
        frontend=frontend(name, namespace),
        created=NOW - timedelta(days=age),
        hostnames=tuple(dict.fromkeys(h for one in bindings for h in one.hostnames)),
        bindings=bindings,
        **settings,  # type: ignore[arg-type]  # fields of Listener by name
    )


def wish(
    *listeners: Listener,
    staying: Iterable[str] = (),
    releasing: Iterable[str] = (),
    complete: bool = True,
    memory: Mapping[ObjectName, Memory] | None = None,
    now: datetime = NOW,
) -> Wish:
    return Wish(
        listeners=tuple(sorted(listeners, key=lambda one: (one.created, one.frontend))),
        staying=frozenset(map(frontend, staying)),
        releasing=frozenset(map(frontend, releasing)),
        memory=dict(memory or {}),
        complete=complete,
        now=now,
    )
