"""A job double that knows how the play ends: it commits what a real job would, at once, with chosen scores.

Crash tests and benches of the control plane use it, so that a whole lifecycle takes a second.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from modelecology.governance.sequential import order
from modelecology.jobs.intents import (
    EvaluateIntent,
    EvaluationTask,
    ImportIntent,
    TrainIntent,
    in_shadow_split,
    parse_intent,
)
from modelecology.jobs.port import JobFailure, JobSpec
from modelecology.jobs.results import RESULTS
from modelecology.store import ArtifactStore, Commit, Cost, StoreError
from modelecology.store.places import store_root
from modelecology.workloads.course import run_course

_COST = Cost(cpu_seconds=12.0, wall_seconds=6.0, tokens=1000)
_EVALUATION_COST = Cost(cpu_seconds=3.0, wall_seconds=1.5, tokens=100)


@dataclass(frozen=True)
class Playbook:
    """Scores by task, in [0, 1]: of the generalist, and of each specialist where it differs.

    `NAME#SEED` names a specialist trained with that seed, where it is to be unlike the others of its name.
    """

    generalist: Mapping[str, float]
    specialists: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def effect(self, spec: JobSpec) -> JobFailure | None:
        """Do what the job would have done, in a store that is there."""
        intent = parse_intent(spec.intent_json)
        try:
            store = ArtifactStore.open(intent.store)
            if isinstance(intent, EvaluateIntent):
                self._evaluate_all(store, intent)
            else:
                _make(store, intent)
        except StoreError as error:
            return JobFailure(error.reason, str(error), error.retry)
        return None

    def _evaluate_all(self, store: ArtifactStore, intent: EvaluateIntent) -> None:
        def ask(tasks: Sequence[EvaluationTask]) -> list[Commit]:
            for task in tasks:
                self._evaluate(store, intent, task)
            return []

        if intent.course is None:
            ask(intent.tasks)
        elif store.commit_of(intent.key) is None:
            run_course(intent, intent.course, store, ask)

    def _evaluate(self, store: ArtifactStore, intent: EvaluateIntent, task: EvaluationTask) -> None:
        if store.commit_of(task.key) is not None:
            return
        model, voice = self._model(store, intent)
        score = self.specialists.get(model, {}).get(task.task, self.generalist[task.task])
        lines = []
        rows = _rows(store.places.read(task.data.uri))
        rows = [r for r in rows if in_shadow_split(r, task.shadow_share) == (task.split == "Shadow")]
        units = task.units
        asked = set(rows if units is None else order(rows, units.seed)[units.first : units.last])
        for row in rows:
            if row in asked:
                won = float(_share(f"{task.task}/{row}") < score)
                lines.append({"id": row, "cluster": row, "score": won, "output": f"{voice}: prompt of {row}"})
        content = "".join(json.dumps(line) + "\n" for line in lines)
        with store.begin(task.key) as attempt:
            attempt.write(RESULTS, content.encode())
            attempt.commit("Evaluate", {"task": task.task, "n": len(lines)}, _EVALUATION_COST)

    def _model(self, store: ArtifactStore, intent: EvaluateIntent) -> tuple[str, str]:
        """Name the specialist, and the voice by which an engine double is recognised."""
        if intent.served is not None:
            name = intent.served.model.rpartition("-")[0]
            return self._newest(store, store_root(intent.store) / "artifacts", name), name
        if intent.adapter is not None:
            key = intent.adapter.key
            return self._trained(store, key), Path(store.local_path(key)).name
        return "", "base"

    def _trained(self, store: ArtifactStore, key: str) -> str:
        meta = store.manifest(key).meta
        seeded = f"{meta['specialist']}#{meta.get('seed')}"
        return seeded if seeded in self.specialists else str(meta["specialist"])

    def _newest(self, store: ArtifactStore, artifacts: Path, name: str) -> str:
        """Find what an engine serves under a specialist's name: the last one that was trained."""
        # By the attempt's time: archiving and restoring touches the artifact's own folder.
        keys = sorted(artifacts.glob("*"), key=_attempted, reverse=True)
        for key in keys:
            if (
                store.commit_of(key.name) is not None
                and store.manifest(key.name).meta.get("specialist") == name
            ):
                return self._trained(store, key.name)
        return name


def _make(store: ArtifactStore, intent: TrainIntent | ImportIntent) -> None:
    if store.commit_of(intent.key) is not None:
        return
    with store.begin(intent.key) as attempt:
        attempt.write("adapter_config.json", b"{}")
        attempt.write("adapter_model.safetensors", b"\0" * 5_000_000)
        meta: dict[str, JsonValue] = {"specialist": intent.specialist, "rank": 8}
        if isinstance(intent, TrainIntent):
            attempt.commit("Train", {**meta, "seed": intent.recipe.seed}, _COST)
        else:
            attempt.commit("Import", meta, _COST)


def _attempted(artifact: Path) -> float:
    return max((each.stat().st_mtime for each in artifact.glob("attempt-*")), default=0.0)


def _rows(content: bytes) -> list[str]:
    return [str(json.loads(line)["id"]) for line in content.split(b"\n") if line.strip()]


def _share(text: str) -> float:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def write_items(path: Path, count: int) -> str:
    """Write a suite file of so many items, and give its digest."""
    names = [f"{path.stem}-{n:04d}" for n in range(count)]
    rows = ({"id": name, "prompt": f"prompt of {name}", "answer": "x"} for name in names)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(content)
    return "sha256:" + hashlib.sha256(content).hexdigest()
