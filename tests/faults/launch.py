"""Starts `certfront` with a fault inside: another clock, shorter rounds, death at the n-th write.

    python -m tests.faults.launch --clock 86400 -- operator --config settings.yaml
    python -m tests.faults.launch --at 3 -- agent --load-balancer …
    python -m tests.faults.launch --at 3 --victim <sandbox directory>:haproxy-1 -- agent …

The product is not changed for it: the clock it is handed is another one, and the interpreter's
audit events tell of each write. `--rounds` makes the sweep and the audits come every so many
seconds instead of minutes.
"""

import argparse
import datetime as dt
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sandbox import processes

_WRITING = os.O_WRONLY | os.O_RDWR


class Writes:
    """Counts what a process does to its directory and to HAProxy; the n-th does not happen.

    A write is a file opened for writing, a rename, a removal, or a connection to a unix socket
    (each is one command for HAProxy). The count begins with the process.
    """

    def __init__(self, at: int, directory: str, victim: str) -> None:
        self._left = at
        self._directory = directory
        self._victim = victim
        self._busy = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook of the interpreter."""
        if self._busy or self._left <= 0 or not self._is_write(event, arguments):
            return
        self._left -= 1
        if self._left:
            return
        self._busy = True
        print(f"fault: {self._victim or 'this process'} dies before {event}", flush=True)
        if not self._victim:
            os.kill(os.getpid(), signal.SIGKILL)
        root, _, name = self._victim.rpartition(":")
        processes.kill(Path(root), name)

    def _is_write(self, event: str, arguments: tuple[Any, ...]) -> bool:
        match event:
            case "open":
                path, _, flags = arguments
                return bool(flags & _WRITING) and self._is_inside(path)
            case "os.rename" | "os.remove":
                return self._is_inside(arguments[0])
            case "socket.connect":
                return self._is_inside(arguments[1])
            case _:
                return False

    def _is_inside(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and str(path).startswith(self._directory)


def main() -> None:
    """Prepare the faults, then be `certfront`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clock", type=float, default=0.0, help="seconds the clock is ahead")
    parser.add_argument("--rounds", type=float, default=0.0, help="seconds between sweeps, audits")
    parser.add_argument("--at", type=int, default=0, help="be killed before the n-th write")
    parser.add_argument("--victim", default="", help="DIRECTORY:NAME of who is killed instead")
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    if given.clock:
        _move_clock(dt.timedelta(seconds=given.clock))
    if given.rounds:
        _shorten_rounds(given.rounds)
    if given.at:
        place = given.arguments[given.arguments.index("--directory") + 1]
        sys.addaudithook(Writes(given.at, place, given.victim))
    sys.argv = ["certfront", *given.arguments]
    from certfront.cli import main as certfront  # after the clock was moved

    certfront()


def _move_clock(ahead: dt.timedelta) -> None:
    from certfront.model.clock import SystemClock

    def now(_self: SystemClock) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + ahead

    setattr(SystemClock, "now", now)  # noqa: B010 - the fault itself, which no type allows


def _shorten_rounds(seconds: float) -> None:
    """The sweep of the operator, the agent's watches, their silence and their audits.

    Also how long the claim of a dead holder is respected, which is the deadline of a call.
    """
    from certfront.agent import watching
    from certfront.engine.sweep import Sweep
    from certfront.issuance.acme import order
    from certfront.kube import client

    defaults = Sweep.__init__.__kwdefaults__
    assert defaults is not None
    assert "interval" in defaults
    defaults["interval"] = seconds
    for module, name, value in (
        (order, "CLAIM_SECONDS", seconds),
        (watching, "_AUDIT_SECONDS", seconds),
        (client, "_WATCH_LENGTH", (round(seconds), round(seconds) + 2)),
        (client, "_WATCH_SILENCE", seconds + 4),
    ):
        assert hasattr(module, name)
        setattr(module, name, value)


if __name__ == "__main__":
    main()
