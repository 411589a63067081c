"""Population: one generalist, its suite, its policy, and where its jobs and adapters run."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import ConfigDict, Field

from .jobs import Jobs
from .ledger import Ledger, Tip, Totals
from .live_records import Mark
from .log_policy import LogPolicy
from .meta import (
    CONDITIONS,
    NAME_RULES,
    Amount,
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
from .specialist import Interval
from .storage import Store
from .vocabulary import Disclosure


class Generalist(Model):
    """The base model that every specialist adapts."""

    model: FileUri = Field(
        description="Directory of the model in Hugging Face layout, with safetensors weights."
    )
    digest: Digest = Field(
        description="Digest of that directory, as prepare-base prints it. It pins weights and tokenizer."
    )


def _by_records(part: str, field: str, how: str) -> dict[str, str]:
    """Refuse a field of the policy that needs records where there are none."""
    return cel(
        f"!has(self.policy) || !has(self.policy.{part}) || !has(self.policy.{part}.{field}) || "
        "has(self.serving.gateway) && has(self.serving.gateway.records)",
        f"policy.{part}.{field} {how} what gateways write down; give serving.gateway.records",
    )


def _by_sample() -> dict[str, str]:
    """Refuse limits on live answers where none of them is written down."""
    return cel(
        "!has(self.policy) || !has(self.policy.quarantine) || "
        "has(self.serving.gateway) && has(self.serving.gateway.sample)",
        "policy.quarantine rests on live answers that gateways write down; give serving.gateway.sample",
    )


class PopulationSpec(Model):
    """What the user wants of a population."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            _by_records("shadow", "live", "is judged by"),
            _by_records("promotion", "steps", "is judged by"),
            _by_records("viability", "measuredOver", "rests on"),
            _by_records("retirement", "idleAfter", "rests on"),
            _by_sample(),
        )
    )

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
    log: LogPolicy = Field(default=LogPolicy(), description="How much of the log is kept as objects.")


class Baseline(StatusModel):
    """The generalist's score on one task."""

    task: Label = Field(description="Name of the task.")
    score: float = Field(description="Mean score, in [0, 1].")
    n: int = Field(ge=0, description="Items scored.")


class RouteStatus(StatusModel):
    """How well a route answers its task, on what may be told, and what an answer takes."""

    task: Label = Field(description="The task.")
    quality: float = Field(description="Mean score, in [0, 1].")
    quality_low: float = Field(description="Lower bound of it, at the policy's confidence.")
    quality_high: float = Field(description="Upper bound.")
    tokens: float = Field(default=0.0, ge=0, description="Tokens of an answer, as the evaluation took.")
    seconds: float = Field(default=0.0, ge=0, description="Seconds of an answer, as the evaluation took.")


class MemberStatus(RouteStatus):
    """What one live specialist is worth: the population's value with it, less the value without it."""

    served_name: ServedName = Field(description="Its served name.")
    resident_bytes: int = Field(ge=0, description="Its size on each engine.")
    over: ServedName = Field(default="", description="The other route that it was compared with.")
    lead: Interval | None = Field(default=None, description="By how much it is better than that one.")
    review_cpu_seconds: Amount = Field(default=Decimal(0), description="CPU-seconds of one evaluation.")
    review_gpu_seconds: Amount = Field(default=Decimal(0), description="GPU-seconds of one evaluation.")
    live: Interval | None = Field(
        default=None, description="Mean score of its answers to users, by what was said of them."
    )
    low: Money = Field(description="Lower bound, at the policy's confidence.")
    point: Money = Field(description="Its value over the horizon, in the policy's currency.")
    high: Money = Field(description="Upper bound.")


class EndpointStatus(StatusModel):
    """One engine, as last seen."""

    endpoint: Endpoint = Field(description="Base address.")
    reachable: bool = Field(description="Whether it answered.")
    adapters: Annotated[tuple[ServedName, ...], Field(max_length=256)] = Field(
        default=(), description="Served names proved to be resident."
    )
    message: Annotated[str, Field(max_length=512)] = Field(default="", description="What is wrong.")


class Provable(StatusModel):
    """What the next look at the suite can prove on one task."""

    task: Label = Field(description="Name of the task.")
    units: int = Field(ge=0, description="Units that a proof may meet, each a cluster of items.")
    gain: float | None = Field(
        default=None, description="Least true gain that it proves at 80 % power; none if absent."
    )


