"""JobWatch by a clock that the test moves: what is noticed, when, and how often the runner is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import JobFailure, JobSpec, RunnerError, RunnerRefused, RunnerUnavailable
from modelecology.jobs.watch import PROBE_SECONDS, JobWatch

_LIMIT_SECONDS = 10.0


@dataclass(eq=False)
class FakeClock:
    """Time that stands still until it is moved; sleepers wake in order."""

    now: float = 0.0
    sleepers: list[tuple[float, asyncio.Event]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.Event()
        self.sleepers.append((self.now + seconds, wake))
        self.changed.set()
        await wake.wait()

    async def settled(self, sleepers: int = 2) -> None:
        """Wait until so many tasks sleep, which means that they have done what there was to do."""
        async with asyncio.timeout(_LIMIT_SECONDS):
            while len(self.sleepers) < sleepers:
                self.changed.clear()
                await self.changed.wait()

    async def advance(self, seconds: float) -> None:
        """Move time on, from one sleeper's end to the next."""
        end = self.now + seconds
        await self.settled()
        while due := [time for time, _ in self.sleepers if time <= end + 1e-9]:
            self.now = min(due)
            woken = [each for each in self.sleepers if each[0] <= self.now]
            self.sleepers = [each for each in self.sleepers if each[0] > self.now]
            for _, wake in woken:
                wake.set()
            # Whoever woke goes as far as it can before time moves on, also one beside the two counted ones.
            await _everybody_waits()
            await self.settled()
        self.now = end


