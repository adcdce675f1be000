"""One sandbox behind a gate, and tenants of twenty certificates of all types in it."""

import itertools
import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import pytest

from sandbox import environment, lifecycle, operator, processes, state
from sandbox.gate import OPEN, Door, Gate, changes_orders, kubeconfig_through
from sandbox.state import Service, State
from tests.e2e import material
from tests.e2e.api import Api
from tests.e2e.journal import Journal
from tests.e2e.world import Tenant, World

ROUNDS: Final = 4.0
"""Seconds between sweeps and audits, which take minutes otherwise."""

OPERATORS = ("operator", "operator-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many Certificates of each type a tenant has, the CA's own aside."""

    self_signed: int
    of_ca: int
    acme: int
    uploaded: int


TWENTY: Final = Size(self_signed=6, of_ca=5, acme=4, uploaded=4)
ONE_OF_EACH: Final = Size(self_signed=1, of_ca=1, acme=1, uploaded=1)


@dataclass
class Setting:
    """A world whose operators and agents go through doors of a gate, as Pebble does for them."""

    world: World
    gate: Gate
    doors: Mapping[str, Door]
    tell: Callable[[str], None] = print
    plain: dict[str, Service] = field(default_factory=dict)
    pebble_roots: list[str] = field(default_factory=list)

    @property
    def state(self) -> State:
        """The sandbox's record."""
        return self.world.state

    @property
    def acme_url(self) -> str:
        """Pebble's directory, through its door."""
        return f"{self.doors['pebble'].url}/dir"

    def handle(self, name: str) -> processes.Handle | None:
        """The process called `name`, if it runs."""
        return processes.running(self.state.root, name)

    def describe(self, name: str, *options: str) -> None:
        """Let the process called `name` be started with these options of `tests.faults.launch`."""
        current = self.state
        plain = self.plain[name]
        launched = (plain.argv[0], "-m", "tests.faults.launch", f"--rounds={ROUNDS}", *options)
        replaced = msgspec.structs.replace(
            plain,
            argv=(*launched, "--", *plain.argv[3:]),
            environment={
                **plain.environment,
                "KUBECONFIG": str(current.root / f"gate-{name}.kubeconfig"),
                "PYTHONPATH": f"{environment.REPOSITORY / 'operator'}:{environment.REPOSITORY}",
            },
        )
        state.save(current.with_services(replaced))

    def kill(self, name: str) -> None:
        """SIGKILL, now. A Lease of an operator that is dead is taken away, as it would run out."""
        processes.kill(self.state.root, name)
        if name in OPERATORS:
            self.free_lease()

    def spawn(self, name: str) -> None:
        """Start it without waiting: it may be meant to die at once."""
        current = self.state
        processes.spawn(current.service(name), current.root)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to the process called `name`."""
        handle = self.handle(name)
        if handle is not None:
            os.kill(handle.pid, number)

    def free_lease(self) -> None:
        """What the end of the Lease's fifteen seconds does."""
        self.world.api.delete("Lease", "certfront", "certfront-operator")

    def open_doors(self) -> None:
        """Let everything through, at once, and let watches speak."""
        for door in self.doors.values():
            door.rule, door.delay = OPEN, 0.0
            door.hear()

    def revive(self) -> None:
        """Start what is dead, as a supervisor does."""
        for service in self.state.services:
            if self.handle(service.name) is not None:
                continue
            if service.name in OPERATORS and not any(map(self.handle, OPERATORS)):
                self.free_lease()
            lifecycle.start(self.world.name, service.name)


@contextmanager
def started(name: str, tell: Callable[[str], None] = print) -> Iterator[Setting]:
    """Start a sandbox called `name`, behind a gate; it is gone at the end."""
    with pytest.MonkeyPatch.context() as variables:
        # Pebble forgets at once that a name was valid: each order is validated again.
        variables.setenv("PEBBLE_AUTHZREUSE", "0")
        lifecycle.up(lifecycle.Wishes(name=name, nodes=2, operator=False))
    gate = None
    try:
        current = state.load(name)
        gate = Gate(current.control_address, current.root / "gate")
        made = _behind(gate, name, tell)
        yield made
        made.world.journal.close()
    finally:
        for service in state.load(name).services:
            _wake(name, service.name)
        lifecycle.remove(state.load(name), keep_logs=False)
        if gate is not None:
            gate.close()


def _wake(name: str, process: str) -> None:
    """A process that was stopped by SIGSTOP does not hear SIGTERM."""
    handle = processes.running(state.load(name).root, process)
    if handle is not None:
        os.kill(handle.pid, signal.SIGCONT)


def _behind(gate: Gate, name: str, tell: Callable[[str], None]) -> Setting:
    current = state.load(name)
    agents = [node.agent for node in current.nodes]
    for each in agents:
        lifecycle.stop(name, each)
    current = state.load(name)
    for each in OPERATORS:
        current = operator.prepare(current, None, each)
    second = current.service(OPERATORS[1])
    state.save(current)
    assert current.kubeconfigs is not None
    doors = {"pebble": gate.door("pebble", *_pebble(current), changes_orders)}
    for each in (*OPERATORS, *agents):
        doors[each] = gate.door(each, current.server, current.cluster_ca)
        original = current.kubeconfigs.operator if each in OPERATORS else current.kubeconfigs.agent
        kubeconfig_through(doors[each], gate.ca, original, current.root / f"gate-{each}.kubeconfig")
    world = World(name=name, api=Api(current), journal=Journal(current))
    plain = {each: current.service(each) for each in (*OPERATORS, *agents)}
    made = Setting(world=world, gate=gate, doors=doors, tell=tell, plain=plain)
    made.pebble_roots.append(world.pebble_root)
    for each in plain:
        made.describe(each)
    forget(name, second.name)
    for each in ("operator", *agents):
        lifecycle.start(name, each)
    return made


def forget(name: str, process: str) -> None:
    """Take a stopped process out of the sandbox's record."""
    current = state.load(name)
    kept = tuple(each for each in current.services if each.name != process)
    state.save(msgspec.structs.replace(current, services=kept))


def _pebble(current: State) -> tuple[str, str]:
    assert current.pebble is not None
    return current.pebble.directory_url.removesuffix("/dir"), current.pebble.listener_ca


@dataclass
class Estate(Tenant):
    """A tenant with twenty certificates; the names of them, and what their clients trust."""

    roots: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    stirs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def of_type(self, *types: str) -> list[str]:
        """The names of its Certificates of these types."""
        return [name for name, each in self.types.items() if each in types]


def build(made: Setting, size: Size = TWENTY) -> Estate:
    """Apply everything at once."""
    estate = Estate(made.world)
    estate.apply(
        "Issuer",
        "acme",
        {
            "type": "ACME",
            "acme": {
                "directoryURL": made.acme_url,
                "email": "faults@example.com",
                "termsOfServiceAgreed": True,
                "caBundle": made.gate.ca.read_text(),
                "profile": "default",
            },
        },
    )
    estate.apply("Issuer", "private", {"type": "CA", "ca": {"secretRef": {"name": "root"}}})
    estate.certificate("root", commonName="Faults CA", isCA=True)
    estate.types["root"], estate.hosts["root"] = "SelfSigned", ()
    _certificates(estate, size)
    names = [name for name in estate.types if name != "root"]
    half = [name for name in names if estate.types[name] != "SelfSigned"]
    for frontend, port, chosen in (
        ("web", 443, half),
        ("more", 8443, [name for name in names if name not in half]),
    ):
        estate.frontend(frontend, chosen, port=port)
        estate.ports.update(dict.fromkeys(chosen, port))
    return estate


def _certificates(estate: Estate, size: Size) -> None:
    for index in range(size.self_signed):
        key = {"algorithm": "RSA", "size": 2048} if index == 0 else {}
        _one(estate, f"self-{index}", "SelfSigned", privateKey=key)
    for index in range(size.of_ca):
        _one(estate, f"ca-{index}", "CA", ca={"issuerRef": {"name": "private"}})
    for index in range(size.acme):
        key = {"rotation": "Never"} if index == 1 else {}
        more = ("shop",) if index == 0 else ()
        acme = {"issuerRef": {"name": "acme"}}
        _one(estate, f"acme-{index}", "ACME", *more, acme=acme, privateKey=key)
    for index in range(size.uploaded):
        name = f"up-{index}"
        estate.hosts[name] = (estate.host(name),)
        upload(estate, name)
        estate.certificate(name, "Uploaded", uploaded={"secretRef": {"name": f"source-{name}"}})
        estate.types[name] = "Uploaded"


def _one(estate: Estate, name: str, type_: str, *more: str, **spec: object) -> None:
    hosts = tuple(estate.host(f"{label}{name}") for label in ("", *more))
    if not spec.get("privateKey"):
        spec.pop("privateKey", None)
    estate.certificate(name, type_, dnsNames=list(hosts), **spec)
    estate.hosts[name], estate.types[name] = hosts, type_


def upload(estate: Estate, name: str) -> None:
    """Hand in a new pair."""
    root = material.ca(f"Root of {name}")
    pair = material.leaf(estate.hosts[name][0], issuer=root)
    estate.pair(f"source-{name}", pair.pem, pair.key_pem)
    # A restored copy brings an earlier upload back.
    estate.roots[name] = estate.roots.get(name, "") + root.pem.decode()


def stir(estate: Estate, chosen: random.Random) -> list[str]:
    """Give the operator work: a few Certificates are to be renewed, always one of ACME."""
    count = next(estate.stirs)
    private = estate.of_type("CA")
    names = [chosen.choice(estate.of_type("ACME")), *chosen.sample(private, min(2, len(private)))]
    names.append(chosen.choice([n for n in estate.of_type("SelfSigned") if n != "root"]))
    for name in names:
        estate.annotate("Certificate", name, renew=str(count))
    given = chosen.choice(estate.of_type("Uploaded"))
    upload(estate, given)
    return [*names, given]


def logs(current: State) -> dict[str, Path]:
    """Every file that processes of the sandbox write to."""
    return {path.name: path for path in sorted((current.root / "logs").iterdir())}
