"""Stage 5: one status write, and none when nothing changed. The status is a fold of the log."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.ledger import Tip, Totals
from modelecology.api.meta import Condition, ConditionType
from modelecology.api.population import Population, PopulationStatus
from modelecology.api.reasons import Mover, Reason, mover, named
from modelecology.api.specialist import (
    Progress,
    RevisionStatus,
    Scorecard,
    Specialist,
    SpecialistStatus,
)
from modelecology.api.vocabulary import State, Target
from modelecology.governance.book import Spent
from modelecology.governance.facts import RevisionRecord, Wait
from modelecology.governance.lifecycle import ON_TRIAL, STOPPED
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.undo import expiry
from modelecology.kube.cluster import Kind
from modelecology.store import Progress as StoredProgress

from .accounts import totals
from .conditions import said, with_remedy
from .frame import Frame
from .matching import match_refused
from .metrics import WRITES
from .proposals import retirement_proposed
from .runtime import Runtime
from .tell import tell_trouble
from .trouble import OUTSIDE

PROGRESS_SECONDS = 10
_MOVING = ON_TRIAL
_BROKEN = (State.FAILED, State.QUARANTINED)


def ledger_of(spent: Spent, until: datetime | None = None) -> Totals:
    """Translate what was spent, what is held included up to a moment."""
    return Totals.model_validate(spent, from_attributes=True).model_copy(update={"until": until})


def _ledger(frame: Frame | None, log: SpecialistRecord, now: datetime) -> Totals:
    if frame is None:
        return ledger_of(log.spent)
    return ledger_of(*totals(frame.log, log.spent, (log.uid,), frame.policy.prices, now, frame.counted))


def revision_status(record: RevisionRecord | None) -> RevisionStatus | None:
    """Translate what the log says of a revision."""
    if record is None:
        return None
    card = record.scorecard
    return RevisionStatus(
        revision=record.revision,
        served_name=record.served_name,
        key=record.key,
        state=record.state,
        since=record.entered,
        reason=record.reason,
        scorecard=Scorecard.model_validate(card, from_attributes=True) if card else None,
    )


def _is_ready(record: RevisionRecord, wait: Wait, wanted: Target) -> bool:
    if wanted is Target.RETIRED:
        return record.state in (State.RETIRED, State.DELETED) and wait.reason is Reason.RETIRED
    if wanted is Target.SHADOW:
        return record.state is State.SHADOW and wait.reason is Reason.SHADOW_HELD
    return record.state is State.LIVE and wait.reason is Reason.SERVING


def _is_degraded(record: RevisionRecord, wait: Wait) -> bool:
    if record.state in _BROKEN or record.state is State.REJECTED or wait.reason in OUTSIDE:
        return True
    return record.state is State.LIVE and wait.reason is not Reason.SERVING


def _conditions(
    before: Specialist, log: SpecialistRecord, record: RevisionRecord, wait: Wait, now: datetime
) -> tuple[Condition, ...]:
    generation = before.metadata.generation
    known = before.status.conditions
    reason, message = str(wait.reason), wait.message
    verdict = log.last
    if record.state in STOPPED and wait.reason == named(record.reason):
        reason = record.reason
        if verdict is not None and verdict.subject.revision == record.revision and verdict.message:
            message = verdict.message
    message = with_remedy(reason, message, before.metadata.name)
    ready = _is_ready(record, wait, before.spec.lifecycle.target)
    degraded = _is_degraded(record, wait)
    # What a person has to move does not move by itself.
    at_it = mover(wait.reason) is Mover.NOBODY
    busy = record.state in _MOVING or wait.reason is Reason.BASELINE_RUNNING
    moving = at_it and busy and not (ready or degraded)
    states = (
        (ConditionType.READY, ready),
        (ConditionType.PROGRESSING, moving),
        (ConditionType.DEGRADED, degraded),
    )
    return tuple(
        said(known, kind, status, reason, message, generation=generation, now=now) for kind, status in states
    )


def _drift(
    before: Specialist, frame: Frame | None, record: RevisionRecord, now: datetime
) -> tuple[Condition, ...]:
    """Say that the trial under way is judged by another policy than the one that stands now."""
    if frame is None or record.state not in _MOVING or record.pinned is None:
        return ()
    if record.policy in (None, frame.policy_digest):
        return ()
    reason = Reason.POLICY_DRIFTED
    generation = before.metadata.generation
    known = before.status.conditions
    return (said(known, ConditionType.DRIFT, True, reason, reason.remedy, generation=generation, now=now),)


def _score(record: RevisionRecord) -> str:
    card = record.scorecard
    return f"{card.score:.2f} (was {card.incumbent_score:.2f})" if card else ""


def specialist_status(
    before: Specialist,
    frame: Frame | None,
    log: SpecialistRecord,
    record: RevisionRecord,
    wait: Wait,
    *,
    progress: StoredProgress | None,
    now: datetime,
) -> SpecialistStatus:
    """Write the status that a Specialist has now."""
    live = log.revisions.get(log.live) if log.live else None
    previous = log.revisions.get(log.previous) if log.previous else None
    settled = live is not None and live.revision == record.revision
    retired = record.was_live and record.state in (State.RETIRED, State.DELETED)
    expires = None
    if frame is not None and record.state is State.RETIRED:
        expires = expiry(record, frame.policy.undo_window)
    return SpecialistStatus(
        observed_generation=before.metadata.generation,
        state=record.state,
        score=_score(record),
        conditions=(
            *_conditions(before, log, record, wait, now),
            *retirement_proposed(before, log, frame.policy if frame is not None else None, now),
            *_drift(before, frame, record, now),
            *match_refused(before, frame.population if frame is not None else None, now),
        ),
        live=revision_status(live),
        candidate=None if settled or retired else revision_status(record),
        previous=revision_status(previous),
        progress=_progress(progress),
        ledger=_ledger(frame, log, now),
        last_decision=Tip(sequence=log.last.sequence, digest=log.last.digest) if log.last else None,
        expires=expires,
    )


def _progress(progress: StoredProgress | None) -> Progress | None:
    if progress is None:
        return None
    eta = progress.eta_seconds
    return Progress(
        phase=progress.phase[:64],
        step=progress.step,
        total=progress.total,
        loss=round(progress.loss, 4) if progress.loss is not None else None,
        eta_seconds=max(0, round(eta)) if eta is not None else None,
    )


def unmoved(before: Specialist, after: SpecialistStatus) -> bool:
    """Say whether two statuses differ in nothing but how far a job is."""
    blank = {"progress": None}
    return after.progress is not None and before.status.model_copy(update=blank) == after.model_copy(
        update=blank
    )


async def write(
    runtime: Runtime,
    kind: Kind,
    before: Specialist | Population,
    after: SpecialistStatus | PopulationStatus,
) -> bool:
    """Patch the status if it changed; a stale view is refused by the server. Raises Conflict, KubeError."""
    if before.status == after:
        return False
    body = {
        "metadata": {"resourceVersion": before.metadata.resource_version},
        # Nulls are kept: in a merge patch they take away what is no longer so.
        "status": after.model_dump(mode="json", by_alias=True),
    }
    meta = before.metadata
    answer = await runtime.cluster.patch(kind, meta.namespace, meta.name, body, status=True)
    WRITES.labels("patch-status", kind.kind).inc()
    runtime.cache.put(kind, answer)
    tell_trouble(runtime, kind, before, after)
    return True
