"""One node: the real agent over a traced directory, a simulated HAProxy, and an API server.

`World` makes an agent's pass, kills it where it is told to, and looks after every single effect
whether the invariants of one node hold; what does not is a `Violation`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import pytest

from certfront.agent import master, proving, reconcile, runtime, validation
from certfront.agent.bundles import from_secret
from certfront.agent.exchange import NoAnswer
from certfront.agent.node import Agent
from certfront.agent.options import AgentOptions
from certfront.agent.watching import Watcher
from certfront.kube.client import ApiClient, WatchEvent
from certfront.kube.errors import ApiError, Gone
from certfront.kube.leases import HeartbeatLease
from certfront.loadbalancers.handshake import HandshakeFailed, Seen
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import Manifest
from certfront.loadbalancers.haproxy.merging import DEFAULT_NAME
from certfront.loadbalancers.haproxy.watermark import ANNOTATION, node_lease, served
from certfront.model.clock import FrozenClock
from certfront.model.times import to_text
from tests.model.node.effects import Killed, Traced
from tests.model.node.haproxy import HAProxy, Leaf, WillNotStart, Worker, digest, leaf_of, load
from tests.model.node.material import (
    LOAD_BALANCER,
    SOURCES,
    START,
    bundle,
    bundle_name,
    manifest_name,
    shown,
)
from tests.unit.agent.fake_api import FakeApi

ADDRESS: Final = "127.0.0.1"
PORTS: Final = {443: 8443, 80: 8080, 8443: 9443}
INVARIANTS: Final = frozenset(
    {
        "DiskLoadable",
        "NeverUncovered",
        "WatermarkSound",
        "PairAtomic",
        "Quiescence",
        "Convergence",
        "NoSurprise",
    }
)
FAULTS: Final = (
    "kill before",
    "kill after",
    "power cut",
    "haproxy stops",
    "haproxy restarts",
    "foreign reload",
    "late foreign reload",
)

Name = tuple[int, str | None]
"""A port and a host name; None is a client that names none."""

_SPINS = 40
_LATE = 6


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str, trace: list[str]) -> None:
        self.invariant = invariant
        super().__init__(f"{invariant}: {what}\n  " + "\n  ".join(trace[-60:]))


class NodeApi(FakeApi):
    """The API server with its history: a watch begins with all that came after its revision.

    `expire` forgets the history, so that agents list again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._history: list[tuple[int, WatchEvent]] = []
        self._oldest = 0

    def _tell(self, event: WatchEvent) -> None:
        self._history.append((int(event[1]["metadata"]["resourceVersion"]), event))
        super()._tell(event)

    def expire(self) -> None:
        self._history.clear()
        self._oldest = self.revision
        self.outage(self.fail)

    async def watch(self, *_: Any, resource_version: str, **__: Any) -> AsyncIterator[WatchEvent]:
        self._check()
        if int(resource_version) < self._oldest:
            raise Gone(410, "Expired", "too old resource version")
        events: asyncio.Queue[WatchEvent | None] = asyncio.Queue()
        for revision, event in self._history:
            if revision > int(resource_version):
                events.put_nowait(event)
        self._watches.append(events)
        try:
            while (event_now := await events.get()) is not None:
                yield event_now
            self._check()
        finally:
            self._watches.remove(events)


@dataclass
class _Lease:
    """Takes what the agent reports, as its HeartbeatLease would."""

    annotation: str = ""
    reports: int = 0

    def report(self, annotations: Mapping[str, str]) -> None:
        if self.annotation != annotations[ANNOTATION]:
            self.annotation = annotations[ANNOTATION]
            self.reports += 1


