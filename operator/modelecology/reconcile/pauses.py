"""How long a Specialist is left alone, by what it waits for."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, State
from modelecology.governance.facts import RevisionRecord, Verdict, Wait
from modelecology.governance.lifecycle import STOPPED, WORKING

from .act import seconds_until
from .status import PROGRESS_SECONDS
from .trouble import ENVIRONMENT

WAIT_SECONDS = 30.0
ENVIRONMENT_SECONDS = 3.0
LONGEST_SECONDS = 3600.0
MOMENT_SECONDS = 2.0
RECORDS_SECONDS = 5.0
SETTLED = (Reason.SERVING, Reason.RETIRED, Reason.SHADOW_HELD, Reason.AWAITING_APPROVAL)


def stands_alone(state: State, verdict: Verdict | Wait) -> bool:
    """Say whether a verdict needs neither runner nor store: people and engines have the say in it."""
    if state is State.LIVE or state in STOPPED:
        return True
    return isinstance(verdict, Verdict) and verdict.transition.action in (Action.RETIRE, Action.QUARANTINE)


def may_run(wait: Wait) -> bool:
    """Say whether what is waited for is a job, which has to run for that."""
    return wait.reason in (Reason.TRAINING, Reason.IMPORTING, Reason.EVALUATING, Reason.SHADOWING)


def is_passing(wait: Wait, revision: RevisionRecord, now: datetime) -> bool:
    """Say whether a wait is likely to be over before anybody has read of it.

    An engine mostly takes a moment to load and prove, or to let go. A status that says no more than that
    would be one more write for each transition.
    """
    moment = (now - revision.entered).total_seconds() < MOMENT_SECONDS
    return moment and wait.reason in (Reason.PROVING, Reason.UNLOADING)


def pause(wait: Wait, revision: RevisionRecord, now: datetime, *, watched: bool = False) -> float:
    """Say when to look again at the latest, in seconds; `watched` is whose users' answers are limited."""
    longest = _pause(wait, revision, now)
    return min(longest, RECORDS_SECONDS) if watched else longest


def _pause(wait: Wait, revision: RevisionRecord, now: datetime) -> float:
    if wait.reason in ENVIRONMENT:
        return ENVIRONMENT_SECONDS
    if revision.state is State.CANARY or wait.reason is Reason.LIVE_SCORING:
        return RECORDS_SECONDS
    if wait.until is not None:
        until = min(seconds_until(wait.until, now, WAIT_SECONDS), LONGEST_SECONDS)
        # A job that runs is looked at for its progress, whatever is waited for.
        return min(until, PROGRESS_SECONDS) if may_run(wait) else until
    if wait.reason in SETTLED:
        return LONGEST_SECONDS
    return float(PROGRESS_SECONDS) if revision.state in WORKING else WAIT_SECONDS
