"""Which live members should go: retirement by evidence, tested for the whole population at once.

One member at a time, and each time anew without those that are to go: of two that make each other
superfluous one stays. The order: withdrawn, unused and drifted members; then dominated ones; then those
that are worth less than their upkeep, the least first. What evidence cannot tell yet is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Outcome, Role

from .facts import (
    Check,
    Interval,
    Member,
    Situation,
    Standing,
    SuiteTask,
)
from .lifecycle import CheckName
from .portfolio import Delta, Population, generalists, lead, leave_one_out
from .rules import Policy
from .upkeep import answer_cost, requests, upkeep
from .verdict import money, named, span


@dataclass(frozen=True, slots=True)
class Finding:
    """What the test of one member found: the cause why it should go, if there is one, and the check."""

    reason: Reason | None
    check: Check


@dataclass(frozen=True, slots=True)
class _Test:
    """The test of a population from which some members are gone already."""

    population: Population
    standing: Standing
    tasks: tuple[SuiteTask, ...]
    policy: Policy

    def task(self, member: Member) -> SuiteTask | None:
        return next((t for t in self.tasks if t.name == member.task and t.role is Role.TASK), None)

    def is_measured(self, member: Member) -> bool:
        """Whether all that may serve its task is measured on this suite."""
        rivals = (m for m in self.population.members if m.task == member.task)
        return member.task in self.population.generalist and all(_bounded(m) for m in rivals)


Rule = Callable[[_Test, Member, Delta], Finding | None]


def finding(situation: Situation) -> Finding | None:
    """Say whether the revision of a situation should go; None where nobody can tell what is live."""
    if situation.standing is None:
        return None
    found = findings(situation.standing, situation.tasks, situation.policy)
    return found.get(situation.claim.served_name)


def findings(standing: Standing, tasks: tuple[SuiteTask, ...], policy: Policy) -> dict[str, Finding]:
    """Test every live member, by served name."""
    found: dict[str, Finding] = {}
    population = Population(generalists(standing.generalist), standing.members)
    for rule in (_certain, _dominated, _negative):
        while True:
            left = _Test(population.without(*found), standing, tasks, policy)
            gone = _worst(left, rule)
            if gone is None:
                break
            found |= gone
    left = _Test(population.without(*found), standing, tasks, policy)
    worth = leave_one_out(left.population, tasks, policy)
    return found | {m.served_name: _stays(left, m, worth[m.served_name]) for m in left.population.members}


def _worst(left: _Test, rule: Rule) -> dict[str, Finding] | None:
    worth = leave_one_out(left.population, left.tasks, left.policy)
    for member in sorted(left.population.members, key=lambda m: (worth[m.served_name].point, m.served_name)):
        found = rule(left, member, worth[member.served_name])
        if found is not None:
            return {member.served_name: found}
    return None


def _certain(left: _Test, member: Member, _: Delta) -> Finding | None:
    task, measured, lived = left.task(member), left.standing.requests, member.live_quality
    if task is None:
        return _goes(
            Reason.CONTRACT_WITHDRAWN, "no such task", f"{member.task}: it is no task of the suite any more."
        )
    if task.traffic == 0:
        message = f"{member.task}: no share of the requests is of it."
        return _goes(Reason.UNUSED, "no traffic", message)
    if measured is not None and left.policy.idle_after is not None and measured.get(member.task) == 0:
        message = f"{member.task}: nobody has asked for it in {span(left.policy.idle_after)}."
        return _goes(Reason.UNUSED, "no request", message)
    if lived is not None and _bounded(member) and lived.high < member.low:
        promised = f"the evaluation said {member.low:.2f} at least"
        message = f"{member.task}: users get {lived.high:.2f} at most; {promised}."
        return _goes(Reason.QUALITY_DRIFTED, f"{lived.high:.2f} at most", message, lived)
    return None


def _dominated(left: _Test, member: Member, _: Delta) -> Finding | None:
    task = left.task(member)
    if task is None or not left.is_measured(member):
        return None
    generalist = left.population.generalist[member.task]
    for other in (generalist, *sorted(left.population.members, key=lambda m: m.served_name)):
        if other.task != member.task or other.served_name == member.served_name:
            continue
        low, mean, high = lead(other, member)
        if low >= 0 and _cost(left, task, other) <= _cost(left, task, member):
            message = (
                f"{member.task}: {named(other.served_name)} is better by {mean:.2f}, at least {low:.2f}, "
                "and costs no more."
            )
            bounds = Interval(float(low), float(high), left.policy.confidence)
            return _goes(Reason.DOMINATED, f"{mean:+.2f} for {other.served_name}", message, bounds)
    return None


def _negative(left: _Test, member: Member, worth: Delta) -> Finding | None:
    if not left.is_measured(member):
        return None
    if (worth.point if left.policy.retire_by_point else worth.high) >= 0:
        return None
    message = (
        f"{member.task}: without it the population is worth {money(-worth.point)} more over "
        f"{span(left.policy.horizon)}, at least {money(-worth.high)}."
    )
    return _goes(Reason.NEGATIVE_VALUE, money(worth.point), message, _interval(worth, left.policy))


def _stays(left: _Test, member: Member, worth: Delta) -> Finding:
    if not left.is_measured(member):
        message = f"{member.task}: not everybody who may serve it is evaluated on this suite yet."
        return _said(None, Outcome.INCONCLUSIVE, "not measured", message, None)
    message = (
        f"{member.task}: it is worth {money(worth.point)} over {span(left.policy.horizon)}, "
        f"between {money(worth.low)} and {money(worth.high)}."
    )
    return _said(None, Outcome.PASS, money(worth.point), message, _interval(worth, left.policy))


def _goes(reason: Reason, observed: str, message: str, interval: Interval | None = None) -> Finding:
    return _said(reason, Outcome.FAIL, observed, message, interval)


def _said(
    reason: Reason | None, outcome: Outcome, observed: str, message: str, interval: Interval | None
) -> Finding:
    return Finding(
        reason,
        Check(CheckName.VIABLE, outcome, observed, "no cause to retire it", interval, message=message),
    )


def _interval(worth: Delta, policy: Policy) -> Interval:
    return Interval(float(worth.low), float(worth.high), policy.confidence)


def _bounded(member: Member) -> bool:
    return (member.low, member.high) != (0.0, 1.0)


def _cost(left: _Test, task: SuiteTask, member: Member) -> Decimal:
    """Price of a member as the task's only route."""
    asked = requests(left.policy) * Decimal(str(task.traffic))
    return upkeep(member, left.policy) + asked * answer_cost(member, left.policy)
