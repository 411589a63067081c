"""What a population has to pay itself.

The evaluations of the generalist and of live specialists belong to no candidate. The population pays for
them, in whichever decision comes next: each result once, by its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelecology.governance.book import Spent
from modelecology.governance.facts import Cost
from modelecology.governance.ledger import spent
from modelecology.governance.rules import Prices
from modelecology.store import StoreError

from .boards import PopulationKey
from .frame import Frame
from .results import cost_of
from .rivals import asked_for_all

_MOST_RESULTS = 256  # as the CRD says; what is more waits for the next decision


@dataclass(slots=True)
class Dues:
    """What populations have to pay themselves: costs of results as read, and of tries that failed."""

    results: dict[str, Cost] = field(default_factory=dict)  # by key; a result never changes
    failed: dict[PopulationKey, dict[str, Cost]] = field(default_factory=dict)  # by the job's name

    def note_failure(self, population: PopulationKey, job: str, cost: Cost) -> None:
        """Remember what a failed evaluation took, until a decision has told it."""
        if cost != Cost():
            self.failed.setdefault(population, {})[job] = cost

    def of(self, frame: Frame) -> dict[str, Cost]:
        """Find what no decision has told yet. Reads the store: run it in a thread."""
        paid = frame.log.book.paid
        failed = self.failed.get((frame.namespace, frame.name), {})
        found = {job: cost for job, cost in failed.items() if job not in paid}
        for asked in asked_for_all(frame):
            key = frame.order(asked).key
            cost = self._result(frame, key) if key not in paid else None
            if cost is not None:
                found[key] = cost
        return dict(list(found.items())[:_MOST_RESULTS])

    def _result(self, frame: Frame, key: str) -> Cost | None:
        if key not in self.results:
            try:
                if frame.store.commit_of(key) is None:
                    return None
                self.results[key] = cost_of(frame.store.manifest(key).cost)
            except StoreError:
                return None  # its turn comes with a later decision
        return self.results[key]


def shared(dues: Mapping[str, Cost], prices: Prices) -> Spent:
    """Put a price on what the population has to pay."""
    return spent(sum(dues.values(), Cost()), prices)
