"""The contract of JobRunner on a real KubeRay: RayJobs in pods, where only restricted ones are admitted."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelecology.api.population import Population
from modelecology.jobs.kuberay import KubeRayRunner
from modelecology.jobs.port import JobPhase, JobSpec
from modelecology.kube.ray_jobs import RayJobs
from testbed import waiting
from testbed.errors import KubectlFailed
from testbed.installation import Image, own_all
from testbed.node import NodeCluster
from testbed.places import REPOSITORY
from tests.cluster.conftest import let_others_in
from tests.jobs.populations import population
from tests.jobs.runner_contract import PROGRAM, RunnerContract, Until, World

pytestmark = pytest.mark.long

_LIMIT_SECONDS = 240.0
_CLAIM = "runs"


@dataclass(frozen=True)
class Desk:
    """A namespace with a population and a folder that its pods share with this machine."""

    cluster: NodeCluster
    namespace: str
    folder: Path
    population: Population
    image: str

    def get(self, *arguments: str) -> dict[str, Any]:
        """Read objects."""
        found: dict[str, Any] = json.loads(
            self.cluster.kubectl("get", f"--namespace={self.namespace}", *arguments, "--output=json")
        )
        return found

    async def is_empty(self) -> bool:
        """Say whether nothing of any job is left."""
        return not self.get("rayjobs,rayclusters,pods")["items"]

    def pods(self) -> list[dict[str, Any]]:
        """List the pods of jobs."""
        items: list[dict[str, Any]] = self.get("pods", "--selector=modelecology.io/component=job")["items"]
        return items


class KubeRayWorld(World):
    """The program reads its intent."""

    def __init__(self, desk: Desk, runner: KubeRayRunner, folder: Path) -> None:
        super().__init__(runner, folder)
        self.desk = desk

    def expect(self, does: str) -> None:
        """Nothing has to be prepared."""


@pytest.fixture(scope="module")
def kinds(owned_node: NodeCluster) -> Iterator[None]:
    """Our kinds are there, and are taken away again if nobody else brought them: Helm wants its own."""
    try:
        owned_node.kubectl("get", "crd", "populations.modelecology.io")
        ours = False
    except KubectlFailed:
        owned_node.install_crds(REPOSITORY / "crds")
        ours = True
    yield
    if ours:
        owned_node.kubectl("delete", "-f", str(REPOSITORY / "crds"), timeout_seconds=120.0)


@pytest.fixture(scope="module")
def desk(
    owned_node: NodeCluster,
    images: Mapping[str, Image],
    kinds: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    """A namespace for the whole module."""
    namespace = owned_node.create_restricted_namespace("jobs")
    folder = tmp_path_factory.mktemp("runs")
    let_others_in(folder)
    own_all(folder)
    mount = {"name": _CLAIM, "mountPath": str(folder)}
    # What is asked for fits beside the rest of a small node.
    resources = {"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "3Gi"}}
    head = {"name": "ray-head", "volumeMounts": [mount], "resources": resources}
    volume = {"name": _CLAIM, "persistentVolumeClaim": {"claimName": _CLAIM}}
    how = {"podTemplate": {"spec": {"volumes": [volume], "containers": [head]}}}
    given = population(how, namespace=namespace)
    for manifest in (*_storage(namespace, folder), _manifest(given)):
        made = owned_node.kubectl("create", "-f", "-", "--output=json", stdin=json.dumps(manifest))
    uid = json.loads(made)["metadata"]["uid"]
    yield Desk(
        owned_node,
        namespace,
        folder,
        population(how, namespace=namespace, uid=uid),
        images["workload"].name,
    )
    owned_node.delete_namespace(namespace)


def _manifest(given: Population) -> dict[str, Any]:
    return {
        "apiVersion": "modelecology.io/v1alpha1",
        "kind": "Population",
        "metadata": {"name": given.metadata.name, "namespace": given.metadata.namespace},
        "spec": given.spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }


def _storage(namespace: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    shared = {"accessModes": ["ReadWriteMany"]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{_CLAIM}"},
        "spec": {
            **shared,
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": _CLAIM, "namespace": namespace},
        "spec": {
            **shared,
            "storageClassName": "",
            "volumeName": f"{namespace}-{_CLAIM}",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return volume, claim


@pytest.fixture
async def world(desk: Desk, request: pytest.FixtureRequest, until: Until) -> AsyncIterator[KubeRayWorld]:
    """The runner, and a folder of the test's own."""
    folder = desk.folder / request.node.name.replace("[", "-").replace("]", "")
    folder.mkdir()
    own_all(folder)
    client = RayJobs(desk.namespace, desk.cluster.kubeconfig)
    runner = KubeRayRunner(client, desk.population, desk.image, entrypoint=("-c", PROGRAM))
    yield KubeRayWorld(desk, runner, folder)
    await runner.close()
    # A pod that runs on would keep the next one waiting for its room.
    desk.cluster.kubectl("delete", "rayjobs", "--all", f"--namespace={desk.namespace}", timeout_seconds=120.0)
    await until(desk.is_empty)


