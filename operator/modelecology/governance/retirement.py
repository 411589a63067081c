"""Retirement: out of service, an undo window, then deletion; and the way back."""

from __future__ import annotations

from dataclasses import replace

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .facts import Check, Situation, Verdict, Wait
from .judgement import check_capacity
from .lifecycle import RESIDENT, TRANSITIONS, CheckName
from .verdict import clock, due, span

RETIRABLE = frozenset(t.source for t in TRANSITIONS if t.action is Action.RETIRE)


def retire(situation: Situation) -> Verdict:
    """Take a revision out because its owner asks for it."""
    state, window = situation.record.state, situation.policy.undo_window
    if state in RESIDENT:
        end = clock(situation.now + window)
        message = f"lifecycle.target is Retired. It is unloaded and archived; it can be restored until {end}."
    else:
        kept = f"its files are kept for {span(window)}"
        message = f"lifecycle.target is Retired. It was {state} and served nobody; {kept}."
    return due(situation, Action.RETIRE, State.RETIRED, Reason.RETIREMENT_REQUESTED, message)


def decide_retired(situation: Situation) -> Verdict | Wait:
    """Restore what is wanted again, delete what nobody took back, else wait for the window's end."""
    record, claim = situation.record, situation.claim
    end = record.entered + situation.policy.undo_window
    open_ = situation.now <= end
    # Straight back to service only for what left it in good standing, and only where live is what is asked.
    served = record.was_live and record.previous in (None, State.LIVE)
    if wanted_again(situation):
        if not served or claim.wanted is not Target.LIVE:
            message = f"lifecycle.target is {claim.wanted}. It must earn its place."
            return due(situation, Action.RESTORE, State.PENDING, Reason.RESTORED, message)
        if open_:
            return _restore(situation)
    if not open_:
        window = span(situation.policy.undo_window)
        message = f"The undo window of {window} closed at {clock(end)}; its files are deleted."
        return due(situation, Action.DELETE, State.DELETED, Reason.UNDO_WINDOW_CLOSED, message)
    return Wait(Reason.RETIRED, f"It is retired and can be restored until {clock(end)}.", until=end)


def decide_deleted(situation: Situation) -> Verdict | Wait:
    """A deleted revision that is wanted again starts from the beginning."""
    if not wanted_again(situation):
        return Wait(Reason.RETIRED, "It is retired and its files are deleted.")
    message = f"lifecycle.target is {situation.claim.wanted}. Its files are deleted, so it starts again."
    return due(situation, Action.RESTORE, State.PENDING, Reason.RESTORED, message)


def wanted_again(situation: Situation) -> bool:
    """Whether the spec asks for this very revision, and not for its retirement or for another revision."""
    claim = situation.claim
    return claim.wanted is not Target.RETIRED and claim.revision == situation.record.revision


def _restore(situation: Situation) -> Verdict | Wait:
    end = clock(situation.record.entered + situation.policy.undo_window)
    # What this specialist serves now leaves when this revision is back, so its place is free.
    leaving = situation.replaces is not None
    capacity = check_capacity(replace(situation, residents=situation.residents - leaving))
    undo = Check(
        CheckName.UNDO,
        Outcome.PASS,
        observed=clock(situation.now),
        limit=f"until {end}",
        message=f"The undo window is open until {end}.",
    )
    checks = (undo, capacity)
    if capacity.outcome is not Outcome.PASS:
        message = f"{capacity.message} {Reason.CAPACITY_FULL.remedy} {undo.message}"
        return Wait(
            Reason.CAPACITY_FULL,
            message,
            until=situation.record.entered + situation.policy.undo_window,
            checks=checks,
        )
    message = "It was taken back within its undo window and is live again, with the same weights."
    return due(situation, Action.RESTORE, State.LIVE, Reason.RESTORED, message, checks=checks)
