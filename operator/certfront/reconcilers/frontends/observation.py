"""Everything that one pass over a frontend depends on, gathered first.

The store is a hint: absence of a Certificate, Secret, manifest or LoadBalancer is confirmed by a
live read before it means anything (`Context.known`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.kube.resources import CERTIFICATES, LOADBALANCERS, NAMESPACES, SECRETS, SERVICES
from certfront.loadbalancers import acceptance, materials, reasons
from certfront.loadbalancers.bindings import Candidate, default_hostnames
from certfront.loadbalancers.claims import Installed
from certfront.loadbalancers.haproxy.handover import LOAD_BALANCER_LABEL, Manifest
from certfront.loadbalancers.haproxy.watermark import NodeLease, lease_name, node_lease
from certfront.loadbalancers.listeners import View
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import (
    BackendTLS,
    CertificateSource,
    ResolvedFarm,
)
from certfront.model.certificate import Certificate
from certfront.model.frontend import Farm, Frontend, FrontendCertificate, Server, ServiceReference
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import FINALIZER, ObjectName, parsed
from certfront.model.reasons import Reason
from certfront.model.secret_data import value_of
from certfront.pki.certificates import load_pem, to_pem
from certfront.pki.faults import UnusableMaterial
from certfront.reconcilers.context import Context
from certfront.reconcilers.frontends.claimbook import ClaimBook, Readers
from certfront.reconcilers.frontends.handover import (
    bundle_name,
    installed_of,
    manifest_name,
    prior_binding,
    prior_farm,
    read_manifest,
    source_of_bundle,
)
from certfront.reconcilers.frontends.heartbeats import heartbeats_of
from certfront.reconcilers.frontends.parsed import Parsed
from certfront.reconcilers.frontends.uploads import CheckedUploads
from certfront.reconcilers.stores import CERTIFICATE, FRONTEND, LEASE, SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The view to decide on, and when to look again at what nothing would wake us for."""

    view: View
    polled: bool
    """Whether what no watch tells of is referred to (a Service, a Secret without our label).

    It is read again every five minutes.
    """
    unresolved: bool
    """Whether a Service or CA is missing: it is looked for again every few seconds."""
    barred: frozenset[ObjectName] = frozenset()
    """Load balancers that something may be installed on, and that are gone or grant nothing."""
    leave: bool = False
    """Whether there is no other load balancer than those that something may be installed on."""
    seen: Mapping[str, Object] = field(default_factory=dict)
    """The frontend's manifest Secret by name, if there is one, also without our label."""


