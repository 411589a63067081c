"""Population: one generalist, its suite, its policy, and where its jobs and adapters run."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from .jobs import Jobs
from .ledger import Ledger, Tip
from .meta import (
    CONDITIONS,
    NAME_RULES,
    Condition,
    Digest,
    FileUri,
    Label,
    Model,
    Money,
    NameRef,
    ObjectMeta,
    StatusModel,
    cel,
    validated,
)
from .policy import Policy
from .quantities import Endpoint, ServedName
from .serving import Serving
from .storage import Store


class Generalist(Model):
    """The base model that every specialist adapts."""

    model: FileUri = Field(
        description="Directory of the model in Hugging Face layout, with safetensors weights."
    )
    digest: Digest = Field(
        description="Digest of that directory, as prepare-base prints it. It pins weights and tokenizer."
    )


class PopulationSpec(Model):
    """What the user wants of a population."""

    generalist: Generalist = Field(description="The base model.")
    suite_ref: NameRef = Field(description="The EvaluationSuite on which everything is judged.")
    store: Store = Field(
        description="The store of adapters and results.",
        json_schema_extra=validated(
            cel("self.uri == oldSelf.uri", "store.uri is immutable; create another Population", ".uri")
        ),
    )
    jobs: Jobs = Field(description="How jobs run.")
    serving: Serving = Field(description="The engines.")
    policy: Policy = Field(default=Policy(), description="The rules.")


class Baseline(StatusModel):
    """The generalist's score on one task."""

    task: Label = Field(description="Name of the task.")
    score: float = Field(description="Mean score, in [0, 1].")
    n: int = Field(ge=0, description="Items scored.")


class EndpointStatus(StatusModel):
    """One engine, as last seen."""

    endpoint: Endpoint = Field(description="Base address.")
    reachable: bool = Field(description="Whether it answered.")
    adapters: Annotated[tuple[ServedName, ...], Field(max_length=256)] = Field(
        default=(), description="Served names proved to be resident."
    )
    message: Annotated[str, Field(max_length=512)] = Field(default="", description="What is wrong.")


class PopulationStatus(StatusModel):
    """What the operator has seen of a population."""

    observed_generation: int = Field(default=0, ge=0, description="The generation this status is of.")
    conditions: tuple[Condition, ...] = CONDITIONS
    suite_digest: Digest | None = Field(default=None, description="Digest of the sealed suite.")
    policy_digest: Digest | None = Field(default=None, description="Digest of the policy.")
    specialists: int = Field(default=0, ge=0, description="Specialists that refer to this population.")
    live: int = Field(default=0, ge=0, description="Live specialists.")
    value: Money | None = Field(
        default=None, description="Value of the population over the horizon, above the generalist alone."
    )
    baseline: Annotated[tuple[Baseline, ...], Field(max_length=32)] = Field(
        default=(), description="The generalist's scores."
    )
    endpoints: Annotated[tuple[EndpointStatus, ...], Field(max_length=16)] = Field(
        default=(), description="The engines."
    )
    ledger: Ledger = Field(default=Ledger(), description="What was spent.")
    last_decision: Tip | None = Field(default=None, description="The newest decision.")


class Population(Model):
    """A Population governs the specialists of one generalist: suite, policy, engines, jobs and store."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=validated(
            *NAME_RULES,
            # Until the generalist is scored nothing rests on it, so that a mistyped digest can be mended.
            cel(
                "self.spec.generalist.digest == oldSelf.spec.generalist.digest || !has(oldSelf.status) || "
                "!has(oldSelf.status.baseline) || oldSelf.status.baseline.size() == 0",
                "generalist.digest is immutable once the generalist is scored; create another Population",
                ".spec.generalist.digest",
            ),
        ),
    )

    metadata: ObjectMeta
    spec: PopulationSpec
    status: PopulationStatus = PopulationStatus()
