"""Quarantine by a person, and what serves in place of a quarantined revision: the one before it, if it may.

Neither rests on evidence, store or engines: a revision that does harm is out of service at once.
"""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .capacity import free_slot
from .facts import Check, RevisionRecord, Verdict
from .lifecycle import transition
from .log import SpecialistRecord
from .situations import Isolation, Rollback
from .undo import within_window
from .verdict import clip


def quarantine(asked: Isolation) -> Verdict:
    """Take a revision out of service because a person asks for it. Raises IllegalTransition."""
    record, why = asked.record, f" Why: {asked.why}" if asked.why else ""
    edge = transition(Action.QUARANTINE, record.state, State.QUARANTINED)
    message = f"{asked.actor} took {record.served_name} out of service. It takes no more requests.{why}"
    return Verdict(edge, Outcome.PASS, Reason.QUARANTINE_REQUESTED, clip(message), actor=asked.actor)


def rollback(seen: Rollback) -> tuple[RevisionRecord, Verdict] | None:
    """Find the revision that serves again in place of a quarantined one; None where the fallback does.

    It is the one that the quarantined revision replaced: at once where a pin has kept it live, else while
    it can be restored and finds a slot. What evidence or the owner has retired stays retired, and nothing
    that served before it serves in its place.
    """
    if seen.wanted is not Target.LIVE or seen.record.live is not None:
        return None
    known = seen.record.revisions
    gone = known.get(seen.record.previous or "")
    if gone is not None and gone.state is State.QUARANTINED and gone.replaced in known:
        before = known[gone.replaced]
        if before.state is State.LIVE:
            return before, _again(gone, before)
        return _restored(seen, gone, before) if before in _replaced(seen.record) else None
    return _by_times(seen)


def _by_times(seen: Rollback) -> tuple[RevisionRecord, Verdict] | None:
    """Tell by times what the quarantined revision replaced, where no log has said it."""
    gone = max(_fallen(seen.record), key=lambda r: r.entered, default=None)
    before = max(_replaced(seen.record), key=lambda r: r.entered, default=None)
    if gone is None or before is None or before.entered > gone.entered:
        return None
    if any(r.entered >= before.entered for r in _ended(seen.record)):
        return None
    return _restored(seen, gone, before)


def _restored(
    seen: Rollback, gone: RevisionRecord, before: RevisionRecord
) -> tuple[RevisionRecord, Verdict] | None:
    checks = (within_window(before, seen.now, seen.undo_window), free_slot(seen.taken, seen.slots))
    if any(check.outcome is not Outcome.PASS for check in checks):
        return None
    return before, _again(gone, before, checks)


def _again(gone: RevisionRecord, before: RevisionRecord, checks: tuple[Check, ...] = ()) -> Verdict:
    message = f"{gone.served_name} is quarantined, so {before.served_name} serves again, which it replaced."
    edge = transition(Action.RESTORE, before.state, State.LIVE)
    return Verdict(edge, Outcome.PASS, Reason.ROLLED_BACK, message, checks)


def _fallen(record: SpecialistRecord) -> tuple[RevisionRecord, ...]:
    return tuple(r for r in record.in_state(State.QUARANTINED) if r.previous is State.LIVE)


def _replaced(record: SpecialistRecord) -> tuple[RevisionRecord, ...]:
    """List what was live until a newer revision was."""
    retired = record.in_state(State.RETIRED)
    return tuple(r for r in retired if r.previous is State.LIVE and r.retired_for == Reason.SUPERSEDED)


def _ended(record: SpecialistRecord) -> tuple[RevisionRecord, ...]:
    """List what was live until evidence or the owner retired it."""
    retired = record.in_state(State.RETIRED)
    return tuple(r for r in retired if r.previous is State.LIVE and r.retired_for != Reason.SUPERSEDED)
