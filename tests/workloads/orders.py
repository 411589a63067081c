"""Writes intents for a tiny desk, with the keys that the operator would give them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelecology.jobs.code import code_digest
from modelecology.jobs.intents import (
    AdapterRef,
    DataRef,
    EvaluateIntent,
    EvaluationTask,
    ImportIntent,
    Lora,
    Recipe,
    ReplayRef,
    Scorer,
    SealedRef,
    ServedRef,
    Split,
    TrainIntent,
    evaluation_job_key,
    evaluation_key,
    import_key,
    train_key,
)
from modelecology.store import ArtifactStore, directory_digest, file_digest
from testbed.tiny import TinyDesk

CODE = code_digest()


def data_ref(path: Path) -> DataRef:
    """Name a file by its place and content."""
    return DataRef(uri=f"file://{path}", digest=file_digest(str(path)))


@dataclass(frozen=True, slots=True)
class Orders:
    """A tiny desk and a store of its own."""

    desk: TinyDesk
    root: Path

    @property
    def uri(self) -> str:
        """The store's uri."""
        return f"file://{self.root}"

    @property
    def store(self) -> ArtifactStore:
        """The store."""
        return ArtifactStore.create(self.uri)

    @property
    def base(self) -> DataRef:
        """The tiny base."""
        return DataRef(uri=f"file://{self.desk.base}", digest=self.desk.base_digest)

    def data(self, name: str) -> DataRef:
        """One of the desk's files."""
        path, digest = self.desk.files[name]
        return DataRef(uri=f"file://{path}", digest=digest)

    def train(
        self,
        *,
        data: DataRef | None = None,
        base: DataRef | None = None,
        steps: int = 3,
        rate: str = "1e-2",
        replay: bool = True,
        sealed: tuple[SealedRef, ...] = (),
        max_length: int = 64,
    ) -> TrainIntent:
        """Order a training."""
        chosen = data or self.data("code.train.jsonl")
        base = base or self.base
        lora = Lora(**self.desk.lora)
        recipe = Recipe(steps=steps, batch_size=8, learning_rate=rate, seed=7, max_length=max_length)
        kept = self.data("replay.jsonl")
        again = ReplayRef(uri=kept.uri, digest=kept.digest, share=self.desk.replay_share) if replay else None
        key = train_key(
            base_digest=base.digest,
            data_digest=chosen.digest,
            replay=again,
            lora=lora,
            recipe=recipe,
            sealed=tuple(ref.data.digest for ref in sealed),
            code=CODE,
        )
        return TrainIntent(
            key=key,
            store=self.uri,
            base=base,
            code=CODE,
            data=chosen,
            replay=again,
            lora=lora,
            recipe=recipe,
            sealed=sealed,
            specialist="zulu",
        )

    def admit(self, directory: Path, *, digest: str | None = None, max_rank: int = 16) -> ImportIntent:
        """Order an import."""
        found = digest or directory_digest(str(directory))
        key = import_key(base_digest=self.base.digest, artifact_digest=found, max_rank=max_rank, code=CODE)
        return ImportIntent(
            key=key,
            store=self.uri,
            base=self.base,
            code=CODE,
            artifact=DataRef(uri=f"file://{directory}", digest=found),
            max_rank=max_rank,
        )

    def task(
        self,
        name: str,
        *,
        adapter: str | None = None,
        served: str | None = None,
        data: DataRef | None = None,
        scorer: Scorer = "Exact",
        split: Split = "Main",
        pattern: str | None = None,
        entry_point: str | None = None,
    ) -> EvaluationTask:
        """Order the score of one task."""
        chosen = data or self.data(f"{name}.eval.jsonl")
        key = evaluation_key(
            base_digest=self.base.digest,
            adapter_key=adapter,
            served_model=served,
            data_digest=chosen.digest,
            scorer=scorer,
            pattern=pattern,
            entry_point=entry_point,
            max_new_tokens=8,
            split=split,
            shadow_share=0.25,
            code=CODE,
        )
        return EvaluationTask(
            key=key,
            task=name,
            data=chosen,
            scorer=scorer,
            pattern=pattern,
            entry_point=entry_point,
            max_new_tokens=8,
            split=split,
        )

    def evaluate(
        self, *tasks: EvaluationTask, adapter: str | None = None, served: ServedRef | None = None
    ) -> EvaluateIntent:
        """Order an evaluation."""
        return EvaluateIntent(
            key=evaluation_job_key(task.key for task in tasks),
            store=self.uri,
            base=self.base,
            code=CODE,
            adapter=AdapterRef(key=adapter) if adapter else None,
            served=served,
            tasks=tasks,
        )
