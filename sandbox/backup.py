"""Copies of etcd, and restores from them: as the runbook says, or as people do it in a hurry.

A copy is taken from a frozen etcd, like a snapshot of its disk. A restore with `bump` raises the
revision above all that was ever seen and compacts everything below, which is what `etcdutl snapshot
restore --bump-revision --mark-compacted` does to a store; without it the history silently forks.
"""

import base64
import http.client
import json
import os
import shutil
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox import lifecycle, processes, state
from sandbox.errors import SandboxError
from sandbox.state import HttpReady, Service, State

_MARGIN = 1000
_KEY = base64.b64encode(b"certfront-sandbox/bump").decode()
_ABOVE = ("controllers", "apiserver")


def copy(name: str, target: Path) -> int:
    """Copy the data of the sandbox's etcd to `target`; returns the revision, or one just before."""
    current = state.load(name)
    handle = processes.running(current.root, "etcd")
    if handle is None:
        raise SandboxError("etcd does not run")
    revision = _Etcd(current.service("etcd")).revision()
    shutil.rmtree(target, ignore_errors=True)
    os.kill(handle.pid, signal.SIGSTOP)
    try:
        shutil.copytree(_data(current), target)
    finally:
        os.kill(handle.pid, signal.SIGCONT)
    return revision


def restore(name: str, source: Path, *, bump: bool) -> None:
    """Put the copy `source` in the place of etcd's data, and start the cluster's processes again."""
    current = state.load(name)
    highest = _Etcd(current.service("etcd")).revision()
    for each in (*_ABOVE, "etcd"):
        lifecycle.kill(name, each)
    shutil.rmtree(_data(current))
    shutil.copytree(source, _data(current))
    lifecycle.start(name, "etcd")
    if bump:
        _Etcd(current.service("etcd")).raise_revision(highest + _MARGIN)
    for each in reversed(_ABOVE):
        lifecycle.start(name, each)


def _data(current: State) -> Path:
    return current.root / "etcd"


class _Etcd:
    """etcd's own JSON gateway."""

    def __init__(self, service: Service) -> None:
        if not isinstance(service.ready, HttpReady):
            raise SandboxError("the sandbox has no etcd of its own")
        self._ready = service.ready

    def revision(self) -> int:
        """The revision of the store."""
        with self._connected() as connection:
            return _revision(_post(connection, "/v3/maintenance/status", {}))

    def raise_revision(self, to: int) -> None:
        """Write until the revision is `to`, and forget what was before."""
        with self._connected() as connection:
            revision = _revision(_post(connection, "/v3/maintenance/status", {}))
            while revision < to:
                revision = _revision(_post(connection, "/v3/kv/put", {"key": _KEY}))
            _post(connection, "/v3/kv/deleterange", {"key": _KEY})
            _post(connection, "/v3/kv/compaction", {"revision": str(revision)})

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cafile=self._ready.ca)
        context.load_cert_chain(self._ready.certificate, self._ready.key)
        place = urlsplit(self._ready.url).netloc
        connection = http.client.HTTPSConnection(place, timeout=30, context=context)
        try:
            yield connection
        finally:
            connection.close()


def _post(connection: http.client.HTTPSConnection, path: str, body: dict[str, str]) -> Any:
    connection.request("POST", path, body=json.dumps(body))
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise SandboxError(f"etcd: {path}: status {answer.status}")
    return json.loads(content)


def _revision(answer: Any) -> int:
    return int(answer["header"]["revision"])
