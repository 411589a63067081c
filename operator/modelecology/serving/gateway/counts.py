"""What a gateway was asked since its last count: by task and by who answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelecology.api.live_records import Usage, Used

BUSY_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
"""How often it says that nobody asked: else nobody could tell that from a gateway that is not there."""


@dataclass(slots=True)
class _Count:
    requests: int = 0
    tokens: int = 0


class Counts:
    """Counts of one population, until they are taken. `now` is seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since = now()
        self._population = ""
        self._counts: dict[tuple[str | None, str | None], _Count] = {}

    def of(self, population: str) -> None:
        """Say whose requests are counted."""
        self._population = population

    def add(self, task: str | None, served: str | None, tokens: int) -> None:
        """Count one request; `served` is who answered, None if nobody did."""
        count = self._counts.setdefault((task, served), _Count())
        count.requests += 1
        count.tokens += tokens

    @property
    def due(self) -> bool:
        """Whether it is time to take them."""
        passed = self._now() - self._since
        return bool(self._population) and passed >= (BUSY_SECONDS if self._counts else IDLE_SECONDS)

    def take(self) -> Usage | None:
        """Take what was counted, and begin anew; None before it is known whose requests they are."""
        if not self._population:
            return None
        counts, self._counts = self._counts, {}
        since, self._since = self._since, self._now()
        # A clock that was set back must not end a count before it began.
        until = max(since, self._since)
        used = (
            Used(task=task, served=served, requests=count.requests, tokens=count.tokens)
            for (task, served), count in counts.items()
        )
        return Usage(since=since, time=until, population=self._population, used=tuple(used))
