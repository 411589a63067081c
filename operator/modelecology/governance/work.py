"""States in which a job runs: its failures, the pause before the next try, and the adapter it brings."""

from __future__ import annotations

from datetime import datetime, timedelta

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State

from .facts import Artifact, Check, Cost, JobFailure, RevisionRecord, Situation, Verdict, Wait
from .ledger import hours
from .lifecycle import JOB_ENDS, PASSING, CheckName
from .verdict import clip, clock, due, reason_of

PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
MIB = 2**20


def backoff(attempts: int) -> timedelta:
    """The pause before a try, after so many retries: 5 s doubled each time, at most 5 minutes."""
    return min(PAUSE * (1 << min(max(attempts, 0), 10)), LONGEST_PAUSE)


def paused_until(record: RevisionRecord) -> datetime | None:
    """When the next try may start; None before any retry."""
    return record.since + backoff(record.attempts) if record.attempts else None


def at_work(situation: Situation, running: Wait) -> Verdict | Wait:
    """Judge a job that has not delivered: pause, try again, give up, or keep waiting with the given words."""
    record, failure = situation.record, situation.failure
    until = paused_until(record)
    # The pause comes first: a failure seen during it is that of the try before, which was judged already.
    if until is not None and situation.now < until:
        message = f"Try {record.attempts + 1} starts at {clock(until)}."
        return Wait(Reason.BACKOFF, message, until=until)
    if failure is None:
        return running
    return _failed(situation, failure)


def decide_training(situation: Situation) -> Verdict | Wait:
    """Training: adopt what the store has, else wait for the job."""
    artifact = situation.artifact
    if artifact is not None:
        return _delivered(situation, artifact)
    if situation.claim.steps == 0:
        return at_work(situation, Wait(Reason.IMPORTING, "The import job copies and checks the adapter."))
    return at_work(
        situation, Wait(Reason.TRAINING, f"The training job runs; it has {situation.claim.steps} steps.")
    )


def _delivered(situation: Situation, artifact: Artifact) -> Verdict:
    most = situation.policy.max_rank
    sound = artifact.rank <= most
    cost = Cost() if artifact.adopted else artifact.cost
    check = Check(
        CheckName.SOUND,
        Outcome.PASS if sound else Outcome.FAIL,
        observed=f"rank {artifact.rank}",
        limit=f"rank at most {most}",
        message=(
            "The adapter passed the admission check and fits the engine."
            if sound
            else f"The adapter has rank {artifact.rank}; serving.capacity.maxRank allows {most}."
        ),
    )
    if not sound:
        return due(
            situation,
            Action.FAIL,
            State.FAILED,
            Reason.RANK_ABOVE_CAPACITY,
            f"{check.message} {Reason.RANK_ABOVE_CAPACITY.remedy}",
            outcome=Outcome.FAIL,
            checks=(check,),
            cost=cost,
        )
    size = f"rank {artifact.rank}, {artifact.resident_bytes / MIB:.1f} MiB"
    if artifact.adopted:
        reason = Reason.ARTIFACT_ADOPTED
        message = f"The store had an adapter of the same key ({size}); nothing was trained."
    else:
        reason = Reason.ARTIFACT_COMMITTED
        message = f"The adapter is in the store and sound: {size}; it took {hours(cost)}."
    return due(situation, Action.EVALUATE, State.EVALUATING, reason, message, checks=(check,), cost=cost)


def _failed(situation: Situation, failure: JobFailure) -> Verdict:
    record, retries = situation.record, situation.policy.retries
    state = record.state
    own = reason_of(failure.reason)
    said = clip(f"{failure.reason}: {failure.message}")
    pause = f"{backoff(record.attempts + 1).total_seconds():g} s"
    if own in PASSING:
        return due(
            situation,
            Action.RETRY,
            state,
            own,
            f"It is tried again in {pause}, for as long as this lasts. {said}",
            outcome=Outcome.ERROR,
            cost=failure.cost,
        )
    used = record.attempts - record.excused
    if failure.retry and used < retries:
        return due(
            situation,
            Action.RETRY,
            state,
            Reason.JOB_RETRIED,
            f"Retry {used + 1} of {retries} starts in {pause}. {said}",
            outcome=Outcome.ERROR,
            cost=failure.cost,
        )
    if failure.retry:
        reason = Reason.ATTEMPTS_EXHAUSTED
        message = (
            f"The job failed {used + 1} times, and policy allows {retries} retries. The last failure: {said}"
        )
    else:
        reason, message = own if own in JOB_ENDS else Reason.INTERNAL_ERROR, said
    return due(
        situation, Action.FAIL, State.FAILED, reason, message, outcome=Outcome.ERROR, cost=failure.cost
    )
