"""The Containerfile as far as it can be tested without a container engine: its commands, in a venv."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

import pytest

from sandbox.environment import REPOSITORY

TEXT: Final = (REPOSITORY / "Containerfile").read_text()
INSTRUCTION: Final = re.compile(r"^([A-Z]+) (.+)$", re.MULTILINE)


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage; what comes before the first FROM is left out."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in INSTRUCTION.findall(TEXT):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def test_the_last_stage_runs_nothing_and_is_nobody() -> None:
    build, final = stages()
    assert build[0][1].endswith(" AS build")
    assert [rest for name, rest in final if name == "USER"] == ["65532:65532"]
    assert [rest for name, rest in final if name == "ENTRYPOINT"] == ['["certfront"]']
    assert "RUN" not in {name for name, _ in final}
    copied = [rest for name, rest in final if name == "COPY"]
    assert copied == ["--from=build /opt/certfront /opt/certfront"]


def test_the_base_is_of_a_supported_version_with_its_patch_level() -> None:
    [version] = re.findall(r"^ARG PYTHON=3\.(\d+)\.\d+$", TEXT, re.MULTILINE)
    assert 11 <= int(version) <= 13
    assert all(stage[0][1].startswith("python:${PYTHON}-slim-") for stage in stages())


def test_everything_fetched_is_compared_with_its_hash() -> None:
    """Pip installs from files with hashes only, or what was made here without dependencies."""
    pips = [rest for stage in stages() for name, rest in stage if name == "RUN" and " pip " in rest]
    assert len(pips) == 4
    for command in pips:
        assert "--require-hashes -r" in command or "--no-deps" in command, command


def test_the_build_requirements_are_those_of_development() -> None:
    def pinned(name: str) -> set[str]:
        text = (REPOSITORY / "requirements" / name).read_text()
        return set(re.findall(r"^[a-z0-9-]+==\S+", text, re.MULTILINE))

    assert pinned("build.txt") <= pinned("dev.txt")
    assert any(each.startswith("hatchling==") for each in pinned("build.txt"))


def test_what_is_copied_is_not_ignored() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    sources = {
        source.split("/")[0]
        for name, rest in stages()[0]
        if name == "COPY"
        for source in rest.split()[:-1]
    }
    assert sources == allowed
    assert all((REPOSITORY / source).exists() for source in sources)


@pytest.mark.skipif(
    not os.environ.get("CERTFRONT_TEST_CONTAINERFILE"),
    reason="installs everything once more, about a minute: CERTFRONT_TEST_CONTAINERFILE=1 runs it",
)
@pytest.mark.timeout(600)
def test_its_commands_make_a_working_program(tmp_path: Path) -> None:
    """Those of the build stage, with /src, /opt and /dist in a directory of the test."""
    builder = tmp_path / "builder"
    venv.create(builder, with_pip=True)
    source = tmp_path / "src"
    for name, rest in stages()[0]:
        if name == "COPY":
            _copy(rest.split(), source)
        if name == "RUN":
            command = rest.replace("python -m", f"{builder}/bin/python -m", 1)
            for place in ("/opt/", "/dist"):
                command = command.replace(f" {place}", f" {tmp_path}{place}")
            _run(command, source)
    program = tmp_path / "opt" / "certfront" / "bin" / "certfront"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert "0.1.0" in said.stdout
    for command in ("operator", "agent"):
        subprocess.run([program, command, "--help"], capture_output=True, check=True)


def _copy(names: list[str], source: Path) -> None:
    *given, target = names
    for name in given:
        found = REPOSITORY / name
        if found.is_dir():
            shutil.copytree(found, source / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (source / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(found, source / target)


def _run(command: str, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{sys.executable}: {command}\n{result.stdout}{result.stderr}"
