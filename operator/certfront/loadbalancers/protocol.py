"""What every provider is told and asked: the small protocol between reconcilers and providers.

A `Listener` is the wish, free of any provider's terms and closed: everything it refers to has been
resolved and permitted. A provider observes what is there, plans (a pure comparison of both) and
executes one operation; the reconciler does ordering, tasks, retries, locks and status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from certfront.model.frontend import HSTS, HealthCheck, Server
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.pki.pair import KeyPair


class CertificateSource(NamedTuple):
    """Where a certificate comes from: a Certificate, or a TLS Secret kept by someone else."""

    kind: Literal["Certificate", "Secret"]
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTLS:
    """TLS to the backend: the CA certificates (PEM) and the name to expect."""

    ca_pem: str = field(repr=False)
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedFarm:
    """A farm whose Services and Secrets have been looked up.

    `from_service`: its address is that of a Service of the frontend's namespace, which needs no
    grant.
    """

    name: str
    servers: tuple[Server, ...]
    from_service: bool = False
    health_check: HealthCheck | None = None
    tls: BackendTLS | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A certificate and the accepted hostnames that it answers for.

    `pair` is None where the material is not at hand: what is installed of it stays as it is.
    """

    source: CertificateSource
    hostnames: tuple[str, ...]
    key_type: KeyAlgorithm
    fingerprint: str
    not_after: datetime | None
    pair: KeyPair | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Everything one frontend asks of its load balancer.

    `port` speaks TLS if `ssl`. `http_port` is its plain twin; `challenge_port` answers ACME
    challenges and 404 otherwise. `redirect_status` is set where plain HTTP is sent to HTTPS.
    Hostnames are canonical, exact or `*.` wildcards.
    """

    frontend: ObjectName
    created: datetime
    hostnames: tuple[str, ...]
    port: int
    ssl: bool = True
    http_port: int | None = None
    challenge_port: int | None = None
    bindings: tuple[Binding, ...] = ()
    default_certificate: CertificateSource | None = None
    farm: ResolvedFarm | None = None
    redirect_location: str = ""
    redirect_status: Literal[301, 302, 303, 307, 308] | None = None
    accept_terminated: bool = False
    trusted_sources: tuple[str, ...] = ()
    hsts: HSTS | None = None
    allowed_sources: tuple[str, ...] = ()
    denied_sources: tuple[str, ...] = ()
    min_tls_version: Literal["TLS1.2", "TLS1.3"] = "TLS1.2"
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a type of load balancer can do, as the status of a LoadBalancer tells it."""

    key_types: tuple[KeyAlgorithm, ...]
    sni: bool
    redirect: bool
    managed_certificates: bool


HAPROXY = Capabilities(
    key_types=(KeyAlgorithm.ECDSA, KeyAlgorithm.RSA, KeyAlgorithm.ED25519),
    sni=True,
    redirect=True,
    managed_certificates=False,
)

CAPABILITIES: dict[str, Capabilities] = {"HAProxy": HAPROXY}
"""By type; a type that is not here cannot be programmed by this version."""

Observed = TypeVar("Observed")
Operation = TypeVar("Operation")


class Provider(Protocol, Generic[Observed, Operation]):
    """One kind of load balancer.

    `observe` and `execute` talk to it and may raise `Waiting` ("in use", "not found yet"), `Refused`,
    or what the API client raises where the provider works through objects of the cluster. `plan` is
    pure and returns operations in the order in which they are safe: what is new first, then the
    switch; what is old is removed in a later pass.
    """

    async def observe(self, listener: Listener) -> Observed:
        """What the load balancer has of this frontend now."""
        ...

    def plan(self, listener: Listener, observed: Observed) -> Sequence[Operation]:
        """What is to be done; empty when observed and wanted agree."""
        ...

    async def execute(self, operation: Operation) -> None:
        """Do one operation; doing it twice does no harm."""
        ...
