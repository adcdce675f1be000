"""The chart on a real API server: one install is enough, upgrades, what an uninstall leaves."""

import json
from pathlib import Path

import pytest
import requests
import yaml

from sandbox import lifecycle, objects, operator, state
from sandbox.kubectl import Kubectl, KubectlError
from sandbox.state import State
from tests.integration.chart.conftest import CHART, HERE, Helm, Object, Render, find

KINDS = ("certificates", "issuers", "loadbalancerfrontends", "loadbalancers")
DEFAULTS = f"--values={HERE / 'values' / 'issuer.yaml'}"
IN_CERTFRONT = ("-n", "certfront")
OPERATOR = "system:serviceaccount:certfront:certfront"
CERTIFICATE: Object = {
    "apiVersion": "certfront.io/v1alpha1",
    "kind": "Certificate",
    "metadata": {"name": "site", "namespace": "shop"},
    "spec": {"type": "SelfSigned", "dnsNames": ["shop.example.com"]},
}


@pytest.fixture
def kubectl(empty: State) -> Kubectl:
    return objects.kubectl(empty)


def install(helm: Helm, *arguments: str) -> None:
    helm("install", "certfront", str(CHART), *IN_CERTFRONT, "--create-namespace", *arguments)


def upgrade(helm: Helm, *arguments: str) -> None:
    helm("upgrade", "certfront", str(CHART), *IN_CERTFRONT, *arguments)


def established(kubectl: Kubectl) -> list[str]:
    found = kubectl.json("get", "crd")["items"]
    return sorted(each["spec"]["names"]["plural"] for each in found)


def test_one_install_is_enough_and_upgrades_take_over(cluster_helm: Helm, kubectl: Kubectl) -> None:
    """The kinds and the objects of these kinds come in one release."""
    install(cluster_helm, DEFAULTS)
    assert established(kubectl) == list(KINDS)
    made = kubectl.json("get", "lbsvc", "haproxy", "-n", "edge")
    assert made["spec"]["grants"][0]["backendCIDRs"] == ["10.0.0.0/8"]
    issuer = kubectl.json("get", "lbissuer", "letsencrypt", "-n", "edge")
    assert issuer["spec"]["acme"]["email"] == "admin@example.com"

    upgrade(cluster_helm, DEFAULTS, "--set=loadBalancer.minNodes=2")
    changed = kubectl.json("get", "lbsvc", "haproxy", "-n", "edge")
    assert changed["metadata"]["uid"] == made["metadata"]["uid"], "never deleted"
    assert changed["spec"]["haproxy"]["minNodes"] == 2
    assert "helm.sh/hook" not in changed["metadata"]["annotations"]
    assert (
        "kind: LoadBalancer\n" in cluster_helm("get", "manifest", "certfront", *IN_CERTFRONT).stdout
    )

    cluster_helm("rollback", "certfront", "1", *IN_CERTFRONT)
    after = kubectl.json("get", "lbsvc", "haproxy", "-n", "edge")
    assert after["metadata"]["uid"] == made["metadata"]["uid"]
    assert "deletionTimestamp" not in after["metadata"]


def test_the_issuer_comes_with_the_upgrade_that_agrees_to_the_terms(
    cluster_helm: Helm, kubectl: Kubectl
) -> None:
    install(cluster_helm)
    assert kubectl.json("get", "lbissuer", "-A")["items"] == []
    upgrade(cluster_helm, DEFAULTS)
    [issuer] = kubectl.json("get", "lbissuer", "-A")["items"]
    assert issuer["metadata"]["name"] == "letsencrypt"


