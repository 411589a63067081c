"""A trial: which questions a candidate is asked, on which units, and what its answers say so far.

A trial has two stages, each a course of rounds. The screen may tell everything and sends away what is
hopeless; the proof decides. In each round every question meets its next units, so that the length of a course
tells nothing about one question alone. The job that asks and the operator that judges use this one function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from modelecology.api.vocabulary import Method, Outcome

from .evidence import EvidenceError, check, difference, mean, paired
from .facts import Interval, Item, Results
from .sequential import Answer, Question, Units, answer, in_order, order


class Stage(StrEnum):
    """The two courses of a trial."""

    SCREEN = "Screen"
    PROOF = "Proof"


class Measure(StrEnum):
    """What a question looks at: a paired difference, the candidate's own score, or every single item."""

    GAIN = "Gain"
    LOSS = "Loss"
    FLOOR = "Floor"
    EVERY = "Every"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question of a course: the name of its check, its task, what it looks at, and its margins."""

    name: str
    task: str
    measure: Measure
    question: Question


@dataclass(frozen=True, slots=True)
class Part:
    """Units of a task, in the suite's order: from first up to and without last."""

    task: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Course:
    """A stage: its rounds, its questions, and when it ends."""

    stage: Stage
    method: Method
    seed: str  # of the order of units
    rounds: tuple[tuple[Part, ...], ...]
    inquiries: tuple[Inquiry, ...]
    ends_on_failure: bool  # where nothing may be told of it, a failure does not end it

    def parts(self, rounds: int | None = None) -> tuple[Part, ...]:
        """List what so many rounds ask, or all of them."""
        return tuple(part for each in self.rounds[:rounds] for part in each)

    def units(self, rounds: int | None = None) -> dict[str, int]:
        """Count the units of each task that so many rounds ask, or all of them."""
        found: dict[str, int] = {}
        for part in self.parts(rounds):
            found[part.task] = found.get(part.task, 0) + part.last - part.first
        return found


@dataclass(frozen=True, slots=True)
class Sealed:
    """Results on all items of the tasks: the generalist's, and the incumbent's on the claimed task."""

    baseline: Mapping[str, Results]
    incumbent: Results

    def against(self, inquiry: Inquiry) -> Results:
        """Find whose answers a question compares with; for one about the score alone, whose items it met."""
        return self.incumbent if inquiry.measure is Measure.GAIN else self.baseline[inquiry.task]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a course stands after some whole rounds."""

    answers: tuple[Answer, ...]  # one for each inquiry, in their order
    rounds: int
    ended: bool

    @property
    def outcome(self) -> Outcome:
        """Fail where a question failed, Pass where all passed."""
        return _outcome(self.answers)


def _outcome(answers: tuple[Answer, ...]) -> Outcome:
    outcomes = {each.outcome for each in answers}
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    return Outcome.PASS if outcomes == {Outcome.PASS} else Outcome.INCONCLUSIVE


def in_rounds(ranges: Mapping[str, range], count: int) -> tuple[tuple[Part, ...], ...]:
    """Cut each task's units into so many rounds of about one size; a round without units is left out."""
    rounds = []
    for number in range(count):
        parts = []
        for task, units in ranges.items():
            first = units.start + len(units) * number // count
            last = units.start + len(units) * (number + 1) // count
            if first < last:
                parts.append(Part(task, first, last))
        if parts:
            rounds.append(tuple(parts))
    return tuple(rounds)


def units_of(results: Results, seed: str) -> tuple[str, ...]:
    """Name all units of a task, each a cluster, in the suite's order. Raises EvidenceError."""
    check(results)
    return _ordered(frozenset(item.cluster for item in results.items), seed)


# A look asks for the same few orders many times, and each unit costs a digest; a suite has 32 tasks at most.
@lru_cache(maxsize=64)
def _ordered(clusters: frozenset[str], seed: str) -> tuple[str, ...]:
    return tuple(order(clusters, seed))


def met_by(parts: Iterable[Part], units: Sequence[str]) -> frozenset[str]:
    """Name the units that some parts of one task meet."""
    return frozenset(name for part in parts for name in units[part.first : part.last])


def among(results: Results, units: frozenset[str]) -> Results:
    """Keep the items of some units."""
    items = tuple(item for item in results.items if item.cluster in units)
    return Results(results.task, results.model, items, expected=len(items))


