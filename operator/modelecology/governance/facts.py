"""What a verdict is made from, and what it says: plain frozen values, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Disclosure, Method, Outcome, Role, Scope, State, Target

from .lifecycle import Transition
from .looks import SuiteLife
from .rules import Policy

GENERALIST = "generalist"


@dataclass(frozen=True, slots=True)
class Cost:
    """Resources spent: seconds of work, tokens, and what was held times how long, in GiB-hours.

    `tokens` are those of jobs; those of answers to users are `served_tokens`.
    """

    cpu_seconds: Decimal = Decimal(0)
    gpu_seconds: Decimal = Decimal(0)
    tokens: int = 0
    resident_gib_hours: Decimal = Decimal(0)  # on the engines, all replicas together
    stored_gib_hours: Decimal = Decimal(0)  # in the store, archived or not
    served_tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
            self.tokens + other.tokens,
            self.resident_gib_hours + other.resident_gib_hours,
            self.stored_gib_hours + other.stored_gib_hours,
            self.served_tokens + other.served_tokens,
        )


@dataclass(frozen=True, slots=True)
class Charge:
    """What was charged at one moment, and to which specialist; "" is the population itself."""

    time: datetime
    specialist: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class Met:
    """How many units of a task a look has met."""

    task: str
    units: int


@dataclass(frozen=True, slots=True)
class LookPlan:
    """How looks at a suite are accounted for; the first look at a suite fixes it for the suite's life."""

    alpha: str  # greatest chance of any false promotion in the suite's life, as a fraction such as 1/20
    disclosure: Disclosure
    looks: int
    slices: int
    rounds: int
    grid: int
    screen: str  # share of the units, as a fraction


@dataclass(frozen=True, slots=True)
class TakenLook:
    """A proof on a suite: what it was given and, in the decision that ends it, what it told."""

    suite: str
    plan: LookPlan
    method: Method
    slice: int
    level: float  # chance of a false pass that the look was given
    margin: float  # what the mean difference on the claimed task has to exceed
    incumbent: str  # served name of the route that it is compared with
    passed: bool = False
    round: int = 0  # the last one that was met; a pass tells it
    lead: int | None = None
    met: tuple[Met, ...] = ()  # told under Full alone
    trial: str = ""  # key in the store of what was asked and answered


@dataclass(frozen=True, slots=True)
class SuiteTask:
    """One task or invariant of the suite."""

    name: str
    role: Role
    scope: Scope
    traffic: float
    worth: Decimal
    max_regression: float | None  # for an invariant: the loss against the generalist that is allowed
    floor: float | None = None  # for an invariant: the mean score that is asked
    must_pass: bool = False  # for an invariant: every single item
    misrouting: float = 0.0  # measured share of its requests that a classifier leads astray


@dataclass(frozen=True, slots=True)
class Item:
    """One scored answer; the score is in [0, 1], and items of one cluster are one unit."""

    id: str
    cluster: str
    score: float
    seconds: float | None = None  # that the answer took, through an endpoint


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
    low: float = 0.0  # bounds of the quality, each at the policy's confidence; 0 and 1 tell nothing
    high: float = 1.0
    over: str = ""  # whom it was compared with, item by item,
    lead: Interval | None = None  # and by how much it was better
    tokens: float = 0.0  # an answer of its task, as the evaluation took
    seconds: float = 0.0  # the same, wall time
    review: Cost = Cost()  # what evaluating it on its task and the invariants took
    live_quality: Interval | None = None  # of what users got; None while nothing measures it
    unviable_since: datetime | None = None  # since when its retirement is proposed


