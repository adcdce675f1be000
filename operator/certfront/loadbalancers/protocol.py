"""What every provider is told and asked: the small protocol between reconcilers and providers.

A `Listener` is what one frontend wants, free of any provider's terms and closed: everything it
refers to has been resolved and permitted. A `Wish` is what all frontends of one load balancer want
together. A provider observes what is there, plans (a pure comparison of both) and executes one
operation; the reconciler does ordering, tasks, retries, locks and status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from certfront.loadbalancers.problems import Problem
from certfront.model.frontend import HSTS, ClassicListener, HealthCheck, KongSettings, Server
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName
from certfront.model.reasons import Reason
from certfront.model.tasks import Action, TaskStatus
from certfront.pki.pair import KeyPair

Manage = Literal["Listener", "CertificatesOnly", "StoreOnly"]


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
class ManagedCertificate:
    """A certificate that the provider itself is to issue, and whose key it keeps.

    `names` are the canonical DNS names in the order of the spec, the first being the common name.
    """

    kind: Literal["Public", "SelfSigned"]
    names: tuple[str, ...]
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A certificate and the accepted hostnames that it answers for.

    `pair` is None where the material is not at hand: what is installed of it stays as it is.
    `managed` is set instead where the provider issues it; `fingerprint` is "" until it has.
    """

    source: CertificateSource
    hostnames: tuple[str, ...]
    key_type: KeyAlgorithm
    fingerprint: str
    not_after: datetime | None
    pair: KeyPair | None
    managed: ManagedCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Everything one frontend asks of its load balancer.

    `port` speaks TLS if `ssl`. `http_port` is its plain twin; `challenge_port` answers ACME
    challenges and 404 otherwise. `redirect_status` is set where plain HTTP is sent to HTTPS.
    Hostnames are canonical, exact or `*.` wildcards. `farm` is one that was resolved here (HAProxy);
    `farm_name` is `spec.defaultFarm` as written, for providers that have farms of their own.
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
    farm_name: str = ""
    redirect_location: str = ""
    redirect_status: Literal[301, 302, 303, 307, 308] | None = None
    accept_terminated: bool = False
    trusted_sources: tuple[str, ...] = ()
    hsts: HSTS | None = None
    allowed_sources: tuple[str, ...] = ()
    denied_sources: tuple[str, ...] = ()
    min_tls_version: Literal["TLS1.2", "TLS1.3"] = "TLS1.2"
    tls_policy: str = ""
    zone: str = ""
    display_name: str = ""
    disabled: bool = False
    manage: Manage = "Listener"
    adopt: bool = False
    classic: ClassicListener | None = None
    kong: KongSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a type of load balancer can do, as the status of a LoadBalancer tells it.

    `unsupported` are the fields of a frontend's spec that it cannot honour (as paths, `hsts`,
    `tls.policy`): they are refused, never ignored. `farm`: whether traffic must be told where to go,
    by `defaultFarm` or `redirectLocation`; `Own` farms are those of `spec.farms`. `challenges`:
    whether it answers HTTP-01 challenges for the names of its frontends.
    """

    key_types: tuple[KeyAlgorithm, ...]
    sni: bool
    redirect: bool
    managed: frozenset[Literal["Public", "SelfSigned"]] = frozenset()
    farm: Literal["Own", "Named", "None"] = "None"
    manages: frozenset[Manage] = frozenset({"Listener"})
    unsupported: frozenset[str] = frozenset()
    challenges: bool = False

    @property
    def managed_certificates(self) -> bool:
        """Whether the provider issues certificates itself."""
        return bool(self.managed)


# --- what the reconciler tells a provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What the status of a frontend remembers of one certificate at the provider.

    `provider_id` is "" where it was claimed and never confirmed: it may or may not be there, and is
    searched by identity before it is created again.
    """

    source: CertificateSource
    fingerprint: str
    provider_id: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the status of a frontend remembers: hints for finding things again, never proofs."""

    frontend_id: str = ""
    installed: tuple[Installation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What all frontends of one load balancer want of it now, and what is remembered of them.

    `staying` are frontends about which nothing new was decided: what is installed of them stays as
    it is, and nothing that could be theirs is removed. `releasing` want nothing any more: what is
    installed of them goes. `complete` is False while some frontend was not looked at yet since the
    start: then nothing at all is removed.
    """

    listeners: tuple[Listener, ...] = ()
    staying: frozenset[ObjectName] = frozenset()
    releasing: frozenset[ObjectName] = frozenset()
    memory: Mapping[ObjectName, Memory] = field(default_factory=dict)
    complete: bool = True
    now: datetime

    def bindings(self) -> Iterator[tuple[Listener, Binding]]:
        """Every binding with its listener, in order."""
        for listener in self.listeners:
            for binding in listener.bindings:
                yield listener, binding


