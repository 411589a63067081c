"""Retirement: out of service, an undo window, then deletion; and the way back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .approval import given
from .capacity import check_capacity
from .facts import Situation, Verdict, Wait
from .lifecycle import CAUSES, RESIDENT, TRANSITIONS
from .undo import expiry, within_window
from .unviable import Finding, finding
from .verdict import clock, due, reason_of, span

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
    gone = due(situation, Action.RETIRE, State.RETIRED, Reason.RETIREMENT_REQUESTED, message)
    return replace(gone, actor=given(situation.acceptance, situation))


def retire_by_evidence(situation: Situation) -> Verdict | None:
    """Say what is due for a live revision by what it is worth; None where that is nothing.

    The cause is recorded when it is first seen, and again when it is gone. Retired is what a person accepts
    or, by retirement.mode Automatic, what had a cause for the whole grace.
    """
    found = finding(situation)
    if found is None or found.check.outcome is Outcome.INCONCLUSIVE:
        return None
    recorded = situation.record.reason
    if found.reason is None:
        if recorded not in CAUSES:
            return None
        message = f"It stays: the cause {recorded} is gone. {found.check.message}"
        return due(situation, Action.HOLD, State.LIVE, Reason.STILL_VIABLE, message, checks=(found.check,))
    if recorded != found.reason:
        message = f"Its retirement is proposed. {found.check.message} {_next(situation)}"
        return due(
            situation,
            Action.HOLD,
            State.LIVE,
            found.reason,
            message,
            outcome=Outcome.FAIL,
            checks=(found.check,),
        )
    return _accepted(situation, found, found.reason)


def proposed(situation: Situation) -> Reason | None:
    """Name the cause for which the retirement of a live revision is proposed; None where it is not."""
    record = situation.record
    return reason_of(record.reason) if record.state is State.LIVE and record.reason in CAUSES else None


def goes_at(situation: Situation) -> datetime | None:
    """Say when the operator retires a live revision by itself; None where it does not."""
    policy = situation.policy
    if proposed(situation) is None or not policy.automatic_retirement:
        return None
    end = situation.record.since + policy.retirement_grace
    return end if end > situation.now else None  # it is over, but the cause cannot be told just now


def _next(situation: Situation) -> str:
    policy, name = situation.policy, situation.claim.specialist
    accept = f"Accept it by: kubectl ecology retire {name}."
    if not policy.automatic_retirement:
        return accept
    return f"It goes if the cause holds for {span(policy.retirement_grace)}. {accept}"


def _accepted(situation: Situation, found: Finding, cause: Reason) -> Verdict | None:
    policy, since, word = situation.policy, situation.record.since, given(situation.acceptance, situation)
    if word:
        message = f"{word} accepted its retirement. {found.check.message}"
    elif policy.automatic_retirement and situation.now >= since + policy.retirement_grace:
        message = f"The cause has held since {clock(since)}. {found.check.message}"
    else:
        return None
    end = clock(situation.now + policy.undo_window)
    message = f"{message} It is unloaded and archived; it can be taken back until {end}."
    gone = due(
        situation,
        Action.RETIRE,
        State.RETIRED,
        cause,
        message,
        outcome=Outcome.FAIL,
        checks=(found.check,),
    )
    return replace(gone, actor=word)


def decide_retired(situation: Situation) -> Verdict | Wait:
    """Restore what is wanted again, delete what nobody took back, else wait for the window's end."""
    record, claim = situation.record, situation.claim
    end = expiry(record, situation.policy.undo_window)
    open_ = situation.now < end
    # Straight back to service only for what left it in good standing, and only where live is what is asked.
    served = record.was_live and record.previous in (None, State.LIVE)
    if wanted_again(situation):
        if not served or claim.wanted is not Target.LIVE:
            message = f"{_wish(situation)}. It must earn its place."
            again = due(situation, Action.RESTORE, State.PENDING, Reason.RESTORED, message)
            return replace(again, actor=_undone_by(situation))
        if open_:
            return _restore(situation)
    if not open_:
        window = span(situation.policy.undo_window)
        message = f"The undo window of {window} closed at {clock(end)}; its files are deleted."
        return due(situation, Action.DELETE, State.DELETED, Reason.UNDO_WINDOW_CLOSED, message)
    if record.retired_for in CAUSES:
        undo = f"kubectl ecology undo {claim.specialist}"
        message = f"It was retired: {record.retired_for}. Until {clock(end)} it can be taken back: {undo}."
        return Wait(Reason.RETIRED, message, until=end)
    return Wait(Reason.RETIRED, f"It is retired and can be restored until {clock(end)}.", until=end)


def decide_deleted(situation: Situation) -> Verdict | Wait:
    """A deleted revision that is wanted again starts from the beginning."""
    if not wanted_again(situation):
        return Wait(Reason.RETIRED, "It is retired and its files are deleted.")
    message = f"{_wish(situation)}. Its files are deleted, so it starts again."
    again = due(situation, Action.RESTORE, State.PENDING, Reason.RESTORED, message)
    return replace(again, actor=_undone_by(situation))


def wanted_again(situation: Situation) -> bool:
    """Whether the spec asks for this very revision, and not for its retirement or for another revision.

    What evidence has retired the spec has asked for all along: only a person's word brings it back.
    """
    claim = situation.claim
    if claim.wanted is Target.RETIRED or claim.revision != situation.record.revision:
        return False
    return situation.record.retired_for not in CAUSES or bool(_undone_by(situation))


def _undone_by(situation: Situation) -> str:
    return given(situation.undoing, situation)


def _wish(situation: Situation) -> str:
    by = _undone_by(situation)
    return f"{by} took its retirement back" if by else f"lifecycle.target is {situation.claim.wanted}"


def _restore(situation: Situation) -> Verdict | Wait:
    record, window = situation.record, situation.policy.undo_window
    # What this specialist serves now leaves when this revision is back, so its place is free.
    leaving = situation.leaves is not None
    staying = tuple(m for m in situation.members if m.served_name != situation.leaves)
    capacity = check_capacity(replace(situation, residents=situation.residents - leaving, members=staying))
    undo = within_window(record, situation.now, window)
    checks = (undo, capacity)
    if capacity.outcome is not Outcome.PASS:
        message = f"{capacity.message} {Reason.CAPACITY_FULL.remedy} {undo.message}"
        return Wait(Reason.CAPACITY_FULL, message, until=expiry(record, window), checks=checks)
    message = "It was taken back within its undo window and is live again, with the same weights."
    back = due(situation, Action.RESTORE, State.LIVE, Reason.RESTORED, message, checks=checks)
    return replace(back, actor=_undone_by(situation))
