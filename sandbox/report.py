"""What `status -o json` shows: the record of :mod:`sandbox.state` and what is so right now.

Its fields are an interface: tests, the demo and tools of others read them.
"""

from sandbox import nodes, processes
from sandbox.state import Emulator, OperatorFiles, Pebble, Record, State


class ProcessReport(Record, frozen=True, kw_only=True):
    """One process; `pid` is None unless it runs, `state` one of ready, starting, stopped."""

    pid: int | None
    state: str
    log: str


class NodeReport(Record, frozen=True, kw_only=True):
    """One node; `haproxy` and `agent` are names of processes, the files are as on disk now."""

    name: str
    address: str
    directory: str
    configuration: str
    crt_lists: list[str]
    pem_files: list[str]
    master_socket: str
    haproxy_version: str
    haproxy: str
    agent: str
    health_address: str
    port_map: dict[str, int]


class Authorities(Record, frozen=True, kw_only=True):
    """PEM files: of the API server, of what Pebble issues, and of Pebble's own listeners."""

    cluster: str
    pebble_root: str
    pebble_listener: str


class Report(Record, frozen=True, kw_only=True):
    """One sandbox. Paths are absolute; what there is not is an empty string or null."""

    name: str
    number: int
    directory: str
    server: str
    kubeconfig: str
    operator_kubeconfig: str
    agent_kubeconfig: str
    audit_log: str
    ca_roots: Authorities
    pebble: Pebble | None
    operator: OperatorFiles | None
    processes: dict[str, ProcessReport]
    nodes: list[NodeReport]
    emulators: list[Emulator]


def report(state: State) -> Report:
    """Observe the sandbox."""
    kubeconfigs, pebble = state.kubeconfigs, state.pebble
    return Report(
        name=state.name,
        number=state.number,
        directory=state.directory,
        server=state.server,
        kubeconfig=kubeconfigs.admin if kubeconfigs else "",
        operator_kubeconfig=kubeconfigs.operator if kubeconfigs else "",
        agent_kubeconfig=kubeconfigs.agent if kubeconfigs else "",
        audit_log=state.audit_log,
        ca_roots=Authorities(
            cluster=state.cluster_ca,
            pebble_root=pebble.root if pebble else "",
            pebble_listener=pebble.listener_ca if pebble else "",
        ),
        pebble=pebble,
        operator=state.operator,
        processes=_processes(state),
        nodes=_nodes(state),
        emulators=list(state.emulators),
    )


def _processes(state: State) -> dict[str, ProcessReport]:
    found = {}
    for service in state.services:
        handle = processes.running(state.root, service.name)
        words = "stopped"
        if handle is not None:
            words = "ready" if processes.is_ready(service) else "starting"
        pid = handle.pid if handle else None
        found[service.name] = ProcessReport(pid=pid, state=words, log=service.log)
    return found


def _nodes(state: State) -> list[NodeReport]:
    return [
        NodeReport(
            name=node.name,
            address=node.address,
            directory=node.directory,
            configuration=node.configuration,
            crt_lists=nodes.crt_lists(node),
            pem_files=nodes.pem_files(node),
            master_socket=node.master_socket,
            haproxy_version=node.haproxy_version,
            haproxy=node.haproxy,
            agent=node.agent,
            health_address=node.health_address,
            port_map=node.port_map,
        )
        for node in state.nodes
    ]
