"""The node's directory: every write is atomic and durable, every prefix of them can be loaded.

A file appears under its name only complete and on disk (temporary file, fsync, rename, fsync of
the directory), so HAProxy may be started at any moment. Everything that HAProxy starts from is
written through `Disk`. Used by `reconcile`, `filing`, `state` and `validation`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from certfront.loadbalancers.haproxy.configuration import FOLDERS

_QUARANTINE: Final = "quarantine"
_TEMPORARY: Final = ".tmp-"


class Disk:
    """Files below `root`, named by relative paths of at most one folder. All are of mode 0600."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folders, and remove what an interrupted write has left.

        What is seen from here on is durable: a rename of a process that was killed before it synced
        the folder could be lost together with the power, but not what is removed because of it.
        """
        folders = ("", *FOLDERS, _QUARANTINE)
        for folder in folders:
            path = self.root / folder
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in path.glob(f"{_TEMPORARY}*"):
                left.unlink(missing_ok=True)
        self._sync({self.root / folder for folder in folders})

    def read(self, relative: str) -> bytes | None:
        """The content of a file, None if there is none."""
        try:
            return (self.root / relative).read_bytes()
        except FileNotFoundError:
            return None

    def files(self, folder: str) -> tuple[str, ...]:
        """The relative paths of the files in a folder, sorted."""
        path = self.root / folder
        if not path.is_dir():
            return ()
        return tuple(
            f"{folder}/{entry.name}"
            for entry in sorted(path.iterdir())
            if entry.is_file() and not entry.name.startswith(_TEMPORARY)
        )

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace files, each atomically, and return once all are durable."""
        staged = [(self._stage(relative, content), relative) for relative, content in files.items()]
        for temporary, relative in staged:
            self.changing(relative)
            temporary.replace(self.root / relative)
        self._sync_folders(files)

    def remove(self, relatives: Iterable[str]) -> None:
        """Remove files; those that are gone are no error."""
        held = tuple(relatives)
        for relative in held:
            self.changing(relative)
            (self.root / relative).unlink(missing_ok=True)
        self._sync_folders(held)

    def quarantine(self, relative: str) -> None:
        """Move a file where HAProxy does not look; an earlier one of that name is replaced."""
        self.changing(relative)
        target = f"{_QUARANTINE}/{Path(relative).name}"
        try:
            (self.root / relative).replace(self.root / target)
        except FileNotFoundError:
            return
        self._sync_folders((relative, target))

    def changing(self, relative: str) -> None:
        """Called before each visible change; tests look at the directory here."""

    def _stage(self, relative: str, content: bytes) -> Path:
        final = self.root / relative
        temporary = final.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def _sync_folders(self, relatives: Iterable[str]) -> None:
        self._sync({(self.root / relative).parent for relative in relatives})

    def _sync(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
