"""What a course found, in checks and a scorecard: all of it may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelecology.api.vocabulary import Outcome

from .courses import told_evidence
from .evidence import Difference, EvidenceError, difference
from .facts import Check, Interval, Results, Scorecard, Situation
from .invariants import check_each, summary
from .lifecycle import CheckName
from .limits import check_memory
from .portfolio import Delta, delta
from .sequential import Answer
from .trial import Course, Measure, Sealed, Standing, among, met_by, units_of
from .verdict import money, named, span


@dataclass(frozen=True, slots=True)
class Found:
    """A course with its answers, and the results on the items that were met."""

    course: Course
    standing: Standing
    candidate: Mapping[str, Results]
    baseline: Mapping[str, Results]
    incumbent: Results

    @property
    def gain(self) -> Answer:
        """The answer to the question for the gain."""
        pairs = zip(self.course.inquiries, self.standing.answers, strict=True)
        return next(answer for inquiry, answer in pairs if inquiry.measure is Measure.GAIN)

    @property
    def units(self) -> dict[str, int]:
        """Units met, by task."""
        return dict.fromkeys(self.baseline, 0) | self.course.units(self.standing.rounds)


def found_by(
    course: Course, standing: Standing, candidate: Mapping[str, Results], sealed: Sealed, claimed: str
) -> Found:
    """Cut all results down to the items that the course met."""
    parts = course.parts(standing.rounds)
    met = {
        task: met_by((p for p in parts if p.task == task), units_of(results, course.seed))
        for task, results in sealed.baseline.items()
    }
    return Found(
        course,
        standing,
        {task: among(results, met[task]) for task, results in candidate.items() if task in met},
        {task: among(results, met[task]) for task, results in sealed.baseline.items()},
        among(sealed.incumbent, met[claimed]),
    )


def checks_of(situation: Situation, found: Found) -> tuple[Check, ...]:
    """Say what a course found: that the evidence is whole, the invariants in sum and each, and the gain."""
    answers = tuple(zip(found.course.inquiries, found.standing.answers, strict=True))
    claimed = situation.claim.task
    each = check_each(situation.tasks, claimed, answers, found.candidate, found.baseline)
    memory = check_memory(situation.policy.limits, situation.artifact)
    each = each if memory is None else (memory, *each)
    items = sum(len(results.items) for results in found.candidate.values())
    met = f"{found.standing.rounds} of {len(found.course.rounds)}"
    whole = Check(
        CheckName.EVIDENCE,
        Outcome.PASS,
        observed=f"{len(answers)} questions, {met} rounds",
        limit="none broken",
        n=items,
        message=f"The {found.course.stage.lower()} asked {items} items in {met} rounds.",
    )
    return (whole, summary(each), *each, check_gain(situation, found))


def check_gain(situation: Situation, found: Found) -> Check:
    """Check that the change in the portfolio's value exceeds the threshold."""
    policy, gain = situation.policy, found.gain
    worth = _worth(situation, gain)
    candidate = found.candidate.get(situation.claim.task)
    items = len(candidate.items) if candidate is not None else 0
    message = (
        f"{situation.claim.task}: {gain.mean:+.2f} against {named(found.incumbent.model)}, between "
        f"{gain.interval.low:+.2f} and {gain.interval.high:+.2f}; the portfolio gains {money(worth.point)} "
        f"over {span(policy.horizon)}, between {money(worth.low)} and {money(worth.high)}; more than "
        f"{money(policy.threshold)} is asked; {items} items{_exact(found, situation.claim.task)}."
    )
    interval = Interval(float(worth.low), float(worth.high), gain.interval.confidence)
    limit = f"more than {money(policy.threshold)}"
    return Check(CheckName.GAIN, gain.outcome, money(worth.point), limit, interval, items, message)


def scorecard_of(situation: Situation, found: Found) -> Scorecard | None:
    """The candidate beside its incumbent, on the items that were met; None where there are none."""
    task = situation.claim.task
    candidate = found.candidate.get(task)
    if candidate is None or not candidate.items:
        return None
    return Scorecard(
        task,
        candidate.mean,
        found.incumbent.model,
        found.incumbent.mean,
        found.gain.interval,
        len(candidate.items),
    )


def _worth(situation: Situation, gain: Answer) -> Delta:
    known = told_evidence(situation)
    return delta(known, Difference(gain.mean, gain.interval, gain.units, gain.units))


def _exact(found: Found, task: str) -> str:
    """Report the exact paired test beside the answer, where the scores are right or wrong: a cross-check."""
    candidate = found.candidate.get(task)
    try:
        exact = difference(candidate, found.incumbent, 0.95).mcnemar if candidate is not None else None
    except EvidenceError:
        exact = None
    return "" if exact is None else f", exact McNemar p = {exact:.1g}"
