"""How far a suite's items go: what the next look can prove, and how many fresh items buy how many looks.

It plans and judges nothing: the wealth of the best single stake, its logarithm taken as normal.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from .looks import BudgetSpent, Look, SuiteLife
from .sequential import PRIOR, STAKES

STEP = 0.005


@dataclass(frozen=True, slots=True)
class Aim:
    """What a suite should be able to prove; it says when a budget counts as spent, and judges nothing."""

    effect: float = 0.05  # true mean difference above the margin
    changed: float = 0.2  # share of the answers in which candidate and incumbent differ
    power: float = 0.8


def exhausted(life: SuiteLife, task: str, units: int, aim: Aim) -> bool:
    """Say whether the proof has too few units for the aim, at the level of the next look."""
    return units_needed(life.next_level(), aim) > len(life.proof(task, units))


def units_needed(level: Fraction, aim: Aim) -> float:
    """Estimate how many units prove the aim at a level; infinite at level 0."""
    if level == 0:
        return math.inf
    changed = max(aim.changed, aim.effect)  # no fewer answers change than there are better ones
    up, down = (changed + aim.effect) / 2, (changed - aim.effect) / 2
    won, lost = np.log1p(STAKES), np.log1p(-STAKES)
    growth = up * won + down * lost
    spread = NormalDist().inv_cdf(aim.power) * np.sqrt(up * won**2 + down * lost**2 - growth**2)
    goal = math.log(level.denominator) - math.log(level.numerator) - np.log(PRIOR)
    grows = growth > 0
    root = spread + np.sqrt(spread**2 + 4 * np.where(grows, growth, 1.0) * goal)
    return float(np.min((root[grows] / (2 * growth[grows])) ** 2, initial=math.inf))


def provable(life: SuiteLife, task: str, units: int) -> float | None:
    """Give the least true gain that the next look proves at 80 % power; None where it proves none."""
    there, level = len(life.proof(task, units)), life.next_level()
    for step in range(1, round(1 / STEP) + 1):
        effect = step * STEP
        if units_needed(level, Aim(effect, max(Aim().changed, effect))) <= there:
            return round(effect, 3)
    return None


def looks_bought(life: SuiteLife, task: str, units: int, aim: Aim) -> int:
    """Count the looks that so many units buy from here on, if none of them tells more than it must."""
    bought = 0
    while not exhausted(life, task, units, aim):
        needed = math.ceil(units_needed(life.next_level(), aim))
        life = life.after(Look(passed=False, met={task: needed}))
        bought += 1
    return bought


def units_for(life: SuiteLife, task: str, looks: int, aim: Aim) -> int:
    """Count the fresh units, as a new suite, that buy so many looks. Raises BudgetSpent above the horizon."""
    new = replace(
        life, slice=1, looks=0, passes=0, best=0, share=Fraction(1), begun=0, silent=0, spent={}, under_way=()
    )
    if looks > new.horizon:
        raise BudgetSpent(f"{looks} looks are more than the {new.horizon} that the policy plans for.")
    most = 1
    while looks_bought(new, task, most, aim) < looks:
        most *= 2
    return bisect_left(range(most), looks, key=lambda units: looks_bought(new, task, units, aim))
