"""Starts, stops and removes sandboxes and their parts; every function returns when it is done.

The order of things is here; what a part consists of is in :mod:`sandbox.cluster`,
:mod:`sandbox.acme`, :mod:`sandbox.nodes`, :mod:`sandbox.providers` and :mod:`sandbox.operator`.
"""

import re
import shutil
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import filelock
import msgspec

from sandbox import (
    acme,
    binaries,
    cluster,
    nodes,
    objects,
    operator,
    processes,
    providers,
    state,
)
from sandbox.addresses import free_number, may_bind_low_ports
from sandbox.binaries import Tell
from sandbox.emulators import NAMES as EMULATORS
from sandbox.errors import SandboxError, UnknownTargetError
from sandbox.state import Node, Service, State

CLUSTER_ORDER = ("etcd", "apiserver", "controllers")
"""The cluster's processes in the order of their start."""

PROGRAMS = (*cluster.PROGRAMS, *acme.PROGRAMS)
"""What a sandbox needs built, unless an existing cluster is used."""

_NODE = re.compile(r"node-([1-9][0-9]{0,2})\Z")
_MAXIMUM_NODES = 200
_LOCK_SECONDS = 120.0
_KEPT_LOGS = 20


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` is to start.

    `settings` is a YAML file of settings for the operator; `emulators` are names of
    :data:`sandbox.emulators.NAMES`.
    """

    name: str = "default"
    nodes: int = 2
    haproxy: str = "2.8"
    operator: bool = True
    emulators: tuple[str, ...] = ()
    settings: Path | None = None


def quiet(_line: str) -> None:
    """Tell nobody."""


def up(wishes: Wishes, tell: Tell = quiet) -> State:
    """Start a sandbox and return when all of it is ready.

    Raises :class:`SandboxError`; nothing is left running then, and the logs are kept.
    """
    binaries.check_machine()
    _check(wishes)
    programs = _programs(tell)
    started = time.monotonic()
    current = _claim(wishes.name)
    try:
        current = _start_cluster(current, wishes, programs, tell)
        current = _start_rest(current, wishes, tell)
    except BaseException as error:
        kept = remove(current, keep_logs=True)
        if isinstance(error, SandboxError):
            raise type(error)(f"{error}\nthe logs are in {kept}") from None
        raise
    tell(f"sandbox {current.name!r} is ready ({time.monotonic() - started:.1f} s)")
    return current


def down(name: str, *, keep_logs: bool = False) -> Path | None:
    """Stop everything of the sandbox `name` and remove its directory.

    Returns where the logs were moved to, or None when they are gone, too.
    """
    return remove(state.load(name), keep_logs=keep_logs)


def remove(current: State, *, keep_logs: bool) -> Path | None:
    """Do what :func:`down` does for a sandbox whose record is at hand."""
    existing = {service.name for service in current.services}
    # Agents and the operator leave properly (they delete or release their Leases) while there is
    # an API server; the rest has nothing to say farewell to.
    for name in _ours(current):
        if name in existing:
            processes.stop(current, name)
    processes.kill(current.root)
    kept = _move_logs(current) if keep_logs else None
    shutil.rmtree(current.root, ignore_errors=True)
    return kept


def start(name: str, target: str, tell: Tell = quiet) -> State:
    """Start `target`, a process or a node, and return when it is ready.

    A node or an emulator that is not there is made. What runs already stays.
    """
    current = state.load(name)
    if target in EMULATORS and target not in {each.name for each in current.services}:
        current = _describe_emulator(current, target)
    if _NODE.match(target) and target not in {node.name for node in current.nodes}:
        return add_node(current, target, tell)
    if operator.is_operator(target) and target not in {each.name for each in current.services}:
        current = _describe_operator(current, target)
    for service in _services(current, target):
        with _lock(current, service.name):
            _start_and_wait(current, service, tell)
    return current


def stop(name: str, target: str, tell: Tell = quiet) -> State:
    """End `target` as its supervisor would, and return when it is gone."""
    current = state.load(name)
    for service in reversed(_services(current, target)):
        with _lock(current, service.name):
            if not processes.stop(current, service.name):
                tell(f"{service.name} did not end within {service.stop_seconds:.0f} s: killed")
    tell(f"{target} is stopped")
    return current


def restart(name: str, target: str, tell: Tell = quiet) -> State:
    """Stop and start `target`."""
    stop(name, target, tell)
    return start(name, target, tell)


def kill(name: str, target: str, tell: Tell = quiet) -> State:
    """Kill `target` and its children with SIGKILL, and return when they are gone."""
    current = state.load(name)
    for service in reversed(_services(current, target)):
        with _lock(current, service.name):
            processes.kill(current.root, service.name)
    tell(f"{target} is killed")
    return current


def add_node(current: State, target: str, tell: Tell = quiet) -> State:
    """Make the node called `target` (node-<number>) and start it."""
    matched = _NODE.match(target)
    if matched is None or int(matched[1]) > _MAXIMUM_NODES:
        raise UnknownTargetError(f"a node is called node-1 to node-{_MAXIMUM_NODES}")
    version = current.nodes[0].haproxy_version if current.nodes else "2.8"
    return _add_nodes(current, (int(matched[1]),), version, tell)


def remove_node(name: str, target: str, tell: Tell = quiet) -> State:
    """Stop the node called `target` and remove its directory."""
    current = stop(name, target, tell)
    with _lock(current, "state"):
        current = state.load(name)
        gone = next(node for node in current.nodes if node.name == target)
        current = nodes.forget(current, gone)
        state.save(current)
    return current


def _check(wishes: Wishes) -> None:
    if not 0 <= wishes.nodes <= _MAXIMUM_NODES:
        raise SandboxError(f"a sandbox has at most {_MAXIMUM_NODES} nodes")
    for name in wishes.emulators:
        if name not in EMULATORS:
            raise SandboxError(f"there is no emulator {name!r}; there are {', '.join(EMULATORS)}")
    if wishes.nodes:
        binaries.haproxy(wishes.haproxy)
    binaries.kubectl()


def _programs(tell: Tell) -> dict[str, Path]:
    return binaries.ensure(acme.PROGRAMS if cluster.uses_existing() else PROGRAMS, tell)


def _claim(name: str) -> State:
    """Make the sandbox's directory and record, with a number that no other sandbox has."""
    directory = state.sandbox_directory(name)
    with filelock.FileLock(directory.parent / "lock", timeout=_LOCK_SECONDS):
        if state.exists(name):
            raise SandboxError(
                f"there is a sandbox {name!r} already: `python -m sandbox down --name {name}`"
                " removes it"
            )
        claimed = State(name=name, number=free_number(), directory=str(directory))
        shutil.rmtree(directory, ignore_errors=True)
        for part in (directory, directory / "logs", directory / "run"):
            part.mkdir(mode=0o700)
        state.save(claimed)
    return claimed


def _start_cluster(current: State, wishes: Wishes, programs: dict[str, Path], tell: Tell) -> State:
    low_ports = may_bind_low_ports(current.number)
    http_port = nodes.port_map(low_ports=low_ports)["80"]
    if cluster.uses_existing():
        kubeconfigs = state.Kubeconfigs(admin=cluster.existing_kubeconfig())
        current = msgspec.structs.replace(current, kubeconfigs=kubeconfigs)
        order: tuple[str, ...] = ()
    else:
        current = cluster.prepare(current, programs)
        order = CLUSTER_ORDER
    current = acme.prepare(current, programs, http_port)
    for name in wishes.emulators:
        current = providers.prepare(current, name, low_ports=low_ports)
    state.save(current)
    waiting = {name: _spawn(current, name, tell) for name in ("dns", "pebble", *wishes.emulators)}
    for name in order:
        _start_and_wait(current, current.service(name), tell)
    for name, handle in waiting.items():
        _wait(current, current.service(name), handle, tell)
    return current


def _start_rest(current: State, wishes: Wishes, tell: Tell) -> State:
    tell("applying crds/ and deploy/")
    current = objects.apply(current)
    state.save(current)
    if wishes.operator:
        current = operator.prepare(current, wishes.settings)
        state.save(current)
        handle = _spawn(current, operator.NAME, tell)
        current = _add_nodes(current, range(1, wishes.nodes + 1), wishes.haproxy, tell)
        _wait(current, current.service(operator.NAME), handle, tell)
        return current
    return _add_nodes(current, range(1, wishes.nodes + 1), wishes.haproxy, tell)


def _add_nodes(current: State, indices: Collection[int], version: str, tell: Tell) -> State:
    """Make the nodes of these numbers and start them, all at the same time."""
    with _lock(current, "state"):
        current = state.load(current.name)
        ports = nodes.port_map(low_ports=_binds_low_ports(current))
        for index in indices:
            current = nodes.prepare(current, index, version, ports)
        state.save(current)
    added = [node for node in current.nodes if node.index in indices]
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda node: _start_node(current, node, tell), added))
    return current


def _start_node(current: State, node: Node, tell: Tell) -> None:
    nodes.initialize(current, node)
    for name in (node.haproxy, node.agent):
        with _lock(current, name):
            _start_and_wait(current, current.service(name), tell)


def _binds_low_ports(current: State) -> bool:
    return current.pebble is not None and current.pebble.http_port == 80


def _services(current: State, target: str) -> list[Service]:
    """Return the processes that `target` means, in the order of their start."""
    for node in current.nodes:
        if node.name == target:
            return [current.service(node.haproxy), current.service(node.agent)]
    return [current.service(target)]


def _describe_operator(current: State, name: str) -> State:
    """Describe a further replica: the same settings, other addresses."""
    with _lock(current, "state"):
        described = operator.prepare(state.load(current.name), None, name)
        state.save(described)
    return described


def _describe_emulator(current: State, name: str) -> State:
    """Describe an emulator that the sandbox was not started with."""
    with _lock(current, "state"):
        current = state.load(current.name)
        described = providers.prepare(current, name, low_ports=_binds_low_ports(current))
        state.save(described)
    return described


def _ours(current: State) -> Iterator[str]:
    for node in current.nodes:
        yield node.agent
    yield from (each.name for each in current.services if operator.is_operator(each.name))


def _spawn(current: State, name: str, tell: Tell) -> processes.Handle:
    tell(f"starting {name}")
    return processes.spawn(current.service(name), current.root)


def _start_and_wait(current: State, service: Service, tell: Tell) -> None:
    handle = processes.running(current.root, service.name)
    if handle is None:
        if service.name in _ours(current):
            objects.renew_account_kubeconfigs(current)
        handle = _spawn(current, service.name, tell)
    _wait(current, service, handle, tell)


def _wait(current: State, service: Service, handle: processes.Handle, tell: Tell) -> None:
    processes.wait_until_ready(service, handle)
    if service.name == "pebble" and current.pebble is not None:
        acme.save_root(current.pebble)
    tell(f"{service.name} is ready")


@contextmanager
def _lock(current: State, name: str) -> Iterator[None]:
    with filelock.FileLock(current.root / "run" / f"{name}.lock", timeout=_LOCK_SECONDS):
        yield


def _move_logs(current: State) -> Path:
    target = current.root.parent / "failed" / f"{current.name}-{time.time_ns()}"
    target.parent.mkdir(exist_ok=True, mode=0o700)
    oldest_first = sorted(target.parent.iterdir(), key=lambda path: path.stat().st_mtime)
    for old in oldest_first[:-_KEPT_LOGS]:
        shutil.rmtree(old, ignore_errors=True)
    logs = current.root / "logs"
    if logs.exists():
        shutil.move(logs, target)
    return target
