"""What is measured, in order, on a sandbox whose operator is not running yet."""

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks import ceiling, measures, sampling
from benchmarks.api import CERTIFICATES, FRONTENDS, SECRETS, Access, Api, Object, Patch, applied
from benchmarks.audit import AuditLog
from benchmarks.ceiling import Replayed
from benchmarks.errors import BenchError
from benchmarks.figures import Figures
from benchmarks.measures import Series, Writes
from benchmarks.readiness import Name, Readiness
from benchmarks.served import MANAGER, NAMESPACE, Frontend, certificate
from benchmarks.subject import LOOK_AGAIN, Subject, Usage
from sandbox.demo import setting
from sandbox.objects import OPERATOR_ACCOUNT
from sandbox.state import State

NAMESPACES = tuple(f"bench-{index}" for index in range(10))
"""The certificates are spread over these."""

UPLOADS = "bench-uploads"
USER = "system:serviceaccount:{}:{}".format(*OPERATOR_ACCOUNT)
POLLING_SECONDS = 300.0

_IN_FLIGHT = 32
_NAMESPACE = "api/v1/{namespaces}namespaces"
_OURS = "certfront.io/secret=certificate"
_SERVED_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for. `profile` is where the samples go, None for no profile."""

    certificates: int = 2000
    rounds: int = 1
    served: int = 20
    rest_seconds: float = 60.0
    uploads: int = 0
    profile: Path | None = None

    @property
    def patience(self) -> float:
        """Seconds after which a phase has failed: ten certificates a second is broken."""
        return 60.0 + self.certificates / 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """One backlog: how long it took from the first write, and what it cost."""

    seconds: float
    writes: Writes
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """One start over converged objects."""

    seconds: float
    writes: Writes
    usage: Usage


@dataclass(slots=True)
class Notes:
    """What the phases have found so far."""

    idle: Usage = field(default_factory=lambda: Usage(cpu_seconds=0.0, rss=0))
    drains: list[Drained] = field(default_factory=list)
    ceilings: list[Replayed] = field(default_factory=list)
    cold: Started | None = None
    rest: Writes = field(default_factory=Writes)
    self_signed: list[float] = field(default_factory=list)
    acme: float = 0.0
    live_seconds: float = 0.0
    live_cpu_seconds: float = 0.0
    upload_gets: int | None = None


async def run(current: State, options: Options, tell: Callable[[str], None]) -> Figures:
    """Measure everything. Raises BenchError and SandboxError."""
    if current.kubeconfigs is None or not current.audit_log:
        raise BenchError("the benchmarks need a cluster of their own: unset USE_EXISTING_CLUSTER")
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(Api(Access.read(current.kubeconfigs.admin)))
        readiness = await stack.enter_async_context(Readiness(api))
        bench = Bench(current, options, api, readiness)
        await bench.prepare()
        for index in range(options.rounds):
            tell(f"round {index + 1} of {options.rounds}: the operator drains a backlog")
            await bench.drain(profiled=index == 0)
            if index == options.rounds - 1:
                await bench.at_rest(tell)
            tell("bare clients make the same writes")
            await bench.ceiling()
        tell("certificates are applied while the operator runs")
        await bench.live()
        return figures(options, bench.notes)


class Bench:
    """The phases; each leaves the operator as the next one expects it."""

    def __init__(self, current: State, options: Options, api: Api, readiness: Readiness) -> None:
        self.notes = Notes()
        self._current = current
        self._options = options
        self._api = api
        self._readiness = readiness
        self._subject = Subject(current.name)

    async def prepare(self) -> None:
        """Make the namespaces, and see what the operator costs with nothing to do."""
        for name in (*NAMESPACES, NAMESPACE, UPLOADS):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await self._api.send(applied(_NAMESPACE, body, manager=MANAGER))
        # The first start registers the ACME account and writes the defaults' statuses.
        for _ in range(2):
            await self._subject.start()
            await self._subject.settled(0, self._options.patience)
            self.notes.idle = self._subject.usage()
            await self._subject.stop()

    async def drain(self, *, profiled: bool) -> None:
        """Apply all, then start the operator. It runs afterwards."""
        names = await self._apply_all()
        with AuditLog(self._current.audit_log) as log:
            before = await self._requests()
            await self._subject.start()
            async with AsyncExitStack() as stack:
                if profiled and self._options.profile is not None:
                    sampler = sampling.sampled(self._subject.pid, self._options.profile)
                    await stack.enter_async_context(sampler)
                ended = await self._readiness.all_ready(names, self._options.patience)
            usage = self._subject.usage()
            seconds = ended - log.first_write(USER)
        writes = measures.writes(before, await self._requests())
        self.notes.drains.append(Drained(seconds=seconds, writes=writes, usage=usage))

    async def at_rest(self, tell: Callable[[str], None]) -> None:
        """Everything that is measured over converged objects. The operator runs before and after."""
        tell("the operator starts cold over converged certificates")
        await self._cold_start()
        tell(f"nothing happens for {self._options.rest_seconds:.0f} s")
        self.notes.rest = await self._written_within(self._options.rest_seconds)
        tell("one more certificate is served on every node")
        await self._served()
        if self._options.uploads:
            tell(f"unlabelled sources are polled ({1.5 * POLLING_SECONDS:.0f} s)")
            await self._uploads()

    async def ceiling(self) -> None:
        """Replay the operator's writes without it. No certificates are left, and no operator runs."""
        await self._subject.stop()
        written = [
            (await self._api.items(CERTIFICATES, each), await self._secrets(each))
            for each in NAMESPACES
        ]
        await self._remove_all()
        fresh = {_name(obj): obj for obj in await self._applied()}
        pairs = [
            (
                ceiling.secret_patch(secrets[obj["metadata"]["name"]]),
                ceiling.status_patch(fresh[_name(obj)], obj["status"]),
            )
            for certificates, secrets in written
            for obj in certificates
        ]
        assert self._current.kubeconfigs is not None  # noqa: S101 -- run() has looked
        access = Access.read(self._current.kubeconfigs.operator)
        replayed = await asyncio.to_thread(ceiling.measure, access, pairs, self._options.patience)
        self.notes.ceilings.append(replayed)
        await self._remove_all()

    async def live(self) -> None:
        """Apply all while the operator runs; it is stopped afterwards."""
        await self._subject.start()
        await self._subject.settled(0, self._options.patience)
        before = self._subject.usage()
        started = time.time()
        names = [_name(obj) for obj in await self._applied()]
        ended = await self._readiness.all_ready(names, self._options.patience)
        self.notes.live_seconds = ended - started
        self.notes.live_cpu_seconds = self._subject.usage().cpu_seconds - before.cpu_seconds
        await self._subject.stop()

    async def _cold_start(self) -> None:
        await self._subject.stop()
        before = await self._requests()
        started = time.monotonic()
        await self._subject.start()
        n, patience = self._options.certificates, self._options.patience
        seconds = await self._subject.settled(n, patience) - started
        writes = measures.writes(before, await self._requests())
        self.notes.cold = Started(seconds=seconds, writes=writes, usage=self._subject.usage())

    async def _written_within(self, seconds: float) -> Writes:
        before = await self._requests()
        await asyncio.sleep(seconds)
        return measures.writes(before, await self._requests())

    async def _served(self) -> None:
        frontend = Frontend(self._api, self._readiness, self._current.nodes)
        # The listener itself is not what is timed.
        await frontend.added("first", {"type": "SelfSigned"}, _SERVED_SECONDS)
        for index in range(self._options.served):
            seconds = await frontend.added(f"s{index}", {"type": "SelfSigned"}, _SERVED_SECONDS)
            self.notes.self_signed.append(seconds)
        self.notes.acme = await frontend.added("acme", {"type": "ACME"}, _SERVED_SECONDS)
        await self._api.delete_all(FRONTENDS, NAMESPACE)
        async with asyncio.timeout(_SERVED_SECONDS):
            while await self._api.items(FRONTENDS, NAMESPACE):  # noqa: ASYNC110 -- not timed
                await asyncio.sleep(LOOK_AGAIN)
        await self._api.delete_all(CERTIFICATES, NAMESPACE)

    async def _uploads(self) -> None:
        bought = setting.buy("uploads.example.com")
        names = [f"upload-{index}" for index in range(self._options.uploads)]
        sources = [_source(f"source-{name}", bought) for name in names]
        await self._send_all([applied(SECRETS, each, manager=MANAGER) for each in sources])
        bodies = [
            certificate(
                UPLOADS,
                name,
                {"type": "Uploaded", "uploaded": {"secretRef": {"name": f"source-{name}"}}},
            )
            for name in names
        ]
        await self._send_all([applied(CERTIFICATES, each, manager=MANAGER) for each in bodies])
        await self._readiness.all_ready([(UPLOADS, name) for name in names], 60.0 + len(names) / 10)
        # All were read within moments of each other: a period that begins half-way to the next
        # reading has every source in it once.
        await asyncio.sleep(POLLING_SECONDS / 2)
        before = await self._requests()
        await asyncio.sleep(POLLING_SECONDS)
        self.notes.upload_gets = measures.gets(before, await self._requests(), "secrets")
        await self._api.delete_all(CERTIFICATES, UPLOADS)
        await self._api.delete_all(SECRETS, UPLOADS)

    async def _apply_all(self) -> list[Name]:
        """Apply all certificates; returns when the watch has shown them, too."""
        names = [_name(obj) for obj in await self._applied()]
        await self._readiness.all_known(names, self._options.patience)
        return names

    async def _applied(self) -> list[Object]:
        parts = measures.shares(self._options.certificates, len(NAMESPACES))
        bodies = [
            certificate(namespace, f"c{index}", _spec(index))
            for namespace, part in zip(NAMESPACES, parts, strict=True)
            for index in part
        ]
        answers = await self._send_all(
            [applied(CERTIFICATES, each, manager=MANAGER) for each in bodies]
        )
        return [msgspec.json.decode(each) for each in answers]

    async def _send_all(self, patches: Sequence[Patch]) -> list[bytes]:
        answers: list[bytes] = []

        async def client(waiting: Iterator[Patch]) -> None:
            for patch in waiting:
                answers.append(await self._api.send(patch))  # noqa: PERF401 -- one list for all

        waiting = iter(patches)
        await asyncio.gather(*(client(waiting) for _ in range(_IN_FLIGHT)))
        return answers

    async def _remove_all(self) -> None:
        """Delete certificates and their Secrets while no operator could make them again."""
        await asyncio.gather(*(self._api.delete_all(CERTIFICATES, each) for each in NAMESPACES))
        await self._readiness.all_gone(self._options.patience)
        await asyncio.gather(*(self._api.delete_all(SECRETS, each, _OURS) for each in NAMESPACES))

    async def _secrets(self, namespace: str) -> dict[str, Object]:
        found = await self._api.items(SECRETS, namespace, _OURS)
        return {secret["metadata"]["name"]: secret for secret in found}

    async def _requests(self) -> Counter[Series]:
        return measures.requests(await self._api.text("metrics"))


