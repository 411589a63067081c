"""The portfolio: one function that says what a population is worth, and what an action changes about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from modelecology.api.vocabulary import Role

from .evidence import Difference
from .facts import Evidence, Member, Policy, Situation, SuiteTask

DAY = Decimal(86400)
GIB = Decimal(2**30)
# Resident bytes a rank, charged for a candidate before it exists; a 7B model's adapter needs about this.
BYTES_PER_RANK = 10 * 2**20


@dataclass(frozen=True, slots=True)
class Population:
    """What value() looks at: the quality of the route of each task, and what is resident."""

    quality: Mapping[str, float]
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Delta:
    """Change of the population's value by an action, over the policy's horizon, in its currency."""

    low: Decimal
    point: Decimal
    high: Decimal


def routes(evidence: Evidence, members: Iterable[Member]) -> dict[str, float]:
    """Find the quality of the best route of each task: the generalist's or a member's mean score."""
    best = {task: results.mean for task, results in evidence.baseline.items()}
    for member in members:
        best[member.task] = max(best.get(member.task, 0.0), member.quality)
    return best


def value(population: Population, tasks: Iterable[SuiteTask], policy: Policy) -> Decimal:
    """Sum over tasks of traffic x worth x quality of the route x requests, less upkeep of the residents."""
    horizon = Decimal(policy.horizon.total_seconds())
    requests = policy.requests_per_day * horizon / DAY
    earned = sum(
        (
            Decimal(str(task.traffic)) * task.worth * Decimal(str(population.quality.get(task.name, 0.0)))
            for task in tasks
            if task.role is Role.TASK
        ),
        Decimal(0),
    )
    gib = Decimal(population.resident_bytes) / GIB
    upkeep = gib * (horizon / 3600) * policy.prices.gib_hour * policy.replicas
    return earned * requests - upkeep


def delta(situation: Situation, found: Difference) -> Delta:
    """Change of value when the candidate becomes its task's route and the specialist's live revision leaves.

    found is candidate minus incumbent on the task's main split.
    """
    artifact = situation.artifact
    size = artifact.resident_bytes if artifact is not None else expected_bytes(situation)
    low, point, high = (
        _change(situation, size, difference)
        for difference in (found.interval.low, found.mean, found.interval.high)
    )
    return Delta(low, point, high)


def expected_gain(situation: Situation) -> Decimal:
    """Change of value if the candidate reaches its contract's target, before it exists."""
    incumbent = situation.evidence.incumbent
    today = incumbent.mean if incumbent is not None else 0.0
    return _change(situation, expected_bytes(situation), situation.claim.target_score - today)


def expected_bytes(situation: Situation) -> int:
    """Resident bytes of a candidate before it exists: the largest live member's, else a prior by rank."""
    known = [member.resident_bytes for member in situation.members]
    rank = situation.claim.rank or situation.policy.max_rank
    return max(known) if known else rank * BYTES_PER_RANK


def _change(situation: Situation, size: int, difference: float) -> Decimal:
    claim, evidence = situation.claim, situation.evidence
    incumbent = evidence.incumbent.mean if evidence.incumbent is not None else 0.0
    staying = [m for m in situation.members if m.served_name != situation.replaces]
    before = routes(evidence, situation.members) | {claim.task: incumbent}
    after = routes(evidence, staying) | {claim.task: incumbent + difference}
    return value(
        Population(after, sum(m.resident_bytes for m in staying) + size), situation.tasks, situation.policy
    ) - value(
        Population(before, sum(m.resident_bytes for m in situation.members)),
        situation.tasks,
        situation.policy,
    )
