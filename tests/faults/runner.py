"""One run: a tenant of twenty certificates, the faults of a plan, and the checks from outside."""

import random
import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from sandbox.environment import REPOSITORY
from sandbox.gate import OPEN
from tests.e2e.clients import eventually
from tests.faults import checks, evidence, observing
from tests.faults.acts import Acts, killing, post
from tests.faults.plan import Plan
from tests.faults.setting import ONE_OF_EACH, ROUNDS, TWENTY, Setting, Size, build, logs

KEPT: Final = REPOSITORY / "build" / "faults"
READY_SECONDS: Final = 150.0
_UNDISTURBED: Final = 2
_MAY_FAIL: Final = frozenset(
    ("kill-agent", "kill-haproxy", "kill-node", "restart-pebble", "restart-apiserver", "slow")
)
"""Faults that may cost a validation: the certificate says so, and a person asks again."""


@dataclass
class Outcome:
    """How a run ended."""

    plan: Plan
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    effects: int = 0
    orders: int = 0
    idle: int = 0
    """How many of its faults have hit nothing."""
    missed: bool = False
    """Whether there was no effect of that number."""

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


@dataclass
class _Mark:
    """Where logs ended before a run."""

    sizes: dict[str, int]
    pebble: int
    effects: int
    journal: int
    audit: int


def guarded(setting: Setting, plan: Plan) -> Outcome:
    """A run whose own failure is a problem, too."""
    try:
        return run(setting, plan, ONE_OF_EACH if plan.from_start else TWENTY)
    except Exception:  # noqa: BLE001 - reported with its trace; the next seed may still find something
        return Outcome(plan=plan, problems=[traceback.format_exc()])


def report(setting: Setting, outcome: Outcome, again: str) -> None:
    """Say how a run ended; keep its logs and say how to repeat it if something was found."""
    tell = setting.tell
    counted = f"{outcome.effects} effects, {outcome.orders} orders finalized"
    words = "nothing found" if outcome.good else f"{len(outcome.problems)} problems"
    tell(f"{again}: {words} ({outcome.seconds:.0f} s, {counted})")
    if outcome.idle:
        tell(f"  {outcome.idle} of {len(outcome.plan.faults)} faults hit nothing")
    if outcome.good:
        return
    for problem in outcome.problems:
        tell(f"  {problem}")
    tell(f"  logs: {keep(setting, outcome)}")
    tell(f"  again: python -m tests.faults {again}")


def run(setting: Setting, plan: Plan, size: Size = TWENTY) -> Outcome:
    """Do one run in a tenant of its own, which is removed at the end."""
    started = time.monotonic()

    def tell(line: str) -> None:
        before(f"{time.monotonic() - started:6.1f} s  {line}")

    before, setting.tell = setting.tell, tell
    outcome = Outcome(plan=plan)
    mark = _mark(setting)
    try:
        rule = killing(setting, plan.faults[0]) if plan.from_start else None
        post(setting, rule or OPEN)
        estate = build(setting, size)
        tell(f"seed {plan.seed}: {len(estate.types)} certificates in {estate.namespace}")
        chosen = random.Random(plan.seed)  # noqa: S311 - repeatable on purpose
        acts = Acts(setting, estate, chosen, audited=mark.audit)
        if rule is not None:
            outcome.missed = not acts.at_effect(rule)
            outcome.idle = int(outcome.missed)
            setting.revive()
        else:
            outcome.problems += _disturbed(setting, acts, plan)
            outcome.idle = len(acts.idle)
        outcome.problems += _judged(setting, acts, plan, mark)
        outcome.orders = len(evidence.finalized(setting.world.log("pebble")[mark.pebble :]))
        estate.remove()
    finally:
        setting.tell = before
    outcome.effects = len(setting.gate.effects) - mark.effects
    outcome.seconds = time.monotonic() - started
    return outcome


def keep(setting: Setting, outcome: Outcome) -> Path:
    """Copy the logs of all processes to a directory of build/faults; returns which."""
    target = KEPT / outcome.plan.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, path in logs(setting.state).items():
        shutil.copy(path, target / name)
    effects = "\n".join(map(str, setting.gate.effects))
    (target / "effects.txt").write_text(effects + "\n")
    told = "\n".join([*map(str, outcome.plan.faults), "", *outcome.problems])
    (target / "outcome.txt").write_text(told + "\n")
    return target


