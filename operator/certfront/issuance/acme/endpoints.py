"""Which addresses a CA may live at: the installation's `allowEndpoints` (DESIGN section 6.4).

`transport` asks once per connection and connects to an address from the answer, so a name that
resolves differently the second time gains nothing.
"""

import socket
from collections.abc import Callable, Iterable, Sequence

from certfront.issuance.acme.problems import CaUnreachable, EndpointRefused
from certfront.model.addresses import AllowedAddresses

AddressGuard = Callable[[str, int], Sequence[str]]
"""(host, port) to the addresses that may be connected to, best first; raises EndpointRefused."""


class AllowedEndpoints:
    """An `AddressGuard`: loopback and link-local addresses only where a CIDR names them."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._addresses = AllowedAddresses(cidrs)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """The allowed addresses of `host`; raises CaUnreachable where it does not resolve."""
        addresses = _resolve(host, port)
        allowed = [text for text in addresses if self._addresses.permits(text)]
        if not allowed:
            raise EndpointRefused(
                f"{host} is at a loopback or link-local address, which this installation's "
                "allowEndpoints does not name"
            )
        return allowed


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CaUnreachable(f"{host} does not resolve to an address") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
