"""`python -m benchmarks`, which `make bench` runs."""

import asyncio
import signal
import sys
from pathlib import Path

import click
import rich.console

from benchmarks import plan, sampling
from benchmarks.errors import BenchError
from benchmarks.figures import Figures, save, table
from sandbox import lifecycle
from sandbox.environment import REPOSITORY
from sandbox.errors import SandboxError
from sandbox.lifecycle import Wishes

BUILD = REPOSITORY / "build"
_name = click.option("--name", default="bench", show_default=True, help="Which sandbox to make.")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("-n", "--certificates", type=click.IntRange(10, 100_000), default=2000)
@click.option("--rounds", type=click.IntRange(1, 20), default=1, help="Drain and ceiling, in turn.")
@click.option(
    "--served", type=click.IntRange(1, 200), default=20, help="Samples of apply to served."
)
@click.option("--rest", type=click.FloatRange(1), default=60.0, help="Seconds of watching at rest.")
@click.option(
    "--uploads",
    type=click.IntRange(0, 100_000),
    default=0,
    help="Unlabelled upload sources to observe for one polling period of five minutes.",
)
@click.option(
    "--profile", is_flag=True, help="Sample the first drain by py-spy; its figures suffer."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=BUILD / "bench.json",
    show_default="build/bench.json",
)
@click.option(
    "--keep-logs", is_flag=True, help="Keep the sandbox's logs, the audit log among them."
)
@_name
def main(
    certificates: int,
    rounds: int,
    served: int,
    rest: float,
    uploads: int,
    profile: bool,
    output: Path,
    keep_logs: bool,
    name: str,
) -> None:
    """Measure certfront on a sandbox of its own. Only a quiet machine gives figures to compare."""
    console = rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = plan.Options(
        certificates=certificates,
        rounds=rounds,
        served=served,
        rest_seconds=rest,
        uploads=uploads,
        profile=BUILD / "profile.txt" if profile else None,
    )
    try:
        found = _measured(name, options, console, keep_logs=keep_logs)
    except (SandboxError, BenchError) as error:
        raise click.ClickException(str(error)) from None
    console.print(table(found))
    save(found, output)
    console.print(f"written to {output}")


def _measured(
    name: str, options: plan.Options, console: rich.console.Console, *, keep_logs: bool
) -> Figures:
    """Measure on a sandbox that is gone afterwards; its logs are kept where something fails."""
    if options.profile is not None:
        sampling.program()
        options.profile.parent.mkdir(parents=True, exist_ok=True)
    current = lifecycle.up(
        Wishes(name=name, operator=False), lambda line: console.print(f"  {line}")
    )
    failed = True
    try:
        found = asyncio.run(plan.run(current, options, console.print))
        failed = False
    finally:
        kept = lifecycle.down(name, keep_logs=keep_logs or failed)
        if kept is not None:
            console.print(f"The logs are in {kept}")
    return found


if __name__ == "__main__":
    main()
