"""Verdicts from shadows: how often they err, and how many scored copies they take, beside a fixed A/B test.

    python -m bench.live_verdicts [--histories 2000] [--seeds 5]

Differences are drawn from answers of the demo's own models, as they were recorded (TABLES): how often only
the candidate was right, only the one who served, both, or neither. For the null both kinds of change are
equally likely, which is what two equally good models look like. One looks after every scored pair, as the
operator does. The A/B test asks each user one of the two, so many of each as it needs for 90 % power at the
same effect (normal approximation, one-sided at 5 %), and looks once.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bench.figures import Spread
from modelecology.governance.sequential import Units, log_wealth

LEVEL = 0.05
POWER = 0.9
MOST = 5000
BATCH = 200  # histories at once


@dataclass(frozen=True, slots=True)
class Table:
    """Paired answers: of so many items, the candidate alone was right, the other alone, both."""

    name: str
    items: int
    gained: int
    lost: int
    both: int

    @property
    def changed(self) -> float:
        """Share of the items that one of the two alone had right."""
        return (self.gained + self.lost) / self.items


# main split of the demo's suite: `python -m bench.portfolio` has the same scores.
TABLES = (
    Table("dates against the generalist", 156, 105, 0, 0),
    Table("cron against the generalist", 154, 43, 0, 0),
    Table("everyday: dates against the generalist", 104, 9, 11, 63),
)


def first_pass(units: Units, margin: float) -> NDArray[np.int64]:
    """Number of units at which each history passes; MOST + 1 where it never does."""
    reached = log_wealth(units, margin) >= math.log(1.0 / LEVEL)
    found: NDArray[np.int64] = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, units.shape[1] + 1)
    return found


def drawn(random: np.random.Generator, histories: int, changed: float, effect: float) -> Units:
    """Draw differences: so large a share is changed, with this mean."""
    gained, lost = (changed + effect) / 2, (changed - effect) / 2
    dice = random.random((histories, MOST))
    return np.where(dice < gained, 1.0, np.where(dice < gained + lost, -1.0, 0.0))


def run(seed: int, histories: int, changed: float, effect: float) -> tuple[float, float]:
    """Share of histories that pass, and the median of the pairs that those took."""
    random = np.random.default_rng(seed)
    passes = np.concatenate(
        [first_pass(drawn(random, BATCH, changed, effect), 0.0) for _ in range(max(1, histories // BATCH))]
    )
    passed = passes[passes <= MOST]
    return len(passed) / len(passes), float(np.median(passed)) if len(passed) else math.nan


def fixed(right: float, effect: float) -> int:
    """Answers, of both sides together, that an unpaired test needs at the level and the power."""
    ours = min(1.0, right + effect)
    z = float(ndtri(1 - LEVEL) + ndtri(POWER))
    return 2 * math.ceil(z * z * (right * (1 - right) + ours * (1 - ours)) / effect**2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_verdicts", description=__doc__)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    print(f"false promotions, a look after each of {MOST} pairs, min/median/max over {given.seeds} seeds")
    worst = 0.0  # of the tables, over all seeds together: one seed alone may be above it by chance
    for table in TABLES:
        rates = [run(seed, given.histories, table.changed, 0.0)[0] for seed in range(given.seeds)]
        worst = max(worst, fmean(rates))
        print(
            f"  {table.name:<42} {table.changed:5.0%} changed: {Spread.of(100 * r for r in rates).text(1)} %"
        )
    print(
        f"  goal at most 5 %: {100 * worst:.2f} % at the worst table, {'met' if worst <= LEVEL else 'missed'}"
    )
    print("pairs to a promotion beside the answers of a fixed A/B test of 90 % power")
    for changed, right in ((0.2, 0.6), (0.2, 0.8), (0.1, 0.9)):
        for effect in (0.03, 0.05, 0.1):
            if effect > changed:
                continue
            runs = [run(100 + seed, given.histories, changed, effect) for seed in range(given.seeds)]
            pairs, power = Spread.of(m for _, m in runs), Spread.of(100 * p for p, _ in runs)
            test = fixed(right, effect)
            ratio = Spread.of(test / m for _, m in runs)
            print(
                f"  {changed:4.0%} changed, +{100 * effect:.0f} points: {pairs.text(0)} pairs "
                f"({power.text(0)} % promoted); A/B {test} answers: {ratio.text(1)} times as many"
            )


if __name__ == "__main__":
    main()
