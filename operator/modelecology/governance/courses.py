"""The courses of a trial: which questions are asked on the screen and in the proof, at which levels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from modelecology.api.vocabulary import Disclosure, Method

from .evidence import Difference
from .facts import (
    Interval,
    LookPlan,
    Results,
    Situation,
    SuiteTask,
    TakenLook,
)
from .invariants import check_name, measured
from .lifecycle import CheckName
from .lives import life_under, plan_under
from .looks import BudgetSpent, SuiteLife
from .portfolio import delta
from .rules import Policy
from .sequential import Question
from .trial import Course, Inquiry, Measure, Sealed, Stage, among, enough, in_rounds, units_of

CHUNK = 25  # units of a task in a round where a course may end after each round
MOST_PARTS = 96  # of a course: a job is told all of them at once, and a Decision names what it has paid for
MOST_CHUNKS = 10  # rounds of a screen; each costs a look at all questions
# The screen sends a candidate away for too small a gain at this level: a mistake costs a good candidate a
# second try, and no user anything.
HOPELESS_LEVEL = 0.10


def alpha(policy: Policy) -> Fraction:
    """Give the greatest chance of a false promotion in a suite's life: what the confidence leaves."""
    return 1 - Fraction(str(policy.confidence))


def plan_of(policy: Policy) -> LookPlan:
    """Say how a suite's looks are accounted for under a policy."""
    rules = policy.evidence
    rounds = 1 if rules.method is Method.FIXED_SIZE else rules.rounds
    return LookPlan(
        str(alpha(policy)),
        rules.disclosure,
        rules.looks,
        rules.slices,
        rounds,
        rules.grid,
        str(rules.screen),
    )


def life_of(situation: Situation) -> SuiteLife:
    """Give the suite's life so far; one of which nothing was told yet begins under today's policy."""
    return situation.life or life_under(plan_of(situation.policy))


def told(results: Results, life: SuiteLife, seed: str) -> Results:
    """Keep those answers that may be told: the screen's, and under Full all. Raises EvidenceError."""
    units = units_of(results, seed)
    if life.disclosure is Disclosure.FULL:
        return results
    return among(results, frozenset(units[i] for i in life.screened(len(units))))


def told_evidence(situation: Situation) -> Situation:
    """Give the situation with nothing but what may be told of the generalist and the incumbent."""
    life, seed, evidence = life_of(situation), situation.suite_digest, situation.evidence
    baseline = {task: told(results, life, seed) for task, results in evidence.baseline.items()}
    incumbent = told(evidence.incumbent, life, seed) if evidence.incumbent is not None else None
    return replace(situation, evidence=replace(evidence, baseline=baseline, incumbent=incumbent))


def sealed(situation: Situation) -> Sealed | None:
    """Give what a candidate is compared with; None while it is not all there."""
    evidence = situation.evidence
    names = asked_tasks(situation)
    if evidence.incumbent is None or any(name not in evidence.baseline for name in names):
        return None
    return Sealed({name: evidence.baseline[name] for name in names}, evidence.incumbent)


def asked_tasks(situation: Situation) -> tuple[str, ...]:
    """Name the tasks on which a candidate is asked: its own, and the invariants that it could break."""
    claimed = situation.claim.task
    others = (t.name for t in measured(situation.tasks, claimed) if t.name != claimed)
    return (claimed, *others)


def gain_margin(situation: Situation) -> float:
    """Give the mean difference at which the portfolio's gain just reaches the threshold.

    The change in value is a straight line in the difference, so two points of it are enough. A task that is
    worth nothing has a margin outside (-1, 1). Raises EvidenceError.
    """
    # The margin is told, and where requests go astray it depends on the scores of today's routes.
    known = told_evidence(situation)
    low, high = _change(known, 0.0), _change(known, 1.0)
    asked = situation.policy.threshold - low
    if high == low:
        return math.inf if asked >= 0 else -math.inf
    return float(asked / (high - low))


def screen_course(situation: Situation, found: Sealed) -> Course:
    """Lay out the screen: it may tell everything, and ends as soon as its questions are answered."""
    life, level = life_of(situation), float(alpha(situation.policy))
    margin = _within(gain_margin(situation))
    hopeless = max(margin, situation.policy.evidence.minimum_effect)
    gain = Question(CheckName.GAIN, margin, level, hopeless, HOPELESS_LEVEL)
    inquiries = (*_invariants(situation, level, level), _gain(situation, gain))
    sizes = _sizes(found, situation.suite_digest)
    ranges = {task: life.screened(size) for task, size in sizes.items()}
    chunks = min(MOST_CHUNKS, math.ceil(max(map(len, ranges.values())) / CHUNK))
    rounds = in_rounds(ranges, _rounds(chunks, ranges))
    return Course(
        Stage.SCREEN, situation.policy.evidence.method, situation.suite_digest, rounds, inquiries, True
    )


