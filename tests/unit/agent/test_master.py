"""Reloads through the master, with the answers that versions give."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from certfront.agent.master import Master, NoAnswer, Processes, ReloadRefused
from certfront.model.clock import SystemClock

HEAD = "#<PID>          <type>          <reloads>       <uptime>        <version>\n"


def proc(reloads: int, failed: int, worker: int, *old: int) -> str:
    lines = [
        HEAD,
        f"100             master          {reloads} [failed: {failed}]   0d00h01m41s     2.6.12\n",
        "# workers\n",
        f"{worker}             worker          {failed}               0d00h01m41s     2.6.12\n",
        "# old workers\n",
        *(
            f"{pid}             worker          3               0d00h01m41s     2.6.12\n"
            for pid in old
        ),
        "# programs\n\n",
    ]
    return "".join(lines)


@asynccontextmanager
async def master(*answers: str) -> AsyncIterator[Master]:
    """Answers in turn; the last one again and again. An empty one closes at once."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        answer = left.pop(0) if len(left) > 1 else left[0]
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    directory = tempfile.mkdtemp(prefix="certfront-master-")
    server = await asyncio.start_unix_server(serve, str(Path(directory) / "m"))
    try:
        yield Master(str(Path(directory) / "m"), SystemClock())
    finally:
        server.close()
        shutil.rmtree(directory)


async def test_the_worker_is_the_current_one_not_an_old_one() -> None:
    async with master(proc(3, 0, 205, 201, 202)) as held:
        assert await held.processes() == Processes(master=100, reloads=3, failed=0, worker=205)


async def test_2_6_answers_nothing_and_show_proc_tells() -> None:
    async with master(proc(0, 0, 200), "", "", proc(1, 0, 201)) as held:
        assert await held.reload() == 201


async def test_2_6_shows_a_failure_by_its_count() -> None:
    async with master(proc(0, 0, 200), "", proc(1, 1, 200)) as held:
        with pytest.raises(ReloadRefused):
            await held.reload()


async def test_a_failure_after_a_failure_is_seen() -> None:
    async with master(proc(4, 1, 200), "", proc(5, 2, 200)) as held:
        with pytest.raises(ReloadRefused):
            await held.reload()


async def test_2_8_tells_why() -> None:
    log = "Success=0\n--\n[ALERT]    (100) : config : unknown keyword\n"
    async with master(proc(0, 0, 200), log, proc(1, 1, 200)) as held:
        with pytest.raises(ReloadRefused) as caught:
            await held.reload()
        assert "unknown keyword" in caught.value.log


async def test_3_2_refuses_a_second_reload_meanwhile() -> None:
    busy = "Success=0\n--\nAnother reload is still in progress.\n"
    async with master(proc(0, 0, 200), busy, busy, "Success=1\n--\n", proc(1, 0, 201)) as held:
        assert await held.reload() == 201


async def test_an_answer_that_is_no_list_of_processes_is_none() -> None:
    async with master("Permission denied\n") as held:
        with pytest.raises(NoAnswer):
            await held.processes()
