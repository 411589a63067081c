"""Shadow: does the endpoint serve what was evaluated, and does the gain hold there, with today's members?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .approval import awaiting, check_approval
from .courses import gain_margin
from .evidence import Difference, EvidenceError, difference
from .facts import Check, Cost, Results, Situation, Verdict, Wait
from .invariants import summary
from .judge import check_shadow_gain
from .lifecycle import PASSING, CheckName
from .limits import check_latency
from .live import NOTHING
from .residence import check_fingerprint, settle
from .verdict import (
    changed_proof,
    claimed_task,
    clip,
    concluded,
    confidently,
    due,
    named,
    span,
    task_missing,
)
from .work import at_work

TOLERANCE = 1e-6  # of a margin


def decide_shadow(situation: Situation) -> Verdict | Wait:
    """Promote, reject, shelve or quarantine the candidate, or wait for its served score or for a person."""
    if claimed_task(situation) is None:
        return task_missing(situation)
    proved = settle(situation)
    if isinstance(proved, Verdict):
        return proved
    changed = changed_proof(situation)
    if changed:
        # Its gain and its invariants were proven against something else, and here nobody proves them again.
        message = f"The {changed} changed while it was in shadow; the verdict that led here is taken again."
        return due(situation, Action.RECONSIDER, State.EVALUATING, Reason.PREMISES_CHANGED, message)
    if isinstance(proved, Wait):
        return _unproved(situation, proved)
    evidence = situation.evidence
    if evidence.shadow is None or evidence.shadow_incumbent is None:
        return _unscored(situation, proved)
    return _judge(situation, proved)


def compare(candidate: Results | None, incumbent: Results | None, confidence: float) -> Difference | str:
    """Compare, or say in words why the evidence cannot be compared."""
    if candidate is None or incumbent is None:
        return "The results are not there."
    try:
        return difference(candidate, incumbent, confidence)
    except EvidenceError as error:
        return str(error)


def check_scored(situation: Situation) -> Check:
    """Check that enough answers were scored through the endpoint."""
    shadow, task, asked = situation.evidence.shadow, situation.claim.task, situation.policy.minimum_scored
    scored = len(shadow.items) if shadow is not None else 0
    if scored >= asked:
        outcome, message = (
            Outcome.PASS,
            f"{scored} answers were scored through the endpoint; {asked} are asked.",
        )
    elif shadow is None:
        outcome, message = Outcome.INCONCLUSIVE, "No answer was scored through the endpoint."
    else:
        split = shadow.expected if shadow.expected is not None else scored
        outcome = Outcome.INCONCLUSIVE
        message = (
            f"{scored} answers were scored through the endpoint; policy.shadow.minimumScored asks for "
            f"{asked}, and the suite's shadow split of {task} has {split} items. "
            "Give the suite more items, or lower minimumScored."
        )
    return Check(CheckName.SCORED, outcome, str(scored), f"at least {asked}", n=scored, message=message)


def check_served_gain(situation: Situation, found: Difference | str) -> Check:
    """Check that through the endpoint the candidate is better than the incumbent."""
    limit = "more than 0"
    if isinstance(found, str):
        outcome = Outcome.INCONCLUSIVE if situation.evidence.shadow is None else Outcome.ERROR
        return Check(CheckName.SERVED_GAIN, outcome, "no comparison", limit, message=found)
    if found.interval.low > 0:
        outcome = Outcome.PASS
    elif found.interval.high <= 0:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.INCONCLUSIVE
    shadow, incumbent = situation.evidence.shadow, situation.evidence.shadow_incumbent
    ours, theirs = (results.mean if results is not None else 0.0 for results in (shadow, incumbent))
    who = named(incumbent.model) if incumbent is not None else "the route of today"
    message = (
        f"{situation.claim.task}, through the endpoint: {ours:.2f} against {who}'s {theirs:.2f}, "
        f"{found.mean:+.2f}, between {found.interval.low:+.2f} and {found.interval.high:+.2f} "
        f"{confidently(situation)}; {found.n} items."
    )
    return Check(
        CheckName.SERVED_GAIN, outcome, f"{found.mean:+.2f}", limit, found.interval, found.n, message
    )


def _as_proven(situation: Situation) -> Situation:
    """Price the candidate's answers like the incumbent's, as it was done when the margin was proven."""
    standing = situation.standing
    return situation if standing is None else replace(situation, standing=replace(standing, candidate=None))


def check_still_repays(situation: Situation) -> Check:
    """Check that the gain that was proven still repays, with the members, prices and traffic of today."""
    proven = situation.record.proven
    least = proven.margin if proven is not None else -1.0
    try:
        margin = gain_margin(_as_proven(situation))
    except EvidenceError as error:
        return Check(
            CheckName.GAIN, Outcome.ERROR, "no margin", f"more than {least:+.3f}", message=str(error)
        )
    # The margin was solved for from the same line, so equal premises give equal margins but for rounding.
    outcome = Outcome.PASS if margin <= least + TOLERANCE else Outcome.INCONCLUSIVE
    message = (
        f"{situation.claim.task}: a gain of more than {least:+.3f} was proven; today {margin:+.3f} repays."
    )
    return Check(
        CheckName.GAIN, outcome, f"more than {least:+.3f}", f"more than {margin:+.3f}", message=message
    )


def _end_of_shadow(situation: Situation) -> datetime:
    # Retries do not move it, whatever caused them: a shadow holds an adapter slot, and must end.
    return situation.record.entered + situation.policy.shadow_maximum


def _has_done_its_part(situation: Situation) -> bool:
    """Whether it is scored, and only people or live requests keep it in shadow: its time does not run out."""
    policy = situation.policy
    unhurried = policy.live_shadow is not None and not policy.live_shadow.reject_late
    held = situation.claim.wanted is Target.SHADOW or policy.manual or unhurried
    return held and situation.evidence.shadow is not None


def _unproved(situation: Situation, waiting: Wait) -> Verdict | Wait:
    """Wait for the proof until the time in shadow is over."""
    if _has_done_its_part(situation) or situation.now <= _end_of_shadow(situation):
        return waiting
    most = span(situation.policy.shadow_maximum)
    return _shelve_late(
        situation,
        check_fingerprint(situation.residency),
        f"Insufficient evidence: not every replica was proved within {most}. {waiting.message}",
    )


def _unscored(situation: Situation, proved: Check) -> Verdict | Wait:
    until, done = _end_of_shadow(situation), _has_done_its_part(situation)
    task = situation.claim.task
    waiting = Wait(Reason.SHADOWING, f"{task} is scored through the endpoint.", None if done else until)
    said = at_work(situation, waiting)
    if done or situation.now <= until:
        return said
    most, failure = span(situation.policy.shadow_maximum), situation.failure
    message = f"Insufficient evidence: no score through the endpoint within {most}."
    if failure is None or isinstance(said, Wait):
        return _shelve_late(situation, proved, message)
    # Only a cause outside the job is tried again without end; any other failure ends by itself, in its words.
    if said.reason not in PASSING:
        return said
    return _shelve_late(situation, proved, f"{message} {failure.reason}: {failure.message}", failure.cost)


def _shelve_late(situation: Situation, proved: Check, message: str, lost: Cost | None = None) -> Verdict:
    """Shelve a candidate whose time is over, and charge what its last try has lost."""
    reason = Reason.INSUFFICIENT_EVIDENCE
    ended = concluded(
        situation, _chain(situation, proved), Action.SHELVE, State.SHELVED, reason, clip(message)
    )
    return replace(ended, cost=ended.cost + lost) if lost else ended


def _chain(situation: Situation, proved: Check) -> tuple[Check, ...]:
    evidence, policy = situation.evidence, situation.policy
    latency = check_latency(policy.limits, evidence.shadow, policy.confidence)
    limits = (latency,) if latency is not None else ()
    return (
        proved,
        check_scored(situation),
        summary(limits, none="policy.limits sets no latency; the skills were proven before."),
        *limits,
        check_served_gain(situation, compare(evidence.shadow, evidence.shadow_incumbent, policy.confidence)),
        check_still_repays(situation),
        *_live_chain(situation),
    )


def _live_chain(situation: Situation) -> tuple[Check, ...]:
    rules = situation.policy.live_shadow
    if rules is None:
        return ()
    confidence = situation.policy.confidence
    return (check_shadow_gain(situation.evidence.live or NOTHING, rules, confidence),)


def _judge(situation: Situation, proved: Check) -> Verdict | Wait:
    checks = _chain(situation, proved)
    by_name = {check.name: check for check in checks}
    scored, limits = by_name[CheckName.SCORED], by_name[CheckName.INVARIANTS]
    served, gain = by_name[CheckName.SERVED_GAIN], by_name[CheckName.GAIN]
    shadow = situation.evidence.shadow
    answered = shadow is not None and bool(shadow.items)
    broken = next((c for c in (gain, served) if c.outcome is Outcome.ERROR and (c is gain or answered)), None)
    if broken is not None:
        reason = Reason.EVIDENCE_ERROR
        return concluded(situation, checks, Action.FAIL, State.FAILED, reason, broken.message, Outcome.ERROR)
    if limits.outcome is Outcome.ERROR:
        reason = Reason.EVIDENCE_ERROR
        return concluded(situation, checks, Action.FAIL, State.FAILED, reason, limits.message, Outcome.ERROR)
    if limits.outcome is Outcome.FAIL:
        message = f"Hard invariant failure. {limits.message}"
        reason = Reason.HARD_INVARIANT_FAILURE
        return concluded(situation, checks, Action.REJECT, State.REJECTED, reason, message, Outcome.FAIL)
    if scored.outcome is not Outcome.PASS:
        message = f"Insufficient evidence through the endpoint. {scored.message}"
        return concluded(
            situation, checks, Action.SHELVE, State.SHELVED, Reason.INSUFFICIENT_EVIDENCE, message
        )
    if served.outcome is Outcome.FAIL:
        message = f"No better through the endpoint. {served.message}"
        return concluded(
            situation,
            checks,
            Action.REJECT,
            State.REJECTED,
            Reason.SERVED_SCORE_REFUTED,
            message,
            Outcome.FAIL,
        )
    unproven = next((c for c in (limits, served) if c.outcome is not Outcome.PASS), None)
    if unproven is not None:
        message = f"Insufficient evidence through the endpoint. {unproven.message}"
        return concluded(
            situation, checks, Action.SHELVE, State.SHELVED, Reason.INSUFFICIENT_EVIDENCE, message
        )
    if gain.outcome is not Outcome.PASS:
        message = f"The portfolio's gain does not repay its cost. {gain.message}"
        return concluded(
            situation, checks, Action.SHELVE, State.SHELVED, Reason.GAIN_DOES_NOT_REPAY, message, gain.outcome
        )
    live = by_name.get(CheckName.LIVE_GAIN)
    if live is not None and live.outcome is not Outcome.PASS:
        return _live_unproven(situation, checks, live)
    if situation.claim.wanted is Target.SHADOW:
        message = f"It would go live; lifecycle.target holds it in shadow. {served.message}"
        return Wait(Reason.SHADOW_HELD, message, checks=checks)
    shown = f"{served.message} {gain.message}" + (f" {live.message}" if live is not None else "")
    if not situation.policy.manual:
        return _promote(situation, checks, shown)
    approved = check_approval(situation)
    if approved.outcome is not Outcome.PASS:
        return awaiting(situation, (*checks, approved), shown)
    promoted = _promote(situation, (*checks, approved), f"{approved.message} {shown}")
    return replace(promoted, actor=approved.observed)


def _live_unproven(situation: Situation, checks: tuple[Check, ...], live: Check) -> Verdict | Wait:
    """Reject what live requests refute; else let them go on, or end it where its time is over."""
    if live.outcome is Outcome.FAIL:
        reason = Reason.LIVE_SCORE_REFUTED
        return concluded(situation, checks, Action.REJECT, State.REJECTED, reason, live.message, Outcome.FAIL)
    if live.outcome is Outcome.ERROR:
        reason = Reason.EVIDENCE_ERROR
        return concluded(situation, checks, Action.FAIL, State.FAILED, reason, live.message, Outcome.ERROR)
    rules, most = situation.policy.live_shadow, span(situation.policy.shadow_maximum)
    if rules is not None and rules.reject_late and situation.now > _end_of_shadow(situation):
        message = f"Insufficient evidence on live requests within {most}. {live.message}"
        return concluded(
            situation, checks, Action.SHELVE, State.SHELVED, Reason.INSUFFICIENT_EVIDENCE, message
        )
    return Wait(Reason.LIVE_SCORING, live.message, checks=checks)


def _promote(situation: Situation, checks: tuple[Check, ...], message: str) -> Verdict:
    """Give it all users, or where the policy has steps, the first part of them."""
    reason, canary = Reason.SERVED_SCORE_CONFIRMED, situation.policy.canary
    if canary is None:
        return concluded(situation, checks, Action.PROMOTE, State.LIVE, reason, message, Outcome.PASS)
    message = f"{canary.steps[0].percent} % of the users come first. {message}"
    return concluded(situation, checks, Action.START_CANARY, State.CANARY, reason, message, Outcome.PASS)