class Observer:
    """Reads the store and, where something is not there, the API server."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._frontends = Parsed(partial(parsed, Frontend), partial(_exists, context, FRONTEND))
        self._certificates = Parsed(
            partial(parsed, Certificate), partial(_exists, context, CERTIFICATE)
        )
        self._manifests = Parsed(read_manifest, partial(_exists, context, SECRET))
        self._uploads = CheckedUploads(context)
        readers = Readers(
            frontend=self._frontends.of, certificate=self._certificates.of, manifest=self.manifest
        )
        self._claims = ClaimBook(context, readers)

    def frontend(self, obj: Object) -> Frontend | None:
        """The frontend as a value; None if it does not parse."""
        return self._frontends.of(obj)

    def manifest(self, secret: Object | None) -> Manifest | None:
        """The manifest in a Secret."""
        return None if secret is None else self._manifests.of(secret)

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is kept of a frontend that is gone."""
        self._frontends.forget(namespace, name)
        self._claims.forget(Key(FRONTEND, namespace, name))

    async def observe(self, frontend: Frontend) -> Observation:
        """Gather everything for one pass over `frontend`; rivals are read later (`with_rivals`)."""
        context = self._context
        namespace = frontend.metadata.namespace
        target = acceptance.target_of(frontend, context.settings)
        _, balancer = await self._load_balancer(target)
        permission = None
        if balancer is not None:
            labels = await context.namespace_labels(namespace)
            permission = acceptance.permission_of(balancer, namespace, labels)
        view = View(
            frontend=frontend,
            settings=context.settings,
            now=context.clock.now(),
            target=target,
            load_balancer=balancer,
            permission=permission,
        )
        places = places_of(frontend, target)
        barred: frozenset[ObjectName] = frozenset()
        if FINALIZER in frontend.metadata.finalizers:
            barred = frozenset([place for place in places if await self._bars(place, namespace)])
        if target is None or balancer is None or permission is None or not permission.anything:
            installed = FINALIZER in frontend.metadata.finalizers
            leave = installed and barred == frozenset(places)
            return Observation(
                view=view, polled=False, unresolved=False, barred=barred, leave=leave
            )
        return replace(await self._resolved(view, target, balancer), barred=barred)

    async def _bars(self, place: ObjectName, namespace: str) -> bool:
        """Whether a load balancer is gone, or going, or grants the namespace nothing.

        One that this version cannot read is there all the same: what is installed stays.
        """
        raw, balancer = await self._load_balancer(place)
        if balancer is None:
            return raw is None or _is_going(raw)
        labels = await self._context.namespace_labels(namespace)
        return not acceptance.permission_of(balancer, namespace, labels).anything

    async def _resolved(
        self, view: View, target: ObjectName, balancer: LoadBalancer
    ) -> Observation:
        frontend = view.frontend
        held = await self._context.known(
            SECRETS, target.namespace, manifest_name(target, frontend.metadata.object_name)
        )
        manifest = self.manifest(held)
        candidates = await asyncio.gather(
            *(self._own(frontend, entry, target, manifest) for entry in frontend.spec.certificates),
            *(self._shared(served.name, target, manifest) for served in balancer.spec.certificates),
        )
        candidates += self._departing(frontend, candidates, target, manifest)
        farm, problem = await self._farm(frontend)
        return Observation(
            view=replace(
                view,
                candidates=tuple(candidates),
                installed=_installed(held, manifest),
                farm=farm,
                farm_problem=problem,
                prior_farm=prior_farm(manifest),
            ),
            polled=_is_polled(frontend),
            unresolved=problem is not None,
            seen={} if held is None else {held["metadata"]["name"]: held},
        )

    async def with_rivals(self, view: View) -> View:
        """The view with what the load balancer's other frontends hold or want, by the store."""
        balancer, target = view.load_balancer, view.target
        if balancer is None or target is None:
            return view
        own = Key(FRONTEND, *view.frontend.metadata.object_name)
        asked, _ = acceptance.normalised(view.frontend.spec.hostnames)
        wanted = asked or default_hostnames(view.candidates)
        return replace(
            view,
            rivals=await self._claims.rivals(own, target, balancer),
            ready=self._claims.ready(view.frontend, balancer, wanted),
        )

    async def confirmed(self, frontend: Frontend) -> Observation:
        """The observation after live reads of what could bar the frontend from load balancers."""
        target = acceptance.target_of(frontend, self._context.settings)
        for place in places_of(frontend, target):
            await self._context.live(LOADBALANCERS, *place)
        await self._context.live(NAMESPACES, None, frontend.metadata.namespace)
        return await self.observe(frontend)

    async def _load_balancer(
        self, target: ObjectName | None
    ) -> tuple[Object | None, LoadBalancer | None]:
        """The object, and its value unless it is being deleted or cannot be read."""
        if target is None:
            return None, None
        raw = await self._context.known(LOADBALANCERS, *target)
        if raw is None or _is_going(raw):
            return raw, None
        return raw, parsed(LoadBalancer, raw)

    async def _own(
        self,
        frontend: Frontend,
        entry: FrontendCertificate,
        target: ObjectName,
        manifest: Manifest | None,
    ) -> Candidate:
        source = materials.source_of(entry, frontend.metadata.namespace)
        narrowed, _ = acceptance.normalised(entry.hostnames)
        bundle = bundle_name(target, source)
        held = self._context.store.get(SECRET, target.namespace, bundle)
        prior = prior_binding(manifest, bundle, held)
        now = self._context.clock.now()
        if source.kind == "Secret":
            secret = await self._secret(source.namespace, source.name)
            verdict = await self._uploads.verdict(secret, now)
            return materials.of_secret(source, secret, verdict, narrowed=narrowed, prior=prior)
        certificate, secret = await self._certificate(source)
        return materials.of_certificate(
            source, certificate, secret, now=now, narrowed=narrowed, prior=prior
        )

    async def _shared(self, name: str, target: ObjectName, manifest: Manifest | None) -> Candidate:
        source = CertificateSource("Certificate", target.namespace, name)
        bundle = bundle_name(target, source)
        held = self._context.store.get(SECRET, target.namespace, bundle)
        certificate, secret = await self._certificate(source)
        return materials.of_certificate(
            source,
            certificate,
            secret,
            now=self._context.clock.now(),
            prior=prior_binding(manifest, bundle, held),
            shared=True,
        )

    def _departing(
        self,
        frontend: Frontend,
        listed: Sequence[Candidate],
        target: ObjectName,
        manifest: Manifest | None,
    ) -> list[Candidate]:
        """What is served and listed no more, while what replaces it has no material yet."""
        if manifest is None or all(one.material or one.shared for one in listed):
            return []
        found = []
        sources = {one.source for one in listed}
        for entry in manifest.certificates:
            held = self._context.store.get(SECRET, target.namespace, entry.bundle)
            source = None if held is None else source_of_bundle(target, held)
            if source is None or source in sources:
                continue
            if source.namespace == frontend.metadata.namespace:
                prior = prior_binding(manifest, entry.bundle, held)
                found.append(Candidate(source=source, prior=prior, departing=True))
        return found

    async def _certificate(
        self, source: CertificateSource
    ) -> tuple[Certificate | None, Object | None]:
        raw = await self._context.known(CERTIFICATES, source.namespace, source.name)
        certificate = None if raw is None else self._certificates.of(raw)
        if certificate is None:
            return None, None
        return certificate, await self._secret(source.namespace, certificate.secret_name)

    async def _secret(self, namespace: str, name: str) -> Object | None:
        return await self._context.known(SECRETS, namespace, name)

    async def _farm(self, frontend: Frontend) -> tuple[ResolvedFarm | None, Problem | None]:
        farm = acceptance.chosen_farm(frontend.spec)
        if farm is None or frontend.spec.redirect_location:
            return None, None
        servers = farm.servers
        if farm.service_ref is not None:
            found = await self._service(frontend.metadata.namespace, farm.service_ref)
            if isinstance(found, Problem):
                return None, found
            servers = (*servers, found)
        tls = await self._backend_tls(frontend.metadata.namespace, farm)
        if isinstance(tls, Problem):
            return None, tls
        return (
            ResolvedFarm(
                name=farm.name,
                servers=servers,
                from_service=farm.service_ref is not None,
                health_check=farm.health_check,
                tls=tls,
            ),
            None,
        )

    async def _service(self, namespace: str, reference: ServiceReference) -> Server | Problem:
        service = await self._context.live(SERVICES, namespace, reference.name)
        if service is None:
            return _unresolved(
                reasons.SERVICE_NOT_FOUND, f"Service {reference.name} does not exist."
            )
        spec = service.get("spec") or {}
        address = spec.get("clusterIP")
        if spec.get("type") == "ExternalName" or not address or address == "None":
            return _unresolved(
                reasons.SERVICE_UNSUPPORTED,
                f"Service {reference.name} has no cluster address.",
            )
        ports = {port.get("port") for port in spec.get("ports") or ()}
        if reference.port not in ports:
            return _unresolved(
                reasons.SERVICE_NOT_FOUND,
                f"Service {reference.name} has no port {reference.port}.",
            )
        return Server(address=address, port=reference.port)

    async def _backend_tls(self, namespace: str, farm: Farm) -> BackendTLS | Problem | None:
        if farm.verify is None:
            return None
        name, key = farm.verify.ca_secret_ref.name, farm.verify.ca_secret_ref.key or "ca.crt"
        pem = value_of(await self._secret(namespace, name), key)
        if pem is None:
            return _unresolved(
                reasons.SECRET_NOT_FOUND, f"Secret {name} does not exist or has no {key}."
            )
        try:
            # Written anew from what was parsed: nothing else of the Secret gets to the nodes.
            trusted = to_pem(load_pem(pem)).decode("ascii")
        except UnusableMaterial as error:
            return _unresolved(
                reasons.CERTIFICATE_REFUSED, f"{key} of Secret {name}: {error.fault}."
            )
        return BackendTLS(ca_pem=trusted, server_name=farm.verify.server_name)


