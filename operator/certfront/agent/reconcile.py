"""One HAProxy node: observe disk and memory, decide, act, prove. Everything in one task.

`Node.converge` brings disk and memory to what is offered. Order matters everywhere, so that HAProxy
can be started at any moment and no name is ever without its certificate: a file before the line
that names it, new lines before old ones go, a line before its file goes, the configuration after
all that it names. Used by `node`; the rules are in `choosing` and in loadbalancers.haproxy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from certfront.agent.bundles import Bundle, from_pem
from certfront.agent.choosing import Choice, choose
from certfront.agent.disk import Disk
from certfront.agent.inbox import Offers
from certfront.agent.master import Master, ReloadRefused
from certfront.agent.memory import Memory, observe
from certfront.agent.options import AgentOptions
from certfront.agent.proving import Prover
from certfront.agent.runtime import LARGEST_COMMAND, Locked, NoAnswer, Refused, Runtime
from certfront.agent.state import State, load, save
from certfront.agent.validation import ConfigurationCheck, complaint, is_taken
from certfront.loadbalancers.haproxy.configuration import CHALLENGE_MAP, Rendered, pem_file, render
from certfront.loadbalancers.haproxy.handover import InvalidHandover, Manifest
from certfront.loadbalancers.haproxy.merging import Entry, rank
from certfront.loadbalancers.haproxy.watermark import NODE_FAILURE, Failed
from certfront.model.clock import Clock

__all__ = ["CONFIGURATION", "Node", "Outcome", "Target"]

_log: Final = logging.getLogger(__name__)

CONFIGURATION: Final = "haproxy.cfg"
_REFUSAL_LASTS: Final = timedelta(seconds=60)
# So many changes take longer one by one than a reload does.
_MOST_CHANGES_AT_RUNTIME: Final = 2000
_NEW_WORKER_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """All that a node should have on disk and in memory."""

    rendered: Rendered
    bundles: Mapping[str, Bundle]

    def texts(self) -> dict[str, bytes]:
        """Crt-lists and maps, by their relative path, as they are on disk."""
        lines = {
            **self.rendered.list_texts,
            **{
                file: tuple(f"{key} {value}" for key, value in entries.items())
                for file, entries in self.rendered.maps.items()
            },
        }
        return {
            file: "".join(f"{line}\n" for line in held).encode() for file, held in lines.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The state of a node after a pass.

    `resource_version` is how far the Secrets were read for it; `failed` what is not served as they
    ask; `alive` whether HAProxy answers; `proven` whether our own handshakes succeed (readiness).
    `look_again` is when the next pass is due although nothing has changed.
    """

    resource_version: str
    failed: tuple[Failed, ...]
    alive: bool
    proven: bool
    look_again: datetime | None


class _BundlesRefused(Exception):  # noqa: N818 -- what happened
    """HAProxy did not take these bundles; their files are as before."""

    def __init__(self, failed: Iterable[Failed]) -> None:
        self.failed = tuple(failed)
        super().__init__("bundles refused")


