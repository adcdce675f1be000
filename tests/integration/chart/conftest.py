"""Helm, as people run it, and a cluster that knows nothing of certfront yet.

The cluster is one of its own: what these tests install and remove is cluster-wide.
"""

import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sandbox import binaries, environment, lifecycle, objects
from sandbox.environment import REPOSITORY
from sandbox.kubectl import Kubectl
from sandbox.state import State
from tests.sandboxes import own_name, remove_leftovers

CHART: Final = REPOSITORY / "charts" / "certfront"
HERE: Final = Path(__file__).parent
KNOWN: Final = "--api-versions=certfront.io/v1alpha1"
"""For `helm template`: the cluster has the kinds already."""

Object = dict[str, Any]
Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., list[Object]]


def _runner(home: Path, kubeconfig: str | None) -> Helm:
    program = binaries.ensure(("helm",), print)["helm"]
    variables = {**environment.basic(), "HOME": str(home), "KUBECONFIG": kubeconfig or "/dev/null"}

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run helm; `code` is the exit status that it has to have."""
        result = subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            env=variables,
            timeout=90,
            check=False,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result

    return run


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Runs helm without a cluster."""
    return _runner(tmp_path, None)


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """The objects that `helm template certfront` makes with these arguments. Do not change them."""
    run = _runner(tmp_path_factory.mktemp("helm"), None)

    @functools.cache
    def rendered(*arguments: str) -> list[Object]:
        text = run("template", "certfront", str(CHART), "-n", "certfront", *arguments).stdout
        return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]

    return rendered


@pytest.fixture(scope="module")
def empty() -> Iterator[State]:
    """A cluster from which the sandbox's own installation has been taken away."""
    remove_leftovers("h")
    name = own_name("h")
    state = lifecycle.up(lifecycle.Wishes(name=name, nodes=0, operator=False))
    kubectl = objects.kubectl(state)
    kubectl("delete", "-f", str(REPOSITORY / "deploy"), "--wait=false")
    _remove_everything(kubectl)
    yield state
    lifecycle.down(name)


@pytest.fixture
def cluster_helm(empty: State, tmp_path: Path) -> Iterator[Helm]:
    """Runs helm as the admin of the empty cluster, which is empty again afterwards."""
    assert empty.kubeconfigs is not None
    run = _runner(tmp_path, empty.kubeconfigs.admin)
    yield run
    run("uninstall", "certfront", "-n", "certfront", "--ignore-not-found")
    _remove_everything(objects.kubectl(empty))


def _remove_everything(kubectl: Kubectl) -> None:
    """What helm leaves; the kinds and the namespaces go at the same time."""
    namespaces = ("certfront", "edge", "shop")
    kubectl("delete", "crd", "--all", "--wait=false")
    kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *namespaces)
    for kind, names in (("crd", ("--all",)), ("namespace", namespaces)):
        kubectl("wait", "--for=delete", kind, *names, "--timeout=60s", seconds=90)


def find(objects_: list[Object], kind: str, name: str, namespace: str = "") -> Object:
    """The one object of that kind and name."""
    found = [
        each
        for each in objects_
        if each["kind"] == kind
        and each["metadata"]["name"] == name
        and namespace in ("", each["metadata"].get("namespace"))
    ]
    assert len(found) == 1, [(each["kind"], each["metadata"]["name"]) for each in objects_]
    return found[0]


def absent(objects_: list[Object], kind: str) -> bool:
    """Whether there is none of that kind."""
    return not [each for each in objects_ if each["kind"] == kind]
