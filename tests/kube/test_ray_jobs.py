"""RayJobs on a real API server that has KubeRay's kinds: what it accepts, refuses and tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelecology.jobs.kuberay import KubeRayRunner
from modelecology.jobs.port import JobPhase, JobSpec, RunnerRefused, RunnerUnavailable
from modelecology.jobs.ray_job_body import ray_job
from modelecology.kube.ray_jobs import RayJobs
from testbed.binaries import module_dir
from testbed.cluster import Cluster
from testbed.controlplane import ControlPlane
from testbed.waiting import until
from tests.jobs.populations import IMAGE, created, population

Body = dict[str, Any]
_SPEC = JobSpec("train-a", '{"kind":"Train","text":"costs $5"}', cpus=1.5, gpus=1, memory_bytes=2**30)
_LABELS = "modelecology.io/population=desk"
_KINDS = ("rayjobs", "rayclusters")
_RIGHTS = (
    "--verb=get,list,watch,create,delete --resource=rayjobs.ray.io",
    "--verb=get --resource=rayclusters.ray.io",
)
_EVERYTHING: Body = {
    "image": "example.org/other:2",
    "queue": "team-a",
    "podTemplate": {
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "x"}},
        "spec": {
            "serviceAccountName": "default",
            "nodeSelector": {"gpu": "l4"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "volumes": [{"name": "store", "persistentVolumeClaim": {"claimName": "store"}}],
            "containers": [
                {"name": "ray-head", "volumeMounts": [{"name": "store", "mountPath": "/var/store"}]}
            ],
        },
    },
}
_BUCKET: Body = {
    "uri": "s3://bucket/prefix",
    "s3": {"endpoint": "https://s3:9000", "credentialsSecretRef": {"name": "credentials"}},
}


def _crds() -> list[Path]:
    bases = module_dir("kuberay") / "config" / "crd" / "bases"
    return [bases / f"ray.io_{kind}.yaml" for kind in _KINDS]


def _install(cluster: Cluster, *paths: Path) -> None:
    for path in paths:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(path))


@pytest.fixture(scope="module")
def kuberay() -> Iterator[Cluster]:
    """A control plane of its own, which knows our kinds and KubeRay's: these tests change and kill it."""
    with ControlPlane() as cluster:
        cluster.install_crds(Path(__file__).resolve().parents[2] / "crds", *_crds())
        yield cluster


@pytest.fixture
def namespace(kuberay: Cluster) -> str:
    """A new namespace."""
    return kuberay.create_namespace()


@asynccontextmanager
async def _client(namespace: str, kubeconfig: Path) -> AsyncIterator[RayJobs]:
    client = RayJobs(namespace, kubeconfig)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("kube_ray", "store"),
    [
        ({}, None),
        (_EVERYTHING, _BUCKET),
        ({"clusterSelector": {"ray.io/cluster": "shared"}}, None),
    ],
    ids=["nothing said", "everything said", "a cluster that is there"],
)
async def test_a_rendered_ray_job_is_valid_to_the_last_field(
    kuberay: Cluster, namespace: str, kube_ray: Body, store: Body | None
) -> None:
    async with _client(namespace, kuberay.kubeconfig) as client:
        runner = KubeRayRunner(client, created(kuberay, namespace, kube_ray, store), IMAGE)
        await runner.submit(_SPEC)
        await runner.submit(_SPEC)
        status = await runner.status("train-a")
        assert status is not None
        assert status.phase is JobPhase.Pending
        await runner.cancel("train-a")
        assert await runner.status("train-a") is None


