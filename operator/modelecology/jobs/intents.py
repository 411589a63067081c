"""What a workload is told to do, and the keys that make a repeat of it the same work.

An intent is canonical JSON in the environment variable `MODELECOLOGY_INTENT`. Its key is a sha256 over what
decides the result: digests, recipe, code. Where a file lies, how many threads work on it and how long it may
take decide nothing about the result, so they are no part of a key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator
from pydantic.alias_generators import to_camel

from modelecology.governance.trial import Course

INTENT_VARIABLE = "MODELECOLOGY_INTENT"
FAILURE_FIELD = "modelecologyFailure"

Split = Literal["Main", "Shadow"]
Scorer = Literal["Exact", "Contains", "Regex", "Choice", "Perplexity", "EntryPoint"]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class IntentPart(BaseModel):
    """Base of everything inside an intent: frozen, camelCase in JSON, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class DataRef(IntentPart):
    """A file, or for a base or an artifact a directory, by place and by content."""

    uri: str = Field(min_length=1)
    digest: Digest


class ReplayRef(DataRef):
    """The generalist's own answers, mixed into every batch so that a narrow adapter does not forget them."""

    share: float = Field(gt=0, lt=1)


class SealedRef(IntentPart):
    """A suite task's data, which training rows must not contain."""

    task: str
    data: DataRef


class Lora(IntentPart):
    """Shape of the adapter: rank and alpha; dropout is fixed at 0 so that training stays reproducible."""

    rank: int = Field(ge=1, le=512)
    alpha: int = Field(ge=1, le=4096)
    dropout: Literal[0] = 0


class Recipe(IntentPart):
    """How the adapter is trained: optimiser steps, rows a step, peak learning rate, seed, tokens a row."""

    steps: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(ge=1, le=4096)
    learning_rate: str
    seed: int = Field(ge=0, lt=2**31)
    max_length: int = Field(default=128, ge=8, le=131072)

    @field_validator("learning_rate")
    @classmethod
    def _one_spelling_of_a_number(cls, value: str) -> str:
        """Write 1e-3 and 0.001 alike, or equal recipes would get different keys."""
        try:
            number = Decimal(value)
        except InvalidOperation as error:
            raise ValueError(f"learningRate must be a decimal number such as 1e-3, not {value!r}") from error
        if not number.is_finite() or number <= 0:
            raise ValueError(f"learningRate must be a positive number, not {value!r}")
        return format(number.normalize(), "f")


class AdapterRef(IntentPart):
    """A committed adapter in the store."""

    key: Key


class ServedRef(IntentPart):
    """A model that an OpenAI-compatible endpoint serves under this name."""

    endpoint: str = Field(min_length=1)
    model: str = Field(min_length=1)


class UnitRange(IntentPart):
    """Units of a task, each a cluster, in the order of the seed: from first up to and without last."""

    seed: str
    first: int = Field(ge=0)
    last: int = Field(ge=1)


class EvaluationTask(IntentPart):
    """One task of a suite, or some units of it, and the key under which its result is committed."""

    key: Key
    task: str
    data: DataRef
    scorer: Scorer
    pattern: str | None = None
    entry_point: str | None = None
    max_new_tokens: int = Field(default=32, ge=1, le=8192)
    split: Split = "Main"
    shadow_share: float = Field(default=0.25, ge=0, lt=1)
    units: UnitRange | None = None

    @model_validator(mode="after")
    def _scorer_has_what_it_needs(self) -> EvaluationTask:
        if self.scorer == "Regex" and not self.pattern:
            raise ValueError(f"task {self.task}: scorer Regex needs a pattern")
        if self.scorer == "EntryPoint" and not self.entry_point:
            raise ValueError(f"task {self.task}: scorer EntryPoint needs an entryPoint, module:function")
        return self


class CommonIntent(IntentPart):
    """What every job is told."""

    key: Key
    store: str = Field(min_length=1)
    base: DataRef
    threads: int = Field(default=1, ge=1, le=1024)
    deadline_seconds: int = Field(default=3600, ge=1)
    code: Digest


class TrainIntent(CommonIntent):
    """Train one LoRA adapter on the base; `specialist` is for people and decides nothing."""

    kind: Literal["Train"] = "Train"
    data: DataRef
    replay: ReplayRef | None = None
    lora: Lora
    recipe: Recipe
    sealed: tuple[SealedRef, ...] = ()
    specialist: str = ""


class ImportIntent(CommonIntent):
    """Admit an adapter that was trained elsewhere."""

    kind: Literal["Import"] = "Import"
    artifact: DataRef
    max_rank: int = Field(ge=1, le=512)
    specialist: str = ""


class BaselineResult(IntentPart):
    """The generalist's committed result on all items of a task."""

    task: str
    key: Key


