"""Drives the product's own pass over a Certificate: a coroutine that stops at every call.

A coroutine cannot be copied, so a pass is a log: what it began with, and what every call was
answered. `Passes` replays a log to know which call comes next, once for each log.

The reconcilers, the order's decisions and driver, the store, the wake-ups and the watch handler are
the product's; the API client, the CA's session, the queue and the clock are the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from unittest import mock

from certfront.engine.keys import Key
from certfront.engine.results import Retry
from certfront.engine.runner import current_key
from certfront.handlers import watches
from certfront.issuance.acme import driver as drivers
from certfront.issuance.acme.driver import OrderDriver
from certfront.issuance.acme.order import View
from certfront.issuance.acme.problems import (
    PREFIX,
    AcmeProblem,
    CaUnreachable,
    Operation,
    Problem,
)
from certfront.kube import errors
from certfront.kube.patches import merge_difference
from certfront.kube.resources import EVENTS
from certfront.model.settings import Settings
from certfront.pki import keys
from certfront.reconcilers.accounts import Account
from certfront.reconcilers.certificates import CertificateReconciler
from certfront.reconcilers.context import Context
from certfront.reconcilers.orders import OrderReconciler
from certfront.reconcilers.stores import new_store
from certfront.reconcilers.targets import Targets
from tests.model import authority
from tests.model.state import (
    NAMESPACE,
    OBJECTS,
    SITE,
    Call,
    Event,
    Object,
    Raised,
    Where,
    moment,
)

KEY = Key("Certificate", NAMESPACE, SITE)
MOST_RUNNING = 20_000
SETTINGS = Settings(documentation_url="https://docs")
ISSUER: Object = {
    "apiVersion": "certfront.io/v1alpha1",
    "kind": "Issuer",
    "metadata": {"name": "ca", "namespace": NAMESPACE, "uid": "issuer", "resourceVersion": "1"},
    "spec": {
        "type": "ACME",
        "acme": {
            "directoryURL": "https://ca.example/dir",
            "solvers": [{"http01": {"route": "External"}}],
        },
    },
    "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}]},
}


class Memory(NamedTuple):
    """What a process remembers between passes."""

    holder: str
    store: tuple[tuple[Where, int], ...]
    started: tuple[tuple[str, frozenset[str]], ...] = ()
    not_before: tuple[tuple[str, tuple[float, Any]], ...] = ()


class Node(NamedTuple):
    """Where a pass is after its log: at a call, or at its end."""

    call: Call | None
    memory: Memory | None = None
    woken: bool = False
    delay: float | None = None
    failed: str = ""


class _Ask:
    def __init__(self, call: Call) -> None:
        self._call = call

    def __await__(self) -> Generator[Call, Any, Any]:
        return (yield self._call)


class _Asked(BaseException):
    """What a blocking function of the product asks the CA for."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _Clock:
    def __init__(self) -> None:
        self.seconds = 0

    def now(self) -> datetime:
        return moment(self.seconds)

    def monotonic(self) -> float:
        return float(self.seconds)


class _Queue:
    def __init__(self) -> None:
        self.woken = False

    def add(self, key: Key, *_: Any) -> None:
        self.woken = self.woken or key == KEY


class _Domains:
    @asynccontextmanager
    async def bounded(self, _domain: str, **_: Any) -> Any:
        yield


