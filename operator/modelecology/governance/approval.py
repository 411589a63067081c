"""The words of people; that of promotion.mode Manual adds to the evidence and overrides none of it."""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import APPROVE_ANNOTATION, Outcome

from .facts import Approval, Check, Situation, Wait
from .lifecycle import CheckName
from .verdict import clip


def given(word: Approval | None, situation: Situation) -> str:
    """Say who gave their word for this very revision, and not for something that is done already."""
    if word is None or word.used or word.revision != situation.record.revision:
        return ""
    return word.by


def check_approval(situation: Situation) -> Check:
    """Check that a person has approved this very revision, and not for an earlier promotion of it."""
    approval, revision = situation.approval, situation.record.revision
    outcome, observed = Outcome.INCONCLUSIVE, "not given"
    if approval is None:
        message = f"Nobody has approved revision {revision} yet."
    elif not approval.revision:
        observed = "not readable"
        message = f"{APPROVE_ANNOTATION} takes <revision>/<actor>@<time>, not {approval.by!r}."
    elif approval.revision != revision:
        observed = f"revision {approval.revision}"
        message = f"{approval.by} approved revision {approval.revision}, which says nothing of this one."
    elif approval.used:
        observed = "used before"
        message = f"The approval of {approval.by} was for an earlier promotion."
    else:
        outcome, observed = Outcome.PASS, approval.by
        message = f"{approval.by} approved revision {revision}."
    return Check(CheckName.APPROVED, outcome, observed, f"revision {revision} approved", message=message)


def awaiting(situation: Situation, checks: tuple[Check, ...], shown: str) -> Wait:
    """Wait for a person; the last of the checks is that of the approval."""
    remedy = Reason.AWAITING_APPROVAL.remedy.replace("NAME", situation.claim.specialist)
    told = f"{checks[-1].message} " if situation.approval is not None else ""
    message = f"Revision {situation.record.revision} passed every check. {remedy} {told}{shown}"
    return Wait(Reason.AWAITING_APPROVAL, clip(message), checks=checks)
