"""From walks to figures: delays, percentiles, and the least, middle and greatest of several runs."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.job_process import JobEnd

FILE_CLOCK_SECONDS = 0.01  # a file's time may be one tick of the kernel behind


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, middle and greatest of several runs."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Raises ValueError for none."""
        found = sorted(values)
        if not found:
            raise ValueError("a spread needs at least one value")
        return cls(found[0], median(found), found[-1])

    def text(self, digits: int) -> str:
        """Write it with so many digits after the point."""
        return " / ".join(f"{value:.{digits}f}" for value in (self.low, self.middle, self.high))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the least value that this share of all values does not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("a percentile needs at least one value")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def delays(ends: Iterable[JobEnd], times: Mapping[str, list[float]]) -> tuple[tuple[float, ...], int]:
    """Pair each end of a specialist's job with its next action: delays in seconds, and ends without one."""
    found: list[float] = []
    unanswered = 0
    for end in ends:
        if not end.specialist:
            continue
        moments = sorted(times.get(end.specialist, []))
        place = bisect_left(moments, end.committed - FILE_CLOCK_SECONDS)
        if place == len(moments):
            unanswered += 1
        else:
            found.append(max(0.0, moments[place] - end.committed))
    return tuple(found), unanswered
