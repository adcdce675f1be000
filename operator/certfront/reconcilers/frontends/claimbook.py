"""What every frontend of a load balancer holds or wants, kept from pass to pass.

Each pass asks for the claims of all neighbours; a claim is made anew only where one of the objects
that it was made from is another one. The store replaces objects and never changes them, so identity
says enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.loadbalancers import acceptance, materials
from certfront.loadbalancers.bindings import Candidate, default_hostnames
from certfront.loadbalancers.claims import Claim
from certfront.loadbalancers.haproxy.handover import Manifest
from certfront.loadbalancers.listeners import claim_of
from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.certificate import Certificate
from certfront.model.frontend import Frontend
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends.handover import manifest_name
from certfront.reconcilers.stores import CERTIFICATE, NAMESPACE, SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """How objects become values; None for one that does not parse."""

    frontend: Callable[[Object], Frontend | None]
    certificate: Callable[[Object], Certificate | None]
    manifest: Callable[[Object | None], Manifest | None]


@dataclass(frozen=True, slots=True)
class _Entry:
    claim: Claim | None
    manifest_name: str
    balancer_uid: str
    generation: int
    sources: tuple[Object | None, ...]
    certificates: tuple[str, ...]


class ClaimBook:
    """The claims of the frontends of each load balancer, as the store knows them."""

    def __init__(self, context: Context, readers: Readers) -> None:
        self._context = context
        self._readers = readers
        self._entries: dict[tuple[ObjectName, Key], _Entry] = {}

    async def rivals(
        self, own: Key, target: ObjectName, balancer: LoadBalancer
    ) -> tuple[Claim, ...]:
        """The claims of all other frontends of `balancer`."""
        found = []
        for key in self._context.indices.frontends_by_load_balancer.lookup(tuple(target)):
            if key == own:
                continue
            entry = self._entries.get((target, key))
            if entry is None or not self._is_current(key, target, balancer, entry):
                entry = await self._made(key, target, balancer)
                self._entries[target, key] = entry
            if entry.claim is not None:
                found.append(entry.claim)
        return tuple(found)

    def forget(self, key: Key) -> None:
        """Drop what is kept of a frontend that is gone."""
        for held in [held for held in self._entries if held[1] == key]:
            del self._entries[held]

    def _is_current(
        self, key: Key, target: ObjectName, balancer: LoadBalancer, entry: _Entry
    ) -> bool:
        metadata = balancer.metadata
        if entry.generation != metadata.generation or entry.balancer_uid != metadata.uid:
            return False
        now = self._sources(key, target, entry.manifest_name, entry.certificates)
        return all(a is b for a, b in zip(now, entry.sources, strict=True))

    def _sources(
        self, key: Key, target: ObjectName, manifest: str, certificates: tuple[str, ...]
    ) -> tuple[Object | None, ...]:
        """The objects that a claim is made from."""
        store = self._context.store
        return (
            store.find(key),
            store.get(SECRET, target.namespace, manifest),
            store.get(NAMESPACE, "", key.namespace),
            *(store.get(CERTIFICATE, key.namespace, name) for name in certificates),
        )

    async def _made(self, key: Key, target: ObjectName, balancer: LoadBalancer) -> _Entry:
        labels = await self._context.namespace_labels(key.namespace)
        raw = self._context.store.find(key)
        frontend = None if raw is None else self._readers.frontend(raw)
        name = manifest_name(target, ObjectName(key.namespace, key.name))
        asked, _ = acceptance.normalised(() if frontend is None else frontend.spec.hostnames)
        certificates: tuple[str, ...] = ()
        if frontend is not None and not asked:
            certificates = tuple(entry.name for entry in frontend.spec.certificates if entry.name)
        sources = self._sources(key, target, name, certificates)
        claim = None
        if frontend is not None:
            permission = acceptance.permission_of(balancer, key.namespace, labels)
            manifest = self._readers.manifest(sources[1])
            claim = claim_of(
                frontend,
                permission,
                asked or self._names_of(frontend),
                frozenset(manifest.hostnames) if manifest is not None else frozenset(),
            )
        return _Entry(
            claim=claim,
            manifest_name=name,
            balancer_uid=balancer.metadata.uid,
            generation=balancer.metadata.generation,
            sources=sources,
            certificates=certificates,
        )

    def _names_of(self, frontend: Frontend) -> tuple[str, ...]:
        """The names of a frontend's certificates, as far as the store knows them."""
        namespace = frontend.metadata.namespace
        found = []
        for entry in frontend.spec.certificates:
            raw = self._context.store.get(CERTIFICATE, namespace, entry.name)
            certificate = None if raw is None else self._readers.certificate(raw)
            if certificate is not None:
                found.append(
                    Candidate(
                        source=CertificateSource("Certificate", namespace, entry.name),
                        narrowed=entry.hostnames,
                        expected=materials.expected_names(certificate),
                    )
                )
        return default_hostnames(found)
