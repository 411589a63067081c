"""Canary: it answers a part of the users, step by step, for as long as what they get bears it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .approval import awaiting, check_approval, given
from .facts import Check, Situation, Verdict, Wait
from .lifecycle import CheckName
from .live import NOTHING, check_errors, check_live_gain, check_live_latency
from .residence import check_fingerprint, settle
from .rules import Canary, CanaryStep
from .verdict import changed_proof, claimed_task, concluded, due, span, task_missing


def decide_canary(situation: Situation) -> Verdict | Wait:
    """Go on with the next step, go live, go back, or wait for what users get, for time or for a person."""
    proved = settle(situation)
    if isinstance(proved, Verdict):
        return proved
    if claimed_task(situation) is None:
        return task_missing(situation)
    changed = changed_proof(situation)
    if changed:
        message = f"The {changed} changed while it was a canary; the verdict that led here is taken again."
        return due(situation, Action.RECONSIDER, State.EVALUATING, Reason.PREMISES_CHANGED, message)
    rules = situation.policy.canary
    if situation.claim.wanted is Target.SHADOW or rules is None:
        message = (
            "lifecycle.target holds it in shadow." if rules else "policy.promotion has no steps any more."
        )
        return due(situation, Action.HOLD, State.SHADOW, Reason.SHADOW_HELD, message)
    return _judge(situation, rules, proved)


def step_of(rules: Canary, step: int) -> CanaryStep:
    """Give the step that a canary is in; the last one where the policy has fewer by now."""
    return rules.steps[min(step, len(rules.steps) - 1)]


def _judge(situation: Situation, rules: Canary, proved: Check | Wait) -> Verdict | Wait:
    checks = _chain(situation, rules, proved)
    broken = next((c for c in checks if c.outcome is Outcome.FAIL), None)
    if broken is not None:
        gain = broken.name == CheckName.LIVE_GAIN
        reason = Reason.LIVE_SCORE_REFUTED if gain else Reason.LIVE_LIMIT_BROKEN
        message = f"The canary is aborted; who served before serves all again. {broken.message}"
        return concluded(situation, checks, Action.REJECT, State.REJECTED, reason, message, Outcome.FAIL)
    if isinstance(proved, Wait):
        return proved
    unproven = next((c for c in checks if c.outcome is not Outcome.PASS), None)
    by = given(situation.promoting, situation)
    # A person may end the wait for time and for more answers, and overrides no evidence.
    if by and (unproven is None or unproven.name == CheckName.STEP):
        reason = Reason.STEP_PASSED if unproven is None else Reason.STEP_SKIPPED
        return _on(situation, rules, checks, reason, f"{by} ended the step.", by)
    if unproven is not None:
        return _unproven(situation, rules, checks, unproven)
    return _step_on(situation, rules, checks)


def _chain(situation: Situation, rules: Canary, proved: Check | Wait) -> tuple[Check, ...]:
    policy, live = situation.policy, situation.evidence.live or NOTHING
    shown = proved if isinstance(proved, Check) else check_fingerprint(situation.residency)
    return (
        shown,
        check_errors(live, rules.maximum_errors, policy.confidence),
        check_live_latency(live, policy),
        check_live_gain(live, -rules.tolerance, 1, policy.confidence, situation.record.step),
        _check_step(situation, rules),
    )


def _check_step(situation: Situation, rules: Canary) -> Check:
    """Check that the step has shown as much, and taken as long, as the policy asks of it."""
    step, live = step_of(rules, situation.record.step), situation.evidence.live or NOTHING
    limit = f"{step.minimum_scored} scored"
    if step.minimum_duration:
        limit += f", {span(step.minimum_duration)}"
    done = live.in_step >= step.minimum_scored and situation.now >= _earliest(situation, step)
    # Not how long it has lasted: that is another message, and another status, with each look.
    message = f"{_which(situation, rules)}: {live.in_step} scored; asked: {limit}."
    outcome = Outcome.PASS if done else Outcome.INCONCLUSIVE
    return Check(CheckName.STEP, outcome, f"{live.in_step} scored", limit, n=live.in_step, message=message)


def _earliest(situation: Situation, step: CanaryStep) -> datetime:
    return situation.record.since + step.minimum_duration


def _which(situation: Situation, rules: Canary) -> str:
    step = situation.record.step
    return f"Step {step + 1} of {len(rules.steps)}, {step_of(rules, step).percent} % of the users"


def _unproven(
    situation: Situation, rules: Canary, checks: tuple[Check, ...], unproven: Check
) -> Verdict | Wait:
    if rules.reject_late and situation.now > situation.record.entered + rules.maximum:
        message = f"Insufficient evidence within {span(rules.maximum)}. {unproven.message}"
        reason = Reason.INSUFFICIENT_EVIDENCE
        return concluded(
            situation, checks, Action.SHELVE, State.SHELVED, reason, message, Outcome.INCONCLUSIVE
        )
    said = unproven.message  # the step's own check names the step
    message = said if unproven.name == CheckName.STEP else f"{_which(situation, rules)}. {said}"
    return Wait(Reason.CANARY_RUNNING, message, checks=checks)


def _step_on(situation: Situation, rules: Canary, checks: tuple[Check, ...]) -> Verdict | Wait:
    actor = ""
    if step_of(rules, situation.record.step).approval:
        approved = check_approval(situation)
        checks = (*checks, approved)
        if approved.outcome is not Outcome.PASS:
            return awaiting(situation, checks, _shown(checks))
        actor = approved.observed
    return _on(situation, rules, checks, Reason.STEP_PASSED, "", actor)


def _on(
    situation: Situation, rules: Canary, checks: tuple[Check, ...], reason: Reason, word: str, actor: str
) -> Verdict:
    following, shown = rules.steps[situation.record.step + 1 :], _shown(checks)
    if following:
        action, target, next_ = Action.ADVANCE, State.CANARY, f"{following[0].percent} % of the users"
    else:
        action, target, next_ = Action.PROMOTE, State.LIVE, "All users"
    message = f"{word} {next_} come next. {shown}".strip()
    return replace(concluded(situation, checks, action, target, reason, message, Outcome.PASS), actor=actor)


def _shown(checks: tuple[Check, ...]) -> str:
    return " ".join(c.message for c in checks if c.name in (CheckName.LIVE_GAIN, CheckName.STEP))
