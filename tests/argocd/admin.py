"""Asks Argo CD itself what the rendered argocd-cm makes of an object, without a cluster."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from testbed.argocd import run_argocd
from testbed.pretend_desk import Manifest

from . import MANIFESTS

SETTINGS = MANIFESTS / "argocd-cm.yaml"
# The command shows what an action changed by this program, which is given the object before and after.
_SHOW_RESULT = "sh -c 'cat \"$1\"'"


def health(path: Path) -> tuple[str, str]:
    """Give the health of an object, and its message."""
    said = _ask("health", str(path))
    status, _, message = said.partition("\nMESSAGE: ")
    return status.removeprefix("STATUS: "), message.rstrip("\n")


def offered(path: Path) -> dict[str, bool]:
    """Name the actions of an object, and whether each is enabled."""
    rows = (line.split() for line in _ask("list-actions", str(path)).splitlines()[1:])
    return {name: disabled == "false" for name, disabled in rows}


def act(path: Path, action: str) -> Manifest:
    """Give the object as an action leaves it. Raises ArgoCDFailed."""
    said = _ask("run-action", str(path), action)
    result: Manifest = yaml.safe_load(said.partition("\n\n")[2])
    return result


def _ask(command: str, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as home:
        return run_argocd(
            "admin",
            "settings",
            "resource-overrides",
            command,
            *arguments,
            f"--argocd-cm-path={SETTINGS}",
            environment={"HOME": home, "TMPDIR": home, "KUBECTL_EXTERNAL_DIFF": _SHOW_RESULT},
        )
