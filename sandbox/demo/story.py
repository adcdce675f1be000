"""The story of `make demo`: what is done, in order, and what is shown of it."""

import base64
import sys
import time
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Self

import rich.box
from rich.console import Console
from rich.table import Table

from certfront.pki import certificates
from sandbox import lifecycle, state
from sandbox.demo import probes, progress, setting
from sandbox.demo.setting import NAMESPACE
from sandbox.demo.traffic import Traffic
from sandbox.environment import REPOSITORY
from sandbox.errors import SandboxError
from sandbox.kubectl import Kubectl
from sandbox.objects import kubectl
from sandbox.state import State

READY_SECONDS = 90.0
ROTATED_SECONDS = 60.0
ROTATED = "intranet"
_THINGS_TO_TRY = """
  1. kubectl describe lbcert shop -n shop
  2. kubectl delete secret static -n shop; kubectl get lbcert static -n shop -w
  3. python -m sandbox kill haproxy-1 --name {name}; kubectl get lbsvc -n edge -w
     (python -m sandbox start haproxy-1 --name {name} brings it back)"""


class Story:
    """A sandbox for the length of the context, and what happens in it."""

    def __init__(self, *, name: str, nodes: int, console: Console) -> None:
        self._wishes = lifecycle.Wishes(name=name, nodes=nodes)
        self._console = console
        self._current: State | None = None
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._current is None or not state.exists(self._wishes.name):
            return
        broken = kind is not None and not issubclass(kind, KeyboardInterrupt)
        kept = lifecycle.down(self._wishes.name, keep_logs=broken)
        if kept is not None:
            self._console.print(f"The logs are in {kept}")

    def tell(self) -> None:
        """Everything up to the last table. Raises SandboxError where it did not come out right."""
        self._title("A cluster, a CA and load balancer nodes start")
        self._current = lifecycle.up(self._wishes, lambda line: self._console.print(f"  {line}"))
        run = kubectl(self._current)
        bought = setting.prepare(self._current, run)
        self._title("kubectl apply -n shop -f examples/")
        self._apply(run)
        progress.until_ready(run, NAMESPACE, self._console.print, READY_SECONDS)
        roots = self._roots(run, bought.root)
        self._title("What is Ready")
        self._console.print(run("get", "lbcert,lbfe", "-n", NAMESPACE).rstrip())
        self._title("What each node serves, seen by a TLS client that trusts only the right root")
        self._show(roots)
        self._title(f"Certificate {ROTATED} is renewed while requests go on")
        self._rotate(run, roots)

    def leave_running(self) -> None:
        """Say what can be tried, and wait for Ctrl-C or for somebody who takes the sandbox down."""
        self._hints()
        self._console.print("\nEverything runs until Ctrl-C.")
        while state.exists(self._wishes.name):
            time.sleep(1)

    @property
    def _state(self) -> State:
        if self._current is None:
            raise SandboxError("the sandbox has not been started")
        return self._current

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]")

    def _apply(self, run: Kubectl) -> None:
        for path in sorted((REPOSITORY / "examples").glob("*.yaml")):
            run("apply", "-n", NAMESPACE, "-f", str(path))
            self._console.print(f"  applied {path.relative_to(REPOSITORY)}")

    def _roots(self, run: Kubectl, bought: str) -> dict[str, str]:
        """The root to trust for each name, in PEM; also written to files for curl."""
        pebble = self._state.pebble
        acme = Path(pebble.root).read_text() if pebble else ""
        roots = {
            "static.example.com": _authority(run, "static"),
            "intranet.example.com": _authority(run, "intranet"),
            "ev.example.com": bought,
            "shop.example.com": acme,
        }
        for name, pem in roots.items():
            self._root_file(name).write_text(pem)
        return roots

    def _root_file(self, name: str) -> Path:
        return self._state.root / f"root-of-{name}.pem"

    def _show(self, roots: dict[str, str]) -> None:
        table = Table(
            "name",
            "node",
            "issuer",
            "expires",
            "fingerprint",
            "verified",
            "plain HTTP",
            box=rich.box.SIMPLE,
        )
        seen = [
            probes.look(name, node=node.name, address=node.address, roots=pem, ports=node.port_map)
            for name, pem in roots.items()
            for node in self._state.nodes
        ]
        for one in seen:
            verified = one.trouble or "yes"
            table.add_row(
                one.name, one.node, one.issuer, one.expires, one.fingerprint, verified, one.redirect
            )
        self._console.print(table)
        troubles = [f"{one.name} on {one.node}: {one.trouble}" for one in seen if one.trouble]
        if troubles:
            raise SandboxError("not served as it should be: " + "; ".join(troubles))

    def _rotate(self, run: Kubectl, roots: dict[str, str]) -> None:
        """Renew under load: the CA signs the old and the new one, so one root verifies both."""
        name = f"{ROTATED}.example.com"
        addresses = [(n.address, n.port_map.get("443", 443)) for n in self._state.nodes]
        client = probes.context(roots[name])
        before = _fingerprint(run, ROTATED)
        with Traffic(name, addresses, client) as traffic:
            asked = f"certfront.io/renew={time.time():.0f}"
            run("annotate", "lbcert", ROTATED, "-n", NAMESPACE, asked)
            after = self._await_rotation(run, name, before, addresses, client)
        self._console.print(f"  before {before[:17]}…  after {after[:17]}…")
        self._console.print(
            f"  {traffic.requests} requests on {len(addresses)} nodes meanwhile,"
            f" {len(traffic.failures)} failed"
        )
        if traffic.failures:
            raise SandboxError("requests failed during the rotation: " + traffic.failures[0])

    def _await_rotation(
        self,
        run: Kubectl,
        name: str,
        before: str,
        addresses: list[tuple[str, int]],
        client: SSLContext,
    ) -> str:
        """The new fingerprint, once every node serves it."""
        deadline = time.monotonic() + ROTATED_SECONDS
        while time.monotonic() < deadline:
            wanted = _fingerprint(run, ROTATED)
            served = {_served(name, address, client) for address in addresses}
            if wanted != before and served == {wanted}:
                return wanted
            time.sleep(progress.LOOK_AGAIN)
        raise SandboxError(f"{name} was not rotated on every node within {ROTATED_SECONDS:.0f} s")

    def _hints(self) -> None:
        current = self._state
        kubeconfig = current.kubeconfigs.admin if current.kubeconfigs else ""
        self._title("Try it yourself")
        programs = Path(sys.executable).parent
        self._console.print(f"  export PATH={programs}:$PATH", soft_wrap=True)
        self._console.print(f"  export KUBECONFIG={kubeconfig}", soft_wrap=True)
        for name in ("shop.example.com", "ev.example.com"):
            node = current.nodes[-1]
            port = node.port_map.get("443", 443)
            connect = f"{name}:443:{node.address}:{port}"
            self._console.print(
                f"  curl --cacert {self._root_file(name)} --connect-to {connect} https://{name}/hello",
                soft_wrap=True,
            )
        self._console.print(_THINGS_TO_TRY.format(name=current.name))


def _authority(run: Kubectl, secret: str) -> str:
    data = run.json("get", "secret", secret, "-n", NAMESPACE)["data"]
    return base64.b64decode(data["ca.crt"]).decode()


def _fingerprint(run: Kubectl, certificate: str) -> str:
    found: str = run.json("get", "lbcert", certificate, "-n", NAMESPACE)["status"]["fingerprint"]
    return found


def _served(name: str, address: tuple[str, int], client: SSLContext) -> str:
    return certificates.fingerprint(certificates.load(probes.handshake(name, *address, client)))
