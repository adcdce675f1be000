"""What the operator knows of the cluster: the kinds it watches, their store, and reverse look-ups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from certfront.engine.keys import Key
from certfront.engine.store import Index, Object, Store, Trim
from certfront.kube.resources import (
    CERTIFICATES,
    FRONTENDS,
    ISSUERS,
    LEASES,
    LOADBALANCERS,
    NAMESPACES,
    SECRETS,
    Resource,
)
from certfront.kube.source import Watched
from certfront.model.settings import Settings

CERTIFICATE = CERTIFICATES.kind
ISSUER = ISSUERS.kind
LOADBALANCER = LOADBALANCERS.kind
FRONTEND = FRONTENDS.kind
SECRET = SECRETS.kind
LEASE = LEASES.kind
NAMESPACE = NAMESPACES.kind

RESOURCES: Mapping[str, Resource] = {
    resource.kind: resource
    for resource in (CERTIFICATES, ISSUERS, LOADBALANCERS, FRONTENDS, SECRETS, LEASES, NAMESPACES)
}
OWN_KINDS = (CERTIFICATE, ISSUER, LOADBALANCER, FRONTEND)
"""The kinds that certfront brings."""
WATCHED_LABEL: Mapping[str, str] = {
    SECRET: "certfront.io/secret",
    LEASE: "certfront.io/load-balancer",
}
"""Kinds of which only the objects with this label are listed and watched."""


@dataclass(frozen=True, slots=True)
class Indices:
    """Reverse look-ups: which objects mention a given one. Values are (namespace, name)."""

    certificates_by_secret: Index
    certificates_by_issuer: Index
    issuers_by_secret: Index
    frontends_by_certificate: Index
    frontends_by_secret: Index
    frontends_by_load_balancer: Index
    frontends_by_installation: Index
    load_balancers_by_certificate: Index
    load_balancers_by_secret: Index
    certificates_by_token: Index
    secrets_by_certificate: Index

    def frontends_at(self, namespace: str, name: str) -> tuple[Key, ...]:
        """The frontends that name a load balancer, then those that are installed on it all the same."""
        where = (namespace, name)
        named = self.frontends_by_load_balancer.lookup(where)
        return tuple(dict.fromkeys((*named, *self.frontends_by_installation.lookup(where))))

    def __iter__(self) -> Iterator[Index]:
        yield self.certificates_by_secret
        yield self.certificates_by_issuer
        yield self.issuers_by_secret
        yield self.frontends_by_certificate
        yield self.frontends_by_secret
        yield self.frontends_by_load_balancer
        yield self.frontends_by_installation
        yield self.load_balancers_by_certificate
        yield self.load_balancers_by_secret
        yield self.certificates_by_token
        yield self.secrets_by_certificate


def new_store(settings: Settings) -> tuple[Store, Indices]:
    """An empty store of every kind that is watched, and the look-ups over it."""
    indices = Indices(
        certificates_by_secret=Index(CERTIFICATE, _secrets_of_certificate),
        certificates_by_issuer=Index(
            CERTIFICATE, lambda obj: _issuer_of_certificate(obj, settings)
        ),
        issuers_by_secret=Index(ISSUER, _secrets_of_issuer),
        frontends_by_certificate=Index(FRONTEND, _certificates_of_frontend),
        frontends_by_secret=Index(FRONTEND, _secrets_of_frontend),
        frontends_by_load_balancer=Index(FRONTEND, lambda obj: _load_balancer_of(obj, settings)),
        frontends_by_installation=Index(FRONTEND, _installed_on),
        load_balancers_by_certificate=Index(LOADBALANCER, _certificates_of_frontend),
        load_balancers_by_secret=Index(LOADBALANCER, _secrets_of_load_balancer),
        certificates_by_token=Index(CERTIFICATE, _tokens_of_certificate),
        secrets_by_certificate=Index(SECRET, _certificate_of_secret),
    )
    trims: dict[str, Trim] = dict.fromkeys(RESOURCES, _whole)
    return Store(trims, indices), indices


def watched(settings: Settings) -> Mapping[str, Watched]:
    """Where and by which labels each kind is listed and watched."""
    return {
        kind: Watched(
            resource=resource,
            namespaces=settings.watch_namespaces if resource.namespaced else (),
            label_selector=WATCHED_LABEL.get(kind),
        )
        for kind, resource in RESOURCES.items()
    }


def _whole(obj: Object) -> Object:
    annotations = obj["metadata"].get("annotations")
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    if not annotations or applied not in annotations:
        return obj
    kept = {key: value for key, value in annotations.items() if key != applied}
    return {**obj, "metadata": {**obj["metadata"], "annotations": kept}}


def _spec(obj: Object) -> dict[str, Any]:
    found: dict[str, Any] = obj.get("spec") or {}
    return found


def _own(obj: Object, *references: Any) -> Iterator[tuple[str, str]]:
    namespace = obj["metadata"]["namespace"]
    for reference in references:
        if reference and reference.get("name"):
            yield (reference.get("namespace") or namespace, reference["name"])


def _secrets_of_certificate(obj: Object) -> Iterator[tuple[str, str]]:
    spec = _spec(obj)
    target = (spec.get("secret") or {}).get("name") or obj["metadata"]["name"]
    uploaded = spec.get("uploaded") or {}
    yield (obj["metadata"]["namespace"], target)
    yield from _own(
        obj,
        uploaded.get("secretRef"),
        uploaded.get("passwordSecretRef"),
        uploaded.get("trustBundleRef"),
    )


def _issuer_of_certificate(obj: Object, settings: Settings) -> Iterator[tuple[str, str]]:
    spec = _spec(obj)
    kind = spec.get("type")
    if kind not in ("ACME", "CA"):
        return
    reference = (spec.get("acme" if kind == "ACME" else "ca") or {}).get("issuerRef")
    if reference:
        yield from _own(obj, reference)
    elif settings.issuer is not None:
        yield (settings.issuer.namespace, settings.issuer.name)


def _secrets_of_issuer(obj: Object) -> Iterator[tuple[str, str]]:
    spec = _spec(obj)
    acme = spec.get("acme") or {}
    binding = acme.get("externalAccountBinding") or {}
    yield from _own(
        obj,
        (spec.get("ca") or {}).get("secretRef"),
        acme.get("privateKeySecretRef"),
        binding.get("keySecretRef"),
    )


def _certificates_of_frontend(obj: Object) -> Iterator[tuple[str, str]]:
    yield from _own(obj, *(_spec(obj).get("certificates") or ()))


def _secrets_of_frontend(obj: Object) -> Iterator[tuple[str, str]]:
    spec = _spec(obj)
    yield from _own(obj, *(entry.get("secretRef") for entry in spec.get("certificates") or ()))
    yield from _own(
        obj, *((farm.get("verify") or {}).get("caSecretRef") for farm in spec.get("farms") or ())
    )


def _installed_on(obj: Object) -> Iterator[tuple[str, str]]:
    """Where a frontend is installed by its own status, whatever it names now."""
    namespace, slash, name = ((obj.get("status") or {}).get("loadBalancer") or "").partition("/")
    if slash:
        yield (namespace, name)


def _secrets_of_load_balancer(obj: Object) -> Iterator[tuple[str, str]]:
    blocks = (value for value in _spec(obj).values() if isinstance(value, dict))
    yield from _own(obj, *(block.get("credentialsSecretRef") for block in blocks))


def _tokens_of_certificate(obj: Object) -> Iterator[str]:
    order = (obj.get("status") or {}).get("order") or {}
    for entry in order.get("authorizations") or ():
        if entry.get("token"):
            yield entry["token"]


def _certificate_of_secret(obj: Object) -> Iterator[tuple[str, str]]:
    """(role, namespace/name) of what was made for a Certificate."""
    metadata = obj["metadata"]
    role = (metadata.get("labels") or {}).get("certfront.io/secret")
    marker = (metadata.get("annotations") or {}).get("certfront.io/certificate")
    if role and marker:
        yield (role, marker)


def _load_balancer_of(obj: Object, settings: Settings) -> Iterator[tuple[str, str]]:
    reference = _spec(obj).get("loadBalancerRef")
    if reference:
        yield from _own(obj, reference)
    elif settings.load_balancer is not None:
        yield (settings.load_balancer.namespace, settings.load_balancer.name)
