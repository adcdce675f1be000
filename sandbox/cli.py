"""The command line of the sandbox: `python -m sandbox`. Every command returns when it is done."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import rich.console
import rich.table

from sandbox import binaries, lifecycle, state
from sandbox.emulators import NAMES as EMULATORS
from sandbox.errors import SandboxError
from sandbox.report import report
from sandbox.state import Emulator

_name = click.option("--name", default="default", show_default=True, help="Which sandbox.")


class _Commands(click.Group):
    """Shows an error of the sandbox as a message, without a trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SandboxError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real cluster on one machine: API server, ACME server, DNS, HAProxy nodes, operator."""


@main.command()
@_name
@click.option("--nodes", type=click.IntRange(0, 200), default=2, show_default=True)
@click.option("--haproxy", type=click.Choice(["2.8", "2.6"]), default="2.8", show_default=True)
@click.option("--operator/--no-operator", default=True, help="Start the operator, too.")
@click.option(
    "--provider",
    "emulators",
    type=click.Choice(EMULATORS),
    multiple=True,
    help="Start a stand-in for this cloud balancer, too; may be repeated.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings of the operator (YAML) that go before the sandbox's own.",
)
def up(
    name: str,
    nodes: int,
    haproxy: str,
    operator: bool,
    emulators: tuple[str, ...],
    config: Path | None,
) -> None:
    """Start a sandbox."""
    wishes = lifecycle.Wishes(
        name=name,
        nodes=nodes,
        haproxy=haproxy,
        operator=operator,
        emulators=tuple(dict.fromkeys(emulators)),
        settings=config,
    )
    # A start that is ended from outside leaves as little behind as one that is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = lifecycle.up(wishes, tell)
    if started.kubeconfigs is not None:
        click.echo(f"export KUBECONFIG={started.kubeconfigs.admin}")
    for emulator in started.emulators:
        click.echo(_shown(emulator))


@main.command()
@_name
@click.option("--keep-logs", is_flag=True, help="Move the logs away instead of removing them.")
def down(name: str, keep_logs: bool) -> None:
    """Stop everything and remove it."""
    kept = lifecycle.down(name, keep_logs=keep_logs)
    tell(f"sandbox {name!r} is gone" + (f"; its logs are in {kept}" if kept else ""))


@main.command()
def build() -> None:
    """Find or build every program, so that nothing later has to wait for it."""
    binaries.check_machine()
    binaries.ensure(binaries.PROGRAMS, tell)


@main.command()
@_name
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def status(name: str, output: str) -> None:
    """Show what runs, and where its files are."""
    found = report(state.load(name))
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    console = rich.console.Console()
    console.print(f"sandbox {found.name}: {found.directory}", highlight=False, soft_wrap=True)
    console.print(f"KUBECONFIG={found.kubeconfig}", highlight=False, soft_wrap=True)
    table = rich.table.Table("process", "pid", "state")
    table.add_column("log", overflow="fold")
    for process_name, process in found.processes.items():
        table.add_row(process_name, str(process.pid or ""), process.state, process.log)
    console.print(table)
    places = rich.table.Table("node", "address", "HAProxy", "directory")
    for node in found.nodes:
        places.add_row(node.name, node.address, node.haproxy_version, node.directory)
    if found.nodes:
        console.print(places)
    for emulator in found.emulators:
        console.print(_shown(emulator), highlight=False, soft_wrap=True)


@main.command(name="list")
def list_sandboxes() -> None:
    """List this user's sandboxes."""
    for found in state.all_states():
        click.echo(f"{found.name}\t{found.directory}")


def _shown(emulator: Emulator) -> str:
    """Where an emulator is reached; its credentials are made for this sandbox and worth nothing."""
    found = " ".join(f"{name}={value}" for name, value in emulator.credentials.items())
    return (
        f"{emulator.name}: API {emulator.url}, serves on {emulator.front}"
        f" (HTTPS {emulator.https_port}, HTTP {emulator.http_port}), credentials {found}"
    )


def tell(line: str) -> None:
    """Show one line of progress on standard error."""
    click.echo(line, err=True)
    sys.stderr.flush()


def _action(name: str, act: Callable[..., object], text: str) -> None:
    @main.command(name=name, help=text)
    @click.argument("target")
    @_name
    def command(target: str, name: str) -> None:
        act(name, target, tell)


_TARGETS = (
    " TARGET: operator, node-1, haproxy-1, agent-1, apiserver, controllers, etcd, pebble, dns,"
    f" {', '.join(EMULATORS)}."
)
_action("start", lifecycle.start, "Start a process or node; a new node is made." + _TARGETS)
_action("stop", lifecycle.stop, "Stop a process or node as its supervisor would." + _TARGETS)
_action("restart", lifecycle.restart, "Stop and start a process or node." + _TARGETS)
_action("kill", lifecycle.kill, "Kill a process or node with SIGKILL." + _TARGETS)
_action("remove", lifecycle.remove_node, "Stop a node and remove its directory.")
