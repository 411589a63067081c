"""Pinned revisions: what a newer one has replaced and users may ask for by name all the same.

Such a revision is live, and no route of its task leads to it: it is beside the one that serves. It takes its
place on the engines at its owner's wish, so it is not tested for what it is worth, and it makes nobody else
superfluous. What engines prove of it and what users get of it take it out as they would any other.
"""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State

from .facts import Check, RevisionRecord, Verdict
from .lifecycle import CheckName, transition
from .log import SpecialistRecord, expiry
from .situations import Rollback, Succession
from .verdict import clock


def beside(record: SpecialistRecord) -> tuple[RevisionRecord, ...]:
    """List the live revisions of a Specialist that no route of a task leads to."""
    return tuple(r for r in record.in_state(State.LIVE) if r.revision != record.live)


def gives_way(seen: Succession, revision: RevisionRecord) -> bool:
    """Say whether a live revision, other than the current one, has to go.

    Beside the one that serves only what is pinned stays. The one that serves goes once the current one is
    live, pinned or not: so the current one takes its task over, and a pin brings it back.
    """
    if revision.revision != seen.record.live:
        return revision.revision not in seen.pins
    current = seen.record.revisions.get(seen.current)
    return current is not None and current.state is State.LIVE


def brought_back(seen: Succession) -> tuple[RevisionRecord, Verdict] | None:
    """Find a pinned revision that was replaced, and that can be live again beside the one that serves."""
    if seen.record.live is None:
        return None
    for revision in replaced(seen.record):
        if revision.revision not in seen.pins or revision.revision == seen.current:
            continue
        checks = (within_window(seen, revision), free_slot(seen))
        if all(check.outcome is Outcome.PASS for check in checks):
            message = f"lifecycle.pinned names it: {revision.served_name} answers who asks for it by name."
            edge = transition(Action.RESTORE, State.RETIRED, State.LIVE)
            return revision, Verdict(edge, Outcome.PASS, Reason.PINNED, message, checks)
    return None


def missing(seen: Succession) -> tuple[str, ...]:
    """Say of each pinned revision that is not live why it is not."""
    return tuple(found for pin in seen.pins if (found := _why(seen, pin)))


def _why(seen: Succession, pin: str) -> str:
    known = seen.record.revisions.get(pin)
    if known is None:
        return f"{pin}: {seen.record.name} has no such revision"
    if known.state is State.LIVE:
        return ""
    if known not in replaced(seen.record):
        return f"{pin}: it is {known.state}"
    checks = (within_window(seen, known), free_slot(seen))
    refused = next((check.message for check in checks if check.outcome is not Outcome.PASS), "")
    return f"{pin}: it is Retired. {refused}".rstrip()


def replaced(record: SpecialistRecord) -> tuple[RevisionRecord, ...]:
    """List what was live until a newer revision was, oldest first."""
    retired = record.in_state(State.RETIRED)
    return tuple(r for r in retired if r.previous is State.LIVE and r.retired_for == Reason.SUPERSEDED)


def within_window(seen: Succession | Rollback, revision: RevisionRecord) -> Check:
    """Check that a retired revision can still be restored."""
    end = expiry(revision, seen.undo_window)
    open_ = seen.now < end
    return Check(
        CheckName.UNDO,
        Outcome.PASS if open_ else Outcome.FAIL,
        observed=clock(seen.now),
        limit=f"until {clock(end)}",
        message=f"The undo window is {'open until' if open_ else 'closed since'} {clock(end)}.",
    )


def free_slot(seen: Succession | Rollback) -> Check:
    """Check that the engines have a slot for one more adapter."""
    return Check(
        CheckName.CAPACITY,
        Outcome.PASS if seen.taken < seen.slots else Outcome.FAIL,
        observed=f"{seen.taken} taken",
        limit=f"{seen.slots} slots",
        message=f"{seen.taken} of {seen.slots} adapter slots are taken.",
    )
