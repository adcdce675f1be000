"""The TLS Secret as the commit record of a Certificate: what it holds, whose it is, and its next form.

A Secret is ours if it is a TLS Secret whose marker names this Certificate (DESIGN section 6.1).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from certfront.issuance.needs import SpecHash, Wanted, digest
from certfront.model.certificate import Certificate
from certfront.model.meta import API_VERSION
from certfront.model.secret_data import value_of
from certfront.model.times import from_text, to_text
from certfront.pki import keys
from certfront.pki.facts import Facts, read
from certfront.pki.faults import InvalidPair
from certfront.pki.names import covered_by, normalise_dns
from certfront.pki.pair import KeyPair, parse_pair

TLS_TYPE = "kubernetes.io/tls"
ROLE_LABEL = "certfront.io/secret"
MARKER = "certfront.io/certificate"
NEED = "certfront.io/need"
REVISION = "certfront.io/revision"
SPEC_HASH = "certfront.io/spec-hash"
ISSUED_AT = "certfront.io/issued-at"
RENEWED_FOR = "certfront.io/renewed-for"
TEMPLATE = "certfront.io/template"
ADOPT = "certfront.io/adopt"
RENEW = "certfront.io/renew"

Ownership = Literal["Absent", "Ours", "Adoptable", "Foreign"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A TLS Secret as observed. `damage` says why there is no pair although the Secret is there."""

    ownership: Ownership
    uid: str = ""
    resource_version: str = ""
    pair: KeyPair | None = None
    facts: Facts | None = None
    damage: str = ""
    need: str = ""
    revision: int = 0
    spec_hash: SpecHash | None = None
    issued_at: datetime | None = None
    renewed_for: str = ""
    marker: str = ""

    @property
    def held(self) -> bool:
        """Whether the Secret may be written for this Certificate."""
        return self.ownership in ("Ours", "Adoptable")


ABSENT = Record(ownership="Absent")


def observe(
    certificate: Certificate, secret: Mapping[str, Any] | None, *, written: KeyPair | None = None
) -> Record:
    """What `secret` (None: a live read found nothing) is to `certificate`.

    `written` is the pair that was just written there; the same bytes are not parsed again.
    """
    if secret is None:
        return ABSENT
    metadata = secret["metadata"]
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    ownership = _ownership(certificate, secret, annotations)
    pair, damage = _pair(secret, written) if ownership in ("Ours", "Adoptable") else (None, "")
    return Record(
        ownership=ownership,
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        pair=pair,
        facts=read(pair.leaf, size=len(pair.tls_crt)) if pair else None,
        damage=damage,
        need=annotations.get(NEED, ""),
        revision=_whole_number(annotations.get(REVISION, "")),
        spec_hash=SpecHash.parse(annotations.get(SPEC_HASH, "")),
        issued_at=_moment(annotations.get(ISSUED_AT, "")),
        renewed_for=annotations.get(RENEWED_FOR, ""),
        marker=annotations.get(MARKER, ""),
    )


def body(
    certificate: Certificate,
    pair: KeyPair,
    *,
    need: str,
    revision: int,
    spec_hash: SpecHash | None,
    issued_at: datetime,
    renewed_for: str,
) -> dict[str, Any]:
    """The Secret to apply: our keys only, so that everyone else's survive."""
    metadata = certificate.metadata
    template = certificate.spec.secret
    data = {"tls.crt": pair.tls_crt, "tls.key": pair.private_key_pem}
    if pair.ca_crt:
        data["ca.crt"] = pair.ca_crt
    wanted_metadata: dict[str, Any] = {
        "name": certificate.secret_name,
        "namespace": metadata.namespace,
        "labels": {**template.labels, ROLE_LABEL: "certificate"},
        "annotations": {
            **template.annotations,
            MARKER: str(metadata.object_name),
            NEED: need,
            REVISION: str(revision),
            **({SPEC_HASH: str(spec_hash)} if spec_hash else {}),
            ISSUED_AT: to_text(issued_at),
            RENEWED_FOR: renewed_for,
            TEMPLATE: _template_hash(certificate),
        },
    }
    if template.deletion_policy == "Delete":
        wanted_metadata["ownerReferences"] = [owner_reference(certificate)]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": wanted_metadata,
        "type": TLS_TYPE,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def owner_reference(certificate: Certificate) -> dict[str, Any]:
    """Makes garbage collection delete a Secret with its Certificate."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Certificate",
        "name": certificate.metadata.name,
        "uid": certificate.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def template_applied(certificate: Certificate, secret: Mapping[str, Any]) -> bool:
    """Whether the Secret carries the template, our label and owner, and nothing of an earlier template."""
    metadata = secret["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    template = certificate.spec.secret
    owned = any(
        reference.get("uid") == certificate.metadata.uid
        for reference in metadata.get("ownerReferences") or ()
    )
    return (
        labels.get(ROLE_LABEL) == "certificate"
        and template.labels.items() <= labels.items()
        and template.annotations.items() <= annotations.items()
        and annotations.get(TEMPLATE) == _template_hash(certificate)
        and owned == (template.deletion_policy == "Delete")
    )


def as_adoptable(secret: Mapping[str, Any]) -> dict[str, Any]:
    """The same Secret, as if it had been handed over: for one whose own Certificate is gone."""
    metadata = secret["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ADOPT: "true"}
    return {**secret, "metadata": {**metadata, "annotations": annotations}}


def _template_hash(certificate: Certificate) -> str:
    """Tells one template from another: what was taken out of it must leave the Secret too."""
    template = certificate.spec.secret
    return digest([template.labels, template.annotations])


def satisfies(record: Record, wanted: Wanted) -> bool:
    """Whether the stored pair has the names, the key algorithm and the CA flag that are asked for."""
    facts, pair = record.facts, record.pair
    if facts is None or pair is None:
        return False
    key = keys.from_pem(pair.private_key_pem)
    return (
        {_spelled(name) for name in facts.domains} == set(wanted.names)
        and facts.is_ca == wanted.request.is_ca
        and keys.algorithm_of(key) == wanted.key.algorithm
        and wanted.key.size in (0, keys.size_of(key))
    )


def covers(record: Record, wanted: Wanted) -> bool:
    """Whether the stored certificate is valid for every name that is asked for, and maybe for more."""
    facts = record.facts
    return facts is not None and all(
        covered_by(map(_spelled, facts.domains), name) for name in wanted.names
    )


def _spelled(name: str) -> str:
    try:
        return normalise_dns(name)
    except ValueError:
        return name


def _ownership(
    certificate: Certificate, secret: Mapping[str, Any], annotations: Mapping[str, str]
) -> Ownership:
    if secret.get("type") != TLS_TYPE:
        return "Foreign"
    ours = str(certificate.metadata.object_name)
    if annotations.get(MARKER) == ours:
        return "Ours"
    return "Adoptable" if annotations.get(ADOPT) in ("true", ours) else "Foreign"


def _pair(secret: Mapping[str, Any], written: KeyPair | None) -> tuple[KeyPair | None, str]:
    certificate, key = value_of(secret, "tls.crt"), value_of(secret, "tls.key")
    if not certificate or not key:
        return None, "tls.crt or tls.key is missing"
    if written is not None and (certificate, key) == (written.tls_crt, written.private_key_pem):
        return written, ""
    try:
        return parse_pair(certificate, key), ""
    except InvalidPair as error:
        return None, str(error)


def _whole_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _moment(text: str) -> datetime | None:
    try:
        return from_text(text) if text else None
    except ValueError:
        return None
