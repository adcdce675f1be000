"""Which addresses may be connected to: the installation's `allowEndpoints` (DESIGN section 6.4).

Used by whoever resolves a name that came from an Issuer or a LoadBalancer, before it connects to one
of the addresses that were checked.
"""

import ipaddress
from collections.abc import Iterable


class AllowedAddresses:
    """Loopback, link-local, unspecified and multicast addresses only where a CIDR names them."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._allowed = tuple(ipaddress.ip_network(cidr) for cidr in cidrs)

    def permits(self, text: str) -> bool:
        """Whether the address, an IP literal, may be connected to. Raises ValueError for no literal."""
        address = ipaddress.ip_address(text.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self._allowed):
            return True
        return not (
            address.is_loopback
            or address.is_link_local
            or address.is_unspecified
            or address.is_multicast
        )