class SuiteLifeStatus(StatusModel):
    """The suite's budget of looks: what was told of it, and what it can still prove."""

    disclosure: Disclosure = Field(description="What is told of a proof, for this suite's whole life.")
    looks: int = Field(ge=0, description="Proofs that were opened.")
    looks_left: int = Field(ge=0, description="Proofs that are left.")
    passes: int = Field(ge=0, description="Proofs that passed.")
    slice: int = Field(ge=1, description="The part of the proof's items that is in use.")
    next_level: float = Field(ge=0, le=1, description="Chance of a false pass that the next proof gets.")
    provable: Annotated[tuple[Provable, ...], Field(max_length=32)] = Field(
        default=(), description="What the next proof can prove, by task."
    )


class TaskTraffic(StatusModel):
    """What was counted of one task."""

    task: Label = Field(description="Name of the task.")
    share: float = Field(ge=0, le=1, description="Its share of the requests.")


class TrafficStatus(StatusModel):
    """What gateways counted over policy.viability.measuredOver; it takes the place of what is declared."""

    requests_per_day: int = Field(ge=0, description="Requests of the whole population in a day.")
    tasks: Annotated[tuple[TaskTraffic, ...], Field(max_length=32)] = Field(
        default=(), description="By task."
    )


class ConfusionStatus(StatusModel):
    """How right the classifier is about one task, on requests whose task is known."""

    task: Label = Field(description="The task.")
    right: int = Field(ge=0, description="Requests of the task that it takes for it.")
    elsewhere: int = Field(ge=0, description="Requests of the task that it takes for another.")
    strangers: int = Field(ge=0, description="Requests that are not of the task, and that it takes for it.")
    unsaid: int = Field(ge=0, description="Requests of the task of which it says nothing: they fall back.")
    accuracy: float = Field(
        ge=0,
        le=1,
        description="Lower bound of the right ones' share, without those of which it says nothing.",
    )
    routed: bool = Field(description="Whether it sends requests to the task.")
    misrouting: float = Field(
        default=0.0, ge=0, le=1, description="Share of the task's requests that is charged as gone astray."
    )


class MistakenStatus(StatusModel):
    """One mistake that the classifier makes."""

    task: Label | None = Field(default=None, description="The task; absent where it is for no specialist.")
    taken_for: Label = Field(description="The task that it is taken for.")
    requests: int = Field(ge=1, description="How often.")


class ClassifierStatus(StatusModel):
    """What was measured of the classifier as it is now: with another model or example it begins anew."""

    mark: Mark = Field(description="The classifier with its examples.")
    tasks: Annotated[tuple[ConfusionStatus, ...], Field(max_length=32)] = Field(
        default=(), description="By task that has examples."
    )
    mistaken: Annotated[tuple[MistakenStatus, ...], Field(max_length=16)] = Field(
        default=(), description="The most frequent mistakes."
    )


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
    members: Annotated[tuple[MemberStatus, ...], Field(max_length=256)] = Field(
        default=(), description="What each live specialist is worth; the greatest first."
    )
    routes: Annotated[tuple[RouteStatus, ...], Field(max_length=32)] = Field(
        default=(), description="The generalist as the route of each task, as the members' values rest on it."
    )
    baseline: Annotated[tuple[Baseline, ...], Field(max_length=32)] = Field(
        default=(), description="The generalist's scores."
    )
    suite_life: SuiteLifeStatus | None = Field(default=None, description="The suite's budget of looks.")
    traffic: TrafficStatus | None = Field(
        default=None, description="Measured traffic; absent while the declared one counts."
    )
    classifier: ClassifierStatus | None = Field(
        default=None, description="How right the classifier is; absent where there is none."
    )
    endpoints: Annotated[tuple[EndpointStatus, ...], Field(max_length=16)] = Field(
        default=(), description="The engines."
    )
    ledger: Totals = Field(default=Totals(), description="What was spent, with all specialists.")
    own_ledger: Ledger | None = Field(
        default=None,
        description="The part of it that the population spent itself: evaluations of the generalist and of "
        "live specialists.",
    )
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
