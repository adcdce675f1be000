"""How each kind of fault of a plan is done. Afterwards the world is whole again, or heals by itself."""

import base64
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox import backup, binaries, lifecycle, operator, state
from sandbox.gate import OPEN, Effect, Rule
from sandbox.state import Node
from tests.e2e.clients import eventually
from tests.e2e.world import Tenant, is_ready
from tests.faults import checks, observing
from tests.faults.evidence import Excuse, Orders
from tests.faults.plan import DAY, Fault
from tests.faults.setting import Estate, Setting, forget, stir

EFFECT_SECONDS: Final = 8.0
"""How long is waited for an effect that may never come: everything may be done already."""

HANDOVER_SECONDS: Final = 60.0
_WRITES_IN_A_ROW: Final = 3
_POLL: Final = 0.05


class Nth:
    """A rule for the n-th effect from now on; all others pass."""

    def __init__(
        self,
        at: int,
        *,
        before: Callable[[], bool] | None = None,
        after: Callable[[], bool] | None = None,
    ) -> None:
        self._left = at
        self._before = before
        self._after = after
        self._lock = threading.Lock()
        self._chosen: Effect | None = None
        self.done = threading.Event()

    @property
    def effect(self) -> Effect | None:
        """The effect that was hit."""
        return self._chosen

    def before(self, effect: Effect) -> bool:
        """Called by the gate."""
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return True
            self._chosen = effect
        if self._before is None:
            return True
        forwarded = self._before()
        self.done.set()
        return forwarded

    def after(self, effect: Effect) -> bool:
        """Called by the gate."""
        if self._after is None or effect != self._chosen:
            return True
        answered = self._after()
        self.done.set()
        return answered


def killing(setting: Setting, fault: Fault) -> Nth:
    """A rule that kills the operator before or after the effect `fault.at`."""

    def kill() -> bool:
        setting.kill("operator")
        return False

    if fault.kind == "kill-before":
        return Nth(fault.at, before=kill)
    return Nth(fault.at, after=kill)


def post(setting: Setting, rule: Rule) -> None:
    """Let `rule` decide over the effects of the first operator."""
    for name in ("operator", "pebble"):
        setting.doors[name].rule = rule


