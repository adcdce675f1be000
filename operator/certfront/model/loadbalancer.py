"""The kind LoadBalancer: one load balancer service, and the credentials for it."""

from typing import Literal

import msgspec

from certfront.model.conditions import Condition
from certfront.model.grants import Grant
from certfront.model.meta import Meta, Value
from certfront.model.references import LocalReference

LoadBalancerType = Literal[
    "HAProxy", "OVH", "AWSClassic", "AWSApplication", "Rackspace", "Kong", "OpenScaler"
]


class HAProxySettings(Value, frozen=True, kw_only=True):
    """Settings of type HAProxy."""

    min_nodes: int = 1


class OVHSettings(Value, frozen=True, kw_only=True):
    """Settings of type OVH. `endpoint`: ovh-eu, ovh-ca, ovh-us or the URL of an API like them."""

    endpoint: str
    service_name: str
    credentials_secret_ref: LocalReference


class AWSClassicSettings(Value, frozen=True, kw_only=True):
    """Settings of type AWSClassic. Without a Secret, the identity of the process is used."""

    region: str
    load_balancer_name: str
    role_arn: str = msgspec.field(name="roleARN", default="")
    endpoint_url: str = msgspec.field(name="endpointURL", default="")
    iam_path: str = "/"
    credentials_secret_ref: LocalReference | None = None


class AWSApplicationSettings(Value, frozen=True, kw_only=True):
    """Settings of type AWSApplication: a name or an ARN. The identity as for AWSClassic."""

    region: str
    load_balancer_name: str = ""
    arn: str = ""
    role_arn: str = msgspec.field(name="roleARN", default="")
    endpoint_url: str = msgspec.field(name="endpointURL", default="")
    credentials_secret_ref: LocalReference | None = None


class RackspaceSettings(Value, frozen=True, kw_only=True):
    """Settings of type Rackspace. `identity_url` is where tokens come from."""

    region: str
    load_balancer_id: str = msgspec.field(name="loadBalancerID")
    identity_url: str = msgspec.field(
        name="identityURL", default="https://identity.api.rackspacecloud.com/v2.0"
    )
    credentials_secret_ref: LocalReference


class KongAdmin(Value, frozen=True, kw_only=True):
    """Settings of type Kong: its Admin API, and where its proxy is reached for handshakes."""

    admin_url: str = msgspec.field(name="adminURL")
    ca_bundle: str = ""
    proxy_address: str = ""
    credentials_secret_ref: LocalReference | None = None


class OpenScalerSettings(Value, frozen=True, kw_only=True):
    """Settings of type OpenScaler."""

    endpoint: str
    load_balancer_id: str = msgspec.field(name="loadBalancerID")
    credentials_secret_ref: LocalReference


class ServedCertificate(Value, frozen=True, kw_only=True):
    """A Certificate of the load balancer's namespace, served for every granted hostname it covers."""

    name: str


class LoadBalancerSpec(Value, frozen=True, kw_only=True):
    """What the admin asks for."""

    type: LoadBalancerType
    haproxy: HAProxySettings | None = None
    ovh: OVHSettings | None = None
    aws_classic: AWSClassicSettings | None = None
    aws_application: AWSApplicationSettings | None = None
    rackspace: RackspaceSettings | None = None
    kong: KongAdmin | None = None
    open_scaler: OpenScalerSettings | None = None
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
    orphaned: tuple[str, ...] = ()


class LoadBalancer(Value, frozen=True, kw_only=True):
    """A LoadBalancer as the API server holds it."""

    metadata: Meta
    spec: LoadBalancerSpec
    status: LoadBalancerStatus = LoadBalancerStatus()
