"""The contract of JobRunner, proved alike for the double, a real Ray, and RayJobs on KubeRay's double.

tests/cluster proves it for a real KubeRay.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.kuberay import KubeRayRunner
from modelecology.jobs.kuberay_double import InMemoryRayJobs
from modelecology.jobs.port import JobFailure, JobSpec
from modelecology.jobs.ray_jobs import RayJobsRunner, token_from_file
from tests.jobs.populations import IMAGE, population
from tests.jobs.runner_contract import PROGRAM, RunnerContract, World


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


class KubeRayWorld(World):
    def __init__(self, folder: Path) -> None:
        client = InMemoryRayJobs(self._work, automatic=True)
        super().__init__(KubeRayRunner(client, population(), IMAGE), folder)

    def expect(self, does: str) -> None:
        """The work reads its intent."""

    def _work(self, job: dict[str, Any]) -> tuple[int, str] | None:
        variables = json.loads(job["spec"]["runtimeEnvYAML"])["env_vars"]
        intent = json.loads(variables["MODELECOLOGY_INTENT"])
        if intent["does"] == "hang":
            return None
        with self._runs.open("a") as file:
            file.write(f"{variables['OMP_NUM_THREADS']} {intent['text']}\n")
        match intent["does"]:
            case "state":
                failure = {"reason": "DataInvalid", "message": "Line 7 is broken.", "retry": False}
                return 3, f"a line of the job\n{json.dumps({'modelecologyFailure': failure})}\n"
            case "crash":
                return 1, "a line of the job\nTraceback\nRuntimeError: the last words\n"
            case _:
                return 0, ""


@pytest.fixture(params=["double", "kuberay", "ray"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "double":
        yield DoubleWorld(tmp_path)
        return
    if request.param == "kuberay":
        yield KubeRayWorld(tmp_path)
        return
    cluster = request.getfixturevalue("ray_cluster")
    token = token_from_file(str(cluster.token_path))
    runner = RayJobsRunner(cluster.address, token, sys.executable, entrypoint=("-c", PROGRAM))
    yield RayWorld(runner, tmp_path)
    await runner.close()


class TestRunner(RunnerContract):
    """Each of them."""