class World:
    """A node's life. `watch` are the invariants that are looked at."""

    def __init__(self, *, mixes: bool = False, watch: Collection[str] = INVARIANTS) -> None:
        self._watch = watch
        shared = Path("/dev/shm")
        self.root = Path(
            tempfile.mkdtemp(prefix="certfront-model-", dir=shared if shared.is_dir() else None)
        )
        self.trace: list[str] = []
        self.clock = FrozenClock(START)
        self.api = NodeApi()
        self.haproxy = HAProxy(str(self.root), mixes=mixes)
        self.disk = Traced(self.root)
        self.disk.moment = self._disk_moment
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda *_: None)
        self.options = AgentOptions(
            load_balancer="haproxy",
            namespace="edge",
            node="node-1",
            directory=self.root,
            bind_address=ADDRESS,
            port_map=PORTS,
            haproxy="haproxy",
        )
        # What the operator has written last.
        self.bundles: dict[str, str] = {}
        self.manifests: dict[str, Manifest] = {}
        self._asked: dict[str, Manifest] = {}
        self._omitted: set[Name] = set()
        # What was seen.
        self._covered: dict[Name, Leaf] = {}
        self._seen: dict[Name, set[str]] = {}
        self._pairs: set[bytes] = set()
        self._loaded: dict[str, Worker | None] = {}
        # The run of the agent.
        self.agent: Agent | None = None
        self.lease = _Lease()
        self.changes: list[str] = []
        self.moments = 0
        self._plan: dict[int, str] = {}
        self._dead = False
        self._late: tuple[int, Worker] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._surprise: BaseException | None = None
        self.broken = False
        self.seen_files: Callable[[Mapping[str, bytes]], None] = lambda _: None
        """Called with the files after every effect, for a second opinion."""
        self._patches = pytest.MonkeyPatch()
        self._install()
        self.begin()

    def _install(self) -> None:
        patch = self._patches.setattr
        real_sleep = asyncio.sleep

        async def sleep(seconds: float, *_: Any) -> None:
            # The watcher's pauses are longer: it must not move the clock while it waits for us.
            if 0 < seconds <= 0.3:
                self.clock.advance(seconds)
            await real_sleep(0)

        async def to_thread(function: Any, *args: Any, **named: Any) -> Any:
            return function(*args, **named)

        async def complaint(*_: Any) -> None:
            """HAProxy lives in a container of its own: the reload is the check."""

        async def output(*_: Any) -> str:
            return self.haproxy.alert

        patch(asyncio, "sleep", sleep)
        patch(asyncio, "to_thread", to_thread)
        patch(asyncio, "open_connection", self._connect)
        patch(runtime, "exchange", self._exchange)
        patch(master, "exchange", self._exchange)
        patch(proving, "probe", self._probe)
        patch(proving, "context_for", lambda *_, **__: None)
        patch(reconcile, "is_taken", lambda _: False)
        patch(validation.ConfigurationCheck, "complaint", complaint)
        patch(validation.ConfigurationCheck, "output", output)
        self.disk.install(self._patches)
        logging.disable(logging.CRITICAL)

    def begin(self) -> None:
        """`certfront agent --init`, then HAProxy, then the agent."""
        self.start_agent()
        self.start_haproxy()

    def close(self) -> None:
        logging.disable(logging.NOTSET)
        self._stop_watcher()
        self.loop.close()
        self._patches.undo()
        shutil.rmtree(self.root)

    def violated(self, invariant: str, what: str) -> None:
        if invariant in self._watch:
            self.broken = True
            raise Violation(invariant, what, self.trace)

    def note(self, what: str) -> None:
        self.trace.append(what)

    # --- the operator and the people

    def put_bundle(self, source: str, kind: str) -> None:
        self.note(f"PUT bundle {source}: {kind}")
        secret = bundle(source, kind)
        with contextlib.suppress(handover.InvalidHandover):
            self._pairs.add(from_secret(secret["data"]).pem)
        self.bundles[source] = kind
        self.api.put(secret)
        # Only what is shown from now on proves that this version is.
        now = self._shows(self._all_names())
        self._seen = {name: {leaf.sha256} for name, leaf in now.items()}

    def drop_bundle(self, source: str) -> None:
        if source in self.bundles:
            self.note(f"DELETE bundle {source}")
            del self.bundles[source]
            self.api.delete_secret(bundle_name(source))

    def put_manifest(self, manifest: Manifest) -> None:
        self.note(f"PUT manifest {manifest.frontend}: {_brief(manifest)}")
        before = self._asked.get(manifest.frontend)
        self.manifests[manifest.frontend] = self._asked[manifest.frontend] = manifest
        if before is not None:
            self._omitted |= _names(before) - _names(manifest)
        self.api.put(handover.manifest_secret(LOAD_BALANCER, manifest))

    def release(self, frontend: str) -> None:
        if frontend in self.manifests:
            self.put_manifest(handover.released(self.manifests[frontend]))

    def vanish(self, frontend: str) -> None:
        """The manifest is gone without having omitted anything first."""
        if frontend in self.manifests:
            self.note(f"DELETE manifest {frontend}")
            del self.manifests[frontend]
            self.api.delete_secret(manifest_name(frontend))

    def outage(self, error: type[ApiError] | None) -> None:
        self.note(f"API: {error.__name__ if error else 'answers'}")
        self.api.outage(error)

    def relist(self) -> None:
        self.note("API: the watch is too old")
        self.api.expire()

    def wait(self, time: timedelta) -> None:
        self.note(f"WAIT {time}")
        self.clock.advance(time)

    # --- HAProxy and its supervisor

    def start_haproxy(self) -> None:
        self.note("HAPROXY starts")
        self._late = None
        try:
            self.haproxy.start(self.disk.files)
        except WillNotStart as error:
            self.violated("DiskLoadable", f"HAProxy does not start: {error}")
        self._look()

    def stop_haproxy(self) -> None:
        self.note("HAPROXY is gone")
        self._late = None
        self.haproxy.stop()

    def leave_transaction(self, source: str, kind: str) -> None:
        """A client dies after `set`."""
        worker, leaf = self.haproxy.worker, leaf_of(pem_of(source, kind))
        path = f"{self.root}/certs/{bundle_name(source)}.pem"
        if worker is not None and leaf is not None and path in worker.store:
            self.note(f"HAPROXY: a transaction of {source} is left open")
            worker.transaction = (path, leaf)

    def jam(self) -> None:
        """Listeners do not follow commits until the next start."""
        self.note("HAPROXY: listeners are jammed")
        self.haproxy.jammed = True

    def power_cut(self, choice: int) -> None:
        """Agent and HAProxy are gone, and what was not synced may be."""
        left = list(self.disk.after_power_cuts())
        self.note(f"POWER CUT {choice % len(left)}")
        self.stop_haproxy()
        self.kill_agent()
        self.disk.become(left[choice % len(left)])
        self._check_pairs()
        self.start_haproxy()

    # --- the agent

    def kill_agent(self) -> None:
        self._stop_watcher()
        self.agent = None
        self._dead = False
        self._plan = {}

    def start_agent(self, plan: Mapping[int, str] | None = None) -> bool:
        """Start and recover; whether it lived through that."""
        if self.agent is not None:
            self.kill_agent()
        self.note("AGENT starts")
        agent = Agent(self.options, cast("ApiClient", self.api), self.clock)
        self.lease = _Lease()
        if not self._lives(plan, self._recover(agent)):
            return False
        self.agent = agent
        self._wrap(agent)
        watcher = Watcher(
            self.api,
            self.clock,
            agent._inbox,
            namespace="edge",
            load_balancer="haproxy",
            changed=lambda: None,
        )
        self._watcher = self.loop.create_task(watcher.run())
        return True

    async def _recover(self, agent: Agent) -> None:
        agent._node.recover()

    def _wrap(self, agent: Agent) -> None:
        converge = agent._node.converge

        async def wrapped(offers: Any) -> Any:
            try:
                return await converge(offers)
            except Exception as error:
                self._surprise = error
                raise

        agent._node.converge = wrapped  # type: ignore[method-assign] - to see what `_pass` logs only

    def one_pass(self, plan: Mapping[int, str] | None = None) -> bool:
        """A pass of the agent, which is started if it is dead; whether it lived through that."""
        if self.agent is None and not self.start_agent():
            return False
        agent = self.agent
        assert agent is not None
        self.loop.run_until_complete(self._settle())
        complete = agent._inbox.resource_version == str(self.api.revision)
        self.note(f"PASS {dict(plan) if plan else ''}")
        before = self.lease.annotation
        lives = self._lives(plan, agent._pass(cast("HeartbeatLease", self.lease)))
        if self._surprise is not None:
            surprise, self._surprise = self._surprise, None
            if isinstance(surprise, Violation):
                raise surprise
            self.violated("NoSurprise", repr(surprise))
        if lives and self.agent is not None:
            if self.lease.annotation != before:
                self.note(f"REPORT {self.lease.annotation}")
            self._check_watermark()
            outcome = agent.outcome
            if outcome is not None and outcome.alive:
                self._check_covered()
            if complete and outcome is not None and outcome.alive:
                self._omitted.clear()
        return lives

    def audit(self, plan: Mapping[int, str] | None = None) -> None:
        if self.agent is not None:
            self.note("AUDIT")
            self._lives(plan, self._audit(self.agent))

    async def _audit(self, agent: Agent) -> None:
        agent._node.audit()

    def settle(self) -> None:
        """Let the watcher see what has happened."""
        self.loop.run_until_complete(self._settle())

    async def _settle(self) -> None:
        for _ in range(_SPINS):
            await asyncio.sleep(0)

    def _lives(self, plan: Mapping[int, str] | None, coroutine: Coroutine[Any, Any, Any]) -> bool:
        self._plan = {self.moments + number: fault for number, fault in (plan or {}).items()}
        try:
            self.loop.run_until_complete(coroutine)
        except Killed:
            self.kill_agent()
            self.note("AGENT was killed")
            return False
        finally:
            self._plan = {}
            if self._cut is not None:
                choice, self._cut = self._cut, None
                self.power_cut(choice)
        return True

    def _stop_watcher(self) -> None:
        if self._watcher is not None:
            task, self._watcher = self._watcher, None
            task.cancel()
            self.loop.run_until_complete(asyncio.gather(task, return_exceptions=True))

    # --- moments

    _cut: int | None = None

    def _disk_moment(self, label: str, change: Any) -> Any:
        return self._moment(label, change, changes=True)

    def _moment(self, label: str, change: Any, *, changes: bool) -> Any:
        """One step of the agent, with what may happen just before or after it."""
        if self._dead:
            raise Killed
        self.moments += 1
        fault = self._plan.pop(self.moments, "")
        self._before(fault)
        result = change()
        if changes:
            self.note(f"{self.moments}. {label}")
            self.changes.append(label)
            self._look()
        if fault == "kill after":
            self._dead = True
            raise Killed
        return result

    def _before(self, fault: str) -> None:
        if self._late is not None and self.moments >= self._late[0]:
            self.haproxy.worker, self._late = self._late[1], None
            self.note("HAPROXY: the other worker takes over")
            self._covered.clear()
        if fault:
            self.note(f"{self.moments}: {fault}")
        if fault in {"kill before", "power cut"}:
            self._dead = True
            self._cut = self.moments if fault == "power cut" else None
            raise Killed
        if fault == "haproxy stops":
            self.stop_haproxy()
        elif fault == "haproxy restarts":
            self.start_haproxy()
        elif fault.endswith("foreign reload") and self.haproxy.worker is not None:
            old = self.haproxy.worker
            self.haproxy.reload(self.disk.files)
            if fault.startswith("late"):
                assert self.haproxy.worker is not None
                self._late = (self.moments + _LATE, self.haproxy.worker)
                self.haproxy.worker = old
            else:
                self._look()

    async def _exchange(
        self, _path: str, request: bytes, *, half_close: bool = False, **_: Any
    ) -> str:
        text = request.decode()
        verb = text.partition("<<")[0].split(";")[0].strip()

        def answer() -> str:
            if self.haproxy.worker is None:
                raise NoAnswer("the socket does not answer")
            if not half_close:
                return self.haproxy.answer(text)
            return (
                self.haproxy.reload(self.disk.files)
                if verb == "reload"
                else self.haproxy.processes()
            )

        changing = not verb.startswith("show")
        return cast("str", self._moment(verb, answer, changes=changing))

    async def _probe(self, target: str | tuple[str, int], name: str | None, _: object) -> Seen:
        bind = target if isinstance(target, str) else f"{target[0]}:{target[1]}"

        def look() -> Seen:
            worker = self.haproxy.worker
            leaf = worker.shows(bind, name) if worker is not None else None
            if worker is None or leaf is None:
                raise HandshakeFailed("unrecognized name")
            pid = worker.pid if isinstance(target, str) else None
            return Seen(fingerprint=leaf.sha256, pid=pid)

        return cast("Seen", self._moment(f"probe {name}", look, changes=False))

    async def _connect(self, host: str, port: int, **_: Any) -> Any:
        worker = self.haproxy.worker
        if worker is None or f"{host}:{port}" not in worker.plain:
            raise OSError("refused")

        class Writer:
            class transport:  # noqa: N801 - an attribute of StreamWriter
                abort = staticmethod(lambda: None)

        return None, Writer

    # --- what must hold after every effect

    def _look(self) -> None:
        self._check_disk()
        self._check_pairs()
        self._check_covered()

    def _check_disk(self) -> None:
        self.seen_files(self.disk.files)
        if "DiskLoadable" not in self._watch:
            return
        said = self.starts_from(self.disk.files)
        if said:
            self.violated("DiskLoadable", said)

    def starts_from(self, files: Mapping[str, bytes]) -> str:
        """Empty if HAProxy starts from them, else why not."""
        name = digest(files)
        if name not in self._loaded:
            try:
                self._loaded[name] = load(files, str(self.root), 0)
            except WillNotStart as error:
                return str(error)
        return ""

    def _check_pairs(self) -> None:
        for name, content in self.disk.files.items():
            if name.startswith("certs/") and content not in self._pairs:
                self.violated("PairAtomic", f"{name} is no pair that was offered")

    def _check_covered(self) -> None:
        worker = self.haproxy.worker
        if worker is None:
            return
        now = self.clock.now()
        names = self._all_names()
        shows = self._shows(names)
        for name, leaf in shows.items():
            self._seen.setdefault(name, set()).add(leaf.sha256)
        valid = {
            name: leaf
            for name, leaf in shows.items()
            if leaf.is_valid(now) and (name[1] is None or name[1] in leaf.names)
        }
        lost = {
            name
            for name, leaf in self._covered.items()
            if name in names and name not in valid and leaf.is_valid(now)
        }
        if lost - self._omitted:
            self.violated("NeverUncovered", f"{sorted(map(str, lost - self._omitted))}")
        self._covered = valid

    def _shows(self, names: Collection[Name]) -> dict[Name, Leaf]:
        worker = self.haproxy.worker
        if worker is None:
            return {}
        found = {
            (port, name): worker.shows(f"{self.root}/proof-{port}.sock", name or "nobody.example")
            for port, name in names
        }
        return {name: leaf for name, leaf in found.items() if leaf is not None}

    def _all_names(self) -> frozenset[Name]:
        return frozenset(name for one in self._asked.values() for name in _names(one))

    # --- what must hold after a report

    def is_served(self, manifest: Manifest, source: str | None) -> bool:
        """Whether the operator would say so from the Lease, as `frontends.progress` asks."""
        revisions = {manifest_name(manifest.frontend), *([bundle_name(source)] if source else ())}
        if not revisions <= self.api.secrets.keys():
            return False
        wanted = max(int(self.api.secrets[one]["metadata"]["resourceVersion"]) for one in revisions)
        lease = node_lease(
            "haproxy",
            {
                "metadata": {
                    "name": "haproxy.node-1",
                    "annotations": {ANNOTATION: self.lease.annotation},
                },
                "spec": {"renewTime": to_text(self.clock.now()), "leaseDurationSeconds": 15},
            },
        )
        assert lease is not None
        return served(
            [lease],
            resource_version=str(wanted),
            secrets=revisions,
            min_nodes=1,
            now=self.clock.now(),
        ).served

    def _check_watermark(self) -> None:
        for manifest in self.manifests.values():
            for certificate in manifest.certificates:
                source = _source(certificate.bundle)
                if source not in self.bundles or not self.is_served(manifest, source):
                    continue
                expected = shown(source, self.bundles[source])
                for name in certificate.hostnames:
                    if expected not in self._seen.get((manifest.port, name), ()):
                        self.violated(
                            "WatermarkSound",
                            f"{name} on {manifest.port} was never shown with {source}",
                        )
            if manifest.disabled and self.is_served(manifest, None):
                self._check_released(manifest)

    def _check_released(self, manifest: Manifest) -> None:
        claimed = self._all_names()
        for port in PORTS:
            for name in _OF_FRONTEND[manifest.frontend]:
                if (port, name) not in claimed and (port, name) in self._shows([(port, name)]):
                    self.violated("WatermarkSound", f"{name} on {port} is served after its release")

    # --- what must hold at the end

    def converge(self) -> None:
        """When all faults are over, the node gets to where the manifests ask it to be."""
        self.note("--- all faults are over")
        self.outage(None)
        if self.haproxy.worker is None or self.haproxy.jammed:
            self.start_haproxy()
        for _ in range(4):
            if not self.one_pass():
                raise AssertionError("no fault was planned")
            self.clock.advance(61)
            self.audit()
        self._check_converged()
        self._check_quiet()

    def _check_converged(self) -> None:
        if "Convergence" not in self._watch:
            return
        worker = self.haproxy.worker
        assert worker is not None
        now = self.clock.now()
        for manifest in self.manifests.values():
            for certificate in manifest.certificates:
                source = _source(certificate.bundle)
                offered = leaf_of(pem_of(source, self.bundles.get(source, "")))
                if offered is None or not offered.is_valid(now):
                    continue
                for name in certificate.hostnames:
                    leaf = self._shows([(manifest.port, name)]).get((manifest.port, name))
                    if leaf is None or leaf.sha256 != offered.sha256:
                        self.violated("Convergence", f"{name} is not served with {source}")
                if not self.is_served(manifest, source):
                    self.violated("Convergence", f"{source} is served and not told so")
        if worker.transaction is not None:
            self.violated("Convergence", "a transaction is open")
        self._check_surplus(worker)

    def _check_surplus(self, worker: Worker) -> None:
        wanted = {name for name in self._all_names() if name[1] is not None}
        # A manifest that vanished before its release was read is served on.
        gone = self._asked.keys() - self.manifests.keys()
        spared = {DEFAULT_NAME, *(name for one in gone for name in _OF_FRONTEND[one])}
        for port in PORTS:
            bind = worker.binds.get(f"{self.root}/proof-{port}.sock")
            lines = worker.lists[bind.crt_list] if bind is not None else ()
            for name in {name for line in lines for name in line.names}:
                if (port, name) not in wanted and name not in spared:
                    self.violated("Convergence", f"{name} on {port} is served, asked by none")
        disk = load(self.disk.files, str(self.root), 0)
        for file, lines in disk.lists.items():
            held = sorted(line.text for line in worker.lists.get(file, ()))
            if held != sorted(line.text for line in lines):
                self.violated("Convergence", f"{file} differs between disk and memory")
        for path, leaf in disk.store.items():
            if worker.store.get(path) != leaf:
                self.violated("Convergence", f"{path} differs between disk and memory")
        if set(worker.store) != set(disk.store):
            self.violated("Convergence", "memory holds certificates that the disk does not name")

    def _check_quiet(self) -> None:
        if "Quiescence" not in self._watch:
            return
        told, before = self.lease.annotation, len(self.changes)
        for restart in (False, True):
            if restart:
                self.start_agent()
            self.audit()
            self.one_pass()
            self.one_pass()
            if self.changes[before:]:
                self.violated("Quiescence", f"at rest: {self.changes[before:]}")
            if self.lease.annotation != told:
                self.violated("Quiescence", f"reported anew: {self.lease.annotation}")


_OF_FRONTEND: Final = {
    "shop/one": ("a.example", "b.example"),
    "shop/two": ("c.example",),
    "shop/three": ("d.example",),
}
_SOURCES: Final = {bundle_name(source): source for source in SOURCES}


def _source(name: str) -> str:
    return _SOURCES[name]


def pem_of(source: str, kind: str) -> bytes:
    if not kind:
        return b""
    try:
        return from_secret(bundle(source, kind)["data"]).pem
    except handover.InvalidHandover:
        return b""


def _names(manifest: Manifest) -> set[Name]:
    if manifest.disabled:
        return set()
    names: set[Name] = {
        (manifest.port, name) for one in manifest.certificates for name in one.hostnames
    }
    return names | ({(manifest.port, None)} if manifest.default_bundle else set())


def _brief(manifest: Manifest) -> str:
    if manifest.disabled:
        return "released"
    held = [f"{_source(c.bundle)} for {','.join(c.hostnames)}" for c in manifest.certificates]
    default = f", default {_source(manifest.default_bundle)}" if manifest.default_bundle else ""
    return f"{manifest.port}: {'; '.join(held)}{default}"
