"""A profile of the operator by py-spy, which looks at the process from outside while it works."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from benchmarks.errors import BenchError

_RATE = "200"
_END_SECONDS = 30.0


def program() -> str:
    """py-spy's path. Raises BenchError where it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise BenchError("--profile needs py-spy: python -m pip install py-spy")
    return found


@asynccontextmanager
async def sampled(pid: int, path: Path) -> AsyncIterator[None]:
    """Sample `pid` while the context lasts and write collapsed stacks to `path`.

    Raises BenchError where the system does not let processes be looked at.
    """
    arguments = ("record", "--pid", str(pid), "--output", str(path), "--rate", _RATE)
    sampler = await asyncio.create_subprocess_exec(
        program(),
        *arguments,
        *("--format", "raw", "--nonblocking"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            sampler.send_signal(2)
        _, told = await asyncio.wait_for(sampler.communicate(), _END_SECONDS)
    if not await asyncio.to_thread(path.exists):
        raise BenchError(f"py-spy: {told.decode(errors='replace').strip()[-500:]}")
