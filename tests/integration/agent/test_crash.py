"""HAProxy can be started after every single write of the agent, whenever it is killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certfront.agent.disk import Disk
from certfront.loadbalancers.haproxy import handover
from certfront.model.frontend import HSTS
from tests.integration.agent.harness import (
    Site,
    bundle_name,
    certificate,
    manifest,
    new_site,
    pair,
    remove_site,
)


class Recorder(Disk):
    """Copies the directory before each visible change."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.snapshots: list[Path] = []
        self.recording = False

    def changing(self, relative: str) -> None:  # noqa: ARG002 - all changes are alike here
        if self.recording:
            target = self.root / "snapshots" / str(len(self.snapshots))
            shutil.copytree(
                self.root,
                target,
                ignore=lambda _, names: [
                    n for n in names if n.endswith(".sock") or n == "snapshots"
                ],
            )
            self.snapshots.append(target)


@pytest.fixture
def recorded(program: str) -> Iterator[Site]:
    made = new_site(program, Recorder)
    yield made
    remove_site(made)


def _bundle(site: Site) -> None:
    site.offer_pair("a", pair("a.example", key_type="RSA"))


def _second_frontend(site: Site) -> None:
    site.offer_pair("b", pair("b.example"))
    site.offer(
        manifest(
            "shop/b",
            port=8443,
            http_port=None,
            hostnames=("b.example",),
            certificates=(certificate("b", "b.example"),),
            allowed_sources=("192.0.2.0/24",),
            hsts=HSTS(),
        )
    )


def _default(site: Site) -> None:
    site.offer_pair("d", pair("d.example"))
    site.offer(manifest(default_bundle=bundle_name("d")))


def _only_a_default(site: Site) -> None:
    """Without strict-sni an empty list would be fatal."""
    site.offer_pair("d", pair("d.example"))
    site.offer(manifest(default_bundle=bundle_name("d"), certificates=()))


def _no_certificates(site: Site) -> None:
    site.offer(manifest(certificates=()))


def _plain(site: Site) -> None:
    site.offer(manifest(ssl=False, port=443, certificates=(), https_only=None, http_port=None))


def _released(site: Site) -> None:
    site.offer(handover.released(manifest()))


Step = Callable[[Site], None]


@pytest.mark.parametrize(
    "steps",
    [
        (_bundle,),
        (_second_frontend, _released),
        (_default, _bundle, _no_certificates),
        (_only_a_default, _no_certificates),
        (_no_certificates, _released),
        (_plain,),
    ],
    ids=lambda steps: "+".join(step.__name__.strip("_") for step in steps),
)
async def test_haproxy_starts_from_every_prefix_of_the_writes(
    recorded: Site, steps: tuple[Step, ...]
) -> None:
    site = recorded
    await site.start()
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    assert (await site.converge()).failed == ()
    recorder = site.node._disk
    assert isinstance(recorder, Recorder)
    recorder.recording = True
    for step in steps:
        step(site)
        assert (await site.converge()).failed == ()
    recorder.recording = False
    assert recorder.snapshots
    original, held = str(site.directory), site.directory.with_name(f"{site.directory.name}.held")
    shutil.move(original, held)
    try:
        for number in range(len(recorder.snapshots)):
            # The configuration has absolute paths: each state is looked at in its own place.
            shutil.copytree(held / "snapshots" / str(number), original)
            said = site.check()
            shutil.rmtree(original)
            assert said == "", f"after write {number} of {len(recorder.snapshots)}"
    finally:
        shutil.move(held, original)


async def test_an_agent_killed_after_any_write_converges(recorded: Site) -> None:
    """From every state of the disk a new agent, with HAProxy started from it, gets everywhere."""
    site = recorded
    await site.start()
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    assert (await site.converge()).failed == ()
    recorder = site.node._disk
    assert isinstance(recorder, Recorder)
    recorder.recording = True
    _second_frontend(site)
    _bundle(site)
    assert (await site.converge()).failed == ()
    recorder.recording = False
    site.haproxy.stop()
    names = [path.name for path in recorder.snapshots]
    held = site.directory.with_name(f"{site.directory.name}.held")
    shutil.move(site.directory, held)
    try:
        for name in names:
            shutil.copytree(held / "snapshots" / name, site.directory)
            await site.haproxy.start()
            site.node = site.new_node()
            site.node.recover()
            assert (await site.converge()).failed == ()
            site.haproxy.stop()
            shutil.rmtree(site.directory)
    finally:
        shutil.move(held, site.directory)
