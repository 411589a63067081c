"""What is in use today: fixed-size tests, run again or peeked at, and the package evalsig where installed.

    uv pip install --no-deps --target FOLDER evalsig==0.1.2    and PYTHONPATH=FOLDER

evalsig (Apache-2.0, on PyPI) is a release gate for evaluations: McNemar's test with a smallest effect, and a
confidence sequence. It is no dependency: without it the bench says so and goes on.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from bench.histories import Counts, Flags, Floats, Judge, means

SMALLEST = 0.005  # the least effect that evalsig's own quickstart asks for


class _Tested(Protocol):
    delta: float
    p_value: float


class _Walked(Protocol):
    stopped: bool
    n_pairs: int
    delta: float


class Evalsig(Protocol):
    """The two of evalsig's judges that fit paired right-or-wrong scores."""

    def gate(self, counts: Counts) -> tuple[Flags, Floats]: ...
    def sequential(self, units: Floats) -> tuple[bool, int]: ...


def paired(counts: Counts, alpha: float = 0.05) -> tuple[Flags, Floats]:
    """Exact one-sided McNemar test on all units, and the score."""
    whole = counts.sum(axis=1)
    up, down = whole[:, 0], whole[:, 2]
    return binom.sf(up - 1, up + down, 0.5) <= alpha, means(whole)


def peeked(counts: Counts, alpha: float = 0.05) -> tuple[Flags, Floats]:
    """The same test after each part, and the first success counts."""
    cumulated = counts.cumsum(axis=1)
    up, down = cumulated[..., 0], cumulated[..., 2]
    return (binom.sf(up - 1, up + down, 0.5) <= alpha).any(axis=-1), means(cumulated[:, -1])


def paired_size(effect: float, changed: float, alpha: float, power: float) -> int:
    """Items that McNemar's one-sided test needs (Connor 1987)."""
    a, b = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)
    return math.ceil(((a * math.sqrt(changed) + b * math.sqrt(changed - effect**2)) / effect) ** 2)


def unpaired_size(effect: float, incumbent: float, alpha: float, power: float) -> int:
    """Items of each model that the one-sided comparison of two proportions needs."""
    a, b = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)
    candidate, middle = incumbent + effect, incumbent + effect / 2
    under = math.sqrt(2 * middle * (1 - middle))
    apart = math.sqrt(incumbent * (1 - incumbent) + candidate * (1 - candidate))
    return math.ceil(((a * under + b * apart) / effect) ** 2)


def evalsig() -> Evalsig | None:
    """The installed package; None where it is not."""
    if importlib.util.find_spec("evalsig") is None:
        return None
    return _Installed()


class _Installed:
    def __init__(self) -> None:
        self._mcnemar = importlib.import_module("evalsig.inference.mcnemar")
        self._sequential = importlib.import_module("evalsig.inference.sequential")

    def gate(self, counts: Counts) -> tuple[Flags, Floats]:
        """Its gate's rule: significant, one-sided, and at least the smallest effect."""
        found: list[_Tested] = [
            self._mcnemar.mcnemar_test(*_scores(each), alternative="greater") for each in counts.sum(axis=1)
        ]
        passed = [each.p_value < 0.05 and each.delta >= SMALLEST for each in found]
        return np.array(passed), np.array([each.delta for each in found])

    def sequential(self, units: Floats) -> tuple[bool, int]:
        """Its sequential gate over a stream of differences: whether it stopped, and after how many."""
        found: _Walked = self._sequential.sequential_gate(iter(units.tolist()), alpha=0.05)
        return found.stopped and found.delta > 0, found.n_pairs


def _scores(counts: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Right-or-wrong scores of incumbent and candidate with these counts of better, same and worse."""
    up, same, down = counts
    before = np.concatenate([np.zeros(up), np.ones(same), np.ones(down)])
    after = np.concatenate([np.ones(up), np.ones(same), np.zeros(down)])
    return before.astype(np.int64), after.astype(np.int64)


JUDGES: dict[str, Judge] = {"fixed paired test, re-run": paired, "peeking 50 times": peeked}