class TellingRunner(InMemoryRunner):
    """A double that tells of changes, when the test says so, and need not be asked often."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[Callable[[str], None]] = []

    @property
    def ask_seconds(self) -> float:
        return 30.0

    async def changes(self, changed: Callable[[str], None]) -> None:
        self.listeners.append(changed)
        await asyncio.Event().wait()

    def tell(self, name: str) -> None:
        for listener in self.listeners:
            listener(name)


@dataclass
class Scene:
    """A watch at work, and what it reported."""

    runner: InMemoryRunner
    clock: FakeClock
    watch: JobWatch
    changes: list[tuple[str, float]]
    news: list[RunnerError | None]

    async def submit(
        self, name: str, committed: Callable[[], bool] = lambda: False, every: float = PROBE_SECONDS
    ) -> None:
        await self.runner.submit(JobSpec(name, "{}", cpus=1))
        self.watch.watch(name, committed, every)

    def asked(self, name: str) -> int:
        return self.runner.calls("status", name)


@asynccontextmanager
async def _scene(runner: InMemoryRunner | None = None) -> AsyncIterator[Scene]:
    runner, clock = runner or InMemoryRunner(), FakeClock()
    changes: list[tuple[str, float]] = []
    news: list[RunnerError | None] = []
    watch = JobWatch(
        runner, lambda name: changes.append((name, round(clock.now, 3))), news.append, clock=clock
    )
    # One job that never ends keeps both tasks of the watch awake, so that time can be moved.
    await runner.submit(JobSpec("other", "{}", cpus=1))
    watch.watch("other", lambda: False)
    task = asyncio.create_task(watch.run())
    try:
        yield Scene(runner, clock, watch, changes, news)
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_commit_is_noticed_at_the_next_look_without_asking_the_runner() -> None:
    async with _scene() as scene:
        committed = asyncio.Event()
        await scene.submit("train-a", committed.is_set)
        await scene.clock.advance(0.35)
        assert scene.changes == []
        committed.set()
        await scene.clock.advance(0.1)
        assert scene.changes == [("train-a", 0.36)]
        assert scene.asked("train-a") == 0


async def test_a_failed_job_is_noticed_within_a_second() -> None:
    async with _scene() as scene:
        await scene.submit("train-a")
        scene.runner.fail("train-a", JobFailure("DataEmpty", "No rows.", retry=False))
        scene.runner.finish("train-a")
        await scene.clock.advance(1.0)
        assert scene.changes == [("train-a", 1.0)]


async def test_a_lost_job_is_noticed_within_a_second() -> None:
    async with _scene() as scene:
        await scene.submit("train-a")
        scene.runner.lose("train-a")
        await scene.clock.advance(1.0)
        assert scene.changes == [("train-a", 1.0)]


async def test_a_change_is_reported_once_although_both_ways_see_it() -> None:
    async with _scene() as scene:
        await scene.submit("train-a", lambda: True)
        scene.runner.finish("train-a")
        await scene.clock.advance(5.0)
        assert [name for name, _ in scene.changes] == ["train-a"]
        assert scene.watch.names == {"other"}


async def test_a_job_can_be_watched_again_after_its_report() -> None:
    async with _scene() as scene:
        await scene.submit("train-a", lambda: True)
        await scene.clock.advance(0.1)
        scene.watch.watch("train-a", lambda: True)
        await scene.clock.advance(0.2)
        assert [name for name, _ in scene.changes] == ["train-a", "train-a"]


async def test_a_job_that_is_watched_no_longer_is_not_reported() -> None:
    async with _scene() as scene:
        committed = asyncio.Event()
        await scene.submit("train-a", committed.is_set)
        await scene.clock.advance(0.1)
        scene.watch.unwatch("train-a")
        committed.set()
        await scene.clock.advance(2.0)
        assert scene.changes == []


async def test_the_runner_is_asked_once_a_second() -> None:
    async with _scene() as scene:
        await scene.submit("train-a")
        await scene.clock.advance(10.0)
        assert scene.asked("train-a") == 10


async def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    async with _scene() as scene:
        await scene.submit("train-a")
        scene.runner.go_down()
        # Asked at 1, 3, 7 and from then on every 5 seconds.
        await scene.clock.advance(23.0)
        assert scene.asked("train-a") == 6
        assert [type(each) for each in scene.news] == [RunnerUnavailable]
        assert isinstance(scene.watch.error, RunnerUnavailable)
        scene.runner.come_back()
        scene.runner.finish("train-a")
        await scene.clock.advance(5.0)
        assert [type(each) for each in scene.news] == [RunnerUnavailable, type(None)]
        assert scene.watch.error is None
        assert [name for name, _ in scene.changes] == ["train-a"]


async def test_a_refusal_is_told_like_an_outage() -> None:
    async with _scene() as scene:
        scene.runner.refuse()
        await scene.clock.advance(3.0)
        assert [type(each) for each in scene.news] == [RunnerRefused]


async def test_a_commit_is_noticed_while_the_runner_is_down() -> None:
    async with _scene() as scene:
        committed = asyncio.Event()
        await scene.submit("train-a", committed.is_set)
        scene.runner.go_down()
        await scene.clock.advance(5.05)
        committed.set()
        await scene.clock.advance(0.1)
        assert scene.changes == [("train-a", 5.06)]


async def test_a_store_that_cannot_be_asked_is_logged_once_and_does_not_stop_the_watch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> bool:
        raise OSError("stale file handle")

    async with _scene() as scene:
        await scene.submit("train-a", broken)
        await scene.submit("train-b", lambda: True)
        await scene.clock.advance(0.5)
        assert [name for name, _ in scene.changes] == ["train-b"]
        assert [record.getMessage() for record in caplog.records] == [
            "job train-a: the store cannot be asked for its commit (stale file handle)"
        ]
        scene.runner.finish("train-a")
        await scene.clock.advance(1.0)
        assert [name for name, _ in scene.changes] == ["train-b", "train-a"]


async def test_without_jobs_the_watch_sleeps_until_one_comes() -> None:
    runner, clock = InMemoryRunner(), FakeClock()
    changes: list[str] = []
    watch = JobWatch(runner, changes.append, clock=clock)
    task = asyncio.create_task(watch.run())
    await _everybody_waits()
    assert clock.sleepers == []
    watch.watch("train-a", lambda: True)
    await clock.settled()
    assert changes == ["train-a"]
    for _, wake in clock.sleepers:
        wake.set()
    clock.sleepers.clear()
    await _everybody_waits()
    assert clock.sleepers == []
    assert runner.calls("status", "train-a") == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outage_is_not_over_because_nobody_asks() -> None:
    async with _scene() as scene:
        scene.runner.go_down()
        await scene.clock.advance(1.0)
        scene.watch.unwatch("other")
        for _, wake in scene.clock.sleepers:
            wake.set()
        await _everybody_waits()
        assert isinstance(scene.watch.error, RunnerUnavailable)
        assert len(scene.news) == 1


async def test_a_store_that_is_dear_to_look_into_is_looked_into_less_often() -> None:
    looks = {"file": 0, "bucket": 0}

    def look(where: str) -> bool:
        looks[where] += 1
        return False

    async with _scene() as scene:
        await scene.submit("train-a", lambda: look("file"))
        await scene.submit("train-b", lambda: look("bucket"), every=0.25)
        await scene.clock.advance(9.999)
        # Each look is late by less than one of the short intervals.
        assert (looks["file"], looks["bucket"]) == (1000, 40)


async def test_a_change_that_is_told_is_asked_about_at_once() -> None:
    runner = TellingRunner()
    async with _scene(runner) as scene:
        await scene.submit("train-a")
        runner.fail("train-a", JobFailure("DataEmpty", "No rows.", retry=False))
        runner.finish("train-a")
        await scene.clock.advance(1.0)
        assert scene.changes == []
        runner.tell("train-a")
        runner.tell("train-nobody")
        await _everybody_waits()
        assert scene.changes == [("train-a", 1.0)]
        assert runner.calls("status", "train-a") == 1


async def test_a_runner_that_tells_is_asked_seldom_besides() -> None:
    runner = TellingRunner()
    async with _scene(runner) as scene:
        await scene.submit("train-a")
        await scene.clock.advance(29.0)
        assert scene.asked("train-a") == 0
        runner.lose("train-a")
        await scene.clock.advance(2.0)
        assert scene.changes == [("train-a", 30.0)]


async def test_a_change_that_is_told_during_an_outage_is_asked_about_until_there_is_an_answer() -> None:
    runner = TellingRunner()
    async with _scene(runner) as scene:
        await scene.submit("train-a")
        await scene.clock.advance(0.5)
        runner.finish("train-a")
        runner.go_down()
        runner.tell("train-a")
        await _everybody_waits()
        assert [type(each) for each in scene.news] == [RunnerUnavailable]
        await scene.clock.advance(2.5)
        runner.come_back()
        await scene.clock.advance(1.0)
        assert scene.changes == [("train-a", 3.5)]
        assert scene.watch.error is None


async def test_a_fault_in_what_tells_of_changes_ends_the_watch() -> None:
    class Broken(InMemoryRunner):
        async def changes(self, changed: Callable[[str], None]) -> None:
            raise LookupError("a fault")

    with pytest.raises(ExceptionGroup) as ended:
        await JobWatch(Broken(), lambda _name: None, clock=FakeClock()).run()
    assert ended.group_contains(LookupError)


async def _everybody_waits() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
