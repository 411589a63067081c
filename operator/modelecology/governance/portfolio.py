"""The portfolio: one function that says what a population is worth, and what an action changes about it.

    value = sum over tasks of requests x traffic x (worth x quality - price of an answer) - upkeep

The route of a task is the best of the generalist and the live members, by mean score. A share of a member's
requests goes astray and is answered by the generalist: viability.misrouting, or what is measured of the
classifier on the task if that is more. docs/portfolio.md has the argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from modelecology.api.vocabulary import Role

from .evidence import Difference
from .facts import (
    GENERALIST,
    Cost,
    Member,
    Situation,
    SuiteTask,
)
from .invariants import measured
from .ledger import SECONDS_PER_ANSWER
from .rules import Policy
from .upkeep import answer_cost, requests, upkeep

# Resident bytes a rank, charged for a candidate before it exists; a 7B model's adapter needs about this.
BYTES_PER_RANK = 10 * 2**20


@dataclass(frozen=True, slots=True)
class Population:
    """What value() looks at: the generalist as the route of each task, the members, and forced routes."""

    generalist: Mapping[str, Member]
    members: tuple[Member, ...] = ()
    routed: Mapping[str, Member] = field(default_factory=dict)  # by task; it serves whatever others score

    def without(self, *names: str) -> Population:
        """Give the population in which some members are not resident."""
        return replace(self, members=tuple(m for m in self.members if m.served_name not in names))


@dataclass(frozen=True, slots=True)
class Delta:
    """Change of the population's value by an action, over the policy's horizon, in its currency."""

    low: Decimal
    point: Decimal
    high: Decimal


def generalists(members: Iterable[Member]) -> dict[str, Member]:
    """Index the generalist's routes by task."""
    return {member.task: member for member in members}


def routes(population: Population) -> dict[str, Member]:
    """Find the route of each task: the greatest mean score; of equals the generalist, then the last name."""
    best = dict(population.generalist)
    for member in sorted(population.members, key=lambda m: m.served_name, reverse=True):
        known = best.get(member.task)
        if known is None or member.quality > known.quality:
            best[member.task] = member
    return best | dict(population.routed)


def value(population: Population, tasks: Iterable[SuiteTask], policy: Policy) -> Decimal:
    """Say what a population is worth over the horizon, in the policy's currency."""
    serving = routes(population)
    earned = sum((_earned(task, serving, population, policy) for task in tasks), Decimal(0))
    return earned - sum((upkeep(member, policy) for member in population.members), Decimal(0))


def change(before: Population, after: Population, tasks: Iterable[SuiteTask], policy: Policy) -> Delta:
    """Bound the change of value from one population to another.

    Where a task changes hands its difference is bounded by the recorded paired comparison of the two, if
    there is one, and else by the bounds of each. Upkeep is certain.
    """
    saved = (upkeep(m, policy) for m in before.members if m not in after.members)
    added = (upkeep(m, policy) for m in after.members if m not in before.members)
    point = sum(saved, Decimal(0)) - sum(added, Decimal(0))
    low = high = Decimal(0)
    old, new = routes(before), routes(after)
    for task in tasks:
        point += _earned(task, new, after, policy) - _earned(task, old, before, policy)
        theirs, ours = old.get(task.name), new.get(task.name)
        if task.role is not Role.TASK or theirs is None or ours is None:
            continue
        if theirs.served_name != ours.served_name:
            worst, mean, best = lead(ours, theirs)
            rate = per_point(task, policy)
            low, high = low + rate * (worst - mean), high + rate * (best - mean)
    return Delta(point + low, point, point + high)


def leave_one_out(population: Population, tasks: Iterable[SuiteTask], policy: Policy) -> dict[str, Delta]:
    """Say what each member is worth: the value with it less the value without it, by served name."""
    known = {task.name: task for task in tasks}
    found = {}
    for member in population.members:
        # Nobody else's task changes hands.
        own = (known[member.task],) if member.task in known else ()
        rivals = replace(population, members=tuple(m for m in population.members if m.task == member.task))
        found[member.served_name] = change(rivals.without(member.served_name), rivals, own, policy)
    return found


def lead(ours: Member, theirs: Member) -> tuple[Decimal, Decimal, Decimal]:
    """Bound by how much one route of a task is better than another: low, mean, high."""
    mean = _exact(ours.quality) - _exact(theirs.quality)
    if ours.over == theirs.served_name and ours.lead is not None:
        low, high = _exact(ours.lead.low), _exact(ours.lead.high)
    elif theirs.over == ours.served_name and theirs.lead is not None:
        low, high = -_exact(theirs.lead.high), -_exact(theirs.lead.low)
    else:
        low = _exact(ours.low) - _exact(theirs.high)
        high = _exact(ours.high) - _exact(theirs.low)
    return min(low, mean), mean, max(high, mean)


def per_point(task: SuiteTask, policy: Policy) -> Decimal:
    """Worth of a whole point of quality, from 0 to 1, of a task that a member serves."""
    return _volume(task, policy) * task.worth * _found(task, policy)


