"""Helm, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from testbed.binaries import tool
from testbed.places import REPOSITORY

Manifest = dict[str, Any]
Values = Mapping[str, Any]

OPERATOR = REPOSITORY / "charts" / "modelecology"
POPULATION = REPOSITORY / "charts" / "modelecology-population"
NAMESPACE = "desk"
_SECONDS = 300.0


class HelmFailed(Exception):
    """Helm ended with an error; the message is what it said."""


def helm(*arguments: str, stdin: str = "", kubeconfig: Path | None = None) -> str:
    """Run Helm and give its standard output. Raises HelmFailed."""
    environment = {**os.environ, "HELM_MAX_HISTORY": "10"}
    environment.pop("KUBECONFIG", None)
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    done = subprocess.run(
        [str(_program()), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise HelmFailed(done.stderr)
    return done.stdout


def render(
    chart: Path,
    values: Values | None = None,
    *,
    release: str | None = None,
    namespace: str = NAMESPACE,
    hooks: bool = True,
) -> list[Manifest]:
    """Render a chart and give its objects. Raises HelmFailed."""
    name = release or {OPERATOR: "modelecology", POPULATION: "desk"}[chart]
    flags = ["--namespace", namespace, "--values", "-", *([] if hooks else ["--no-hooks"])]
    text = helm("template", name, str(chart), *flags, stdin=yaml.safe_dump(dict(values or {})))
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: list[Manifest], *kinds: str) -> list[Manifest]:
    """Those of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def only(objects: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only one of a kind, or of a kind and name."""
    (found,) = (o for o in of_kind(objects, kind) if name in (None, o["metadata"]["name"]))
    return found


def pod_templates(objects: list[Manifest]) -> dict[str, Manifest]:
    """The pod template of every workload, by kind and name."""
    workloads = of_kind(objects, "Deployment", "StatefulSet", "Job")
    return {f"{o['kind']}/{o['metadata']['name']}": o["spec"]["template"] for o in workloads}


def is_hook(manifest: Manifest) -> bool:
    """Say whether Helm makes an object at some moment only."""
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


@cache
def _program() -> Path:
    return tool("helm")
