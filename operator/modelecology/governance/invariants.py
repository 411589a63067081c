"""Hard invariants: skills that are never traded, whatever the gain.

Scope Adapter looks at the skill under the adapter itself: the candidate against the generalist, item by item.
Scope Routed looks at what routing would send it. A specialist is sent requests of its own contract's task and
no others, so an invariant which is not that task is still answered by the generalist: it loses nothing, and
no evaluation of the candidate is needed for it. It passes, and the message says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelecology.api.vocabulary import Outcome, Role, Scope

from .facts import GENERALIST, Check, Results, SuiteTask
from .lifecycle import CheckName
from .sequential import Answer
from .trial import Inquiry, Measure


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
    tasks: Iterable[SuiteTask],
    claimed: str,
    answers: Sequence[tuple[Inquiry, Answer]],
    candidate: Mapping[str, Results],
    baseline: Mapping[str, Results],
) -> tuple[Check, ...]:
    """Check every invariant, also after one failed. Both results are on the items that were met."""
    all_tasks = tuple(tasks)
    wanted = measured(all_tasks, claimed)
    found = []
    for task in hard(all_tasks):
        if task in wanted:
            own = [(q, a) for q, a in answers if q.task == task.name and q.measure is not Measure.GAIN]
            found.append(_check(task, own, candidate.get(task.name), baseline.get(task.name)))
        else:
            found.append(_unrouted(task, claimed))
    return tuple(found)


def summary(checks: tuple[Check, ...], none: str = "The suite has no hard invariant.") -> Check:
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
        message="All hard invariants hold." if checks else none,
    )


def limits(task: SuiteTask) -> str:
    """Say what an invariant asks."""
    asked = ["every item right"] if task.must_pass else []
    asked += [f"at least {task.floor:.2f}"] if task.floor is not None else []
    asked += [f"at most {task.max_regression:.2f} lost"] if task.max_regression is not None else []
    return ", ".join(asked)


def _check(
    task: SuiteTask,
    answers: Sequence[tuple[Inquiry, Answer]],
    candidate: Results | None,
    baseline: Results | None,
) -> Check:
    outcomes = [answer.outcome for _, answer in answers]
    if Outcome.FAIL in outcomes:
        outcome, end = Outcome.FAIL, ""
    elif Outcome.INCONCLUSIVE in outcomes:
        outcome, end = Outcome.INCONCLUSIVE, " That is not proven yet."
    else:
        outcome, end = Outcome.PASS, ""
    ours, theirs = (results.mean if results is not None else 0.0 for results in (candidate, baseline))
    items = len(candidate.items) if candidate is not None else 0
    lost = next((answer for inquiry, answer in answers if inquiry.measure is Measure.LOSS), None)
    observed = f"{ours:.2f} against {theirs:.2f}"
    message = (
        f"{task.name}: {ours:.2f} against the {GENERALIST}'s {theirs:.2f}; asked: {limits(task)}; "
        f"{items} items.{end}"
    )
    interval = lost.interval if lost is not None else None
    return Check(check_name(task.name), outcome, observed, limits(task), interval, items, message)


def _unrouted(task: SuiteTask, claimed: str) -> Check:
    return Check(
        check_name(task.name),
        Outcome.PASS,
        observed="not routed to the candidate",
        limit=limits(task),
        message=(
            f"{task.name}: its requests are not routed to a specialist for {claimed}; "
            f"the {GENERALIST} still answers them, so nothing is lost."
        ),
    )
