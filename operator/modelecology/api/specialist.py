"""Specialist: one competence that an owner claims, and where its adapter comes from."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .jobs import Resources
from .ledger import Tip, Totals
from .matching import MOST_RULES, Match
from .meta import (
    CONDITIONS,
    NAME_RULES,
    Condition,
    DataRef,
    Digest,
    FileUri,
    Label,
    Model,
    NameRef,
    ObjectMeta,
    Rate,
    StatusModel,
    Timestamp,
    cel,
    reserved,
    validated,
)
from .vocabulary import State, Target

MOST_PINS = 4
RevisionName = Annotated[str, Field(pattern="^[0-9a-f]{12}$", max_length=64)]


class Contract(Model):
    """What the specialist claims, and for whom."""

    task: Label = Field(description="The suite's task that this specialist claims.")
    target: float = Field(
        gt=0,
        le=1,
        description="The score the owner needs. The gap is the target minus the incumbent's score.",
    )
    owner: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="Who answers for it.")
    description: Annotated[str, Field(max_length=1024)] = Field(
        default="", description="What it does, in a line."
    )
    match: Annotated[tuple[Match, ...], Field(max_length=MOST_RULES)] | None = Field(
        default=None,
        description="Which requests for the population are of its task: those that any of these rules "
        "matches. A change of them alone makes no new revision.",
    )

    @property
    def rules(self) -> tuple[Match, ...]:
        """What it says of requests; nothing where it says nothing."""
        return self.match or ()


class Replay(DataRef):
    """The base's own answers, mixed into the batches so that the adapter forgets less."""

    share: float = Field(default=0.375, gt=0, lt=1, description="Share of each batch.")


class Lora(Model):
    """The shape of the adapter (Hu et al., 2021, arXiv:2106.09685)."""

    rank: int = Field(default=8, ge=1, le=512, description="Rank of the update.")
    alpha: int = Field(
        default=16, ge=1, le=4096, description="Scale of the update; it is divided by the rank."
    )


class Recipe(Model):
    """How the adapter is trained."""

    steps: int = Field(default=60, ge=1, le=1_000_000, description="Optimiser steps.")
    batch_size: int = Field(default=8, ge=1, le=4096, description="Rows in a step.")
    learning_rate: Rate = Field(default=Decimal("1e-3"), description="Peak learning rate, such as 1e-3.")
    max_length: int = Field(default=128, ge=16, le=32768, description="Longest row, in tokens.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of every random choice.")


class Train(Model):
    """Train an adapter."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.replay) || (self.replay.share * double(self.recipe.batchSize) >= 1.0 && "
                "(1.0 - self.replay.share) * double(self.recipe.batchSize) >= 1.0)",
                "replay.share of recipe.batchSize must leave replay and data one row of a batch each",
                ".replay.share",
            ),
            cel(
                "!has(self.replay) || self.replay.digest != self.data.digest",
                "replay must be other rows than data; both digests are the same",
                ".replay.digest",
            ),
        )
    )

    data: DataRef = Field(description="Training rows, as JSONL with id, prompt and answer.")
    replay: Replay | None = Field(
        default=None, description="The base's own answers to general questions. Leave it out at your peril."
    )
    lora: Lora = Field(default=Lora(), description="Shape of the adapter.")
    recipe: Recipe = Field(default=Recipe(), description="How it is trained.")


class Artifact(Model):
    """Import an adapter that was trained elsewhere."""

    uri: FileUri = Field(description="Directory with adapter_config.json and adapter_model.safetensors.")
    digest: Digest = Field(description="Digest of that directory.")


class Source(Model):
    """Where the adapter comes from: exactly one."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "[has(self.train), has(self.artifact)].filter(x, x).size() == 1",
                "source takes exactly one of train and artifact",
            )
        )
    )

    train: Train | None = Field(default=None, description="Train it.")
    artifact: Artifact | None = Field(default=None, description="Import it.")
    merge: Any = reserved("source.merge", "import the merged adapter by source.artifact")
    quantize: Any = reserved("source.quantize", "import the quantized adapter by source.artifact")


