"""Items to a verdict: three-valued differences with a true effect, judged at every item until answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.histories import Floats
from modelecology.governance.sequential import PRIOR, STAKES, Question, log_wealth

SUITE = 5000  # items; what has no answer by then stays inconclusive
DESIGN = Question("gain", margin=0.0, level=0.05, hopeless=0.03, hopeless_level=0.1)
EFFECTS = tuple(points / 100 for points in range(-10, 16))
STAGES = (400, 1200, SUITE)  # most are answered early, and the rest is looked at in full
BLOCK = 100  # histories at a time: bounds the memory


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Answers to one question over many histories with the same truth."""

    effect: float
    items: NDArray[np.int64]  # met until the answer, one a history
    passed: float  # share
    failed: float


def three_valued(
    random: np.random.Generator, effect: float, changed: float, shape: tuple[int, ...]
) -> Floats:
    """Differences of right-or-wrong scores: +1, 0 and -1."""
    at = random.random(shape)
    return (at < (changed + effect) / 2).astype(np.float64) - (at > 1 - (changed - effect) / 2)


def verdicts(random: np.random.Generator, effect: float, changed: float, histories: int) -> Verdicts:
    """Ask the design's question in many histories."""
    found = [_block(three_valued(random, effect, changed, (BLOCK, SUITE))) for _ in range(histories // BLOCK)]
    won, lost = (np.concatenate([block[side] for block in found]) for side in (0, 1))
    items = np.minimum(np.minimum(won, lost), SUITE)
    return Verdicts(
        effect, items, float(np.mean((won < lost) & (won <= SUITE))), float(np.mean(lost <= items))
    )


def all_effects(
    random: np.random.Generator, changed: float, histories: int, effects: Sequence[float] = EFFECTS
) -> list[Verdicts]:
    """Ask it for each true effect that the changed share allows."""
    return [verdicts(random, effect, changed, histories) for effect in effects if abs(effect) <= changed]


def growth(effect: float, changed: float, items: int) -> tuple[float, float]:
    """Logarithm of the wealth at the expected counts: ours, and with the best bet known beforehand."""
    counts = np.array([(changed + effect) / 2, (changed - effect) / 2]) * items
    best = min(effect / changed, 1 - 1e-9)
    known = float(counts @ np.log1p([best, -best]))
    mixed = np.log(np.exp(counts @ np.log1p(np.outer([1.0, -1.0], STAKES))) @ PRIOR)
    return float(mixed), known


def _block(units: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Item of each history's first pass and first fail; far beyond the suite where there is none."""
    never = 10 * SUITE
    won, lost = np.full(len(units), never), np.full(len(units), never)
    open_ = np.arange(len(units))
    for stage in STAGES:
        if not len(open_):
            break
        now = units[open_, :stage]
        won[open_] = _first(log_wealth(now, DESIGN.margin), DESIGN.level, never)
        lost[open_] = _first(log_wealth(-now, -DESIGN.hopeless), DESIGN.hopeless_level, never)
        open_ = open_[(won[open_] == never) & (lost[open_] == never)]
    return won, lost


def _first(path: Floats, level: float, never: int) -> NDArray[np.int64]:
    reached = path >= np.log(1 / level)
    return np.where(reached.any(axis=-1), reached.argmax(axis=-1) + 1, never)
