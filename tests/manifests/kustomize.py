"""Kustomizations, built as kubectl builds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from testbed.cluster import Cluster
from testbed.places import REPOSITORY

Manifest = dict[str, Any]
MANIFESTS = REPOSITORY / "manifests"


def build(cluster: Cluster, folder: Path) -> list[Manifest]:
    """Build a kustomization and give its objects. Raises KubectlFailed."""
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(folder))))


def build_in(cluster: Cluster, folder: Path, namespace: str, scratch: Path) -> list[Manifest]:
    """Build a kustomization with everything in a namespace."""
    body = {"namespace": namespace, "resources": [os.path.relpath(folder, scratch)]}
    (scratch / "kustomization.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    return build(cluster, scratch)