class Node:
    """The node's disk and worker. `recover` first, then `converge` from one task only."""

    def __init__(self, options: AgentOptions, clock: Clock, disk: Disk | None = None) -> None:
        self._clock = clock
        self._layout = options.layout
        self._disk = disk if disk is not None else Disk(options.directory)
        self._check = ConfigurationCheck(self._disk, self._layout, options.haproxy)
        self._runtime = Runtime(self._layout.runtime_socket)
        self._master = Master(options.master, clock)
        self._prover = Prover(self._layout)
        self._state = State()
        self._on_disk: dict[str, Bundle] = {}
        self._applied: Target | None = None
        self._memory: Memory | None = None
        self._refused_bundles: dict[tuple[str, str], Failed] = {}
        self._refused_manifests: dict[str, tuple[Manifest, Failed]] = {}
        self._refused_until: datetime | None = None

    @property
    def state(self) -> State:
        """What was accepted."""
        return self._state

    def recover(self) -> None:
        """Make the directory one that HAProxy starts from, from what is in it. Blocking.

        Bad files are quarantined (after the lines that name them are gone), so one torn file does
        not stop a start. Needs neither HAProxy nor the API server.
        """
        self._disk.prepare()
        self._state = load(self._disk)
        bad = self._scan()
        target = self._target(choose(self._state, Offers(), self._on_disk, {}, self._clock.now()))
        self._write(target)
        for file in bad:
            _log.error("%s is damaged and was put aside", file)
            self._disk.quarantine(file)
        self._clean_up(target)
        self._applied = target

    def audit(self) -> None:
        """Look at everything anew in the next pass: files and memory. Blocking."""
        self._scan()
        self._memory = None

    async def converge(self, offers: Offers) -> Outcome:
        """Serve what is offered, as far as it can be. Failures are told, never raised."""
        now = self._clock.now()
        self._expire_refusals(now)
        try:
            return await self._converge(offers, now)
        except NoAnswer as error:
            # HAProxy is down or replaces itself: look at everything again.
            self._memory = None
            self._prover.forget()
            failure = Failed(secret=NODE_FAILURE, reason="HAProxyDown", message=str(error))
            return Outcome(
                resource_version=offers.resource_version,
                failed=(failure,),
                alive=False,
                proven=False,
                look_again=now + timedelta(seconds=1),
            )

    async def _converge(self, offers: Offers, now: datetime) -> Outcome:
        choice, failed = await self._applied_choice(offers, now)
        assert self._applied is not None  # noqa: S101 - it has just been applied
        worker = await self._runtime.info()
        unproven = await self._prover.prove(self._applied.rendered, self._applied.bundles, worker)
        failed = tuple(dict.fromkeys([*failed, *unproven]))
        return Outcome(
            resource_version=offers.resource_version,
            failed=failed,
            alive=True,
            proven=self._state.synced and self._prover.any_proven(self._applied.rendered),
            look_again=_earliest(choice.look_again, now + timedelta(seconds=5) if failed else None),
        )

    async def _applied_choice(
        self, offers: Offers, now: datetime
    ) -> tuple[Choice, tuple[Failed, ...]]:
        """Apply the choice; whatever HAProxy refuses is left out, and the rest tried again."""
        while True:
            choice = choose(self._state, offers, self._on_disk, self._refused_bundles, now)
            entries, held_back = await self._accepted(choice)
            try:
                failed = await self._apply_entries(choice, entries, offers)
            except _BundlesRefused as error:
                self._refuse_bundles(error.failed, offers, now)
                continue
            return choice, (*choice.failed, *held_back, *failed)

    # --- which manifests

    async def _accepted(self, choice: Choice) -> tuple[tuple[Entry, ...], tuple[Failed, ...]]:
        """The newest versions that HAProxy takes, and why others are held back."""
        wanted, held_back = self._without_refused(choice.entries)
        wanted, in_use = await self._without_taken_ports(choice, wanted)
        held_back += in_use
        if not self._changes_configuration(choice, wanted):
            return wanted, held_back
        if await self._check.complaint(wanted) is None:
            return wanted, held_back
        return await self._one_by_one(wanted, held_back)

    async def _one_by_one(
        self, wanted: tuple[Entry, ...], held_back: tuple[Failed, ...]
    ) -> tuple[tuple[Entry, ...], tuple[Failed, ...]]:
        """Go back to the accepted versions, and add what has changed one by one."""
        changed = [one for one in wanted if self._is_changed(one)]
        base = self._with_accepted(wanted, {one.secret for one in changed})
        for one in sorted(changed, key=rank):
            tried = _with(base, one)
            said = await self._check.complaint(tried)
            if said is None:
                base = tried
            else:
                held_back += (self._refuse(one, "ConfigurationRefused", said),)
        return base, held_back

    def _without_refused(
        self, entries: tuple[Entry, ...]
    ) -> tuple[tuple[Entry, ...], tuple[Failed, ...]]:
        refused = {
            one.secret: self._refused_manifests[one.secret][1]
            for one in entries
            if one.secret in self._refused_manifests
            and self._refused_manifests[one.secret][0] == one.manifest
        }
        return self._with_accepted(entries, set(refused)), tuple(refused.values())

    async def _without_taken_ports(
        self, choice: Choice, entries: tuple[Entry, ...]
    ) -> tuple[tuple[Entry, ...], tuple[Failed, ...]]:
        """Hold back manifests that need a new port which another process has."""
        binds = self._rendered(choice, entries).binds
        ours = self._applied.rendered.binds if self._applied is not None else {}
        failed: dict[str, Failed] = {}
        for address, secrets in binds.items():
            if address in ours or not await asyncio.to_thread(is_taken, address):
                continue
            for secret in secrets:
                message = f"port {address[1]} on {address[0]} is taken by another process"
                failed[secret] = Failed(secret=secret, reason="PortInUse", message=message)
        return self._with_accepted(entries, set(failed)), tuple(failed.values())

    def _with_accepted(self, entries: tuple[Entry, ...], secrets: set[str]) -> tuple[Entry, ...]:
        """`entries`, with the last accepted version of those named, or without them."""
        kept = []
        for one in entries:
            if one.secret not in secrets:
                kept.append(one)
            elif one.secret in self._state.manifests:
                accepted = self._state.manifests[one.secret]
                kept.append(Entry(secret=one.secret, manifest=accepted, present=one.present))
        return tuple(kept)

    def _is_changed(self, entry: Entry) -> bool:
        return self._state.manifests.get(entry.secret) != entry.manifest

    def _changes_configuration(self, choice: Choice, entries: tuple[Entry, ...]) -> bool:
        applied = self._applied
        return (
            applied is None
            or self._rendered(choice, entries).configuration != applied.rendered.configuration
        )

    def _refuse(self, entry: Entry, reason: str, message: str) -> Failed:
        failure = Failed(secret=entry.secret, reason=reason, message=message)
        self._refused_manifests[entry.secret] = (entry.manifest, failure)
        self._refused_until = self._clock.now() + _REFUSAL_LASTS
        return failure

    def _refuse_bundles(self, failed: Iterable[Failed], offers: Offers, now: datetime) -> None:
        for failure in failed:
            bundle = offers.bundles.get(failure.secret)
            if bundle is None:
                # What is on disk alone is refused: nothing better is at hand.
                raise NoAnswer(f"HAProxy refuses a file of its own: {failure.message}")
            self._refused_bundles[(failure.secret, bundle.digest)] = failure
        self._refused_until = now + _REFUSAL_LASTS

    def _expire_refusals(self, now: datetime) -> None:
        if self._refused_until is not None and now >= self._refused_until:
            self._refused_bundles.clear()
            self._refused_manifests.clear()
            self._refused_until = None

    # --- applying

    async def _apply_entries(
        self, choice: Choice, entries: tuple[Entry, ...], offers: Offers
    ) -> tuple[Failed, ...]:
        """Apply; if a reload is refused, find out which manifest or bundle it was."""
        try:
            return await self._apply_and_save(choice, entries, offers)
        except ReloadRefused as refused:
            log = refused.log or await self._check.output(self._layout.path(CONFIGURATION))
            blamed = await self._back_to_applied(log)
        if blamed:
            raise _BundlesRefused(blamed)
        return await self._reload_one_by_one(choice, entries, offers, complaint(log))

    async def _reload_one_by_one(
        self, choice: Choice, entries: tuple[Entry, ...], offers: Offers, said: str
    ) -> tuple[Failed, ...]:
        changed = [one for one in entries if self._is_changed(one)]
        base = self._with_accepted(entries, {one.secret for one in changed})
        if len(changed) == 1:
            failed = [self._refuse(changed[0], "ReloadRefused", said)]
            return (*failed, *await self._apply_base(choice, base, offers))
        failed = []
        for one in sorted(changed, key=rank):
            try:
                await self._apply_and_save(choice, _with(base, one), offers)
                base = _with(base, one)
            except ReloadRefused as refused:
                await self._back_to_applied("")
                failed.append(self._refuse(one, "ReloadRefused", complaint(refused.log)))
        return (*failed, *await self._apply_base(choice, base, offers))

    async def _apply_base(
        self, choice: Choice, base: tuple[Entry, ...], offers: Offers
    ) -> tuple[Failed, ...]:
        try:
            return await self._apply_and_save(choice, base, offers)
        except ReloadRefused as refused:
            await self._back_to_applied("")
            message = complaint(refused.log)
            return (Failed(secret=NODE_FAILURE, reason="ReloadRefused", message=message),)

    async def _apply_and_save(
        self, choice: Choice, entries: tuple[Entry, ...], offers: Offers
    ) -> tuple[Failed, ...]:
        target = Target(rendered=self._rendered(choice, entries), bundles=choice.bundles)
        state = State(
            synced=self._state.synced or bool(offers.resource_version),
            manifests={one.secret: one.manifest for one in entries},
            challenges=dict(choice.challenges),
            absent_since=dict(choice.absent_since),
        )
        try:
            await self._apply(target)
        except NoAnswer:
            # HAProxy is down: what it starts from is right, all the same.
            await asyncio.to_thread(self._write, target)
            self._accept(target, state)
            raise
        self._accept(target, state)
        return (*target.rendered.failed, *_unanswered(choice, target))

    def _accept(self, target: Target, state: State) -> None:
        self._applied = target
        self._state = state
        save(self._disk, state)

    async def _apply(self, target: Target) -> None:
        worker = await self._runtime.info()
        if self._memory is not None and self._memory.worker != worker.pid:
            # It was restarted by its supervisor: nothing counts any more.
            self._prover.forget()
            self._memory = None
        if self._memory is None:
            self._memory = await observe(self._runtime, worker.pid, self._maps(target))
        if worker.description != target.rendered.digest or not self._fits_runtime(target):
            await self._by_reload(target)
        try:
            await self._at_runtime(target)
        except Refused as refused:
            _log.warning("a run-time change was refused, reloading: %s", refused)
            await self._by_reload(target)
            await self._after_reload(target)

    async def _after_reload(self, target: Target) -> None:
        try:
            await self._at_runtime(target)
        except Refused as refused:
            raise NoAnswer(f"HAProxy refuses run-time changes: {refused}") from None

    async def _by_reload(self, target: Target) -> None:
        self._memory = None
        await asyncio.to_thread(self._write, target)
        pid = await self._master.reload()
        deadline = self._clock.monotonic() + _NEW_WORKER_SECONDS
        while (await self._answering()) != pid:
            if self._clock.monotonic() > deadline:
                raise NoAnswer("the new worker does not answer")
            await asyncio.sleep(0.02)
        _log.info("HAProxy was reloaded; the worker is %d", pid)
        self._memory = await observe(self._runtime, pid, self._maps(target))
        self._prover.new_worker()

    async def _answering(self) -> int | None:
        try:
            return (await self._runtime.info()).pid
        except NoAnswer:
            return None

    def _fits_runtime(self, target: Target) -> bool:
        """Whether memory can be brought to the target by commands that are safe in every version."""
        memory = self._memory
        assert memory is not None  # noqa: S101 - observed by the caller
        stale = [
            bundle
            for name, bundle in target.bundles.items()
            if name in target.rendered.bundles
            and memory.certificates.get(self._layout.pem(name)) != bundle.sha1
        ]
        lists_there = all(
            self._layout.path(one) in memory.lists for one in target.rendered.crt_lists
        )
        maps_there = all(self._layout.path(one) in memory.maps for one in target.rendered.maps)
        lines_fit = all(
            len(line) < LARGEST_COMMAND - 500
            for lines in target.rendered.list_texts.values()
            for line in lines
        )
        return (
            lists_there
            and maps_there
            and lines_fit
            and len(stale) <= _MOST_CHANGES_AT_RUNTIME
            and all(bundle.fits_command for bundle in stale)
        )

    async def _at_runtime(self, target: Target) -> None:
        """Files, then memory; additions, then removals. Does nothing where all is right."""
        await self._install_bundles(target)
        await asyncio.to_thread(self._write, target)
        for file in target.rendered.crt_lists:
            await self._adjust_list(file, target)
        for file, entries in target.rendered.maps.items():
            await self._adjust_map(file, entries)
        await self._remove_surplus(target)
        await asyncio.to_thread(self._clean_up, target)

    async def _install_bundles(self, target: Target) -> None:
        assert self._memory is not None  # noqa: S101 - observed by the caller
        before = dict(self._on_disk)
        await asyncio.to_thread(self._write_bundles, target)
        refused = []
        for name in sorted(target.rendered.bundles):
            bundle, path = target.bundles[name], self._layout.pem(name)
            if self._memory.certificates.get(path) == bundle.sha1:
                continue
            try:
                await self._runtime.install(
                    path,
                    bundle.pem,
                    fingerprint=bundle.sha1,
                    known=path in self._memory.certificates,
                )
                self._memory.certificates[path] = bundle.sha1
            except Locked:
                raise
            except Refused as error:
                await asyncio.to_thread(self._restore_bundle, name, before.get(name))
                self._memory.certificates.setdefault(path, "")
                refused.append(Failed(secret=name, reason="RefusedByHAProxy", message=str(error)))
        if refused:
            raise _BundlesRefused(refused)

    async def _adjust_list(self, file: str, target: Target) -> None:
        assert self._memory is not None  # noqa: S101 - observed by the caller
        path = self._layout.path(file)
        wanted = target.rendered.list_texts[file]
        present = [line.text for line in self._memory.lists.get(path, ())]
        if present == list(wanted):
            return
        missing = [line for line in wanted if line not in present]
        for text in missing:
            await self._runtime.add_line(path, text)
        kept: set[str] = set()
        for line in await self._runtime.list_lines(path):
            if line.text in wanted and line.text not in kept:
                kept.add(line.text)
            else:
                await self._runtime.delete_line(path, line)
        self._memory.lists[path] = await self._runtime.list_lines(path)
        if sorted(one.text for one in self._memory.lists[path]) != sorted(wanted):
            raise NoAnswer("a crt-list in memory has other lines than ours")

    async def _adjust_map(self, file: str, entries: Mapping[str, str]) -> None:
        assert self._memory is not None  # noqa: S101 - observed by the caller
        path = self._layout.path(file)
        if self._memory.maps.get(path) != dict(entries):
            await self._runtime.replace_map(path, entries)
            self._memory.maps[path] = dict(entries)

    async def _remove_surplus(self, target: Target) -> None:
        """Take certificates that no line names out of memory; their files go afterwards."""
        assert self._memory is not None  # noqa: S101 - observed by the caller
        wanted = {self._layout.pem(name) for name in target.rendered.bundles}
        for path in [one for one in self._memory.certificates if one not in wanted]:
            await self._runtime.delete_certificate(path)
            del self._memory.certificates[path]

    async def _back_to_applied(self, log: str) -> tuple[Failed, ...]:
        """Undo the files of a refused reload; the bundles that the log blames, if any."""
        applied = self._applied
        if applied is None:
            return ()
        changed = {
            name
            for name, bundle in self._on_disk.items()
            if name not in applied.bundles or applied.bundles[name].digest != bundle.digest
        }
        blamed = tuple(
            Failed(secret=name, reason="RefusedByHAProxy", message=complaint(log))
            for name in sorted(changed)
            if self._layout.pem(name) in log
        )
        await asyncio.to_thread(self._write, applied)
        await asyncio.to_thread(self._clean_up, applied)
        return blamed

    # --- the disk (blocking)

    def _scan(self) -> list[str]:
        """Read all bundles on disk; returns the files that are none."""
        bundles: dict[str, Bundle] = {}
        bad = []
        for file in self._disk.files("certs"):
            name = file.removeprefix("certs/").removesuffix(".pem")
            known = self._on_disk.get(name)
            content = self._disk.read(file) or b""
            if known is not None and known.pem == content:
                bundles[name] = known
                continue
            try:
                bundles[name] = from_pem(content)
            except InvalidHandover:
                bad.append(file)
        self._on_disk = bundles
        return bad

    def _write(self, target: Target) -> None:
        """Every prefix of these writes can be loaded: what is named is there before its name."""
        self._write_bundles(target)
        self._write_changed(target.rendered.static)
        self._write_changed(target.texts())
        self._write_changed({CONFIGURATION: target.rendered.configuration.encode()})

    def _write_bundles(self, target: Target) -> None:
        changed = {
            name: bundle
            for name, bundle in target.bundles.items()
            if name not in self._on_disk or self._on_disk[name].digest != bundle.digest
        }
        self._disk.write({pem_file(name): bundle.pem for name, bundle in changed.items()})
        self._on_disk |= changed

    def _restore_bundle(self, name: str, before: Bundle | None) -> None:
        if before is None:
            self._disk.remove([pem_file(name)])
            self._on_disk.pop(name, None)
        else:
            self._disk.write({pem_file(name): before.pem})
            self._on_disk[name] = before

    def _write_changed(self, files: Mapping[str, bytes]) -> None:
        self._disk.write(
            {file: content for file, content in files.items() if self._disk.read(file) != content}
        )

    def _clean_up(self, target: Target) -> None:
        """Remove what nothing names: bundles of no manifest, lists, maps and policies of before."""
        kept = {pem_file(name) for name in target.bundles}
        kept |= {*target.texts(), *target.rendered.static}
        folders = ("certs", "crt-lists", "maps", "sources", "ca")
        surplus = [
            file for folder in folders for file in self._disk.files(folder) if file not in kept
        ]
        if surplus:
            self._disk.remove(surplus)
        self._on_disk = {
            name: bundle for name, bundle in self._on_disk.items() if name in target.bundles
        }

    # --- rendering

    def _rendered(self, choice: Choice, entries: tuple[Entry, ...]) -> Rendered:
        key_types = {name: bundle.key_type for name, bundle in choice.bundles.items()}
        return render(entries, key_types, choice.open_challenges(), self._layout)

    def _target(self, choice: Choice) -> Target:
        return Target(rendered=self._rendered(choice, choice.entries), bundles=choice.bundles)

    def _maps(self, target: Target) -> tuple[str, ...]:
        return tuple(self._layout.path(file) for file in target.rendered.maps)


def _unanswered(choice: Choice, target: Target) -> tuple[Failed, ...]:
    """Challenges that no plain listener can answer."""
    if CHALLENGE_MAP in target.rendered.maps:
        return ()
    message = "no frontend of this load balancer has a plain HTTP port"
    return tuple(
        Failed(secret=secret, reason="NoRouteForChallenge", message=message)
        for secret, held in choice.challenges.items()
        if held.challenges
    )


def _with(entries: tuple[Entry, ...], changed: Entry) -> tuple[Entry, ...]:
    return (*(one for one in entries if one.secret != changed.secret), changed)


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
