"""Wishes and observations for Rackspace, made short: certificates by name and version."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from certfront.loadbalancers.protocol import (
    Binding,
    CertificateSource,
    Installation,
    Listener,
    Memory,
    Wish,
)
from certfront.loadbalancers.rackspace import state
from certfront.loadbalancers.rackspace.material import chain_of
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki import certificates
from certfront.pki.pair import KeyPair, parse_pair
from tests.unit.pki import builders as pki

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RSA, ECDSA = KeyAlgorithm.RSA, KeyAlgorithm.ECDSA
MADE = "ssltermination"


def frontend(name: str, namespace: str = "shop") -> ObjectName:
    return ObjectName(namespace, name)


def source(name: str, namespace: str = "shop") -> CertificateSource:
    return CertificateSource("Certificate", namespace, name)


@functools.cache
def _key() -> Any:
    return pki.rsa_key()


@functools.cache
def _root() -> pki.Issued:
    return pki.authority()


def pair(name: str, version: int = 1, *, chained: bool = False) -> KeyPair:
    """An RSA certificate; a later version starts later, one that is `chained` has an intermediate."""
    return _pair(name, version, chained)


@functools.cache
def _pair(name: str, version: int, chained: bool) -> KeyPair:
    names = (f"{name}.example", f"*.{name}.example", "*.example")
    start = NOW - timedelta(days=30) + version * pki.DAY
    middle = pki.authority("Example Intermediate", issuer=_root()) if chained else None
    issued = pki.certificate(names[0], key=_key(), names=names, not_before=start, issuer=middle)
    above = b"" if middle is None else middle.pem
    return parse_pair(issued.pem + above, issued.key_pem)


def fingerprint(name: str, version: int = 1, *, chained: bool = False) -> str:
    return certificates.fingerprint(pair(name, version, chained=chained).leaf)


def binding(
    name: str,
    *hostnames: str,
    version: int = 1,
    chained: bool = False,
    at_hand: bool = True,
    key_type: KeyAlgorithm = RSA,
    namespace: str = "shop",
) -> Binding:
    """A certificate bound to hostnames; `at_hand` False: its material is gone."""
    material = pair(name, version, chained=chained)
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
    default: str = "",
    https_only: bool = False,
    port: int = 443,
    **rest: Any,
) -> Listener:
    """What one frontend wants; `age` in days, the older is asked first."""
    rest.setdefault("redirect_status", 308 if https_only else None)
    return Listener(
        frontend=frontend(name, namespace),
        created=NOW - timedelta(days=age),
        hostnames=tuple(dict.fromkeys(h for one in bindings for h in one.hostnames)),
        port=port,
        bindings=bindings,
        default_certificate=source(default, namespace) if default else None,
        **rest,
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


def memory(made: bool, **places: str) -> Memory:
    """What a frontend remembers: whether the termination was made for it, and where certificates are."""
    return Memory(
        frontend_id=MADE if made else "",
        installed=tuple(
            Installation(source=source(name), fingerprint=fingerprint(name), provider_id=where)
            for name, where in places.items()
        ),
    )


def termination(name: str, version: int = 1, **rest: Any) -> state.Termination:
    return state.Termination(
        fingerprint=fingerprint(name, version),
        chain=chain_of(pair(name, version)),
        **{"port": 443, **rest},
    )


def mapping(mapping_id: int, host: str, name: str = "", version: int = 1) -> state.Mapping:
    """A mapping; without a certificate's name one that could not be read."""
    if not name:
        return state.Mapping(id=str(mapping_id), host=host, fingerprint="")
    return state.Mapping(
        id=str(mapping_id),
        host=host,
        fingerprint=fingerprint(name, version),
        chain=chain_of(pair(name, version)),
    )


def observed(
    default: state.Termination | None = None,
    *mappings: state.Mapping,
    status: str = "ACTIVE",
    **rest: Any,
) -> state.Observed:
    return state.Observed(
        status=status,
        termination=default,
        mappings=mappings,
        **{"protocol": "HTTP", "port": 80, "address": "192.0.2.7", **rest},
    )
