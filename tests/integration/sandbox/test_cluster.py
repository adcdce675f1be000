"""The cluster behaves as a real one: rights, audit, garbage collection, namespaces, service range."""

import json
import ssl
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import binaries
from sandbox.kubectl import Kubectl, KubectlError
from sandbox.state import State

CANARY = "canary-4f1c9d"


def config_map(namespace: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name, **metadata},
    }


def test_a_service_account_without_a_role_may_do_nothing(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    user = f"system:serviceaccount:{namespace}:nobody"
    with pytest.raises(KubectlError, match="forbidden"):
        kubectl("get", "secrets", "-n", namespace, "--as", user)


def test_the_role_view_is_aggregated(kubectl: Kubectl) -> None:
    kubectl("wait", "clusterrole/view", "--for=jsonpath={.rules[0]}", "--timeout=30s")
    assert kubectl.json("get", "clusterrole", "view")["rules"]


def test_a_deleted_owner_takes_its_dependents_along(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(config_map(namespace, "owner"))
    uid = kubectl.json("get", "configmap", "owner", "-n", namespace)["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    kubectl.apply(config_map(namespace, "dependent", ownerReferences=[owner]))
    kubectl("delete", "configmap", "owner", "-n", namespace)
    kubectl("wait", "configmap/dependent", "-n", namespace, "--for=delete", "--timeout=60s")


def test_a_deleted_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl, namespace: str) -> None:
    other = f"{namespace}-gone"
    kubectl("create", "namespace", other)
    kubectl.apply(config_map(other, "content"))
    kubectl("delete", "namespace", other, "--timeout=60s")
    with pytest.raises(KubectlError, match="NotFound"):
        kubectl("get", "namespace", other)


def test_a_cluster_ip_is_a_loopback_address(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "service", "clusterip", "backend", "--tcp=8080", "-n", namespace)
    found = kubectl.json("get", "service", "backend", "-n", namespace)
    assert found["spec"]["clusterIP"].startswith("127.42.0.")


def test_the_audit_log_tells_of_a_secret_but_not_what_is_in_it(
    cluster: State, kubectl: Kubectl, namespace: str
) -> None:
    secret = f"--from-literal=key={CANARY}"
    kubectl("create", "secret", "generic", "audited", secret, "-n", namespace)
    text = Path(cluster.audit_log).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    about = [line for line in lines if line.get("objectRef", {}).get("name") == "audited"]
    assert {line["verb"] for line in about} == {"create"}
    assert about[0]["level"] == "Metadata"
    assert CANARY not in text


def test_the_shared_files_are_closed_to_other_users(cluster: State) -> None:
    assert cluster.root.stat().st_mode & 0o077 == 0
    assert cluster.root.parent.stat().st_mode & 0o077 == 0
    assert cluster.kubeconfigs is not None
    assert Path(cluster.kubeconfigs.admin).stat().st_mode & 0o077 == 0


def test_pebble_is_trusted_by_its_listener_ca_and_its_root_is_in_a_file(cluster: State) -> None:
    assert cluster.pebble is not None
    context = ssl.create_default_context(cafile=cluster.pebble.listener_ca)
    # Past any proxy of the machine.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(cluster.pebble.directory_url, timeout=10) as answer:
        directory = json.load(answer)
    assert set(directory["meta"]["profiles"]) == {"default", "shortlived"}
    assert "BEGIN CERTIFICATE" in Path(cluster.pebble.root).read_text()


@pytest.mark.parametrize("version", ["2.6", "2.8"])
def test_haproxy_is_the_version_that_was_asked_for(
    require_haproxy: Callable[[str], str], version: str
) -> None:
    answer = subprocess.run(
        [require_haproxy(version), "-v"], capture_output=True, text=True, check=True
    )
    assert f"version {version}." in answer.stdout


def kstatus(*objects: dict[str, Any]) -> list[dict[str, str]]:
    program = binaries.ensure(["kstatus"], print)["kstatus"]
    answer = subprocess.run(
        [program], input=json.dumps(objects), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in answer.stdout.splitlines()]


def conditioned(**conditions: str) -> dict[str, Any]:
    return {
        "apiVersion": "certfront.io/v1alpha1",
        "kind": "Certificate",
        "metadata": {"name": "site", "namespace": "shop", "generation": 2},
        "status": {
            "observedGeneration": 2,
            "conditions": [
                {"type": name, "status": status, "reason": "Because", "message": "why"}
                for name, status in conditions.items()
            ],
        },
    }


@pytest.mark.parametrize(
    ("conditions", "verdict"),
    [
        pytest.param({"Ready": "True"}, "Current", id="ready"),
        pytest.param({"Ready": "False", "Reconciling": "True"}, "InProgress", id="reconciling"),
        pytest.param({"Ready": "False", "Stalled": "True"}, "Failed", id="stalled"),
    ],
)
def test_kstatus_tells_what_the_library_reads(conditions: dict[str, str], verdict: str) -> None:
    found = kstatus(conditioned(**conditions), {"kind": "List", "items": [conditioned()]})
    assert found[0]["status"] == verdict
    assert (found[0]["namespace"], found[0]["name"]) == ("shop", "site")
    assert len(found) == 2
