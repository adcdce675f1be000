"""What every frontend of a load balancer holds or wants, kept from pass to pass.

Each pass asks for the claims of all neighbours; a claim is made anew only where one of the objects
that it was made from is another one. The store replaces objects and never changes them, so identity
says enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.loadbalancers import acceptance, materials
from certfront.loadbalancers.bindings import Candidate, default_hostnames
from certfront.loadbalancers.claims import Claim
from certfront.loadbalancers.listeners import claim_of
from certfront.loadbalancers.protocol import CertificateSource
from certfront.loadbalancers.registry import capabilities_of
from certfront.model.certificate import Certificate
from certfront.model.conditions import find
from certfront.model.frontend import Frontend, FrontendCertificate
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName
from certfront.model.secret_data import value_of
from certfront.pki import facts
from certfront.pki.certificates import load_pem
from certfront.pki.faults import UnusableMaterial
from certfront.pki.names import InvalidName, covered_by
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends.deliveries import Deliveries
from certfront.reconcilers.stores import CERTIFICATE, NAMESPACE, SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """How objects become values; None for one that does not parse."""

    frontend: Callable[[Object], Frontend | None]
    certificate: Callable[[Object], Certificate | None]


@dataclass(frozen=True, slots=True)
class _Entry:
    claim: Claim | None
    balancer_uid: str
    generation: int
    sources: tuple[Object | None, ...]
    frontend: Frontend | None


class ClaimBook:
    """The claims of the frontends of each load balancer, as the store knows them."""

    def __init__(self, context: Context, deliveries: Deliveries, readers: Readers) -> None:
        self._context = context
        self._deliveries = deliveries
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
            if entry is None or not self._is_current(key, balancer, entry):
                entry = await self._made(key, balancer)
                self._entries[target, key] = entry
            if entry.claim is not None:
                found.append(entry.claim)
        return tuple(found)

    def forget(self, key: Key) -> None:
        """Drop what is kept of a frontend that is gone."""
        for held in [held for held in self._entries if held[1] == key]:
            del self._entries[held]

    def _is_current(self, key: Key, balancer: LoadBalancer, entry: _Entry) -> bool:
        metadata = balancer.metadata
        if entry.generation != metadata.generation or entry.balancer_uid != metadata.uid:
            return False
        now = self._sources(key, balancer, entry.frontend)
        return all(a is b for a, b in zip(now, entry.sources, strict=True))

    def _sources(
        self, key: Key, balancer: LoadBalancer, frontend: Frontend | None
    ) -> tuple[Object | None, ...]:
        """The objects that a claim is made from."""
        store, target = self._context.store, balancer.metadata.object_name
        where = target.namespace
        listed = () if frontend is None else frontend.spec.certificates
        return (
            store.find(key),
            self._deliveries.source(ObjectName(key.namespace, key.name), target),
            store.get(NAMESPACE, "", key.namespace),
            *(store.get(CERTIFICATE, where, one.name) for one in balancer.spec.certificates),
            *(
                store.get(SECRET, key.namespace, one.secret_ref.name)
                if one.secret_ref is not None
                else store.get(CERTIFICATE, key.namespace, one.name)
                for one in listed
            ),
        )

    async def _made(self, key: Key, balancer: LoadBalancer) -> _Entry:
        labels = await self._context.namespace_labels(key.namespace)
        raw = self._context.store.find(key)
        frontend = None if raw is None else self._readers.frontend(raw)
        sources = self._sources(key, balancer, frontend)
        claim = None
        if frontend is not None:
            asked, _ = acceptance.normalised(frontend.spec.hostnames)
            wanted = asked or self._names_of(frontend)
            can = capabilities_of(balancer)
            claim = claim_of(
                frontend,
                acceptance.permission_of(balancer, key.namespace, labels),
                wanted,
                self._deliveries.installed(frontend, balancer),
                can,
                ready=self.ready(frontend, balancer, wanted),
                acme=can.challenges and self._needs_challenges(frontend),
            )
        return _Entry(
            claim=claim,
            balancer_uid=balancer.metadata.uid,
            generation=balancer.metadata.generation,
            sources=sources,
            frontend=frontend,
        )

    def ready(
        self, frontend: Frontend, balancer: LoadBalancer, hostnames: Iterable[str]
    ) -> frozenset[str]:
        """Those of the canonical `hostnames` that a certificate could be served for, by the store.

        Found alike for a frontend and its rivals, or both could think that the other comes first.
        """
        covered: set[str] = set()
        wanted = tuple(hostnames)
        for entry in frontend.spec.certificates:
            narrowed, _ = acceptance.normalised(entry.hostnames)
            names = self._served_by(entry, frontend.metadata.namespace, wanted)
            covered.update(name for name in names if not narrowed or name in narrowed)
        for shared in balancer.spec.certificates:
            where = balancer.metadata.namespace
            covered.update(self._served_by_certificate(where, shared.name, wanted))
        return frozenset(covered)

    def _served_by(
        self, entry: FrontendCertificate, namespace: str, hostnames: tuple[str, ...]
    ) -> tuple[str, ...]:
        if entry.secret_ref is None:
            return self._served_by_certificate(namespace, entry.name, hostnames)
        secret = self._context.store.get(SECRET, namespace, entry.secret_ref.name)
        crt = value_of(secret, "tls.crt")
        if crt is None or value_of(secret, "tls.key") is None:
            return ()
        try:
            names = facts.read(load_pem(crt)[0], len(crt)).domains
        except (UnusableMaterial, InvalidName):
            return ()
        return tuple(name for name in hostnames if covered_by(names, name))

    def _served_by_certificate(
        self, namespace: str, name: str, hostnames: tuple[str, ...]
    ) -> tuple[str, ...]:
        raw = self._context.store.get(CERTIFICATE, namespace, name)
        certificate = None if raw is None else self._readers.certificate(raw)
        if certificate is None:
            return ()
        ready = find(certificate.status.conditions, "Ready")
        if ready is None or ready.status != "True":
            return ()
        names = materials.expected_names(certificate)
        return tuple(hostname for hostname in hostnames if covered_by(names, hostname))

    def _needs_challenges(self, frontend: Frontend) -> bool:
        namespace = frontend.metadata.namespace
        for entry in frontend.spec.certificates:
            raw = self._context.store.get(CERTIFICATE, namespace, entry.name)
            certificate = None if raw is None else self._readers.certificate(raw)
            if certificate is not None and certificate.spec.type == "ACME":
                return True
        return False

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
