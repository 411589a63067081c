"""The one entry to the rules: a situation in, a verdict or a reason to wait out. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, State, Target

from .approval import given
from .canary import decide_canary
from .facts import Situation, Verdict, Wait
from .judgement import decide_evaluating
from .promotion import decide_shadow
from .proposal import decide_pending
from .residence import decide_live
from .retirement import RETIRABLE, decide_deleted, decide_retired, retire
from .verdict import changed_premises, due, incumbent_changed, reason_of
from .work import decide_training


def decide(situation: Situation) -> Verdict | Wait:
    """Say which transition is due for one revision, or what is waited for."""
    if situation.claim.wanted is Target.RETIRED and situation.record.state in RETIRABLE:
        return retire(situation)
    return BY_STATE[situation.record.state](situation)


def decide_sticky(situation: Situation) -> Verdict | Wait:
    """Rejected and Shelved stay, until policy or suite, and for Shelved the incumbent, is another one."""
    changed = changed_premises(situation)
    if situation.record.state is State.SHELVED and incumbent_changed(situation):
        changed = (*changed, "incumbent")
    if not changed:
        return decide_stopped(situation)
    names = " and the ".join(changed)
    message = f"The {names} changed since it was {situation.record.state}; the verdict is taken again."
    return due(situation, Action.RECONSIDER, State.EVALUATING, Reason.PREMISES_CHANGED, message)


def decide_quarantined(situation: Situation) -> Verdict | Wait:
    """Wait for a person; one that is let out is evaluated again, and nothing of it is forgotten."""
    by = given(situation.release, situation)
    if not by:
        return decide_stopped(situation)
    message = f"{by} let it out of quarantine. It must earn its place again."
    out = due(situation, Action.RELEASE, State.EVALUATING, Reason.RELEASED, message)
    return replace(out, actor=by)


def decide_stopped(situation: Situation) -> Verdict | Wait:
    """Wait for a person, or for other premises, with the reason of the verdict that led here."""
    record = situation.record
    reason = reason_of(record.reason)
    return Wait(reason, f"It is {record.state}: {record.reason}. {reason.remedy}")


BY_STATE: Mapping[State, Callable[[Situation], Verdict | Wait]] = MappingProxyType(
    {
        State.PENDING: decide_pending,
        State.TRAINING: decide_training,
        State.EVALUATING: decide_evaluating,
        State.SHADOW: decide_shadow,
        State.CANARY: decide_canary,
        State.LIVE: decide_live,
        State.RETIRED: decide_retired,
        State.REJECTED: decide_sticky,
        State.SHELVED: decide_sticky,
        State.QUARANTINED: decide_quarantined,
        State.FAILED: decide_stopped,
        State.DELETED: decide_deleted,
    }
)
