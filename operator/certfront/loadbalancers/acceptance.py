"""Whether a frontend may have what it asks for: references, grants, supported fields, farms.

Pure checks, in the order in which they are made; each names its reason. `claims` then settles who
holds a hostname and `bindings` which certificate answers for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.problems import Problem, listed
from certfront.loadbalancers.protocol import Capabilities
from certfront.model.frontend import Farm, Frontend, FrontendSpec, Server
from certfront.model.grants import Grant, applying, backend_allowed, withheld
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import ObjectName
from certfront.model.reasons import Reason
from certfront.model.settings import Settings
from certfront.pki.names import InvalidName, normalise_dns


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What a namespace may do with a load balancer; its own namespace may do everything."""

    namespace: str
    unrestricted: bool
    grants: tuple[Grant, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether the namespace may use the load balancer at all."""
        return self.unrestricted or bool(self.grants)

    def withheld(self, hostnames: Iterable[str]) -> tuple[str, ...]:
        """Those of the canonical `hostnames` that are not granted."""
        return () if self.unrestricted else withheld(hostnames, self.grants, self.namespace)

    def allows_backend(self, address: str) -> bool:
        """Whether traffic may be sent to the IP address."""
        return self.unrestricted or backend_allowed(address, self.grants)


def target_of(frontend: Frontend, settings: Settings) -> ObjectName | None:
    """The LoadBalancer that a frontend names, or the installation's default."""
    ref = frontend.spec.load_balancer_ref
    if ref is None:
        return settings.load_balancer
    return ObjectName(ref.namespace or frontend.metadata.namespace, ref.name)


def permission_of(
    load_balancer: LoadBalancer, namespace: str, labels: Mapping[str, str]
) -> Permission:
    """What `namespace`, which has `labels`, may do with `load_balancer`."""
    if load_balancer.metadata.namespace == namespace:
        return Permission(namespace=namespace, unrestricted=True)
    granted = applying(load_balancer.spec.grants, namespace, labels)
    return Permission(namespace=namespace, unrestricted=False, grants=granted)


def refuse_load_balancer(
    target: ObjectName | None,
    load_balancer: LoadBalancer | None,
    permission: Permission | None,
    settings: Settings,
) -> Problem | None:
    """Why the load balancer cannot be used at all, if so. "Not permitted" reads like "absent"."""
    if target is None:
        return _unaccepted(
            reasons.NO_LOAD_BALANCER,
            "No load balancer is named and the installation has no default. "
            "Set spec.loadBalancerRef.",
        )
    if load_balancer is not None and permission is not None and permission.anything:
        return None
    if load_balancer is not None and permission is not None and target == settings.load_balancer:
        return _unaccepted(
            reasons.LOAD_BALANCER_NOT_GRANTED,
            f"{target} grants nothing to namespace {permission.namespace}.",
        )
    return _unaccepted(
        reasons.LOAD_BALANCER_NOT_FOUND,
        f"LoadBalancer {target} does not exist or grants nothing to this namespace.",
    )


def check_supported(spec: FrontendSpec, type_: str, can: Capabilities) -> Problem | None:
    """The fields that a load balancer of the type, or this version, cannot honour."""
    unsupported = [field for field in sorted(can.unsupported) if _SET[field](spec)]
    unsupported += [f"manage: {spec.manage}"] if spec.manage not in can.manages else []
    if spec.manage != "Listener":
        beside = _OF_A_LISTENER | ({"defaultCertificate"} if can.farm == "Own" else frozenset())
        unsupported += [field for field in sorted(beside) if _SET[field](spec)]
    unsupported += ["farms"] if spec.farms and can.farm != "Own" else []
    if not unsupported:
        return None
    found = tuple(f"spec.{field}" for field in unsupported)
    return _stalled(
        reasons.UNSUPPORTED_FIELD,
        f"Not supported on a load balancer of type {type_}: {listed(found)}. Remove it.",
    )


_SET: Final[Mapping[str, Callable[[FrontendSpec], bool]]] = {
    "zone": lambda spec: bool(spec.zone),
    "displayName": lambda spec: bool(spec.display_name),
    "adopt": lambda spec: spec.adopt,
    "awsClassic": lambda spec: spec.aws_classic is not None,
    "kong": lambda spec: spec.kong is not None,
    "tls.policy": lambda spec: bool(spec.tls.policy),
    "tls.minVersion": lambda spec: spec.tls.min_version != "TLS1.2",
    "hsts": lambda spec: spec.hsts is not None,
    "hsts.includeSubDomains": lambda spec: spec.hsts is not None and spec.hsts.include_sub_domains,
    "hsts.preload": lambda spec: spec.hsts is not None and spec.hsts.preload,
    "allowedSources": lambda spec: bool(spec.allowed_sources),
    "deniedSources": lambda spec: bool(spec.denied_sources),
    "trustedSources": lambda spec: bool(spec.trusted_sources),
    "acceptHTTPIfAlreadyTerminated": lambda spec: spec.accept_http_if_already_terminated,
    "redirectLocation": lambda spec: bool(spec.redirect_location),
    "httpsOnly": lambda spec: spec.https_only,
    "httpPort": lambda spec: spec.http_port is not None,
    "defaultFarm": lambda spec: bool(spec.default_farm),
    "defaultCertificate": lambda spec: spec.default_certificate is not None,
    "deletionPolicy: Orphan": lambda spec: spec.deletion_policy == "Orphan",
    "disabled": lambda spec: spec.disabled,
    "ssl: false": lambda spec: not spec.ssl,
    "hostnames": lambda spec: bool(spec.hostnames),
}
"""What it means that a field is set which some type cannot honour."""


_OF_A_LISTENER: Final = frozenset({"acceptHTTPIfAlreadyTerminated", "ssl: false", "trustedSources"})
"""What belongs to whoever makes the listener, beside what the CRD itself refuses then.

An existing haproxy.cfg has its own default certificate, too.
"""


def check_target(spec: FrontendSpec, can: Capabilities) -> Problem | None:
    """Whether the spec says where traffic goes, for a listener of ours that needs it."""
    if spec.redirect_location or spec.manage != "Listener" or can.farm == "None":
        return None
    if can.farm == "Named":
        if spec.default_farm:
            return None
        return _stalled(
            reasons.FARM_REQUIRED,
            "Traffic has nowhere to go: set spec.defaultFarm or spec.redirectLocation.",
        )
    return _check_own_farms(spec)


def _check_own_farms(spec: FrontendSpec) -> Problem | None:
    named = {farm.name: farm for farm in spec.farms}
    if spec.default_farm and spec.default_farm not in named:
        return _stalled(
            reasons.FARM_NOT_FOUND,
            f"spec.defaultFarm is {spec.default_farm}, which is not one of spec.farms.",
        )
    farm = chosen_farm(spec)
    if farm is None and spec.farms:
        return _stalled(
            reasons.FARM_REQUIRED, "There are several farms: name one in spec.defaultFarm."
        )
    if farm is None:
        return _stalled(
            reasons.FARM_REQUIRED,
            "Traffic has nowhere to go: add a farm to spec.farms or set spec.redirectLocation.",
        )
    if not farm.servers and farm.service_ref is None:
        return _stalled(
            reasons.FARM_EMPTY, f"Farm {farm.name} has neither servers nor a serviceRef."
        )
    return None


def chosen_farm(spec: FrontendSpec) -> Farm | None:
    """The farm that traffic goes to: the one named, or the only one."""
    if spec.default_farm:
        return next((farm for farm in spec.farms if farm.name == spec.default_farm), None)
    return spec.farms[0] if len(spec.farms) == 1 else None


def check_servers(servers: Iterable[Server], permission: Permission) -> Problem | None:
    """Whether the namespace may send traffic to the addresses that a farm lists."""
    refused = tuple(s.address for s in servers if not permission.allows_backend(s.address))
    if not refused:
        return None
    return Problem(
        condition="Accepted",
        reason=reasons.BACKEND_NOT_GRANTED,
        message=f"The load balancer grants this namespace no traffic to {listed(refused)}. "
        "Use a Service of this namespace (serviceRef) or ask for the range in backendCIDRs.",
        withholds_all=True,
    )


def check_certificates_listed(spec: FrontendSpec) -> Problem | None:
    """Whether the default certificate is one of the frontend's certificates."""
    wanted = spec.default_certificate
    if wanted is None:
        return None
    entries = {(c.name, c.secret_ref.name if c.secret_ref else "") for c in spec.certificates}
    secret = wanted.secret_ref.name if wanted.secret_ref else ""
    if (wanted.name, secret) in entries:
        return None
    return _stalled(
        reasons.DEFAULT_CERTIFICATE_NOT_LISTED,
        f"spec.defaultCertificate {wanted.name or secret} is not one of spec.certificates.",
    )


def normalised(hostnames: Iterable[str]) -> tuple[tuple[str, ...], Problem | None]:
    """The canonical spellings without duplicates, and what is not a host name among them."""
    good: dict[str, None] = {}
    wrong: list[str] = []
    for position, name in enumerate(hostnames):
        try:
            good[normalise_dns(name)] = None
        except InvalidName as error:
            wrong.append(f"spec.hostnames[{position}] ({error})")
    if not wrong:
        return tuple(good), None
    return tuple(good), _stalled(
        reasons.INVALID_HOSTNAME, f"Not a host name: {listed(tuple(wrong))}."
    )


def not_granted(hostnames: tuple[str, ...], target: ObjectName) -> Problem:
    """The finding that `hostnames` are withheld for want of a grant."""
    return Problem(
        condition="Accepted",
        reason=reasons.HOSTNAME_NOT_GRANTED,
        message=f"{target} does not grant this namespace {listed(hostnames)}.",
    )


def _unaccepted(reason: Reason, message: str) -> Problem:
    return Problem(condition="Accepted", reason=reason, message=message, withholds_all=True)


def _stalled(reason: Reason, message: str) -> Problem:
    return Problem(
        condition="Accepted", reason=reason, message=message, stalled=True, withholds_all=True
    )
