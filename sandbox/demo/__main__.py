"""`python -m sandbox.demo`, which `make demo` runs."""

import signal
import sys

import click
import rich.console

from sandbox.demo.provider_story import ProviderStory
from sandbox.demo.story import Story
from sandbox.emulators import NAMES as EMULATORS
from sandbox.errors import SandboxError


@click.command()
@click.option("--name", default="demo", show_default=True, help="Which sandbox to make.")
@click.option("--nodes", type=click.IntRange(1, 20), default=2, show_default=True)
@click.option(
    "--provider",
    type=click.Choice(EMULATORS),
    help="Show this cloud balancer, by a stand-in for it, instead of HAProxy.",
)
@click.option(
    "--exit", "leave", is_flag=True, help="Stop everything at the end instead of waiting."
)
def main(name: str, nodes: int, provider: str | None, leave: bool) -> None:
    """Start a cluster, issue four certificates, serve them on HAProxy, rotate one under load."""
    console = rich.console.Console(
        highlight=False, emoji=False, width=None if sys.stdout.isatty() else 150
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen: Story | ProviderStory
    if provider is None:
        chosen = Story(name=name, nodes=nodes, console=console)
    else:
        chosen = ProviderStory(name=name, provider=provider, console=console)
    try:
        with chosen as story:
            story.tell()
            if not leave:
                story.leave_running()
    except SandboxError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        console.print("\nStopped.")


main()
