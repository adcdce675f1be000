"""One node's invariants, each searched for a life that breaks it, and each shown to be breakable.

The agent is the real one; HAProxy is simulated (`haproxy`, compared with the real program in
`test_simulation`). `CERTFRONT_MODEL_EXAMPLES=5000` searches that many lives, with a new seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from certfront.agent import choosing
from certfront.agent.applying import Applier
from certfront.agent.disk import Disk
from certfront.agent.filing import Files
from certfront.agent.proving import Prover
from certfront.agent.runtime import Runtime
from certfront.kube.errors import Unreachable
from certfront.loadbalancers.haproxy.merging import Entry
from tests.model.node import machine
from tests.model.node.disorder import file_after_line, file_removed_before_line
from tests.model.node.machine import search
from tests.model.node.material import ONE, VARIANTS
from tests.model.node.world import Violation, World

pytestmark = pytest.mark.timeout(0 if machine.DEEP else 300)

_LIVES = 40
_MUTANT_LIVES = 600


def holds(invariant: str) -> None:
    """No life of so many breaks it, nor ends in an error that the agent did not expect."""
    violation = search({invariant, "NoSurprise"}, _LIVES)
    assert violation is None, violation


def test_disk_loadable_after_every_effect_and_power_cut() -> None:
    holds("DiskLoadable")


def test_never_uncovered_while_a_manifest_asks_for_a_name() -> None:
    holds("NeverUncovered")


def test_watermark_sound_what_is_told_as_served_was_shown() -> None:
    holds("WatermarkSound")


def test_pair_atomic_on_disk_key_and_certificate_never_differ() -> None:
    holds("PairAtomic")


def test_quiescence_neither_time_nor_a_restart_writes_anything() -> None:
    holds("Quiescence")


def test_convergence_after_any_faults() -> None:
    holds("Convergence")


# --- each rule taken out of the product: the search must find what it is for


def no_fsync_before_rename(patch: pytest.MonkeyPatch) -> None:
    """A name is there before its content is durable."""

    def stage(disk: Disk, relative: str, content: bytes) -> Any:
        temporary = (disk.root / relative).with_name(f".tmp-{relative.replace('/', '-')}")
        temporary.write_bytes(content)
        return temporary

    patch.setattr(Disk, "_stage", stage)


def no_fsync_of_folders(patch: pytest.MonkeyPatch) -> None:
    """Renames are durable in any order."""
    patch.setattr(Disk, "_sync_folders", lambda *_: None)


def written_in_place(patch: pytest.MonkeyPatch) -> None:
    """Key and certificate are written after each other into the file that HAProxy reads."""

    def shown(disk: Disk, files: Any) -> None:
        for relative, content in files.items():
            for part in (content[: len(content) // 2], content):
                real(disk, {relative: part})

    real = Disk.write
    patch.setattr(Disk, "write", shown)


def a_vanished_manifest_is_removed(patch: pytest.MonkeyPatch) -> None:
    """What is not listed is taken down."""

    def entries(state: Any, offers: Any) -> tuple[Entry, ...]:
        found = real(state, offers)
        listed = offers.manifests if offers.resource_version else state.manifests
        return tuple(one for one in found if one.secret in listed)

    real = choosing._entries
    patch.setattr(choosing, "_entries", entries)


def a_missing_bundle_is_removed(patch: pytest.MonkeyPatch) -> None:
    """Only what is offered is served."""

    def needed(state: Any, offers: Any, on_disk: Any, *rest: Any) -> Any:
        held = {name: one for name, one in on_disk.items() if name in offers.bundles}
        return real(state, offers, held if offers.resource_version else on_disk, *rest)

    real = choosing.choose
    patch.setattr("certfront.agent.reconcile.choose", needed)


def dates_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    """An expired or early successor replaces what is valid."""
    patch.setattr(choosing, "refused_for_dates", lambda *_: None)


def accepted_too_late(patch: pytest.MonkeyPatch) -> None:
    """What was accepted is written down only at the end of everything."""

    async def apply(applier: Applier, target: Any, **_: Any) -> None:
        await real(applier, target, trying=lambda: None, accepted=lambda: None)

    real = Applier.apply
    patch.setattr(Applier, "apply", apply)


def not_told_what_is_tried(patch: pytest.MonkeyPatch) -> None:
    """A reload begins without a word of what it is for."""

    async def apply(applier: Applier, target: Any, *, accepted: Any, **_: Any) -> None:
        await real(applier, target, trying=lambda: None, accepted=accepted)

    real = Applier.apply
    patch.setattr(Applier, "apply", apply)


def transactions_stay(patch: pytest.MonkeyPatch) -> None:
    """What a dead client left open is not aborted."""

    async def names(runtime: Runtime) -> Any:
        return (await runtime.certificates())[0]

    patch.setattr(Runtime, "abort_transactions", names)


def told_without_a_handshake(patch: pytest.MonkeyPatch) -> None:
    """A command that succeeded is believed."""

    async def prove(*_: Any) -> tuple[()]:
        return ()

    patch.setattr(Prover, "prove", prove)


def reads_nothing_back(patch: pytest.MonkeyPatch) -> None:
    """Every pass writes its files, as if they could never be there."""

    def changed(files: Files, contents: Any) -> None:
        files._disk.write(dict(contents))

    patch.setattr(Files, "_write_changed", changed)


def restarted_with_another_order(patch: pytest.MonkeyPatch) -> None:
    """A restart forgets which manifests have vanished."""

    def entries(state: Any, offers: Any) -> tuple[Entry, ...]:
        found = real(state, offers)
        if offers.resource_version:
            return found
        return tuple(Entry(secret=one.secret, manifest=one.manifest) for one in found)

    real = choosing._entries
    patch.setattr(choosing, "_entries", entries)


Mutation = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("mutation", "invariant"),
    [
        (file_removed_before_line, "DiskLoadable"),
        (no_fsync_before_rename, "PairAtomic"),
        (no_fsync_of_folders, "DiskLoadable"),
        (written_in_place, "PairAtomic"),
        (a_missing_bundle_is_removed, "NeverUncovered"),
        (reads_nothing_back, "Quiescence"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_without_its_rule_the_search_finds_a_life_that_breaks(
    mutation: Mutation, invariant: str
) -> None:
    violation = search({invariant}, _MUTANT_LIVES, mutation)
    assert violation is not None, "the search finds nothing: it would not find a mistake either"
    assert violation.invariant == invariant


# --- rules whose lack takes a longer story to show: told here, so that chance has no part in it


def a_name_is_added(world: World) -> None:
    world.put_bundle("b", "one")
    world.put_manifest(VARIANTS["one+b"])
    world.one_pass()


def a_manifest_vanishes(world: World) -> None:
    world.vanish(ONE)
    world.one_pass()


def a_certificate_expires_in_its_successor(world: World) -> None:
    world.put_bundle("a", "expired")
    world.one_pass()


def an_agent_dies_in_a_transaction(world: World) -> None:
    world.leave_transaction("a", "two")
    world.put_bundle("b", "one")
    world.put_manifest(VARIANTS["one+b"])
    world.one_pass()
    world.converge()


def listeners_do_not_follow(world: World) -> None:
    world.jam()
    world.put_bundle("a", "two")
    world.one_pass()


def a_restart_without_an_api_server(world: World) -> None:
    """The agent is killed while it adds a name, and finds no API server afterwards."""
    world.put_bundle("b", "one")
    world.put_manifest(VARIANTS["one+b"])
    assert not world.one_pass({_ADDED: "kill after"})
    world.outage(Unreachable)
    world.one_pass()


def a_kill_after_a_reload_and_a_bundle_that_is_gone(world: World) -> None:
    """HAProxy serves the new name, whose pair is on the node alone then."""
    world.put_bundle("c", "one")
    world.put_manifest(VARIANTS["two on 8443"])
    assert not world.one_pass({_RELOADED: "kill after"})
    world.drop_bundle("c")
    world.one_pass()


def a_vanished_manifest_and_a_restart(world: World) -> None:
    world.put_bundle("c", "one")
    world.put_manifest(VARIANTS["two"])
    world.vanish(ONE)
    world.converge()


_ADDED = 16
"""The step of that pass that adds the line to the list in memory."""
_RELOADED = 10
"""The step of that pass that reloads."""


@pytest.mark.parametrize(
    ("mutation", "invariant", "story"),
    [
        (file_after_line, "DiskLoadable", a_name_is_added),
        (a_vanished_manifest_is_removed, "NeverUncovered", a_manifest_vanishes),
        (dates_do_not_matter, "NeverUncovered", a_certificate_expires_in_its_successor),
        (accepted_too_late, "NeverUncovered", a_restart_without_an_api_server),
        (
            not_told_what_is_tried,
            "NeverUncovered",
            a_kill_after_a_reload_and_a_bundle_that_is_gone,
        ),
        (transactions_stay, "Convergence", an_agent_dies_in_a_transaction),
        (told_without_a_handshake, "WatermarkSound", listeners_do_not_follow),
        (restarted_with_another_order, "Quiescence", a_vanished_manifest_and_a_restart),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
@pytest.mark.parametrize("mixes", [False, True], ids=["2.8", "2.6"])
def test_without_its_rule_the_story_ends_badly_and_with_it_well(
    mutation: Mutation, invariant: str, story: Callable[[World], None], mixes: bool
) -> None:
    assert _told(story, {invariant}, mixes, None) is None
    violation = _told(story, {invariant}, mixes, mutation)
    assert violation is not None
    assert violation.invariant == invariant


def _told(
    story: Callable[[World], None], watch: set[str], mixes: bool, mutation: Mutation | None
) -> Violation | None:
    with pytest.MonkeyPatch.context() as patch:
        if mutation is not None:
            mutation(patch)
        world = World(mixes=mixes, watch=watch)
        try:
            world.put_bundle("a", "one")
            world.put_manifest(VARIANTS["one"])
            world.one_pass()
            story(world)
        except Violation as violation:
            return violation
        finally:
            world.close()
    return None
