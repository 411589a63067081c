"""A suite's lifetime budget: what is told of a candidate is a look, and the next one may be built from it.

The suite's units are cut once and for all. On the first part, the screen, everything may be told, and it ends
as early as it can: it sends away what is clearly bad, and promotes nothing. A promotion needs the proof, on
the other part. No more is told of it than the disclosure says, and it ends early only when it passes. The
chance that any candidate falsely passes its proof in the suite's life is at most alpha, whatever candidates
are made from. docs/evidence.md has the argument and bench/verdicts.py the adversary.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from modelecology.api.vocabulary import Disclosure

from .sequential import PRIOR, STAKES


class BudgetSpent(ValueError):
    """Raised for a look that the budget has no place for; fresh items help, and a retry does not."""

    retry = False


@dataclass(frozen=True, slots=True)
class Look:
    """What one proof told, and how many units it met."""

    passed: bool
    lead: int | None = None  # Rounded: the lead that was told, in steps of the grid; None where none was
    met: Mapping[str, int] = field(default_factory=dict)  # by task


@dataclass(frozen=True, slots=True)
class Aim:
    """What a suite should be able to prove; it says when a budget counts as spent, and judges nothing."""

    effect: float = 0.05  # true mean difference above the margin
    changed: float = 0.2  # share of the answers in which candidate and incumbent differ
    power: float = 0.8


@dataclass(frozen=True, slots=True)
class SuiteLife:
    """The looks at one suite so far, and what the next may risk: a fold over the looks, in their order."""

    alpha: Fraction  # greatest chance of any false pass in the suite's life
    disclosure: Disclosure
    horizon: int = 200  # looks that each slice is planned for
    slices: int = 1  # parts that the proof's units are cut into, used one after the other; of no use for Full
    stops: int = 4  # different places at which a proof that passes may end
    grid: int = 20  # Rounded: steps between a lead of 0 and of 1
    screen: Fraction = Fraction(1, 4)  # share of the units; Full needs none, it tells everything anyway
    slice: int = 1
    looks: int = 0
    passes: int = 0
    best: int = 0  # Rounded: the best lead told since the incumbent serves
    share: Fraction = Fraction(1)  # of the slice's level, for all transcripts that begin like this one
    begun: int = 0  # looks at this slice until something was told for the last time
    silent: int = 0  # looks since then
    spent: Mapping[str, int] = field(default_factory=dict)  # Full: units met, by task

    def next_level(self) -> Fraction:
        """Give the greatest chance of a false pass that the next proof may have; 0 when no look is left."""
        return self.alpha / self.slices * self._part()

    def after(self, look: Look) -> SuiteLife:
        """Count a look. Raises BudgetSpent where next_level is 0."""
        part = self._part()
        if part == 0:
            raise BudgetSpent(
                f"All {self.horizon} looks are spent. Give the suite fresh items, as a new suite."
            )
        told = self._told(look)
        met = {t: self.spent.get(t, 0) + look.met.get(t, 0) for t in {**self.spent, **look.met}}
        return replace(
            self,
            looks=self.looks + 1,
            passes=self.passes + look.passed,
            spent=met if self.disclosure is Disclosure.FULL else self.spent,
            # What was told begins a run of its own, which may risk as much as the look itself might.
            best=(0 if look.passed else look.lead or 0) if told else self.best,
            share=part / told if told else self.share,
            begun=self.begun + self.silent + 1 if told else self.begun,
            silent=0 if told else self.silent + 1,
        )

    def fresh_slice(self) -> SuiteLife:
        """Go on with the next slice, of which nothing was told yet. Raises BudgetSpent after the last."""
        if self.slice >= self.slices:
            raise BudgetSpent(
                f"All {self.slices} slices are used. Give the suite fresh items, as a new suite."
            )
        return replace(self, slice=self.slice + 1, best=0, share=Fraction(1), begun=0, silent=0)

    def screened(self, units: int) -> range:
        """Say which units of a task, in the suite's order, are the screen."""
        return range(0 if self.disclosure is Disclosure.FULL else math.ceil(self.screen * units))

    def proof(self, task: str, units: int) -> range:
        """Say which units of a task, in the suite's order, the next proof may meet."""
        if self.disclosure is Disclosure.FULL:
            return range(self.spent.get(task, 0), units)
        first = len(self.screened(units))
        size = Fraction(units - first, self.slices)
        return range(first + math.floor(size * (self.slice - 1)), first + math.floor(size * self.slice))

    def lead(self, mean: float) -> int | None:
        """Round a lead down to the grid; None where nothing is to be told, as it is no new best."""
        steps = math.floor(mean * self.grid)
        return steps if self.disclosure is Disclosure.ROUNDED and steps > self.best else None

    def exhausted(self, task: str, units: int, aim: Aim) -> bool:
        """Say whether the proof has too few units for the aim, at the level of the next look."""
        return units_needed(self.next_level(), aim) > len(self.proof(task, units))

    def _part(self) -> Fraction:
        left = self.horizon - self.begun
        look = self.silent + 1
        if look > left:
            return Fraction(0)
        # Half is spread evenly, half goes to the first looks: most suites meet ten candidates, not 200.
        part = (Fraction(1, left) + Fraction(left + 1, left * look * (look + 1))) / 2
        # Rounded tells at a pass, and at a new best without one: half is for each.
        return self.share * part / (2 if self.disclosure is Disclosure.ROUNDED else 1)

    def _told(self, look: Look) -> int:
        """Count what could have been told in place of what was; 0 where nothing that counts was."""
        if self.disclosure is Disclosure.FULL:  # no unit that was told of is met again
            return 0
        leads = self.grid if self.disclosure is Disclosure.ROUNDED else 0
        if look.passed:
            return self.stops * (leads + 1)
        return leads if look.lead is not None else 0


