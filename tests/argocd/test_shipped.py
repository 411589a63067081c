"""What is shipped for Argo CD: the rendered ConfigMap, the component, the example."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from testbed.binaries import tool
from testbed.places import REPOSITORY

from . import MANIFESTS
from .garden import ANNOTATIONS

RENDER = MANIFESTS / "render.py"


def kustomized(folder: Path) -> list[dict[str, object]]:
    """Build a folder with kustomize."""
    done = subprocess.run(
        [str(tool("kubectl")), "kustomize", str(folder)], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(done.stdout))


def test_the_rendered_settings_are_what_the_tree_says() -> None:
    done = subprocess.run(
        [sys.executable, str(RENDER), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_changed_script_is_found_out(tmp_path: Path) -> None:
    copy = tmp_path / "argocd"
    subprocess.run(["cp", "-r", str(MANIFESTS), str(copy)], check=True)
    with (copy / "resource_customizations/modelecology.io/Decision/health.lua").open("a") as script:
        script.write("-- another line\n")
    check = [sys.executable, str(copy / "render.py"), "--check"]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 1
    assert subprocess.run(check[:-1], capture_output=True, check=False).returncode == 0
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0


def test_the_component_lays_our_keys_over_an_argo_cd_that_has_others(tmp_path: Path) -> None:
    (tmp_path / "component").symlink_to(MANIFESTS)
    (tmp_path / "kustomization.yaml").write_text("resources: [cm.yaml]\ncomponents: [component]\n")
    others = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm"},
        "data": {"url": "x"},
    }
    (tmp_path / "cm.yaml").write_text(yaml.safe_dump(others))
    (found,) = kustomized(tmp_path)
    keys = set(yaml.safe_load((MANIFESTS / "argocd-cm.yaml").read_text())["data"])
    assert isinstance(found["data"], dict)
    assert set(found["data"]) == {"url", *keys}


def test_the_example_is_the_quickstart_with_the_annotations_that_are_tested() -> None:
    def names(folder: Path) -> list[tuple[str, str]]:
        return [(str(o["kind"]), o["metadata"]["name"]) for o in kustomized(folder)]  # type: ignore[index]  # YAML

    example = MANIFESTS / "example" / "desk"
    assert names(example) == names(REPOSITORY / "manifests" / "quickstart")
    for body in kustomized(example):
        meta = body["metadata"]
        assert isinstance(meta, dict)
        assert meta["annotations"] == ANNOTATIONS[str(body["kind"])]


def test_the_example_application_names_the_folder_that_lies_beside_it() -> None:
    body = yaml.safe_load((MANIFESTS / "example" / "application.yaml").read_text())
    assert (REPOSITORY / body["spec"]["source"]["path"] / "kustomization.yaml").exists()
