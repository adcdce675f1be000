"""What is known of one service, and the steps that change it: the values between `plan` and `provider`.

OVH keeps one configuration per service; nothing of it has an effect until a refresh applies it. So
an observation holds both: what is configured, and what of it is live.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from certfront.loadbalancers.ovh.client import Frontend, OVHTask, Route, RouteAction, Service, Ssl
from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.meta import ObjectName
from certfront.pki.pair import KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What has been applied, as it was then."""

    certificates: frozenset[int] = frozenset()
    frontends: Mapping[int, Frontend] = field(default_factory=dict)
    routes: Mapping[int, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """The refresh that runs or ran last, and the frontends that wait for it."""

    task: OVHTask
    about: frozenset[ObjectName] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether OVH is still at it."""
        return self.task.status in ("todo", "doing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was looked at besides certificates, frontends and refreshes, since it was needed.

    `farms` are names as frontends write them, with the ids that fit.
    """

    farms: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    routes: bool = False
    orders: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One service. `routes` are ours only; `orders` are orders of free certificates.

    `pending`: something may be configured that is not applied. `ordered` are the tasks that this
    process knows it has begun, by Certificate.
    """

    service: Service
    certificates: Mapping[int, Ssl] = field(default_factory=dict)
    frontends: Mapping[int, Frontend] = field(default_factory=dict)
    routes: Mapping[int, Route] = field(default_factory=dict)
    orders: Mapping[int, OVHTask] = field(default_factory=dict)
    ordered: Mapping[CertificateSource, int] = field(default_factory=dict)
    looked: Looked = Looked()
    live: Live = Live()
    pending: bool = False
    refresh: Refresh | None = None

    @property
    def refreshing(self) -> bool:
        """Whether a refresh is open, whoever began it."""
        return self.refresh is not None and self.refresh.is_open


# --- steps


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Read what a new wish needs to know. It changes nothing."""

    farms: frozenset[str] = frozenset()
    routes: bool = False
    orders: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Store a certificate."""

    name: str
    pair: KeyPair = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameCertificate:
    """Give a certificate of ours the name of what uses it now."""

    ssl_id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFrontend:
    """Make a frontend (its id is not looked at)."""

    settings: Frontend


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFrontend:
    """Set a frontend to this."""

    settings: Frontend


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDefault:
    """Set the default certificate of a frontend that was made elsewhere; nothing else of it."""

    frontend_id: int
    ssl_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFrontend:
    """Take a frontend off, and the routes of ours that lead its requests elsewhere.

    The frontend is disabled before its routes go, so that no refresh in between shows it without.
    """

    frontend_id: int
    route_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRoute:
    """Make the route of a frontend."""

    frontend_id: int
    name: str
    action: RouteAction


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRoute:
    """Set what a route of ours does."""

    route_id: int
    frontend_id: int
    name: str
    action: RouteAction


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRoute:
    """Remove a route of ours."""

    route_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveCertificate:
    """Remove a certificate of ours, if its name still says so."""

    ssl_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Have OVH issue a certificate."""

    source: CertificateSource
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """The refresh of the service, if there is something to apply and no refresh is open."""

    about: frozenset[ObjectName]


Act: TypeAlias = (
    LookUp
    | Upload
    | RenameCertificate
    | CreateFrontend
    | ChangeFrontend
    | SetDefault
    | RemoveFrontend
    | CreateRoute
    | ChangeRoute
    | RemoveRoute
    | RemoveCertificate
    | Order
    | Apply
)
