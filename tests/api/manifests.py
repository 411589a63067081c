"""The manifests of these tests: good ones, and the changes that make them wrong."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
API_GROUP = "modelecology.io"
KINDS = ("suite", "population", "specialist", "decision")
PLURALS = {
    "EvaluationSuite": "evaluationsuites",
    "Population": "populations",
    "Specialist": "specialists",
    "Decision": "decisions",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """A manifest that is refused, and the words of the refusal."""

    name: str
    manifest: Manifest
    field: str
    rule: str


def good(kind: str) -> Manifest:
    """The good manifest of a kind, such as `suite`."""
    loaded: Manifest = yaml.safe_load((HERE / "good" / f"{kind}.yaml").read_text())
    return loaded


def changed(manifest: Manifest, changes: dict[str, Any]) -> Manifest:
    """Set dotted paths in a copy of a manifest; None takes a field out."""
    out = copy.deepcopy(manifest)
    for path, value in changes.items():
        *way, last = path.split(".")
        here: Any = out
        for step in way:
            here = here[int(step)] if isinstance(here, list) else here[step]
        if value is None:
            del here[last]
        else:
            here[int(last) if isinstance(here, list) else last] = value
    return out


def wrong() -> list[Wrong]:
    """All wrong manifests."""
    found = []
    for kind in KINDS:
        for entry in yaml.safe_load((HERE / "wrong" / f"{kind}.yaml").read_text()):
            manifest = changed(good(kind), entry["set"])
            found.append(Wrong(f"{kind}: {entry['case']}", manifest, entry["field"], entry["rule"]))
    return found


def examples() -> list[tuple[str, Manifest]]:
    """Every object of our kinds below manifests/ that a user may apply, with the file it stands in."""
    found = []
    paths = (p for p in (ROOT / "manifests").glob("**/*.yaml") if "testdata" not in p.parts)
    for path in sorted(paths):
        for document in yaml.safe_load_all(path.read_text()):
            if isinstance(document, dict) and str(document.get("apiVersion", "")).startswith(f"{API_GROUP}/"):
                name = document["metadata"]["name"]
                found.append((f"{path.relative_to(ROOT)}: {document['kind']} {name}", document))
    return found
