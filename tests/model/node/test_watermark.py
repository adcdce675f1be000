"""WatermarkSound, the operator's half: Served only where every node that counts showed it.

Several nodes with honest agents, whose Leases come, go, grow stale, are garbage, and survive a
restore of etcd; the product's own `render`, `node_lease` and `served` decide.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from certfront.loadbalancers.haproxy import watermark
from certfront.loadbalancers.haproxy.watermark import ANNOTATION, Failed, NodeLease
from certfront.model.clock import FrozenClock
from certfront.model.times import to_text
from tests.model.node.machine import DEEP

NODES = ("n1", "n2", "n3")
SECRETS = ("bundle-a", "bundle-b", "manifest-a")
_REASONS = ("", "", "", "", "Expired", "NotServed")
_GARBAGE = ("", "{", '{"resource_version":"x"}', "9" * 20_000)
_STEPS = 60


class Fleet:
    """`shown` is what each node really shows: the content of a Secret, which no restore repeats."""

    def __init__(self) -> None:
        self.told = 0
        self.clock = FrozenClock()
        self.revision = 100
        self.contents = 0
        self.secrets: dict[str, tuple[int, int]] = {}
        self.shown: dict[str, dict[str, int]] = {}
        self.leases: dict[str, dict[str, Any]] = {}
        self.history: dict[str, list[tuple[int, int]]] = {}
        for name in SECRETS:
            self.write(name)
        self.oldest = self.revision

    def step(self, chance: random.Random) -> None:
        """Something happens, and someone looks."""
        node, name = chance.choice(NODES), chance.choice(SECRETS)
        clean = ["", "", ""]
        reasons = clean if chance.random() < 0.5 else chance.choices(_REASONS, k=3)
        rules: list[tuple[int, Callable[[], None]]] = [
            (3, lambda: self.write(name)),
            (6, lambda: self.report(node, reasons, chance.random() < 0.04)),
            (1, lambda: self.report_down(node)),
            (1, lambda: self.garbage(node, chance.choice(_GARBAGE))),
            (4, lambda: self.heartbeat(node)),
            (1, lambda: self.dies(node)),
            (1, lambda: self.leaves(node)),
            (2, lambda: self.wait(chance.randint(1, 12))),
            (1, lambda: self.restore(chance.randint(1, 40))),
        ]
        weights = [weight for weight, _ in rules]
        chance.choices([act for _, act in rules], weights)[0]()
        for one in SECRETS[:2]:
            self.look(one, chance.randint(1, 3))

    def write(self, name: str) -> None:
        # After a restore agents list again at once, long before revisions have caught up.
        for node, lease in list(self.leases.items()):
            mark = watermark.parse(lease["metadata"]["annotations"][ANNOTATION])
            if mark is not None and int(mark.resource_version) > self.revision:
                self.report(node, ["", "", ""], False)
        self.revision += 1
        self.contents += 1
        self.secrets[name] = (self.revision, self.contents)
        self.history.setdefault(name, []).append(self.secrets[name])

    def report(self, node: str, reasons: list[str], many: bool) -> None:
        """A node applies what is there; what fails is what it showed before."""
        failed = [Failed(secret=f"a-{n:06}", reason="Expired") for n in range(1900 * many)]
        for name, reason in zip(SECRETS, reasons, strict=True):
            if reason:
                failed.append(Failed(secret=name, reason=reason, message="m" * 400))
            else:
                self.shown.setdefault(node, {})[name] = self.secrets[name][1]
        self.lease(node, watermark.render(str(self.revision), failed))

    def report_down(self, node: str) -> None:
        self.shown.pop(node, None)
        failure = Failed(secret="", reason="HAProxyDown", message="no answer")
        self.lease(node, watermark.render(str(self.revision), [failure]))

    def garbage(self, node: str, text: str) -> None:
        self.lease(node, text)

    def lease(self, node: str, annotation: str) -> None:
        self.leases[node] = {
            "metadata": {"name": f"haproxy.{node}", "annotations": {ANNOTATION: annotation}},
            "spec": {"renewTime": to_text(self.clock.now()), "leaseDurationSeconds": 15},
        }

    def heartbeat(self, node: str) -> None:
        if node in self.leases and node in self.shown:
            self.leases[node]["spec"]["renewTime"] = to_text(self.clock.now())

    def dies(self, node: str) -> None:
        """Agent and HAProxy are gone; the Lease stays until it is old."""
        self.shown.pop(node, None)
        if node in self.leases:
            stale = self.clock.now() - timedelta(seconds=16)
            self.leases[node]["spec"]["renewTime"] = to_text(stale)

    def leaves(self, node: str) -> None:
        self.leases.pop(node, None)
        self.shown.pop(node, None)

    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    def restore(self, back: int) -> None:
        """etcd is an older copy: revisions are given a second time, to other contents."""
        self.revision = max(self.oldest, self.revision - back)
        for name in SECRETS:
            held = [one for one in self.history[name] if one[0] <= self.revision]
            self.history[name] = held
            self.secrets[name] = held[-1]

    def look(self, name: str, least: int) -> None:
        names = {name, "manifest-a"}
        leases = [watermark.node_lease("haproxy", one) for one in self.leases.values()]
        held = [one for one in leases if one is not None]
        verdict = watermark.served(
            held,
            resource_version=str(max(self.secrets[one][0] for one in names)),
            secrets=names,
            min_nodes=least,
            now=self.clock.now(),
            newest=str(self.revision),
        )
        if not verdict.served:
            return
        self.told += 1
        alive = [one.node for one in held if self.counts(one)]
        assert len(alive) >= least, "fewer nodes than are asked for"
        for node in alive:
            for one in names:
                assert self.shown.get(node, {}).get(one) == self.secrets[one][1], (
                    f"{node} never showed {one}"
                )

    def counts(self, lease: NodeLease) -> bool:
        raw = self.leases[lease.node]
        renewed = lease.renew_time
        assert renewed is not None
        return (
            self.clock.now() - renewed <= timedelta(seconds=15)
            and "HAProxyDown" not in raw["metadata"]["annotations"][ANNOTATION]
        )


def search(walks: int) -> int:
    """So many walks with a seed each; how often something was told as served."""
    served = 0
    for seed in range(walks):
        chance = random.Random(seed)  # noqa: S311 - no secret
        fleet = Fleet()
        for _ in range(_STEPS):
            fleet.step(chance)
        served += fleet.told
    return served


def test_watermark_sound_served_means_that_every_node_showed_it() -> None:
    assert search(DEEP or 120) > 100


def _state(**changes: Any) -> Callable[..., Any]:
    real = watermark._state

    def state(mark: Any, wanted: int, secrets: Any, limit: int | None) -> Any:
        values = {"mark": mark, "wanted": wanted, "secrets": secrets, "limit": limit} | changes
        if changes.get("mark") == "honest":
            values["mark"] = mark and msgspec.structs.replace(mark, failed_count=0)
        return real(**values)

    return state


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("revision", partial(_state, wanted=0)),
        ("failed", partial(_state, secrets=())),
        ("count", partial(_state, mark="honest")),
        ("limit", partial(_state, limit=None)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_a_rule_something_is_served_that_was_not_shown(
    name: str, without: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watermark, "_state", without())
    with pytest.raises(AssertionError, match="never showed"):
        search(600)


@pytest.mark.parametrize("rule_of", ["is_current", "node_failure"])
def test_without_a_look_at_the_node_a_dead_one_counts(
    rule_of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rule_of == "is_current":
        monkeypatch.setattr(NodeLease, "is_current", lambda *_: True)
    else:
        monkeypatch.setattr(NodeLease, "node_failure", None)
    with pytest.raises(AssertionError, match=r"fewer nodes|never showed"):
        search(600)
