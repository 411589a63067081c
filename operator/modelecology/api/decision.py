"""Decision: one immutable entry of a population's log."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .ledger import Account, Ledger
from .meta import API_VERSION, Digest, Label, Model, ObjectMeta, StatusModel, Timestamp, cel, validated
from .specialist import Interval, Scorecard
from .vocabulary import Action, Disclosure, Method, Outcome, State

GENESIS = "sha256:" + "0" * 64
POPULATION_LABEL = "modelecology.io/population"
SPECIALIST_LABEL = "modelecology.io/specialist"

Fraction = Annotated[str, Field(pattern=r"^[0-9]{1,20}(/[0-9]{1,20})?$", max_length=41)]


class Subject(StatusModel):
    """What a decision is about."""

    specialist: Label = Field(description="Name of the Specialist.")
    uid: Annotated[str, Field(max_length=64)] = Field(description="Its uid.")
    revision: Annotated[str, Field(max_length=64)] = Field(
        description="Its revision.", json_schema_extra={"pattern": "^[0-9a-f]{12,64}$"}
    )
    key: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Key of its artifact in the store."
    )


class Check(StatusModel):
    """One check of the chain, as it came out."""

    name: Annotated[str, Field(max_length=128)] = Field(description="Name of the check.")
    outcome: Outcome = Field(description="How it came out.")
    observed: Annotated[str, Field(max_length=256)] = Field(default="", description="What was seen.")
    limit: Annotated[str, Field(max_length=256)] = Field(default="", description="What was asked.")
    interval: Interval | None = Field(default=None, description="Confidence interval of what was seen.")
    n: int | None = Field(default=None, ge=0, description="Items behind it.")
    message: Annotated[str, Field(max_length=1024)] = Field(default="", description="In plain words.")


class Premises(StatusModel):
    """Digests of everything a verdict rests on."""

    policy: Digest | None = Field(default=None, description="The population's policy.")
    suite: Digest | None = Field(default=None, description="The suite.")
    evidence: Digest | None = Field(default=None, description="The results that were weighed.")
    code: Digest | None = Field(default=None, description="The workload's code.")
    inputs: Digest | None = Field(
        default=None, description="Everything the verdict was made from; it lies in the store."
    )


class Met(StatusModel):
    """How many units of a task a look has met."""

    task: Label = Field(description="Name of the task.")
    units: int = Field(ge=0, description="Units, each a cluster of items.")


class LookPlan(StatusModel):
    """How looks at a suite are accounted for; the first look fixes it for the suite's life."""

    alpha: Fraction = Field(description="Greatest chance of any false promotion in the suite's life.")
    disclosure: Disclosure = Field(description="What is told of a proof.")
    looks: int = Field(ge=1, description="Looks that are planned for.")
    slices: int = Field(ge=1, description="Parts of the proof's items, used one after the other.")
    rounds: int = Field(ge=1, description="Rounds of a proof; it may end after each.")
    grid: int = Field(ge=1, description="Steps of a rounded lead between 0 and 1.")
    screen: Fraction = Field(description="Share of the items on which everything may be told.")


class TakenLook(StatusModel):
    """What this decision told of a proof on a suite."""

    suite: Digest = Field(description="Digest of the suite.")
    plan: LookPlan = Field(description="How looks at it are accounted for.")
    method: Method = Field(description="How it is judged.")
    slice: int = Field(ge=1, description="The part of the proof's items that it may meet.")
    level: float = Field(ge=0, le=1, description="Chance of a false pass that the look was given.")
    margin: float = Field(description="What the mean difference on the claimed task has to exceed.")
    incumbent: Annotated[str, Field(max_length=128)] = Field(
        description="Served name of the route that it is compared with."
    )
    passed: bool = Field(default=False, description="Whether the proof passed.")
    round: int = Field(default=0, ge=0, description="The last round that was met.")
    lead: int | None = Field(default=None, ge=0, description="Rounded: the new best lead, in steps.")
    met: Annotated[tuple[Met, ...], Field(max_length=64)] = Field(
        default=(), description="Full: units met, by task."
    )
    trial: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Key in the store of what was asked and answered."
    )


class DecisionSpec(Model):
    """The body; immutable from its creation."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=validated(
            cel("self == oldSelf", "a Decision is immutable"),
            cel(
                f"(self.sequence == 1) == (self.previous == '{GENESIS}')",
                "previous is zeros for sequence 1, and the digest of the decision before for every other",
                ".previous",
            ),
        ),
    )

    population: Label = Field(description="Name of the population.")
    sequence: int = Field(ge=1, le=999_999_999_999, description="Place in the log, without gaps.")
    time: Timestamp = Field(description="When it was taken.")
    subject: Subject = Field(description="What it is about.")
    action: Action = Field(description="What is done.")
    from_state: State = Field(alias="from", description="State before.")
    to: State = Field(description="State after.")
    outcome: Outcome = Field(description="How the verdict came out.")
    reason: Annotated[str, Field(max_length=128)] = Field(
        description="A constant; see docs/reasons.md.", json_schema_extra={"pattern": "^[A-Z][A-Za-z0-9]*$"}
    )
    message: Annotated[str, Field(max_length=2048)] = Field(default="", description="In plain words.")
    checks: Annotated[tuple[Check, ...], Field(max_length=64)] = Field(
        default=(), description="All checks of the chain, passed or not."
    )
    scorecard: Scorecard | None = Field(default=None, description="The results, in short.")
    premises: Premises = Field(default=Premises(), description="What the verdict rests on.")
    cost: Ledger = Field(
        default=Ledger(), description="What was spent on the subject since its last decision."
    )
    look: TakenLook | None = Field(default=None, description="What was told of a proof on the suite.")
    account: Account | None = Field(default=None, description="What the ledger needs beside the cost.")
    actor: Annotated[str, Field(max_length=256)] = Field(description="Who decided: operator, or a person.")
    previous: Digest = Field(description="Digest of the decision before; zeros for the first.")
    digest: Digest = Field(description="Digest of this body without this field, as canonical JSON.")


class Decision(Model):
    """A Decision is one entry of a population's log: what was decided, on which evidence, at what cost."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=validated(
            cel(
                "self.metadata.name.startsWith(self.spec.population + '-') && "
                "self.metadata.name.size() == self.spec.population.size() + 13 && "
                "self.metadata.name.matches('-[0-9]{12}$') && "
                "int(self.metadata.name.substring(self.spec.population.size() + 1)) == self.spec.sequence",
                "metadata.name must be <spec.population>-<spec.sequence in 12 digits>",
                ".metadata.name",
            ),
        ),
    )

    metadata: ObjectMeta
    spec: DecisionSpec


def decision_object(spec: DecisionSpec, owner_uid: str) -> dict[str, Any]:
    """Render a decision as the object that its population owns."""
    owner = {"apiVersion": API_VERSION, "kind": "Population", "name": spec.population, "uid": owner_uid}
    return {
        "metadata": {
            "name": decision_name(spec.population, spec.sequence),
            "labels": {POPULATION_LABEL: spec.population, SPECIALIST_LABEL: spec.subject.specialist},
            "ownerReferences": [owner],
        },
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def decision_name(population: str, sequence: int) -> str:
    """Name the decision of a sequence; creating it is the log's compare-and-swap."""
    return f"{population}-{sequence:012d}"
