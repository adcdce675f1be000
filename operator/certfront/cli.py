"""The command line: `certfront operator` and `certfront agent`."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from certfront import __version__, logs
from certfront.agent.options import AgentOptions, parse_port_map, parse_ports
from certfront.config import InvalidSettings, read_settings
from certfront.kube.client import ApiClient

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 -- a load balancer listens to everyone


@click.group()
@click.version_option(__version__)
@click.option("--verbose", is_flag=True, help="Log more.")
def main(verbose: bool) -> None:
    """Certificates issued, installed on load balancers, and proven to be served."""
    logs.configure(verbose=verbose)


@main.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The installation's settings (YAML).",
)
def operator(config: Path | None) -> None:
    """Run the operator against the cluster of $KUBECONFIG, or the one it runs in."""
    from certfront import app  # an agent does not need what the operator imports

    try:
        settings = read_settings(config)
    except InvalidSettings as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    asyncio.run(app.run(settings))


def _port_map(_context: click.Context, _parameter: click.Parameter, text: str) -> dict[int, int]:
    try:
        return parse_port_map(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _ports(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return parse_ports(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@main.command()
@click.option("--load-balancer", required=True, help="The LoadBalancer this node belongs to.")
@click.option("--namespace", required=True, help="The LoadBalancer's namespace.")
@click.option("--node", required=True, help="This node's name, another one for each node.")
@click.option(
    "--directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    help="Where haproxy.cfg, certificates and sockets are; shared with HAProxy.",
)
@click.option("--bind-address", default=ANY_ADDRESS, help="The address listeners bind.")
@click.option(
    "--port-map", default="", callback=_port_map, help="Ports to bind instead: 443=8443,80=8080."
)
@click.option("--master-socket", type=click.Path(path_type=Path), help="HAProxy's -S socket.")
@click.option("--health-address", default="", help="host:port of /healthz and /readyz.")
@click.option("--haproxy", default="haproxy", help="The program that checks configurations.")
@click.option(
    "--certificates-only",
    is_flag=True,
    help="HAProxy is configured by someone else: keep certificates and a crt-list a port.",
)
@click.option(
    "--runtime-socket",
    type=click.Path(path_type=Path),
    help="With --certificates-only: the stats socket (level admin) of that HAProxy.",
)
@click.option(
    "--list-ports",
    default="443",
    callback=_ports,
    help="With --certificates-only: the ports whose crt-lists are written at once.",
)
@click.option("--init", is_flag=True, help="Write a directory that HAProxy starts from, and exit.")
def agent(init: bool, **given: Any) -> None:
    """Keep the HAProxy beside this process serving what its LoadBalancer's frontends ask for."""
    from certfront.agent import node  # the operator does not need what an agent imports

    try:
        options = AgentOptions(**given)
        if init:
            node.initialise(options)
        else:
            asyncio.run(node.run(options, ApiClient.from_environment))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
