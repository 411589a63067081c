"""Pinned revisions: what a newer one has replaced and users may ask for by name all the same.

Such a revision is live beside the one that serves its task. It has its place on the engines at its owner's
wish, so it is not tested for what it is worth, and it makes nobody else superfluous. When engines answer with
other weights, or a person says so, it goes as any other does.
"""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .capacity import MIB, free_slot
from .facts import Check, RevisionRecord, Verdict
from .lifecycle import UNDECIDED, CheckName, transition
from .log import SpecialistRecord
from .situations import Pin, Succession
from .undo import expiry, within_window

_OWNERS = (Reason.SUPERSEDED, Reason.RETIREMENT_REQUESTED)
"""Retirements that the owner's own spec has caused, so the owner may take them back."""


def beside(record: SpecialistRecord) -> tuple[RevisionRecord, ...]:
    """List the live revisions of a Specialist that are not the one that serves."""
    return tuple(r for r in record.in_state(State.LIVE) if r.revision != record.live)


def is_pinned(seen: Succession, revision: RevisionRecord) -> bool:
    """Say whether the owner pins a revision."""
    return any(pin.revision == revision.revision for pin in seen.pins)


def takes_over(seen: Succession) -> tuple[RevisionRecord, Verdict] | None:
    """Let the revision that the spec asks for serve, where it stands beside another one, or alone."""
    current = seen.record.revisions.get(seen.current)
    if current is None or current not in beside(seen.record) or seen.wanted is not Target.LIVE:
        return None
    message = f"The spec asks for {current.served_name}, which is live already: its task's requests go to it."
    edge = transition(Action.RESTORE, State.LIVE, State.LIVE)
    return current, Verdict(edge, Outcome.PASS, Reason.RESTORED, message)


def brought_back(seen: Succession) -> tuple[RevisionRecord, Verdict] | None:
    """Find a pinned revision that was live until its owner's spec took it out, and can be so again.

    What the spec asks for comes first: while that one is to come back, no pin takes its place.
    """
    current = seen.record.revisions.get(seen.current)
    if seen.wanted is Target.LIVE and current is not None and _can_return(current):
        return None
    for pin in seen.pins:
        revision = seen.record.revisions.get(pin.revision)
        if revision is None or pin.revision == seen.current or not _can_return(revision):
            continue
        checks = _checks(seen, pin, revision)
        if all(check.outcome is Outcome.PASS for check in checks):
            name = revision.served_name
            message = f"lifecycle.pinned names it: {name} answers who asks for it by that name."
            edge = transition(Action.RESTORE, State.RETIRED, State.LIVE)
            return revision, Verdict(edge, Outcome.PASS, Reason.PINNED, message, checks)
    return None


def waits(seen: Succession) -> bool:
    """Say whether a pinned revision could come back, if there were a place for it."""
    known = (seen.record.revisions.get(pin.revision) for pin in seen.pins)
    return any(r is not None and _can_return(r) and seen.now < expiry(r, seen.undo_window) for r in known)


def missing(seen: Succession) -> tuple[str, ...]:
    """Say of each pinned revision that is neither live nor on its way why it is not."""
    return tuple(found for pin in seen.pins if (found := _why(seen, pin)))


def _why(seen: Succession, pin: Pin) -> str:
    known = seen.record.revisions.get(pin.revision)
    if pin.revision == seen.current and (known is None or known.state in UNDECIDED):
        return ""
    if known is None:
        return f"{pin.revision}: {seen.record.name} has no such revision"
    if known.state is State.LIVE:
        return ""
    if not _can_return(known):
        return f"{pin.revision}: it is {known.state}, {known.reason}"
    checks = _checks(seen, pin, known)
    refused = next((check.message for check in checks if check.outcome is not Outcome.PASS), "")
    return f"{pin.revision}: it is {known.state}. {refused}".rstrip()


def _can_return(record: RevisionRecord) -> bool:
    retired = record.state is State.RETIRED and record.previous is State.LIVE
    return retired and record.retired_for in _OWNERS


def _checks(seen: Succession, pin: Pin, revision: RevisionRecord) -> tuple[Check, ...]:
    return within_window(revision, seen.now, seen.undo_window), _place(seen, pin)


def _place(seen: Succession, pin: Pin) -> Check:
    """Check that there is a slot, and memory where that is limited."""
    found = free_slot(seen.taken, seen.slots)
    if seen.memory is None or found.outcome is not Outcome.PASS:
        return found
    limit = f"{seen.memory / MIB:.0f} MiB"
    if pin.resident_bytes is None:
        message = "The store cannot say now how large it is."
        return Check(CheckName.CAPACITY, Outcome.FAIL, observed="not known", limit=limit, message=message)
    needed = seen.taken_bytes + pin.resident_bytes
    return Check(
        CheckName.CAPACITY,
        Outcome.PASS if needed <= seen.memory else Outcome.FAIL,
        observed=f"{seen.taken} taken, {needed / MIB:.0f} MiB needed",
        limit=f"{seen.slots} slots, {limit}",
        message=f"{found.message} With it the adapters take {needed / MIB:.0f} of {limit}.",
    )
