"""What the examples need around them: a namespace, a backend that answers, a bought certificate."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from certfront.model.keys import KeyAlgorithm
from certfront.pki import certificates, keys
from certfront.pki.issue import load_authority, self_signed, sign
from certfront.pki.request import Request
from sandbox import environment, processes, state
from sandbox.kubectl import Kubectl
from sandbox.state import Service, State, TcpReady

NAMESPACE = "shop"
BACKEND = "backend"
BACKEND_PORT = 8080
BOUGHT_NAME = "ev.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoughtCertificate:
    """A pair as a customer of a commercial CA has it, and that CA's root; all PEM."""

    chain: str
    key: str
    root: str


def prepare(current: State, run: Kubectl) -> BoughtCertificate:
    """Make the namespace, its Service with a backend behind it, and the Secret of a bought pair."""
    run.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    run.apply(_service())
    _start_backend(
        current, run.json("get", "service", "shop", "-n", NAMESPACE)["spec"]["clusterIP"]
    )
    bought = buy(BOUGHT_NAME)
    run.apply(_secret(bought))
    return bought


def buy(name: str) -> BoughtCertificate:
    """A certificate for `name` from a CA made for this occasion."""
    now = datetime.now(UTC)
    root_key = keys.generate(KeyAlgorithm.ECDSA)
    root_request = Request(common_name="Commercial CA", is_ca=True, duration=timedelta(days=3650))
    root = self_signed(root_request, root_key, now=now, object_name="commercial")
    authority = load_authority(root.tls_crt, root.private_key_pem)
    request = Request(dns_names=(name,), duration=timedelta(days=365))
    pair = sign(request, keys.generate(KeyAlgorithm.ECDSA), authority=authority, now=now)
    return BoughtCertificate(
        chain=pair.tls_crt.decode(),
        key=pair.private_key_pem.decode(),
        root=certificates.to_pem((authority.root,)).decode(),
    )


def _start_backend(current: State, address: str) -> None:
    service = Service(
        name=BACKEND,
        argv=(sys.executable, "-m", "sandbox.demo.backend", address, str(BACKEND_PORT)),
        environment={**environment.basic(), "PYTHONPATH": str(environment.REPOSITORY)},
        log=str(current.root / "logs" / f"{BACKEND}.log"),
        ready=TcpReady(addresses=(f"{address}:{BACKEND_PORT}",)),
    )
    state.save(current.with_services(service))
    processes.wait_until_ready(service, processes.spawn(service, current.root))


def _service() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop", "namespace": NAMESPACE},
        "spec": {"ports": [{"name": "http", "port": BACKEND_PORT}]},
    }


def _secret(bought: BoughtCertificate) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "bought",
            "namespace": NAMESPACE,
            "labels": {"certfront.io/secret": "source"},
        },
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": bought.chain, "tls.key": bought.key},
    }