# --- what a provider answers


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTask:
    """A task of the provider's own, mirrored into status field by field."""

    id: str
    action: Action
    status: TaskStatus
    progress: int = 0
    created: datetime | None = None
    done: datetime | None = None


Act = TypeVar("Act")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Act]):
    """One external step that may be done now: everything it depends on has been observed.

    `key` names it from pass to pass, so that one which failed is not tried again too soon while
    others go on. `step` is the CamelCase reason that tasks show meanwhile (Uploading, Binding,
    Redirecting, Refreshing, Deleting). `about` are the frontends that wait for it. `removes`: it deletes
    something; done only after a minute of being planned, on a fresh observation, when all frontends
    are known. `last`: it is done when nothing else is left and wishes have come to rest (OVH's
    refresh). `claims` is (frontend, certificate, fingerprint), for a create without a natural key: the
    status of the frontend holds the claim before it is sent.
    """

    key: str
    act: Act
    step: str
    about: tuple[ObjectName, ...]
    removes: bool = False
    last: bool = False
    claims: tuple[ObjectName, CertificateSource, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far one certificate of one frontend is at the provider.

    `stored`: it is there. `bound`: the listener offers it, and everything that must be applied is.
    `superseded` are fingerprints that the provider may still answer with for the same names, until
    they are removed: a handshake that shows one of them is no failure.
    """

    source: CertificateSource
    fingerprint: str
    provider_id: str = ""
    stored: bool = False
    bound: bool = False
    superseded: frozenset[str] = frozenset()
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something true and harmless that a person should know; Accepted stays True with its reason."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How one frontend stands at the provider, as far as observation tells.

    `configured`: everything that was asked for but certificates is there and applied. `waits` says
    what the provider is still at, "" if nothing. `probe` is where a client reaches the listener,
    None where the provider knows no address (`spec.probeAddress` goes before it).
    """

    configured: bool
    standings: tuple[Standing, ...] = ()
    frontend_id: str = ""
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()
    waits: str = ""
    task: ProviderTask | None = None
    probe: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedState:
    """A certificate that the provider issues: its order, and the facts once it is there.

    Facts are as the provider tells them; what it does not tell is empty. `routed` is False where the
    provider says that a name no longer points at it (it will not renew). `problem` says what a person
    has to do.
    """

    task: ProviderTask | None = None
    provider_id: str = ""
    fingerprint: str = ""
    domains: tuple[str, ...] = ()
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    size: int = 0
    routed: bool = True
    problem: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[Act]):
    """What may be done now, in a safe order, and how everything stands.

    `outlooks` has every frontend of the wish's listeners. `managed` is keyed by its Certificate.
    `left` are frontends being released of which something is still there. `look_again` is after how
    many seconds the provider may have news without an operation of ours (a task of its own); None:
    when something changes or at the next check for drift. So many operations of a `batch` may be done
    one after the other without another plan between them. `limits` go into the LoadBalancer's status.
    """

    operations: tuple[Operation[Act], ...] = ()
    outlooks: Mapping[ObjectName, Outlook] = field(default_factory=dict)
    managed: Mapping[CertificateSource, ManagedState] = field(default_factory=dict)
    left: frozenset[ObjectName] = frozenset()
    look_again: float | None = None
    batch: int = 1
    limits: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


Observed = TypeVar("Observed")


class Provider(Protocol, Generic[Observed, Act]):
    """One load balancer at its provider. Its own state is connections and tokens, nothing else.

    `observe` and `execute` raise what `loadbalancers.errors` has. `plan` is pure: equal arguments
    give equal plans, and a plan for what was observed after its own operations is empty.
    """

    async def observe(self, wish: Wish) -> Observed:
        """What the load balancer has now of everything that the wish is about, read from its API."""
        ...

    async def look(self, wish: Wish, observed: Observed) -> Observed:
        """The cheapest read that tells whether what `look_again` waits for has come."""
        ...

    def plan(self, wish: Wish, observed: Observed) -> Plan[Act]:
        """What is to be done, by safe order: create, switch, apply, remove. Deletes nothing in use."""
        ...

    async def execute(self, operation: Operation[Act], observed: Observed) -> Observed:
        """Do one operation; doing it twice does no harm. Returns what is there then, by the answer."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...
