"""The operator as a process of the sandbox, with a settings file like the one a chart renders."""

import re
from pathlib import Path

import msgspec
import yaml

from sandbox import environment
from sandbox.addresses import free_ports
from sandbox.errors import SandboxError, StartError
from sandbox.nodes import LOAD_BALANCER
from sandbox.objects import EDGE_NAMESPACE, OPERATOR_ACCOUNT
from sandbox.state import HttpReady, OperatorFiles, Service, State

NAME = "operator"
"""The name of the operator's process."""

REPLICA = re.compile(rf"{NAME}(-[2-9])?")

_SETTINGS: dict[str, object] = {
    "namespace": OPERATOR_ACCOUNT[0],
    "installationID": "sandbox",
    "allowEndpoints": ["127.0.0.0/8"],
    "defaultIssuer": f"{EDGE_NAMESPACE}/pebble",
    "defaultLoadBalancer": f"{EDGE_NAMESPACE}/{LOAD_BALANCER}",
}


def prepare(state: State, overrides: Path | None, name: str = NAME) -> State:
    """Write the settings, those of the YAML file `overrides` first, and describe the process.

    Further replicas (`operator-2` and so on) have addresses of their own and the first one's
    settings otherwise.
    """
    kubeconfigs = state.kubeconfigs
    if kubeconfigs is None or not kubeconfigs.operator:
        raise StartError("the operator needs its service account, which deploy/ makes")
    address = state.control_address
    health, metrics, solver = (f"{address}:{port}" for port in free_ports(address, 3))
    addresses = {"healthAddress": health, "metricsAddress": metrics, "solverAddress": solver}
    if name != NAME and state.operator is not None:
        settings = {**_overrides(Path(state.operator.config)), **addresses}
    else:
        settings = {**_SETTINGS, **addresses, **_overrides(overrides)}
    operator = _written(state.root / f"{name}.yaml", settings)
    described = state.with_services(_service(state, name, operator, kubeconfigs.operator))
    if name != NAME:
        return described
    return msgspec.structs.replace(described, operator=operator)


def is_operator(name: str) -> bool:
    """Whether a process of that name is the operator or a further replica of it."""
    return REPLICA.fullmatch(name) is not None


def _written(path: Path, settings: dict[str, object]) -> OperatorFiles:
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return OperatorFiles(
        config=str(path),
        health_address=str(settings["healthAddress"]),
        metrics_address=str(settings["metricsAddress"]),
        solver_address=str(settings["solverAddress"]),
    )


def _service(state: State, name: str, operator: OperatorFiles, kubeconfig: str) -> Service:
    return Service(
        name=name,
        argv=environment.certfront("operator", "--config", operator.config),
        environment={**environment.python(), "KUBECONFIG": kubeconfig},
        log=str(state.root / "logs" / f"{name}.log"),
        ready=HttpReady(url=f"http://{operator.health_address}/readyz"),
        stop_seconds=30.0,
    )


def _overrides(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise SandboxError(f"{path} is not a YAML mapping of settings")
    return content
