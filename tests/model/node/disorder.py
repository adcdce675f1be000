"""The order of the agent's writes taken out: what DiskLoadable must find."""

from typing import Any

import pytest

from certfront.agent.applying import Applier
from certfront.agent.filing import Files


def file_after_line(patch: pytest.MonkeyPatch) -> None:
    """Lists are written before the files that they name."""

    def write(files: Files, target: Any) -> None:
        files._write_changed(target.texts())
        real_write(files, target)

    async def install(applier: Applier, memory: Any, target: Any) -> None:
        applier._files.write(target)
        await real_install(applier, memory, target)

    real_write, real_install = Files.write, Applier._install_bundles
    patch.setattr(Files, "write", write)
    patch.setattr(Applier, "_install_bundles", install)


def file_removed_before_line(patch: pytest.MonkeyPatch) -> None:
    """Files go before the lists that name them are written."""

    async def install(applier: Applier, memory: Any, target: Any) -> None:
        applier._files.clean_up(target)
        await real(applier, memory, target)

    real = Applier._install_bundles
    patch.setattr(Applier, "_install_bundles", install)


def configuration_before_lists(patch: pytest.MonkeyPatch) -> None:
    """The configuration is written before the lists that it names."""

    def write(files: Files, target: Any) -> None:
        files._write_changed({"haproxy.cfg": target.rendered.configuration.encode()})
        real(files, target)

    real = Files.write
    patch.setattr(Files, "write", write)
