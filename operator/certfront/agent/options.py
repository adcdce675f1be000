"""What `certfront agent` is told on its command line, and `--init`.

Used by `cli`, which builds AgentOptions and calls `node.initialise` or `node.run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from certfront.loadbalancers.haproxy.configuration import Layout

# HAProxy binds a unix socket under a longer temporary name, and 107 characters is the limit.
_LONGEST_DIRECTORY: Final = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """One node.

    `directory` is an absolute path of at most 70 characters, shared with HAProxy; `port_map` names
    the port to bind instead of a frontend's (`{443: 8443}`); `master_socket` is HAProxy's `-S`
    socket, by default master.sock in the directory; `health_address` is host:port, empty for none;
    `haproxy` is the program that checks configurations before a reload: without one, the reload
    itself is the check.
    """

    load_balancer: str
    namespace: str
    node: str
    directory: Path
    bind_address: str = "0.0.0.0"  # noqa: S104 - a load balancer listens to everyone
    port_map: Mapping[int, int] = field(default_factory=dict)
    master_socket: Path | None = None
    health_address: str = ""
    haproxy: str = "haproxy"

    @property
    def layout(self) -> Layout:
        """Where files and sockets are. Raises ValueError for an unusable directory or address."""
        if len(str(self.directory)) > _LONGEST_DIRECTORY:
            raise ValueError(f"the directory's path is longer than {_LONGEST_DIRECTORY} characters")
        return Layout(
            directory=str(self.directory), bind_address=self.bind_address, ports=self.port_map
        )

    @property
    def master(self) -> str:
        """The path of the master's socket."""
        return str(self.master_socket or self.directory / "master.sock")


def parse_port_map(text: str) -> dict[int, int]:
    """`443=8443,80=8080` as a mapping. Raises ValueError for anything else."""
    ports: dict[int, int] = {}
    for pair in filter(None, text.split(",")):
        frontend, equals, bound = pair.partition("=")
        numbers = (frontend.strip(), bound.strip())
        if not equals or not all(number.isascii() and number.isdigit() for number in numbers):
            raise ValueError("a port map is like 443=8443,80=8080")
        source, target = map(int, numbers)
        if not (1 <= source <= 65535 and 1 <= target <= 65535):
            raise ValueError("a port is between 1 and 65535")
        if source in ports or target in ports.values():
            raise ValueError("a port is named twice in the port map")
        ports[source] = target
    return ports
