"""A real Ray: its token is asked for, and what happens when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from modelecology.jobs.port import JobPhase, JobSpec, RunnerRefused, RunnerUnavailable
from modelecology.jobs.ray_jobs import RayJobsRunner, token_from_file
from testbed.places import REPOSITORY
from testbed.ray import RayCluster
from testbed.ray_family import processes_of

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

_OWNER = """
import sys
from testbed.ray import RayCluster
with RayCluster(num_cpus=1) as cluster:
    print(cluster.address, cluster.directory, flush=True)
    sys.stdin.read()
"""
_HANGS = ("-c", "import time; time.sleep(600)")


async def test_a_request_without_a_token_is_refused_and_the_secret_is_named(ray_cluster: RayCluster) -> None:
    runner = RayJobsRunner(ray_cluster.address)
    with pytest.raises(RunnerRefused, match=r"asks for a token \(HTTP 401\).*tokenSecretRef") as caught:
        await runner.submit(JobSpec("train-a", "{}", cpus=1))
    assert not caught.value.retry
    await runner.close()


async def test_a_request_with_a_wrong_token_is_refused_and_the_token_is_not_shown(
    ray_cluster: RayCluster,
) -> None:
    runner = RayJobsRunner(ray_cluster.address, lambda: "wrong-token")
    with pytest.raises(RunnerRefused, match=r"does not accept the token \(HTTP 403\)") as caught:
        await runner.status("train-a")
    assert "wrong-token" not in str(caught.value)
    await runner.close()


def test_the_token_is_for_its_owner_only(ray_cluster: RayCluster) -> None:
    assert stat.S_IMODE(ray_cluster.token_path.stat().st_mode) == 0o600


async def test_a_killed_owner_takes_its_ray_and_its_jobs_along(until: Until) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _OWNER,
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    address, folder = (await owner.stdout.readline()).decode().split()
    directory = Path(folder)
    runner = RayJobsRunner(
        address, token_from_file(str(directory / "token")), sys.executable, entrypoint=_HANGS
    )
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
    with pytest.raises(RunnerUnavailable, match="cannot be reached"):
        await runner.status("train-a")
    await runner.close()