@dataclass(frozen=True, slots=True)
class Standing:
    """All that may serve a task today, this revision included: what the portfolio weighs."""

    generalist: tuple[Member, ...] = ()  # one a task that is measured; no resident bytes
    members: tuple[Member, ...] = ()
    candidate: Member | None = None  # this revision, where it is evaluated and not live
    shadow_bytes: int = 0  # resident bytes of what is held beside the members, without this revision
    requests: Mapping[str, int] | None = None  # by task over policy.idle_after, where all of it was counted


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
    pinned: tuple[str, ...] = ()  # served names of what stays when it is replaced


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
class Judged:
    """What a judge has said of the copies, and how that is beside what labels say."""

    differences: tuple[float, ...] = ()  # as in Live, with the judge's word where no label scores a copy
    in_step: int = 0
    words: int = 0  # of the differences, those that are the judge's
    told_apart: int = 0  # judged copies which labels say are better or worse than what users got
    agreed: int = 0  # of these, those of which the judge says the same; an error says nothing
    leans: tuple[float, ...] = ()  # of all judged copies with a label: its word less what the label says
    inconsistent: int = 0  # ties because it said otherwise in the other order
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    """What live requests have shown of a revision since it came into its state.

    A difference is its score minus that of who served, one a unit, in the order in which they were scored.
    """

    differences: tuple[float, ...] = ()
    in_step: int = 0  # of the differences, those that were scored since the last decision
    answered: int = 0  # requests that it was asked, failed ones included
    failed: int = 0
    late: int = 0  # took longer than policy.limits.latency
    judged: Judged | None = None  # None where no judge is asked


@dataclass(frozen=True, slots=True)
class Alarm:
    """How loud a stream of answers says that more of them are bad than a limit allows (alarm.py)."""

    answers: int = 0  # since the limit last seemed kept
    bad: float = 0.0  # of these; an answer may be bad in part
    loudness: float = 0.0  # logarithm of the e-value


@dataclass(frozen=True, slots=True)
class Served:
    """What users got of a live revision; None where the policy sets no such limit."""

    errors: Alarm | None = None
    late: Alarm | None = None
    wrong: Alarm | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The recorded results which a verdict may weigh, by task where not said otherwise."""

    baseline: Mapping[str, Results] = field(default_factory=dict)  # the generalist, main split
    incumbent: Results | None = None  # the route that serves the claim's task today, main split
    screen: Mapping[str, Results] = field(default_factory=dict)  # the candidate, on what may be told
    proof: Mapping[str, Results] = field(default_factory=dict)  # the candidate, on what decides
    trial: str = ""  # key in the store of the course that these are of
    shadow: Results | None = None  # the candidate through the served endpoint, shadow split
    shadow_incumbent: Results | None = None  # the incumbent, shadow split
    live: Live | None = None  # None where no record of live requests can be read
    served: Served | None = None  # of a live revision; None where nothing limits it, or nothing can be read
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
    retired_for: str = ""  # reason of its last retirement
    retired_by: str = ""  # whose word led to it
    retired_at: datetime | None = None
    restored_by: str = ""  # whose word took the last retirement back
    quarantined_by: str = ""  # whose word, or whose proof, last took it out of service
    released_by: str = ""  # whose word last let it out of quarantine
    look: TakenLook | None = None  # the proof that is under way
    proven: TakenLook | None = None  # the proof that it passed
    pinned: str | None = None  # digest of the inputs of the decision that began its trial
    replaced: str = ""  # the revision that served until this one did
    step: int = 0  # of its canary, from 0


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
    promoting: Approval | None = None  # who ends the step of a canary before it has shown all
    charges: tuple[Charge, ...] = ()  # in the budget's window, of the whole population
    under_way: Cost = Cost()  # what trials of others will still take; no charge yet
    seconds_per_step: Decimal | None = None  # CPU-seconds, learned from earlier trainings
    life: SuiteLife | None = None  # the looks at the suite so far; None before the first
    standing: Standing | None = None  # None where the store cannot tell
    acceptance: Approval | None = None  # a person's word that this revision may be retired
    undoing: Approval | None = None  # a person's word that its retirement is taken back
    release: Approval | None = None  # a person's word that it may leave quarantine

    @property
    def leaves(self) -> str | None:
        """What goes when this revision is live: the one that it replaces, unless that one is pinned."""
        return None if self.replaces in self.claim.pinned else self.replaces


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
    look: TakenLook | None = None  # the proof that it opens or ends


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due: what is waited for, and when to look again at the latest."""

    reason: Reason
    message: str
    until: datetime | None = None
    checks: tuple[Check, ...] = ()