@dataclass
class Acts:
    """Does the faults of one run, and keeps what the checks at its end must know."""

    setting: Setting
    estate: Estate
    chosen: random.Random
    audited: int
    """How far the audit log was read."""
    orders: Orders = field(default_factory=Orders)
    excuses: list[Excuse] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    idle: list[Fault] = field(default_factory=list)
    """Faults that came when there was nothing for them to hit."""

    def do(self, fault: Fault) -> None:
        """Do one fault."""
        method = getattr(self, "_" + fault.kind.replace("-", "_"))
        method(fault)

    def read_audit(self) -> None:
        """Take what the audit log has to say since the last time."""
        size = self.setting.world.audit_size()
        self.orders.read(self.setting.world.audit(self.audited))
        self.audited = size

    def stir(self) -> None:
        """Give the operator work."""
        stir(self.estate, self.chosen)

    # -- the operator is killed

    def _kill(self, fault: Fault) -> None:
        time.sleep(fault.seconds)  # the moment itself is what is tried
        self.setting.kill("operator")
        self.setting.revive()

    def _kill_before(self, fault: Fault) -> None:
        self._hits(fault, self.at_effect(killing(self.setting, fault)))
        self.setting.revive()

    _kill_after = _kill_before

    def _lose_answer(self, fault: Fault) -> None:
        self._hits(fault, self.at_effect(Nth(fault.at, after=lambda: False)))

    def _drop_request(self, fault: Fault) -> None:
        self._hits(fault, self.at_effect(Nth(fault.at, before=lambda: False)))

    def _hits(self, fault: Fault, hit: object) -> None:
        if not hit:
            self.idle.append(fault)

    def at_effect(self, rule: Nth) -> bool:
        """Wait until the rule has hit; nothing may happen any more, then it never does."""
        post(self.setting, rule)
        hit = rule.done.wait(EFFECT_SECONDS)
        post(self.setting, OPEN)
        self.setting.tell(f"    at {rule.effect}" if hit else "    no such effect came")
        return hit

    def _slow(self, fault: Fault) -> None:
        for door in self.setting.doors.values():
            door.delay = fault.amount
        self.stir()
        time.sleep(3 + fault.seconds)  # what is slow is not over at any moment in particular
        for door in self.setting.doors.values():
            door.delay = 0.0

    # -- an old leader wakes up

    def _pause_leader(self, fault: Fault) -> None:
        """The leader freezes with an effect on its way, which arrives after another has led."""
        current = operator.prepare(self.setting.state, None, "operator-2")
        state.save(current)
        self.setting.plain["operator-2"] = current.service("operator-2")
        self.setting.describe("operator-2")
        lifecycle.start(self.setting.world.name, "operator-2")
        released = threading.Event()

        def hold() -> bool:
            self.setting.signal("operator", signal.SIGSTOP)
            threading.Thread(target=held.set, daemon=True).start()
            return released.wait(HANDOVER_SECONDS)

        held = threading.Event()
        rule = Nth(max(1, fault.at // 3), before=hold)
        post(self.setting, rule)
        self.stir()
        if not held.wait(EFFECT_SECONDS):
            self._hits(fault, rule.effect)
            self.setting.signal("operator", signal.SIGSTOP)
        self.setting.doors["pebble"].rule = OPEN
        self.setting.tell(f"    frozen at {rule.effect}")
        log = Path(self.setting.state.service("operator-2").log)
        eventually(
            lambda: "leading as" in log.read_text(),
            seconds=HANDOVER_SECONDS,
            why="the second replica leads",
        )
        self.stir()
        time.sleep(2 + fault.seconds)  # the new leader is in the middle of something
        released.set()
        self.setting.signal("operator", signal.SIGCONT)
        self.setting.doors["operator"].rule = OPEN
        eventually(
            lambda: self.setting.handle("operator") is None,
            seconds=HANDOVER_SECONDS,
            why="the old leader has ended by itself",
        )
        lifecycle.stop(self.setting.world.name, "operator-2")
        forget(self.setting.world.name, "operator-2")
        log.unlink()
        self.setting.revive()

    # -- nodes

    def _kill_agent(self, fault: Fault) -> None:
        """Before the n-th write and the next ones; the directory must load after each death."""
        node = self._node(fault)
        deaths = 0
        for at in range(fault.at, fault.at + _WRITES_IN_A_ROW):
            self.setting.kill(node.agent)
            self.setting.describe(node.agent, f"--at={at}")
            self.setting.spawn(node.agent)
            self.stir()
            died = self._await_death(node.agent)
            deaths += died
            self.setting.tell(f"    {node.agent} died before write {at}: {died}")
            self.problems += loads(node)
            # HAProxy starts from whatever is on the disk.
            self.setting.kill(node.haproxy)
            lifecycle.start(self.setting.world.name, node.haproxy)
        self._hits(fault, deaths)
        self._plain_agent(node)

    def _kill_haproxy(self, fault: Fault) -> None:
        node = self._node(fault)
        victim = f"{self.setting.state.root}:{node.haproxy}"
        deaths = 0
        for at in range(fault.at, fault.at + _WRITES_IN_A_ROW):
            self.setting.kill(node.agent)
            self.setting.describe(node.agent, f"--at={at}", f"--victim={victim}")
            self.setting.spawn(node.agent)
            self.stir()
            died = self._await_death(node.haproxy)
            deaths += died
            self.setting.tell(f"    {node.haproxy} died before write {at}: {died}")
            self.problems += loads(node)
            lifecycle.start(self.setting.world.name, node.haproxy)
        self._hits(fault, deaths)
        self._plain_agent(node)

    def _kill_node(self, fault: Fault) -> None:
        node = self._node(fault)
        self.stir()
        time.sleep(fault.seconds)  # the moment itself is what is tried
        for part in (node.agent, node.haproxy):
            self.setting.kill(part)
        self.problems += loads(node)
        self.setting.revive()

    def _await_death(self, name: str) -> bool:
        deadline = time.monotonic() + EFFECT_SECONDS
        while time.monotonic() < deadline:
            if self.setting.handle(name) is None:
                return True
            time.sleep(_POLL)  # a process offers nothing else to wait on
        return False

    def _plain_agent(self, node: Node) -> None:
        self.setting.kill(node.agent)
        self.setting.describe(node.agent)
        self.setting.revive()

    def _node(self, fault: Fault) -> Node:
        nodes = self.setting.world.nodes
        return nodes[int(fault.pick * len(nodes))]

    # -- what everything stands on

    def _restart_apiserver(self, fault: Fault) -> None:
        self.stir()
        time.sleep(fault.seconds)  # the moment itself is what is tried
        self.setting.kill("apiserver")
        self.read_audit()
        self.setting.revive()
        self.orders.forget(self.setting.world.api.found("Certificate"))

    def _restart_pebble(self, fault: Fault) -> None:
        self.stir()
        time.sleep(fault.seconds)  # the moment itself is what is tried
        self.setting.kill("pebble")
        size = self._pebble_size()
        self.excuses.append(Excuse(why="Pebble forgot it", since=-1, until=size, again=size))
        self.setting.revive()
        self.setting.pebble_roots.append(self.setting.world.pebble_root)

    def _restore_copy(self, fault: Fault) -> None:
        """In a hurry: the history forks silently, under running operators and agents."""
        with self._restored(fault):
            backup.restore(self.setting.world.name, self._copy, bump=False)

    def _restore_by_runbook(self, fault: Fault) -> None:
        """docs/operations.md, Restore: with a bump, the operator adopting only at first."""
        with self._restored(fault):
            self.setting.kill("operator")
            backup.restore(self.setting.world.name, self._copy, bump=True)
            self._issuance("AdoptOnly")
            lifecycle.start(self.setting.world.name, "operator")
            self.setting.world.quiet(1.0)
            before = self._issued()
            self.stir()
            self.setting.world.quiet(1.0)
            if self._issued() != before:
                self.problems.append("something was ordered while issuance was AdoptOnly")
            lifecycle.stop(self.setting.world.name, "operator")
            self._issuance("Normal")
        self.setting.revive()

    @property
    def _copy(self) -> Path:
        return self.setting.state.root / "etcd-copy"

    @contextmanager
    def _restored(self, fault: Fault) -> Iterator[None]:
        """Take a copy of etcd, let things go on, and keep the evidence right across the restore."""
        self.setting.world.await_namespaces()
        since = self._pebble_size()
        backup.copy(self.setting.world.name, self._copy)
        self.stir()
        time.sleep(1 + 2 * fault.seconds)  # what happens now is lost
        self.read_audit()
        again = self._pebble_size()
        try:
            yield
        finally:
            excuse = Excuse(
                why="a copy before it", since=since, until=self._pebble_size(), again=again
            )
            self.excuses.append(excuse)
            # What was told until now is of the history that is lost.
            self.read_audit()
            self.orders.forget(self.setting.world.api.found("Certificate"))

    def _issuance(self, wish: str) -> None:
        files = self.setting.state.operator
        assert files is not None
        path = Path(files.config)
        settings = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**settings, "issuance": wish}))

    def _issued(self) -> int:
        return self.setting.world.log("pebble").count("Issued certificate serial")

    def _pebble_size(self) -> int:
        return len(self.setting.world.log("pebble"))

    # -- what is seen

    def _deaf_operator(self, fault: Fault) -> None:
        self._deaf(["operator"], fault)

    def _deaf_agent(self, fault: Fault) -> None:
        self._deaf([self._node(fault).agent], fault)

    def _deaf(self, names: Iterable[str], fault: Fault) -> None:
        """Everything converges while nothing is heard: lists of our own must do."""
        doors = [self.setting.doors[name] for name in names]
        before = sum(door.swallowed for door in doors)
        for door in doors:
            door.deafen()
        self.stir()
        time.sleep(fault.seconds)  # some events are swallowed, others not yet made
        self.settle(90, why="Ready although watches are deaf")
        eventually(
            lambda: not observing.unserved(self.setting, self.estate),
            seconds=30,
            why="served although watches are deaf",
        )

        def swallowed_so_far() -> int:
            return sum(door.swallowed for door in doors) - before

        if not swallowed_so_far():
            # A watch that had ended anyway: the next one must have something to swallow.
            self.stir()
            eventually(
                lambda: swallowed_so_far() > 0,
                seconds=30,
                why="a watch that has something to swallow",
            )
            self.settle(90, why="Ready although watches are deaf")
        for door in doors:
            door.hear()
        swallowed = swallowed_so_far()
        self._hits(fault, swallowed)
        self.setting.tell(f"    {swallowed} events swallowed")

    def settle(self, seconds: float, *, why: str, nudge: bool = False) -> None:
        """Wait until everything is Ready, starting what has died meanwhile.

        With `nudge` a Certificate that tells of a failure is asked for again, once.
        """
        nudged: set[str] = set()

        def settled() -> bool:
            self.setting.revive()
            if nudge:
                self._nudge(nudged)
            return not self.unready()

        eventually(settled, seconds=seconds, why=why)

    def _nudge(self, nudged: set[str]) -> None:
        for body in self.setting.world.api.found("Certificate", self.estate.namespace):
            name = body["metadata"]["name"]
            failed = (body.get("status") or {}).get("lastFailure")
            if failed and name not in nudged:
                nudged.add(name)
                self.setting.tell(f"asked again for {name} after {failed['reason']}")
                self.estate.annotate("Certificate", name, renew=f"again-{time.monotonic_ns()}")

    def unready(self) -> list[str]:
        """What is not Ready, or not as was asked for last."""
        return observing.unready(self.setting, self.estate)

    # -- people

    def _strip_label(self, fault: Fault) -> None:
        secret = self._secret(fault)
        self._patch(secret, {"metadata": {"labels": {checks.ROLE: None}}})

    def _delete_secret(self, fault: Fault) -> None:
        secret = self._secret(fault)
        metadata = secret["metadata"]
        self.setting.tell(f"    {metadata['namespace']}/{metadata['name']}")
        self.setting.world.api.delete("Secret", metadata["namespace"], metadata["name"])

    def _edit_secret(self, fault: Fault) -> None:
        """Another key in a pair, or none at all."""
        secret = self._secret(fault, own=True)
        key = base64.b64encode(self._other_key(secret) if fault.pick < 0.5 else b"edited").decode()
        self._patch(secret, {"data": {"tls.key": key}})

    def _other_key(self, secret: dict[str, Any]) -> bytes:
        for each in self.setting.world.api.found("Secret", self.estate.namespace):
            if each["type"] == secret["type"] and each["data"] != secret["data"]:
                return checks.entry(each, "tls.key")
        return b"edited"

    def _secret(self, fault: Fault, *, own: bool = False) -> dict[str, Any]:
        """A Secret that certfront has made: with `own` one of the tenant's pairs."""
        api = self.setting.world.api
        roles = "certfront.io/secret=certificate"
        found = api.found("Secret", self.estate.namespace, selector=roles)
        if not own:
            found += [
                each
                for each in api.found("Secret", "edge", selector="certfront.io/secret=bundle")
                if checks.traces([each], self.estate.namespace)
            ]
        if not found:
            self.settle(90, why="Ready, so that there are Secrets to disturb")
            return self._secret(fault, own=own)
        return found[int(fault.pick * len(found))]

    def _patch(self, secret: dict[str, Any], patch: dict[str, Any]) -> None:
        metadata = secret["metadata"]
        self.setting.tell(f"    {metadata['namespace']}/{metadata['name']}")
        self.setting.world.api.merge("Secret", metadata["namespace"], metadata["name"], patch)

    def _delete_namespace(self, fault: Fault) -> None:
        tenant = Tenant(self.setting.world)
        tenant.certificate("site", "ACME", dnsNames=[tenant.host()])
        tenant.certificate("self", dnsNames=[tenant.host("self")])
        tenant.frontend("site", ["site", "self"])
        time.sleep(2 * fault.seconds)  # the moment itself is what is tried
        tenant.remove()
        self.gone.append(tenant.namespace)

    # -- clocks

    def _clock(self, fault: Fault) -> None:
        """Nothing that is Ready is made again because a clock is wrong."""
        self.settle(120, why="Ready before the clock is moved")
        self.setting.world.quiet()
        before = self.revisions()
        name = "operator" if fault.pick < 0.6 else self._node(fault).agent
        self.setting.tell(f"    {name}: {fault.amount / DAY:+.0f} days")
        self.setting.kill(name)
        self.setting.describe(name, f"--clock={fault.amount}")
        self.setting.spawn(name)
        time.sleep(6 + fault.seconds)  # nothing happening is what is waited for
        self.problems += checks.lasting(before, self.revisions())
        self.setting.kill(name)
        self.setting.describe(name)
        self.setting.revive()

    def revisions(self) -> dict[str, int]:
        """The revisions of the Certificates that are Ready."""
        found = self.setting.world.api.found("Certificate", self.estate.namespace)
        return {
            body["metadata"]["name"]: body["status"]["revision"] for body in found if is_ready(body)
        }


def loads(node: Node) -> list[str]:
    """Whether HAProxy could start from the node's directory as it is."""
    program = str(binaries.haproxy(node.haproxy_version))
    done = subprocess.run(
        [program, "-c", "-f", node.configuration], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return []
    return [f"{node.name} could not start HAProxy: {done.stdout[-300:]}{done.stderr[-300:]}"]
