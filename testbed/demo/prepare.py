"""What the quickstart needs on disk: the generalist, made once a machine, and the data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import yaml

from modelecology.store import ArtifactStore, directory_digest
from modelecology.workloads.prepare_base import bundled_gguf, prepare_base
from testbed.places import REPOSITORY, Progress, cache_root
from testbed.quickstart.files import quickstart_files
from testbed.quickstart.live import live_files

QUICKSTART = REPOSITORY / "manifests" / "quickstart"
LIVE = QUICKSTART / "live"
NEXT = LIVE / "dates-next.yaml"
DATA = "desk"
"""The folder of the store that holds the data."""


class DigestDiffers(Exception):
    """Raised when the generalist made here is not the one that the manifests name."""


def declared_digest() -> str:
    """Read the generalist's digest from the quickstart's Population."""
    population = yaml.safe_load((QUICKSTART / "population.yaml").read_text(encoding="utf-8"))
    return str(population["spec"]["generalist"]["digest"])


def generalist(progress: Progress) -> Path:
    """Give the generalist's folder in the user's cache, made from its PyPI package at the first use.

    Raises DigestDiffers.
    """
    wanted = declared_digest()
    folder = cache_root().parent / "generalists" / wanted.removeprefix("sha256:")[:12]
    if folder.is_dir() and directory_digest(str(folder)) == wanted:
        return folder
    progress("preparing the generalist, SmolLM2-135M, once (about a minute)")
    aside = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    found = prepare_base(bundled_gguf(), aside)
    if found != wanted:
        shutil.rmtree(aside)
        raise DigestDiffers(
            f"The generalist made here is {found}, but manifests/quickstart/population.yaml says {wanted}. "
            "The locked packages differ from the installed ones: run uv sync, or mend the digest."
        )
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return folder


def store(root: Path, base: Path) -> None:
    """Make a store with the quickstart's data and the generalist in it."""
    ArtifactStore.create(f"file://{root}")
    data = root / DATA
    data.mkdir(parents=True, exist_ok=True)
    for name, content in {**quickstart_files(), **live_files()}.items():
        (data / name).write_bytes(content)
    target = root / "generalist"
    if target.exists():
        return
    target.mkdir()
    for file in base.iterdir():
        # Hard links cost no space; across file systems it is a copy.
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copy2(file, target / file.name)


def overlay(folder: Path, store_root: Path, ray: str, engine: str, records: Path) -> Path:
    """Write a kustomization of the quickstart with users, at this machine's addresses; its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    patch = [
        {"op": "replace", "path": "/spec/store/uri", "value": f"file://{store_root}"},
        {"op": "replace", "path": "/spec/jobs/ray/address", "value": ray},
        {"op": "replace", "path": "/spec/serving/endpoints", "value": [engine]},
        {"op": "replace", "path": "/spec/serving/gateway/records", "value": f"file://{records}"},
    ]
    body = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(QUICKSTART, folder)],
        "components": [os.path.relpath(LIVE, folder)],
        "patches": [{"target": {"kind": "Population", "name": "desk"}, "patch": yaml.safe_dump(patch)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return folder