def weigh(course: Course, candidate: Mapping[str, Results], sealed: Sealed) -> Standing:
    """Say where a course stands: what the candidate's answers, of whole rounds, say to each question.

    Raises EvidenceError where items are missing, double, in another cluster or asked by no whole round.
    """
    units = {task: units_of(sealed.baseline[task], course.seed) for task in course.units()}
    answered = {task: frozenset(i.cluster for i in results.items) for task, results in candidate.items()}
    rounds = 0
    for each in course.rounds:
        if not all(met_by((p,), units[p.task]) <= answered.get(p.task, frozenset()) for p in each):
            break
        rounds += 1
    parts = course.parts(rounds)
    met = {task: met_by((p for p in parts if p.task == task), names) for task, names in units.items()}
    for task, results in candidate.items():
        _only(results, met.get(task, frozenset()), course.stage)
    whole = rounds == len(course.rounds)
    answers = tuple(
        _answer(course, each, met.get(each.task, frozenset()), candidate.get(each.task), sealed, whole)
        for each in course.inquiries
    )
    outcome = _outcome(answers)
    failed = course.ends_on_failure and outcome is Outcome.FAIL
    return Standing(answers, rounds, whole or outcome is Outcome.PASS or failed)


def _only(results: Results, met: frozenset[str], stage: Stage) -> None:
    # Never a pass: what was answered beyond whole rounds shows that answers are lost, or somebody else's.
    strange = next((item.id for item in results.items if item.cluster not in met), None)
    if strange is not None:
        raise EvidenceError(
            f"{results.task}: the results of {results.model} have the item {strange!r}, which no whole round "
            f"of the {stage.lower()} asks. Evaluate again."
        )


def _answer(
    course: Course,
    inquiry: Inquiry,
    met: frozenset[str],
    candidate: Results | None,
    sealed: Sealed,
    whole: bool,
) -> Answer:
    if not met or candidate is None:
        return answer(inquiry.question, np.empty(0))
    ours, theirs = among(candidate, met), among(sealed.against(inquiry), met)
    # Also where only the score counts: the items that were met are those of the suite, no more and no less.
    pairs = paired(ours, theirs)
    if inquiry.measure is Measure.EVERY:
        return _every(inquiry, ours, len(met), whole)
    if course.method is Method.FIXED_SIZE and course.stage is Stage.PROOF:
        return _fixed(inquiry, ours, theirs, len(met), whole)
    if inquiry.measure is Measure.FLOOR:
        pairs = [(cluster, score, 0.0) for cluster, score, _ in pairs]
    return answer(inquiry.question, in_order(pairs, course.seed))


def _every(inquiry: Inquiry, ours: Results, units: int, whole: bool) -> Answer:
    # No statistics: what must hold for every item is broken by one, and shown when all were met.
    broken = any(item.score < 1.0 for item in ours.items)
    outcome = Outcome.FAIL if broken else Outcome.PASS if whole else Outcome.INCONCLUSIVE
    score = ours.mean
    return Answer(inquiry.question, outcome, units, score, Interval(score, score, 1.0), 0.0, 0.0)


def _fixed(inquiry: Inquiry, ours: Results, theirs: Results, units: int, whole: bool) -> Answer:
    question = inquiry.question
    confidence = 1.0 - question.level
    if inquiry.measure is Measure.FLOOR:
        own = mean(ours, confidence)
        point, interval = own.mean, own.interval
    else:
        found = difference(ours, theirs, confidence)
        point, interval = found.mean, found.interval
    outcome = Outcome.INCONCLUSIVE
    # A test of fixed size is looked at once.
    if whole and interval.low > question.margin:
        outcome = Outcome.PASS
    elif whole and question.hopeless_level > 0 and interval.high < question.hopeless:
        outcome = Outcome.FAIL
    return Answer(question, outcome, units, point, interval, 0.0, 0.0)


def enough(course: Course, sizes: Mapping[str, int]) -> bool:
    """Say whether a flawless candidate would pass: better on every unit, and nothing lost."""
    return all(_enough(course.method, inquiry, sizes.get(inquiry.task, 0)) for inquiry in course.inquiries)


def _enough(method: Method, inquiry: Inquiry, size: int) -> bool:
    if inquiry.measure is Measure.EVERY or size == 0:
        return size > 0
    if method is Method.FIXED_SIZE:
        ours, theirs = _all(inquiry, size, 1.0), _all(inquiry, size, float(inquiry.measure is Measure.LOSS))
        return _fixed(inquiry, ours, theirs, size, True).outcome is Outcome.PASS
    units: Units = np.full(size, 0.0 if inquiry.measure is Measure.LOSS else 1.0)
    return answer(inquiry.question, units).outcome is Outcome.PASS


def _all(inquiry: Inquiry, size: int, score: float) -> Results:
    return Results(inquiry.task, "", tuple(Item(str(n), str(n), score) for n in range(size)))