def proof_course(situation: Situation, found: Sealed, look: TakenLook) -> Course:
    """Lay out the proof that a look was opened for: its level, its margin and its units are fixed."""
    full = look.plan.disclosure is Disclosure.FULL
    life = life_of(situation)
    hopeless_level = float(Fraction(look.plan.alpha)) if full else 0.0
    hopeless = max(look.margin, situation.policy.evidence.minimum_effect) if full else look.margin
    gain = Question(CheckName.GAIN, look.margin, look.level, hopeless, HOPELESS_LEVEL if full else 0.0)
    inquiries = (*_invariants(situation, look.level, hopeless_level), _gain(situation, gain))
    sizes = _sizes(found, situation.suite_digest)
    ranges = proof_ranges(life, sizes, look.slice)
    for task in situation.tasks:
        if task.must_pass and task.name in ranges:
            # Each item is asked of every candidate, whatever was told of it: no statistics rest on it.
            ranges[task.name] = range(len(life.screened(sizes[task.name])), sizes[task.name])
    count = look.plan.rounds
    if full and look.method is Method.SEQUENTIAL:
        count = max(count, math.ceil(max(map(len, ranges.values())) / CHUNK))
    return Course(
        Stage.PROOF,
        look.method,
        situation.suite_digest,
        in_rounds(ranges, _rounds(count, ranges)),
        inquiries,
        full,
    )


def _rounds(wanted: int, ranges: Mapping[str, range]) -> int:
    return max(1, min(wanted, MOST_PARTS // len(ranges)))


def next_look(situation: Situation, found: Sealed) -> TakenLook | None:
    """Say what the next proof would be given; None when the suite cannot prove anything any more."""
    life, margin = life_of(situation), _within(gain_margin(situation))
    while True:
        look = TakenLook(
            suite=situation.suite_digest,
            plan=plan_under(life),
            method=situation.policy.evidence.method,
            slice=life.slice,
            level=float(life.next_level()),
            margin=margin,
            incumbent=found.incumbent.model,
        )
        if look.level > 0.0 and _provable(situation, found, look):
            return look
        try:
            life = life.fresh_slice()
        except BudgetSpent:
            return None


def proof_ranges(life: SuiteLife, sizes: dict[str, int], number: int) -> dict[str, range]:
    """Say which units of each task the proof of a slice may meet, also after the life has left the slice."""
    there = replace(life, slice=number)
    return {task: there.proof(task, size) for task, size in sizes.items()}


def _provable(situation: Situation, found: Sealed, look: TakenLook) -> bool:
    course = proof_course(situation, found, look)
    return enough(course, course.units())


def _sizes(found: Sealed, seed: str) -> dict[str, int]:
    return {task: len(units_of(results, seed)) for task, results in found.baseline.items()}


def _gain(situation: Situation, question: Question) -> Inquiry:
    return Inquiry(question.name, situation.claim.task, Measure.GAIN, question)


def _invariants(situation: Situation, level: float, hopeless_level: float) -> tuple[Inquiry, ...]:
    asked = measured(situation.tasks, situation.claim.task)
    return tuple(each for task in asked for each in _of(task, level, hopeless_level))


def _of(task: SuiteTask, level: float, hopeless_level: float) -> Iterable[Inquiry]:
    name = check_name(task.name)

    def inquiry(measure: Measure, margin: float) -> Inquiry:
        question = Question(f"{name}/{measure}", _within(margin), level, _within(margin), hopeless_level)
        return Inquiry(question.name, task.name, measure, question)

    if task.must_pass:
        yield inquiry(Measure.EVERY, 0.0)
    if task.floor is not None:
        yield inquiry(Measure.FLOOR, task.floor)
    if task.max_regression is not None:
        yield inquiry(Measure.LOSS, -task.max_regression)


def _within(margin: float) -> float:
    # A question's margin lies within (-1, 1): beyond 1 nothing passes, and beyond -1 everything does.
    return min(max(margin, -1.0 + 1e-9), 1.0 - 1e-9)


def _change(situation: Situation, difference: float) -> Decimal:
    point = Difference(difference, Interval(difference, difference, 1.0), 1, 1)
    return delta(situation, point).point
