"""What becomes of revisions that are not, or no longer, the one that the spec asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .facts import RevisionRecord, Verdict
from .lifecycle import RESIDENT, UNDECIDED, transition
from .log import LogState, SpecialistRecord
from .pins import beside, brought_back, is_pinned, takes_over
from .situations import Succession
from .undo import expiry


class Place(StrEnum):
    """Where the bytes of an artifact belong."""

    ACTIVE = "Active"
    ARCHIVED = "Archived"
    DELETED = "Deleted"


def _verdict(record: RevisionRecord, action: Action, target: State, reason: Reason, message: str) -> Verdict:
    return Verdict(transition(action, record.state, target), Outcome.PASS, reason, message)


def deletion(record: SpecialistRecord) -> tuple[RevisionRecord, Verdict] | None:
    """Find the next revision to delete because its Specialist object is being deleted."""
    for revision in sorted(record.revisions.values(), key=lambda r: r.revision):
        if revision.state is not State.DELETED:
            message = f"{revision.served_name} goes, because its Specialist was deleted."
            return revision, _verdict(revision, Action.DELETE, State.DELETED, Reason.DELETED, message)
    return None


def succession(seen: Succession) -> tuple[RevisionRecord, Verdict] | None:
    """Find what is due about revisions that no trial is about, and where they have to move.

    The current one takes over from another, if it is live already. An older candidate gives way at once. An
    older live revision serves until the current one does, and stays beside it only where it is pinned; all go
    when the owner wants the whole specialist retired. A retired one is deleted when its undo window is over,
    unless a pin brings it back before.
    """
    again = takes_over(seen)
    if again is not None:
        return again
    aside = beside(seen.record)
    for revision in sorted(seen.record.revisions.values(), key=lambda r: r.revision):
        if revision.revision == seen.current:
            continue
        if revision.state is State.LIVE and seen.wanted is Target.RETIRED:
            message = f"lifecycle.target is Retired. {revision.served_name} is unloaded and archived."
            return revision, _verdict(
                revision, Action.RETIRE, State.RETIRED, Reason.RETIREMENT_REQUESTED, message
            )
        unpinned = revision in aside and not is_pinned(seen, revision)
        if revision.state in UNDECIDED or unpinned:
            message = f"{revision.served_name} gives way to revision {seen.current}."
            if unpinned and seen.record.live != seen.current:
                message = f"lifecycle.pinned does not name {revision.served_name} any more."
            return revision, _verdict(revision, Action.RETIRE, State.RETIRED, Reason.SUPERSEDED, message)
        if revision.state is State.RETIRED and seen.now >= expiry(revision, seen.undo_window):
            end = expiry(revision, seen.undo_window)
            message = f"{revision.served_name} could be restored until {end:%F %T}Z."
            return revision, _verdict(
                revision, Action.DELETE, State.DELETED, Reason.UNDO_WINDOW_CLOSED, message
            )
    return None if seen.wanted is Target.RETIRED else brought_back(seen)


def next_expiry(record: SpecialistRecord, current: str, undo_window: timedelta) -> datetime | None:
    """Say when the next revision, other than the current one, has to be deleted."""
    others = (r for r in record.in_state(State.RETIRED) if r.revision != current)
    return min((expiry(r, undo_window) for r in others), default=None)


def places(*logs: LogState) -> dict[str, Place]:
    """Say where each artifact of a store belongs: all who share a key keep it for each other.

    `logs` are those of all populations that use the store.
    """
    order = {Place.DELETED: 0, Place.ARCHIVED: 1, Place.ACTIVE: 2}
    found: dict[str, Place] = {}
    specialists = (s for log in logs for s in log.specialists.values())
    for record in (r for s in specialists for r in s.revisions.values()):
        # A pending revision has asked for nothing yet; what it names may be archived or deleted meanwhile.
        if record.key and record.state is not State.PENDING:
            place = _place(record)
            if order[place] >= order[found.get(record.key, Place.DELETED)]:
                found[record.key] = place
    return found


def _place(record: RevisionRecord) -> Place:
    if record.state is State.DELETED:
        return Place.DELETED
    return Place.ARCHIVED if record.state is State.RETIRED else Place.ACTIVE


def residents(log: LogState) -> tuple[RevisionRecord, ...]:
    """List the revisions that every engine must hold, by served name."""
    records = (r for s in log.specialists.values() for r in s.revisions.values() if r.state in RESIDENT)
    return tuple(sorted(records, key=lambda r: r.served_name))


def placed(log: LogState) -> tuple[RevisionRecord, ...]:
    """List the revisions that have a place on the engines: who passes its proof must not find it taken."""
    records = (r for s in log.specialists.values() for r in s.revisions.values())
    return tuple(r for r in records if r.state in RESIDENT or r.look is not None)


def served_names(log: LogState, key: str | None = None) -> frozenset[str]:
    """Name every adapter that some engine may ever have held, or those of one artifact."""
    records = (r for s in log.specialists.values() for r in s.revisions.values())
    return frozenset(r.served_name for r in records if r.was_resident and key in (None, r.key))


def retry(record: RevisionRecord, actor: str) -> Verdict:
    """Take a stopped revision back to the start, because a person asked."""
    message = f"{actor} asked for another try of {record.served_name}."
    found = _verdict(record, Action.RETRY, State.PENDING, Reason.RETRY_REQUESTED, message)
    return replace(found, actor=actor)