def figures(options: Options, notes: Notes) -> Figures:
    """All figures out of what the phases found. Raises BenchError where one is missing."""
    if notes.cold is None:
        raise BenchError("the cold start was not measured")
    n = options.certificates
    drain = measures.median([measures.per_second(n, each.seconds) for each in notes.drains])
    bare = measures.median([measures.per_second(n, each.seconds) for each in notes.ceilings])
    cpu = [each.usage.cpu_seconds - notes.idle.cpu_seconds for each in notes.drains]
    values = measures.rounded(
        {
            "drain_per_second": drain,
            "live_per_second": measures.per_second(n, notes.live_seconds),
            "ceiling_per_second": bare,
            "drain_ratio": drain / bare,
            "cpu_ms_per_certificate": measures.milliseconds_each(measures.median(cpu), n),
            "writes_per_certificate": measures.median(
                [(each.writes.objects + each.writes.events) / n for each in notes.drains]
            ),
            "rss_mib": measures.mib(notes.drains[-1].usage.rss),
            "cold_start_seconds": notes.cold.seconds,
            "rest_writes_per_minute": measures.per_minute(
                notes.rest.objects + notes.rest.events, options.rest_seconds
            ),
            "served_seconds_self_signed": measures.median(notes.self_signed),
            "served_seconds_acme": notes.acme,
        }
    )
    return Figures(
        n=n,
        cold_start_writes=notes.cold.writes.objects + notes.cold.writes.events,
        more=measures.rounded(_more(options, notes, notes.cold)),
        **values,
    )


