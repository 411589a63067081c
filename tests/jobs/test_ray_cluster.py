"""A real Ray: its token is asked for, and nothing of it outlives its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from modelecology.jobs.port import JobPhase, JobSpec, RunnerRefused, RunnerUnavailable
from modelecology.jobs.ray_jobs import RayJobsRunner, TokenProvider
from testbed.family import processes_of
from testbed.places import REPOSITORY
from testbed.ray import RayCluster
from tests.jobs.runner_contract import Until

Connect = Callable[[str, TokenProvider | None], RayJobsRunner]

_OWNER = """
import sys
from testbed.ray import RayCluster
with RayCluster(num_cpus=1) as cluster:
    print(cluster.address, cluster.directory, cluster.token_path.read_text(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make runners that are closed after the test; their jobs hang."""
    runners: list[RayJobsRunner] = []

    def make(address: str, token: TokenProvider | None) -> RayJobsRunner:
        hangs = ("-c", "import time; time.sleep(600)")
        runners.append(RayJobsRunner(address, token, sys.executable, entrypoint=hangs))
        return runners[-1]

    yield make
    for runner in runners:
        await runner.close()


async def test_a_request_without_a_token_is_refused_and_the_secret_is_named(
    ray_cluster: RayCluster, connect: Connect
) -> None:
    runner = connect(ray_cluster.address, None)
    with pytest.raises(RunnerRefused, match=r"asks for a token \(HTTP 401\).*tokenSecretRef") as caught:
        await runner.submit(JobSpec("train-a", "{}", cpus=1))
    assert not caught.value.retry


async def test_a_request_with_a_wrong_token_is_refused_and_the_token_is_not_shown(
    ray_cluster: RayCluster, connect: Connect
) -> None:
    runner = connect(ray_cluster.address, lambda: "wrong-token")
    with pytest.raises(RunnerRefused, match=r"does not accept the token \(HTTP 403\)") as caught:
        await runner.status("train-a")
    assert "wrong-token" not in str(caught.value)


async def test_a_job_without_room_waits_and_can_be_cancelled(
    ray_cluster: RayCluster, connect: Connect, until: Until
) -> None:
    token = ray_cluster.token_path.read_text()
    runner = connect(ray_cluster.address, lambda: token)
    first, second = JobSpec("train-first", "{}", cpus=2), JobSpec("train-second", "{}", cpus=2)
    for spec in (first, second):
        await runner.submit(spec)

    async def phase_is(name: str, phase: JobPhase) -> bool:
        status = await runner.status(name)
        return status is not None and status.phase is phase

    await until(lambda: phase_is(first.name, JobPhase.Running))
    waiting = await runner.status(second.name)
    assert waiting is not None
    assert waiting.phase is JobPhase.Pending
    assert "resources" in waiting.message
    await runner.cancel(second.name)
    await runner.cancel(first.name)
    await until(lambda: phase_is(first.name, JobPhase.Cancelled))
    await until(lambda: phase_is(second.name, JobPhase.Cancelled))


def test_the_token_is_for_its_owner_only(ray_cluster: RayCluster) -> None:
    assert stat.S_IMODE(ray_cluster.token_path.stat().st_mode) == 0o600


async def test_a_killed_head_is_unavailable_and_a_new_one_knows_no_jobs(
    connect: Connect, until: Until
) -> None:
    with RayCluster(num_cpus=1) as cluster:
        token = cluster.token_path.read_text()
        runner = connect(cluster.address, lambda: token)
        await runner.submit(JobSpec("train-a", "{}", cpus=1))
        cluster.kill()
        assert not processes_of(cluster.directory)
        with pytest.raises(RunnerUnavailable, match=r"cannot be reached.*spec\.jobs\.ray\.address"):
            await runner.status("train-a")
        with pytest.raises(RunnerUnavailable):
            await runner.submit(JobSpec("train-a", "{}", cpus=1))
        cluster.revive()
        assert await runner.status("train-a") is None

        async def submitted() -> bool:
            try:
                await runner.submit(JobSpec("train-a", "{}", cpus=1))
            except RunnerUnavailable:  # a head that has just started may have no agent yet
                return False
            return True

        await until(submitted)

        async def running() -> bool:
            status = await runner.status("train-a")
            return status is not None and status.phase is JobPhase.Running

        await until(running)


async def test_a_killed_owner_takes_its_ray_and_its_jobs_along(connect: Connect, until: Until) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _OWNER,
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    address, folder, token = (await owner.stdout.readline()).decode().split()
    directory = Path(folder)
    runner = connect(address, lambda: token)
    await runner.submit(JobSpec("train-a", "{}", cpus=1))

    async def running() -> bool:
        status = await runner.status("train-a")
        return status is not None and status.phase is JobPhase.Running

    await until(running)
    os.kill(owner.pid, signal.SIGKILL)
    await owner.wait()

    async def gone() -> bool:
        return not processes_of(directory) and not os.access(directory, os.F_OK)

    await until(gone)
    with pytest.raises(RunnerUnavailable, match=r"cannot be reached.*spec\.jobs\.ray\.address"):
        await runner.status("train-a")