def delta(situation: Situation, found: Difference) -> Delta:
    """Change of value when the candidate becomes its task's route and the specialist's live revision leaves.

    By retirement.mode Automatic the live revision that it takes the task from leaves as well: it would serve
    nobody, which is a cause to retire it.

    found is candidate minus incumbent on the task's main split; the change is affine in it.
    """
    zero, rate = _line(situation)
    low, point, high = (
        zero + rate * _exact(difference)
        for difference in (found.interval.low, found.mean, found.interval.high)
    )
    return Delta(low, point, high)


def expected_gain(situation: Situation) -> Decimal:
    """Change of value if the candidate reaches its contract's target, before it exists."""
    incumbent = situation.evidence.incumbent
    today = incumbent.mean if incumbent is not None else 0.0
    zero, rate = _line(situation)
    return zero + rate * (_exact(situation.claim.target_score) - _exact(today))


def expected_bytes(situation: Situation) -> int:
    """Resident bytes of a candidate before it exists: the largest live member's, else a prior by rank."""
    known = [member.resident_bytes for member in situation.members]
    rank = situation.claim.rank or situation.policy.max_rank
    return max(known) if known else rank * BYTES_PER_RANK


def today(situation: Situation) -> Population:
    """Give the population of a situation, without its revision."""
    standing = situation.standing
    known = generalists(standing.generalist) if standing is not None else {}
    scored = {
        task: Member(GENERALIST, task, results.mean, 0)
        for task, results in situation.evidence.baseline.items()
    }
    return Population(scored | known, situation.members)


def candidate(situation: Situation, quality: float) -> Member:
    """Give the situation's revision as a member, with this quality.

    Where it is not measured yet its answers cost what the incumbent's do, and its evaluation what the prior
    says.
    """
    standing, artifact = situation.standing, situation.artifact
    known = standing.candidate if standing is not None else None
    if known is None:
        like = _incumbent(situation)
        work = SECONDS_PER_ANSWER * _answers(situation)
        known = replace(like, review=Cost(cpu_seconds=work), over="", lead=None)
    return replace(
        known,
        served_name=situation.claim.served_name,
        task=situation.claim.task,
        quality=quality,
        resident_bytes=artifact.resident_bytes if artifact is not None else expected_bytes(situation),
    )


def _line(situation: Situation) -> tuple[Decimal, Decimal]:
    """Give the change of value for a candidate as good as the incumbent, and for each point above that."""
    incumbent = _incumbent(situation)
    ours = candidate(situation, incumbent.quality)
    before = replace(today(situation), routed={incumbent.task: incumbent})
    leaving = [situation.leaves] if situation.leaves is not None else []
    if situation.policy.automatic_retirement and incumbent.served_name not in situation.claim.pinned:
        leaving.append(incumbent.served_name)
    left = before.without(*leaving)
    after = replace(left, members=(*left.members, ours), routed={ours.task: ours})
    zero = value(after, situation.tasks, situation.policy) - value(before, situation.tasks, situation.policy)
    task = next((t for t in situation.tasks if t.name == ours.task and t.role is Role.TASK), None)
    return zero, per_point(task, situation.policy) if task is not None else Decimal(0)


def _incumbent(situation: Situation) -> Member:
    """Give the route of the claimed task, with the score that the candidate is compared with."""
    task, results = situation.claim.task, situation.evidence.incumbent
    name, quality = (results.model, results.mean) if results is not None else (GENERALIST, 0.0)
    here = today(situation)
    known = (m for m in (*here.members, *here.generalist.values()) if m.task == task)
    found = next((m for m in known if m.served_name == name), None) or Member(name, task, quality, 0)
    return replace(found, quality=quality)


def _answers(situation: Situation) -> int:
    names = {situation.claim.task, *(t.name for t in measured(situation.tasks, situation.claim.task))}
    return sum(len(r.items) for name, r in situation.evidence.baseline.items() if name in names)


def _volume(task: SuiteTask, policy: Policy) -> Decimal:
    return requests(policy) * _exact(task.traffic)


def _found(task: SuiteTask, policy: Policy) -> Decimal:
    return 1 - _exact(max(policy.misrouting, task.misrouting))


def _earned(
    task: SuiteTask, serving: Mapping[str, Member], population: Population, policy: Policy
) -> Decimal:
    route, generalist = serving.get(task.name), population.generalist.get(task.name)
    if route is None or task.role is not Role.TASK:
        return Decimal(0)
    each = task.worth * _exact(route.quality) - answer_cost(route, policy)
    if route.served_name == GENERALIST:
        return _volume(task, policy) * each
    astray = Decimal(0)
    if generalist is not None:
        astray = task.worth * _exact(generalist.quality) - answer_cost(generalist, policy)
    found = _found(task, policy)
    return _volume(task, policy) * (found * each + (1 - found) * astray)


def _exact(number: float) -> Decimal:
    # The shortest decimal that is this float: what a person would write.
    return Decimal(str(number))
