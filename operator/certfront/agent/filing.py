"""The node's files: what is on disk, and how it becomes what a target asks for. All of it blocks.

Every prefix of the writes is a directory that HAProxy starts from: what is named is there before
its name, and a name is gone before what it names. Used by `reconcile` and `applying`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from certfront.agent.bundles import Bundle, from_pem
from certfront.agent.disk import Disk
from certfront.loadbalancers.haproxy.configuration import (
    CONFIGURATION,
    FOLDERS,
    Rendered,
    pem_file,
)
from certfront.loadbalancers.haproxy.handover import InvalidHandover


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """All that a node should have on disk and in memory."""

    rendered: Rendered
    bundles: Mapping[str, Bundle]

    def texts(self) -> dict[str, bytes]:
        """Crt-lists and maps, by their relative path, as they are on disk."""
        lines = {
            **self.rendered.list_texts,
            **{
                file: tuple(f"{key} {value}" for key, value in entries.items())
                for file, entries in self.rendered.maps.items()
            },
        }
        return {
            file: "".join(f"{line}\n" for line in held).encode() for file, held in lines.items()
        }


class Files:
    """The files of one node. `bundles` are those on disk, by name."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.bundles: dict[str, Bundle] = {}

    def scan(self) -> list[str]:
        """Read all bundles on disk; returns the files that are none."""
        bundles: dict[str, Bundle] = {}
        bad = []
        for file in self._disk.files("certs"):
            name = file.removeprefix("certs/").removesuffix(".pem")
            known = self.bundles.get(name)
            content = self._disk.read(file) or b""
            if known is not None and known.pem == content:
                bundles[name] = known
                continue
            try:
                bundles[name] = from_pem(content)
            except InvalidHandover:
                bad.append(file)
        self.bundles = bundles
        return bad

    def repair(self) -> None:
        """Write again what someone else has damaged or removed."""
        damaged = {
            pem_file(name): bundle.pem
            for name, bundle in self.bundles.items()
            if self._disk.read(pem_file(name)) != bundle.pem
        }
        self._disk.write(damaged)

    def write(self, target: Target) -> None:
        """Every prefix of these writes can be loaded: what is named is there before its name."""
        self.write_bundles(target)
        self._write_changed(target.rendered.static)
        self._write_changed(target.texts())
        if target.rendered.configuration:
            self._write_changed({CONFIGURATION: target.rendered.configuration.encode()})

    def write_bundles(self, target: Target, *, but: Collection[str] = ()) -> None:
        """Write the bundles that are not on disk as they should be, except `but`."""
        changed = {
            name: bundle
            for name, bundle in target.bundles.items()
            if name not in but
            and (name not in self.bundles or self.bundles[name].digest != bundle.digest)
        }
        self._disk.write({pem_file(name): bundle.pem for name, bundle in changed.items()})
        self.bundles |= changed

    def put_bundle(self, name: str, bundle: Bundle | None) -> None:
        """Make the file of one bundle that, or remove it; nothing if it is so already."""
        if self.bundles.get(name) == bundle:
            return
        if bundle is None:
            self._disk.remove([pem_file(name)])
            del self.bundles[name]
        else:
            self._disk.write({pem_file(name): bundle.pem})
            self.bundles[name] = bundle

    def _write_changed(self, files: Mapping[str, bytes]) -> None:
        self._disk.write(
            {file: content for file, content in files.items() if self._disk.read(file) != content}
        )

    def clean_up(self, *targets: Target) -> None:
        """Remove what none of them names: bundles of no manifest, lists, maps, policies of before."""
        bundles = {name for target in targets for name in target.bundles}
        kept = {pem_file(name) for name in bundles}
        for target in targets:
            kept |= {*target.texts(), *target.rendered.static}
        surplus = [
            file for folder in FOLDERS for file in self._disk.files(folder) if file not in kept
        ]
        if surplus:
            self._disk.remove(surplus)
        self.bundles = {name: bundle for name, bundle in self.bundles.items() if name in bundles}