def _pod(job: Body) -> Body:
    """Make the pod that KubeRay makes of a RayJob: its template, a command, a token, and more variables."""
    template = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    head = template["spec"]["containers"][0]
    token = {"secretKeyRef": {"name": "train-a-x7k2q", "key": "auth_token"}}
    head["command"], head["args"] = ["/bin/bash", "-c", "--"], ["ulimit -n 65536; ray start --head --block"]
    head["env"] += [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": token},
        {"name": "RAY_CLOUD_INSTANCE_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    head["ports"].append({"name": "metrics", "containerPort": 8080})
    metadata = {"generateName": "train-a-", **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize(
    ("kube_ray", "store"), [({}, None), (_EVERYTHING, _BUCKET)], ids=["nothing said", "everything said"]
)
def test_a_jobs_pod_is_admitted_where_pods_are_restricted(
    kuberay: Cluster, namespace: str, kube_ray: Body, store: Body | None
) -> None:
    kuberay.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    desk = population(kube_ray, store=store, namespace=namespace)
    pod = _pod(ray_job(_SPEC, desk, IMAGE, "python"))
    said = kuberay.kubectl(
        *("create", f"--namespace={namespace}", "--dry-run=server", "--validate=strict", "-f", "-"),
        stdin=json.dumps(pod),
    )
    assert "created" in said


async def test_a_field_of_the_users_that_nobody_knows_is_refused(kuberay: Cluster, namespace: str) -> None:
    async with _client(namespace, kuberay.kubeconfig) as client:
        desk = created(kuberay, namespace, {"podTemplate": {"spec": {"tolerationz": []}}})
        with pytest.raises(RunnerRefused, match=r"podTemplate has a field .*tolerationz"):
            await KubeRayRunner(client, desk, IMAGE).submit(_SPEC)


async def test_a_quantity_that_is_none_is_refused_by_its_field(kuberay: Cluster, namespace: str) -> None:
    async with _client(namespace, kuberay.kubeconfig) as client:
        head = {"name": "ray-head", "resources": {"limits": {"memory": "plenty"}}}
        desk = created(kuberay, namespace, {"podTemplate": {"spec": {"containers": [head]}}})
        with pytest.raises(RunnerRefused, match=r"memory.*plenty.*Mend spec\.jobs\.kubeRay"):
            await KubeRayRunner(client, desk, IMAGE).submit(_SPEC)


async def test_a_kuberay_that_knows_no_tokens_is_refused(
    kuberay: Cluster, namespace: str, tmp_path: Path
) -> None:
    older = yaml.safe_load(_crds()[0].read_text())
    for version in older["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        spec["rayClusterSpec"]["properties"].pop("authOptions", None)
    path = tmp_path / "older.yaml"
    path.write_text(yaml.safe_dump(older))
    try:
        _install(kuberay, path)
        async with _client(namespace, kuberay.kubeconfig) as client:
            runner = KubeRayRunner(client, created(kuberay, namespace), IMAGE)

            async def is_refused() -> bool:
                try:
                    await runner.submit(_SPEC)
                except RunnerRefused as error:
                    return "too old to run jobs with a token" in error.message
                await runner.cancel("train-a")
                return False

            await until(is_refused)  # the API server takes a moment to work by the changed schema
            assert await runner.status("train-a") is None
    finally:
        _install(kuberay, *_crds())


async def test_the_rights_of_the_role_suffice_and_each_is_needed(kuberay: Cluster, namespace: str) -> None:
    user = f"operator-of-{namespace[-8:]}"
    kubeconfig = kuberay.kubeconfig_for(user)
    async with _client(namespace, kubeconfig) as client:
        runner = KubeRayRunner(client, created(kuberay, namespace), IMAGE)
        with pytest.raises(RunnerRefused, match=r"may not create RayJob train-a .*kubeRay\.enabled"):
            await runner.submit(_SPEC)
        for number, right in enumerate(_RIGHTS):
            name = f"operator-{number}"
            kuberay.kubectl("create", "role", name, f"--namespace={namespace}", *right.split())
            kuberay.kubectl(
                *("create", "rolebinding", name, f"--namespace={namespace}", f"--role={name}"),
                f"--user={user}",
            )

        async def may_list() -> bool:
            return (await client.list(_LABELS))[0] == 200

        await until(may_list)
        await runner.submit(_SPEC)
        assert await runner.status("train-a") is not None
        assert (await client.get_cluster("nobody"))[0] == 404
        await runner.tidy()
        await _hears(client, "train-a")
        await runner.cancel("train-a")


async def _hears(client: RayJobs, name: str) -> None:
    heard = asyncio.Event()
    task = asyncio.create_task(client.watch(_LABELS, lambda told: heard.set() if told == name else None))
    try:
        async with asyncio.timeout(30):
            await heard.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_tells_of_everything_that_is_there_changes_or_goes(
    kuberay: Cluster, namespace: str
) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    async with _client(namespace, kuberay.kubeconfig) as client, asyncio.timeout(60):
        runner = KubeRayRunner(client, created(kuberay, namespace), IMAGE)
        other = KubeRayRunner(client, created(kuberay, namespace, name="other"), IMAGE)
        await runner.submit(_SPEC)
        task = asyncio.create_task(client.watch(_LABELS, told.put_nowait))
        assert await told.get() == "train-a"
        await other.submit(JobSpec("train-of-others", "{}", cpus=1))
        await runner.submit(JobSpec("train-b", "{}", cpus=1))
        assert await told.get() == "train-b"
        status = '{"status":{"jobDeploymentStatus":"Running"}}'
        kuberay.kubectl(
            *("patch", "rayjob", "train-b", f"--namespace={namespace}", "--subresource=status"),
            *("--type=merge", f"--patch={status}"),
        )
        assert await told.get() == "train-b"
        await runner.cancel("train-a")
        assert await told.get() == "train-a"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_begins_where_there_is_no_rayjob_yet(kuberay: Cluster, namespace: str) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    async with _client(namespace, kuberay.kubeconfig) as client, asyncio.timeout(60):
        runner = KubeRayRunner(client, created(kuberay, namespace), IMAGE)
        task = asyncio.create_task(client.watch(_LABELS, told.put_nowait))
        await asyncio.wait({task}, timeout=2.0)
        await runner.submit(_SPEC)
        assert await told.get() == "train-a"
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_outlives_the_api_server(kuberay: Cluster, namespace: str) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    async with _client(namespace, kuberay.kubeconfig) as client, asyncio.timeout(120):
        runner = KubeRayRunner(client, created(kuberay, namespace), IMAGE)
        await runner.submit(_SPEC)
        task = asyncio.create_task(client.watch(_LABELS, told.put_nowait))
        assert await told.get() == "train-a"
        await asyncio.to_thread(kuberay.kill_apiserver)
        with pytest.raises(RunnerUnavailable):
            await runner.status("train-a")
        await asyncio.to_thread(kuberay.start_apiserver)
        # Whatever happened meanwhile: all is told again, and then what comes.
        assert await told.get() == "train-a"
        await runner.submit(JobSpec("train-b", "{}", cpus=1))
        while await told.get() != "train-b":
            pass
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_ray_jobs_of_a_population_go_with_it(kuberay: Cluster, namespace: str) -> None:
    desk = created(kuberay, namespace)
    async with _client(namespace, kuberay.kubeconfig) as client:
        runner = KubeRayRunner(client, desk, IMAGE)
        await runner.submit(_SPEC)
        assert await runner.status("train-a") is not None
        kuberay.kubectl("delete", "population", "desk", f"--namespace={namespace}")

        async def gone() -> bool:
            return await runner.status("train-a") is None

        await until(gone)
