"""The queue: each key once, never twice at a time, the earliest request counts; it knows when it is stuck."""

from __future__ import annotations

import asyncio

import pytest

from modelecology.reconcile.queue import LAST_BACKOFF_SECONDS, WorkKey, WorkQueue

from .stage import StageClock

A, B = WorkKey("Specialist", "d", "a"), WorkKey("Specialist", "d", "b")


@pytest.fixture
def clock() -> StageClock:
    """A clock that the test moves."""
    return StageClock()


@pytest.fixture
def queue(clock: StageClock) -> WorkQueue:
    """An empty queue."""
    return WorkQueue(clock.monotonic)


def test_a_key_that_is_asked_for_often_is_handed_out_once(queue: WorkQueue) -> None:
    for _ in range(3):
        queue.add(A)
    assert queue.take() == A
    assert queue.take() is None


def test_the_earliest_request_counts(queue: WorkQueue, clock: StageClock) -> None:
    queue.add(A, 10.0)
    queue.add(A, 1.0)
    queue.add(A, 5.0)
    assert queue.take() is None
    clock.seconds = 1.0
    assert queue.take() == A
    queue.done(A)
    clock.seconds = 20.0
    assert queue.take() is None


def test_a_key_that_is_worked_on_waits_until_it_is_given_back(queue: WorkQueue) -> None:
    queue.add(A)
    assert queue.take() == A
    queue.add(A)
    queue.add(B)
    assert queue.take() == B
    assert queue.take() is None
    queue.done(A)
    assert queue.take() == A


async def test_a_worker_that_leaves_a_kind_to_others_gets_what_came_after_it(queue: WorkQueue) -> None:
    long = WorkKey("Population", "d", "desk")
    queue.add(long)
    queue.add(A)
    assert await queue.get(leave={"Population"}) == A
    waiting = asyncio.create_task(queue.get(leave={"Population"}))
    await asyncio.sleep(0)
    assert queue.take() == long
    queue.add(B)
    assert await waiting == B


def test_failures_put_a_key_off_longer_each_time_until_it_is_forgiven(queue: WorkQueue) -> None:
    delays = [queue.retry(A) for _ in range(12)]
    assert delays[:3] == [0.2, 0.4, 0.8]
    assert delays[-1] == LAST_BACKOFF_SECONDS
    queue.forgive(A)
    assert queue.retry(A) == 0.2


def test_it_knows_for_how_long_it_has_not_moved(queue: WorkQueue, clock: StageClock) -> None:
    assert queue.overdue() == 0.0
    queue.add(A, 100.0)
    assert queue.overdue() <= 0.0
    clock.seconds = 400.0
    assert queue.overdue() == 300.0
    assert queue.take() == A
    clock.seconds = 1000.0
    assert queue.overdue() == 600.0
    queue.done(A)
    assert queue.overdue() == 0.0


async def test_whoever_waits_is_woken_by_a_new_key() -> None:
    queue = WorkQueue(asyncio.get_running_loop().time)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    async with asyncio.timeout(5):
        assert await waiting == A


async def test_of_two_that_wait_each_gets_one() -> None:
    queue = WorkQueue(asyncio.get_running_loop().time)
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add(A, 0.01)
    queue.add(B, 0.01)
    async with asyncio.timeout(5):
        assert sorted(await asyncio.gather(*waiting)) == [A, B]