class CourseOrder(IntentPart):
    """A stage of a trial: its tasks are asked round by round, until its questions are answered."""

    course: Course
    baseline: tuple[BaselineResult, ...]
    incumbent: Key
    claimed: str


class EvaluateIntent(CommonIntent):
    """Score the base, an adapter on it, or a served model: some tasks, or of a course as many as it takes."""

    kind: Literal["Evaluate"] = "Evaluate"
    adapter: AdapterRef | None = None
    served: ServedRef | None = None
    tasks: tuple[EvaluationTask, ...] = Field(min_length=1)
    course: CourseOrder | None = None

    @model_validator(mode="after")
    def _tasks_are_those_of_the_rounds(self) -> EvaluateIntent:
        if self.course is None:
            return self
        parts = [(p.task, p.first, p.last) for p in self.course.course.parts()]
        units = [(t.task, t.units.first, t.units.last) if t.units else None for t in self.tasks]
        if parts != units:
            raise ValueError("the tasks of a course are the parts of its rounds, in their order")
        return self


Intent = TrainIntent | ImportIntent | EvaluateIntent

_INTENT: TypeAdapter[Intent] = TypeAdapter(Annotated[Intent, Field(discriminator="kind")])


def parse_intent(text: str) -> Intent:
    """Read an intent; raises pydantic.ValidationError (a ValueError) naming the field that is wrong."""
    return _INTENT.validate_json(text)


def canonical_json(value: IntentPart | dict[str, object]) -> str:
    """Write a value so that equal values are equal bytes: sorted keys, no spaces, ASCII."""
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, IntentPart) else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _key(kind: str, identity: dict[str, object]) -> str:
    return hashlib.sha256(canonical_json({"kind": kind, **identity}).encode()).hexdigest()


def train_key(
    *,
    base_digest: str,
    data_digest: str,
    replay: ReplayRef | None,
    lora: Lora,
    recipe: Recipe,
    sealed: tuple[str, ...],
    code: str,
) -> str:
    """Name the adapter that this training gives, 64 hex digits.

    Two Specialists with an equal key share one adapter: the second adopts it. `sealed` holds the digests of
    the suite's data: it changes no weight, but an adapter whose rows were checked against one suite must not
    be adopted under another. Their order does not matter.
    """
    return _key(
        "Train",
        {
            "base": base_digest,
            "data": data_digest,
            "replay": None if replay is None else {"digest": replay.digest, "share": replay.share},
            "lora": lora.model_dump(mode="json", by_alias=True),
            "recipe": recipe.model_dump(mode="json", by_alias=True),
            "sealed": sorted(set(sealed)),
            "code": code,
        },
    )


def import_key(*, base_digest: str, artifact_digest: str, max_rank: int, code: str) -> str:
    """Name the adapter that this import gives, 64 hex digits.

    No suite is part of it: nobody knows the rows of an import, so they cannot be checked against one.
    """
    return _key(
        "Import", {"base": base_digest, "artifact": artifact_digest, "maxRank": max_rank, "code": code}
    )


def evaluation_key(
    *,
    base_digest: str,
    adapter_key: str | None,
    served_model: str | None,
    data_digest: str,
    scorer: Scorer,
    pattern: str | None,
    entry_point: str | None,
    max_new_tokens: int,
    split: Split,
    shadow_share: float,
    code: str,
    units: UnitRange | None = None,
) -> str:
    """Name one task's result, 64 hex digits.

    With neither adapter nor served model it is the generalist's own, which every candidate is compared with
    and which is therefore computed once. A served model counts by name: names carry a digest.
    """
    return _key(
        "Evaluate",
        {
            "base": base_digest,
            "adapter": adapter_key,
            "served": served_model,
            "data": data_digest,
            "scorer": scorer,
            "pattern": pattern,
            "entryPoint": entry_point,
            "maxNewTokens": max_new_tokens,
            "split": split,
            "shadowShare": shadow_share,
            "code": code,
            # Absent where all units are asked, as it was before there were parts.
            **({} if units is None else {"units": units.model_dump(mode="json", by_alias=True)}),
        },
    )


def evaluation_job_key(task_keys: Iterable[str]) -> str:
    """Name a job that commits several task results, 64 hex digits; the order of the tasks does not matter."""
    return _key("EvaluateJob", {"tasks": sorted(set(task_keys))})


def course_key(order: CourseOrder, task_keys: Iterable[str]) -> str:
    """Name a stage of a trial, 64 hex digits: its parts, its questions, and what it compares with."""
    asked = order.model_dump(mode="json", by_alias=True)
    return _key("Course", {"order": asked, "tasks": list(task_keys)})


def in_shadow_split(cluster: str, share: float) -> bool:
    """Say whether an item is held back for the shadow stage; items of one cluster are never split."""
    return int(hashlib.sha256(cluster.encode()).hexdigest()[:8], 16) / 2**32 < share
