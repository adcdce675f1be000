"""`python -m tests.faults`: runs of faults from seeds, in one sandbox."""

import argparse
import itertools
import os
import re
import sys
import time
from collections.abc import Iterator

from tests.faults.plan import Plan, at_effect, only_kills, plan
from tests.faults.runner import guarded, report
from tests.faults.setting import started
from tests.sandboxes import remove_leftovers


def main() -> int:
    """Run; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed (default: a fresh one)")
    parser.add_argument(
        "--runs", type=int, default=0, help="how many runs (default: 5, or endless)"
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no run after so long")
    parser.add_argument("--kills", type=int, default=0, help="nothing but so many kills a run")
    parser.add_argument(
        "--effect", type=_effect, help="before:N or after:N: one kill, at that effect"
    )
    parser.add_argument("--sweep", action="store_true", help="a kill at each effect in turn")
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes if given.minutes else float("inf")
    remove_leftovers("f")
    bad = done = 0
    with started(f"f-main-{os.getpid()}", tell) as made:
        for wanted, again in _plans(given):
            if time.monotonic() > until:
                break
            tell(f"{again}: " + ", ".join(map(str, wanted.faults)))
            outcome = guarded(made, wanted)
            done += 1
            bad += not outcome.good
            report(made, outcome, again)
            if outcome.missed:
                tell("there was no such effect")
                bad += outcome.good and not given.sweep
                break
    tell(f"{done} runs, {bad} with problems")
    return 1 if bad else 0


def _effect(given: str) -> str:
    if not re.fullmatch(r"(before|after):[1-9]\d*", given):
        raise argparse.ArgumentTypeError("before:N or after:N, N from 1")
    return given


def _plans(given: argparse.Namespace) -> Iterator[tuple[Plan, str]]:
    """The runs that were asked for, each with the options that repeat it."""
    if given.effect:
        when, _, number = given.effect.partition(":")
        yield at_effect(int(number), when), f"--effect {given.effect}"
        return
    if given.sweep:
        for number in itertools.count(given.seed or 1):
            for when in ("before", "after"):
                yield at_effect(number, when), f"--effect {when}:{number}"
        return
    first = given.seed if given.seed is not None else int(time.time())
    runs = given.runs or (10**9 if given.minutes else 5)
    for seed in range(first, first + runs):
        again = f"--seed {seed} --runs 1"
        if given.kills:
            yield only_kills(seed, given.kills), f"{again} --kills {given.kills}"
        else:
            yield plan(seed), again


def tell(line: str) -> None:
    """One line, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