def units_needed(level: Fraction, aim: Aim) -> float:
    """Estimate how many units prove the aim at a level; infinite at level 0.

    It plans and judges nothing: the wealth of the best single stake, its logarithm taken as normal.
    """
    if level == 0:
        return math.inf
    up, down = (aim.changed + aim.effect) / 2, (aim.changed - aim.effect) / 2
    won, lost = np.log1p(STAKES), np.log1p(-STAKES)
    growth = up * won + down * lost
    spread = NormalDist().inv_cdf(aim.power) * np.sqrt(up * won**2 + down * lost**2 - growth**2)
    goal = math.log(level.denominator) - math.log(level.numerator) - np.log(PRIOR)
    grows = growth > 0
    root = spread + np.sqrt(spread**2 + 4 * np.where(grows, growth, 1.0) * goal)
    return float(np.min((root[grows] / (2 * growth[grows])) ** 2, initial=math.inf))


def looks_bought(life: SuiteLife, task: str, units: int, aim: Aim) -> int:
    """Count the looks that so many units buy from here on, if none of them tells more than it must."""
    bought = 0
    while not life.exhausted(task, units, aim):
        needed = math.ceil(units_needed(life.next_level(), aim))
        life = life.after(Look(passed=False, met={task: needed}))
        bought += 1
    return bought


def units_for(life: SuiteLife, task: str, looks: int, aim: Aim) -> int:
    """Count the fresh units, as a new suite, that buy so many looks. Raises BudgetSpent above the horizon."""
    new = replace(life, slice=1, looks=0, passes=0, best=0, share=Fraction(1), begun=0, silent=0, spent={})
    if looks > new.horizon:
        raise BudgetSpent(f"{looks} looks are more than the {new.horizon} that the policy plans for.")
    most = 1
    while looks_bought(new, task, most, aim) < looks:
        most *= 2
    return bisect_left(range(most), looks, key=lambda units: looks_bought(new, task, units, aim))
