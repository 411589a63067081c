"""The engines of a population as the gateway sees them: who is busy, who is gone, who lacks what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

REST_SECONDS: Final = 0.5
"""How long a replica that failed is passed over; one that comes back is used within a second."""

_MOST_LACKING = 1024


@dataclass(slots=True, eq=False)
class Replica:
    """One engine. Times are those of the clock that its `Replicas` reads."""

    endpoint: str
    outstanding: int = 0
    resting_until: float = 0.0
    lacking: dict[str, float] = field(default_factory=dict)

    def fitness(self, served: str, now: float) -> tuple[bool, int]:
        """Sorts replicas: those that can be expected to answer first, then the least busy."""
        return self.resting_until > now or self.lacking.get(served, 0.0) > now, self.outstanding


class Replicas:
    """Chooses among the engines of the newest table."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all: list[Replica] = []
        self._turn = 0

    def use(self, endpoints: Iterable[str]) -> None:
        """Take these engines from now on; what is known of those that stay is kept."""
        known = {replica.endpoint: replica for replica in self._all}
        self._all = [known.get(endpoint) or Replica(endpoint) for endpoint in dict.fromkeys(endpoints)]

    def choices(self, served: str) -> Iterator[Replica]:
        """Every engine once, the best first; the choice is made anew at each step."""
        tried: set[str] = set()
        while left := [replica for replica in self._all if replica.endpoint not in tried]:
            # Equals take turns.
            self._turn += 1
            start = self._turn % len(left)
            now = self._clock()
            best = min(left[start:] + left[:start], key=lambda replica: replica.fitness(served, now))
            tried.add(best.endpoint)
            yield best

    def failed(self, replica: Replica) -> None:
        """It did not answer."""
        replica.resting_until = self._clock() + REST_SECONDS

    def lacks(self, replica: Replica, served: str) -> None:
        """It does not serve this name, or answers with another."""
        if len(replica.lacking) >= _MOST_LACKING:
            replica.lacking.clear()
        replica.lacking[served] = self._clock() + REST_SECONDS

    def __len__(self) -> int:
        return len(self._all)
