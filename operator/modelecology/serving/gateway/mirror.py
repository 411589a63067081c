"""Asks shadows what users asked, after the users have their answers: bounded, dropped rather than late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from modelecology.api.live_records import same_words

from .flights import Flights
from .journal import Journal, Said, Seen
from .metrics import GatewayMetrics
from .refusal import Refusal
from .tables import Tables
from .upstream import NotServed, Question, Upstream, Whole


@dataclass(frozen=True, slots=True)
class Errand:
    """One request to be asked again of `shadow`."""

    shadow: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    seen: Seen

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        return len(self.body) + self.seen.size


class Mirror:
    """A bounded queue and a few workers, which use the same engines as users do.

    `most_bytes` are of what waits and what is under way together.
    """

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
        most_bytes: int,
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
        self._most_bytes = most_bytes
        self._bytes = 0

    def offer(self, errand: Errand) -> None:
        """Take an errand, or drop it if too many wait; never waits itself."""
        if self._queue.full() or self._bytes + errand.size > self._most_bytes:
            self._metrics.dropped(errand.shadow, "queue_full")
            return
        self._queue.put_nowait(errand)
        self._bytes += errand.size

    def waiting(self) -> int:
        """Errands in the queue."""
        return self._queue.qsize()

    async def run(self) -> None:
        """Do errands until cancelled; what waits then is given up."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            while not self._queue.empty():
                self._metrics.dropped(self._queue.get_nowait().shadow, "ended")

    async def _work(self) -> None:
        while True:
            errand = await self._queue.get()
            try:
                await self._run(errand)
            finally:
                self._bytes -= errand.size

    async def _run(self, errand: Errand) -> None:
        if not self._wanted(errand):
            self._metrics.dropped(errand.shadow, "stale")
            return
        said = await self._ask(errand)
        if said is not None:
            self._metrics.mirrored(errand.shadow, "answered" if said.error is None else "failed")
            self._metrics.compared(errand.shadow, _agreed(errand.seen.answer, said))
            self._journal.add(replace(errand.seen, shadow=said))

    def _wanted(self, errand: Errand) -> bool:
        """Whether the newest table still has this shadow for the task."""
        held = self._tables.held
        lane = held.plan.lanes.get(errand.seen.task) if held is not None else None
        if held is None or lane is None or lane.shadow is None:
            return False
        return lane.shadow.revision == errand.shadow and errand.shadow not in held.plan.quarantined

    async def _ask(self, errand: Errand) -> Said | None:
        """What the shadow says; None if it was cut off by a quarantine. Cancelled, it is given up."""
        started = self._clock()
        with self._flights.to(errand.shadow) as flight:
            try:
                return await self._answer(errand, started)
            except asyncio.CancelledError:
                if not flight.isolated:
                    self._metrics.dropped(errand.shadow, "ended")
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
            path=errand.path,
            served=errand.shadow,
            body=errand.body,
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


def _agreed(answer: Said, said: Said) -> bool | None:
    """Whether the shadow says what the user got; None where it says nothing."""
    if answer.text is None or said.text is None:
        return None
    return same_words(said.text, answer.text)
