"""What a verdict is made from, and what it says: plain frozen values, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Outcome, Role, Scope, State, Target

from .lifecycle import Transition

GENERALIST = "generalist"


@dataclass(frozen=True, slots=True)
class Cost:
    """Resources spent; tokens are counted, the rest is in seconds."""

    cpu_seconds: Decimal = Decimal(0)
    gpu_seconds: Decimal = Decimal(0)
    tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
            self.tokens + other.tokens,
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in the policy's currency."""

    gpu_hour: Decimal
    cpu_hour: Decimal
    gib_hour: Decimal


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits within a sliding window, in hours; None is no limit."""

    window: timedelta
    gpu_hours: Decimal | None
    cpu_hours: Decimal | None


@dataclass(frozen=True, slots=True)
class Policy:
    """The population's rules."""

    confidence: float
    minimum_gap: float
    threshold: Decimal
    horizon: timedelta
    requests_per_day: int
    prices: Prices
    minimum_scored: int
    shadow_maximum: timedelta
    undo_window: timedelta
    budget: Budget | None
    adapters: int
    max_rank: int
    replicas: int
    retries: int
    manual: bool = False  # a person has the last word on every promotion


@dataclass(frozen=True, slots=True)
class SuiteTask:
    """One task or invariant of the suite."""

    name: str
    role: Role
    scope: Scope
    traffic: float
    worth: Decimal
    max_regression: float


@dataclass(frozen=True, slots=True)
class Item:
    """One scored answer; the score is in [0, 1], and items of one cluster are one unit."""

    id: str
    cluster: str
    score: float


@dataclass(frozen=True, slots=True)
class Results:
    """All scored answers of one model on one split of one task."""

    task: str
    model: str
    items: tuple[Item, ...]
    expected: int | None = None  # how many items the task has; fewer is an error

    @property
    def mean(self) -> float:
        """Mean score over the items."""
        return sum(i.score for i in self.items) / len(self.items) if self.items else 0.0


@dataclass(frozen=True, slots=True)
class Member:
    """A live specialist of the population, as the portfolio sees it."""

    served_name: str
    task: str
    quality: float  # mean score on its task, main split
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What the Specialist's spec asks, as one revision."""

    specialist: str
    revision: str
    served_name: str
    task: str
    target_score: float
    wanted: Target
    rank: int  # 0 while it is unknown (an import)
    steps: int  # 0 for an import
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Artifact:
    """The committed adapter."""

    key: str
    resident_bytes: int
    rank: int
    adopted: bool  # it was there before this revision asked for it
    cost: Cost = Cost()


@dataclass(frozen=True, slots=True)
class JobFailure:
    """How the current job failed."""

    reason: str
    message: str
    retry: bool
    cost: Cost = Cost()


@dataclass(frozen=True, slots=True)
class Residency:
    """What the engines proved of a served name, over all replicas."""

    replicas: int
    proved: int
    mismatched: int  # replicas whose answers are not the evaluated adapter's
    unreachable: int
    message: str = ""
    refused: int = 0  # replicas that would not load it


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word that a revision may go live."""

    revision: str  # empty where the request cannot be read
    by: str  # who and when, as <actor>@<time>; the request itself where it cannot be read
    used: bool = False  # it has promoted something already


@dataclass(frozen=True, slots=True)
class Evidence:
    """The recorded results which a verdict may weigh, by task where not said otherwise."""

    baseline: Mapping[str, Results] = field(default_factory=dict)  # the generalist, main split
    incumbent: Results | None = None  # the route that serves the claim's task today, main split
    candidate: Mapping[str, Results] = field(default_factory=dict)  # main split
    shadow: Results | None = None  # the candidate through the served endpoint, shadow split
    shadow_incumbent: Results | None = None  # the incumbent, shadow split
    digest: str | None = None  # over the keys of all of these


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """What the log says of one revision."""

    revision: str
    served_name: str
    state: State
    since: datetime
    entered: datetime  # when it came into this state; retries do not move it
    key: str = ""
    reason: str = ""
    was_live: bool = False
    was_resident: bool = False  # some engine may hold it, or may have held it
    attempts: int = 0  # retries since it came into this state
    tries: int = 0  # all retries, restores and reconsiderations; numbers the jobs, so each try is another one
    excused: int = 0  # of these, retries for a cause outside the job: their reason is not JobRetried
    previous: State | None = None  # the state before this one; retries do not move it
    policy: str | None = None  # premises of its last verdict
    suite: str | None = None
    evidence: str | None = None
    scorecard: Scorecard | None = None
    promoted_by: str = ""  # whose word led to its last promotion; the same word is not used twice


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A revision beside its incumbent."""

    task: str
    score: float
    incumbent: str
    incumbent_score: float
    difference: Interval | None
    n: int


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a chain, as it came out."""

    name: str
    outcome: Outcome
    observed: str = ""
    limit: str = ""
    interval: Interval | None = None
    n: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a verdict about one revision rests on."""

    now: datetime
    policy: Policy
    policy_digest: str
    suite_digest: str
    tasks: tuple[SuiteTask, ...]
    claim: Claim
    record: RevisionRecord
    evidence: Evidence = Evidence()
    members: tuple[Member, ...] = ()  # live now, without this revision
    replaces: str | None = None  # served name of this specialist's own live revision
    residents: int = 0  # adapters that take a slot now, without this revision
    artifact: Artifact | None = None
    failure: JobFailure | None = None
    residency: Residency | None = None
    approval: Approval | None = None
    spent: Cost = Cost()  # in the budget's window, whole population
    seconds_per_step: Decimal | None = None  # CPU-seconds, learned from earlier trainings


@dataclass(frozen=True, slots=True)
class Verdict:
    """A transition that is due, with every check that led to it."""

    transition: Transition
    outcome: Outcome
    reason: Reason | str
    message: str
    checks: tuple[Check, ...] = ()
    scorecard: Scorecard | None = None
    cost: Cost = Cost()
    actor: str = ""  # the person who asked for it; empty where the operator decides by itself


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due: what is waited for, and when to look again at the latest."""

    reason: Reason
    message: str
    until: datetime | None = None
    checks: tuple[Check, ...] = ()
