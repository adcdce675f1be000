"""What the sandbox applies to its cluster: the shipped manifests, and what only it can know.

The kinds are in crds/, rights and defaults in deploy/, both in the order of their names; deploy/ is
made from charts/certfront, so operator and agents run with the rights of the chart. The Issuer
`edge/pebble` is made here, because Pebble's address and CA are new in every sandbox, and the
shipped LoadBalancer `edge/haproxy` is given a grant for everybody. Afterwards the operator's and
the agents' kubeconfigs are made from tokens of their service accounts.
"""

import base64
import time
from pathlib import Path
from typing import Any

import msgspec

from sandbox.cluster import kubeconfig, write_private
from sandbox.environment import REPOSITORY
from sandbox.kubectl import Kubectl, KubectlError
from sandbox.state import Kubeconfigs, Pebble, State

EDGE_NAMESPACE = "edge"
"""Where the load balancer, its agents and the Issuer for Pebble live."""

OPERATOR_ACCOUNT = ("certfront", "certfront")
"""Namespace and name of the operator's service account."""

AGENT_ACCOUNT = (EDGE_NAMESPACE, "certfront-agent")
"""Namespace and name of the agents' service account."""

_LIFETIME = "24h"
_RENEWAL_SECONDS = 12 * 3600


def kubectl(state: State) -> Kubectl:
    """Return kubectl as the admin of `state`'s cluster."""
    if state.kubeconfigs is None:
        raise ValueError("the sandbox has no cluster yet")
    return Kubectl(state.kubeconfigs.admin, state.root / "kubectl-cache")


def apply(state: State) -> State:
    """Apply everything; returns the state with the service accounts' kubeconfigs.

    Without manifests in deploy/ there are no service accounts, and their kubeconfigs stay empty.
    """
    run = kubectl(state)
    kinds = _manifests("crds")
    if kinds:
        run.apply_files(kinds)
        run("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    deployed = _manifests("deploy")
    if not deployed:
        return state
    run.apply_files(deployed)
    if state.pebble is not None:
        run.apply(issuer(state.pebble), load_balancer(), manager="sandbox")
    return write_account_kubeconfigs(state)


def issuer(pebble: Pebble) -> dict[str, Any]:
    """Return the Issuer `edge/pebble`, which every namespace may use for every name."""
    return {
        "apiVersion": "certfront.io/v1alpha1",
        "kind": "Issuer",
        "metadata": {"name": "pebble", "namespace": EDGE_NAMESPACE},
        "spec": {
            "type": "ACME",
            "acme": {
                "directoryURL": pebble.directory_url,
                "email": "sandbox@example.com",
                "termsOfServiceAgreed": True,
                "caBundle": Path(pebble.listener_ca).read_text(),
                "profile": "default",
            },
            "grants": [{"namespaces": {"all": True}, "hostnames": ["*"]}],
        },
    }


def load_balancer() -> dict[str, Any]:
    """Return what the sandbox adds to the shipped LoadBalancer: everybody may use it.

    A grant is the decision of whoever installs certfront; the shipped manifest makes none.
    """
    return {
        "apiVersion": "certfront.io/v1alpha1",
        "kind": "LoadBalancer",
        "metadata": {"name": "haproxy", "namespace": EDGE_NAMESPACE},
        "spec": {
            "type": "HAProxy",
            "grants": [
                {
                    "namespaces": {"all": True},
                    "hostnames": ["*"],
                    "backendCIDRs": ["127.0.0.0/8"],
                }
            ],
        },
    }


def write_account_kubeconfigs(state: State) -> State:
    """Write kubeconfigs with fresh tokens for the operator and the agents, and return the state."""
    if state.kubeconfigs is None:
        return state
    paths = {
        "operator": _account_kubeconfig(state, "operator", *OPERATOR_ACCOUNT),
        "agent": _account_kubeconfig(state, "agent", *AGENT_ACCOUNT),
    }
    return msgspec.structs.replace(
        state, kubeconfigs=Kubeconfigs(admin=state.kubeconfigs.admin, **paths)
    )


def renew_account_kubeconfigs(state: State) -> None:
    """Make the tokens new if they have used up half their life and the API server answers."""
    if state.kubeconfigs is None or not state.kubeconfigs.operator:
        return
    age = time.time() - Path(state.kubeconfigs.operator).stat().st_mtime
    if age < _RENEWAL_SECONDS:
        return
    try:
        write_account_kubeconfigs(state)
    except KubectlError:
        return  # an agent starts without an API server, too


def _account_kubeconfig(state: State, file: str, namespace: str, name: str) -> str:
    run = kubectl(state)
    token = run("create", "token", name, f"--namespace={namespace}", f"--duration={_LIFETIME}")
    cluster = run.json("config", "view", "--minify", "--raw")["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster.get("certificate-authority-data", ""))
    if not authority and "certificate-authority" in cluster:
        authority = Path(cluster["certificate-authority"]).read_bytes()
    content = kubeconfig(cluster["server"], authority, {"token": token.strip()})
    return write_private(state.root / f"{file}.kubeconfig", content)


def _manifests(directory: str) -> list[Path]:
    return sorted((REPOSITORY / directory).glob("*.yaml"))
