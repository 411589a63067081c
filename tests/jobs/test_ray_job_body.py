"""The RayJob of a job: what KubeRay is told, and what the job's pod is given."""

from __future__ import annotations

import json
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.population import Population
from modelecology.jobs.port import JobSpec, RunnerRefused
from modelecology.jobs.ray_job_body import RAY_VERSION, START_SECONDS, ray_job
from tests.jobs.populations import IMAGE, population

Body = dict[str, Any]
_SPEC = JobSpec("train-a", '{"kind":"Train"}', cpus=2, gpus=1, memory_bytes=4 * 2**30)


def _job(of: Population, spec: JobSpec = _SPEC) -> Body:
    return ray_job(spec, of, IMAGE, "python -m modelecology.workloads")


def _pod(job: Body) -> Body:
    template: Body = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    return template


def _head(job: Body) -> Body:
    head: Body = _pod(job)["spec"]["containers"][0]
    return head


def _environment(job: Body) -> Body:
    found: Body = json.loads(job["spec"]["runtimeEnvYAML"])["env_vars"]
    return found


def test_a_ray_job_has_the_jobs_name_and_goes_with_its_population() -> None:
    desk = population()
    meta = _job(desk)["metadata"]
    assert (meta["name"], meta["namespace"]) == ("train-a", "team-a")
    assert meta["labels"]["modelecology.io/population"] == "desk"
    assert meta["labels"]["modelecology.io/component"] == "job"
    # Neither a controller nor in the way of its owner's deletion: the garbage collector takes it along.
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "modelecology.io/v1alpha1",
            "kind": "Population",
            "name": "desk",
            "uid": desk.metadata.uid,
        }
    ]


def test_a_ray_job_is_one_try_that_ends_by_itself() -> None:
    spec = _job(population(jobs={"deadline": "1h"}))["spec"]
    assert spec["submissionMode"] == "HTTPMode"
    assert spec["backoffLimit"] == 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] == 0
    assert spec["activeDeadlineSeconds"] == 3600 + START_SECONDS
    assert spec["jobId"] == "train-a"
    assert spec["suspend"] is False
    assert _pod({"spec": spec})["spec"]["restartPolicy"] == "Never"


def test_the_longest_deadline_is_one_that_kuberay_can_read() -> None:
    spec = _job(population(jobs={"deadline": "876000h"}))["spec"]
    assert spec["activeDeadlineSeconds"] == 2**31 - 1


