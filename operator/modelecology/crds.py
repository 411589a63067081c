"""Render the CustomResourceDefinitions: `python -m modelecology.crds [--check]`.

The pydantic models of `modelecology.api` and the table of transitions are the source; `crds/` and the chart's
copy are rendered from them, byte for byte, and never edited by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from modelecology.api.decision import Decision
from modelecology.api.meta import GROUP, VERSION, Rule, cel
from modelecology.api.population import Population
from modelecology.api.schema import Schema, rules, structural
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.governance.lifecycle import TRANSITIONS

COMMAND = "python -m modelecology.crds"
# Helm installs what lies in a chart's crds/ once and never again; from files/ a template takes it.
PLACES = ("crds", "charts/modelecology/files/crds")
_HEADER = (
    f"# Rendered by `{COMMAND}` from operator/modelecology/api and governance/lifecycle.py; do not edit.\n"
)
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; the wide ones show with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What Kubernetes is told of a kind besides its schema."""

    model: type[BaseModel]
    plural: str
    short: tuple[str, ...]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    written_by_people: bool = True
    spec_rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        """Name of the kind, such as Specialist."""
        return self.model.__name__


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


def edges() -> Rule:
    """Write the table of transitions as one CEL rule, so that no writer can jump an edge."""
    allowed = sorted({f"{t.action}:{t.source}>{t.target}" for t in TRANSITIONS})
    listed = ", ".join(f"'{edge}'" for edge in allowed)
    return cel(
        f"(self.action + ':' + self.from + '>' + self.to) in [{listed}]",
        "action, from and to must be a transition of the lifecycle",
        ".to",
    ) | {
        "messageExpression": "'the lifecycle has no transition ' + self.action + ' from ' + self.from + "
        "' to ' + self.to"
    }


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

KINDS = (
    Kind(
        Population,
        "populations",
        ("pop",),
        (
            Column("Ready", _condition("Ready", "status")),
            Column("Specialists", ".status.specialists", "integer"),
            Column("Live", ".status.live", "integer"),
            Column("Value", ".status.value"),
            _AGE,
            Column("Reason", _condition("Ready", "reason"), wide=True),
            Column("Suite", ".status.suiteDigest", wide=True),
            Column("Policy", ".status.policyDigest", wide=True),
            Column("Cost", ".status.ledger.cost", wide=True),
        ),
        selectable=(".spec.suiteRef.name",),
    ),
    Kind(
        Specialist,
        "specialists",
        ("sp",),
        (
            Column("State", ".status.state"),
            Column("Population", ".spec.populationRef.name"),
            Column("Task", ".spec.contract.task"),
            Column("Score", ".status.score"),
            Column("Live", ".status.live.revision"),
            _AGE,
            Column("Candidate", ".status.candidate.revision", wide=True),
            Column("Served", ".status.live.servedName", wide=True),
            Column("Key", ".status.live.key", wide=True),
            Column("Cost", ".status.ledger.cost", wide=True),
            Column("Reason", _condition("Ready", "reason"), wide=True),
        ),
        selectable=(".spec.populationRef.name", ".spec.contract.task", ".status.state"),
    ),
    Kind(
        EvaluationSuite,
        "evaluationsuites",
        ("suite",),
        (
            _AGE,
            Column("Invariants", '.spec.tasks[?(@.role=="Invariant")].name', wide=True),
            Column("Shadow-Share", ".spec.shadowShare", "number", wide=True),
        ),
    ),
    Kind(
        Decision,
        "decisions",
        ("dec",),
        (
            Column("Sequence", ".spec.sequence", "integer"),
            Column("Specialist", ".spec.subject.specialist"),
            Column("Action", ".spec.action"),
            Column("From", ".spec.from"),
            Column("To", ".spec.to"),
            Column("Outcome", ".spec.outcome"),
            Column("Reason", ".spec.reason"),
            _AGE,
            Column("Revision", ".spec.subject.revision", wide=True),
            Column("Actor", ".spec.actor", wide=True),
            Column("Digest", ".spec.digest", wide=True),
        ),
        selectable=(
            ".spec.population",
            ".spec.subject.specialist",
            ".spec.action",
            ".spec.outcome",
            ".spec.reason",
        ),
        written_by_people=False,
        spec_rules=(edges(),),
    ),
)


def definition(kind: Kind) -> dict[str, Any]:
    """Build the CustomResourceDefinition of a kind."""
    singular = kind.name.lower()
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root(kind)},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
    }
    if "status" in kind.model.model_fields:
        version["subresources"] = {"status": {}}
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/part-of": "modelecology"},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": list(kind.short),
                "categories": ["ecology"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def _root(kind: Kind) -> Schema:
    fields = kind.model.model_fields
    spec_model = fields["spec"].annotation
    assert isinstance(spec_model, type)
    assert issubclass(spec_model, BaseModel)
    spec = structural(spec_model, defaults=kind.written_by_people)
    if kind.spec_rules:
        spec["x-kubernetes-validations"] = [*spec.get("x-kubernetes-validations", ()), *kind.spec_rules]
    properties: Schema = {
        "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
        "kind": {"type": "string", "description": f"{kind.name}."},
        # The name is declared so that a rule can point at it.
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": spec,
    }
    if "status" in fields:
        status_model = fields["status"].annotation
        assert isinstance(status_model, type)
        assert issubclass(status_model, BaseModel)
        properties["status"] = structural(status_model, defaults=False)
    root: Schema = {
        "type": "object",
        "description": kind.model.__doc__,
        "required": ["spec"],
        "properties": properties,
    }
    if found := rules(kind.model):
        root["x-kubernetes-validations"] = found
    return root


def _column(column: Column) -> dict[str, Any]:
    out: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return out | {"priority": 1} if column.wide else out


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, so that a reader sees every field where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Quote what YAML 1.1 takes for a boolean: Go's parser does, Python's does not."""
        style = "'" if data.lower() in ("y", "n") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def rendered() -> dict[str, str]:
    """Give every file's name and text."""
    return {
        f"{GROUP}_{kind.plural}.yaml": _HEADER
        + yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=True, width=_WIDTH, allow_unicode=True)
        for kind in KINDS
    }


def stale(root: Path) -> list[Path]:
    """List the files below a repository's root which differ from what is rendered, or should not be there."""
    files = rendered()
    found = [root / place / name for place in PLACES for name, text in files.items()]
    differing = [path for path in found if not path.is_file() or path.read_text() != files[path.name]]
    return differing + _unknown(root)


def _unknown(root: Path) -> list[Path]:
    names = rendered()
    return [
        path for place in PLACES for path in sorted((root / place).glob("*.yaml")) if path.name not in names
    ]


def write(root: Path) -> None:
    """Write all files below a repository's root, and take away those of kinds that are gone."""
    for path in _unknown(root):
        path.unlink()
    for place in PLACES:
        (root / place).mkdir(parents=True, exist_ok=True)
        for name, text in rendered().items():
            (root / place / name).write_text(text)


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Render into the working directory, or with --check only compare; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given not in ([], ["--check"]):
        print(f"usage: {COMMAND} [--check]   (in the repository's root)", file=sys.stderr)
        return 2
    base = root or Path.cwd()
    if not (base / "pyproject.toml").is_file():
        print(f"{base} is not the repository's root: it has no pyproject.toml", file=sys.stderr)
        return 2
    if not given:
        write(base)
        return 0
    wrong = stale(base)
    for path in wrong:
        fault = "is not what the models render" if path.name in rendered() else "should not be there"
        print(f"{path.relative_to(base)} {fault}; run `{COMMAND}`", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
