"""HAProxy's certificate commands on the stats socket, with every answer checked.

The agent is the only client of these commands. Nothing that a user wrote is sent: paths are made
from Secret names, crt-list lines from checked host names, PEM is written anew from parsed objects.
Each check below stands for a version that corrupts or dies without it.
Used by `applying`, `memory` and `reconcile`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from certfront.agent.exchange import NoAnswer, exchange

LARGEST_COMMAND: Final = 16_000
"""Bytes of a whole command. From 16,384 on some versions hang, abort or cut the payload."""

_SECONDS: Final = 30.0
_LOCKED_RETRIES: Final = 20
_LOCKED_PAUSE: Final = 0.1
_PATHS: Final = re.compile(r"/[A-Za-z0-9._/-]{1,400}")
_TRANSACTION: Final = re.compile(r"Transaction (created|updated) for certificate (\S+)!")
_MAP_PART: Final = re.compile(r"[A-Za-z0-9._:/\[\]*-]{1,1024}")
_LIST_LINE: Final = re.compile(r"(?P<path>\S+?):(?P<number>\d+)(?: (?P<rest>.*))?")


class Refused(Exception):
    """HAProxy answered, and did not do it. The message is HAProxy's, bounded, without our bytes."""


class Locked(Refused):
    """Another command holds the certificates, and does not let go: only a reload helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """The worker that answers: its pid, its version, and the `description` of its configuration."""

    pid: int
    version: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLine:
    """A line of a crt-list in memory: the number to delete it by, and its text."""

    number: int
    path: str
    text: str


def set_command(path: str, pem: bytes) -> bytes:
    """The command that hands over a pair. Raises ValueError for a blank line, which would end it."""
    if b"\n\n" in pem or b"\r" in pem or not pem.endswith(b"\n"):
        raise ValueError("the PEM is not in canonical form")
    return b"set ssl cert " + _word(path).encode() + b" <<\n" + pem + b"\n"


class Runtime:
    """The commands of one stats socket. Methods raise NoAnswer, Refused or Locked."""

    def __init__(self, socket_path: str, *, seconds: float = _SECONDS) -> None:
        self._path = socket_path
        self._seconds = seconds

    async def info(self) -> WorkerInfo:
        """Who answers. Raises NoAnswer if HAProxy is down."""
        answer = await self._ask("show info")
        fields = {
            name: value
            for name, colon, value in (line.partition(": ") for line in answer.splitlines())
            if colon
        }
        try:
            return WorkerInfo(
                pid=int(fields["Pid"]),
                version=fields["Version"],
                description=fields.get("description", ""),
            )
        except (KeyError, ValueError):
            raise NoAnswer("show info has no pid") from None

    async def certificates(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """The names of all certificates in memory, and those with an open transaction."""
        names = set()
        transactions = []
        for line in (await self._ask("show ssl cert", may_be_empty=True)).splitlines():
            if line.startswith("*"):
                transactions.append(line[1:].strip())
            elif line.startswith("/"):
                names.add(line.strip())
        return frozenset(names), tuple(transactions)

    async def abort_transactions(self) -> frozenset[str]:
        """Abort what a dead client has left open; returns the names of all certificates."""
        names, transactions = await self.certificates()
        for path in transactions:
            # Someone else's certificate may have a path that no command of ours can say.
            if _PATHS.fullmatch(path):
                await self._ask(f"abort ssl cert {path}")
        return names

    async def identities(self, paths: Iterable[str]) -> dict[str, str]:
        """What each certificate in memory shows of itself, by path.

        SHA-1 of the leaf in upper-case hex; `serial <hex>` where HAProxy shows no more (it stops at
        the algorithm of an Ed25519 key). Absent and empty certificates are left out.
        """
        found: dict[str, str] = {}
        for command in _batches([f"show ssl cert {_word(path)}" for path in paths]):
            current = ""
            for line in (await self._ask(command)).splitlines():
                name, _, value = line.partition(": ")
                if name == "Filename":
                    current = value.strip()
                elif name == "Serial" and current:
                    found[current] = f"serial {value.strip().upper()}"
                elif name == "SHA1 FingerPrint" and current:
                    found[current] = value.strip().upper()
        return found

    async def install(
        self,
        path: str,
        pem: bytes,
        *,
        is_ours: Callable[[str], bool],
        known: bool,
        staged: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Make `path` hold the pair; `is_ours` judges the identity that it has afterwards.

        `known` says whether the certificate is in memory already. `staged` is awaited once HAProxy
        has taken the pair into a transaction, before it is committed.
        """
        if not known:
            answer = await self._ask(f"new ssl cert {_word(path)}")
            if "New empty certificate store" not in answer and "already exists" not in answer:
                raise _refused("new", answer)
        await self._set(path, set_command(path, pem))
        if staged is not None:
            try:
                await staged()
            except Exception:
                await self._ask(f"abort ssl cert {_word(path)}")
                raise
        answer = await self._ask(f"commit ssl cert {_word(path)}")
        if "Success!" not in answer:
            await self._ask(f"abort ssl cert {_word(path)}")
            raise _refused("commit", answer)
        if not is_ours((await self.identities([path])).get(path, "")):
            raise Refused("commit: another certificate than ours is in memory")

    async def delete_certificate(self, path: str) -> None:
        """Remove a certificate that no list names; it is no error if it is gone."""
        answer = await self._ask(f"del ssl cert {_word(path)}")
        if "deleted!" not in answer and "doesn't exist" not in answer:
            raise _refused("del", answer)

    async def lists(self) -> frozenset[str]:
        """The paths of all crt-lists in memory."""
        answer = await self._ask("show ssl crt-list", may_be_empty=True)
        return frozenset(line.strip() for line in answer.splitlines() if line.startswith("/"))

    async def list_lines(self, file: str) -> tuple[ListLine, ...]:
        """The lines of a crt-list in memory, in order."""
        lines = []
        for line in (await self._ask(f"show ssl crt-list -n {_word(file)}")).splitlines():
            match = _LIST_LINE.fullmatch(line.strip())
            if match is None or line.startswith("#"):
                continue
            path, rest = match["path"], match["rest"]
            lines.append(
                ListLine(
                    number=int(match["number"]), path=path, text=f"{path} {rest}" if rest else path
                )
            )
        return tuple(lines)

    async def add_line(self, file: str, text: str) -> None:
        """Add a line at the end; repeated, it would be there twice, so look before."""
        if "\n" in text or "<" in text:
            raise ValueError("a crt-list line is one line")
        answer = await self._ask(f"add ssl crt-list {_word(file)} <<\n{text}\n")
        if "Success!" not in answer:
            raise _refused("add", answer)

    async def delete_line(self, file: str, line: ListLine) -> None:
        """Delete a line by its number."""
        answer = await self._ask(f"del ssl crt-list {_word(file)} {_word(line.path)}:{line.number}")
        if "deleted in crtlist" not in answer:
            raise _refused("del", answer)

    async def map(self, file: str) -> dict[str, str]:
        """The entries of a map in memory."""
        answer = await self._ask(f"show map {_word(file)}", may_be_empty=True)
        entries = {}
        for line in answer.splitlines():
            parts = line.split(" ")
            if len(parts) == 3:
                entries[parts[1]] = parts[2]
            elif line.strip():
                raise _refused("show map", answer)
        return entries

    async def replace_map(self, file: str, entries: Mapping[str, str]) -> None:
        """Replace all entries of a map at once."""
        for part in (*entries.keys(), *entries.values()):
            if not _MAP_PART.fullmatch(part):
                raise ValueError("a map entry has other characters than names and tokens have")
        answer = await self._ask(f"prepare map {_word(file)}")
        match = re.fullmatch(r"New version created: (\d+)", answer.strip())
        if match is None:
            raise _refused("prepare map", answer)
        version = match[1]
        for chunk in _chunks([f"{key} {value}" for key, value in entries.items()]):
            payload = "\n".join(chunk)
            answer = await self._ask(
                f"add map @{version} {_word(file)} <<\n{payload}\n", may_be_empty=True
            )
            if answer.strip():
                raise _refused("add map", answer)
        answer = await self._ask(f"commit map @{version} {_word(file)}", may_be_empty=True)
        if answer.strip():
            raise _refused("commit map", answer)
        if await self.map(file) != dict(entries):
            raise Refused("commit map: other entries than ours are in memory")

    async def _set(self, path: str, command: bytes) -> None:
        """Open a transaction for `path` and no other; what someone left open is aborted."""
        for _ in range(2):
            answer = await self._send(command)
            match = _TRANSACTION.search(answer)
            if match is not None and match.groups() == ("created", path):
                return
            # An older transaction took our bytes (2.6, 3.0), or refused them: it must go.
            if match is None and "ongoing transaction" not in answer:
                await self.abort_transactions()
                raise _refused("set", answer)
            await self.abort_transactions()
        raise Refused("set: a transaction of another certificate stays open")

    async def _ask(self, command: str, *, may_be_empty: bool = False) -> str:
        return await self._send(f"{command}\n".encode(), may_be_empty=may_be_empty)

    async def _send(self, command: bytes, *, may_be_empty: bool = False) -> str:
        if len(command) > LARGEST_COMMAND:
            raise ValueError("the command is too long")
        for _ in range(_LOCKED_RETRIES):
            answer = await exchange(self._path, command, seconds=self._seconds)
            # Every command answers at least with a newline: nothing at all means it was dropped.
            if not answer:
                raise NoAnswer("HAProxy closed the connection without an answer")
            if not may_be_empty and not answer.strip():
                raise NoAnswer("HAProxy answered nothing")
            if "currently locked" not in answer:
                return answer
            await asyncio.sleep(_LOCKED_PAUSE)
        raise Locked("the certificates stay locked")


def _word(path: str) -> str:
    """A path as a word of a command. Raises ValueError if it is none of ours."""
    if not _PATHS.fullmatch(path):
        raise ValueError("the path has other characters than ours have")
    return path


def _batches(commands: Sequence[str]) -> Iterator[str]:
    """Commands joined by semicolons, which every version takes, below the largest size."""
    batch: list[str] = []
    size = 0
    for command in commands:
        if batch and (size + len(command) + 1 > LARGEST_COMMAND - 100 or len(batch) == 200):
            yield ";".join(batch)
            batch, size = [], 0
        batch.append(command)
        size += len(command) + 1
    if batch:
        yield ";".join(batch)


def _chunks(lines: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) + 1 > LARGEST_COMMAND - 1000:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line) + 1
    if chunk:
        yield chunk


def _refused(verb: str, answer: str) -> Refused:
    text = " ".join(answer.split())
    # HAProxy does not repeat payloads, but nothing that looks like one leaves here.
    if "-----" in text or "PRIVATE KEY" in text:
        text = "(withheld)"
    return Refused(f"{verb}: {text[:300] or 'no reason given'}")