def places_of(frontend: Frontend, target: ObjectName | None) -> tuple[ObjectName, ...]:
    """Where something of the frontend may be installed: what its status says, and its target.

    The two differ while a frontend moves because the installation's default has changed.
    """
    told = ObjectName.parse(frontend.status.load_balancer)
    return tuple(dict.fromkeys(place for place in (told, target) if place is not None))


def nodes_of(context: Context, target: ObjectName) -> tuple[NodeLease, ...]:
    """The nodes of a HAProxy load balancer by their agents' Leases, their heartbeats in our time."""
    heartbeats = heartbeats_of(context.store)
    found = []
    leases = leases_of(context, target)
    for lease in leases:
        node = node_lease(target.name, lease)
        if node is not None:
            found.append(heartbeats.dated(lease, node, context.clock))
    names = {lease["metadata"]["name"] for lease in leases}
    heartbeats.keep(target.namespace, names, lease_name(target.name, ""))
    return tuple(found)


def leases_of(context: Context, target: ObjectName) -> tuple[Object, ...]:
    """The Leases that carry the label of a load balancer, whosever they are."""
    return tuple(
        lease
        for lease in context.store.items(LEASE, target.namespace)
        if (lease["metadata"].get("labels") or {}).get(LOAD_BALANCER_LABEL) == target.name
    )


def _exists(context: Context, kind: str, namespace: str, name: str) -> bool:
    return context.store.get(kind, namespace, name) is not None


def _installed(secret: Object | None, manifest: Manifest | None) -> Installed | None:
    """What a manifest Secret says; None for one that this version cannot read."""
    if secret is None:
        return Installed()
    return None if manifest is None else installed_of(manifest)


def _is_polled(frontend: Frontend) -> bool:
    """Whether it refers to a Service, or to a Secret that need not carry our label."""
    if any(entry.secret_ref is not None for entry in frontend.spec.certificates):
        return True
    farm = acceptance.chosen_farm(frontend.spec)
    if farm is None or frontend.spec.redirect_location:
        return False
    return farm.service_ref is not None or farm.verify is not None


def _is_going(raw: Object) -> bool:
    return bool(raw["metadata"].get("deletionTimestamp"))


def _unresolved(reason: Reason, message: str) -> Problem:
    return Problem(condition="ResolvedRefs", reason=reason, message=message)
