"""What is found of each certificate that a frontend lists: its pair, or why there is none.

Reads Certificates and TLS Secrets that were already fetched (plain objects of the API) and gives
the `Candidate`s that `bindings` works on. No exception and no message carries what a Secret holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from certfront.loadbalancers import reasons
from certfront.loadbalancers.bindings import Candidate, Material, PriorBinding
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import CertificateSource, ManagedCertificate
from certfront.loadbalancers.registry import capabilities_of
from certfront.model.certificate import Certificate, ManagedSource
from certfront.model.clock import CLOCK_TOLERANCE
from certfront.model.conditions import find
from certfront.model.frontend import DefaultCertificate, FrontendCertificate
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName
from certfront.model.reasons import Reason
from certfront.model.secret_data import value_of
from certfront.pki import facts, upload
from certfront.pki.faults import UnusableMaterial
from certfront.pki.names import InvalidName, normalise_dns
from certfront.pki.pair import KeyPair, parse_pair

MARKER = "certfront.io/certificate"
"""The annotation by which a TLS Secret says whose it is: namespace/name of a Certificate."""

Verdict = upload.Accepted | upload.Refused


def source_of(entry: FrontendCertificate | DefaultCertificate, namespace: str) -> CertificateSource:
    """Which object an entry of `certificates[]`, or `defaultCertificate`, means."""
    if entry.secret_ref is not None:
        return CertificateSource("Secret", namespace, entry.secret_ref.name)
    return CertificateSource("Certificate", namespace, entry.name)


def of_certificate(
    source: CertificateSource,
    certificate: Certificate | None,
    secret: Mapping[str, Any] | None,
    *,
    now: datetime,
    narrowed: tuple[str, ...] = (),
    prior: PriorBinding | None = None,
    shared: bool = False,
    balancer: LoadBalancer | None = None,
) -> Candidate:
    """What is found of a Certificate, whose Secret is `secret`; both None where confirmed absent.

    `balancer` is the load balancer that it is for: some issue certificates themselves.
    """
    found = Candidate(source=source, narrowed=narrowed, prior=prior, shared=shared)
    if certificate is None:
        return replace(
            found,
            problem=_unresolved(
                reasons.CERTIFICATE_NOT_FOUND,
                f"Certificate {source.name} does not exist{_still_served(prior)}.",
            ),
        )
    if certificate.spec.type == "Managed":
        return _of_managed(found, certificate, balancer)
    found = replace(
        found, expected=expected_names(certificate), acme=certificate.spec.type == "ACME"
    )
    material = _of_own_secret(certificate, secret, now)
    if material is not None:
        return replace(found, material=material)
    if _is_rotating(certificate, secret, prior):
        return found
    return replace(found, problem=_not_ready(source, certificate, prior))


def _of_managed(
    found: Candidate, certificate: Certificate, balancer: LoadBalancer | None
) -> Candidate:
    managed = certificate.spec.managed or ManagedSource()
    can = capabilities_of(balancer)
    type_ = "HAProxy" if balancer is None else balancer.spec.type
    if managed.kind not in can.managed:
        what = "none" if not can.managed else f"none of kind {managed.kind}"
        return replace(
            found,
            problem=_unresolved(
                reasons.UNSUPPORTED_CERTIFICATE_TYPE,
                f"Certificate {found.source.name} is of type Managed; a load balancer of type "
                f"{type_} issues {what}.",
            ),
        )
    names = expected_names(certificate)
    return replace(
        found,
        expected=names,
        managed=ManagedCertificate(kind=managed.kind, names=names, email=managed.email),
    )


def given_by(secret: Mapping[str, Any] | None) -> upload.UploadMaterial | None:
    """The pair that a TLS Secret holds, unchecked; None where a part of it is missing."""
    crt, key = value_of(secret, "tls.crt"), value_of(secret, "tls.key")
    if crt is None or key is None:
        return None
    return upload.UploadMaterial(
        certificate=crt, private_key=key, trust_bundle=value_of(secret, "ca.crt")
    )


def verdict_on(given: upload.UploadMaterial, now: datetime) -> Verdict:
    """What the checks of an uploaded pair say. Slow for large RSA keys: call it in a thread."""
    try:
        return upload.check(given, names_required=(), policy="Strict", now=now)
    except upload.Refused as refusal:
        return refusal


def of_secret(
    source: CertificateSource,
    secret: Mapping[str, Any] | None,
    verdict: Verdict | None,
    *,
    narrowed: tuple[str, ...] = (),
    prior: PriorBinding | None = None,
) -> Candidate:
    """What is found of a TLS Secret kept by someone else, checked like an uploaded one.

    `verdict` is that of `verdict_on` for what the Secret holds, None where it holds no pair.
    """
    found = Candidate(source=source, narrowed=narrowed, prior=prior)
    crt, key = value_of(secret, "tls.crt"), value_of(secret, "tls.key")
    if crt is None or key is None or verdict is None:
        problem = _unresolved(
            reasons.SECRET_NOT_FOUND,
            f"Secret {source.name} does not exist or has no tls.crt and tls.key"
            f"{_still_served(prior)}.",
        )
        return replace(found, problem=problem)
    if isinstance(verdict, upload.Refused):
        problem = _refused(source, verdict, prior)
        return replace(found, problem=problem, material=_same_as_served(crt, key, prior))
    if verdict.not_yet_valid:
        message = f"Secret {source.name} is not valid yet{_still_served(prior)}."
        return replace(found, problem=_unresolved(reasons.CERTIFICATE_NOT_READY, message))
    return replace(found, material=_material(verdict.pair))


def _of_own_secret(
    certificate: Certificate, secret: Mapping[str, Any] | None, now: datetime
) -> Material | None:
    """The pair in force, if the Secret holds it.

    A Secret that certfront writes is marked. One that is used in place may be replaced by anyone at
    any time: only the pair that the Certificate's own checks have accepted is taken from it.
    """
    crt, key = value_of(secret, "tls.crt"), value_of(secret, "tls.key")
    if secret is None or crt is None or key is None:
        return None
    if not certificate.in_place and not _is_marked(secret, certificate.metadata.object_name):
        return None
    try:
        material = _material(parse_pair(crt, key, value_of(secret, "ca.crt")))
    except (UnusableMaterial, InvalidName):
        return None
    if certificate.in_place and material.fingerprint != certificate.status.fingerprint:
        return None
    return material if material.not_before <= now + CLOCK_TOLERANCE else None


def _is_rotating(
    certificate: Certificate, secret: Mapping[str, Any] | None, prior: PriorBinding | None
) -> bool:
    """Whether a Secret used in place holds another pair that the Certificate has yet to look at.

    What it has accepted is what is served until then.
    """
    if not certificate.in_place or prior is None or value_of(secret, "tls.crt") is None:
        return False
    ready = find(certificate.status.conditions, "Ready")
    is_ready = ready is not None and ready.status == "True"
    return (
        is_ready and bool(prior.fingerprint) and prior.fingerprint == certificate.status.fingerprint
    )


def _is_marked(secret: Mapping[str, Any], owner: ObjectName) -> bool:
    annotations = secret["metadata"].get("annotations") or {}
    return annotations.get(MARKER) == str(owner)


def _same_as_served(crt: bytes, key: bytes, prior: PriorBinding | None) -> Material | None:
    """A pair that is refused now (it has expired, say) and is the very one that is served."""
    try:
        material = _material(parse_pair(crt, key))
    except (UnusableMaterial, InvalidName):
        return None
    served = prior is not None and prior.fingerprint == material.fingerprint
    return material if served else None


def _material(pair: KeyPair) -> Material:
    found = facts.read(pair.leaf, len(pair.tls_crt))
    return Material(
        pair=pair,
        names=found.domains,
        key_type=key_type_of(found),
        fingerprint=found.fingerprint,
        not_before=found.not_before,
        not_after=found.not_after,
    )


def key_type_of(found: facts.Facts) -> KeyAlgorithm:
    """The algorithm of a certificate's key, without its size."""
    return KeyAlgorithm(found.key_algorithm.partition("-")[0])


