"""The job double: its faults, its counts, and that a killed process loses nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import JobFailure, JobPhase, JobSpec, RunnerRefused, RunnerUnavailable

_SPEC = JobSpec("train-a", '{"kind":"Train"}', cpus=2, memory_bytes=1 << 30)
_FAILURE = JobFailure("StoreFull", "No space is left.", retry=True)

_CRASH = """
import asyncio, os, signal, sys
from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import JobSpec
runner = InMemoryRunner(directory=sys.argv[1])
asyncio.run(runner.submit(JobSpec("train-a", "{}", cpus=1)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["memory", "directory"])
def double(request: pytest.FixtureRequest, tmp_path: Path) -> InMemoryRunner:
    return InMemoryRunner() if request.param == "memory" else InMemoryRunner(directory=tmp_path / "jobs")


async def _phase(runner: InMemoryRunner, name: str = "train-a") -> JobPhase | None:
    status = await runner.status(name)
    return None if status is None else status.phase


async def test_a_job_advances_only_when_it_is_stepped(double: InMemoryRunner) -> None:
    await double.submit(_SPEC)
    assert await _phase(double) is JobPhase.Pending
    assert double.step() == []
    assert await _phase(double) is JobPhase.Running
    assert double.step() == ["train-a"]
    assert await _phase(double) is JobPhase.Succeeded
    assert double.step() == []
    assert double.spec("train-a") == _SPEC


async def test_a_slow_job_runs_for_so_many_steps(double: InMemoryRunner) -> None:
    double.slow_down(3)
    await double.submit(_SPEC)
    assert [double.step() for _ in range(4)] == [[], [], [], ["train-a"]]


async def test_repeats_are_counted_and_change_nothing(double: InMemoryRunner) -> None:
    for _ in range(3):
        await double.submit(_SPEC)
    double.finish()
    await double.submit(_SPEC)
    assert await _phase(double) is JobPhase.Succeeded
    assert (double.submissions("train-a"), double.starts("train-a"), double.effects("train-a")) == (4, 1, 1)


async def test_the_effect_decides_how_the_job_ends() -> None:
    seen: list[JobSpec] = []

    def effect(spec: JobSpec) -> JobFailure | None:
        seen.append(spec)
        return _FAILURE if len(seen) == 1 else None

    double = InMemoryRunner(effect)
    await double.submit(_SPEC)
    assert double.finish() == ["train-a"]
    status = await double.status("train-a")
    assert status is not None
    assert (status.phase, status.failure, status.message) == (JobPhase.Failed, _FAILURE, _FAILURE.message)
    double.lose("train-a")
    await double.submit(_SPEC)
    double.finish()
    assert await _phase(double) is JobPhase.Succeeded
    assert seen == [_SPEC, _SPEC]
    assert double.starts("train-a") == 2


async def test_a_planned_failure_strikes_as_often_as_planned(double: InMemoryRunner) -> None:
    double.fail("train-", _FAILURE, times=2)
    names = ["evaluate-a", "train-a", "train-b", "train-c"]
    for name in names:
        await double.submit(JobSpec(name, "{}", cpus=1))
    double.finish()
    assert [await _phase(double, name) for name in names] == [
        JobPhase.Succeeded,
        JobPhase.Failed,
        JobPhase.Failed,
        JobPhase.Succeeded,
    ]
    assert [double.effects(name) for name in names] == [1, 0, 0, 1]


async def test_a_job_can_fail_after_its_effect(double: InMemoryRunner) -> None:
    double.fail("train-a", _FAILURE, after_effect=True)
    await double.submit(_SPEC)
    double.finish()
    assert await _phase(double) is JobPhase.Failed
    assert double.effects("train-a") == 1


async def test_a_runner_that_is_down_comes_back_with_its_jobs(double: InMemoryRunner) -> None:
    await double.submit(_SPEC)
    double.go_down()
    with pytest.raises(RunnerUnavailable):
        await double.status("train-a")
    double.finish()
    double.come_back()
    assert await _phase(double) is JobPhase.Succeeded
    assert double.calls("status", "train-a") == 2


async def test_a_runner_can_refuse(double: InMemoryRunner) -> None:
    double.refuse()
    with pytest.raises(RunnerRefused):
        await double.submit(_SPEC)
    assert double.submissions("train-a") == 0


async def test_a_lost_reply_leaves_a_job_that_the_repeat_adopts(double: InMemoryRunner) -> None:
    double.lose_replies()
    with pytest.raises(RunnerUnavailable):
        await double.submit(_SPEC)
    await double.submit(_SPEC)
    assert (double.submissions("train-a"), double.starts("train-a")) == (2, 1)


async def test_a_lost_race_adopts_the_winners_job(double: InMemoryRunner) -> None:
    double.race()
    await double.submit(_SPEC)
    assert double.starts("train-a") == 1
    double.finish()
    assert double.effects("train-a") == 1


async def test_a_lost_job_is_unknown_and_can_be_submitted_again(double: InMemoryRunner) -> None:
    await double.submit(_SPEC)
    double.step()
    double.lose("train-a")
    assert await _phase(double) is None
    await double.submit(_SPEC)
    assert await _phase(double) is JobPhase.Pending
    assert double.starts("train-a") == 2


async def test_a_cancelled_job_has_no_effect(double: InMemoryRunner) -> None:
    await double.submit(_SPEC)
    double.step()
    await double.cancel("train-a")
    double.finish()
    assert await _phase(double) is JobPhase.Cancelled
    assert (double.effects("train-a"), double.cancels("train-a")) == (0, 1)


async def test_an_automatic_job_advances_with_each_question() -> None:
    double = InMemoryRunner(automatic=True)
    await double.submit(_SPEC)
    assert [await _phase(double) for _ in range(3)] == [
        JobPhase.Running,
        JobPhase.Succeeded,
        JobPhase.Succeeded,
    ]


async def test_two_runners_on_one_directory_see_the_same_jobs_and_faults(tmp_path: Path) -> None:
    one, other = InMemoryRunner(directory=tmp_path), InMemoryRunner(directory=tmp_path)
    await one.submit(_SPEC)
    other.finish()
    assert await _phase(one) is JobPhase.Succeeded
    one.go_down()
    with pytest.raises(RunnerUnavailable):
        await other.status("train-a")


async def test_a_killed_process_leaves_its_job_to_the_next(tmp_path: Path) -> None:
    crashed = await asyncio.create_subprocess_exec(sys.executable, "-c", _CRASH, str(tmp_path))
    assert await crashed.wait() < 0
    successor = InMemoryRunner(directory=tmp_path)
    assert successor.unfinished() == ["train-a"]
    await successor.submit(JobSpec("train-a", "{}", cpus=1))
    assert (successor.submissions("train-a"), successor.starts("train-a")) == (2, 1)


async def test_many_at_once_make_one_job(tmp_path: Path) -> None:
    runners = [InMemoryRunner(directory=tmp_path) for _ in range(8)]

    def submit(runner: InMemoryRunner) -> None:
        asyncio.run(runner.submit(_SPEC))

    await asyncio.gather(*(asyncio.to_thread(submit, runner) for runner in runners))
    assert (runners[0].submissions("train-a"), runners[0].starts("train-a")) == (8, 1)
    assert [name for name in os.listdir(tmp_path) if name.startswith("draft-")] == []
