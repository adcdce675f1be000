"""One HAProxy node: choose what to serve, apply it, prove it. A pass is made by one task.

What HAProxy refuses is found out here: the changed manifests go back to their last accepted version
and are added one by one, so that only the culprit is reported. Used by `node`; the rules for
choosing are in `choosing`, the order of writes in `filing` and `applying`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from certfront.agent.applying import Applier, BundlesRefused
from certfront.agent.bundles import Bundle
from certfront.agent.choosing import Choice, choose
from certfront.agent.disk import Disk
from certfront.agent.exchange import NoAnswer
from certfront.agent.filing import Files, Target
from certfront.agent.inbox import Offers, manage_of
from certfront.agent.master import Master, ReloadRefused, Sparing
from certfront.agent.options import AgentOptions
from certfront.agent.proving import Prover
from certfront.agent.runtime import Runtime
from certfront.agent.state import State, load, save
from certfront.agent.validation import ConfigurationCheck, complaint, is_taken
from certfront.loadbalancers.haproxy import foreign
from certfront.loadbalancers.haproxy.configuration import (
    CHALLENGE_MAP,
    CONFIGURATION,
    Rendered,
    render,
)
from certfront.loadbalancers.haproxy.handover import Challenge, Manifest
from certfront.loadbalancers.haproxy.merging import Entry, rank
from certfront.loadbalancers.haproxy.watermark import NODE_FAILURE, Failed
from certfront.model.clock import Clock
from certfront.model.keys import KeyAlgorithm

_log: Final = logging.getLogger(__name__)

_Inputs = tuple[tuple[Entry, ...], dict[str, KeyAlgorithm], tuple[Challenge, ...], frozenset[int]]
_REFUSAL_LASTS: Final = timedelta(seconds=60)


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


class Node:
    """The node's disk and worker. `recover` first, then `converge` from one task only."""

    def __init__(self, options: AgentOptions, clock: Clock, disk: Disk | None = None) -> None:
        self._clock = clock
        self._layout = options.layout
        self._disk = disk if disk is not None else Disk(options.directory)
        self._check = ConfigurationCheck(self._disk, self._layout, options.haproxy)
        self._runtime = Runtime(self._layout.runtime_socket)
        self._prover = Prover(self._layout)
        self._files = Files(self._disk)
        master = Master(options.master, clock)
        self._applier = Applier(
            self._layout,
            self._files,
            self._runtime,
            Sparing(master, clock) if self._layout.foreign else master,
            self._prover,
            clock,
        )
        self._state = State()
        self._manage = manage_of(certificates_only=options.certificates_only)
        self._list_ports = frozenset(options.list_ports)
        self._applied = Target(rendered=self._render((), {}, (), frozenset()), bundles={})
        self._last_rendered: tuple[_Inputs, Rendered] | None = None
        self._wanted_bundles: Mapping[str, Bundle] = {}
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
        not stop a start. Needs neither HAProxy nor the API server. What was being tried is finished,
        not taken back: HAProxy may serve its names already, and their bundles may be here alone.
        """
        self._disk.prepare()
        self._state = load(self._disk, self._manage)
        found = map(foreign.port_of, self._disk.files("crt-lists"))
        self._list_ports |= {port for port in found if port is not None}
        bad = self._files.scan()
        accepted, target = (
            self._target(choose(state, Offers(), self._files.bundles, {}, self._clock.now()))
            for state in (self._state, self._state.latest)
        )
        self._files.write(target)
        for file in bad:
            _log.error("%s is damaged and was put aside", file)
            self._disk.quarantine(file)
        self._files.clean_up(target, accepted)
        self._applied = accepted

    def audit(self) -> None:
        """Mend the bundles on disk, and look at all of memory in the next pass. Blocking."""
        self._files.repair()
        self._applier.forget()

    async def is_as_left(self) -> bool:
        """Whether the worker of the last pass still runs; a cheap look between passes."""
        known = self._applier.worker
        if known is None:
            return True
        try:
            return (await self._runtime.info()).pid == known
        except NoAnswer:
            return False

    async def converge(self, offers: Offers) -> Outcome:
        """Serve what is offered, as far as it can be. Failures are told, never raised."""
        now = self._clock.now()
        self._expire_refusals(now)
        try:
            return await self._converge(offers, now)
        except NoAnswer as error:
            # HAProxy is down or replaces itself: look at everything again.
            self._applier.forget()
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
        worker = await self._runtime.info()
        rendered, unused = self._in_use(choice)
        unproven = await self._prover.prove(rendered, self._applied.bundles, worker)
        failed = tuple(dict.fromkeys([*failed, *unused, *unproven]))
        return Outcome(
            resource_version=offers.resource_version,
            failed=failed,
            alive=True,
            proven=self._state.synced and self._prover.any_proven(rendered),
            look_again=_earliest(choice.look_again, now + timedelta(seconds=5) if failed else None),
        )

    def _in_use(self, choice: Choice) -> tuple[Rendered, tuple[Failed, ...]]:
        """What can be proven, and the frontends whose crt-list someone else has yet to name."""
        rendered = self._applied.rendered
        unused = self._applier.unused(self._applied) if self._layout.foreign else frozenset()
        if not unused:
            return rendered, ()
        ports = frozenset(map(foreign.port_of, unused))
        failed = tuple(
            Failed(
                secret=one.secret,
                reason="CrtListNotUsed",
                message="HAProxy's configuration does not name the crt-list "
                + self._layout.path(foreign.list_file(one.manifest.port)),
            )
            for one in choice.entries
            if one.manifest.port in ports and not one.manifest.disabled
        )
        absent = {self._layout.bind(port) for port in ports if port is not None}
        shown = dataclasses.replace(
            rendered,
            proofs=tuple(one for one in rendered.proofs if one.port not in ports),
            binds={at: held for at, held in rendered.binds.items() if at not in absent},
        )
        return shown, failed

    async def _applied_choice(
        self, offers: Offers, now: datetime
    ) -> tuple[Choice, tuple[Failed, ...]]:
        """Apply the choice; whatever HAProxy refuses is left out, and the rest tried again."""
        while True:
            choice = choose(
                self._state.latest, offers, self._files.bundles, self._refused_bundles, now
            )
            entries, held_back = await self._accepted(choice)
            try:
                failed = await self._apply_entries(choice, entries, offers)
            except BundlesRefused as error:
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
        ours = self._applied.rendered.binds
        if self._layout.foreign or await self._runs_another_configuration():
            # An agent that was killed after a reload left it: the port may be HAProxy's own.
            return entries, ()
        failed: dict[str, Failed] = {}
        for address, secrets in binds.items():
            if address in ours or not await asyncio.to_thread(is_taken, address):
                continue
            for secret in secrets:
                message = f"port {address[1]} on {address[0]} is taken by another process"
                failed[secret] = Failed(secret=secret, reason="PortInUse", message=message)
        return self._with_accepted(entries, set(failed)), tuple(failed.values())

    async def _runs_another_configuration(self) -> bool:
        try:
            worker = await self._runtime.info()
        except NoAnswer:
            return False
        return worker.description != self._applied.rendered.digest

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
        applied = self._applied.rendered
        return self._rendered(choice, entries).configuration != applied.configuration

    def _refuse(self, entry: Entry, reason: str, message: str) -> Failed:
        failure = Failed(secret=entry.secret, reason=reason, message=message)
        self._refused_manifests[entry.secret] = (entry.manifest, failure)
        self._refused_until = self._clock.now() + _REFUSAL_LASTS
        return failure

    def _refuse_bundles(self, failed: Iterable[Failed], offers: Offers, now: datetime) -> None:
        for failure in failed:
            bundle = offers.bundles.get(failure.secret)
            held = self._files.bundles.get(failure.secret)
            if bundle is None or (held is not None and held.digest == bundle.digest):
                # What is on disk is refused: nothing better is at hand.
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
            if self._layout.foreign:
                return await self._without_reload(refused)
            log = refused.log or await self._check.output(self._layout.path(CONFIGURATION))
            blamed = await self._back_to_applied(log)
        if blamed:
            raise BundlesRefused(blamed)
        return await self._reload_one_by_one(choice, entries, offers, complaint(log))

    async def _without_reload(self, refused: ReloadRefused) -> tuple[Failed, ...]:
        """What only a reload can change stays as it is: someone else's HAProxy cannot be had one now.

        Raises BundlesRefused for what can be taken back; the rest is applied without it then.
        """
        said = complaint(refused.log) if "[ALERT]" in refused.log else refused.log[:300]
        stuck = tuple(
            Failed(secret=name, reason="ReloadNeeded", message=said)
            for name, bundle in self._wanted_bundles.items()
            if not bundle.fits_command and self._applied.bundles.get(name) != bundle
        )
        await self._back_to_applied("")
        if stuck:
            raise BundlesRefused(stuck)
        return (Failed(secret=NODE_FAILURE, reason="ReloadNeeded", message=said),)

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
        self._wanted_bundles = choice.bundles
        state = State(
            synced=self._state.synced or bool(offers.resource_version),
            manifests={one.secret: one.manifest for one in entries},
            challenges=dict(choice.challenges),
            vanished=tuple(sorted(one.secret for one in entries if not one.present)),
        )
        tried = msgspec.structs.replace(self._state, tried=state)
        try:
            await self._applier.apply(
                target,
                trying=lambda: save(self._disk, tried),
                accepted=lambda: save(self._disk, state),
            )
        except NoAnswer:
            # HAProxy is down: what it starts from is right, all the same.
            await asyncio.to_thread(self._files.write_bundles, target)
            self._accept(target, state)
            await asyncio.to_thread(self._files.write, target)
            raise
        self._accept(target, state)
        return (*target.rendered.failed, *_unanswered(choice, target))

    def _accept(self, target: Target, state: State) -> None:
        self._applied = target
        self._state = state
        save(self._disk, state)

    async def _back_to_applied(self, log: str) -> tuple[Failed, ...]:
        """Undo the files of a refused reload; the bundles that the log blames, if any."""
        applied = self._applied
        self._state = msgspec.structs.replace(self._state, tried=None)
        await asyncio.to_thread(save, self._disk, self._state)
        changed = {
            name
            for name, bundle in self._files.bundles.items()
            if name not in applied.bundles or applied.bundles[name].digest != bundle.digest
        }
        blamed = tuple(
            Failed(secret=name, reason="RefusedByHAProxy", message=complaint(log))
            for name in sorted(changed)
            if self._layout.pem(name) in log
        )
        await asyncio.to_thread(self._files.write, applied)
        await asyncio.to_thread(self._files.clean_up, applied)
        return blamed

    # --- rendering

    def _rendered(self, choice: Choice, entries: tuple[Entry, ...]) -> Rendered:
        key_types = {name: bundle.key_type for name, bundle in choice.bundles.items()}
        if self._layout.foreign:
            self._list_ports |= {one.manifest.port for one in entries}
        wanted = (entries, key_types, choice.open_challenges(), self._list_ports)
        # A pass asks several times for the same, and most passes for the same as the one before.
        if self._last_rendered is None or self._last_rendered[0] != wanted:
            self._last_rendered = (wanted, self._render(*wanted))
        return self._last_rendered[1]

    def _render(
        self,
        entries: tuple[Entry, ...],
        key_types: dict[str, KeyAlgorithm],
        challenges: tuple[Challenge, ...],
        ports: frozenset[int],
    ) -> Rendered:
        if self._layout.foreign:
            return foreign.render(entries, key_types, ports, self._layout)
        return render(entries, key_types, challenges, self._layout)

    def _target(self, choice: Choice) -> Target:
        return Target(rendered=self._rendered(choice, choice.entries), bundles=choice.bundles)


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
