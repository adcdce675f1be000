"""kstatus, `kubectl wait` and `helm --wait` read the truth from the statuses that are really written."""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import binaries
from sandbox.kubectl import KubectlError
from tests.e2e import material
from tests.e2e.api import Object
from tests.e2e.kstatus import judge
from tests.e2e.world import FARM, GROUP, Tenant, World

ROOT = material.ca("Waiting Root")


def test_kstatus_reads_every_status_that_was_written(tenant: Tenant, world: World) -> None:
    _every_outcome(tenant)
    assert judge(world.journal) >= {"Current", "InProgress", "Failed"}


def _every_outcome(tenant: Tenant) -> None:
    """Ready, ready and failing, stalled, waiting, served, disabled, refused."""
    good = material.leaf(tenant.host(), issuer=ROOT)
    tenant.pair("given", good.pem, good.key_pem)
    uploaded = {"secretRef": {"name": "given"}}
    tenant.certificate("failing", "Uploaded", uploaded=uploaded)
    tenant.certificate("ready")
    tenant.certificate("waiting", "Uploaded", uploaded={"secretRef": {"name": "absent"}})
    formats = {"formats": [{"type": "DER"}]}
    tenant.certificate("refused", secret=formats)
    tenant.apply("Issuer", "waiting", {"type": "CA", "ca": {"secretRef": {"name": "absent"}}})
    tenant.frontend("ready", ["ready"])
    tenant.frontend("disabled", ["ready"], hostnames=[tenant.host("off")], disabled=True)
    tenant.frontend("waiting", ["waiting"], hostnames=[tenant.host("later")])
    tenant.ready("failing")
    tenant.secret("given", {"tls.crt": b"no", "tls.key": b"no"}, type_="kubernetes.io/tls")
    tenant.condition("failing", "Ready", "True", reason="RenewalFailing")
    tenant.condition("refused", "Stalled", "True")
    tenant.condition("waiting", "Reconciling", "True", reason="SecretNotFound")
    tenant.condition("waiting", "Reconciling", "True", kind="Issuer")
    tenant.ready("ready", kind="LoadBalancerFrontend")
    tenant.condition("waiting", "Ready", "False", kind="LoadBalancerFrontend")
    tenant.certificate("ready", dnsNames=[tenant.host(), tenant.host("second")])
    tenant.revision("ready", 2)
    tenant.delete("LoadBalancerFrontend", "ready")


def test_kubectl_wait_sees_ready_and_not_an_old_generation(tenant: Tenant, world: World) -> None:
    tenant.certificate("site")
    arguments = ("--for=condition=Ready", "-n", tenant.namespace, "--timeout=20s")
    assert "condition met" in world.kubectl("wait", "lbcert/site", *arguments)
    changed = tenant.certificate("site", dnsNames=[tenant.host("other")])
    world.kubectl("wait", "lbcert/site", *arguments)
    seen = tenant.get("Certificate", "site")["status"]
    assert seen["observedGeneration"] == changed["metadata"]["generation"]
    assert seen["domains"] == [tenant.host("other")]
    tenant.frontend("site", ["site"])
    world.kubectl("wait", "lbfe/site", *arguments)


def test_kubectl_wait_gives_up_on_what_is_not_ready(tenant: Tenant, world: World) -> None:
    tenant.certificate("site", "Uploaded", uploaded={"secretRef": {"name": "absent"}})
    tenant.condition("site", "Ready", "False")
    with pytest.raises(KubectlError, match="timed out"):
        world.kubectl(
            "wait", "lbcert/site", "--for=condition=Ready", "-n", tenant.namespace, "--timeout=1s"
        )


@pytest.fixture
def helm(world: World, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs helm as the admin, with its own files in a directory that goes."""
    program = binaries.ensure(("helm",), print)["helm"]
    kubeconfigs = world.state.kubeconfigs
    assert kubeconfigs is not None
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KUBECONFIG": kubeconfigs.admin,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=90,
            check=False,
        )

    return run


def _chart(directory: Path, *objects: Object) -> str:
    """A chart whose templates are these objects."""
    (directory / "templates").mkdir(parents=True, exist_ok=True)
    chart = {"apiVersion": "v2", "name": "shop", "version": "0.1.0"}
    (directory / "Chart.yaml").write_text(json.dumps(chart))
    for number, body in enumerate(objects):
        (directory / "templates" / f"{number}.yaml").write_text(json.dumps(body))
    return str(directory)


def _object(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _settings(value: str) -> Object:
    metadata = {"name": "settings"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}


def _uploaded(host: str) -> Object:
    spec = {"type": "Uploaded", "uploaded": {"secretRef": {"name": "given"}}, "dnsNames": [host]}
    return _object("Certificate", "site", spec)


def test_helm_waits_until_it_is_served(
    tenant: Tenant, helm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The Secret arrives while helm waits, as one of External Secrets does."""
    frontend = {"certificates": [{"name": "site"}], "farms": [FARM], "hostnames": [tenant.host()]}
    chart = _chart(
        tmp_path / "chart",
        _uploaded(tenant.host()),
        _object("LoadBalancerFrontend", "site", frontend),
    )
    pair = material.leaf(tenant.host(), issuer=ROOT)

    def arrive() -> None:
        tenant.condition("site", "Ready", "False", reason="SecretNotFound", seconds=60)
        tenant.condition("site", "Ready", "False", kind="LoadBalancerFrontend", seconds=60)
        tenant.pair("given", pair.pem, pair.key_pem)

    arriving = threading.Thread(target=arrive)
    arriving.start()
    arguments = ("-n", tenant.namespace, "--wait", "--timeout", "60s")
    result = helm("install", "shop", chart, *arguments)
    arriving.join()
    assert result.returncode == 0, result.stderr
    tenant.served(tenant.host(), tenant.ready("site")["status"]["fingerprint"], ROOT.pem.decode())


def test_a_failing_renewal_holds_no_upgrade_and_a_stalled_object_fails_it(
    tenant: Tenant, helm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    pair = material.leaf(tenant.host(), issuer=ROOT)
    tenant.pair("given", pair.pem, pair.key_pem)
    chart = _chart(tmp_path / "chart", _uploaded(tenant.host()), _settings("first"))
    arguments = ("-n", tenant.namespace, "--wait", "--timeout", "40s")
    result = helm("install", "shop", chart, *arguments)
    assert result.returncode == 0, result.stderr

    tenant.pair("given", pair.pem, ROOT.key_pem)
    tenant.condition("site", "Ready", "True", reason="RenewalFailing")
    _chart(tmp_path / "chart", _uploaded(tenant.host()), _settings("second"))
    result = helm("upgrade", "shop", chart, *arguments)
    assert result.returncode == 0, result.stderr

    _chart(tmp_path / "chart", _uploaded(tenant.host("another")), _settings("third"))
    result = helm("upgrade", "shop", chart, *arguments)
    assert result.returncode != 0
    assert "site" in result.stderr
    tenant.condition("site", "Stalled", "True", reason="KeyMismatch")
