"""What a gateway was asked since its last count: by task and by who answered; and its classifier's checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelecology.api.live_records import Checked, Usage, Used

BUSY_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
"""How often it says that nobody asked: else nobody could tell that from a gateway that is not there."""


@dataclass(slots=True)
class _Count:
    requests: int = 0
    tokens: int = 0
    classified: int = 0


class Counts:
    """Counts of one population, until they are taken. `now` is seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since = now()
        self._population = ""
        self._counts: dict[tuple[str | None, str | None], _Count] = {}
        self._checks: dict[tuple[str, str | None, str | None], int] = {}

    def of(self, population: str) -> None:
        """Say whose requests are counted."""
        self._population = population

    def add(self, task: str | None, served: str | None, tokens: int, *, classified: bool = False) -> None:
        """Count one request; `served` is who answered, None if nobody did."""
        count = self._counts.setdefault((task, served), _Count())
        count.requests += 1
        count.tokens += tokens
        count.classified += classified

    def check(self, classifier: str, task: str | None, said: str | None) -> None:
        """Count what a classifier said of a request of a known task; None is for no specialist."""
        key = (classifier, task, said)
        self._checks[key] = self._checks.get(key, 0) + 1

    @property
    def due(self) -> bool:
        """Whether it is time to take them."""
        passed = self._now() - self._since
        return bool(self._population) and passed >= (
            BUSY_SECONDS if self._counts or self._checks else IDLE_SECONDS
        )

    def take(self) -> Usage | None:
        """Take what was counted, and begin anew; None before it is known whose requests they are."""
        if not self._population:
            return None
        counts, self._counts = self._counts, {}
        checks, self._checks = self._checks, {}
        since, self._since = self._since, self._now()
        # A clock that was set back must not end a count before it began.
        until = max(since, self._since)
        used = (
            Used(
                task=task,
                served=served,
                requests=count.requests,
                tokens=count.tokens,
                classified=count.classified,
            )
            for (task, served), count in counts.items()
        )
        checked = (
            Checked(classifier=classifier, task=task, said=said, requests=number)
            for (classifier, task, said), number in checks.items()
        )
        return Usage(
            since=since,
            time=until,
            population=self._population,
            used=tuple(used),
            checked=tuple(checked),
        )
