"""Situations for the tests: one where everything is fine, and how to change a piece of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from modelecology.api.vocabulary import Action, Disclosure, Role, Scope, State, Target
from modelecology.governance.courses import gain_margin, plan_of
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    GENERALIST,
    Artifact,
    Claim,
    Cost,
    Evidence,
    Item,
    Member,
    Residency,
    Results,
    RevisionRecord,
    Situation,
    SuiteTask,
    TakenLook,
    Verdict,
    Wait,
)
from modelecology.governance.lives import life_under
from modelecology.governance.rules import (
    Budget,
    Canary,
    CanaryStep,
    EvidenceRules,
    Policy,
    Prices,
)
from modelecology.governance.trial import among, units_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REVISION = "a" * 12
NAME = f"dates-{REVISION}"
HOUR = timedelta(hours=1)
SUITE = "sha256:suite"
N = 100

POLICY = Policy(
    confidence=0.95,
    minimum_gap=0.05,
    threshold=Decimal(0),
    horizon=720 * HOUR,
    requests_per_day=2000,
    prices=Prices(gpu_hour=Decimal(2), cpu_hour=Decimal("0.05"), gib_hour=Decimal("0.01")),
    minimum_scored=30,
    shadow_maximum=24 * HOUR,
    undo_window=168 * HOUR,
    budget=Budget(window=720 * HOUR, gpu_hours=Decimal(10), cpu_hours=Decimal(50)),
    adapters=4,
    max_rank=16,
    replicas=1,
    retries=3,
)
CANARY = Canary(
    steps=(CanaryStep(5, 50, HOUR, approval=False), CanaryStep(25, 50, timedelta(0), approval=True)),
    tolerance=0.05,
    maximum_errors=0.02,
    maximum=168 * HOUR,
    reject_late=True,
)
DATES = SuiteTask("dates", Role.TASK, Scope.ADAPTER, 0.3, Decimal("0.02"), 0.0)
CRON = SuiteTask("cron", Role.TASK, Scope.ADAPTER, 0.2, Decimal("0.05"), 0.0)
EVERYDAY = SuiteTask("everyday", Role.INVARIANT, Scope.ADAPTER, 0.0, Decimal(0), 0.15)
FORMAT = SuiteTask("format", Role.INVARIANT, Scope.ROUTED, 0.0, Decimal(0), 0.05)
TASKS = (DATES, CRON, EVERYDAY, FORMAT)
CLAIM = Claim(
    specialist="dates",
    revision=REVISION,
    served_name=NAME,
    task="dates",
    target_score=0.6,
    wanted=Target.LIVE,
    rank=8,
    steps=60,
    cpus=2.0,
    gpus=0.0,
)
ARTIFACT = Artifact("k" * 64, 5 * 2**20, 8, adopted=False, cost=Cost(cpu_seconds=Decimal(360)))
PROVED = Residency(replicas=2, proved=2, mismatched=0, unreachable=0)
PLAN = plan_of(POLICY)
MEMBER = Member("cron-bbbbbbbbbbbb", "cron", 0.8, 5 * 2**20)


def scored(task: str, model: str, scores: Sequence[float], clusters: Sequence[str] | None = None) -> Results:
    """Results with given scores; every item is its own cluster where none are given."""
    names = clusters or [f"i{k}" for k in range(len(scores))]
    items = tuple(Item(f"i{k}", c, s) for k, (s, c) in enumerate(zip(scores, names, strict=True)))
    return Results(task, model, items, expected=len(items))


def right(task: str, model: str, share: float, n: int = N) -> Results:
    """Results of which the first share is right and the rest wrong."""
    hits = round(share * n)
    return scored(task, model, [1.0] * hits + [0.0] * (n - hits))


def units(results: Results, part: range) -> Results:
    """Results on some of the units, in the suite's order."""
    return among(results, frozenset(units_of(results, SUITE)[part.start : part.stop]))


def screened(results: Results) -> Results:
    """What is answered on the screen."""
    return units(results, life_under(PLAN).screened(len(units_of(results, SUITE))))


def proved(results: Results) -> Results:
    """What is answered in the proof of the first slice."""
    return units(results, life_under(PLAN).proof(results.task, len(units_of(results, SUITE))))


def answered(evidence: Evidence, *answers: Results) -> Evidence:
    """Evidence with other answers of the candidate, each on its screen and in its proof."""
    return replace(
        evidence,
        screen=dict(evidence.screen) | {each.task: screened(each) for each in answers},
        proof=dict(evidence.proof) | {each.task: proved(each) for each in answers},
    )


