"""The kept record of one sandbox: what was started, with which arguments, and where its files are.

`state.json` in the sandbox's directory is written by :mod:`sandbox.lifecycle` when the set of
processes or nodes changes, never when one of them is started or stopped: which process runs is in
a small file of its own (:mod:`sandbox.processes`), so that two commands do not disturb each other.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sandbox.errors import SandboxError, UnknownTargetError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?\Z")
_STATE = "state.json"


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What all values of the record have in common: frozen, camelCase in JSON."""


class HttpReady(Record, frozen=True, kw_only=True, tag="http"):
    """Ready when a GET of `url` answers 200; `ca`, `certificate` and `key` are PEM files."""

    url: str
    ca: str = ""
    certificate: str = ""
    key: str = ""


class TcpReady(Record, frozen=True, kw_only=True, tag="tcp"):
    """Ready when every address (`host:port`) takes a connection."""

    addresses: tuple[str, ...]


class UnixReady(Record, frozen=True, kw_only=True, tag="unix"):
    """Ready when the unix socket at `path` takes a connection."""

    path: str


class Service(Record, frozen=True, kw_only=True):
    """One process of the sandbox and how it is started, told ready and stopped.

    `environment` is the whole environment of the process; `stop_seconds` is how long it may take
    to end by itself before it is killed.
    """

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    log: str
    ready: HttpReady | TcpReady | UnixReady
    stop_seconds: float = 10.0


class Node(Record, frozen=True, kw_only=True):
    """One load balancer node: a directory, an agent and a HAProxy on an address of its own.

    `port_map` leads from a frontend's port to the port that is really bound.
    """

    name: str
    index: int
    address: str
    directory: str
    configuration: str
    master_socket: str
    haproxy_version: str
    haproxy: str
    agent: str
    health_address: str
    port_map: dict[str, int]


class Pebble(Record, frozen=True, kw_only=True):
    """The test certificate authority, and the DNS server that it asks."""

    directory_url: str
    management_url: str
    listener_ca: str
    root: str
    http_port: int
    dns_address: str
    dns_management_url: str


class Emulator(Record, frozen=True, kw_only=True):
    """A stand-in for a cloud balancer: its API at `url`, and what it serves on the address `front`.

    `credentials` is what a Secret for it holds. Its listeners are on `https_port` and `http_port`.
    """

    name: str
    url: str
    front: str
    https_port: int
    http_port: int
    credentials: dict[str, str]


class OperatorFiles(Record, frozen=True, kw_only=True):
    """Where the operator listens (`host:port`), and its settings file."""

    config: str
    health_address: str
    metrics_address: str
    solver_address: str


class Kubeconfigs(Record, frozen=True, kw_only=True):
    """Paths; `operator` and `agent` are empty while the service accounts do not exist."""

    admin: str
    operator: str = ""
    agent: str = ""


class State(Record, frozen=True, kw_only=True):
    """One sandbox. `number` is the third octet of its loopback addresses, 127.10.`number`.x.

    `cluster_ca` and `audit_log` are empty when an existing cluster is used.
    """

    name: str
    number: int
    directory: str
    server: str = ""
    cluster_ca: str = ""
    audit_log: str = ""
    kubeconfigs: Kubeconfigs | None = None
    pebble: Pebble | None = None
    operator: OperatorFiles | None = None
    nodes: tuple[Node, ...] = ()
    emulators: tuple[Emulator, ...] = ()
    services: tuple[Service, ...] = ()

    @property
    def control_address(self) -> str:
        """The address that everything but nodes and emulators listens on."""
        return control_address(self.number)

    @property
    def root(self) -> Path:
        """The directory as a path."""
        return Path(self.directory)

    def service(self, name: str) -> Service:
        """Return the process called `name`; raises :class:`UnknownTargetError`."""
        for service in self.services:
            if service.name == name:
                return service
        raise UnknownTargetError(
            f"sandbox {self.name!r} has no process {name!r}; it has "
            + (", ".join(each.name for each in self.services) or "none")
        )

    def emulator(self, name: str) -> Emulator:
        """Return the stand-in for that provider; raises :class:`UnknownTargetError`."""
        for emulator in self.emulators:
            if emulator.name == name:
                return emulator
        raise UnknownTargetError(f"sandbox {self.name!r} has no emulator {name!r}")

    def with_services(self, *services: Service) -> "State":
        """Return the state with these processes added, or replaced where the name is the same."""
        names = {service.name for service in services}
        kept = tuple(service for service in self.services if service.name not in names)
        return msgspec.structs.replace(self, services=kept + services)


def control_address(number: int) -> str:
    """Return where sandbox `number` has its API server, Pebble, DNS and the operator."""
    return f"127.10.{number}.250"


def node_address(number: int, index: int) -> str:
    """Return the loopback address of node `index` (from 1) of sandbox `number`."""
    return f"127.10.{number}.{index}"


def provider_address(number: int, index: int) -> str:
    """Return the loopback address of the emulator `index` (from 0) of sandbox `number`."""
    return f"127.10.{number}.{220 + index}"


def sandboxes_directory() -> Path:
    """Return the directory that holds this user's sandboxes; it is made, closed to others.

    Raises :class:`SandboxError` if somebody else owns it.
    """
    parent = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 - owner checked below
    directory = parent / f"certfront-sandbox-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise SandboxError(f"{directory} belongs to somebody else; set XDG_RUNTIME_DIR")
    directory.chmod(0o700)
    return directory


def sandbox_directory(name: str) -> Path:
    """Return where the sandbox called `name` lives or would live; raises for a bad name."""
    if not _NAME.match(name):
        raise SandboxError("a sandbox's name has at most 20 lower-case letters, digits and dashes")
    return sandboxes_directory() / name


def save(state: State) -> None:
    """Write `state` to its directory, in one step."""
    path = state.root / _STATE
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    temporary.replace(path)


def exists(name: str) -> bool:
    """Tell whether there is a sandbox called `name`, running or not."""
    return (sandbox_directory(name) / _STATE).exists()


def load(name: str) -> State:
    """Read the record of the sandbox called `name`; raises :class:`UnknownTargetError`."""
    return _read(sandbox_directory(name) / _STATE, name)


def all_states() -> Iterator[State]:
    """Yield every sandbox of this user, in the order of their names."""
    for path in sorted(sandboxes_directory().glob(f"*/{_STATE}")):
        try:
            yield _read(path, path.parent.name)
        except UnknownTargetError:
            continue  # removed in this moment


def _read(path: Path, name: str) -> State:
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        raise UnknownTargetError(
            f"there is no sandbox {name!r}; `python -m sandbox up --name {name}` starts one"
        ) from None
    except msgspec.MsgspecError as error:
        raise SandboxError(f"{path} cannot be read ({error}); remove its directory") from None
