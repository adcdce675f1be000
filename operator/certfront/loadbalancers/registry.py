"""The types of load balancers that this version knows, and what each can do."""

from collections.abc import Mapping
from typing import Final

from certfront.loadbalancers.aws.application.provider import KIND as AWS_APPLICATION
from certfront.loadbalancers.aws.classic.provider import KIND as AWS_CLASSIC
from certfront.loadbalancers.kinds import ProviderKind
from certfront.loadbalancers.kong.provider import KIND as KONG
from certfront.loadbalancers.openscaler.kind import KIND as OPENSCALER
from certfront.loadbalancers.ovh.kind import KIND as OVH
from certfront.loadbalancers.protocol import Capabilities
from certfront.loadbalancers.rackspace.kind import KIND as RACKSPACE
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import LoadBalancer

KINDS: Final[Mapping[str, ProviderKind]] = {
    "OVH": OVH,
    "AWSClassic": AWS_CLASSIC,
    "AWSApplication": AWS_APPLICATION,
    "Rackspace": RACKSPACE,
    "Kong": KONG,
    "OpenScaler": OPENSCALER,
}
"""The types that are reached by a provider's API."""

HAPROXY: Final = Capabilities(
    key_types=(KeyAlgorithm.ECDSA, KeyAlgorithm.RSA, KeyAlgorithm.ED25519),
    sni=True,
    redirect=True,
    farm="Own",
    manages=frozenset({"Listener", "CertificatesOnly"}),
    unsupported=frozenset(
        {
            "adopt",
            "awsClassic",
            "deletionPolicy: Orphan",
            "displayName",
            "kong",
            "tls.policy",
            "zone",
        }
    ),
    challenges=True,
)

CAPABILITIES: Final[Mapping[str, Capabilities]] = {
    "HAProxy": HAPROXY,
    **{name: kind.capabilities for name, kind in KINDS.items()},
}
"""By type; a type that is not here cannot be programmed by this version."""


def capabilities_of(balancer: LoadBalancer | None) -> Capabilities:
    """What a load balancer can do; one that is not known is taken for the built-in type."""
    return HAPROXY if balancer is None else CAPABILITIES[balancer.spec.type]
