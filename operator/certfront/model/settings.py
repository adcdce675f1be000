"""Settings of an installation as its YAML file gives them."""

from typing import Literal

import msgspec

from certfront.model.meta import ObjectName, Value


class Settings(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One installation. Addresses are `host:port`; an empty one switches the endpoint off."""

    namespace: str = "certfront"
    default_issuer: str = ""
    default_load_balancer: str = ""
    installation_id: str = msgspec.field(name="installationID", default="default")
    issuance: Literal["Normal", "AdoptOnly"] = "Normal"
    solver_address: str = ""
    secret_watch: bool = True
    watch_namespaces: tuple[str, ...] = ()
    allow_endpoints: tuple[str, ...] = ()
    health_address: str = "0.0.0.0:8080"
    metrics_address: str = "0.0.0.0:9402"
    documentation_url: str = msgspec.field(
        name="documentationURL", default="https://certfront.io/docs/reasons"
    )

    @property
    def issuer(self) -> ObjectName | None:
        """The default Issuer."""
        return ObjectName.parse(self.default_issuer)

    @property
    def load_balancer(self) -> ObjectName | None:
        """The default LoadBalancer."""
        return ObjectName.parse(self.default_load_balancer)
