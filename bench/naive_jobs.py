"""What the naive operator orders and reads: the same jobs for a specialist, on the same double and store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelecology.jobs.intents import (
    AdapterRef,
    DataRef,
    EvaluateIntent,
    EvaluationTask,
    Intent,
    Lora,
    Recipe,
    ServedRef,
    Split,
    TrainIntent,
    canonical_json,
    evaluation_job_key,
    evaluation_key,
    train_key,
)
from modelecology.jobs.port import JobSpec, job_name
from modelecology.jobs.results import RESULTS
from modelecology.store import ArtifactStore

_BASE = DataRef(uri="file:///base", digest="sha256:" + "b" * 64)
_CODE = "sha256:" + "c" * 64
_LORA = Lora(rank=8, alpha=16)
_SHADOW_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Wish:
    """What one NaiveSpecialist asks for."""

    name: str
    task: str
    target: float
    seed: int
    store: str
    data: DataRef
    items: DataRef

    @classmethod
    def of(cls, name: str, spec: Any) -> Wish:
        """Read a spec."""
        return cls(
            name,
            spec["task"],
            spec["target"],
            spec["seed"],
            spec["store"],
            DataRef(**spec["data"]),
            DataRef(**spec["items"]),
        )

    @property
    def served_name(self) -> str:
        """The name under which the engine serves it."""
        return f"{self.name}-{self.adapter_key[:12]}"

    @property
    def adapter_key(self) -> str:
        """The key of its adapter."""
        return train_key(
            base_digest=_BASE.digest,
            data_digest=self.data.digest,
            replay=None,
            lora=_LORA,
            recipe=self._recipe(),
            sealed=(),
            code=_CODE,
        )

    def training(self) -> JobSpec:
        """Order the adapter."""
        intent = TrainIntent(
            key=self.adapter_key,
            store=self.store,
            base=_BASE,
            code=_CODE,
            data=self.data,
            lora=_LORA,
            recipe=self._recipe(),
            specialist=self.name,
        )
        return _job("Train", intent)

    def evaluation(self, split: Split) -> JobSpec:
        """Order its score: of the adapter on the main split, through the engine on the shadow split."""
        served = ServedRef(endpoint="http://127.0.0.1:2", model=self.served_name)
        adapter = AdapterRef(key=self.adapter_key)
        task = EvaluationTask(
            key=self.result_key(split),
            task=self.task,
            data=self.items,
            scorer="Exact",
            split=split,
            shadow_share=_SHADOW_SHARE,
        )
        intent = EvaluateIntent(
            key=evaluation_job_key([task.key]),
            store=self.store,
            base=_BASE,
            code=_CODE,
            adapter=adapter if split == "Main" else None,
            served=served if split == "Shadow" else None,
            tasks=(task,),
        )
        return _job("Evaluate" if split == "Main" else "Shadow", intent)

    def result_key(self, split: Split) -> str:
        """The key of its score."""
        return evaluation_key(
            base_digest=_BASE.digest,
            adapter_key=self.adapter_key,
            served_model=self.served_name if split == "Shadow" else None,
            data_digest=self.items.digest,
            scorer="Exact",
            pattern=None,
            entry_point=None,
            max_new_tokens=32,
            split=split,
            shadow_share=_SHADOW_SHARE,
            code=_CODE,
        )

    def score(self, split: Split) -> float:
        """Read its mean score, in [0, 1]."""
        content = ArtifactStore.open(self.store).read(self.result_key(split), RESULTS)
        scores = [float(json.loads(line)["score"]) for line in content.splitlines()]
        return sum(scores) / len(scores)

    def adapter_path(self) -> str:
        """Give the directory of its adapter."""
        return ArtifactStore.open(self.store).local_path(self.adapter_key)

    def _recipe(self) -> Recipe:
        return Recipe(steps=60, batch_size=8, learning_rate="1e-3", seed=self.seed)


def _job(phase: str, intent: Intent) -> JobSpec:
    return JobSpec(name=job_name(phase, intent.key, 0), intent_json=canonical_json(intent), cpus=1.0)
