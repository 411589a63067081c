"""Pending: is there a gap, would closing it pay, and may the trial be afforded?"""

from __future__ import annotations

from datetime import timedelta

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, Role, State

from .courses import next_look, sealed, told_evidence
from .evidence import EvidenceError, mean
from .exhaustion import exhausted
from .facts import Check, Cost, Interval, Results, Situation, Verdict, Wait
from .invariants import measured
from .ledger import BudgetCheck, expected_cost, price, within_budget
from .lifecycle import CheckName
from .portfolio import expected_gain
from .verdict import (
    changed_premises,
    claimed_task,
    clip,
    confidently,
    due,
    money,
    named,
    reason_of,
    span,
    task_missing,
)

BUDGET_LOOK = timedelta(hours=1)  # where no moment is known: the end of a trial, or an edit, comes first


def decide_pending(situation: Situation) -> Verdict | Wait:
    """Propose a trial, hold it for want of a reason, or wait."""
    task = claimed_task(situation)
    if task is None:
        return task_missing(situation)
    if task.role is Role.INVARIANT:
        named = [t.name for t in situation.tasks if t.role is Role.TASK]
        return Wait(
            Reason.TASK_NOT_TRADED,
            clip(f"{task.name} is an invariant, which is never traded. Name one of: {', '.join(named)}."),
        )
    rank = check_rank(situation)
    if rank.outcome is not Outcome.PASS:
        return Wait(
            Reason.RANK_ABOVE_CAPACITY, f"{rank.message} {Reason.RANK_ABOVE_CAPACITY.remedy}", checks=(rank,)
        )
    try:
        against, told = sealed(situation), told_evidence(situation)
    except EvidenceError as error:
        return Wait(Reason.EVIDENCE_ERROR, clip(str(error)), checks=(rank,))
    incumbent = told.evidence.incumbent
    if against is None or incumbent is None:
        return _baseline(situation)
    cost = trial_cost(situation)
    found = look_at_budget(situation, cost)
    checks = (
        rank,
        check_gap(told, incumbent),
        check_expected_gain(told, incumbent, cost),
        check_budget(found),
    )
    _, gap, gain, budget = checks
    if gap.outcome is not Outcome.PASS:
        message = f"Insufficient evidence of a gap; nothing is trained. {gap.message}"
        return _hold(situation, Reason.INSUFFICIENT_EVIDENCE, message, gap.outcome, checks)
    if gain.outcome is not Outcome.PASS:
        message = f"The portfolio's gain would not repay the trial; nothing is trained. {gain.message}"
        return _hold(situation, Reason.GAIN_DOES_NOT_REPAY, message, gain.outcome, checks)
    if next_look(situation, against) is None:
        return exhausted(situation, checks)
    if budget.outcome is not Outcome.PASS:
        until = found.moment or situation.now + BUDGET_LOOK
        return Wait(Reason.BUDGET_SPENT, clip(budget.message), until=until, checks=checks)
    message = f"{gap.message} {gain.message}"
    return due(situation, Action.PROPOSE, State.TRAINING, Reason.GAP_PROVEN, message, checks=checks)


def trial_cost(situation: Situation) -> Cost:
    """Estimate what a trial will take: the training, and the evaluation on the task and the invariants."""
    names = {situation.claim.task, *(t.name for t in measured(situation.tasks, situation.claim.task))}
    answers = sum(len(r.items) for name, r in situation.evidence.baseline.items() if name in names)
    return expected_cost(situation.claim, situation.seconds_per_step, answers)


def check_rank(situation: Situation) -> Check:
    """Check that the engine can hold an adapter of this rank; an import's rank is not known yet."""
    rank, most = situation.claim.rank, situation.policy.max_rank
    fits = rank <= most
    known = f"The adapter has rank {rank}; serving.capacity.maxRank allows {most}."
    return Check(
        CheckName.RANK,
        Outcome.PASS if fits else Outcome.FAIL,
        observed=str(rank) if rank else "not known before the import",
        limit=f"at most {most}",
        message=known if rank else "The rank is read from the adapter when it is imported.",
    )


def check_gap(situation: Situation, incumbent: Results) -> Check:
    """Check that the lower bound of target minus the incumbent's score exceeds the policy's minimum gap.

    Raises EvidenceError.
    """
    policy, claim = situation.policy, situation.claim
    limit = f"more than {policy.minimum_gap:.2f}"
    score = mean(incumbent, policy.confidence)
    gap = claim.target_score - score.mean
    bounds = Interval(
        claim.target_score - score.interval.high, claim.target_score - score.interval.low, policy.confidence
    )
    if bounds.low > policy.minimum_gap:
        outcome = Outcome.PASS
    elif bounds.high <= policy.minimum_gap:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.INCONCLUSIVE
    message = (
        f"{claim.task}: {named(incumbent.model)} scores {score.mean:.2f}, "
        f"the target is {claim.target_score:.2f}: a gap of {gap:.2f}, "
        f"at least {bounds.low:.2f} {confidently(situation)}; "
        f"more than {policy.minimum_gap:.2f} must be proven; {score.n} items."
    )
    return Check(CheckName.GAP, outcome, f"{gap:.2f}", limit, bounds, score.n, message)


def check_expected_gain(situation: Situation, incumbent: Results, cost: Cost) -> Check:
    """Check that a candidate at its target would gain more than the trial costs and the threshold."""
    policy = situation.policy
    gain, charge = expected_gain(situation), price(cost, policy.prices)
    remaining = gain - charge
    message = (
        f"At its target it gains {money(gain)} over {span(policy.horizon)}, and the trial costs "
        f"{money(charge)}; more than {money(policy.threshold)} must remain."
    )
    return Check(
        CheckName.EXPECTED_GAIN,
        Outcome.PASS if remaining > policy.threshold else Outcome.FAIL,
        observed=money(remaining),
        limit=f"more than {money(policy.threshold)}",
        n=len(incumbent.items),
        message=message,
    )


def look_at_budget(situation: Situation, cost: Cost) -> BudgetCheck:
    """Say whether the budget's window holds a trial of this cost, and when it will."""
    return within_budget(
        situation.policy.budget,
        situation.charges,
        cost,
        now=situation.now,
        specialist=situation.claim.specialist,
        under_way=situation.under_way,
    )


def check_budget(found: BudgetCheck) -> Check:
    """Check that the budget's window holds the trial."""
    outcome = Outcome.PASS if found.fits else Outcome.FAIL
    return Check(CheckName.BUDGET, outcome, found.observed, found.limit, message=found.message)


def _baseline(situation: Situation) -> Wait:
    failure = situation.failure
    if failure is not None:
        return Wait(reason_of(failure.reason), clip(f"The baseline cannot be evaluated: {failure.message}"))
    return Wait(
        Reason.BASELINE_RUNNING,
        f"The route that serves {situation.claim.task} today is being evaluated.",
    )


def _hold(
    situation: Situation, reason: Reason, message: str, outcome: Outcome, checks: tuple[Check, ...]
) -> Verdict | Wait:
    record = situation.record
    same_evidence = record.evidence == situation.evidence.digest
    if record.reason == reason and same_evidence and not changed_premises(situation):
        return Wait(reason, clip(message), checks=checks)
    return due(situation, Action.HOLD, State.PENDING, reason, message, outcome=outcome, checks=checks)
