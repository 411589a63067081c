"""A recorded score matrix: real adapters and what they answered, taken from a store and kept as JSON.

It holds scores by model, task and item, and what the portfolio weighs them by: tasks and policy.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from modelecology.api.policy import Policy as ApiPolicy
from modelecology.api.population import Population as ApiPopulation
from modelecology.api.serving import Capacity as ApiCapacity
from modelecology.api.suite import EvaluationSuite, Task
from modelecology.api.vocabulary import Role
from modelecology.governance.evidence import Difference, difference, mean
from modelecology.governance.facts import (
    GENERALIST,
    Item,
    Member,
    Results,
    Standing,
    SuiteTask,
)
from modelecology.governance.rules import Policy
from modelecology.jobs.results import RESULTS, read_results
from modelecology.store import ArtifactStore
from modelecology.store.records import ADAPTERS, Manifest, is_key
from modelecology.translation import policy as policy_of
from modelecology.translation import tasks as tasks_of

FORMAT = 1
WEIGHTS = "adapter_model.safetensors"
_PLACEHOLDER = "sha256:" + "0" * 64


class MatrixError(ValueError):
    """Raised when a store or a file holds no matrix; it says what is missing."""


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Answered(_Part):
    """The items of a task, each with its cluster, in the order of the scores."""

    ids: tuple[str, ...]
    clusters: tuple[str, ...]


class Model(_Part):
    """One model: the generalist, which has no task of its own, or an adapter."""

    name: str
    task: str = ""
    resident_bytes: int = 0
    lineage: dict[str, Any] = {}  # how it was trained: recipe, replay, digests
    scores: dict[str, tuple[float | None, ...]]  # by task; None where it was not asked


class Matrix(_Part):
    """All of it."""

    format: int
    tasks: tuple[Task, ...]
    policy: ApiPolicy
    capacity: ApiCapacity
    replicas: int
    items: dict[str, Answered]
    models: tuple[Model, ...]

    @property
    def generalist(self) -> Model:
        """The generalist. Raises MatrixError."""
        found = next((m for m in self.models if m.name == GENERALIST), None)
        if found is None:
            raise MatrixError("The matrix has no generalist. Record it from a store whose baseline is whole.")
        return found

    @property
    def adapters(self) -> tuple[Model, ...]:
        """All others."""
        return tuple(m for m in self.models if m.name != GENERALIST)

    def results(self, model: Model, task: str) -> Results:
        """Give what a model answered of a task."""
        known = self.items[task]
        rows = zip(known.ids, known.clusters, model.scores.get(task, ()), strict=False)
        return Results(task, model.name, tuple(Item(i, c, s) for i, c, s in rows if s is not None))

    def terms(self) -> tuple[tuple[SuiteTask, ...], Policy]:
        """Give the suite's tasks and the policy in the terms of governance."""
        suite = EvaluationSuite.model_validate(
            {"metadata": {"name": "recorded"}, "spec": {"tasks": [_bare(t) for t in self.tasks]}}
        )
        body = {
            "metadata": {"name": "recorded"},
            "spec": {
                "generalist": {"model": "store:///generalist", "digest": _PLACEHOLDER},
                "suiteRef": {"name": "recorded"},
                "store": {"uri": "file:///store"},
                "jobs": {"ray": {"address": "http://127.0.0.1:8265"}},
                "serving": {
                    "endpoints": [f"http://127.0.0.1:{8000 + k}" for k in range(self.replicas)],
                    "capacity": self.capacity.model_dump(mode="json", by_alias=True, exclude_none=True),
                },
                "policy": self.policy.model_dump(mode="json", by_alias=True, exclude_none=True),
            },
        }
        return tasks_of(suite.spec), policy_of(ApiPopulation.model_validate(body))


def read_matrix(path: Path) -> Matrix:
    """Read a recorded matrix. Raises MatrixError, and a ValidationError for what is no matrix."""
    found = Matrix.model_validate_json(path.read_text(encoding="utf-8"))
    if found.format != FORMAT:
        raise MatrixError(f"{path} has format {found.format}; this version reads format {FORMAT}.")
    return found


