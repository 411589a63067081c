"""The contract of JobRunner: one class of tests, for each world in which a runner has jobs."""

from __future__ import annotations

import asyncio
import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path

from modelecology.jobs.port import (
    JobFailure,
    JobPhase,
    JobRunner,
    JobSpec,
    JobStatus,
)

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

# What a job of these tests does is told by its intent, where a job is a program. The file counts the runs.
PROGRAM = """
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


async def _ended(world: World, name: str, until: Until) -> JobStatus:
    async def finished() -> bool:
        status = await world.runner.status(name)
        return status is not None and status.phase.finished

    await until(finished)
    status = await world.runner.status(name)
    assert status is not None
    return status


async def _is_off(world: World, name: str, until: Until) -> None:
    """Wait until a cancelled job has ended: it is Cancelled, or not known any more."""

    async def off() -> bool:
        status = await world.runner.status(name)
        return status is None or status.phase.finished

    await until(off)
    status = await world.runner.status(name)
    assert status is None or (status.phase, status.failure) == (JobPhase.Cancelled, None)


async def _runs_now(world: World, name: str, until: Until) -> None:
    async def running() -> bool:
        status = await world.runner.status(name)
        return status is not None and status.phase is JobPhase.Running

    await until(running)


class RunnerContract:
    """What every runner keeps; a subclass lies where `world` and `until` are given."""

    async def test_an_unknown_job_has_no_status(self, world: World) -> None:
        assert await world.runner.status("train-nobody") is None

    async def test_a_job_runs_once_with_its_intent_and_succeeds(self, world: World, until: Until) -> None:
        # Dollar signs are what a shell or a runner might expand on the way.
        spec = world.spec("succeed", text="costs $5, ${HOME} and $PATH\\$")
        await world.runner.submit(spec)
        status = await _ended(world, spec.name, until)
        assert (status.name, status.phase, status.failure) == (spec.name, JobPhase.Succeeded, None)
        assert world.runs() == ["1 costs $5, ${HOME} and $PATH\\$"]

    async def test_a_repeated_submission_adopts_the_running_job(self, world: World, until: Until) -> None:
        spec = world.spec("hang")
        await world.runner.submit(spec)
        await world.runner.submit(spec)
        await _runs_now(world, spec.name, until)
        await world.runner.submit(spec)
        await world.runner.cancel(spec.name)
        await _is_off(world, spec.name, until)

    async def test_a_repeated_submission_adopts_the_finished_job(self, world: World, until: Until) -> None:
        spec = world.spec("succeed")
        await world.runner.submit(spec)
        await _ended(world, spec.name, until)
        await world.runner.submit(spec)
        assert (await _ended(world, spec.name, until)).phase is JobPhase.Succeeded
        assert len(world.runs()) == 1

    async def test_a_failure_that_the_job_states_is_given_as_stated(self, world: World, until: Until) -> None:
        spec = world.spec("state")
        await world.runner.submit(spec)
        status = await _ended(world, spec.name, until)
        assert status.phase is JobPhase.Failed
        assert status.failure == JobFailure("DataInvalid", "Line 7 is broken.", retry=False)

    async def test_a_failure_without_a_statement_gives_the_last_lines_and_may_be_retried(
        self, world: World, until: Until
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

    async def test_a_cancelled_job_ends_and_stays_so(self, world: World, until: Until) -> None:
        spec = world.spec("hang")
        await world.runner.submit(spec)
        await _runs_now(world, spec.name, until)
        await world.runner.cancel(spec.name)
        await _is_off(world, spec.name, until)
        await world.runner.cancel(spec.name)
        await _is_off(world, spec.name, until)

    async def test_cancelling_a_finished_job_leaves_it_as_it_is(self, world: World, until: Until) -> None:
        spec = world.spec("succeed")
        await world.runner.submit(spec)
        await _ended(world, spec.name, until)
        await world.runner.cancel(spec.name)
        assert (await _ended(world, spec.name, until)).phase is JobPhase.Succeeded

    async def test_cancelling_an_unknown_job_is_no_error(self, world: World) -> None:
        await world.runner.cancel("train-nobody")

    async def test_a_runner_tells_of_changes_or_is_asked_often(self, world: World, until: Until) -> None:
        told: list[str] = []
        listening = asyncio.create_task(world.runner.changes(told.append))
        spec = world.spec("succeed")
        await world.runner.submit(spec)

        async def heard() -> bool:
            return world.runner.ask_seconds <= 1 or spec.name in told

        await until(heard)
        assert not listening.done()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
