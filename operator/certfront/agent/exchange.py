"""One exchange with a unix socket of HAProxy: connect, send once, read to the end.

A connection that is closed early during a command can crash a worker (the instances of a
certificate are limited for the same reason), so an exchange that has begun is always finished.
Used by `runtime` and `master`.
"""

from __future__ import annotations

import asyncio
from typing import Final

_LONGEST_ANSWER: Final = 64 * 2**20


class NoAnswer(Exception):
    """No complete answer: HAProxy is down, reloading, or it dropped the command."""


async def exchange(path: str, request: bytes, *, seconds: float, half_close: bool = False) -> str:
    """The whole answer to `request`, which may be empty. Raises NoAnswer.

    `half_close` ends our side after sending; the master's command line waits for that.
    """
    task = asyncio.ensure_future(_exchange(path, request, half_close))
    try:
        # Shielded: a cancelled caller must not close the connection in the middle of a command.
        return await asyncio.wait_for(asyncio.shield(task), seconds)
    except TimeoutError:
        task.cancel()
        raise NoAnswer(f"no answer within {seconds:g} seconds") from None
    except OSError as error:
        raise NoAnswer(f"the socket does not answer ({error.strerror})") from None


async def _exchange(path: str, request: bytes, half_close: bool) -> str:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(request)
        await writer.drain()
        if half_close:
            writer.write_eof()
        answer = await _read(reader)
    finally:
        writer.close()
    return answer.decode("utf-8", "replace")


async def _read(reader: asyncio.StreamReader) -> bytes:
    parts = bytearray()
    while part := await reader.read(65536):
        parts += part
        if len(parts) > _LONGEST_ANSWER:
            raise NoAnswer("the answer is too long")
    return bytes(parts)
