"""Everything that one pass over a frontend depends on, gathered first.

The store is a hint: absence of a Certificate, Secret, manifest or LoadBalancer is confirmed by a
live read before it means anything (`Context.known`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from certfront.engine.keys import Key
from certfront.engine.store import Object
from certfront.kube.resources import CERTIFICATES, LOADBALANCERS, NAMESPACES, SECRETS, SERVICES
from certfront.loadbalancers import acceptance, materials, reasons
from certfront.loadbalancers.bindings import Candidate, default_hostnames
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
from certfront.reconcilers.frontends.deliveries import Deliveries
from certfront.reconcilers.frontends.delivery import Prior
from certfront.reconcilers.frontends.uploads import CheckedUploads
from certfront.reconcilers.parsed import Parsed
from certfront.reconcilers.stores import CERTIFICATE, FRONTEND


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
    prior: Prior = field(default_factory=Prior)
    """What the load balancer was told last."""


class Observer:
    """Reads the store and, where something is not there, the API server."""

    def __init__(self, context: Context, deliveries: Deliveries) -> None:
        self._context = context
        self._deliveries = deliveries
        self._frontends = Parsed(partial(parsed, Frontend), partial(_exists, context, FRONTEND))
        self._certificates = Parsed(
            partial(parsed, Certificate), partial(_exists, context, CERTIFICATE)
        )
        self._uploads = CheckedUploads(context)
        readers = Readers(frontend=self._frontends.of, certificate=self._certificates.of)
        self._claims = ClaimBook(context, deliveries, readers)

    def frontend(self, obj: Object) -> Frontend | None:
        """The frontend as a value; None if it does not parse."""
        return self._frontends.of(obj)

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is kept of a frontend that is gone."""
        self._frontends.forget(namespace, name)
        self._claims.forget(Key(FRONTEND, namespace, name))

    async def observe(self, frontend: Frontend) -> Observation:
        """Gather everything for one pass over `frontend`; rivals are read later (`with_rivals`)."""
        context = self._context
        namespace = frontend.metadata.namespace
        target = await self._target(frontend)
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

    async def _target(self, frontend: Frontend) -> ObjectName | None:
        """The load balancer that it names, or the default; one at a provider is not moved from or to.

        What was installed there can be told apart from what is new only where one of the two is gone: a
        frontend follows a changed default between HAProxy load balancers, else when the former goes.
        """
        target = acceptance.target_of(frontend, self._context.settings)
        told = ObjectName.parse(frontend.status.load_balancer)
        if told is None or told == target or FINALIZER not in frontend.metadata.finalizers:
            return target
        types = [(await self._load_balancer(place))[1] for place in (told, target)]
        if types[0] is None or all(one is None or one.spec.type == "HAProxy" for one in types):
            return target
        barred = await self._bars(told, frontend.metadata.namespace)
        return target if barred else told

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
        frontend, namespace = view.frontend, view.frontend.metadata.namespace
        entries = [(materials.source_of(one, namespace), one) for one in frontend.spec.certificates]
        shared = [
            CertificateSource("Certificate", target.namespace, one.name)
            for one in balancer.spec.certificates
        ]
        prior = await self._deliveries.of(balancer).prior(
            frontend, target, (*(source for source, _ in entries), *shared)
        )
        candidates = list(
            await asyncio.gather(
                *(self._own(source, entry, balancer, prior) for source, entry in entries),
                *(self._shared(source, balancer, prior) for source in shared),
            )
        )
        candidates += _departing(namespace, candidates, prior)
        farm, problem = await self._farm(frontend)
        return Observation(
            view=replace(
                view,
                candidates=tuple(candidates),
                installed=prior.installed,
                farm=farm,
                farm_problem=problem,
                prior_farm=prior.farm,
            ),
            polled=_is_polled(frontend),
            unresolved=problem is not None,
            prior=prior,
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
        target = await self._target(frontend)
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
        source: CertificateSource,
        entry: FrontendCertificate,
        balancer: LoadBalancer,
        prior: Prior,
    ) -> Candidate:
        narrowed, _ = acceptance.normalised(entry.hostnames)
        held, now = prior.bindings.get(source), self._context.clock.now()
        if source.kind == "Secret":
            secret = await self._secret(source.namespace, source.name)
            verdict = await self._uploads.verdict(secret, now)
            return materials.of_secret(source, secret, verdict, narrowed=narrowed, prior=held)
        certificate, secret = await self._certificate(source)
        return materials.of_certificate(
            source,
            certificate,
            secret,
            now=now,
            narrowed=narrowed,
            prior=held,
            balancer=balancer,
        )

    async def _shared(
        self, source: CertificateSource, balancer: LoadBalancer, prior: Prior
    ) -> Candidate:
        certificate, secret = await self._certificate(source)
        return materials.of_certificate(
            source,
            certificate,
            secret,
            now=self._context.clock.now(),
            prior=prior.bindings.get(source),
            shared=True,
            balancer=balancer,
        )

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


def _exists(context: Context, kind: str, namespace: str, name: str) -> bool:
    return context.store.get(kind, namespace, name) is not None


def _departing(namespace: str, listed: Sequence[Candidate], prior: Prior) -> list[Candidate]:
    """What is served and listed no more, while what replaces it has no material yet."""
    if all(one.material or one.managed or one.shared for one in listed):
        return []
    sources = {one.source for one in listed}
    return [
        Candidate(source=source, prior=held, departing=True)
        for source, held in prior.bindings.items()
        if source not in sources and source.namespace == namespace and held.hostnames
    ]


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
