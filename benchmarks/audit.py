"""When the operator wrote first, from the audit log: read afterwards, it costs the measured run nothing."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from benchmarks.errors import BenchError

_WRITES = frozenset({"create", "update", "patch"})
_RESOURCES = frozenset({"secrets", "certificates"})


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Reference(msgspec.Struct, frozen=True):
    resource: str = ""


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    verb: str
    user: _User
    request_received_timestamp: datetime
    object_ref: _Reference = _Reference()


class AuditLog:
    """The lines that are written after it is opened; a rotation in between does not hide them."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._log: BinaryIO = self._path.open("rb")
        self._log.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._log.close()

    def first_write(self, user: str) -> float:
        """When the API server received the first write of a Secret or a Certificate from `user`.

        In seconds of the wall clock. Raises BenchError where there is none.
        """
        decoder = msgspec.json.Decoder(_Entry)
        for line in self._lines():
            entry = decoder.decode(line)
            if (
                entry.user.username == user
                and entry.verb in _WRITES
                and entry.object_ref.resource in _RESOURCES
            ):
                return entry.request_received_timestamp.timestamp()
        raise BenchError(f"the audit log shows no write of {user}")

    def _lines(self) -> Iterator[bytes]:
        yield from (line for line in self._log if line.endswith(b"\n"))
        if self._path.stat().st_ino != os.fstat(self._log.fileno()).st_ino:
            with self._path.open("rb") as newer:
                yield from (line for line in newer if line.endswith(b"\n"))
