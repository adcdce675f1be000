"""A stage for the contract: one provider at its emulator, a driver for it, and a watcher beside them.

The watcher looks after every single call, and whenever the time moves, at what a client would be
shown: a hostname that was served with a valid certificate once stays so until nobody wants it. It
counts the changes that are under way at once, and reads every error, log line and representation for
keys and credentials. What it saw is judged when the stage is left, in every test.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Literal

from aiohttp import web

from certfront.loadbalancers.errors import ProviderError
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.protocol import Binding, Listener, Memory, Operation, Plan, Wish
from certfront.loadbalancers.registry import KINDS
from certfront.model.loadbalancer import LoadBalancerSpec
from certfront.model.meta import ObjectName
from sandbox.emulators.server import Emulator, Fault, Running, StoppedClock, serving
from sandbox.emulators.tls import Offer
from tests.contract import material
from tests.contract.driver import MAIN, Driver, environment
from tests.contract.material import START, frontend, plain
from tests.unit.pki import builders as pki

INSTALLATION = "test-installation"
_YIELDS = 3


class Adapter(ABC):
    """What the scenarios must know of a provider; `known` is by the name of the test."""

    kind: ClassVar[str]
    name: ClassVar[str]
    one_certificate: ClassVar[bool] = False
    """Whether a listener has one certificate only."""
    removes: ClassVar[bool] = True
    """Whether the provider's API can remove a certificate."""
    reads: ClassVar[bool] = True
    """Whether it can be read back."""
    own_listeners: ClassVar[bool] = True
    """Whether listeners are made by the provider's API."""
    second_port: ClassVar[int] = 443
    """Where the listener of another frontend is."""
    skips: ClassVar[Mapping[str, str]] = {}
    """By what a test needs (its mark `needs`), why there is none of it."""
    known: ClassVar[Mapping[str, str]] = {}
    """Tests that fail for a reason that is known and not mended yet."""
    install: ClassVar[Sequence[str]] = ()
    rotation: ClassVar[Sequence[str]] = ()
    """The changing calls of one install and of one rotation, in order."""
    exact: ClassVar[Mapping[str, Any]] = {}
    """Options of the emulator with which no call has to be repeated."""
    credentials: ClassVar[Mapping[str, bytes]]
    wrong_credentials: ClassVar[Mapping[str, bytes]]

    @abstractmethod
    def emulator(self, clock: StoppedClock, fronts: Mapping[int, int], **options: Any) -> Emulator:
        """A stand-in whose ports are served at those that `fronts` maps them to."""

    @abstractmethod
    def spec(self, url: str, fronts: Mapping[int, int]) -> LoadBalancerSpec:
        """The LoadBalancer."""

    @abstractmethod
    def listener(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        """A plain HTTPS listener as the provider has it."""

    @abstractmethod
    def is_change(self, method: str, name: str) -> bool:
        """Whether a call (its method, and its name in the journal) changes anything."""

    @abstractmethod
    def certificates(self, snapshot: Any) -> list[str]:
        """The fingerprint of each of our certificates that is stored, plain; one twice is twice."""

    @abstractmethod
    def seed(self, emulator: Any) -> None:
        """Have somebody else's objects there."""

    @abstractmethod
    def foreign(self, snapshot: Any) -> Any:
        """Somebody else's objects, to be compared."""

    @abstractmethod
    def forget_certificate(self, emulator: Any, snapshot: Any) -> None:
        """Delete our only certificate behind our back, from wherever it is used."""

    def label(self, method: str, name: str) -> str:  # noqa: ARG002 - for subclasses
        """How a call is written in `install` and `rotation`."""
        return name

    def forget_listener(self, emulator: Any, snapshot: Any) -> None:
        """Delete our only listener behind our back."""
        raise NotImplementedError

    def change_listener(self, emulator: Any, snapshot: Any) -> None:
        """Change our only listener behind our back."""
        raise NotImplementedError

    def set_quota(self, emulator: Any, more: int) -> None:
        """Let so many more certificates in."""
        raise NotImplementedError

    def raise_quota(self, emulator: Any) -> None:
        """Let many more in."""
        self.set_quota(emulator, 100)

    def add_listener(self, emulator: Any) -> None:
        """Have somebody else's listener where ours would be, and no certificate of ours."""
        raise NotImplementedError

    def second(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        """A listener of another frontend on the same service, asked after the first."""
        return self.listener(name, *bindings, **{"age": 0, "port": self.second_port, **changes})

    def offers(self, offers: Iterable[Offer], port: int, fronts: Mapping[int, int]) -> list[Offer]:
        """Those of a listener's port."""
        return [one for one in offers if one.tls and one.port == fronts.get(port, port)]

    def throttled(self, seconds: int, name: str) -> Fault:  # noqa: ARG002 - for subclasses
        """How this API asks for a pause in its answer to a call."""
        return Fault(status=429, headers={"Retry-After": str(seconds)})

    def pause(self, seconds: int) -> float:
        """How long the pause is then: as asked for."""
        return float(seconds)

    def in_use(self, name: str) -> Fault | None:
        """How this API refuses a call that removes what is in use; None where it never does."""
        raise NotImplementedError

    def removes_certificate(self, name: str) -> bool:
        """Whether a changing call removes a certificate."""
        raise NotImplementedError


def listener(
    name: str,
    *bindings: Binding,
    age: int = 1,
    port: int = 443,
    **changes: Any,
) -> Listener:
    """What adapters build theirs on; the older of two is asked first."""
    return Listener(
        frontend=frontend(name),
        created=START.replace(hour=0, minute=0, second=0) - age * pki.DAY,
        hostnames=tuple(dict.fromkeys(host for one in bindings for host in one.hostnames)),
        port=port,
        bindings=bindings,
        **changes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A call as it comes in: its place among all, and among those that change something."""

    number: int
    change: int | None
    method: str
    name: str


class Gate:
    """Stands before the emulator: decides what happens to a call, before armed faults do.

    `decide` is asked for every call. When `closed` nothing gets through: the process that calls is
    dead.
    """

    def __init__(self, running: Running, adapter: Adapter) -> None:
        self._take = running.faults.take
        self._adapter = adapter
        self._count = self._changes = 0
        self.decide: Callable[[Arrival], Fault | None] | None = None
        self.closed = False
        running.faults.take = self.take  # type: ignore[method-assign]  # in front of it

    def take(self, method: str, path: str, name: str) -> list[Fault]:
        """What happens to this call."""
        if self.closed:
            return [Fault(kind="reset")]
        is_change = self._adapter.is_change(method, name)
        arrival = Arrival(
            number=self._count,
            change=self._changes if is_change else None,
            method=method,
            name=name,
        )
        self._count += 1
        self._changes += is_change
        decided = self.decide(arrival) if self.decide is not None else None
        return [decided] if decided is not None else self._take(method, path, name)

    def reset(self) -> None:
        """Count from nothing, and let everything through."""
        self._count = self._changes = 0
        self.decide = None
        self.closed = False


class Watch:
    """Looks at what clients are shown, all the time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._interest: set[tuple[int, str]] = set()
        self._proven: set[tuple[int, str]] = set()
        self.violations: list[str] = []
        self.last = "the start"
        self.looks = 0

    def follow(self, wish: Wish) -> None:
        """From now on these are wanted; of frontends that stay, what was wanted before."""
        kept = {
            (one.port, host)
            for one in self._stage.driver.wish.listeners
            if one.frontend in wish.staying
            for host in one.hostnames
        }
        self._interest = kept | {
            (one.port, host) for one in wish.listeners for host in one.hostnames
        }
        self._proven &= self._interest

    def forgive(self) -> None:
        """What is served now is not so by our doing: begin anew."""
        self._proven.clear()

    def look(self) -> None:
        """Compare with what was served before."""
        self.looks += 1
        offers = list(self._stage.original_offers())
        now = self._stage.clock.now()
        for port, host in self._interest:
            served = self._stage.shown(host, port, offers)
            good = bool(served) and all(material.is_valid_for(one, host, now) for one in served)
            if good:
                self._proven.add((port, host))
            elif (port, host) in self._proven:
                self._proven.discard((port, host))
                self.violations.append(f"after {self.last}: {host}:{port} is not served any more")


@dataclass(kw_only=True)
class Stage:
    """An emulated provider with everything around it. Tests call `want` and look at the rest."""

    adapter: Adapter
    running: Running
    clock: StoppedClock
    fronts: Mapping[int, int]
    spec: LoadBalancerSpec
    original_offers: Callable[[], Iterable[Offer]]
    driver: Driver = field(init=False)
    watch: Watch = field(init=False)
    gate: Gate = field(init=False)
    under_way: int = 0
    most_under_way: int = 0
    slow: float = 0.0
    told: list[str] = field(default_factory=list)
    expected_failures: bool = False
    _opened: list[Any] = field(default_factory=list)
    marked: int = 0
    _behind: dict[ObjectName, Memory] = field(default_factory=dict)
    installation: str = INSTALLATION
    load_balancer: ObjectName = MAIN

    @property
    def emulator(self) -> Any:
        """The emulator itself."""
        return self.running.emulator

    def snapshot(self) -> Any:
        """Its state."""
        return self.emulator.snapshot()

    # --- the process

    def build(self, credentials: Mapping[str, bytes] | None = None) -> Any:
        """A provider as a fresh process makes it. Raises what `ProviderKind.build` does."""
        made = KINDS[self.adapter.kind].build(
            self.spec,
            credentials or self.adapter.credentials,
            environment(
                self.clock, installation=self.installation, load_balancer=self.load_balancer
            ),
        )
        self._opened.append(made)
        return made

    def start(
        self,
        *,
        credentials: Mapping[str, bytes] | None = None,
        memory: Mapping[ObjectName, Memory] | None = None,
        installation: str = INSTALLATION,
        load_balancer: ObjectName = MAIN,
    ) -> None:
        """Another process begins with no more than `memory` (that of status)."""
        self.installation, self.load_balancer = installation, load_balancer
        held = dict(memory or {})
        self.driver = Driver(
            provider=self.build(credentials),
            wish=Wish(now=self.clock.now(), memory=held),
            time=self.clock,
            on_operation=self._before,
        )
        self._behind = dict(held)

    def restart(self, *, behind: bool = False, **more: Any) -> None:
        """A new process with what status remembers; `behind`: the last write was not done."""
        former = self.driver
        memory = self._behind if behind else former.memory
        self.start(memory=memory, **more)
        self.driver.wish = replace(former.wish, memory=dict(memory))

    def _before(self, operation: Operation[Any], observed: Any) -> None:
        self._behind = dict(self.driver.memory)
        self.watch.last = operation.key
        self.told += [repr(operation), repr(observed)]

    async def close(self) -> None:
        """End all processes."""
        for one in self._opened:
            await one.close()

    # --- what is wanted

    async def want(
        self,
        *listeners: Listener,
        releasing: Iterable[str] = (),
        staying: Iterable[str] = (),
        complete: bool = True,
        until: Callable[[Plan[Any]], bool] | None = None,
        rounds: int = 400,
    ) -> Plan[Any]:
        """Settle with these listeners; the last plan."""
        self.ask(*listeners, releasing=releasing, staying=staying, complete=complete)
        return await self.settle(until=until, rounds=rounds)

    def ask(
        self,
        *listeners: Listener,
        releasing: Iterable[str] = (),
        staying: Iterable[str] = (),
        complete: bool = True,
    ) -> None:
        """These are wanted from now on; nothing is done yet."""
        wish = Wish(
            listeners=tuple(sorted(listeners, key=lambda one: (one.created, one.frontend))),
            releasing=frozenset(map(frontend, releasing)),
            staying=frozenset(map(frontend, staying)),
            complete=complete,
            now=self.clock.now(),
        )
        self.watch.follow(wish)
        # The status of a frontend is gone with it.
        decided = {one.frontend for one in listeners} | wish.releasing | wish.staying
        if complete:
            self.driver.memory = {
                name: held for name, held in self.driver.memory.items() if name in decided
            }
        self.driver.want(wish)

    async def settle(self, **more: Any) -> Plan[Any]:
        """Go on with what is wanted; the last plan."""
        try:
            observed, plan = await self.driver.settle(**more)
        except ProviderError as error:
            self.told += [repr(error), str(error), repr(error.__cause__), repr(error.__context__)]
            raise
        finally:
            self.told += [repr(error) for error in self.driver.errors]
            self.told.append(repr(self.driver.wish))
        self.told += [repr(observed), repr(plan), repr(self.driver.memory)]
        return plan

    # --- what there is

    def shown(self, host: str, port: int = 443, offers: Sequence[Offer] | None = None) -> list[str]:
        """The chains (PEM) that clients may be shown; empty where any of them is refused."""
        offers = list(self.original_offers()) if offers is None else offers
        found: list[str] = []
        for offer in self.adapter.offers(offers, port, self.fronts):
            answer = offer.certificate(host)
            if answer is None:
                return []
            pairs = [answer] if isinstance(answer, tuple) else list(answer)
            found += [chain for chain, _ in pairs]
        return found

    def assert_serves(self, *listeners: Listener) -> None:
        """Every hostname is answered with the certificate that is bound to it, and no other."""
        for one in listeners:
            for bound in one.bindings:
                for host in bound.hostnames:
                    shown = {material.fingerprint_of_pem(pem) for pem in self.shown(host, one.port)}
                    assert shown == {plain(bound.fingerprint)}, f"{host} is shown something else"

    def assert_only(self, *bindings: Binding) -> None:
        """Of ours there are these certificates, each once."""
        found = sorted(self.adapter.certificates(self.snapshot()))
        wanted = {plain(one.fingerprint) for one in bindings}
        if self.adapter.removes:
            assert found == sorted(wanted)
        else:
            assert len(set(found)) == len(found), "a duplicate is left"
            assert wanted <= set(found)

    def assert_done(self, plan: Plan[Any], *listeners: Listener) -> None:
        """Everything that these want is there, applied, and served."""
        for one in listeners:
            outlook = plan.outlooks[one.frontend]
            assert outlook.problems == ()
            assert outlook.configured
            assert outlook.standings, f"nothing is told of {one.frontend}"
            assert all(standing.stored and standing.bound for standing in outlook.standings)
        self.assert_serves(*listeners)

    def mark(self) -> None:
        """`changes` and `calls` tell what comes after this."""
        self.marked = len(self.running.calls)

    def changes(self) -> list[str]:
        """The changing calls since the mark, as the adapter labels them."""
        return [
            self.adapter.label(one.method, one.name)
            for one in self.running.calls[self.marked :]
            if self.adapter.is_change(one.method, one.name)
        ]

    def calls(self) -> list[str]:
        """The names of all calls since the mark."""
        return [one.name for one in self.running.calls[self.marked :]]

    # --- what goes wrong

    async def killed_at(self, number: int, when: Literal["before", "after"]) -> bool:
        """Settle, and die at the call of this number, before or after it is done.

        False where there are fewer calls than that: it has settled.
        """
        dead = asyncio.Event()

        def decide(arrival: Arrival) -> Fault | None:
            if arrival.number != number:
                return None
            self.gate.closed = True
            dead.set()
            return Fault(kind="reset" if when == "before" else "lost")

        self.gate.reset()
        self.gate.decide = decide
        calls = len(self.running.calls)
        work = asyncio.create_task(self.settle())
        death = asyncio.create_task(dead.wait())
        await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
        if dead.is_set():
            while len(self.running.calls) - calls <= number:  # noqa: ASYNC110 - the journal is a list
                await asyncio.sleep(0.001)
        work.cancel()
        death.cancel()
        done = await asyncio.gather(work, death, return_exceptions=True)
        if not dead.is_set():
            self.gate.reset()
            if isinstance(done[0], BaseException):
                raise done[0]
            return False
        await self.driver.provider.close()
        self.gate.reset()
        return True

    # --- around every call

    def wrapped(self, routes: Iterable[web.RouteDef]) -> Iterator[web.RouteDef]:
        """The emulator's routes, with a look after each call."""
        for one in routes:
            yield web.RouteDef(one.method, one.path, self._around(one.handler), one.kwargs)

    def _around(self, handler: Any) -> Any:
        async def around(request: web.Request) -> web.StreamResponse:
            name = self.emulator.identify(request)
            if not self.adapter.is_change(request.method, name):
                response: web.StreamResponse = await handler(request)
                return response
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                for _ in range(_YIELDS):
                    await asyncio.sleep(self.slow)
                response = await handler(request)
            finally:
                self.under_way -= 1
                self.watch.last = name
                self.watch.look()
            return response

        return around


class WatchedClock(StoppedClock):
    """A stopped clock whose steps are looked at."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at)
        self.watch: Watch | None = None

    def advance(self, seconds: float) -> None:
        """Move the time on, and look."""
        super().advance(seconds)
        if self.watch is not None:
            self.watch.look()


@asynccontextmanager
async def staged(
    adapter: Adapter, *, open_ports: bool = False, **options: Any
) -> AsyncIterator[Stage]:
    """A stage with somebody else's objects on it; judged when it is left.

    `open_ports`: real handshakes are possible; else ports of this machine stay free.
    """
    clock = WatchedClock(START)
    fronts = {port: free_port() if open_ports else 10000 + port for port in (443, 8443, 9443)}
    emulator = adapter.emulator(clock, fronts, **options)
    original_offers = emulator.offers
    if not open_ports:
        emulator.offers = lambda: ()  # type: ignore[method-assign]  # nothing is opened
    adapter.seed(emulator)
    original_routes = list(emulator.routes())
    stages: list[Stage] = []
    emulator.routes = lambda: stages[0].wrapped(original_routes)  # type: ignore[method-assign]
    with recorded_logs() as logs:
        late = _Late()
        stage = Stage(
            adapter=adapter,
            running=late,  # type: ignore[arg-type]  # set below, before anything is called
            clock=clock,
            fronts=fronts,
            spec=LoadBalancerSpec(type=adapter.kind),  # type: ignore[arg-type]  # one of them
            original_offers=original_offers,
        )
        stages.append(stage)
        async with serving(emulator) as running:
            stage.running = running
            stage.spec = adapter.spec(running.url, fronts)
            stage.watch = clock.watch = Watch(stage)
            stage.gate = Gate(running, adapter)
            stage.start()
            before = adapter.foreign(stage.snapshot())
            assert before, "nothing of somebody else's is there"
            try:
                yield stage
            finally:
                await stage.close()
            assert stage.watch.violations == []
            assert stage.most_under_way <= 1, "two changes were under way at once"
            assert adapter.foreign(stage.snapshot()) == before
            assert_hides_secrets(adapter, [*stage.told, *logs])
            assert running.failures == []


class _Late:
    """Stands where the running emulator will."""


def assert_hides_secrets(adapter: Adapter, told: Iterable[str]) -> None:
    """No text holds a private key or a credential of the provider, or a part of one."""
    canaries = [
        *(canary.decode().strip() for canary in secret_values(adapter)),
        "PRIVATE KEY",
        *key_lines(),
    ]
    for text in told:
        for canary in canaries:
            assert canary not in text, f"a secret is shown: {_around_of(text, canary)}"


def _around_of(text: str, canary: str) -> str:
    at = text.index(canary)
    return f"{text[max(0, at - 120) : at]}…"


def secret_values(adapter: Adapter) -> list[bytes]:
    """The values of the Secret that are no names."""
    public = {"username", "applicationKey", "accessKeyID", "clientID"}
    both = (adapter.credentials, adapter.wrong_credentials)
    return [value for one in both for name, value in one.items() if name not in public]


def key_lines() -> list[str]:
    """A line of the body of each private key in the pool."""
    return [
        pki.pkcs8(material._key(number)).decode().splitlines()[3]
        for number in range(material._POOL)
    ]


@contextlib.contextmanager
def recorded_logs() -> Iterator[list[str]]:
    """What is logged by whatever is not the emulator, in full."""
    lines: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    recorder = Recorder(logging.DEBUG)
    ours, root = logging.getLogger("certfront"), logging.getLogger()
    level = ours.level
    ours.setLevel(logging.DEBUG)
    root.addHandler(recorder)
    try:
        yield lines
    finally:
        root.removeHandler(recorder)
        ours.setLevel(level)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def scope(installation: str = INSTALLATION, load_balancer: ObjectName = MAIN) -> Scope:
    """Whose marks are ours."""
    return Scope(installation=installation, load_balancer=load_balancer)
