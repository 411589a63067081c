"""Stage 1, limits on live answers: what users got of a live revision, as alarms on errors, time and score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from modelecology.api.live_records import Answered, Arm
from modelecology.api.routing import RouteReason
from modelecology.api.suite import Task
from modelecology.governance.alarm import alarm, allowed_late
from modelecology.governance.facts import Alarm, Served
from modelecology.governance.rules import LiveLimits

from .live import of_live
from .live_ledger import LiveLedger
from .live_scores import GONE

MOST_ANSWERS = 10_000
"""Answers that an alarm looks back over; what is older has either raised it or is forgiven."""
_AWAY = ("HTTP 503", RouteReason.NOT_RESIDENT, RouteReason.WRONG_MODEL_ANSWERED)
"""Engines that are away, full, or without it: that is no fault of a revision's answers."""


@dataclass(frozen=True, slots=True)
class LiveRevision:
    """A revision that users get, and since when."""

    task: Task
    served: str
    entered: datetime
    unit_is_request: bool


def of_served(ledger: LiveLedger, asked: LiveRevision, limits: LiveLimits) -> Served:
    """Say what the answers that were written down show of each limit."""
    return _of_served(ledger, ledger.version, asked, limits)


@lru_cache(maxsize=256)
def _of_served(ledger: LiveLedger, _version: int, asked: LiveRevision, limits: LiveLimits) -> Served:
    answers = [
        e.answer
        for e in ledger.exchanges(asked.task.name, asked.entered.timestamp())
        if e.arm is Arm.LIVE and e.answer.served == asked.served
    ]
    errors = late = wrong = None
    if limits.errors is not None:
        errors = _alarm(_failures(answers), limits.errors)
    if limits.latency is not None:
        late = _alarm(_delays(answers, limits.latency), allowed_late(limits))
    if limits.score is not None:
        scores = of_live(
            ledger, asked.task, asked.served, asked.entered, unit_is_request=asked.unit_is_request
        )
        wrong = _alarm((1.0 - score for score in scores), 1.0 - limits.score)
    return Served(errors, late, wrong)


def _failures(answers: Iterable[Answered]) -> Iterator[float]:
    for answer in answers:
        if answer.error is None:
            yield 0.0
        elif answer.error not in _AWAY and not answer.error.startswith("HTTP 4"):
            yield 1.0


def _delays(answers: Iterable[Answered], most: float) -> Iterator[float]:
    for answer in answers:
        late = answer.seconds > most
        # Who went away before the time was over has not seen whether the answer would be late.
        if answer.error is None or (answer.error == GONE and late):
            yield float(late)


def _alarm(bad: Iterable[float], allowed: float) -> Alarm:
    return alarm(list(bad)[-MOST_ANSWERS:], allowed)
