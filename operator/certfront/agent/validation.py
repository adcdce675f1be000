"""`haproxy -c`: whether HAProxy takes a configuration, before it is written where it counts.

The check runs on a copy below check/ with empty crt-lists, so it costs the same however many
certificates are held, and nothing that is served is touched. Used by `reconcile`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import shutil
import socket
from collections.abc import Iterable
from typing import Final

from certfront.agent.disk import Disk
from certfront.loadbalancers.haproxy.configuration import (
    CONFIGURATION,
    FOLDERS,
    Layout,
    Rendered,
    render,
)
from certfront.loadbalancers.haproxy.merging import Entry

_log: Final = logging.getLogger(__name__)
_SECONDS: Final = 60.0
_LONGEST_OUTPUT: Final = 64 * 1024
_CHECK: Final = "check"
_ALERT: Final = re.compile(r"^\[ALERT\]\s+\(\d+\) : (?:config : )?(?:parsing \[[^\]]*\] : )?(.*)$")
_PATH: Final = re.compile(r"'?/[A-Za-z0-9._/-]+'?")


class ConfigurationCheck:
    """Runs the program `haproxy` on a rendering of its own."""

    def __init__(self, disk: Disk, layout: Layout, program: str) -> None:
        self._disk = disk
        self._program = program
        self._layout = Layout(
            directory=f"{layout.directory}/{_CHECK}",
            bind_address=layout.bind_address,
            ports=layout.ports,
        )

    async def complaint(self, entries: Iterable[Entry]) -> str | None:
        """What HAProxy does not like about the configuration for `entries`; None if it takes it."""
        rendered = render(entries, {}, (), self._layout)
        await asyncio.to_thread(self._write, rendered)
        try:
            return await self._run(self._layout.path(CONFIGURATION))
        finally:
            await asyncio.to_thread(shutil.rmtree, self._layout.directory, ignore_errors=True)

    async def output(self, file: str) -> str:
        """All that HAProxy says about a whole configuration with its certificates."""
        return await self._run(file, whole=True) or ""

    async def _run(self, file: str, *, whole: bool = False) -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                "-c",
                "-f",
                file,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError:
            # HAProxy lives in a container of its own: the reload will be the check.
            _log.debug("no %s to check configurations with", self._program)
            return None
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            return "the check did not end"
        if process.returncode == 0:
            return None
        text = output[:_LONGEST_OUTPUT].decode("utf-8", "replace")
        return text if whole else complaint(text)

    def _write(self, rendered: Rendered) -> None:
        root = self._disk.root / _CHECK
        for folder in FOLDERS:
            (root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        files = {CONFIGURATION: rendered.configuration.encode(), **rendered.static}
        files |= dict.fromkeys([*rendered.crt_lists, *rendered.maps], b"")
        for relative, content in files.items():
            (root / relative).write_bytes(content)


def complaint(output: str) -> str:
    """The first alert in HAProxy's output, without paths of this node."""
    for line in output.splitlines():
        match = _ALERT.match(line.strip())
        if match:
            return _PATH.sub("…", match[1])[:300]
    return "HAProxy refused the configuration"


def is_taken(address: tuple[str, int]) -> bool:
    """Whether another process listens there. What cannot be told (no right to bind) is False.

    HAProxy binds with SO_REUSEPORT: it would share the port, or stall all listeners for seconds.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
