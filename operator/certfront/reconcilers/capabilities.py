"""What a type of load balancer can do, as the status of a LoadBalancer tells it."""

from collections.abc import Mapping

from certfront.loadbalancers.protocol import Capabilities as CanDo
from certfront.model.loadbalancer import Capabilities


def told(can: CanDo, limits: Mapping[str, int] | None = None) -> Capabilities:
    """The fields of `status.capabilities`; `limits` are what the provider said of this service."""
    return Capabilities(
        key_types=tuple(str(key_type) for key_type in can.key_types),
        sni=can.sni,
        redirect=can.redirect,
        managed_certificates=can.managed_certificates,
        limits=dict(limits or {}),
    )
