"""Requests that run now, by who answers them, so that a quarantine finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Flight:
    """One running request; `isolated` says why its task was cancelled."""

    served: str
    task: asyncio.Task[object]
    isolated: bool = False


class Flights:
    """All that run."""

    def __init__(self) -> None:
        self._by_name: dict[str, set[Flight]] = {}

    @contextmanager
    def to(self, served: str) -> Iterator[Flight]:
        """The current task runs a request on `served` meanwhile."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a flight needs a task")
        flight = Flight(served, task)
        self._by_name.setdefault(served, set()).add(flight)
        try:
            yield flight
        finally:
            flying = self._by_name[served]
            flying.discard(flight)
            if not flying:
                del self._by_name[served]

    def cut(self, names: Iterable[str]) -> list[str]:
        """Cancel what runs on these names; gives a name for each."""
        found = [flight for name in names for flight in self._by_name.get(name, ()) if not flight.isolated]
        for flight in found:
            flight.isolated = True
            flight.task.cancel()
        return [flight.served for flight in found]