def _disturbed(setting: Setting, acts: Acts, plan: Plan) -> list[str]:
    for number, fault in enumerate(plan.faults):
        setting.tell(f"{number + 1}. {fault}")
        if number >= _UNDISTURBED:
            acts.stir()
        try:
            acts.do(fault)
        except AssertionError as error:
            return [f"{fault}: {error}", *acts.unready(), *acts.problems]
    return acts.problems


def _judged(setting: Setting, acts: Acts, plan: Plan, mark: _Mark) -> list[str]:
    """Everything that must be so at the end; what is wrong."""
    setting.tell("faults are over")
    setting.open_doors()
    wrong: list[str] = []
    try:
        acts.settle(READY_SECONDS, why="all Ready", nudge=bool(plan.kinds() & _MAY_FAIL))
    except AssertionError as error:
        return [str(error), *acts.unready()]
    setting.tell("all Ready")
    try:
        setting.world.quiet(ROUNDS)
    except AssertionError as error:
        wrong.append(f"writes do not stop: {error}")
    setting.tell("quiet")
    acts.read_audit()
    estate = acts.estate
    secrets = observing.by_name(setting, estate.namespace)
    trusted = observing.trusted(setting, estate, secrets)
    for name, hosts in estate.hosts.items():
        wrong += checks.pair(secrets[name], hosts, trusted[name])
    issued = evidence.finalized(setting.world.log("pebble")[mark.pebble :], mark.pebble)
    wrong += _orders(acts, secrets, issued)
    wrong += _remains(setting, acts)
    wrong += _answered(setting, mark, len(issued))
    wrong += observing.unserved(setting, estate)
    wrong += checks.told_keys(_places(setting, mark), _keys(setting, mark))
    setting.tell(f"checked: {len(wrong)} problems")
    return wrong


def _orders(
    acts: Acts, secrets: Mapping[str, dict[str, Any]], issued: Sequence[evidence.Finalized]
) -> list[str]:
    fulfilled = [
        checks.Fulfilled(
            name=name,
            need=secrets[name]["metadata"]["annotations"].get(checks.NEED, ""),
            serial=checks.serial(secrets[name]),
        )
        for name in acts.estate.of_type("ACME")
    ]
    return checks.orders(issued, acts.orders.recorded, fulfilled, acts.excuses)


def _remains(setting: Setting, acts: Acts) -> list[str]:
    secrets = [
        *observing.secrets(setting, acts.estate.namespace),
        *observing.secrets(setting, "edge"),
    ]
    wrong = checks.left_over(secrets, acts.estate.namespace)
    for namespace in acts.gone:
        try:
            eventually(partial(_is_gone, setting, namespace), seconds=90, why="gone")
        except AssertionError:
            wrong.append(f"the namespace {namespace} does not end")
            continue
        wrong += checks.traces(observing.secrets(setting, "edge"), namespace)
    return wrong


def _is_gone(setting: Setting, namespace: str) -> bool:
    return setting.world.api.get("Namespace", "", namespace) is None


def _answered(setting: Setting, mark: _Mark, finalized: int) -> list[str]:
    seen = checks.tokens(
        entry.body
        for entry in setting.world.journal.since(mark.journal)
        if entry.kind == "Certificate"
    )
    return checks.answered(finalized, seen, observing.answers(setting, sorted(seen)))


def _mark(setting: Setting) -> _Mark:
    return _Mark(
        sizes={name: path.stat().st_size for name, path in logs(setting.state).items()},
        pebble=len(setting.world.log("pebble")),
        effects=len(setting.gate.effects),
        journal=setting.world.journal.mark(),
        audit=setting.world.audit_size(),
    )


def _places(setting: Setting, mark: _Mark) -> dict[str, str]:
    """What was logged in this run. The audit log holds no Secrets, so it is no exception."""
    found = {}
    for name, path in logs(setting.state).items():
        with path.open("rb") as log:
            log.seek(mark.sizes.get(name, 0))
            found[name] = log.read().decode(errors="replace")
    return found


def _keys(setting: Setting, mark: _Mark) -> list[bytes]:
    """Every private key that was in a Secret at any time of this run."""
    return [
        key
        for entry in setting.world.journal.since(mark.journal)
        if entry.kind == "Secret" and (key := checks.entry(entry.body, "tls.key"))
    ]
