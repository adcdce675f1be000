"""The story of `make demo ARGS="--provider ovh"`: a provider's examples against its emulator.

Neighbours: :mod:`sandbox.demo.manifests` fits the examples, :mod:`sandbox.demo.story` is the story of
HAProxy, which ends in the same way.
"""

import hashlib
import itertools
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import rich.box
from rich.console import Console
from rich.table import Table

from certfront.pki import certificates, facts
from sandbox import lifecycle, state
from sandbox.demo import manifests, progress
from sandbox.demo.manifests import Manifest
from sandbox.emulators.control import Control
from sandbox.emulators.server import Call
from sandbox.environment import REPOSITORY
from sandbox.errors import SandboxError
from sandbox.kubectl import Kubectl
from sandbox.objects import kubectl
from sandbox.state import Emulator, State

NAMESPACE = "shop"
READY_SECONDS = 300.0
RENEWED_SECONDS = 120.0
_SECONDS = 5.0
_MOST_CALLS = 40


class ProviderStory:
    """A sandbox with one emulator for the length of the context, and what happens in it."""

    def __init__(self, *, name: str, provider: str, console: Console) -> None:
        self._wishes = lifecycle.Wishes(name=name, nodes=0, emulators=(provider,))
        self._provider = provider
        self._console = console
        self._current: State | None = None

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
        """Everything up to the renewal. Raises SandboxError where it did not come out right."""
        self._title(f"A cluster, the operator and a stand-in for {self._provider} start")
        self._current = lifecycle.up(self._wishes, lambda line: self._console.print(f"  {line}"))
        run, emulator = kubectl(self._current), self._current.emulator(self._provider)
        control = Control(emulator.url)
        documents = manifests.read(emulator)
        manifests.furnish(emulator, control, documents)
        run.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        sold = list(manifests.bought(documents, emulator))
        _apply(run, [*manifests.credentials(emulator, documents), *sold])
        self._title(f"kubectl apply -n {NAMESPACE} -f examples/{self._provider}/")
        _apply(run, documents)
        for path in manifests.paths(self._provider):
            self._console.print(f"  applied {path.relative_to(REPOSITORY)}")
        progress.until_ready(run, NAMESPACE, self._console.print, READY_SECONDS)
        self._title("What is Ready")
        self._console.print(run("get", "lbsvc,lbcert,lbfe", "-n", NAMESPACE).rstrip())
        self._title(f"What {self._provider} serves on {emulator.front}, by handshakes")
        self._show(run, emulator)
        self._title(f"The calls made at {self._provider}, without the credentials and bodies")
        self._calls(control.calls())
        self._renew(run, emulator, control, documents, sold)

    def leave_running(self) -> None:
        """Say what can be tried, and wait for Ctrl-C or for somebody who takes the sandbox down."""
        current = self._current
        if current is None or current.kubeconfigs is None:
            raise SandboxError("the sandbox has not been started")
        emulator = current.emulator(self._provider)
        self._title("Try it yourself")
        for line in (
            f"export PATH={Path(sys.executable).parent}:$PATH",
            f"export KUBECONFIG={current.kubeconfigs.admin}",
            f"kubectl describe lbfe -n {NAMESPACE}",
            f"curl -s {emulator.url}/_control/calls",
            f"python -m sandbox stop {emulator.name} --name {current.name}",
        ):
            self._console.print(f"  {line}", soft_wrap=True)
        self._console.print("\nEverything runs until Ctrl-C.")
        while state.exists(self._wishes.name):
            time.sleep(1)

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]")

    def _show(self, run: Kubectl, emulator: Emulator) -> None:
        table = Table("frontend", "name", "issuer", "expires", "fingerprint", box=rich.box.SIMPLE)
        for frontend, name, port, wanted in _served_names(run):
            der = _handshake(emulator, name, port)
            found = facts.read(certificates.load(der), size=0)
            table.add_row(
                frontend,
                name,
                found.issuer.removeprefix("CN=")[:40],
                f"{found.not_after:%Y-%m-%d %H:%M}",
                found.fingerprint[:17],
            )
            if wanted and wanted.replace(":", "").lower() not in _marks(der):
                raise SandboxError(f"{name} is not served with the certificate that is installed")
        self._console.print(table)

    def _calls(self, calls: list[Call]) -> None:
        table = Table("times", "call", "answer", box=rich.box.SIMPLE)
        told = [(_spelled(call), call.status) for call in calls]
        groups = [(each, len(list(same))) for each, same in itertools.groupby(told)]
        for (text, status), times in groups[:_MOST_CALLS]:
            answer = str(status) if status else "lost"
            table.add_row(str(times) if times > 1 else "", text, answer)
        self._console.print(table)
        if len(groups) > _MOST_CALLS:
            self._console.print(f"  and so on: {len(calls)} calls")

    def _renew(
        self,
        run: Kubectl,
        emulator: Emulator,
        control: Control,
        documents: list[Manifest],
        sold: list[Manifest],
    ) -> None:
        """A certificate of our own is made again; else the Secret gets a new one, as people do it."""
        own = [
            d["metadata"]["name"]
            for d in documents
            if d["kind"] == "Certificate" and d["spec"]["type"] == "SelfSigned"
        ]
        before = {
            name: _fingerprint(emulator, name, port) for _, name, port, _ in _served_names(run)
        }
        control.clear_calls()
        if own:
            self._title(f"Certificate {own[0]} is renewed")
            asked = f"certfront.io/renew={time.time():.0f}"
            run("annotate", "lbcert", own[0], "-n", NAMESPACE, asked)
        else:
            again = next(iter(manifests.bought(documents, emulator)))
            self._title(f"Secret {sold[0]['metadata']['name']} gets a new certificate")
            _apply(run, [again])
        deadline = time.monotonic() + RENEWED_SECONDS
        while True:
            served = _served_names(run)
            after = {name: _fingerprint(emulator, name, port) for _, name, port, _ in served}
            changed = {name for name in before if after.get(name, before[name]) != before[name]}
            if changed:
                break
            if time.monotonic() > deadline:
                raise SandboxError(f"nothing was renewed within {RENEWED_SECONDS:.0f} s")
            time.sleep(progress.LOOK_AGAIN)
        for name in sorted(changed):
            self._console.print(f"  {name}: before {before[name][:17]}…  after {after[name][:17]}…")
        progress.until_ready(run, NAMESPACE, lambda _line: None, RENEWED_SECONDS)
        self._calls(control.calls())