class _Client:
    """As much of the API client as a pass over a Certificate uses; every call is a stop."""

    clock_offset = timedelta(0)

    async def get(self, resource: Any, _namespace: str | None, name: str) -> Object:
        return cast("Object", await _Ask(Call("api", "get", (resource.kind, name))))

    async def create(self, resource: Any, body: Mapping[str, Any]) -> Object:
        if resource is EVENTS:
            return dict(body)
        args = (resource.kind, body["metadata"]["name"], OBJECTS.number(body))
        return cast("Object", await _Ask(Call("api", "create", args)))

    async def apply(self, resource: Any, body: Mapping[str, Any], *, force: bool) -> Object:
        args = (resource.kind, body["metadata"]["name"], OBJECTS.number(body), force)
        return cast("Object", await _Ask(Call("api", "apply", args)))

    async def patch_status(
        self,
        resource: Any,
        _namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None,
        status: Mapping[str, Any],
        previous: Mapping[str, Any],
    ) -> Object:
        patch = OBJECTS.number(merge_difference(previous, status))
        args = (resource.kind, name, uid, resource_version, patch)
        answer = await _Ask(Call("api", "status", args))
        # As the real client does: the server ignores a uid in a patch of a custom resource.
        if answer["metadata"]["uid"] != uid:
            raise errors.Conflict(409, "Conflict", "the object is another one of the same name")
        return cast("Object", answer)

    async def delete(
        self,
        resource: Any,
        _namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        await _Ask(Call("api", "delete", (resource.kind, name, uid, resource_version)))


class _Session:
    """The CA, as `Session` is to the driver: each method says what it would send."""

    def __init__(self) -> None:
        self.need = ""

    def new_order(self, names: tuple[str, ...], _ips: tuple[str, ...], **_: Any) -> Any:
        raise _Asked(Call("ca", "newOrder", (self.need, names)))

    def read_order(self, url: str) -> Any:
        raise _Asked(Call("ca", "readOrder", (url,)))

    def read_authorization(self, url: str) -> Any:
        raise _Asked(Call("ca", "readAuthorization", (url,)))

    def start_challenge(self, url: str) -> Any:
        raise _Asked(Call("ca", "start", (url,)))

    def finalize(self, order: Any, csr: bytes) -> Any:
        args = (self.need, order.url, authority.public_key_of_request(csr))
        raise _Asked(Call("ca", "finalize", args))

    def download(self, url: str) -> Any:
        raise _Asked(Call("ca", "download", (url,)))


class _Worker:
    """The account's worker: where a function asks the CA, the pass stops there."""

    def __init__(self, session: _Session) -> None:
        self.session = session

    async def call(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except _Asked as asked:
            call = asked.call
        return await _Ask(call)


class _Driver(OrderDriver):
    """The product's driver; the session learns for which need it asks."""

    async def advance(self, view: View, *rest: Any) -> drivers.Outcome:
        self._worker.session.need = view.attempt.need if view.attempt else ""  # type: ignore[attr-defined] # the model's
        return await super().advance(view, *rest)


class _Accounts:
    def __init__(self, account: Account) -> None:
        self._account = account

    async def open(self, _issuer: Any, **_: Any) -> Account:
        return self._account


def _making_a_key(*_: Any) -> Any:
    raise _Asked(Call("ca", "makeKey", ()))


def _error(raised: Raised) -> Exception:
    match raised.name:
        case "NotFound":
            return errors.NotFound(404, "NotFound", "")
        case "Conflict":
            return errors.Conflict(409, "Conflict", "")
        case "AlreadyExists":
            return errors.AlreadyExists(409, "AlreadyExists", "")
        case "Invalid":
            return errors.Invalid(422, "Invalid", "")
        case "Unreachable":
            return errors.Unreachable(0, "", "no answer")
        case "CaUnreachable":
            return CaUnreachable("no answer")
        case "Lost":
            problem = Problem(type=PREFIX + "malformed", detail="no such order", status=404)
            return AcmeProblem(problem, operation=Operation(raised.text), status=404)
        case "orderNotReady":
            problem = Problem(type=PREFIX + "orderNotReady", detail="not ready", status=403)
            return AcmeProblem(problem, operation=Operation.FINALIZE, status=403)
    raise AssertionError(raised)


class _Process:
    """A process of the operator, brought back from its memory."""

    def __init__(self, memory: Memory) -> None:
        self.clock = _Clock()
        self.queue = _Queue()
        self.holder = memory.holder
        self.store, indices = new_store(SETTINGS)
        self.store.upsert("Issuer", ISSUER)
        self.store.upsert("Namespace", {"metadata": {"name": NAMESPACE, "uid": "namespace"}})
        for (kind, _), number in memory.store:
            self.store.upsert(kind, OBJECTS[number])
        self.context = Context(
            client=cast("Any", _Client()),
            store=self.store,
            indices=indices,
            queue=cast("Any", self.queue),
            clock=self.clock,
            settings=SETTINGS,
            domains=cast("Any", _Domains()),
            executor=cast("Any", None),
        )
        session = _Session()
        self.driver = _Driver(cast("Any", _Worker(session)), self.clock)
        self.driver._started.update(memory.started)
        self.driver._not_before.update(memory.not_before)
        account = Account(
            url="https://ca.example/me",
            session=cast("Any", session),
            worker=cast("Any", self.driver._worker),
            driver=self.driver,
        )
        orders = OrderReconciler(self.context, cast("Any", _Accounts(account)))
        orders._holder = memory.holder
        self.reconciler = CertificateReconciler(self.context, orders, Targets(self.context))

    def hear(self, event: Event) -> None:
        watches.observe(self.context, event.kind, event.type, OBJECTS[event.obj])

    def memory(self) -> Memory:
        held = [
            ((kind, obj["metadata"]["name"]), OBJECTS.number(obj))
            for kind in ("Certificate", "Secret")
            for obj in self.store.items(kind)
        ]
        return Memory(
            holder=self.holder,
            store=tuple(sorted(held)),
            started=tuple(sorted(self.driver._started.items())),
            not_before=tuple(sorted(self.driver._not_before.items(), key=lambda item: item[0])),
        )


class Passes:
    """Every pass that was seen, by its log; and every memory, by number."""

    def __init__(self) -> None:
        self.memories: list[Memory] = []
        self._memory_numbers: dict[Memory, int] = {}
        self._logs: list[tuple[int, Any]] = [(0, None)]
        self._log_numbers: dict[tuple[int, Any], int] = {}
        self._nodes: dict[int, Node] = {}
        self._running: dict[int, tuple[_Process, Any]] = {}
        self._heard: dict[tuple[int, Event, int], tuple[int, bool]] = {}

    @property
    def count(self) -> int:
        """How many different beginnings of passes were run."""
        return len(self._nodes)

    def remember(self, memory: Memory) -> int:
        """The number of a memory."""
        found = self._memory_numbers.get(memory)
        if found is None:
            found = self._memory_numbers[memory] = len(self.memories)
            self.memories.append(memory)
        return found

    def begin(self, memory: int, now: int) -> int:
        """The log of a pass that begins."""
        return self._log(0, ("begin", memory, now))

    def answered(self, log: int, answer: Any, now: int) -> int:
        """The log with the answer to its call: a value, `Raised`, or the number of an object."""
        return self._log(log, ("answer", answer, now))

    def told(self, log: int, event: Event, now: int) -> int:
        """The log with a watch event in the middle of the pass."""
        return self._log(log, ("event", event, now))

    def hear(self, memory: int, event: Event, now: int) -> tuple[int, bool]:
        """Memory after a watch event between passes, and whether a pass is due for it."""
        key = (memory, event, now)
        found = self._heard.get(key)
        if found is None:
            process = _Process(self.memories[memory])
            process.clock.seconds = now
            process.hear(event)
            found = (self.remember(process.memory()), process.queue.woken)
            self._heard[key] = found
        return found

    def at(self, log: int) -> Node:
        """Where the pass with this log is."""
        found = self._nodes.get(log)
        if found is None:
            found = self._nodes[log] = self._continued(log)
        return found

    def _log(self, parent: int, entry: Any) -> int:
        key = (parent, entry)
        found = self._log_numbers.get(key)
        if found is None:
            found = self._log_numbers[key] = len(self._logs)
            self._logs.append(key)
        return found

    def _entries(self, log: int) -> list[Any]:
        found = []
        while log:
            log, entry = self._logs[log]
            found.append(entry)
        return found[::-1]

    def _continued(self, log: int) -> Node:
        """The pass one entry further: where it stands there already it goes on, else it is replayed."""
        parent, entry = self._logs[log]
        running = self._running.pop(parent, None)
        entries = [entry]
        if running is None:
            (_, memory, now), *entries = self._entries(log)
            process = _Process(self.memories[memory])
            process.clock.seconds = now
            running = (process, process.reconciler.reconcile(KEY))
            entries = [("begin", None, now), *entries]
        token = current_key.set(KEY)
        try:
            with mock.patch.object(keys, "generate", _making_a_key):
                node = _run(*running, self._call_of(parent), entries)
        finally:
            current_key.reset(token)
        if node.call is not None:
            self._running[log] = running
            if len(self._running) > MOST_RUNNING:
                self._running.pop(next(iter(self._running)))[1].close()
        return node

    def _call_of(self, log: int) -> Call | None:
        return self._nodes[log].call if log in self._nodes else None


def _run(process: _Process, pass_: Any, call: Call | None, entries: Iterable[Any]) -> Node:
    delay: float | None = None
    failed = ""
    try:
        for what, value, now in entries:
            process.clock.seconds = now
            if what == "event":
                process.hear(value)
            elif isinstance(value, Raised):
                call = pass_.throw(_error(value))
            elif what == "begin":
                call = pass_.send(None)
            else:
                call = pass_.send(OBJECTS[value] if isinstance(value, int) else value)
        return Node(call)
    except StopIteration as end:
        delay = end.value.delay
    except Retry as retry:
        delay = retry.delay or 0.0
    except errors.Conflict:
        delay = 0.0
    except (errors.ApiError, CaUnreachable):
        delay = 2.0
    except Exception as error:  # noqa: BLE001 - a defect that the search reports
        failed = repr(error)
    return Node(None, process.memory(), process.queue.woken, delay, failed)
