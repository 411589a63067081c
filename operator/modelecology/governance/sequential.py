"""Sequential evidence: is the mean difference above a margin? Answered from as few units as it takes.

A unit is a cluster's mean difference, candidate minus incumbent, in [-1, 1]. Against "the mean is at most m"
one bets on y = (1 + unit) / (1 + m), whose mean is then at most 1: after each unit the wealth is multiplied
by 1 - c + c y, for a stake c of it. Wealth that starts at 1 ever reaches 1 / level with a chance of at most
level, however often and for whatever reason one looks (Ville 1939; Waudby-Smith and Ramdas 2023). The wealth
is spread over fixed stakes once and for all: what it comes to does not depend on the order of the units.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelecology.api.vocabulary import Outcome

from .evidence import EvidenceError
from .facts import Interval

Units = NDArray[np.float64]

# Stakes a factor of the square root of 2 apart, and two near 1 for differences that hardly ever go down.
STAKES: Units = np.array([0.95, 0.85, *(2.0 ** (-k / 2) for k in range(1, 15))])
# The wealth is laid where verdicts are slow: a stake of about 0.18 is best for 3 to 4 points with a fifth of
# the answers changed. Each step above it gets 1 / sqrt(2) of the one before, each step below it half.
PRIOR: Units = np.array([2.0 ** min((k - 5) / 2, 5 - k) for k in range(-1, 15)])
PRIOR /= PRIOR.sum()

ROUNDING = 1e-9  # in logarithms; more than floating point can add to a wealth
LARGEST = 700.0  # the exponential of more is not a number
HALVINGS = 60
EDGE = 1e-12


@dataclass(frozen=True, slots=True)
class Question:
    """Whether the mean difference of a task is above the margin.

    It passes when "at most margin" is refuted, and fails when "at least hopeless" is. An invariant that may
    lose 5 points has the margin -0.05.
    """

    name: str
    margin: float
    level: float  # greatest chance of a pass where the mean is at most margin; 0 never passes
    hopeless: float  # not below margin: less than this is not worth more units
    hopeless_level: float  # greatest chance of a fail where the mean is at least hopeless; 0 never fails


@dataclass(frozen=True, slots=True)
class Answer:
    """What the units say to a question: Pass, Fail, or Inconclusive while more units could tell."""

    question: Question
    outcome: Outcome
    units: int  # met until the answer; what came after it is not looked at
    mean: float
    interval: Interval  # its ends hold at the question's two levels, whenever one looks
    above: float  # e-value against "the mean is at most margin"
    below: float  # e-value against "the mean is at least hopeless"


def answer(question: Question, units: Units) -> Answer:
    """Answer a question from the units so far, in their order. Raises EvidenceError for broken ones."""
    _check(question, units)
    if len(units) == 0:
        return Answer(question, Outcome.INCONCLUSIVE, 0, 0.0, Interval(-1.0, 1.0, 1.0), 1.0, 1.0)
    up, down = log_wealth(units, question.margin), log_wealth(-units, -question.hopeless)
    passed, failed = _first(up, question.level), _first(down, question.hopeless_level)
    met = min(passed, failed, len(units))
    outcome = Outcome.PASS if passed <= met else Outcome.INCONCLUSIVE
    if failed <= met:
        outcome = Outcome.FAIL
    seen = units[:met]
    interval = Interval(
        lower_bound(seen, question.level),
        -lower_bound(-seen, question.hopeless_level),
        1.0 - max(question.level, question.hopeless_level),
    )
    above, below = (math.exp(min(float(path[met - 1]), LARGEST)) for path in (up, down))
    return Answer(question, outcome, met, float(seen.mean()), interval, above, below)


def finished(answers: Iterable[Answer]) -> bool:
    """Say whether a chain needs no more units: a question has failed, or all have passed."""
    outcomes = [each.outcome for each in answers]
    return Outcome.FAIL in outcomes or Outcome.INCONCLUSIVE not in outcomes


def log_wealth(units: Units, margin: float) -> Units:
    """Logarithm of the wealth against "the mean is at most margin" after each unit, along the last axis."""
    gain = (1.0 + units) / (1.0 + margin) - 1.0
    return _mixed(np.stack([np.cumsum(np.log1p(stake * gain), axis=-1) for stake in STAKES], axis=-1))


def log_wealth_of(values: Units, counts: NDArray[np.integer], margin: float) -> Units:
    """The same after so many units of each value, in any order; counts has the values along its last axis."""
    gain = (1.0 + values) / (1.0 + margin) - 1.0
    return _mixed(counts.astype(np.float64) @ np.log1p(np.outer(gain, STAKES)))


def lower_bound(units: Units, level: float) -> float:
    """Greatest mean that the units refute at the level: the true one is above it, whenever one looks.

    It inverts log_wealth, which falls as the margin rises. Mirrored units give the upper bound, mirrored.
    """
    values, counts = np.unique(units, return_counts=True)
    return lower_bound_of(values, counts, level)


def lower_bound_of(values: Units, counts: NDArray[np.integer], level: float) -> float:
    """The same of so many units of each value, in any order."""
    goal = _goal(level)
    low, high = -1.0 + EDGE, 1.0
    if log_wealth_of(values, counts, low) < goal:
        return -1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        refuted = log_wealth_of(values, counts, middle) >= goal
        low, high = (middle, high) if refuted else (low, middle)
    return low


def order(clusters: Iterable[str], seed: str) -> list[str]:
    """Put clusters into the random order that the seed stands for; further ones do not reorder them."""
    return sorted(set(clusters), key=lambda cluster: hashlib.sha256(f"{seed}\n{cluster}".encode()).digest())


def in_order(pairs: Iterable[tuple[str, float, float]], seed: str) -> Units:
    """Turn items into units in the seed's order: the mean difference of each cluster.

    A pair is an item's cluster, the candidate's score and the incumbent's. The mean and not the sum, because
    it stays in [-1, 1] however large a cluster is: bets on a sum would have to fear the largest cluster.
    """
    clusters: dict[str, list[float]] = defaultdict(list)
    for cluster, ours, theirs in pairs:
        clusters[cluster].append(ours - theirs)
    # fsum, so that the order of the items within a cluster does not move its mean.
    means = [math.fsum(clusters[name]) / len(clusters[name]) for name in order(clusters, seed)]
    return np.array(means, dtype=np.float64)


def _mixed(each: Units) -> Units:
    most = each.max(axis=-1)
    mixed: Units = most + np.log(np.exp(each - most[..., None]) @ PRIOR)
    return mixed


def _goal(level: float) -> float:
    return math.log(1.0 / level) + ROUNDING if level > 0.0 else math.inf


def _first(path: Units, level: float) -> int:
    reached = np.flatnonzero(path >= _goal(level))
    return int(reached[0]) + 1 if len(reached) else len(path) + 1


def _check(question: Question, units: Units) -> None:
    if not -1.0 < question.margin <= question.hopeless < 1.0:
        raise EvidenceError(
            f"{question.name}: the margin {question.margin} and the hopeless difference {question.hopeless} "
            "must lie in (-1, 1), in this order."
        )
    if units.ndim != 1 or not bool(np.all(np.abs(units) <= 1.0)):  # a NaN is not within 1 either
        raise EvidenceError(f"{question.name}: differences lie in [-1, 1], one a unit. Mend the scorer.")