def _apply(run: Kubectl, documents: list[Manifest]) -> None:
    placed = [
        {**each, "metadata": {**each["metadata"], "namespace": NAMESPACE}} for each in documents
    ]
    if placed:
        run.apply(*placed)


def _served_names(run: Kubectl) -> list[tuple[str, str, int, str]]:
    """(frontend, a name, its port, the fingerprint that is installed or "") of every certificate."""
    items: list[dict[str, Any]] = run.json("get", "lbfe", "-n", NAMESPACE)["items"]
    return [
        (item["metadata"]["name"], entry["hostnames"][0], item["spec"].get("port", 443), wanted)
        for item in items
        for entry, wanted in _installed(item)
    ]


def _installed(item: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    entries = [e for e in (item.get("status") or {}).get("installed", ()) if e.get("hostnames")]
    for entry in entries:
        # Of a pair of key types a client gets the one that it asks for.
        rivals = [e for e in entries if e["hostnames"][0] == entry["hostnames"][0]]
        yield entry, entry.get("fingerprint", "") if len(rivals) == 1 else ""


def _handshake(emulator: Emulator, name: str, port: int) -> bytes:
    """The leaf (DER) that is shown for `name`; who signed it is for the table to tell."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    port = emulator.https_port if port == 443 else port
    try:
        with (
            socket.create_connection((emulator.front, port), timeout=_SECONDS) as connection,
            client.wrap_socket(connection, server_hostname=name) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise SandboxError(f"{name} at {emulator.front}:{port}: {error}") from None


def _fingerprint(emulator: Emulator, name: str, port: int) -> str:
    return hashlib.sha256(_handshake(emulator, name, port)).hexdigest()


def _marks(der: bytes) -> tuple[str, str]:
    """What a certificate is called: SHA-256, or SHA-1 where the provider tells no other."""
    sha1 = hashlib.sha1(der, usedforsecurity=False).hexdigest()
    return hashlib.sha256(der).hexdigest(), sha1


def _spelled(call: Call) -> str:
    """`POST /ipLoadbalancing/…`, or the action where a provider has one path for all."""
    return call.name if call.path == "/" and call.name else f"{call.method} {call.path}"[:110]