def expected_names(certificate: Certificate) -> tuple[str, ...]:
    """The canonical DNS names that a Certificate has or will have, issued or not."""
    spec = certificate.spec
    asked = (spec.common_name, *spec.dns_names) if spec.type != "Uploaded" else spec.dns_names
    names: dict[str, None] = {}
    for name in (*asked, *certificate.status.domains):
        try:
            names[normalise_dns(name)] = None
        except InvalidName:
            # A common name need not be a host name, and addresses are none.
            continue
    return tuple(names)


def _not_ready(
    source: CertificateSource, certificate: Certificate, prior: PriorBinding | None
) -> Problem:
    ready = next((c for c in certificate.status.conditions if c.type == "Ready"), None)
    why = f" ({ready.reason})" if ready is not None and ready.status != "True" else ""
    return _unresolved(
        reasons.CERTIFICATE_NOT_READY,
        f"Certificate {source.name} is not ready{why}{_still_served(prior)}.",
    )


def _refused(
    source: CertificateSource, refusal: upload.Refused, prior: PriorBinding | None
) -> Problem:
    return _unresolved(
        reasons.CERTIFICATE_REFUSED,
        f"Secret {source.name} is refused{_still_served(prior)}: {refusal.reason}: "
        f"{refusal.message}",
    )


def _still_served(prior: PriorBinding | None) -> str:
    return "; what was installed stays served" if prior is not None else ""


def _unresolved(reason: Reason, message: str) -> Problem:
    return Problem(condition="ResolvedRefs", reason=reason, message=message)
