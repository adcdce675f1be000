"""Every effect of an agent, seen: what is on disk after it, what a power cut would leave, and faults.

The calls of `os` that the agent's code makes below one directory are traced; the same are counted
with the commands it sends, so that it can be killed before or after each of them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from certfront.loadbalancers.haproxy.configuration import FOLDERS

T = TypeVar("T")
_TEMPORARY = ".tmp-"
_LOOKED_AT = ("", *FOLDERS)


class Killed(BaseException):
    """The agent is no more. Not an Exception: nobody catches a SIGKILL."""


class Traced:
    """The files below `root`: as they are, and as they survive a loss of power.

    `moment` is called for each change that HAProxy could see, with what makes it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, bytes] = {}
        self.moment: Callable[[str, Callable[[], Any]], Any] = lambda _, change: change()
        self._traces = True
        self._durable: dict[str, bytes] = {}
        self._synced: set[str] = set()
        self._pending: list[tuple[str, bytes | None]] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Trace the calls of `os` from now on."""
        real_open, real_fsync, real_replace, real_unlink = (
            os.open,
            os.fsync,
            os.replace,
            os.unlink,
        )

        def traced_open(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            relative = self._relative(path)
            if relative is None or not flags & os.O_CREAT or _TEMPORARY in relative:
                return real_open(path, flags, *rest, **more)
            return self._changed(relative, lambda: real_open(path, flags, *rest, **more))

        def traced_fsync(descriptor: int) -> None:
            real_fsync(descriptor)
            self._sync(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

        def traced_replace(source: Any, target: Any) -> None:
            relative = self._relative(target)
            if relative is None:
                real_replace(source, target)
                return
            self._changed(relative, lambda: self._replace(source, target, real_replace))

        def traced_unlink(path: Any, **more: Any) -> None:
            relative = None if more.get("dir_fd") is not None else self._relative(path)
            if relative is None or _TEMPORARY in relative:
                real_unlink(path, **more)
                return

            def unlink() -> None:
                real_unlink(path)
                self._pending.append((relative, None))

            self._changed(relative, unlink)

        monkeypatch.setattr(os, "open", traced_open)
        monkeypatch.setattr(os, "fsync", traced_fsync)
        monkeypatch.setattr(os, "replace", traced_replace)
        monkeypatch.setattr(os, "unlink", traced_unlink)

    def _replace(self, source: Any, target: Any, replace: Callable[[Any, Any], None]) -> None:
        moved, relative = self._relative(source), self._relative(target)
        content = Path(source).read_bytes()
        replace(source, target)
        if moved is not None and _TEMPORARY not in moved:
            self._pending.append((moved, None))
        elif str(source) not in self._synced:
            # Its name may be on disk before its content is.
            content = b""
        self._synced.discard(str(source))
        if relative is not None:
            self._pending.append((relative, content))

    def _sync(self, path: str) -> None:
        folder = self._relative(path)
        if path != str(self.root) and folder not in _LOOKED_AT:
            self._synced.add(path)
            return
        prefix = "" if path == str(self.root) else f"{folder}/"
        for relative, content in [one for one in self._pending if _in_folder(one[0], prefix)]:
            _apply(self._durable, relative, content)
        self._pending = [one for one in self._pending if not _in_folder(one[0], prefix)]

    def _changed(self, relative: str, change: Callable[[], T]) -> T:
        def and_look() -> T:
            result = change()
            self.files = self._read()
            return result

        return self.moment(f"disk {relative}", and_look)  # type: ignore[no-any-return]

    def _read(self) -> dict[str, bytes]:
        found = {}
        for folder in _LOOKED_AT:
            try:
                names = os.listdir(self.root / folder)  # noqa: PTH208 - names are all that is needed
            except FileNotFoundError:
                continue
            for name in names:
                path = self.root / folder / name
                if not name.startswith(_TEMPORARY) and path.is_file():
                    found[f"{folder}/{name}" if folder else name] = path.read_bytes()
        return found

    def after_power_cuts(self, most: int = 32) -> Iterator[dict[str, bytes]]:
        """What may be there after a loss of power now: any part of what was not synced."""
        held = range(len(self._pending))
        subsets = itertools.chain.from_iterable(
            itertools.combinations(held, size) for size in range(len(held) + 1)
        )
        for kept in itertools.islice(subsets, most):
            left = dict(self._durable)
            for number in kept:
                _apply(left, *self._pending[number])
            yield left

    def become(self, files: Mapping[str, bytes]) -> None:
        """Make the directory what a power cut has left."""
        self._traces = False
        for relative in self._read():
            (self.root / relative).unlink()
        for relative, content in files.items():
            (self.root / relative).write_bytes(content)
        self._traces = True
        self.files = dict(files)
        self._durable = dict(files)
        self._pending = []

    def _relative(self, path: Any) -> str | None:
        """The path below the root of a file that HAProxy could look at."""
        text = os.fspath(path)
        if not self._traces or not isinstance(text, str) or not text.startswith(f"{self.root}/"):
            return None
        relative = text.removeprefix(f"{self.root}/")
        return None if relative.startswith("check/") else relative


def _in_folder(relative: str, prefix: str) -> bool:
    return relative.startswith(prefix) and "/" not in relative.removeprefix(prefix)


def _apply(files: dict[str, bytes], relative: str, content: bytes | None) -> None:
    if content is None:
        files.pop(relative, None)
    else:
        files[relative] = content


def only(files: Mapping[str, bytes], folders: Iterable[str]) -> dict[str, bytes]:
    """The files in some folders."""
    return {name: one for name, one in files.items() if name.partition("/")[0] in folders}
