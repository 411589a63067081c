"""How a verdict is put together: the edge comes from the table, the reason must be one of the edge's."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State

from .facts import GENERALIST, Check, Cost, Scorecard, Situation, SuiteTask, TakenLook, Verdict, Wait
from .lifecycle import IllegalTransition, transition

_REASONS = {reason.value: reason for reason in Reason}

HOUR = 3600  # seconds
MESSAGE = 1000  # characters; the Decision's limits are above this


def due(
    situation: Situation,
    action: Action,
    target: State,
    reason: Reason,
    message: str,
    *,
    outcome: Outcome = Outcome.PASS,
    checks: tuple[Check, ...] = (),
    scorecard: Scorecard | None = None,
    cost: Cost | None = None,
    look: TakenLook | None = None,
) -> Verdict:
    """Put a verdict together. Raises IllegalTransition for an edge or a reason that the table lacks."""
    edge = transition(action, situation.record.state, target)
    if reason not in edge.reasons:
        raise IllegalTransition(f"{reason} is no reason for {action} from {edge.source} to {edge.target}")
    return Verdict(edge, outcome, reason, clip(message), checks, scorecard, cost or Cost(), look=look)


def concluded(
    situation: Situation,
    checks: tuple[Check, ...],
    action: Action,
    target: State,
    reason: Reason,
    message: str,
    outcome: Outcome = Outcome.INCONCLUSIVE,
) -> Verdict:
    """Put a verdict on a resident candidate together; it keeps the scorecard of its proof."""
    return due(
        situation,
        action,
        target,
        reason,
        message,
        outcome=outcome,
        checks=checks,
        scorecard=situation.record.scorecard,
    )


def claimed_task(situation: Situation) -> SuiteTask | None:
    """The suite's task that the contract claims; None where the suite has none of this name."""
    return next((t for t in situation.tasks if t.name == situation.claim.task), None)


def task_missing(situation: Situation) -> Wait:
    """Wait for a suite that has the claimed task."""
    names = ", ".join(t.name for t in situation.tasks)
    return Wait(
        Reason.TASK_NOT_IN_SUITE,
        clip(f"The suite has no task {situation.claim.task!r}. Name one of: {names}."),
    )


def changed_premises(situation: Situation) -> tuple[str, ...]:
    """Name those of policy and suite that are others than at the record's last verdict."""
    record = situation.record
    premises = (
        ("policy", record.policy, situation.policy_digest),
        ("suite", record.suite, situation.suite_digest),
    )
    return tuple(name for name, before, now in premises if before is not None and before != now)


def incumbent_changed(situation: Situation) -> bool:
    """Whether the claimed task is served by another than the one that the last scorecard compares with."""
    card, incumbent = situation.record.scorecard, situation.evidence.incumbent
    return card is not None and incumbent is not None and card.incumbent != incumbent.model


def changed_proof(situation: Situation) -> str:
    """Name what the proof of a resident candidate rests on and is another by now; empty where it counts."""
    proven = situation.record.proven
    if "suite" in changed_premises(situation) or proven is None or proven.suite != situation.suite_digest:
        return "suite"
    return "incumbent" if incumbent_changed(situation) else ""


def reason_of(text: str) -> Reason:
    """Read a recorded or reported reason; one that is not known is a fault of this software."""
    return _REASONS.get(text, Reason.INTERNAL_ERROR)


def confidently(situation: Situation) -> str:
    """Say the policy's confidence in words."""
    return f"with {situation.policy.confidence * 100:g} % confidence"


def named(model: str) -> str:
    """Name a model in a sentence."""
    return f"the {model}" if model == GENERALIST else model


def money(amount: Decimal) -> str:
    """Write an amount of the policy's currency; small ones keep two significant digits."""
    if amount and abs(amount) < Decimal("0.1"):
        return f"{amount:.2g}" if abs(amount) >= Decimal("0.0001") else f"{amount:.1e}"
    return f"{amount:.2f}"


def span(time: timedelta) -> str:
    """Write a time span in hours, or in seconds below one hour."""
    seconds = time.total_seconds()
    return f"{seconds / HOUR:g} h" if seconds >= HOUR else f"{seconds:g} s"


def clock(time: datetime) -> str:
    """Write a point in time to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def clip(message: str) -> str:
    """Keep a message within what a Decision holds."""
    return message if len(message) <= MESSAGE else message[: MESSAGE - 4] + " ..."
