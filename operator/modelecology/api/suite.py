"""EvaluationSuite: the fixed, sealed tasks on which a population is judged."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import ConfigDict, Field

from .meta import NAME_RULES, Amount, DataRef, Label, Model, ObjectMeta, cel, validated
from .vocabulary import Role, Scope, Scorer


class Task(Model):
    """One task of the suite, with its sealed items."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "self.role == 'Invariant' || !has(self.maxRegression)",
                "maxRegression is for role Invariant; a Task is traded",
                ".maxRegression",
            ),
            cel(
                "self.role == 'Invariant' || !has(self.floor)",
                "floor is for role Invariant; a Task is traded",
                ".floor",
            ),
            cel(
                "self.role == 'Invariant' || !self.mustPass",
                "mustPass is for role Invariant; a Task is traded",
                ".mustPass",
            ),
            cel(
                "!self.mustPass || !(has(self.maxRegression) || has(self.floor))",
                "mustPass asks every item; take out maxRegression and floor",
                ".mustPass",
            ),
            cel(
                "self.role == 'Task' || has(self.maxRegression) || has(self.floor) || self.mustPass",
                "an Invariant needs one of maxRegression, floor and mustPass",
            ),
            cel(
                "self.role == 'Invariant' || !has(self.scope)",
                "scope is for role Invariant; take it out of a Task",
                ".scope",
            ),
            cel(
                "self.role == 'Task' || !has(self.traffic)",
                "traffic is for role Task; an Invariant is never traded",
                ".traffic",
            ),
            cel(
                "self.role == 'Task' || !has(self.worth)",
                "worth is for role Task; an Invariant is never traded",
                ".worth",
            ),
            cel(
                "self.scorer == 'EntryPoint' ? has(self.entryPoint) : !has(self.entryPoint)",
                "entryPoint is required for scorer EntryPoint, and refused for others",
                ".entryPoint",
            ),
            cel(
                "self.scorer == 'Regex' ? has(self.pattern) : !has(self.pattern)",
                "pattern is required for scorer Regex, and refused for others",
                ".pattern",
            ),
            cel(
                "!(self.scorer in ['Choice', 'Perplexity']) || self.role == 'Invariant'",
                "scorers Choice and Perplexity are for role Invariant: a served answer has no likelihood to "
                "score",
                ".scorer",
            ),
        )
    )

    name: Label = Field(description="Name of the task; a contract refers to it.")
    role: Role = Field(description="Task is traded in the portfolio; Invariant never is.")
    scope: Scope | None = Field(
        default=None,
        description="For an Invariant: Adapter (the default) judges the skill under the adapter itself, "
        "Routed only what routing would send it.",
    )
    data: DataRef = Field(
        description="The sealed items, as JSONL with id, prompt, answer, and maybe cluster."
    )
    scorer: Scorer = Field(description="How an answer is scored.")
    pattern: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="For scorer Regex: the pattern the whole answer must match."
    )
    entry_point: Annotated[str, Field(pattern=r"^[\w.]+:\w+$", max_length=256)] | None = Field(
        default=None, description="For scorer EntryPoint: module:function, importable where the job runs."
    )
    max_new_tokens: int = Field(default=32, ge=1, le=2048, description="Longest answer, in tokens.")
    traffic: float | None = Field(
        default=None, ge=0, le=1, description="Share of the population's requests that are of this task."
    )
    worth: Amount | None = Field(
        default=None, description="What one more correct answer is worth, in the policy's currency."
    )
    max_regression: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="For an Invariant: the loss against the generalist that is still allowed, in points, "
        "at the policy's confidence. It needs to be above 0: that nothing at all is lost cannot be proven.",
    )
    floor: float | None = Field(
        default=None, ge=0, lt=1, description="For an Invariant: the mean score that it must have at least."
    )
    must_pass: bool = Field(
        default=False, description="For an Invariant: every single item must be answered with a score of 1."
    )

    @property
    def share(self) -> float:
        """Share of requests of this task; zero when it is not declared."""
        return self.traffic or 0.0

    @property
    def price(self) -> Decimal:
        """Worth of one correct answer; zero when it is not declared."""
        return self.worth if self.worth is not None else Decimal(0)


class SuiteSpec(Model):
    """The tasks; immutable."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel("self == oldSelf", "an EvaluationSuite is immutable; create another one under a new name"),
            # Equality of a list by key does not see the order, and the order is part of what is sealed.
            cel(
                "self.tasks.map(t, t.name) == oldSelf.tasks.map(t, t.name)",
                "the order of tasks is immutable; create another EvaluationSuite under a new name",
                ".tasks",
            ),
            cel("self.tasks.exists(t, t.role == 'Task')", "tasks needs at least one of role Task", ".tasks"),
            cel(
                "self.tasks.filter(t, has(t.traffic)).map(t, double(t.traffic)).sum() <= 1.000001",
                "the traffic shares of all tasks must add up to 1 at most",
                ".tasks",
            ),
        )
    )

    tasks: Annotated[tuple[Task, ...], Field(min_length=1, max_length=32)] = Field(
        description="The tasks and invariants.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    shadow_share: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Share of each traded task's clusters that is held back, and asked only through the "
        "endpoint. Of an invariant nothing is held back.",
    )

    def task(self, name: str) -> Task | None:
        """Find a task by name."""
        return next((t for t in self.tasks if t.name == name), None)


class EvaluationSuite(Model):
    """An EvaluationSuite is the fixed, sealed set of tasks on which a population is judged."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=validated(*NAME_RULES))

    metadata: ObjectMeta
    spec: SuiteSpec
