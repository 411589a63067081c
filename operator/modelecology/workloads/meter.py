"""What a job costs and how far it is."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable

from modelecology.store import ArtifactStore, Cost, Progress, StoreError

PROGRESS_PAUSE = 2.0
"""Least seconds between two progress records."""


class Meter:
    """Measures from its making on; `clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._start = clock()
        self._cpu = sum(os.times()[:4])
        self.tokens = 0
        self.on_gpu = False

    def cost(self) -> Cost:
        """Give the cost so far: this process and its ended children."""
        wall = self.clock() - self._start
        return Cost(
            cpu_seconds=round(sum(os.times()[:4]) - self._cpu, 3),
            gpu_seconds=round(wall, 3) if self.on_gpu else 0.0,
            wall_seconds=round(wall, 3),
            tokens=self.tokens,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


class ProgressReport:
    """Writes a job's progress to the store, seldom; the first and the last report are always written."""

    def __init__(
        self,
        store: ArtifactStore,
        key: str,
        total: int,
        clock: Callable[[], float] = time.monotonic,
        cost: Callable[[], Cost] | None = None,
    ) -> None:
        self._store = store
        self._key = key
        self._total = total
        self._clock = clock
        self._cost = cost
        self._start = clock()
        self._last: float | None = None

    def report(self, step: int, phase: str, loss: float | None = None) -> None:
        """Say that so many steps are done; a store that fails here fails at the commit, where it matters."""
        now = self._clock()
        if self._last is not None and step < self._total and now - self._last < PROGRESS_PAUSE:
            return
        self._last = now
        left = (now - self._start) / step * (self._total - step) if step else None
        eta = None if left is None else round(left, 1)
        record = Progress(step, self._total, loss, eta, phase, self._cost() if self._cost else None)
        try:
            self._store.write_progress(self._key, record)
        except StoreError:
            return
