"""Writes the orders of jobs: from a spec to an intent, its key, its name and what it asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from modelecology.api.jobs import Resources
from modelecology.api.specialist import Specialist, Train
from modelecology.jobs.intents import (
    AdapterRef,
    CourseOrder,
    DataRef,
    EvaluateIntent,
    ImportIntent,
    Intent,
    Lora,
    Recipe,
    ReplayRef,
    SealedRef,
    ServedRef,
    TrainIntent,
    canonical_json,
    course_key,
    evaluation_job_key,
    import_key,
    train_key,
)
from modelecology.jobs.port import JobSpec, job_name

from .frame import Asked, Frame

MOST_THREADS = 1024
Phase = Literal["Train", "Import", "Evaluate", "Shadow"]


@dataclass(frozen=True, slots=True)
class Order:
    """One job to run: its spec, and the keys whose commits mean that it has done its work."""

    spec: JobSpec
    phase: Phase
    commits: tuple[str, ...]
    progress_key: str

    @property
    def takes_slot(self) -> bool:
        """Whether it counts against `jobs.parallelism`; asking a served model is no work for a job."""
        return self.phase != "Shadow"


def _lora(train: Train) -> Lora:
    return Lora(rank=train.lora.rank, alpha=train.lora.alpha)


def _recipe(train: Train) -> Recipe:
    recipe = train.recipe
    return Recipe(
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=str(recipe.learning_rate),
        seed=recipe.seed,
        max_length=recipe.max_length,
    )


def _replay(train: Train) -> ReplayRef | None:
    replay = train.replay
    if replay is None:
        return None
    return ReplayRef(uri=replay.uri, digest=replay.digest, share=replay.share)


def artifact_key(frame: Frame, specialist: Specialist) -> str:
    """Compute the key of the adapter that a Specialist's source gives, 64 hex digits."""
    base = frame.population.spec.generalist.digest
    source = specialist.spec.source
    if source.train is not None:
        return train_key(
            base_digest=base,
            data_digest=source.train.data.digest,
            replay=_replay(source.train),
            lora=_lora(source.train),
            recipe=_recipe(source.train),
            sealed=tuple(t.data.digest for t in frame.suite.spec.tasks),
            code=frame.code,
        )
    if source.artifact is None:
        raise ValueError("source has neither train nor artifact; admission should have refused it")
    return import_key(
        base_digest=base,
        artifact_digest=source.artifact.digest,
        max_rank=frame.policy.max_rank,
        code=frame.code,
    )


def make_adapter(frame: Frame, specialist: Specialist, key: str, attempt: int) -> Order:
    """Order the adapter of a Specialist: a training or an import."""
    source = specialist.spec.source
    resources = specialist.spec.resources or frame.population.spec.jobs.resources
    common = _common(frame, resources)
    intent: Intent
    phase: Phase
    if source.train is not None:
        phase = "Train"
        intent = TrainIntent(
            key=key,
            data=DataRef(uri=source.train.data.uri, digest=source.train.data.digest),
            replay=_replay(source.train),
            lora=_lora(source.train),
            recipe=_recipe(source.train),
            sealed=tuple(
                SealedRef(task=t.name, data=DataRef(uri=t.data.uri, digest=t.data.digest))
                for t in frame.suite.spec.tasks
            ),
            specialist=specialist.metadata.name,
            **common,
        )
    elif source.artifact is not None:
        phase = "Import"
        intent = ImportIntent(
            key=key,
            artifact=DataRef(uri=source.artifact.uri, digest=source.artifact.digest),
            max_rank=frame.policy.max_rank,
            specialist=specialist.metadata.name,
            **common,
        )
    else:
        raise ValueError("source has neither train nor artifact; admission should have refused it")
    return Order(_job(intent, phase, attempt, resources), phase, (key,), key)


def ask(
    frame: Frame,
    asked: Sequence[Asked],
    attempt: int,
    resources: Resources | None = None,
    course: CourseOrder | None = None,
) -> Order:
    """Order results, all of one model; of a course, as many as its questions take.

    Raises ValueError for an empty or mixed order.
    """
    models = {(a.adapter_key, a.served_model) for a in asked}
    if len(models) != 1:
        raise ValueError("an evaluation order asks exactly one model")
    adapter, served = models.pop()
    wanted = resources or frame.population.spec.jobs.resources
    tasks = tuple(frame.order(a) for a in asked)
    keys = tuple(t.key for t in tasks)
    key = evaluation_job_key(keys) if course is None else course_key(course, keys)
    endpoint = frame.population.spec.serving.endpoints[0]
    intent = EvaluateIntent(
        key=key,
        adapter=AdapterRef(key=adapter) if adapter and not served else None,
        served=ServedRef(endpoint=endpoint, model=served) if served else None,
        tasks=tasks,
        course=course,
        **_common(frame, wanted),
    )
    phase: Phase = "Shadow" if served else "Evaluate"
    commits = keys if course is None else (key,)
    return Order(_job(intent, phase, attempt, wanted), phase, commits, key)


class _Common(TypedDict):
    store: str
    base: DataRef
    threads: int
    deadline_seconds: int
    code: str


def _common(frame: Frame, resources: Resources) -> _Common:
    spec = frame.population.spec
    return _Common(
        store=spec.store.uri,
        base=DataRef(uri=spec.generalist.model, digest=spec.generalist.digest),
        threads=min(max(1, int(resources.cpus)), MOST_THREADS),
        deadline_seconds=int(spec.jobs.deadline.total_seconds()),
        code=frame.code,
    )


def _job(intent: Intent, phase: Phase, attempt: int, resources: Resources) -> JobSpec:
    # Asking a served model costs this job nearly nothing: the engine works, so no CPU is kept from trainings.
    cpus = 0.0 if phase == "Shadow" else resources.cpus
    # Two stores may want the same key of one Ray: the job that filled the one has not filled the other.
    place = hashlib.sha256(f"{intent.store} {intent.key}".encode()).hexdigest()
    return JobSpec(
        name=job_name(phase, place, attempt),
        intent_json=canonical_json(intent),
        cpus=cpus,
        gpus=0.0 if phase == "Shadow" else float(resources.gpu),
        memory_bytes=resources.memory_bytes,
    )