@pytest.fixture
def until() -> Until:
    """Wait for a condition, but not for ever: a pod has to start."""
    return partial(waiting.until, seconds=_LIMIT_SECONDS, every=0.2)


class TestKubeRay(RunnerContract):
    """All of it, and what is KubeRay's own."""

    async def test_a_job_whose_pod_is_deleted_has_failed_and_leaves_nothing_behind(
        self, world: KubeRayWorld, until: Until
    ) -> None:
        spec = world.spec("hang")
        await world.runner.submit(spec)
        await _runs(world, spec, until)
        (pod,) = world.desk.pods()
        place = f"--namespace={world.desk.namespace}"
        world.desk.cluster.kubectl("delete", "pod", pod["metadata"]["name"], place, "--grace-period=0")

        async def failed() -> bool:
            status = await world.runner.status(spec.name)
            return status is not None and status.phase is JobPhase.Failed

        await until(failed)
        status = await world.runner.status(spec.name)
        assert status is not None
        assert status.failure is not None
        assert status.failure.retry
        assert status.ran_seconds > 0
        await world.runner.cancel(spec.name)
        await until(world.desk.is_empty)

    async def test_ray_answers_nobody_without_the_token(self, world: KubeRayWorld, until: Until) -> None:
        spec = world.spec("hang")
        await world.runner.submit(spec)
        await _runs(world, spec, until)
        (pod,) = world.desk.pods()
        address = f"http://{pod['status']['podIP']}:8265"
        with pytest.raises(urllib.error.HTTPError) as refusal:
            await asyncio.to_thread(urllib.request.urlopen, f"{address}/api/jobs/", timeout=10)
        with refusal.value as answer:
            assert answer.code == 401

    async def test_a_job_carries_no_kubernetes_credentials(self, world: KubeRayWorld, until: Until) -> None:
        spec = world.spec("hang")
        await world.runner.submit(spec)
        await _runs(world, spec, until)
        (pod,) = world.desk.pods()
        assert pod["spec"]["automountServiceAccountToken"] is False
        mounts = [m["mountPath"] for c in pod["spec"]["containers"] for m in c["volumeMounts"]]
        assert not [path for path in mounts if path.startswith("/var/run/secrets")]

    async def test_a_pod_that_a_quota_forbids_is_told_as_refused_and_runs_when_there_is_room(
        self, world: KubeRayWorld, until: Until
    ) -> None:
        place = f"--namespace={world.desk.namespace}"
        world.desk.cluster.kubectl("create", "quota", "none", "--hard=pods=0", place)
        spec = world.spec("succeed")
        await world.runner.submit(spec)

        async def refused() -> bool:
            status = await world.runner.status(spec.name)
            return status is not None and status.refused

        await until(refused)
        status = await world.runner.status(spec.name)
        assert status is not None
        assert status.phase is JobPhase.Pending
        assert "exceeded quota: none" in status.message
        world.desk.cluster.kubectl("delete", "quota", "none", place)

        async def succeeded() -> bool:
            status = await world.runner.status(spec.name)
            return status is not None and status.phase is JobPhase.Succeeded

        await until(succeeded)

    async def test_the_end_of_a_job_is_told_without_asking(self, world: KubeRayWorld, until: Until) -> None:
        told: list[str] = []
        listening = asyncio.create_task(world.runner.changes(told.append))
        spec = world.spec("state")
        await world.runner.submit(spec)

        async def over() -> bool:
            if not told:
                return False
            told.clear()
            status = await world.runner.status(spec.name)
            return status is not None and status.phase is JobPhase.Failed

        await until(over)
        assert not listening.done()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _runs(world: KubeRayWorld, spec: JobSpec, until: Until) -> None:
    async def running() -> bool:
        status = await world.runner.status(spec.name)
        return status is not None and status.phase is JobPhase.Running

    await until(running)
