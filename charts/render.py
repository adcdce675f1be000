"""Makes deploy/ from the chart, and the chart's copy of crds/.

`python charts/render.py` writes, `python charts/render.py --check` only says what is out of date.
The kinds are written by hand in crds/; everything else of an installation is written in
charts/certfront. Helm is built by :mod:`sandbox.binaries` the first time.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from sandbox import binaries, environment  # noqa: E402 - the repository is on the path only now

REPOSITORY: Final = environment.REPOSITORY
CHART: Final = REPOSITORY / "charts" / "certfront"
DEPLOY: Final = {
    "namespaces": "00-namespaces",
    "operator-rbac": "10-operator-rbac",
    "agent-rbac": "20-agent-rbac",
    "user-roles": "30-user-roles",
    "operator": "40-operator",
    "agent": "50-agent",
    "load-balancer": "60-load-balancer",
}
"""The file in deploy/ for each template."""

VALUES: Final = {"crds.enabled": "false", "namespace.create": "true"}
"""What differs from the chart's defaults in deploy/: crds/ has the kinds, nobody else the namespace."""

_HEADER: Final = "# Made from charts/certfront by `make manifests`. Do not edit.\n"
_SOURCE: Final = re.compile(r"^# Source: certfront/templates/([a-z-]+)\.yaml\n", re.MULTILINE)
# Only Helm reads these, and these objects are not Helm's.
_HELMS: Final = re.compile(r"^ +(helm\.sh/.*|app\.kubernetes\.io/managed-by: Helm)\n", re.MULTILINE)
_EMPTY: Final = re.compile(r"^( *)annotations:\n(?!\1 )", re.MULTILINE)


def helm_template(values: Mapping[str, str]) -> str:
    """What `helm template certfront` prints for a cluster that knows the kinds already.

    Raises subprocess.CalledProcessError.
    """
    program = binaries.ensure(("helm",), lambda line: print(line, file=sys.stderr))["helm"]
    arguments = [str(program), "template", "certfront", str(CHART), "--namespace=certfront"]
    arguments += ["--api-versions=certfront.io/v1alpha1"]
    arguments += [f"--set={name}={value}" for name, value in values.items()]
    return subprocess.run(
        arguments, stdout=subprocess.PIPE, text=True, check=True, env=environment.basic()
    ).stdout


def manifests(rendered: str) -> dict[str, str]:
    """The content of each file in deploy/. Raises KeyError for a template without a file."""
    parts = _SOURCE.split(rendered)
    objects: dict[str, list[str]] = {name: [] for name in DEPLOY}
    for template, text in zip(parts[1::2], parts[2::2], strict=True):
        objects[template].append(_plain(text))
    return {
        f"{DEPLOY[template]}.yaml": _HEADER + "---\n".join(texts)
        for template, texts in objects.items()
    }


def files() -> Iterator[tuple[Path, str]]:
    """Everything that is made, with its content."""
    for name, content in manifests(helm_template(VALUES)).items():
        yield REPOSITORY / "deploy" / name, content
    for kind in sorted((REPOSITORY / "crds").glob("*.yaml")):
        yield CHART / "files" / "crds" / kind.name, kind.read_text()


def stale(made: Iterable[tuple[Path, str]]) -> list[Path]:
    """The files that are not as they should be, and those that should not be there."""
    expected = dict(made)
    differing = [
        path for path, text in expected.items() if not path.exists() or path.read_text() != text
    ]
    directories = {path.parent for path in expected}
    found = [path for directory in directories for path in directory.glob("*.yaml")]
    return sorted(differing + [path for path in found if path not in expected])


def main() -> int:
    """Write, or with --check compare; returns the exit status."""
    made = dict(files())
    old = stale(made.items())
    if "--check" in sys.argv[1:]:
        for path in old:
            print(f"out of date: {path.relative_to(REPOSITORY)} (make manifests)", file=sys.stderr)
        return 1 if old else 0
    for path in old:
        if path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path])
        else:
            path.unlink()
        print(path.relative_to(REPOSITORY))
    return 0


def _plain(text: str) -> str:
    """One object without what is Helm's own."""
    kept = text.partition("\n---")[0].rstrip().removesuffix("---").rstrip()
    return _EMPTY.sub("", _HELMS.sub("", kept + "\n"))


if __name__ == "__main__":
    sys.exit(main())
