"""Stage 1, limits on live answers: what users got of a live revision, as alarms on errors, time and score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

from modelecology.api.live_records import Answered, Arm
from modelecology.api.vocabulary import State
from modelecology.governance.alarm import alarm, allowed_late
from modelecology.governance.facts import Alarm, RevisionRecord, Served
from modelecology.governance.rules import LiveLimits
from modelecology.store import StoreError

from .frame import Frame
from .live import LiveRevision, of_live
from .live_ledger import LiveLedger, LiveLedgers
from .live_scores import GONE, own_fault

MOST_ANSWERS = 10_000
"""Answers that an alarm looks back over; what is older has either raised it or is forgiven."""
_WAITED = (GONE, "HTTP 504")  # of which no answer came: who asked, or the gateway, gave up


def served(
    frame: Frame, ledgers: LiveLedgers, revision: RevisionRecord, claimed: str, troubled: datetime | None
) -> Served | None:
    """Say what users got of a revision that is live, where the policy limits that.

    `claimed` is the contract's task of today; `troubled` is when engines last were in trouble. Of what was
    read by the last look at the records; None where that is nothing, or not all of it.
    """
    gateway, policy = frame.population.spec.serving.gateway, frame.policy
    limits = policy.quarantine
    if revision.state is not State.LIVE or limits is None or gateway is None or gateway.records is None:
        return None
    # It serves the task that it was judged on, whatever the contract says by now.
    task = revision.scorecard.task if revision.scorecard is not None else claimed
    if frame.suite.spec.task(task) is None:
        return None
    try:
        ledger = ledgers.at(frame.store, gateway.records)
    except StoreError:
        return None
    since = max(revision.entered, troubled or revision.entered)
    asked = LiveRevision(frame.name, frame.task(task), revision.served_name, since, policy.unit_is_request)
    return _of_served(ledger, ledger.version, asked, limits) if ledger.has_read else None


@lru_cache(maxsize=256)
def _of_served(ledger: LiveLedger, _version: int, asked: LiveRevision, limits: LiveLimits) -> Served:
    since = asked.since.timestamp()
    answers = [
        e.answer
        for e in ledger.exchanges(asked.population, asked.task.name, since)
        # What was copied to a shadow besides is written down only where it succeeded.
        if e.arm is Arm.LIVE and e.answer.served == asked.served and e.sampled
        # Who asked in the time of trouble may still wait when it is over.
        if e.time - e.answer.seconds >= since
    ]
    errors = late = wrong = None
    if limits.errors is not None:
        errors = _alarm(_failures(answers), limits.errors)
    if limits.latency is not None:
        late = _alarm(_delays(answers, limits.latency), allowed_late(limits))
    if limits.score is not None:
        scores = of_live(ledger, asked)
        wrong = _alarm((1.0 - score for score in scores), 1.0 - limits.score)
    return Served(errors, late, wrong)


def _failures(answers: Iterable[Answered]) -> Iterator[float]:
    for answer in answers:
        if answer.error is None or own_fault(answer):
            yield float(answer.error is not None)


def _delays(answers: Iterable[Answered], most: float) -> Iterator[float]:
    for answer in answers:
        late = answer.seconds > most
        # Who waited no longer than that has not seen whether the answer would be late.
        if answer.error is None or (answer.error in _WAITED and late):
            yield float(late)


def _alarm(bad: Iterable[float], allowed: float) -> Alarm:
    return alarm(list(bad)[-MOST_ANSWERS:], allowed)