class Lifecycle(Model):
    """What the owner wants."""

    target: Target = Field(
        default=Target.LIVE,
        description="Live serves once the evidence allows; Shadow stops short of that; Retired unloads.",
    )
    pinned: Annotated[tuple[RevisionName, ...], Field(max_length=MOST_PINS)] | None = Field(
        default=None,
        description="Revisions that stay on the engines once a newer one is live, for who asks for them by "
        "their served names. Each takes a place of the capacity.",
        json_schema_extra=validated(
            cel("self.all(one, self.exists_one(other, other == one))", "each revision is pinned once")
        ),
    )

    @property
    def pins(self) -> tuple[str, ...]:
        """The revisions that are pinned; none where it does not say."""
        return self.pinned or ()


class SpecialistSpec(Model):
    """What the user wants of a specialist."""

    population_ref: NameRef = Field(
        description="The population that governs it.",
        json_schema_extra=validated(
            cel("self == oldSelf", "populationRef is immutable; create another Specialist")
        ),
    )
    contract: Contract = Field(description="What it claims.")
    source: Source = Field(description="Where the adapter comes from.")
    resources: Resources | None = Field(
        default=None, description="Overrides the population's jobs.resources."
    )
    lifecycle: Lifecycle = Field(default=Lifecycle(), description="What the owner wants.")


class Interval(StatusModel):
    """A confidence interval."""

    low: float = Field(description="Lower bound.")
    high: float = Field(description="Upper bound.")
    confidence: float = Field(description="Confidence of the bounds.")


class Scorecard(StatusModel):
    """Paired results of a revision beside its incumbent's."""

    task: Label = Field(description="The task.")
    score: float = Field(description="Mean score of the revision, in [0, 1].")
    incumbent: Annotated[str, Field(max_length=128)] = Field(description="Served name of the incumbent.")
    incumbent_score: float = Field(description="Mean score of the incumbent, in [0, 1].")
    difference: Interval | None = Field(default=None, description="Paired difference.")
    n: int = Field(ge=0, description="Items that both answered.")


class RevisionStatus(StatusModel):
    """One revision."""

    revision: Annotated[str, Field(max_length=64)] = Field(
        description="Digest of source and contract, 12 hex."
    )
    served_name: Annotated[str, Field(max_length=63)] = Field(
        description="Name under which engines serve it."
    )
    key: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Key of its artifact in the store."
    )
    state: State = Field(description="Where it stands.")
    since: Timestamp = Field(description="Since when.")
    reason: Annotated[str, Field(max_length=128)] = Field(default="", description="Why; see docs/reasons.md.")
    scorecard: Scorecard | None = Field(default=None, description="Its results.")


class Progress(StatusModel):
    """How far a job is."""

    phase: Annotated[str, Field(max_length=64)] = Field(description="What the job does.")
    step: int = Field(ge=0, description="Steps done.")
    total: int = Field(ge=0, description="Steps in all.")
    loss: float | None = Field(default=None, description="Last training loss.")
    eta_seconds: int | None = Field(default=None, ge=0, description="Estimated rest, in seconds.")


class SpecialistStatus(StatusModel):
    """What the operator has seen of a specialist."""

    observed_generation: int = Field(default=0, ge=0, description="The generation this status is of.")
    state: State = Field(default=State.PENDING, description="State of the newest revision.")
    score: Annotated[str, Field(max_length=32)] = Field(
        default="", description="Score and incumbent's score."
    )
    conditions: tuple[Condition, ...] = CONDITIONS
    live: RevisionStatus | None = Field(default=None, description="The revision that serves.")
    candidate: RevisionStatus | None = Field(default=None, description="The revision on its way.")
    previous: RevisionStatus | None = Field(default=None, description="The revision that served before.")
    pinned: Annotated[tuple[RevisionStatus, ...], Field(max_length=MOST_PINS)] = Field(
        default=(), description="What became of the revisions that lifecycle.pinned names."
    )
    progress: Progress | None = Field(default=None, description="The running job.")
    ledger: Totals = Field(default=Totals(), description="What was spent, failed tries included.")
    last_decision: Tip | None = Field(default=None, description="The newest decision about this specialist.")
    expires: Timestamp | None = Field(
        default=None, description="When a retired revision can no longer be restored."
    )


class Specialist(Model):
    """A Specialist is one competence that an owner claims, earned and kept by evidence."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=validated(*NAME_RULES))

    metadata: ObjectMeta
    spec: SpecialistSpec
    status: SpecialistStatus = SpecialistStatus()


__all__ = ["Digest", "Specialist", "SpecialistSpec", "SpecialistStatus"]
