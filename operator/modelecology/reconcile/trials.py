"""A candidate's trial as work: which parts of which tasks a course asks, and what was recorded of it."""

from __future__ import annotations

from dataclasses import dataclass

from modelecology.governance.evidence import EvidenceError
from modelecology.governance.facts import Situation
from modelecology.governance.judgement import course_of
from modelecology.governance.trial import Course
from modelecology.jobs.intents import BaselineResult, CourseOrder, UnitRange, course_key

from .frame import Asked, Frame


@dataclass(frozen=True, slots=True)
class Trial:
    """One course of one candidate: its questions, its parts, and the key of its record in the store."""

    course: Course
    order: CourseOrder
    asked: tuple[Asked, ...]
    key: str


def trial_of(frame: Frame, situation: Situation, adapter: str, incumbent: Asked) -> Trial | None:
    """Lay out what a candidate is asked now; None while something else comes first, or has to be decided."""
    try:
        course = course_of(situation)
    except EvidenceError:
        return None
    if not isinstance(course, Course):
        return None
    asked = tuple(
        Asked(part.task, "Main", adapter, units=UnitRange(seed=course.seed, first=part.first, last=part.last))
        for part in course.parts()
    )
    order = CourseOrder(
        course=course,
        baseline=tuple(BaselineResult(task=t, key=frame.order(Asked(t, "Main")).key) for t in course.units()),
        incumbent=frame.order(incumbent).key,
        claimed=situation.claim.task,
    )
    return Trial(course, order, asked, course_key(order, (frame.order(a).key for a in asked)))
