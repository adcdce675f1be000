"""Nodes and the operator as processes of the sandbox, on both versions of HAProxy."""

import base64
import hashlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import lifecycle, objects, processes, state
from sandbox.kubectl import Kubectl, KubectlError
from sandbox.report import NodeReport, report
from sandbox.state import State

NAME = "nodes.example.com"


@pytest.fixture(scope="module", params=["2.8", "2.6"])
def whole(request: pytest.FixtureRequest, require_haproxy: Callable[[str], str]) -> Iterator[State]:
    """A sandbox with the operator, one node, and a self-signed certificate served by it."""
    require_haproxy(request.param)
    name = f"t-n{request.param.replace('.', '')}-{os.getpid()}"
    started = lifecycle.up(lifecycle.Wishes(name=name, nodes=1, haproxy=request.param))
    try:
        kubectl = objects.kubectl(started)
        kubectl.apply(
            {
                "apiVersion": "certfront.io/v1alpha1",
                "kind": "Certificate",
                "metadata": {"name": "site", "namespace": "default"},
                "spec": {"type": "SelfSigned", "dnsNames": [NAME]},
            },
            {
                "apiVersion": "certfront.io/v1alpha1",
                "kind": "LoadBalancerFrontend",
                "metadata": {"name": "site", "namespace": "default"},
                "spec": {
                    "certificates": [{"name": "site"}],
                    "farms": [{"name": "web", "servers": [{"address": "127.0.0.1", "port": 9}]}],
                },
            },
        )
        kubectl("wait", "lbfe/site", "--for=condition=Ready", "--timeout=60s", seconds=70)
        yield started
    finally:
        kept = lifecycle.down(name, keep_logs=request.session.testsfailed > 0)
        print(f"the logs are in {kept}" if kept else "")


def served_fingerprint(node: NodeReport) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is served is compared with the Secret instead
    with (
        socket.create_connection((node.address, node.port_map["443"]), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=NAME) as tls,
    ):
        certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    return hashlib.sha256(certificate).hexdigest()


def stored_fingerprint(whole: State) -> str:
    path = "jsonpath={.data.tls\\.crt}"
    encoded = objects.kubectl(whole)("get", "secret", "site", "-n", "default", "-o", path)
    certificate = ssl.PEM_cert_to_DER_cert(base64.b64decode(encoded).decode())
    return hashlib.sha256(certificate).hexdigest()


def test_the_certificate_is_served_and_status_names_its_files(whole: State) -> None:
    (node,) = report(whole).nodes
    assert served_fingerprint(node) == stored_fingerprint(whole)
    assert len(node.pem_files) == 1
    assert len(node.crt_lists) == 1
    for path in (node.configuration, *node.pem_files, *node.crt_lists):
        assert Path(path).is_file()


def test_a_killed_node_serves_from_disk_while_the_api_server_is_away(whole: State) -> None:
    wanted = stored_fingerprint(whole)
    (node,) = report(whole).nodes
    lifecycle.kill(whole.name, node.name)
    with pytest.raises(OSError, match="refused"):
        served_fingerprint(node)
    lifecycle.kill(whole.name, "apiserver")
    try:
        lifecycle.start(whole.name, node.name)
        assert served_fingerprint(node) == wanted
    finally:
        lifecycle.start(whole.name, "apiserver")


def test_a_new_node_is_made_and_removed_again(whole: State) -> None:
    lifecycle.start(whole.name, "node-2")
    try:
        second = next(
            node for node in report(state.load(whole.name)).nodes if node.name == "node-2"
        )
        assert served_fingerprint(second) == stored_fingerprint(whole)
    finally:
        left = lifecycle.remove_node(whole.name, "node-2")
    assert [node.name for node in left.nodes] == ["node-1"]
    assert not Path(second.directory).exists()
    assert processes.running(whole.root, second.haproxy) is None


@pytest.mark.parametrize("how", [lifecycle.restart, lifecycle.kill], ids=["restart", "kill"])
def test_the_operator_comes_back(whole: State, how: Callable[[str, str], State]) -> None:
    before = report(whole).processes["operator"].pid
    how(whole.name, "operator")
    lifecycle.start(whole.name, "operator")
    after = report(whole).processes["operator"]
    assert after.state == "ready"
    assert after.pid != before


@pytest.mark.parametrize("account", ["operator", "agent"])
def test_nothing_of_ours_runs_as_the_cluster_admin(whole: State, account: str) -> None:
    assert whole.kubeconfigs is not None
    run = Kubectl(getattr(whole.kubeconfigs, account), whole.root / f"cache-{account}")
    with pytest.raises(KubectlError):
        run("auth", "can-i", "create", "pods", "-n", "default", "--quiet")
    with pytest.raises(KubectlError, match="forbidden"):
        run("get", "nodes")
    if account == "agent":
        with pytest.raises(KubectlError, match="forbidden"):
            run("get", "secrets", "-n", "default")
