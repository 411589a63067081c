"""Confidence bounds for means and paired differences, from plain numbers.

Every bound is one-sided at its confidence: low is not crossed from below with that confidence, and
high not from above. A seed is derived from the numbers themselves, so that equal evidence gives equal bounds.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, betaincinv, ndtr, ndtri, stdtrit

from .facts import Interval

TINY = 1e-12
RESAMPLES = 2000
FEW_UNITS = 10  # below this a bootstrap says nothing
FEW_CHANGES = 5  # so few units off the most frequent value: their tail is not in the sample

Units = NDArray[np.float64]


@lru_cache(maxsize=4096)
def tango(gained: int, lost: int, n: int, confidence: float) -> Interval:
    """Score interval of Tango (1998) for the difference of two paired proportions.

    gained and lost are the discordant pairs, n all pairs. It stays within [-1, 1], also with a count of 0.
    """
    z = float(ndtri(confidence))

    def excess(delta: float) -> float:
        b = -gained - lost + (2 * n - gained + lost) * delta
        c = -lost * delta * (1.0 - delta)
        q = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        variance = n * (2 * q + delta * (1.0 - delta))
        distance = gained - lost - n * delta
        if abs(distance) < TINY:
            return 0.0
        return distance / math.sqrt(variance) if variance > TINY else math.copysign(math.inf, distance)

    point = (gained - lost) / n
    edge = 1.0 - 1e-12
    low, high = -1.0, 1.0
    if point > -edge and excess(-edge) > z:
        low = _root(lambda d: excess(d) - z, -edge, point)
    if point < edge and excess(edge) < -z:
        high = _root(lambda d: excess(d) + z, point, edge)
    return Interval(max(-1.0, min(low, point)), min(1.0, max(high, point)), confidence)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test on the discordant pairs."""
    n = gained + lost
    return min(1.0, 2.0 * float(bdtr(min(gained, lost), n, 0.5))) if n else 1.0


def clopper_pearson(right: int, n: int, confidence: float) -> Interval:
    """Exact bounds of a proportion."""
    alpha = 1.0 - confidence
    low = float(betaincinv(right, n - right + 1, alpha)) if right else 0.0
    high = float(betaincinv(right + 1, n - right, confidence)) if right < n else 1.0
    return Interval(low, high, confidence)


def of_mean(units: Units, confidence: float, least: float, most: float) -> Interval:
    """Bounds of the mean of independent units that lie within [least, most].

    An expanded percentile bootstrap: its level is corrected for the small sample by Student's t. Where the
    sample cannot show its own tail, a bound that holds for any distribution takes its place.
    """
    n = len(units)
    alpha = 1.0 - confidence
    values, counts = np.unique(np.round(units, 12), return_counts=True)
    mode = float(values[int(np.argmax(counts))])
    changed = int(n - counts.max())
    if changed < FEW_CHANGES:
        # No larger share than this departs from the mode, with this confidence, and it may go to either end.
        share = clopper_pearson(changed, n, confidence).high
        low, high = mode + share * (least - mode), mode + share * (most - mode)
    elif n < FEW_UNITS:
        reach = (most - least) * math.sqrt(math.log(1.0 / alpha) / (2 * n))
        low, high = float(units.mean()) - reach, float(units.mean()) + reach
    else:
        level = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, alpha)))
        means = _resampled(units)
        low, high = (float(q) for q in np.quantile(means, (level, 1.0 - level)))
    return Interval(max(least, low), min(most, high), confidence)


def _root(function: object, left: float, right: float) -> float:
    return float(brentq(function, left, right, xtol=1e-12))  # type: ignore[call-overload]  # the stubs want a protocol


def _resampled(units: Units) -> Units:
    seed = hashlib.sha256(np.ascontiguousarray(units).tobytes()).digest()
    random = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    n = len(units)
    means = np.empty(RESAMPLES)
    step = max(1, 1_000_000 // n)  # a million draws at a time bounds the memory
    for start in range(0, RESAMPLES, step):
        stop = min(start + step, RESAMPLES)
        means[start:stop] = units[random.integers(0, n, (stop - start, n))].mean(axis=1)
    return means