def _more(options: Options, notes: Notes, cold: Started) -> dict[str, float]:
    found = {
        "live_cpu_ms_per_certificate": measures.milliseconds_each(
            notes.live_cpu_seconds, options.certificates
        ),
        "ceiling_cpu_ms_per_certificate": measures.milliseconds_each(
            measures.median([each.cpu_seconds for each in notes.ceilings]), options.certificates
        ),
        "events_per_certificate": measures.median(
            [each.writes.events / options.certificates for each in notes.drains]
        ),
        "cold_start_rss_mib": measures.mib(cold.usage.rss),
        "idle_rss_mib": measures.mib(notes.idle.rss),
        "idle_cpu_seconds": notes.idle.cpu_seconds,
        "lease_writes_per_minute": measures.per_minute(notes.rest.leases, options.rest_seconds),
    }
    if notes.upload_gets is not None:
        found["upload_gets_per_second"] = measures.per_second(notes.upload_gets, POLLING_SECONDS)
    return found


def _spec(index: int) -> Object:
    return {"type": "SelfSigned", "dnsNames": [f"c{index}.bench.example.com"]}


def _source(name: str, bought: setting.BoughtCertificate) -> Object:
    data = {"tls.crt": bought.chain, "tls.key": bought.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": UPLOADS},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def _name(obj: Object) -> Name:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
