"""Hard invariants: skills that are never traded, whatever the gain.

Scope Adapter looks at the skill under the adapter itself: the candidate against the generalist, item by item.
Scope Routed looks at what routing would send it. A specialist is sent requests of its own contract's task and
no others, so an invariant which is not that task is still answered by the generalist: it loses nothing, and
no evaluation of the candidate is needed for it. It passes, and the message says why.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelecology.api.vocabulary import Outcome, Role, Scope

from .evidence import EvidenceError, difference
from .facts import GENERALIST, Check, Evidence, SuiteTask
from .lifecycle import CheckName


def hard(tasks: Iterable[SuiteTask]) -> tuple[SuiteTask, ...]:
    """The invariants of a suite, in its order."""
    return tuple(task for task in tasks if task.role is Role.INVARIANT)


def measured(tasks: Iterable[SuiteTask], claimed: str) -> tuple[SuiteTask, ...]:
    """The invariants on which a candidate for the claimed task must be evaluated."""
    return tuple(task for task in hard(tasks) if task.scope is Scope.ADAPTER or task.name == claimed)


def check_name(invariant: str) -> str:
    """Name the check of one invariant; the chain's own check sums them up."""
    return f"{CheckName.INVARIANTS}/{invariant}"


def check_each(
    tasks: Iterable[SuiteTask], claimed: str, evidence: Evidence, confidence: float
) -> tuple[Check, ...]:
    """Check every invariant, also after one failed."""
    all_tasks = tuple(tasks)
    wanted = measured(all_tasks, claimed)
    return tuple(
        _compare(task, evidence, confidence) if task in wanted else _unrouted(task, claimed)
        for task in hard(all_tasks)
    )


def summary(checks: tuple[Check, ...]) -> Check:
    """Sum the invariants up in one check: the worst outcome, naming those that have it."""
    for outcome, words in (
        (Outcome.ERROR, "cannot be judged"),
        (Outcome.FAIL, "broken"),
        (Outcome.INCONCLUSIVE, "not proven to hold"),
    ):
        worst = [c for c in checks if c.outcome is outcome]
        if worst:
            return Check(
                CheckName.INVARIANTS,
                outcome,
                observed=f"{len(worst)} of {len(checks)} {words}",
                limit="all hold",
                message=" ".join(c.message for c in worst),
            )
    return Check(
        CheckName.INVARIANTS,
        Outcome.PASS,
        observed=f"{len(checks)} of {len(checks)} hold",
        limit="all hold",
        message="All hard invariants hold." if checks else "The suite has no hard invariant.",
    )


def _compare(task: SuiteTask, evidence: Evidence, confidence: float) -> Check:
    name = check_name(task.name)
    limit = f"at most {task.max_regression:.2f} lost"
    candidate, baseline = evidence.candidate.get(task.name), evidence.baseline.get(task.name)
    if candidate is None or baseline is None:
        who = "the candidate" if candidate is None else f"the {GENERALIST}"
        return Check(name, Outcome.ERROR, "no results", limit, message=f"{task.name}: {who} has no results.")
    try:
        found = difference(candidate, baseline, confidence)
    except EvidenceError as error:
        return Check(name, Outcome.ERROR, "no comparison", limit, message=str(error))
    if found.interval.low >= -task.max_regression:
        outcome, end = Outcome.PASS, ""
    elif found.interval.high < -task.max_regression:
        outcome, end = Outcome.FAIL, ""
    else:
        outcome = Outcome.INCONCLUSIVE
        end = f" The loss may be as much as {-found.interval.low:.2f}: not proven. Give the suite more items."
    message = (
        f"{task.name}: {candidate.mean:.2f} against the {GENERALIST}'s {baseline.mean:.2f}; "
        f"at most {task.max_regression:.2f} may be lost; {found.n} items.{end}"
    )
    return Check(
        name,
        outcome,
        observed=f"{candidate.mean:.2f} against {baseline.mean:.2f}",
        limit=limit,
        interval=found.interval,
        n=found.n,
        message=message,
    )


def _unrouted(task: SuiteTask, claimed: str) -> Check:
    return Check(
        check_name(task.name),
        Outcome.PASS,
        observed="not routed to the candidate",
        limit=f"at most {task.max_regression:.2f} lost",
        message=(
            f"{task.name}: its requests are not routed to a specialist for {claimed}; "
            f"the {GENERALIST} still answers them, so nothing is lost."
        ),
    )
