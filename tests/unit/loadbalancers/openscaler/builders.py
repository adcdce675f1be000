"""Wishes for OpenScaler, made short: certificates by name and version."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.openscaler.state import Facts
from certfront.loadbalancers.protocol import (
    Binding,
    CertificateSource,
    Installation,
    Listener,
    ManagedCertificate,
    Memory,
    Wish,
)
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki import certificates
from certfront.pki.pair import KeyPair, parse_pair
from tests.contract.driver import MAIN
from tests.unit.pki import builders as pki

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SCOPE = Scope(installation="test-installation", load_balancer=MAIN)
BALANCER = "42"


def frontend(name: str) -> ObjectName:
    return ObjectName("shop", name)


def source(name: str) -> CertificateSource:
    return CertificateSource("Certificate", "shop", name)


@functools.cache
def _key() -> Any:
    return pki.ec_key()


@functools.cache
def _authority() -> pki.Issued:
    return pki.authority("Example Intermediate", issuer=pki.authority())


def pair(name: str, version: int = 1) -> KeyPair:
    """An ECDSA certificate with an intermediate; a later version starts later."""
    return _pair(name, version)


@functools.cache
def _pair(name: str, version: int) -> KeyPair:
    start = NOW - timedelta(days=30) + version * pki.DAY
    issued = pki.certificate(
        f"{name}.example",
        key=_key(),
        names=(f"{name}.example",),
        not_before=start,
        issuer=_authority(),
    )
    return parse_pair(issued.pem + _authority().pem, issued.key_pem)


def fingerprint(name: str, version: int = 1) -> str:
    return certificates.fingerprint(pair(name, version).leaf)


def name_of(name: str, version: int = 1) -> str:
    """The name at OpenScaler."""
    return SCOPE.certificate_name(source(name), fingerprint(name, version))


def binding(name: str, *hostnames: str, version: int = 1, at_hand: bool = True) -> Binding:
    material = pair(name, version)
    return Binding(
        source=source(name),
        hostnames=hostnames or (f"{name}.example",),
        key_type=KeyAlgorithm.ECDSA,
        fingerprint=certificates.fingerprint(material.leaf),
        not_after=material.leaf.not_valid_after_utc,
        pair=material if at_hand else None,
    )


def managed(
    name: str, *names: str, kind: str = "Public", email: str = "ops@example.com"
) -> Binding:
    """A certificate that OpenScaler is to issue."""
    wanted = names or (f"{name}.example",)
    return Binding(
        source=source(name),
        hostnames=wanted,
        key_type=KeyAlgorithm.RSA,
        fingerprint="",
        not_after=None,
        pair=None,
        managed=ManagedCertificate(kind=kind, names=wanted, email=email),  # type: ignore[arg-type]  # a test's
    )


def listener(name: str, *bindings: Binding, age: int = 0, **rest: Any) -> Listener:
    return Listener(
        frontend=frontend(name),
        created=NOW - timedelta(days=age),
        hostnames=tuple(dict.fromkeys(host for one in bindings for host in one.hostnames)),
        port=443,
        bindings=bindings,
        **rest,
    )


def wish(
    *listeners: Listener,
    staying: Iterable[str] = (),
    releasing: Iterable[str] = (),
    complete: bool = True,
    memory: Mapping[str, Memory] | None = None,
    now: datetime = NOW,
) -> Wish:
    return Wish(
        listeners=tuple(sorted(listeners, key=lambda one: (one.created, one.frontend))),
        staying=frozenset(map(frontend, staying)),
        releasing=frozenset(map(frontend, releasing)),
        memory={frontend(name): one for name, one in (memory or {}).items()},
        complete=complete,
        now=now,
    )


def has(*names: str, version: int = 1, words: str = "", confirmed: bool = True) -> Memory:
    """What a frontend remembers; `words` stand behind the load balancer in `frontendID`."""
    return Memory(
        frontend_id=f"{BALANCER} {words}".strip(),
        installed=tuple(
            Installation(
                source=source(name),
                fingerprint=fingerprint(name, version),
                provider_id=name_of(name, version) if confirmed else "",
            )
            for name in names
        ),
    )


def has_managed(name: str, provider_id: str, words: str = "") -> Memory:
    installed = Installation(source=source(name), fingerprint="", provider_id=provider_id)
    return Memory(
        frontend_id=f"{BALANCER} {words}".strip(), installed=(installed,) if provider_id else ()
    )


def facts(name: str, version: int = 1) -> Facts:
    """As OpenScaler tells an uploaded certificate."""
    leaf = pair(name, version).leaf
    digits = f"{leaf.serial_number:X}"
    digits = digits.zfill(len(digits) + len(digits) % 2)
    return Facts(
        name=name_of(name, version),
        common_name=f"{name}.example",
        domains=(f"{name}.example",),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        serial=":".join(digits[at : at + 2] for at in range(0, len(digits), 2)),
    )


def at(held: Wish, moment: datetime) -> Wish:
    return replace(held, now=moment)