def write_matrix(path: Path, matrix: Matrix) -> None:
    """Write it, one model a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = matrix.model_dump(mode="json", by_alias=True, exclude_none=False)
    models = body.pop("models")
    lines = ",\n  ".join(json.dumps(model, sort_keys=True, separators=(",", ":")) for model in models)
    head = json.dumps(body, sort_keys=True, indent=1, separators=(",", ":")).rstrip("\n}")
    path.write_text(f'{head},\n "models":[\n  {lines}\n ]\n}}\n', encoding="utf-8")


def record(store: Path, manifests: Path) -> Matrix:
    """Take the matrix out of a store in a folder; `manifests` has the Population and its EvaluationSuite.

    Raises MatrixError.
    """
    population, suite = _manifests(manifests)
    opened = ArtifactStore.open(f"file://{store.resolve()}")
    scores: dict[str, dict[str, dict[str, tuple[str, float]]]] = defaultdict(lambda: defaultdict(dict))
    for key, manifest in _committed(opened, store):
        task, model = manifest.meta.get("task"), manifest.meta.get("model")
        if manifest.kind != "Evaluate" or manifest.meta.get("split") != "Main" or not isinstance(model, dict):
            continue
        known = scores[str(model.get("adapter") or "")][str(task)]
        for line in read_results(opened.read(key, RESULTS)):
            known[line.id] = (line.cluster, line.score)
    tasks = [t for t in suite.spec.tasks if scores[""].get(t.name)]
    if len(tasks) < len(suite.spec.tasks):
        missing = sorted({t.name for t in suite.spec.tasks} - {t.name for t in tasks})
        raise MatrixError(f"The generalist has no results on {', '.join(missing)} in {store}.")
    items = {
        t.name: Answered(
            ids=tuple(sorted(scores[""][t.name])),
            clusters=tuple(scores[""][t.name][i][0] for i in sorted(scores[""][t.name])),
        )
        for t in tasks
    }
    models = [Model(name=GENERALIST, scores=_aligned(scores[""], items))]
    for key in sorted(k for k in scores if k):
        models.append(_adapter(opened.manifest(key), key, scores, items, tasks))
    return Matrix(
        format=FORMAT,
        tasks=tuple(suite.spec.tasks),
        policy=population.spec.policy,
        capacity=population.spec.serving.capacity,
        replicas=len(population.spec.serving.endpoints),
        items=items,
        models=tuple(models),
    )


def standing_of(matrix: Matrix) -> tuple[Standing, tuple[SuiteTask, ...], Policy]:
    """Weigh all adapters of a matrix that break no invariant as if they were live together."""
    tasks, policy = matrix.terms()
    sound = [m for m in matrix.adapters if not broken(matrix, m)]
    base = tuple(
        _member(matrix, matrix.generalist, task.name, policy, ()) for task in tasks if task.role is Role.TASK
    )
    members = tuple(_member(matrix, model, model.task, policy, sound) for model in sound)
    return Standing(tuple(replace(b, served_name=GENERALIST) for b in base), members), tasks, policy


def broken(matrix: Matrix, model: Model) -> dict[str, Difference]:
    """Name the invariants that an adapter provably breaks, with the paired difference."""
    tasks, policy = matrix.terms()
    found = {}
    for task in tasks:
        allowed = task.max_regression
        if task.role is not Role.INVARIANT or allowed is None:
            continue
        ours = matrix.results(model, task.name)
        if not ours.items:
            continue
        lost = difference(ours, _same(matrix.results(matrix.generalist, task.name), ours), policy.confidence)
        if lost.interval.high < -allowed:
            found[task.name] = lost
    return found


def _same(theirs: Results, ours: Results) -> Results:
    """Keep the items that the other model answered too."""
    asked = {item.id for item in ours.items}
    return replace(theirs, items=tuple(item for item in theirs.items if item.id in asked))


def _member(
    matrix: Matrix, model: Model, task: str, policy: Policy, others: list[Model] | tuple[()]
) -> Member:
    results = matrix.results(model, task)
    score = mean(results, policy.confidence)
    bare = Member(model.name, task, score.mean, model.resident_bytes, score.interval.low, score.interval.high)
    if model.name == GENERALIST:
        return bare
    # The best of the others on the items that both answered.
    rivals = [matrix.generalist, *(m for m in others if m.task == task and m.name != model.name)]
    best = max(rivals, key=lambda m: (matrix.results(m, task).mean, m.name))
    theirs = matrix.results(best, task)
    both = _same(results, theirs), _same(theirs, results)
    return replace(bare, over=best.name, lead=difference(*both, policy.confidence).interval)


def _adapter(
    manifest: Manifest,
    key: str,
    scores: dict[str, dict[str, dict[str, tuple[str, float]]]],
    items: dict[str, Answered],
    tasks: list[Task],
) -> Model:
    if manifest.kind not in ADAPTERS:
        raise MatrixError(f"{key} was evaluated and is no adapter, but {manifest.kind}.")
    aligned = _aligned(scores[key], items)
    base = _aligned(scores[""], items)

    def gain(task: str) -> float:
        pairs = zip(aligned[task], base[task], strict=True)
        known = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
        return sum(known) / len(known) if known else -1.0

    # Its own task is that on which it was asked; of several, where it helps most.
    own = max((t.name for t in tasks if t.role is Role.TASK), key=gain)
    replay = manifest.meta.get("replay")
    weights = manifest.files.get(WEIGHTS)
    return Model(
        name=f"{manifest.meta.get('specialist') or 'adapter'}-{key[:12]}",
        task=own,
        resident_bytes=weights.size if weights is not None else 0,
        lineage={"kind": manifest.kind, "replay": replay, "recipe": manifest.meta.get("recipe"), "key": key},
        scores=aligned,
    )


def _aligned(
    scores: dict[str, dict[str, tuple[str, float]]], items: dict[str, Answered]
) -> dict[str, tuple[float | None, ...]]:
    return {
        task: tuple(scores[task][i][1] if i in scores.get(task, {}) else None for i in known.ids)
        for task, known in items.items()
    }


def _committed(store: ArtifactStore, folder: Path) -> Iterator[tuple[str, Manifest]]:
    for path in sorted((folder / "artifacts").iterdir()):
        if is_key(path.name) and store.commit_of(path.name) is not None:
            yield path.name, store.manifest(path.name)


def _manifests(folder: Path) -> tuple[ApiPopulation, EvaluationSuite]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if isinstance(body, dict):
                found[str(body.get("kind"))] = body
    for kind in ("Population", "EvaluationSuite"):
        if kind not in found:
            raise MatrixError(f"{folder} has no {kind}.")
    return (
        ApiPopulation.model_validate(found["Population"]),
        EvaluationSuite.model_validate(found["EvaluationSuite"]),
    )


def _bare(task: Task) -> dict[str, Any]:
    return task.model_dump(mode="json", by_alias=True, exclude_none=True)
