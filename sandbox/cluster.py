"""The API server and what stands behind it: etcd and three controllers of Kubernetes.

Authorization is RBAC and everything is audited, as on a real cluster. With `USE_EXISTING_CLUSTER=1`
a cluster that runs already is used instead, by the KUBECONFIG of the caller. This module makes
files and describes processes; :mod:`sandbox.lifecycle` starts them, :mod:`sandbox.kubectl` talks.
"""

import base64
import json
import os
from pathlib import Path

import msgspec

from sandbox import environment
from sandbox.addresses import free_ports
from sandbox.errors import SandboxError
from sandbox.pki import Authority, signing_key
from sandbox.state import HttpReady, Kubeconfigs, Service, State

SERVICE_RANGE = "127.42.0.0/24"
"""The cluster IPs of Services: loopback, so that a test's backend can listen on one."""

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
"""What :func:`services` needs from :func:`sandbox.binaries.ensure`."""

_ISSUER = "https://kubernetes.default.svc"
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "clusterrole-aggregation-controller",
)

# Bodies are logged only of what certfront itself sends about its own kinds: a user's manifest may
# hold a key by mistake, and Secrets hold them on purpose.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        {"level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*", "/metrics"]},
        {
            "level": "Request",
            "userGroups": ["system:serviceaccounts:certfront", "system:serviceaccounts:edge"],
            "resources": [{"group": "certfront.io"}],
        },
        {"level": "Metadata"},
    ],
}


def uses_existing() -> bool:
    """Tell whether the caller wants a cluster that runs already."""
    return os.environ.get("USE_EXISTING_CLUSTER", "").lower() in ("1", "true")


def existing_kubeconfig() -> str:
    """Return the caller's kubeconfig; raises :class:`SandboxError` when there is none."""
    path = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not path.is_file():
        raise SandboxError("USE_EXISTING_CLUSTER is set, and KUBECONFIG names no file")
    return str(path.resolve())


def prepare(state: State, programs: dict[str, Path]) -> State:
    """Make keys, certificates, policies and kubeconfigs, and describe the three processes."""
    address = state.control_address
    etcd_port, peer_port, api_port, controllers_port = free_ports(address, 4)
    authority = Authority("certfront sandbox cluster", state.root / "pki")
    admin = _client(state, authority, "admin", "sandbox-admin", "system:masters", api_port)
    controllers = _client(
        state, authority, "controllers", "system:kube-controller-manager", "", api_port
    )
    etcd = _etcd(state, authority, programs["etcd"], etcd_port, peer_port)
    server = f"https://{address}:{api_port}"
    updated = state.with_services(
        etcd,
        _apiserver(state, authority, programs["kube-apiserver"], etcd_port, api_port),
        _controllers(state, authority, programs, controllers, controllers_port),
    )
    return msgspec.structs.replace(
        updated,
        server=server,
        cluster_ca=str(authority.path),
        audit_log=str(state.root / "logs" / "audit.log"),
        kubeconfigs=Kubeconfigs(admin=admin),
    )


def kubeconfig(server: str, authority: bytes, user: dict[str, str]) -> bytes:
    """Return a kubeconfig for `server`, whose CA is `authority` (PEM), as `user`.

    JSON, which is YAML that nobody misreads.
    """
    cluster: dict[str, str] = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": cluster}],
        "users": [{"name": "sandbox", "user": user}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
        "current-context": "sandbox",
    }
    return json.dumps(content, indent=2).encode()


def write_private(path: Path, content: bytes) -> str:
    """Write a file that only its owner reads; returns its path as text."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


def _client(state: State, authority: Authority, name: str, user: str, group: str, port: int) -> str:
    certificate, key = authority.issue(name, user, organization=group)
    server = f"https://{state.control_address}:{port}"
    credentials = {"client-certificate": str(certificate), "client-key": str(key)}
    content = kubeconfig(server, authority.path.read_bytes(), credentials)
    return write_private(state.root / f"{name}.kubeconfig", content)


def _etcd(state: State, authority: Authority, program: Path, port: int, peer: int) -> Service:
    address = state.control_address
    certificate, key = authority.issue("etcd", "etcd", addresses=(address,))
    url = f"https://{address}:{port}"
    peer_url = f"http://{address}:{peer}"
    flags = {
        "name": "sandbox",
        "data-dir": state.root / "etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"sandbox={peer_url}",
        "cert-file": certificate,
        "key-file": key,
        "trusted-ca-file": authority.path,
        "client-cert-auth": "true",
        "log-level": "warn",
        # The page cache outlives every process that is killed here.
        "unsafe-no-fsync": "true",
    }
    ready = HttpReady(
        url=f"{url}/health", ca=str(authority.path), certificate=str(certificate), key=str(key)
    )
    return _service(state, "etcd", program, flags, ready)


def _apiserver(
    state: State, authority: Authority, program: Path, etcd_port: int, port: int
) -> Service:
    address = state.control_address
    certificate, key = authority.issue("apiserver", "kube-apiserver", addresses=(address,))
    private, public = signing_key(state.root / "pki")
    policy = state.root / "audit-policy.json"
    policy.write_text(json.dumps(_AUDIT_POLICY, indent=2))
    flags = {
        "bind-address": address,
        "advertise-address": address,
        "secure-port": port,
        "cert-dir": state.root / "pki",
        "tls-cert-file": certificate,
        "tls-private-key-file": key,
        "client-ca-file": authority.path,
        "etcd-servers": f"https://{address}:{etcd_port}",
        "etcd-cafile": authority.path,
        "etcd-certfile": certificate,
        "etcd-keyfile": key,
        "service-account-issuer": _ISSUER,
        "service-account-key-file": public,
        "service-account-signing-key-file": private,
        "service-cluster-ip-range": SERVICE_RANGE,
        "authorization-mode": "RBAC",
        "audit-policy-file": policy,
        "audit-log-path": state.root / "logs" / "audit.log",
        # Each line is in the file before the request is answered: tests read it at once.
        "audit-log-mode": "blocking",
        # Megabytes. It is read by its place: rotated after the usual hundred, it would lose lines.
        "audit-log-maxsize": 4096,
        "endpoint-reconciler-type": "none",
    }
    ready = HttpReady(url=f"https://{address}:{port}/readyz", ca=str(authority.path))
    return _service(state, "apiserver", program, flags, ready, stop_seconds=20.0)


def _controllers(
    state: State,
    authority: Authority,
    programs: dict[str, Path],
    kubeconfig_path: str,
    port: int,
) -> Service:
    address = state.control_address
    certificate, key = authority.issue("controllers-serving", "controllers", addresses=(address,))
    flags = {
        "kubeconfig": kubeconfig_path,
        "controllers": ",".join(_CONTROLLERS),
        "use-service-account-credentials": "true",
        "leader-elect": "false",
        "bind-address": address,
        "secure-port": port,
        "tls-cert-file": certificate,
        "tls-private-key-file": key,
    }
    ready = HttpReady(url=f"https://{address}:{port}/healthz", ca=str(authority.path))
    return _service(state, "controllers", programs["kube-controller-manager"], flags, ready)


def _service(
    state: State,
    name: str,
    program: Path,
    flags: dict[str, object],
    ready: HttpReady,
    stop_seconds: float = 10.0,
) -> Service:
    return Service(
        name=name,
        argv=(str(program), *(f"--{flag}={value}" for flag, value in flags.items())),
        environment=environment.basic(),
        log=str(state.root / "logs" / f"{name}.log"),
        ready=ready,
        stop_seconds=stop_seconds,
    )
