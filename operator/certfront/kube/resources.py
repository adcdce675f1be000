"""The kinds that certfront reads and writes, and their paths on the API server.

Used by `client` and by whoever names a kind to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from certfront.model.meta import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the API: `group` is empty for the core API, `plural` as in paths."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path of the collection (no name) or of an object; every part is quoted.

        Raises ValueError where a part is empty or the namespace does not fit the kind's scope.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            if not self.namespaced:
                raise ValueError(f"{self.kind} is not namespaced")
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            if self.namespaced and namespace is None:
                raise ValueError(f"a {self.kind} is named within a namespace")
            parts.append(name)
        if subresource is not None:
            parts.append(subresource)
        if any(part in {"", ".", ".."} for part in parts):
            raise ValueError(f"a part of the path of a {self.kind} is empty")
        return "/" + "/".join(quote(part, safe="") for part in parts)


SECRETS: Final = Resource("", "v1", "secrets", "Secret")
SERVICES: Final = Resource("", "v1", "services", "Service")
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
EVENTS: Final = Resource("events.k8s.io", "v1", "events", "Event")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CERTIFICATES: Final = Resource(GROUP, VERSION, "certificates", "Certificate")
ISSUERS: Final = Resource(GROUP, VERSION, "issuers", "Issuer")
LOADBALANCERS: Final = Resource(GROUP, VERSION, "loadbalancers", "LoadBalancer")
FRONTENDS: Final = Resource(GROUP, VERSION, "loadbalancerfrontends", "LoadBalancerFrontend")
