"""`python -m sandbox.emulators <name>`: runs one emulator in the foreground until SIGTERM.

The flags of an emulator are the keywords of its constructor: `issuance_seconds: float = 2.0` is
`--issuance-seconds 2.0`, a boolean is `--listing/--no-listing`, a tuple is given by repeating its
flag, and a mapping by repeating `--lbs 42=8443`.
"""

import asyncio
import importlib
import inspect
import logging
import signal
import types
import typing
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import click

from sandbox.emulators import NAMES
from sandbox.emulators.server import Emulator, SteppedClock, serving

_COMMON = ("self", "clock", "front", "seed", "api")
_PLAIN = (int, float, str)


class _Pair(click.ParamType[tuple[str, Any]]):
    """`key=value`, the value of a plain type."""

    name = "key=value"

    def __init__(self, value: type) -> None:
        self._value = value

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key:
            self.fail(f"{value!r} is not key=value", param, ctx)
        try:
            return key, self._value(text)
        except ValueError:
            self.fail(f"{text!r} is no {self._value.__name__}", param, ctx)


class _Emulators(click.Group):
    """A command for each emulator, imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(NAMES)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        return _command(emulator_class(cmd_name)) if cmd_name in NAMES else None


def emulator_class(name: str) -> type[Emulator]:
    """The emulator of this name; raises LookupError where its module has none."""
    module = importlib.import_module(f"sandbox.emulators.{name}")
    for found in vars(module).values():
        if not (isinstance(found, type) and issubclass(found, Emulator)):
            continue
        if getattr(found, "name", None) == name:
            return found
    raise LookupError(f"sandbox.emulators.{name} has no emulator of that name")


def _command(emulator: type[Emulator]) -> click.Command:
    options = [
        click.Option(
            ["--api"], default="127.0.0.1:0", help="Address of the API (port 0: a free one)."
        ),
        click.Option(["--front"], default="127.0.0.1", help="Address of what it serves."),
        click.Option(["--seed"], type=int, default=0, help="Seed of its ids."),
    ]
    hints = typing.get_type_hints(emulator.__init__, include_extras=True)
    for name, parameter in inspect.signature(emulator.__init__).parameters.items():
        if name not in _COMMON and parameter.default is not parameter.empty:
            option = _option(name, hints.get(name, str), parameter.default)
            if option is not None:
                options.append(option)

    def run(api: str, front: str, seed: int, **given: Any) -> None:
        logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
        host, _, port = api.rpartition(":")
        if not host or not port.isdigit():
            raise click.BadParameter("give HOST:PORT", param_hint="--api")
        # click gives repeated pairs as a tuple of tuples; only mappings have such.
        taken = {
            name: dict(value) if isinstance(defaults[name], Mapping) else value
            for name, value in given.items()
        }
        stand_in = emulator(clock=SteppedClock(), front=front, seed=seed, **taken)
        asyncio.run(_serve(stand_in, host, int(port)))

    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(emulator.__init__).parameters.items()
    }
    text = (inspect.getdoc(emulator) or "").partition("\n\n")[0]
    return click.Command(emulator.name, params=list(options), callback=run, help=text)


def _option(name: str, hint: Any, default: Any) -> click.Option | None:
    """The flag of one keyword, or None for a type that no flag can give."""
    help_text = ""
    if typing.get_origin(hint) is Annotated:
        hint, *notes = typing.get_args(hint)
        help_text = next((note for note in notes if isinstance(note, str)), "")
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        hint = kinds[0] if len(kinds) == 1 else None
    flag = "--" + name.replace("_", "-")
    more: dict[str, Any] = {"help": help_text or None, "default": default, "show_default": True}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], **more)
    if hint in _PLAIN:
        return click.Option([flag], type=hint, **more)
    if origin is Literal:
        return click.Option([flag], type=click.Choice(arguments), **more)
    if isinstance(origin, type) and issubclass(origin, Mapping) and arguments[1] in _PLAIN:
        more["default"] = tuple(dict(default).items())
        return click.Option([flag], type=_Pair(arguments[1]), multiple=True, **more)
    if isinstance(origin, type) and issubclass(origin, Collection) and arguments[0] in _PLAIN:
        more["default"] = tuple(default)
        return click.Option([flag], type=arguments[0], multiple=True, **more)
    return None


async def _serve(emulator: Emulator, host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(emulator, host=host, port=port) as running:
        # The first line of output is the API's address, for whoever gave port 0.
        click.echo(f"{emulator.name} at {running.url}")
        await stopped.wait()


@click.group(cls=_Emulators, help="Run a stand-in for a cloud balancer's API.")
def main() -> None:
    """Run the command line."""


if __name__ == "__main__":
    main()
