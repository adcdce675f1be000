"""The HAProxy provider: what is wanted becomes Secrets that the agents watch.

Bundles first, then the manifest that names them; nothing is removed here but hostnames and
certificates that the new manifest omits. `release` and `loadbalancers` delete what is left over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from certfront.engine.store import Object
from certfront.kube.resources import SECRETS
from certfront.loadbalancers import materials
from certfront.loadbalancers.bindings import PriorBinding
from certfront.loadbalancers.claims import Installed, Protocol
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import Manifest, ManifestCertificate
from certfront.loadbalancers.protocol import (
    BackendTLS,
    Binding,
    CertificateSource,
    Listener,
    ResolvedFarm,
)
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.model.secret_data import value_of
from certfront.model.times import to_text
from certfront.pki import certificates, facts
from certfront.pki.faults import UnusableMaterial
from certfront.reconcilers import secrets
from certfront.reconcilers.context import Context
from certfront.reconcilers.stores import SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What the agents were told of a frontend: its manifest Secret, and the bundles by name."""

    manifest: Object | None
    bundles: Mapping[str, Object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSecret:
    """Create a Secret (`replaces` None) or write over the very one that was read."""

    body: Object
    replaces: Object | None

    def __repr__(self) -> str:
        """Without the body, which holds a key."""
        return f"WriteSecret({self.body['metadata']['name']})"


class HAProxyProvider:
    """Hands listeners over to the agents of one LoadBalancer (`loadbalancers.protocol.Provider`)."""

    def __init__(
        self, context: Context, target: ObjectName, seen: Mapping[str, Object] | None = None
    ) -> None:
        """`seen` are Secrets that a live read of this pass has found and the store does not hold."""
        self._context = context
        self._target = target
        self._seen = dict(seen or {})

    async def observe(self, listener: Listener) -> Handed:
        """The manifest and bundles of `listener`.

        A bundle that is to be written and is not in the store is read live: its label may be gone.
        """
        bundles = {}
        for binding in listener.bindings:
            name = bundle_name(self._target, binding.source)
            found = self._known(name)
            if found is None and binding.pair is not None:
                found = await self._context.live(SECRETS, self._target.namespace, name)
            if found is not None:
                bundles[name] = found
        return Handed(
            manifest=self._known(manifest_name(self._target, listener.frontend)), bundles=bundles
        )

    def _known(self, name: str) -> Object | None:
        held = self._context.store.get(SECRET, self._target.namespace, name)
        return held if held is not None else self._seen.get(name)

    def plan(self, listener: Listener, observed: Handed) -> Sequence[WriteSecret]:
        """The Secrets to write: bundles whose bytes differ, then the manifest if it differs."""
        writes = []
        for binding in listener.bindings:
            body = _bundle(self._target, binding)
            held = observed.bundles.get(bundle_name(self._target, binding.source))
            if body is not None and not _same(body, held):
                writes.append(WriteSecret(body=body, replaces=held))
        body = handover.manifest_secret(self._target, manifest_of(self._target, listener))
        if not _same(body, observed.manifest):
            writes.append(WriteSecret(body=body, replaces=observed.manifest))
        return writes

    async def execute(self, operation: WriteSecret) -> None:
        """Write one Secret. Raises Conflict where it is not as it was read: decide again."""
        await secrets.write(self._context, operation.body, operation.replaces)


def bundle_name(target: ObjectName, source: CertificateSource) -> str:
    """The Secret of a certificate for one LoadBalancer."""
    return handover.secret_name(target, "bundle", source.kind, source.namespace, source.name)


def manifest_name(target: ObjectName, frontend: ObjectName) -> str:
    """The Secret of a frontend's manifest for one LoadBalancer."""
    return handover.secret_name(target, "manifest", "LoadBalancerFrontend", *frontend)


def manifest_of(target: ObjectName, listener: Listener) -> Manifest:
    """The listener in the agents' terms."""
    if listener.manage == "CertificatesOnly":
        return _certificates_only(target, listener)
    default = listener.default_certificate
    bound = {b.source for b in listener.bindings}
    return Manifest(
        frontend=str(listener.frontend),
        created=to_text(listener.created),
        own_namespace=listener.frontend.namespace == target.namespace,
        port=listener.port,
        ssl=listener.ssl,
        hostnames=listener.hostnames,
        http_port=listener.http_port,
        challenge_port=listener.challenge_port,
        certificates=_certificates(target, listener),
        default_bundle=bundle_name(target, default) if default in bound else None,
        farm=_farm(listener.farm),
        redirect_location=listener.redirect_location or None,
        https_only=listener.redirect_status,
        accept_terminated=listener.accept_terminated,
        trusted_sources=listener.trusted_sources,
        hsts=listener.hsts,
        allowed_sources=listener.allowed_sources,
        denied_sources=listener.denied_sources,
        min_tls_version=listener.min_tls_version,
        disabled=listener.disabled,
    )


def _certificates_only(target: ObjectName, listener: Listener) -> Manifest:
    """Nothing about a listener, which someone else makes: agents refuse a manifest with more."""
    return Manifest(
        frontend=str(listener.frontend),
        created=to_text(listener.created),
        own_namespace=listener.frontend.namespace == target.namespace,
        port=listener.port,
        hostnames=listener.hostnames,
        certificates=_certificates(target, listener),
        min_tls_version=listener.min_tls_version,
        disabled=listener.disabled,
        manage="CertificatesOnly",
    )


def _certificates(target: ObjectName, listener: Listener) -> tuple[ManifestCertificate, ...]:
    return tuple(
        ManifestCertificate(
            bundle=bundle_name(target, binding.source),
            key_type=binding.key_type,
            hostnames=binding.hostnames,
        )
        for binding in listener.bindings
        if binding.hostnames
    )


def read_manifest(secret: Object) -> Manifest | None:
    """The manifest in a Secret; None where it is not one that this version reads."""
    try:
        return handover.read_manifest(secret.get("data") or {})
    except handover.InvalidHandover:
        return None


def prior_binding(
    manifest: Manifest | None, bundle: str, secret: Object | None
) -> PriorBinding | None:
    """What the agents were told of a bundle, which may be missing now.

    A default certificate is told although no hostname is bound to it.
    """
    if manifest is None:
        return None
    entry = next((c for c in manifest.certificates if c.bundle == bundle), None)
    if entry is None and bundle != manifest.default_bundle:
        return None
    key_type = KeyAlgorithm.ECDSA if entry is None else entry.key_type
    fingerprint, not_after = "", None
    crt = value_of(secret, "tls.crt")
    if crt is not None:
        try:
            found = facts.read(certificates.load_pem(crt)[0], len(crt))
            fingerprint, not_after = found.fingerprint, found.not_after
            if entry is None:
                key_type = materials.key_type_of(found)
        except UnusableMaterial:
            # Damaged by someone: as good as missing, and written again when there is material.
            pass
    return PriorBinding(
        hostnames=() if entry is None else entry.hostnames,
        key_type=key_type,
        fingerprint=fingerprint,
        not_after=not_after,
    )


def source_of_bundle(target: ObjectName, bundle: Object) -> CertificateSource | None:
    """Which certificate a bundle is of; None where its annotation and its name do not agree."""
    metadata = bundle["metadata"]
    annotations = metadata.get("annotations") or {}
    owner = ObjectName.parse(annotations.get(handover.CERTIFICATE_ANNOTATION, ""))
    if owner is None:
        return None
    sources = (
        CertificateSource("Certificate", owner.namespace, owner.name),
        CertificateSource("Secret", owner.namespace, owner.name),
    )
    return next((one for one in sources if bundle_name(target, one) == metadata["name"]), None)


def installed_of(manifest: Manifest) -> Installed:
    """What the agents were told, in the terms of `claims`."""
    if not manifest.hostnames:
        return Installed()
    ports: dict[int, Protocol] = {manifest.port: "TLS" if manifest.ssl else "HTTP"}
    if manifest.http_port is not None:
        ports.setdefault(manifest.http_port, "HTTP")
    routed = frozenset(manifest.hostnames)
    bound = frozenset(name for one in manifest.certificates for name in one.hostnames)
    return Installed(
        ports=ports,
        challenge_port=manifest.challenge_port,
        routed=routed,
        bound=bound if manifest.ssl else routed,
        # A redirect leads to what a certificate has yet to answer for.
        bound_plain=bound if manifest.ssl and manifest.https_only is not None else routed,
    )


def prior_farm(manifest: Manifest | None) -> ResolvedFarm | None:
    """The farm that the agents were told."""
    if manifest is None or manifest.farm is None:
        return None
    farm = manifest.farm
    return ResolvedFarm(
        name=farm.name,
        servers=farm.servers,
        from_service=farm.from_service,
        health_check=farm.health_check,
        tls=None
        if farm.verify is None
        else BackendTLS(ca_pem=farm.verify.ca_pem, server_name=farm.verify.server_name),
    )


def secrets_of(context: Context, target: ObjectName, role: str) -> Iterable[Object]:
    """The known Secrets of one role that were handed over to the agents of a LoadBalancer."""
    for secret in context.store.items(SECRET, target.namespace):
        labels = secret["metadata"].get("labels") or {}
        if labels.get(handover.LOAD_BALANCER_LABEL) != target.name:
            continue
        if labels.get(handover.ROLE_LABEL) == role:
            yield secret


def _bundle(target: ObjectName, binding: Binding) -> Object | None:
    if binding.pair is None:
        return None
    return handover.bundle_secret(
        target,
        kind=binding.source.kind,
        source=ObjectName(binding.source.namespace, binding.source.name),
        tls_crt=binding.pair.tls_crt,
        tls_key=binding.pair.private_key_pem,
    )


def _farm(farm: ResolvedFarm | None) -> handover.Farm | None:
    if farm is None:
        return None
    tls = farm.tls
    return handover.Farm(
        name=farm.name,
        servers=farm.servers,
        from_service=farm.from_service,
        health_check=farm.health_check,
        verify=None
        if tls is None
        else handover.FarmVerification(ca_pem=tls.ca_pem, server_name=tls.server_name),
    )


def _same(body: Object, held: Object | None) -> bool:
    """Whether the Secret holds what is wanted; what others added to its metadata does not count."""
    if held is None or held.get("data") != body["data"]:
        return False
    metadata, wanted = held["metadata"], body["metadata"]
    return all(
        (metadata.get(part) or {}).get(key) == value
        for part in ("labels", "annotations")
        for key, value in (wanted.get(part) or {}).items()
    )
