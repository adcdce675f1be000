"""The kind Certificate: this key pair should exist, valid, for these names."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from certfront.model.conditions import Condition
from certfront.model.keys import KeyAlgorithm, KeyEncoding
from certfront.model.meta import Meta, Value
from certfront.model.references import Reference, SecretKeyReference
from certfront.model.tasks import Task

CertificateType = Literal["SelfSigned", "CA", "ACME", "Uploaded", "Managed"]
_SMALLEST_RSA_KEY = 1024  # bits; no curve comes near it
DeletionPolicy = Literal["Retain", "Delete", "RevokeAndDelete"]


class Subject(Value, frozen=True, kw_only=True):
    """X.509 subject attributes, spelled as in cert-manager."""

    organizations: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    organizational_units: tuple[str, ...] = ()
    localities: tuple[str, ...] = ()
    provinces: tuple[str, ...] = ()
    street_addresses: tuple[str, ...] = ()
    postal_codes: tuple[str, ...] = ()
    serial_number: str = ""


class Renewal(Value, frozen=True, kw_only=True):
    """When a certificate is replaced."""

    before: str = ""
    before_percent: int = 0
    suspend: bool = False
    warn_before: str = ""
    reissue_before: datetime | None = None


class PrivateKeySpec(Value, frozen=True, kw_only=True):
    """How keys are made. An unset algorithm follows from the size; without one it is ECDSA."""

    algorithm: KeyAlgorithm | None = None
    size: int = 0
    encoding: KeyEncoding = KeyEncoding.PKCS8
    rotation: Literal["Always", "Never"] = "Always"

    @property
    def wished_algorithm(self) -> KeyAlgorithm | None:
        """The algorithm that is asked for, by its name or by a size that only one of them has."""
        if self.algorithm is None and self.size:
            return KeyAlgorithm.RSA if self.size >= _SMALLEST_RSA_KEY else KeyAlgorithm.ECDSA
        return self.algorithm


class OutputFormat(Value, frozen=True, kw_only=True):
    """An extra shape of the pair in the Secret (a later capability)."""

    type: str
    key: str = ""
    order: tuple[str, ...] = ()
    password_secret_ref: SecretKeyReference | None = None


class SecretTemplate(Value, frozen=True, kw_only=True):
    """The Secret that the pair is stored in."""

    name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    formats: tuple[OutputFormat, ...] = ()
    deletion_policy: DeletionPolicy = "Retain"


class SelfSignedSource(Value, frozen=True, kw_only=True):
    """Settings of type SelfSigned; there are none yet."""


class CASource(Value, frozen=True, kw_only=True):
    """Settings of type CA."""

    issuer_ref: Reference | None = None


class ACMESource(Value, frozen=True, kw_only=True):
    """Settings of type ACME."""

    issuer_ref: Reference | None = None
    profile: str = ""
    preferred_chain: str = ""


class UploadedSecretReference(Value, frozen=True, kw_only=True):
    """The Secret that holds the uploaded pair, and the keys of its parts."""

    name: str
    certificate_key: str = "tls.crt"
    private_key_key: str = "tls.key"
    chain_key: str = ""
    pkcs12_key: str = ""


class UploadedSource(Value, frozen=True, kw_only=True):
    """Settings of type Uploaded."""

    secret_ref: UploadedSecretReference
    password_secret_ref: SecretKeyReference | None = None
    policy: Literal["Strict", "Lenient"] = "Strict"
    trust_bundle_ref: SecretKeyReference | None = None


class ManagedSource(Value, frozen=True, kw_only=True):
    """Settings of type Managed: who the provider asks for, and whom it writes to."""

    kind: Literal["Public", "SelfSigned"] = "Public"
    email: str = ""


class CertificateSpec(Value, frozen=True, kw_only=True):
    """What the user asks for."""

    type: CertificateType
    common_name: str = ""
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    subject: Subject = Subject()
    duration: str = "2160h"
    usages: tuple[str, ...] = ()
    is_ca: bool = msgspec.field(name="isCA", default=False)
    renewal: Renewal = Renewal()
    private_key: PrivateKeySpec = PrivateKeySpec()
    secret: SecretTemplate = SecretTemplate()
    self_signed: SelfSignedSource | None = None
    ca: CASource | None = None
    acme: ACMESource | None = None
    uploaded: UploadedSource | None = None
    managed: ManagedSource | None = None


class LastFailure(Value, frozen=True, kw_only=True):
    """What went wrong last; kept until success."""

    time: str = ""
    reason: str = ""
    identifier: str = ""
    challenge: str = ""
    message: str = ""


class CertificateStatus(Value, frozen=True, kw_only=True):
    """What certfront reports. Everything but `order` can be rebuilt by observation."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    task: Task | None = None
    task_history: tuple[Task, ...] = ()
    last_failure: LastFailure | None = None
    common_name: str = ""
    subject: str = ""
    domains: tuple[str, ...] = ()
    issuer: str = ""
    not_before: str = ""
    not_after: str = ""
    serial: str = ""
    size: int = 0
    fingerprint: str = ""
    key_algorithm: str = ""
    secret_name: str = ""
    names: str = ""
    renewal_time: str = ""
    next_attempt_time: str = ""
    next_time: str = ""
    failed_attempts: int = 0
    revision: int = 0
    handled_renew: str = ""
    order: dict[str, Any] | None = None


class Certificate(Value, frozen=True, kw_only=True):
    """A Certificate as the API server holds it."""

    metadata: Meta
    spec: CertificateSpec
    status: CertificateStatus = CertificateStatus()

    @property
    def secret_name(self) -> str:
        """The Secret that the pair is stored in."""
        return self.spec.secret.name or self.metadata.name

    @property
    def in_place(self) -> bool:
        """Whether the uploaded source is the target itself: checked and installed, never written."""
        uploaded = self.spec.uploaded
        return uploaded is not None and uploaded.secret_ref.name == self.secret_name
