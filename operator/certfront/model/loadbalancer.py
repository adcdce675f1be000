"""The kind LoadBalancer: one load balancer service, and the credentials for it."""

from typing import Any, Literal

import msgspec

from certfront.model.conditions import Condition
from certfront.model.grants import Grant
from certfront.model.meta import Meta, Value

LoadBalancerType = Literal[
    "HAProxy", "OVH", "AWSClassic", "AWSApplication", "Rackspace", "Kong", "OpenScaler"
]


class HAProxySettings(Value, frozen=True, kw_only=True):
    """Settings of type HAProxy."""

    min_nodes: int = 1


class ServedCertificate(Value, frozen=True, kw_only=True):
    """A Certificate of the load balancer's namespace, served for every granted hostname it covers."""

    name: str


class LoadBalancerSpec(Value, frozen=True, kw_only=True):
    """What the admin asks for."""

    type: LoadBalancerType
    haproxy: HAProxySettings | None = None
    ovh: dict[str, Any] | None = None
    aws_classic: dict[str, Any] | None = None
    aws_application: dict[str, Any] | None = None
    rackspace: dict[str, Any] | None = None
    kong: dict[str, Any] | None = None
    open_scaler: dict[str, Any] | None = None
    grants: tuple[Grant, ...] = ()
    probe_address: str = ""
    certificates: tuple[ServedCertificate, ...] = ()


class FailedItem(Value, frozen=True, kw_only=True):
    """Something a node could not apply."""

    secret: str = ""
    reason: str = ""
    message: str = ""


class NodeStatus(Value, frozen=True, kw_only=True):
    """One HAProxy node, as its Lease reported."""

    name: str
    state: Literal["Current", "Stale", "Failed"]
    revision: str = ""
    failed: tuple[FailedItem, ...] = ()
    failed_count: int = 0


class Capabilities(Value, frozen=True, kw_only=True):
    """What the load balancer can do."""

    key_types: tuple[str, ...] = ()
    sni: bool = msgspec.field(name="sni", default=False)
    redirect: bool = False
    managed_certificates: bool = False
    limits: dict[str, int] = {}


class LoadBalancerStatus(Value, frozen=True, kw_only=True):
    """What certfront reports about a LoadBalancer."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    capabilities: Capabilities | None = None
    nodes: tuple[NodeStatus, ...] = ()
    ready_nodes: int = 0
    ready_of_nodes: str = ""


class LoadBalancer(Value, frozen=True, kw_only=True):
    """A LoadBalancer as the API server holds it."""

    metadata: Meta
    spec: LoadBalancerSpec
    status: LoadBalancerStatus = LoadBalancerStatus()
