"""Evaluating: is the evidence whole, do the hard invariants hold, does the portfolio gain, is there room?"""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State

from .evidence import Difference, EvidenceError, difference
from .facts import Check, Interval, Results, Scorecard, Situation, Verdict, Wait
from .invariants import check_each, measured, summary
from .lifecycle import CheckName
from .portfolio import delta
from .verdict import claimed_task, confidently, due, money, named, span, task_missing
from .work import at_work


def decide_evaluating(situation: Situation) -> Verdict | Wait:
    """Admit the candidate to shadow, reject it, shelve it, or wait for its results."""
    if claimed_task(situation) is None:
        return task_missing(situation)
    missing = results_missing(situation)
    if missing is not None:
        return at_work(situation, missing)
    return _judge(situation)


def results_missing(situation: Situation) -> Wait | None:
    """Say which results the judgement still needs; None when all are there."""
    evidence, claimed = situation.evidence, situation.claim.task
    kept = [t.name for t in measured(situation.tasks, claimed)]
    needed = [claimed, *(name for name in kept if name != claimed)]
    open_ = [name for name in needed if name not in evidence.candidate]
    if open_:
        done = len(needed) - len(open_)
        return Wait(
            Reason.EVALUATING, f"{done} of {len(needed)} results are in; to come: {', '.join(open_)}."
        )
    behind = [name for name in kept if name not in evidence.baseline]
    if evidence.incumbent is None or behind:
        names = ", ".join(behind or [claimed])
        return Wait(Reason.BASELINE_RUNNING, f"The route that serves today is being evaluated on {names}.")
    return None


def compare(candidate: Results | None, incumbent: Results | None, confidence: float) -> Difference | str:
    """Compare, or say in words why the evidence cannot be compared."""
    if candidate is None or incumbent is None:
        return "The results are not there."
    try:
        return difference(candidate, incumbent, confidence)
    except EvidenceError as error:
        return str(error)


def check_gain(situation: Situation, found: Difference | str) -> Check:
    """Check that the lower bound of the change in the portfolio's value exceeds the threshold."""
    policy = situation.policy
    limit = f"more than {money(policy.threshold)}"
    if isinstance(found, str):
        return Check(CheckName.GAIN, Outcome.ERROR, "no comparison", limit, message=found)
    gain = delta(situation, found)
    if gain.low > policy.threshold:
        outcome = Outcome.PASS
    elif gain.high <= policy.threshold:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.INCONCLUSIVE
    message = (
        f"{situation.claim.task}: {found.mean:+.2f} against {incumbent_name(situation)}, "
        f"at least {found.interval.low:+.2f}; the portfolio gains {money(gain.point)} over "
        f"{span(policy.horizon)}, at least {money(gain.low)} {confidently(situation)}; "
        f"more than {money(policy.threshold)} is asked; {found.n} items{exact(found)}."
    )
    interval = Interval(float(gain.low), float(gain.high), policy.confidence)
    return Check(CheckName.GAIN, outcome, money(gain.point), limit, interval, found.n, message)


def exact(found: Difference) -> str:
    """Report the exact paired test beside the interval, where the scores are right or wrong."""
    return "" if found.mcnemar is None else f", exact McNemar p = {found.mcnemar:.1g}"


def check_capacity(situation: Situation) -> Check:
    """Check that one more adapter finds a slot."""
    taken, slots = situation.residents, situation.policy.adapters
    free = taken < slots
    return Check(
        CheckName.CAPACITY,
        Outcome.PASS if free else Outcome.FAIL,
        observed=f"{taken} taken",
        limit=f"{slots} slots",
        message=f"{taken} of {slots} adapter slots are taken.",
    )


def scorecard(situation: Situation, found: Difference | str) -> Scorecard | None:
    """The candidate beside its incumbent; None where they cannot be compared."""
    candidate, incumbent = (
        situation.evidence.candidate.get(situation.claim.task),
        situation.evidence.incumbent,
    )
    if candidate is None or incumbent is None or isinstance(found, str):
        return None
    return Scorecard(
        situation.claim.task, candidate.mean, incumbent.model, incumbent.mean, found.interval, found.n
    )


def incumbent_name(situation: Situation) -> str:
    """Who serves the claimed task today, in words."""
    incumbent = situation.evidence.incumbent
    return named(incumbent.model) if incumbent is not None else "the route of today"


def check_evidence(found: Difference | str, invariants: tuple[Check, ...]) -> Check:
    """Check that every comparison could be made; a broken judge is never a pass."""
    broken = [found] if isinstance(found, str) else []
    broken += [c.message for c in invariants if c.outcome is Outcome.ERROR]
    compared = 1 + sum(c.n is not None or c.outcome is Outcome.ERROR for c in invariants)
    if broken:
        return Check(
            CheckName.EVIDENCE,
            Outcome.ERROR,
            observed=f"{len(broken)} of {compared} comparisons broken",
            limit="none broken",
            message=" ".join(broken),
        )
    items = (0 if isinstance(found, str) else found.n) + sum(c.n or 0 for c in invariants)
    return Check(
        CheckName.EVIDENCE,
        Outcome.PASS,
        observed=f"{compared} comparisons",
        limit="none broken",
        n=items,
        message=f"{compared} comparisons over {items} items, all whole.",
    )


def _judge(situation: Situation) -> Verdict | Wait:
    evidence, policy, claimed = situation.evidence, situation.policy, situation.claim.task
    found = compare(evidence.candidate.get(claimed), evidence.incumbent, policy.confidence)
    each = check_each(situation.tasks, claimed, evidence, policy.confidence)
    whole, invariants = check_evidence(found, each), summary(each)
    gain, capacity = check_gain(situation, found), check_capacity(situation)
    checks = (whole, invariants, *each, gain, capacity)
    card = scorecard(situation, found)

    def end(action: Action, target: State, reason: Reason, message: str, outcome: Outcome) -> Verdict:
        return due(
            situation,
            action,
            target,
            reason,
            message,
            outcome=outcome,
            checks=checks,
            scorecard=card,
        )

    if whole.outcome is not Outcome.PASS:
        return end(Action.FAIL, State.FAILED, Reason.EVIDENCE_ERROR, whole.message, Outcome.ERROR)
    if invariants.outcome is Outcome.FAIL:
        message = f"Hard invariant failure. {invariants.message}"
        return end(Action.REJECT, State.REJECTED, Reason.HARD_INVARIANT_FAILURE, message, Outcome.FAIL)
    if invariants.outcome is not Outcome.PASS:
        message = f"Insufficient evidence that the invariants hold. {invariants.message}"
        return end(Action.SHELVE, State.SHELVED, Reason.INSUFFICIENT_EVIDENCE, message, Outcome.INCONCLUSIVE)
    if gain.outcome is not Outcome.PASS:
        message = f"The portfolio's gain does not repay its cost. {gain.message}"
        return end(Action.SHELVE, State.SHELVED, Reason.GAIN_DOES_NOT_REPAY, message, gain.outcome)
    if capacity.outcome is not Outcome.PASS:
        return Wait(Reason.CAPACITY_FULL, f"{capacity.message} {Reason.CAPACITY_FULL.remedy}", checks=checks)
    message = f"{invariants.message} {gain.message}"
    return end(Action.ADMIT, State.SHADOW, Reason.GAIN_PROVEN, message, Outcome.PASS)
