"""Asks shadows what users asked, after the users have their answers: bounded, dropped rather than late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .flights import Flights
from .journal import Journal, Said, Seen
from .metrics import GatewayMetrics
from .orders import Order
from .refusal import Refusal
from .tables import Tables
from .upstream import NotServed, Question, Upstream, Whole


@dataclass(frozen=True, slots=True)
class Errand:
    """One request to be asked again of `shadow`."""

    shadow: str
    order: Order
    headers: Mapping[str, str]
    seen: Seen


class Mirror:
    """A bounded queue and a few workers, which use the same engines as users do."""

    def __init__(
        self,
        upstream: Upstream,
        flights: Flights,
        tables: Tables,
        journal: Journal,
        metrics: GatewayMetrics,
        clock: Callable[[], float],
        *,
        most_waiting: int,
        workers: int,
    ) -> None:
        self._upstream = upstream
        self._flights = flights
        self._tables = tables
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._workers = workers
        self._queue: asyncio.Queue[Errand] = asyncio.Queue(most_waiting)

    def offer(self, errand: Errand) -> bool:
        """Take an errand, or drop it if too many wait; never waits itself. Says whether it was taken."""
        try:
            self._queue.put_nowait(errand)
        except asyncio.QueueFull:
            self._metrics.dropped(errand.shadow, "queue_full")
            return False
        return True

    def waiting(self) -> int:
        """Errands in the queue."""
        return self._queue.qsize()

    async def run(self) -> None:
        """Do errands until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            errand = await self._queue.get()
            if not self._wanted(errand):
                self._metrics.dropped(errand.shadow, "stale")
                continue
            said = await self._ask(errand)
            if said is not None:
                self._metrics.mirrored(errand.shadow, "answered" if said.error is None else "failed")
                self._journal.add(replace(errand.seen, shadow=said))

    def _wanted(self, errand: Errand) -> bool:
        """Whether the newest table still has this shadow for the task."""
        held = self._tables.held
        lane = held.plan.lanes.get(errand.seen.task) if held is not None else None
        if held is None or lane is None or lane.shadow is None:
            return False
        return lane.shadow.revision == errand.shadow and errand.shadow not in held.plan.quarantined

    async def _ask(self, errand: Errand) -> Said | None:
        """What the shadow says; None if it was cut off by a quarantine."""
        started = self._clock()
        with self._flights.to(errand.shadow) as flight:
            try:
                return await self._answer(errand, started)
            except asyncio.CancelledError:
                if not flight.isolated:
                    raise
                flight.task.uncancel()
                self._metrics.dropped(errand.shadow, "isolated")
                return None
            except NotServed as miss:
                return self._said(errand, started, error=miss.reason.value)
            except Refusal as refusal:
                return self._said(errand, started, error=refusal.message)

    async def _answer(self, errand: Errand, started: float) -> Said:
        question = Question(
            path=errand.order.path,
            served=errand.shadow,
            body=errand.order.copy_for(errand.shadow),
            headers=errand.headers,
            allowed=lambda: self._wanted(errand),
            with_text=True,
        )
        async with self._upstream.ask(question) as got:
            if not isinstance(got, Whole):
                return self._said(errand, started, error="it streams what was not asked as a stream")
            answer = got.answer
            if answer is None:
                return self._said(errand, started, error=f"HTTP {got.status}")
            self._metrics.counted(errand.shadow, answer.prompt_tokens, answer.completion_tokens)
            return self._said(errand, started, text=answer.text, tokens=answer.completion_tokens)

    def _said(
        self,
        errand: Errand,
        started: float,
        *,
        text: str | None = None,
        tokens: int | None = None,
        error: str | None = None,
    ) -> Said:
        return Said(errand.shadow, text, error, self._clock() - started, tokens)
