"""The kind LoadBalancerFrontend: this listener should terminate TLS with these certificates."""

from typing import Literal

import msgspec

from certfront.model.conditions import Condition
from certfront.model.meta import Meta, Value
from certfront.model.references import LocalReference, Reference, SecretKeyReference
from certfront.model.tasks import Task


class Server(Value, frozen=True, kw_only=True):
    """One backend server: an IP address and a port."""

    address: str
    port: int


class ServiceReference(Value, frozen=True, kw_only=True):
    """A Service of the frontend's namespace, reached at its ClusterIP."""

    name: str
    port: int


class HealthCheck(Value, frozen=True, kw_only=True):
    """An HTTP check of every server of a farm."""

    path: str = "/"
    host: str = ""
    interval_seconds: int = 5


class BackendVerification(Value, frozen=True, kw_only=True):
    """TLS to the backend, verified against the CA (key `ca.crt`) in a Secret of the same namespace."""

    ca_secret_ref: SecretKeyReference
    server_name: str = ""


class Farm(Value, frozen=True, kw_only=True):
    """A set of backend servers."""

    name: str
    servers: tuple[Server, ...] = ()
    service_ref: ServiceReference | None = None
    health_check: HealthCheck | None = None
    verify: BackendVerification | None = None


class FrontendCertificate(Value, frozen=True, kw_only=True):
    """A Certificate, or a TLS Secret kept by someone else, that the frontend serves."""

    name: str = ""
    secret_ref: LocalReference | None = None
    hostnames: tuple[str, ...] = ()


class DefaultCertificate(Value, frozen=True, kw_only=True):
    """Which of the frontend's certificates answers handshakes that name nothing known."""

    name: str = ""
    secret_ref: LocalReference | None = None


class HSTS(Value, frozen=True, kw_only=True):
    """The Strict-Transport-Security header (RFC 6797)."""

    max_age: int = 31536000
    include_sub_domains: bool = False
    preload: bool = False


class TLSSettings(Value, frozen=True, kw_only=True):
    """Hardening of the listener."""

    min_version: Literal["TLS1.2", "TLS1.3"] = "TLS1.2"
    policy: str = ""


class ClassicListener(Value, frozen=True, kw_only=True):
    """Where a listener of an AWS classic load balancer sends traffic on its instances."""

    instance_port: int
    instance_protocol: Literal["HTTP", "HTTPS", "TCP", "SSL"] = "HTTP"


class KongRoute(Value, frozen=True, kw_only=True):
    """Routes of Kong, by name or by tag."""

    name: str = ""
    tag: str = ""


class KongSettings(Value, frozen=True, kw_only=True):
    """What only Kong has."""

    routes: tuple[KongRoute, ...] = ()


class FrontendSpec(Value, frozen=True, kw_only=True):
    """What the user asks for."""

    load_balancer_ref: Reference | None = None
    manage: Literal["Listener", "CertificatesOnly", "StoreOnly"] = "Listener"
    adopt: bool = False
    ssl: bool = True
    hostnames: tuple[str, ...] = ()
    port: int = 443
    http_port: int | None = None
    zone: str = ""
    display_name: str = ""
    disabled: bool = False
    default_farm: str = ""
    redirect_location: str = ""
    farms: tuple[Farm, ...] = ()
    certificates: tuple[FrontendCertificate, ...] = ()
    default_certificate: DefaultCertificate | None = None
    https_only: bool = False
    redirect_status_code: Literal[301, 302, 303, 307, 308] = 308
    accept_http_if_already_terminated: bool = msgspec.field(
        name="acceptHTTPIfAlreadyTerminated", default=False
    )
    trusted_sources: tuple[str, ...] = ()
    hsts: HSTS | None = None
    allowed_sources: tuple[str, ...] = ()
    denied_sources: tuple[str, ...] = ()
    tls: TLSSettings = TLSSettings()
    deletion_policy: Literal["Release", "Orphan"] = "Release"
    aws_classic: ClassicListener | None = None
    kong: KongSettings | None = None


class InstalledCertificate(Value, frozen=True, kw_only=True):
    """A certificate that is installed on the load balancer.

    `name` is that of a Certificate, or `secret/` and the name of a Secret; `namespace` is set for one
    of the load balancer's own. Without a `provider_id` at a provider that gives one, it was about to
    be created.
    """

    name: str
    namespace: str = ""
    fingerprint: str = ""
    not_after: str = ""
    provider_id: str = msgspec.field(name="providerID", default="")
    since: str = ""
    verified: bool = False
    key_algorithm: str = ""
    hostnames: tuple[str, ...] = ()


class FrontendStatus(Value, frozen=True, kw_only=True):
    """What certfront reports about a LoadBalancerFrontend."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    task: Task | None = None
    task_history: tuple[Task, ...] = ()
    installed: tuple[InstalledCertificate, ...] = ()
    hostnames: tuple[str, ...] = ()
    load_balancer: str = ""
    certificate: str = ""
    not_after: str = ""
    frontend_id: str = msgspec.field(name="frontendID", default="")


class Frontend(Value, frozen=True, kw_only=True):
    """A LoadBalancerFrontend as the API server holds it."""

    metadata: Meta
    spec: FrontendSpec = FrontendSpec()
    status: FrontendStatus = FrontendStatus()
