"""The lives of suites, as the log tells them: each proof is a look, from its opening to what it told."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from .facts import LookPlan, TakenLook
from .looks import Look, SuiteLife


def life_under(plan: LookPlan) -> SuiteLife:
    """Begin the life of a suite."""
    return SuiteLife(
        alpha=Fraction(plan.alpha),
        disclosure=plan.disclosure,
        horizon=plan.looks,
        slices=plan.slices,
        stops=plan.rounds,
        grid=plan.grid,
        screen=Fraction(plan.screen),
    )


def plan_under(life: SuiteLife) -> LookPlan:
    """Say how the looks of a suite's life are accounted for; later edits of the policy do not change it."""
    return LookPlan(
        str(life.alpha), life.disclosure, life.horizon, life.slices, life.stops, life.grid, str(life.screen)
    )


def opened(lives: Mapping[str, SuiteLife], who: str, look: TakenLook) -> Mapping[str, SuiteLife]:
    """Spend a look at a suite. Raises BudgetSpent where it has none left."""
    life = lives.get(look.suite) or life_under(look.plan)
    while life.slice < look.slice:
        life = life.fresh_slice()
    return {**lives, look.suite: life.opened(who)}


def closed(
    lives: Mapping[str, SuiteLife], who: str, look: TakenLook, told: TakenLook | None
) -> Mapping[str, SuiteLife]:
    """End a look with what was told of it; one that broke off told nothing and did not pass."""
    life = lives.get(look.suite)
    if life is None:
        return lives
    end = Look(False) if told is None else Look(told.passed, told.lead, {m.task: m.units for m in told.met})
    return {**lives, look.suite: life.closed(who, end)}
