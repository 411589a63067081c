"""The contract of JobRunner, proved alike for the double and for a real Ray."""

from __future__ import annotations

import json
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import (
    JobFailure,
    JobPhase,
    JobRunner,
    JobSpec,
    JobStatus,
    RunnerUnavailable,
)
from modelecology.jobs.ray_jobs import RayJobsRunner, token_from_file

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

# What a job of these tests does is told by its intent. The file counts the runs.
_PROGRAM = """
import json, os, sys, time
intent = json.loads(os.environ["MODELECOLOGY_INTENT"])
with open(intent["runs"], "a") as file:
    file.write(os.environ["OMP_NUM_THREADS"] + " " + intent["text"] + "\\n")
print("a line of the job", flush=True)
if intent["does"] == "state":
    failure = {"reason": "DataInvalid", "message": "Line 7 is broken.", "retry": False}
    print(json.dumps({"modelecologyFailure": failure}))
    sys.exit(3)
if intent["does"] == "crash":
    raise RuntimeError("the last words")
if intent["does"] == "hang":
    time.sleep(600)
"""


class World(ABC):
    """A runner, and jobs that do what a test wants of them."""

    def __init__(self, runner: JobRunner, folder: Path) -> None:
        self.runner = runner
        self._runs = folder / "runs"

    @abstractmethod
    def expect(self, does: str) -> None:
        """Prepare for a job that does so."""

    def spec(self, does: str, text: str = "") -> JobSpec:
        self.expect(does)
        intent = {"does": does, "runs": str(self._runs), "text": text}
        return JobSpec(f"train-{uuid.uuid4().hex}", json.dumps(intent), cpus=1)

    def runs(self) -> list[str]:
        return self._runs.read_text().splitlines() if self._runs.exists() else []


class RayWorld(World):
    def expect(self, does: str) -> None:
        """The program reads its intent."""


class DoubleWorld(World):
    def __init__(self, folder: Path) -> None:
        self._double = InMemoryRunner(self._effect, directory=folder / "double", automatic=True)
        super().__init__(self._double, folder)

    def expect(self, does: str) -> None:
        self._double.slow_down(1_000_000 if does == "hang" else 1)

    def _effect(self, spec: JobSpec) -> JobFailure | None:
        intent = json.loads(spec.intent_json)
        with self._runs.open("a") as file:
            file.write(f"{spec.cpus:.0f} {intent['text']}\n")
        match intent["does"]:
            case "state":
                return JobFailure("DataInvalid", "Line 7 is broken.", retry=False)
            case "crash":
                return JobFailure("InternalError", "a line of the job\nthe last words", retry=True)
            case _:
                return None


@pytest.fixture(params=["double", "ray"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "double":
        yield DoubleWorld(tmp_path)
        return
    cluster = request.getfixturevalue("ray_cluster")
    token = token_from_file(str(cluster.token_path))
    runner = RayJobsRunner(cluster.address, token, sys.executable, entrypoint=("-c", _PROGRAM))
    yield RayWorld(runner, tmp_path)
    await runner.close()


async def _ended(world: World, name: str, until: Until) -> JobStatus:
    async def finished() -> bool:
        status = await world.runner.status(name)
        return status is not None and status.phase.finished

    await until(finished)
    status = await world.runner.status(name)
    assert status is not None
    return status


async def _runs_now(world: World, name: str, until: Until) -> None:
    async def running() -> bool:
        status = await world.runner.status(name)
        return status is not None and status.phase is JobPhase.Running

    await until(running)


async def test_an_unknown_job_has_no_status(world: World) -> None:
    assert await world.runner.status("train-nobody") is None


async def test_a_job_runs_once_with_its_intent_and_succeeds(world: World, until: Until) -> None:
    # Dollar signs are what a shell or a runner might expand on the way.
    spec = world.spec("succeed", text="costs $5, ${HOME} and $PATH\\$")
    await world.runner.submit(spec)
    status = await _ended(world, spec.name, until)
    assert (status.name, status.phase, status.failure) == (spec.name, JobPhase.Succeeded, None)
    assert world.runs() == ["1 costs $5, ${HOME} and $PATH\\$"]


async def test_a_repeated_submission_adopts_the_running_job(world: World, until: Until) -> None:
    spec = world.spec("hang")
    await world.runner.submit(spec)
    await world.runner.submit(spec)
    await _runs_now(world, spec.name, until)
    await world.runner.submit(spec)
    await world.runner.cancel(spec.name)
    assert (await _ended(world, spec.name, until)).phase is JobPhase.Cancelled


async def test_a_repeated_submission_adopts_the_finished_job(world: World, until: Until) -> None:
    spec = world.spec("succeed")
    await world.runner.submit(spec)
    await _ended(world, spec.name, until)
    await world.runner.submit(spec)
    assert (await _ended(world, spec.name, until)).phase is JobPhase.Succeeded
    assert len(world.runs()) == 1


async def test_a_failure_that_the_job_states_is_given_as_stated(world: World, until: Until) -> None:
    spec = world.spec("state")
    await world.runner.submit(spec)
    status = await _ended(world, spec.name, until)
    assert status.phase is JobPhase.Failed
    assert status.failure == JobFailure("DataInvalid", "Line 7 is broken.", retry=False)


async def test_a_failure_without_a_statement_gives_the_last_lines_and_may_be_retried(
    world: World, until: Until
) -> None:
    spec = world.spec("crash")
    await world.runner.submit(spec)
    status = await _ended(world, spec.name, until)
    assert status.phase is JobPhase.Failed
    assert status.failure is not None
    assert status.failure.retry
    assert status.failure.reason == "InternalError"
    assert "a line of the job" in status.failure.message
    assert status.failure.message.endswith("the last words")
    assert status.message == status.failure.message


async def test_a_cancelled_job_ends_cancelled_and_stays_so(world: World, until: Until) -> None:
    spec = world.spec("hang")
    await world.runner.submit(spec)
    await _runs_now(world, spec.name, until)
    await world.runner.cancel(spec.name)
    status = await _ended(world, spec.name, until)
    assert status.phase is JobPhase.Cancelled
    assert status.failure is None
    await world.runner.cancel(spec.name)
    assert (await _ended(world, spec.name, until)).phase is JobPhase.Cancelled


async def test_cancelling_an_unknown_job_is_no_error(world: World) -> None:
    await world.runner.cancel("train-nobody")


async def test_a_forgotten_name_runs_anew_without_the_old_failure(world: World, until: Until) -> None:
    failing = world.spec("state")
    await world.runner.submit(failing)
    await _ended(world, failing.name, until)
    await world.runner.forget(failing.name)
    assert await world.runner.status(failing.name) is None
    world.expect("crash")
    again = JobSpec(failing.name, failing.intent_json.replace('"state"', '"crash"'), cpus=1)
    await world.runner.submit(again)
    status = await _ended(world, again.name, until)
    assert status.failure is not None
    assert status.failure.reason != "DataInvalid"
    assert len(world.runs()) == 2


async def test_forgetting_an_unknown_job_is_no_error(world: World) -> None:
    await world.runner.forget("train-nobody")


async def test_a_running_job_is_not_forgotten(world: World, until: Until) -> None:
    spec = world.spec("hang")
    await world.runner.submit(spec)
    await _runs_now(world, spec.name, until)
    with pytest.raises(RunnerUnavailable, match="Cancel it first"):
        await world.runner.forget(spec.name)
    await world.runner.cancel(spec.name)
    assert (await _ended(world, spec.name, until)).phase is JobPhase.Cancelled
