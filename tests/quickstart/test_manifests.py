"""The quickstart's manifests fit the data that this checkout makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from modelecology.cli.app import app
from testbed.demo.prepare import LIVE, NEXT, QUICKSTART, declared_digest, overlay
from testbed.quickstart.files import quickstart_files
from testbed.quickstart.live import live_files


def _refs(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if "uri" in value and "digest" in value:
            yield value["uri"], value["digest"]
        for child in value.values():
            yield from _refs(child)
    elif isinstance(value, list):
        for child in value:
            yield from _refs(child)


def _documents() -> Iterator[Any]:
    for name in ("suite.yaml", "population.yaml", "specialists.yaml"):
        yield from yaml.safe_load_all((QUICKSTART / name).read_text(encoding="utf-8"))
    yield yaml.safe_load(NEXT.read_text(encoding="utf-8"))


def test_every_digest_in_the_manifests_is_that_of_the_generated_file() -> None:
    made = {
        f"store:///desk/{name}": f"sha256:{hashlib.sha256(content).hexdigest()}"
        for name, content in {**quickstart_files(), **live_files()}.items()
    }
    named = dict(ref for document in _documents() for ref in _refs(document))
    assert named
    assert {uri: made[uri] for uri in named} == named


def test_the_manifests_pass_lint_without_a_cluster() -> None:
    files = [str(QUICKSTART / name) for name in ("suite.yaml", "population.yaml", "specialists.yaml")]
    result = CliRunner().invoke(app, ["lint", *files])
    assert result.exit_code == 0, result.output


def test_the_generalist_is_pinned_by_a_full_digest() -> None:
    assert declared_digest().removeprefix("sha256:").isalnum()
    assert len(declared_digest()) == len("sha256:") + 64


def test_the_overlay_names_the_quickstart_and_its_users_relative_to_itself(tmp_path: Path) -> None:
    ray, engine = "http://127.0.0.1:1", "http://127.0.0.1:2"
    folder = overlay(tmp_path / "overlay", tmp_path / "store", ray, engine, tmp_path / "live")
    body = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert (folder / body["resources"][0]).resolve() == QUICKSTART
    assert (folder / body["components"][0]).resolve() == LIVE