@cache  # building it takes longer than most verdicts
def evidence(
    candidate: float = 0.9, incumbent: float = 0.1, everyday: float = 0.75, served: float = 0.9
) -> Evidence:
    """Evidence of a candidate with given scores; the generalist has 0.75 on the invariants."""
    told = Evidence(
        baseline={
            "dates": right("dates", GENERALIST, incumbent),
            "cron": right("cron", GENERALIST, 0.05),
            "everyday": right("everyday", GENERALIST, 0.75),
            "format": right("format", GENERALIST, 0.75),
        },
        incumbent=right("dates", GENERALIST, incumbent),
        trial="t" * 64,
        shadow=right("dates", NAME, served, 40),
        shadow_incumbent=right("dates", GENERALIST, 0.1, 40),
        digest="sha256:evidence",
    )
    return answered(told, right("dates", NAME, candidate), right("everyday", NAME, everyday))


def look(policy: Policy = POLICY, **changes: Any) -> TakenLook:
    """The first look at the suite, as the situation of the tests opens it."""
    life = life_under(plan_of(policy))
    opened = TakenLook(
        suite=SUITE,
        plan=plan_of(policy),
        method=policy.evidence.method,
        slice=1,
        level=float(life.next_level()),
        margin=_margin(),
        incumbent=GENERALIST,
    )
    return replace(opened, **changes)


@cache
def _margin() -> float:
    return gain_margin(_base(State.PENDING, RevisionRecord(REVISION, NAME, State.PENDING, NOW, NOW)))


def record(state: State, **changes: Any) -> RevisionRecord:
    """A record that came into its state an hour ago, judged under today's premises; it serves what passed."""
    base = RevisionRecord(
        revision=REVISION,
        served_name=NAME,
        state=state,
        since=NOW - HOUR,
        entered=NOW - HOUR,
        policy="sha256:policy",
        suite=SUITE,
        proven=look(passed=True, round=4) if state in (State.SHADOW, State.CANARY, State.LIVE) else None,
    )
    return replace(base, **changes)


def situation(state: State, **changes: Any) -> Situation:
    """A situation in which everything is fine: each state but the last moves on; Evaluating is screened."""
    return replace(_base(state, record(state)), **changes)


def proving(taken: TakenLook | None = None, **changes: Any) -> Situation:
    """A situation in which a proof is open, which passes; its look is in the suite's life."""
    taken = taken or look()
    life = life_under(taken.plan).opened("u1/" + REVISION)
    here = replace(_base(State.EVALUATING, record(State.EVALUATING, look=taken)), life=life)
    return replace(here, **changes)


def _base(state: State, known: RevisionRecord) -> Situation:
    return Situation(
        now=NOW,
        policy=POLICY,
        policy_digest="sha256:policy",
        suite_digest=SUITE,
        tasks=TASKS,
        claim=CLAIM,
        record=known,
        evidence=evidence(),
        members=(MEMBER,),
        residents=1,
        artifact=ARTIFACT,
        residency=PROVED,
    )


def verdict(found: Verdict | Wait) -> Verdict:
    """Insist on a verdict."""
    assert isinstance(found, Verdict), found
    return found


def wait(found: Verdict | Wait) -> Wait:
    """Insist on waiting."""
    assert isinstance(found, Wait), found
    return found


FULL = replace(POLICY, evidence=EvidenceRules(disclosure=Disclosure.FULL))


def units_in_order(results: Results) -> tuple[str, ...]:
    return units_of(results, SUITE)


def evaluating(told: Evidence | None = None, **changes: Any) -> Situation:
    return situation(State.EVALUATING, evidence=told or evidence(), **changes)


def full(told: Evidence, **changes: Any) -> Situation:
    """A proof under Full, which meets all items."""
    here = evaluating(replace(told, screen={}, proof={}), policy=FULL, **changes)
    opened = verdict(decide(here))
    assert opened.transition.action is Action.PROVE
    assert opened.look is not None
    whole = {
        task: replace(
            told.screen[task], items=(*told.screen[task].items, *told.proof[task].items), expected=N
        )
        for task in told.proof
    }
    life = life_under(opened.look.plan).opened("u1/a")
    return replace(
        here,
        record=record(State.EVALUATING, look=opened.look),
        life=life,
        evidence=replace(told, screen={}, proof=whole),
    )


def names(found: Verdict) -> tuple[str, ...]:
    return tuple(str(c.name) for c in found.checks)
