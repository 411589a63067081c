"""The rights on KubeRay's kinds: each is needed, and none is spare."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

import pytest

from modelecology.jobs.kuberay import KubeRayRunner
from modelecology.jobs.port import JobSpec, RunnerError
from modelecology.kube.ray_jobs import RayJobs
from testbed.audit import FORBIDDEN, AuditLog, Request
from testbed.binaries import module_dir
from testbed.controlplane import ControlPlane
from testbed.places import REPOSITORY
from testbed.waiting import holds_within
from tests.jobs.populations import IMAGE, created

from .role import Right, grant, kuberay_rights

SPEC = JobSpec("train-a", "{}", cpus=1)
CLUSTER = "train-a-x1"
PATIENCE = 20.0


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane that knows KubeRay's kinds and writes down every request; no KubeRay runs in it."""
    with ControlPlane(audit=True) as found:
        found.install_crds(REPOSITORY / "crds", module_dir("kuberay") / "config" / "crd" / "bases")
        yield found


def _life(plane: ControlPlane, granted: tuple[Right, ...]) -> list[Request]:
    """Do all that is ever done to a job with these rights; the requests that it took."""
    namespace = plane.create_namespace("rights")
    user = grant(plane, namespace, granted)
    log = AuditLog(plane.audit_log)
    log.skip()
    asyncio.run(_work(plane, namespace, user))
    requests: list[Request] = []

    def heard() -> bool:
        requests.extend(log.read(user))
        return {"create", "watch"} <= {r.verb for r in requests}

    holds_within(heard, PATIENCE if Right("ray.io", "rayjobs", "list") in granted else 1.0)
    return requests


async def _work(plane: ControlPlane, namespace: str, user: str) -> None:
    kubeconfig = plane.kubeconfig_for(user)
    owner = await asyncio.to_thread(created, plane, namespace)
    runner = KubeRayRunner(RayJobs(namespace, kubeconfig), owner, IMAGE)
    watching = asyncio.create_task(runner.changes(lambda _name: None))
    try:
        with contextlib.suppress(RunnerError):
            await runner.submit(SPEC)
        await asyncio.to_thread(_as_kuberay, plane, namespace)
        for step in (runner.status, runner.cancel):
            with contextlib.suppress(RunnerError):
                await step(SPEC.name)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await runner.close()


def _as_kuberay(plane: ControlPlane, namespace: str) -> None:
    """Say of the job, if it is there, that it runs in a cluster."""
    if not plane.kubectl("get", "rayjobs", "--output=name", f"--namespace={namespace}"):
        return
    status = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", "rayClusterName": CLUSTER}
    plane.kubectl(
        "patch",
        "rayjob",
        SPEC.name,
        f"--namespace={namespace}",
        "--subresource=status",
        "--type=merge",
        f"--patch={json.dumps({'status': status})}",
    )


@pytest.mark.parametrize("right", kuberay_rights(), ids=str)
def test_without_one_right_on_kuberays_kinds_the_runner_is_refused_just_that(
    plane: ControlPlane, right: Right
) -> None:
    granted = tuple(each for each in kuberay_rights() if each != right)
    refused = {Right(*r.right) for r in _life(plane, granted) if r.code == FORBIDDEN}
    assert refused == {right}


def test_in_the_life_of_a_job_every_right_is_used_and_none_is_missing(plane: ControlPlane) -> None:
    requests = _life(plane, kuberay_rights())
    assert [r for r in requests if r.code == FORBIDDEN] == []
    assert {Right(*r.right) for r in requests} == set(kuberay_rights())
