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
# Of a unix socket address (unix(7)).
_LONGEST_SOCKET: Final = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """One node.

    `directory` is an absolute path of at most 70 characters, shared with HAProxy; `port_map` names
    the port to bind instead of a frontend's (`{443: 8443}`); `master_socket` is HAProxy's `-S`
    socket, by default master.sock in the directory; `health_address` is host:port, empty for none;
    `haproxy` is the program that checks configurations before a reload: without one, the reload
    itself is the check.

    `certificates_only`: HAProxy is configured by someone else. The agent then keeps PEM files and one
    crt-list a port; `runtime_socket` is HAProxy's own stats socket of level admin, by default
    haproxy.sock in the directory; the crt-lists of `list_ports` are there before anything asks for
    them. `bind_address` and `port_map` tell where the proof finds a frontend's port.
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
    certificates_only: bool = False
    runtime_socket: Path | None = None
    list_ports: tuple[int, ...] = (443,)

    @property
    def layout(self) -> Layout:
        """Where files and sockets are. Raises ValueError for an unusable directory or address."""
        if len(str(self.directory)) > _LONGEST_DIRECTORY:
            raise ValueError(f"the directory's path is longer than {_LONGEST_DIRECTORY} characters")
        if self.runtime_socket is not None and not self.certificates_only:
            raise ValueError("the runtime socket is ours, unless HAProxy is configured by others")
        if len(str(self.runtime_socket or "")) > _LONGEST_SOCKET:
            raise ValueError(f"a socket's path is longer than {_LONGEST_SOCKET} characters")
        return Layout(
            directory=str(self.directory),
            bind_address=self.bind_address,
            ports=self.port_map,
            foreign=self.certificates_only,
            stats_socket=str(self.runtime_socket or ""),
        )

    @property
    def master(self) -> str:
        """The path of the master's socket."""
        return str(self.master_socket or self.directory / "master.sock")


def parse_ports(text: str) -> tuple[int, ...]:
    """`443,8443` as ports. Raises ValueError for anything else."""
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        if not (part.isascii() and part.isdigit() and 1 <= int(part[:6]) <= 65535):
            raise ValueError("ports are like 443,8443")
        found.append(int(part[:6]))
    return tuple(dict.fromkeys(found))


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
