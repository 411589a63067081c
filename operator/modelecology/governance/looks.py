"""A suite's lifetime budget: what is told of a candidate is a look, and the next one may be built from it.

The suite's units are cut once and for all. On the first part, the screen, everything may be told, and it ends
as early as it can: it sends away what is clearly bad, and promotes nothing. A promotion needs the proof, on
the other part. No more is told of it than the disclosure says, and it ends early only when it passes. The
chance that any candidate falsely passes its proof in the suite's life is at most alpha, whatever candidates
are made from. docs/evidence.md has the argument and bench/verdicts.py the adversary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from modelecology.api.vocabulary import Disclosure


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
class OpenLook:
    """A proof under way: whose, and the part of its run's level that was set aside for what it tells."""

    who: str
    part: Fraction


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
    under_way: tuple[OpenLook, ...] = ()

    def next_level(self) -> Fraction:
        """Give the greatest chance of a false pass that the next proof may have; 0 when no look is left."""
        return self.alpha / self.slices * self._part()

    def after(self, look: Look) -> SuiteLife:
        """Count a look from its beginning to its end. Raises BudgetSpent where next_level is 0."""
        return self.opened("").closed("", look)

    def opened(self, who: str) -> SuiteLife:
        """Spend the next look, whatever becomes of it. Raises BudgetSpent where next_level is 0."""
        if self._part() == 0:
            raise BudgetSpent(
                f"All {self.horizon} looks are spent. Give the suite fresh items, as a new suite."
            )
        return replace(self._with(who), looks=self.looks + 1)

    def closed(self, who: str, look: Look) -> SuiteLife:
        """End a look with what it told; one that broke off told nothing and did not pass."""
        opened = next((each for each in self.under_way if each.who == who), None)
        left = tuple(each for each in self.under_way if each is not opened)
        met = {t: self.spent.get(t, 0) + look.met.get(t, 0) for t in {**self.spent, **look.met}}
        ended = replace(
            self,
            passes=self.passes + look.passed,
            spent=met if self.disclosure is Disclosure.FULL else self.spent,
            under_way=left,
        )
        told = self._told(look)
        if opened is None or not told:
            return ended
        # What was told begins a run of its own, which may risk as much as the look itself might. Whoever is
        # under way may still pass after it, at any time: they are the run's first looks, whenever they end.
        run = replace(
            ended,
            best=0 if look.passed else look.lead or 0,
            share=opened.part / told,
            begun=self.begun + self.silent - len(left),
            silent=0,
            under_way=(),
        )
        for each in left:
            run = run._with(each.who)
        return run

    def fresh_slice(self) -> SuiteLife:
        """Go on with the next slice, of which nothing was told yet. Raises BudgetSpent after the last."""
        if self.slice >= self.slices:
            raise BudgetSpent(
                f"All {self.slices} slices are used. Give the suite fresh items, as a new suite."
            )
        # What is under way on the old slice will tell nothing of the units of the new one.
        return replace(self, slice=self.slice + 1, best=0, share=Fraction(1), begun=0, silent=0, under_way=())

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

    def _with(self, who: str) -> SuiteLife:
        look = OpenLook(who, self._part())
        return replace(self, silent=self.silent + 1, under_way=(*self.under_way, look))

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