def test_ray_asks_for_a_token_and_is_of_a_version_that_can() -> None:
    cluster = _job(population())["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == RAY_VERSION == ray.__version__


def test_a_queue_starts_the_job() -> None:
    job = _job(population({"queue": "team-a"}))
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert job["spec"]["suspend"] is True


def test_the_pod_is_restricted_and_has_no_kubernetes_credentials() -> None:
    job = _job(population())
    spec, head = _pod(job)["spec"], _head(job)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert head["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {m["mountPath"] for m in head["volumeMounts"]} == {"/tmp", "/dev/shm"}


def test_the_pod_has_what_the_job_needs_and_ray_thinks_so_too() -> None:
    job = _job(population())
    resources = _head(job)["resources"]
    assert resources["requests"] == resources["limits"]
    # One GiB is Ray's.
    assert resources["limits"] == {"cpu": "2000m", "memory": str(5 * 2**30), "nvidia.com/gpu": "1"}
    start = job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]
    assert (start["num-cpus"], start["num-gpus"]) == ("2", "1")
    assert (job["spec"]["entrypointNumCpus"], job["spec"]["entrypointNumGpus"]) == (2, 1)


def test_a_job_that_needs_no_cpu_may_use_one_and_asks_for_little() -> None:
    job = _job(population(), JobSpec("shadow-a", "{}", cpus=0))
    assert _head(job)["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "1000m"}}
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "1"
    assert job["spec"]["entrypointNumCpus"] == 0
    assert _environment(job)["OMP_NUM_THREADS"] == "1"


@given(st.floats(0, 512), st.integers(0, 64))
def test_ray_always_has_room_for_its_job(cpus: float, gpus: int) -> None:
    job = _job(population(), JobSpec("train-a", "{}", cpus=cpus, gpus=gpus))
    start = job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]
    assert float(start["num-cpus"]) >= job["spec"]["entrypointNumCpus"]
    assert float(start["num-gpus"]) >= job["spec"]["entrypointNumGpus"]


def test_the_intent_reaches_the_job_unexpanded() -> None:
    job = _job(population(), JobSpec("train-a", '{"text":"costs $5"}', cpus=1))
    assert job["spec"]["entrypoint"] == "python -m modelecology.workloads"
    intent = _environment(job)["MODELECOLOGY_INTENT"]
    assert "$" not in intent
    assert json.loads(intent) == {"text": "costs $5"}


def test_secrets_are_named_and_none_is_read() -> None:
    bucket = {
        "uri": "s3://bucket/prefix",
        "s3": {
            "endpoint": "https://s3.example:9000",
            "region": "eu-west-1",
            "credentialsSecretRef": {"name": "store-credentials"},
        },
    }
    serving = {"tokenSecretRef": {"name": "engine", "key": "bearer"}}
    job = _job(population(store=bucket, serving=serving))
    environment = {e["name"]: e for e in _head(job)["env"]}
    assert _environment(job)["AWS_REGION"] == "eu-west-1"
    assert _environment(job)["MODELECOLOGY_S3_ENDPOINT"] == "https://s3.example:9000"
    for name, secret, key in (
        ("AWS_ACCESS_KEY_ID", "store-credentials", "AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "store-credentials", "AWS_SECRET_ACCESS_KEY"),
        ("MODELECOLOGY_ENGINE_TOKEN", "engine", "bearer"),
    ):
        assert environment[name]["valueFrom"] == {"secretKeyRef": {"name": secret, "key": key}}


def test_a_bucket_without_a_secret_is_reached_by_the_pods_own_identity() -> None:
    job = _job(population(store={"uri": "s3://bucket", "s3": {}}))
    assert _head(job).get("env", []) == []
    assert _environment(job)["AWS_REGION"] == "us-east-1"
    assert "MODELECOLOGY_S3_ENDPOINT" not in _environment(job)


def test_a_shared_cluster_is_told_where_the_bucket_is_and_gives_time_to_wait_for_cpus() -> None:
    how = {"clusterSelector": {"ray.io/cluster": "shared"}}
    bucket = {"uri": "s3://bucket", "s3": {"endpoint": "http://minio:9000"}}
    job = _job(population(how, store=bucket, jobs={"deadline": "1h"}))
    assert _environment(job)["MODELECOLOGY_S3_ENDPOINT"] == "http://minio:9000"
    assert job["spec"]["activeDeadlineSeconds"] == 2 * 3600 + START_SECONDS


def test_the_users_template_is_laid_over_the_pod() -> None:
    template = {
        "spec": {"nodeSelector": {"gpu": "l4"}, "containers": [{"name": "ray-head", "image": "mine"}]}
    }
    job = _job(population({"podTemplate": template}))
    assert _pod(job)["spec"]["nodeSelector"] == {"gpu": "l4"}
    assert _head(job)["image"] == "mine"


def test_a_job_in_a_cluster_that_is_there_neither_starts_nor_ends_it() -> None:
    spec = _job(population({"clusterSelector": {"ray.io/cluster": "shared"}}))["spec"]
    assert spec["clusterSelector"] == {"ray.io/cluster": "shared"}
    assert spec["shutdownAfterJobFinishes"] is False
    assert "rayClusterSpec" not in spec
    # The cluster may know a job of that id from an earlier RayJob of the name.
    assert "jobId" not in spec
    assert "MODELECOLOGY_INTENT" in json.loads(spec["runtimeEnvYAML"])["env_vars"]


def test_a_selector_that_kuberay_cannot_use_is_refused() -> None:
    with pytest.raises(RunnerRefused, match="clusterSelector must name the RayCluster by the label"):
        _job(population({"clusterSelector": {"team": "a"}}))


def test_the_same_job_is_rendered_the_same() -> None:
    assert _job(population()) == _job(population())
