"""Reads the tests that lie in the tree of customizations, in the form that Argo CD's own tree has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import MANIFESTS

TREE = MANIFESTS / "resource_customizations"
KINDS = tuple(sorted(path for path in TREE.glob("*/*") if path.is_dir()))
_FOLDERS = tuple(sorted(TREE.glob("*/*/actions")))


@dataclass(frozen=True)
class HealthCase:
    """An object, and the health it is to have."""

    input: Path
    status: str
    message: str


@dataclass(frozen=True)
class DiscoveryCase:
    """An object, and the actions it is to offer, each enabled or not."""

    input: Path
    offered: dict[str, bool]


@dataclass(frozen=True)
class ActionCase:
    """An action on an object, and the object it is to leave, or the error."""

    action: str
    input: Path
    output: Path | None
    error: str


def health_cases() -> tuple[HealthCase, ...]:
    """Read every health_test.yaml."""
    return tuple(
        HealthCase(kind / each["inputPath"], each["healthStatus"]["status"], each["healthStatus"]["message"])
        for kind in KINDS
        for each in _read(kind / "health_test.yaml")["tests"]
    )


def discovery_cases() -> tuple[DiscoveryCase, ...]:
    """Read the discoveries of every action_test.yaml."""
    return tuple(
        DiscoveryCase(
            (folder / each["inputPath"]).resolve(), {a["name"]: not a["disabled"] for a in each["result"]}
        )
        for folder in _FOLDERS
        for each in _read(folder / "action_test.yaml")["discoveryTests"]
    )


def action_cases() -> tuple[ActionCase, ...]:
    """Read the actions of every action_test.yaml."""
    return tuple(
        ActionCase(
            each["action"],
            (folder / each["inputPath"]).resolve(),
            folder / each["expectedOutputPath"] if "expectedOutputPath" in each else None,
            each.get("expectedErrorMessage", ""),
        )
        for folder in _FOLDERS
        for each in _read(folder / "action_test.yaml")["actionTests"]
    )


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
