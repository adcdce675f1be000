"""What a worker has in memory: certificates, crt-lists and maps. Used by `applying`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from certfront.agent.runtime import ListLine, Refused, Runtime


@dataclass(slots=True, kw_only=True)
class Memory:
    """One worker's memory, kept up to date by whoever changes it.

    `certificates` has the identity of each leaf by path, empty for a certificate without content.
    """

    worker: int
    certificates: dict[str, str]
    lists: dict[str, tuple[ListLine, ...]]
    maps: dict[str, dict[str, str]]


async def observe(
    runtime: Runtime, worker: int, map_files: Iterable[str], *, below: str = "/"
) -> Memory:
    """Read everything; open transactions are aborted. Raises NoAnswer.

    What is not named by a path that starts with `below` is someone else's, and not looked at.
    """
    held = await runtime.abort_transactions()
    names = sorted(name for name in held if name.startswith(below))
    identities = await runtime.identities(names)
    files = sorted(file for file in await runtime.lists() if file.startswith(below))
    lists = {file: await runtime.list_lines(file) for file in files}
    maps: dict[str, dict[str, str]] = {}
    for file in map_files:
        try:
            maps[file] = await runtime.map(file)
        except Refused:
            # The worker's configuration does not use this map.
            continue
    return Memory(
        worker=worker,
        certificates={name: identities.get(name, "") for name in names},
        lists=lists,
        maps=maps,
    )