def test_an_uninstall_leaves_what_people_have(cluster_helm: Helm, kubectl: Kubectl) -> None:
    install(cluster_helm, DEFAULTS)
    kubectl("create", "namespace", "shop")
    kubectl.apply(CERTIFICATE)
    kubectl("create", "secret", "generic", "bundle", "-n", "edge")
    cluster_helm("uninstall", "certfront", *IN_CERTFRONT)
    assert established(kubectl) == list(KINDS)
    for kind, name, namespace in (
        ("lbcert", "site", "shop"),
        ("lbsvc", "haproxy", "edge"),
        ("lbissuer", "letsencrypt", "edge"),
        ("secret", "bundle", "edge"),
    ):
        left = kubectl.json("get", kind, name, "-n", namespace)
        assert "deletionTimestamp" not in left["metadata"], kind
    gone = kubectl.json("get", "deployments,statefulsets,roles,rolebindings,services", "-A")
    namespaces = {each["metadata"]["namespace"] for each in gone["items"]}
    assert not namespaces & {"certfront", "edge"}
    # Installed once more, the release takes over what it left.
    install(cluster_helm, DEFAULTS, "--set=loadBalancer.minNodes=2")
    balancer = kubectl.json("get", "lbsvc", "haproxy", "-n", "edge")
    assert balancer["spec"]["haproxy"]["minNodes"] == 2


def test_the_kinds_go_too_if_they_are_not_to_be_kept(cluster_helm: Helm, kubectl: Kubectl) -> None:
    install(cluster_helm, "--set=crds.keep=false")
    cluster_helm("uninstall", "certfront", *IN_CERTFRONT)
    kubectl("wait", "--for=delete", "crd", "--all", "--timeout=30s")
    assert established(kubectl) == []


def test_every_pod_is_admitted_where_pod_security_is_restricted(
    cluster_helm: Helm, kubectl: Kubectl, render: Render
) -> None:
    install(cluster_helm)
    restricted = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("label", "namespace", "certfront", restricted)
    for name, kind, namespace in (
        ("certfront", "Deployment", "certfront"),
        ("haproxy", "StatefulSet", "edge"),
    ):
        template = find(render(), kind, name, namespace)["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": "try", "namespace": namespace},
            "spec": template["spec"],
        }
        dry = ("create", "--dry-run=server", "-f", "-")
        kubectl(*dry, stdin=json.dumps(pod))
        rooted = {**template["spec"], "securityContext": {}}
        with pytest.raises(KubectlError, match="violates PodSecurity"):
            kubectl(*dry, stdin=json.dumps({**pod, "spec": rooted}))


def test_the_operator_works_with_rights_in_namespaces_only(
    cluster_helm: Helm, kubectl: Kubectl, empty: State, tmp_path: Path
) -> None:
    """It asks for nothing outside of them but the namespaces themselves."""
    kubectl("create", "namespace", "shop")
    install(cluster_helm, "--set=rbac.scope=namespaces", "--set=watchNamespaces={shop}")
    offset = Path(empty.audit_log).stat().st_size
    running = _operator(empty, kubectl, tmp_path)
    try:
        lifecycle.start(empty.name, "operator")
        kubectl.apply(CERTIFICATE)
        kubectl("wait", "lbcert/site", "-n", "shop", "--for=condition=Ready", "--timeout=30s")
    finally:
        lifecycle.stop(running.name, "operator")
        state.save(empty)
    lines = _requests(empty, offset)
    assert [line["requestURI"] for line in lines if _refused(line)] == []
    assert {_place(line) for line in lines} == {"certfront", "edge", "shop", "(namespaces)"}


def _operator(empty: State, kubectl: Kubectl, directory: Path) -> State:
    """Describe the operator with the chart's settings, but with addresses of this machine."""
    made = kubectl.json("get", "configmap", "certfront", *IN_CERTFRONT)["data"]["config.yaml"]
    settings = {
        key: value for key, value in yaml.safe_load(made).items() if not key.endswith("Address")
    }
    given = directory / "settings.yaml"
    given.write_text(yaml.safe_dump(settings))
    described = operator.prepare(objects.write_account_kubeconfigs(empty), given)
    state.save(described)
    return described


def _requests(current: State, offset: int) -> list[Object]:
    with Path(current.audit_log).open("rb") as log:
        log.seek(offset)
        lines = [json.loads(line) for line in log if line.endswith(b"\n")]
    return [line for line in lines if line["user"]["username"] == OPERATOR and "objectRef" in line]


def _refused(line: Object) -> bool:
    code: int = line.get("responseStatus", {}).get("code", 0)
    return bool(code == requests.codes.forbidden)


def _place(line: Object) -> str:
    reference = line["objectRef"]
    if reference["resource"] == "namespaces":
        return "(namespaces)"
    namespace: str = reference.get("namespace", "(everywhere)")
    return namespace
