"""What a gateway was asked, counted by task and by who answered."""

from __future__ import annotations

import asyncio

from modelecology.api.live_records import Usage, Used
from modelecology.serving.gateway.counts import BUSY_SECONDS, IDLE_SECONDS, Counts
from modelecology.serving.gateway.journal import Journal
from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.recorder import MemoryRecorder
from tests.serving.gateway.stage import until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_and_tokens_are_summed_by_task_and_by_who_answered() -> None:
    clock = Clock()
    counts = Counts(clock)
    counts.of("desk")
    counts.add("dates", "dates-1", 30)
    counts.add("dates", "dates-1", 12)
    counts.add("dates", "generalist", 5)
    counts.add(None, None, 0)
    clock.now += 7
    found = counts.take()
    assert found == Usage(
        since=1000.0,
        time=1007.0,
        population="desk",
        used=(
            Used(task="dates", served="dates-1", requests=2, tokens=42),
            Used(task="dates", served="generalist", requests=1, tokens=5),
            Used(requests=1, tokens=0),
        ),
    )
    clock.now += 1
    assert counts.take() == Usage(since=1007.0, time=1008.0, population="desk")


def test_they_are_due_soon_when_somebody_asked_and_now_and_then_when_nobody_did() -> None:
    clock = Clock()
    counts = Counts(clock)
    clock.now += 2 * IDLE_SECONDS
    assert not counts.due  # nobody knows yet of whom
    assert counts.take() is None
    counts.of("desk")
    assert counts.due
    counts.take()
    clock.now += BUSY_SECONDS
    assert not counts.due
    counts.add("dates", "dates-1", 1)
    assert counts.due


def test_a_clock_that_is_set_back_gives_no_time_below_zero() -> None:
    clock = Clock()
    counts = Counts(clock)
    counts.of("desk")
    clock.now -= 500
    found = counts.take()
    assert found is not None
    assert (found.since, found.time) == (1000.0, 1000.0)
    clock.now += 3
    again = counts.take()
    assert again is not None
    assert (again.since, again.time) == (500.0, 503.0)


async def test_the_journal_writes_them_when_they_are_due_and_at_its_end() -> None:
    clock, recorder = Clock(), MemoryRecorder()
    journal = Journal(recorder, GatewayMetrics(), clock)
    journal.counts.of("desk")
    journal.counts.add("dates", "dates-1", 3)
    task = asyncio.create_task(journal.run())
    journal.end()
    await task
    (record,) = recorder.records
    assert isinstance(record, Usage)
    assert record.used == (Used(task="dates", served="dates-1", requests=1, tokens=3),)
    assert recorder.closed
    await until(task.done)
