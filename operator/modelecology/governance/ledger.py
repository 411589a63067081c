"""The ledger's arithmetic: what resources cost, what a trial will cost, whether the budget holds it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .facts import Budget, Claim, Cost, Prices

HOUR = Decimal(3600)

# Priors until a training of this population was measured: one optimiser step of a small model, and one greedy
# answer of it. They are CPU-seconds, on the careful side, since a proposal is charged before it runs.
SECONDS_PER_STEP = Decimal(5)
SECONDS_PER_ANSWER = Decimal("0.5")
IMPORT_SECONDS = Decimal(30)


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """Whether the window holds the next cost, and in which words."""

    fits: bool
    observed: str
    limit: str
    message: str


def price(cost: Cost, prices: Prices) -> Decimal:
    """Say what resources cost, in the policy's currency; tokens are counted but have no price."""
    return cost.gpu_seconds / HOUR * prices.gpu_hour + cost.cpu_seconds / HOUR * prices.cpu_hour


def expected_cost(claim: Claim, seconds_per_step: Decimal | None, answers: int) -> Cost:
    """Estimate a training (or import) and its evaluation on so many answers, before anything runs.

    seconds_per_step is in CPU-seconds, learned from earlier trainings; without it the prior counts.
    """
    work = claim.steps * (SECONDS_PER_STEP if seconds_per_step is None else seconds_per_step)
    if claim.steps == 0:
        work = IMPORT_SECONDS
    cpu = work + answers * SECONDS_PER_ANSWER
    if claim.gpus <= 0:
        return Cost(cpu_seconds=cpu)
    # A job holds its GPUs while it runs; its wall time is its CPU time over its CPUs.
    wall = cpu / max(Decimal(str(claim.cpus)), Decimal(1))
    return Cost(cpu_seconds=cpu, gpu_seconds=wall * Decimal(str(claim.gpus)))


def within_budget(budget: Budget | None, spent: Cost, next_cost: Cost) -> BudgetCheck:
    """Check that the window's spendings and the next cost stay within the budget."""
    if budget is None:
        return BudgetCheck(True, hours(next_cost), "no budget", "The policy sets no budget.")
    total = spent + next_cost
    limits = (
        ("CPU", total.cpu_seconds / HOUR, next_cost.cpu_seconds / HOUR, budget.cpu_hours),
        ("GPU", total.gpu_seconds / HOUR, next_cost.gpu_seconds / HOUR, budget.gpu_hours),
    )
    observed = f"{hours(spent)} spent, {hours(next_cost)} next"
    limit = ", ".join(f"{_number(most)} {name}-hours" for name, _, _, most in limits if most is not None)
    window = f"{_number(Decimal(budget.window.total_seconds()) / HOUR)} h"
    for name, sum_, alone, most in limits:
        if most is None or sum_ <= most:
            continue
        remedy = (
            f"It goes on when the window of {window} moves."
            if alone <= most
            else f"It alone is more than the whole budget. Raise budget.{name.lower()}Hours."
        )
        message = (
            f"The next step needs {_number(alone)} {name}-hours and {_number(sum_ - alone)} of "
            f"{_number(most)} are spent in {window}. {remedy}"
        )
        return BudgetCheck(False, observed, limit, message)
    return BudgetCheck(
        True, observed, limit or "no limit", f"{observed}; at most {limit or 'no limit'} in {window}."
    )


def hours(cost: Cost) -> str:
    """Write resources as hours; GPUs only where there are any."""
    cpu = f"{_number(cost.cpu_seconds / HOUR)} CPU-hours"
    return f"{cpu}, {_number(cost.gpu_seconds / HOUR)} GPU-hours" if cost.gpu_seconds else cpu


def _number(value: Decimal) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
