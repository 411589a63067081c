"""Renders a RayJob of KubeRay from a job and its population: the same in, the same out.

A RayJob is one try of one job: a Ray cluster of one pod that starts, runs the job and ends. To that pod
KubeRay adds a command that starts Ray, environment variables, the token among them, and nothing that a
restricted namespace would refuse. Its own probes, which call wget, give way to ours.
"""

import json
import math
from typing import Any, Final, TypeAlias

from modelecology.api.jobs import KubeRay
from modelecology.api.meta import API_VERSION
from modelecology.api.population import Population
from modelecology.jobs.pod_template import RAY_HEAD, laid_over
from modelecology.jobs.port import JobSpec, RunnerRefused
from modelecology.jobs.ray_entry import store_variables, variables

Body: TypeAlias = dict[str, Any]

RAY_API: Final = "ray.io/v1"
RAY_VERSION: Final = "2.60.0"
"""The Ray of our workload image; KubeRay wants to know that it has token authentication."""

POPULATION_LABEL: Final = "modelecology.io/population"
LABELS: Final = {"app.kubernetes.io/part-of": "modelecology", "modelecology.io/component": "job"}
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
CLUSTER_LABEL: Final = "ray.io/cluster"

START_SECONDS: Final = 900
"""How long a job may take to start, in seconds, before its own deadline begins: a pod, an image, a Ray."""

ENDING_SECONDS: Final = 10
RAY_MEMORY_BYTES: Final = 2**30
"""What Ray's own processes need in a job's pod, besides the job."""

LEAST_CPUS: Final = 0.1
OBJECT_STORE_BYTES: Final = 100_000_000
"""Our jobs put nothing there, so it is about as small as Ray allows."""

DASHBOARD_PORT: Final = 8265
AGENT_PORT: Final = 52365
_GCS_PORT: Final = 6379
_GROUP: Final = 65532
_MOST_SECONDS: Final = 2**31 - 1


def ray_job(spec: JobSpec, population: Population, image: str, entrypoint: str) -> Body:
    """Render the RayJob of a job, which runs the command `entrypoint`.

    Raises RunnerRefused for a setting of the population that cannot work.
    """
    how = population.spec.jobs.kube_ray or KubeRay()
    meta = population.metadata
    labels = {**LABELS, POPULATION_LABEL: meta.name}
    environment = {"env_vars": variables(spec, store_variables(population))}
    body: Body = {
        "apiVersion": RAY_API,
        "kind": "RayJob",
        "metadata": {
            "name": spec.name,
            "namespace": meta.namespace,
            "labels": labels | ({QUEUE_LABEL: how.queue} if how.queue else {}),
            "ownerReferences": [
                {"apiVersion": API_VERSION, "kind": "Population", "name": meta.name, "uid": meta.uid}
            ],
        },
        "spec": {
            # The other ways start one more pod or container, which has the token too.
            "submissionMode": "HTTPMode",
            "backoffLimit": 0,
            "activeDeadlineSeconds": _deadline(population, how),
            "entrypoint": entrypoint,
            "entrypointNumCpus": spec.cpus,
            "entrypointNumGpus": spec.gpus,
            "runtimeEnvYAML": json.dumps(environment, sort_keys=True),
        },
    }
    body["spec"] |= _shared(how) if how.cluster_selector else _own(spec, population, how, image, labels)
    return body


def _deadline(population: Population, how: KubeRay) -> int:
    # The job keeps its own deadline; this one is for a pod that never starts, and for a job that hangs.
    deadline = int(population.spec.jobs.deadline.total_seconds())
    # In a shared cluster a job may wait for its CPUs as long again.
    return min(deadline * (2 if how.cluster_selector else 1) + START_SECONDS, _MOST_SECONDS)


def _shared(how: KubeRay) -> Body:
    """Run in a Ray cluster that is there. KubeRay must not end that one."""
    selector = how.cluster_selector or {}
    if CLUSTER_LABEL not in selector:
        raise RunnerRefused(
            f"spec.jobs.kubeRay.clusterSelector must name the RayCluster by the label {CLUSTER_LABEL}: "
            "KubeRay looks at no other."
        )
    return {"clusterSelector": dict(selector), "shutdownAfterJobFinishes": False}


def _own(spec: JobSpec, population: Population, how: KubeRay, image: str, labels: dict[str, str]) -> Body:
    template = laid_over(pod_template(spec, population, image, labels), how.pod_template)
    return {
        "jobId": spec.name,
        "suspend": how.queue is not None,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 0,
        "rayClusterSpec": {
            "rayVersion": RAY_VERSION,
            "authOptions": {"mode": "token"},
            "headGroupSpec": {"rayStartParams": _start(spec), "template": template},
        },
    }


def _start(spec: JobSpec) -> dict[str, str]:
    return {
        "dashboard-host": "0.0.0.0",
        "disable-usage-stats": "true",
        # Whatever the pod has: Ray must think that there is room for the job.
        "num-cpus": str(max(1, math.ceil(spec.cpus))),
        "num-gpus": str(math.ceil(spec.gpus)),
        "object-store-memory": str(OBJECT_STORE_BYTES),
    }


def pod_template(spec: JobSpec, population: Population, image: str, labels: dict[str, str]) -> Body:
    """Render the pod that a job runs in, before the user's template is laid over it."""
    head: Body = {
        "name": RAY_HEAD,
        "image": image,
        "env": _environment(population),
        "ports": [
            {"name": "dashboard", "containerPort": DASHBOARD_PORT},
            {"name": "gcs-server", "containerPort": _GCS_PORT},
        ],
        "resources": _resources(spec),
        "readinessProbe": {
            "httpGet": {"path": "/api/gcs_healthz", "port": DASHBOARD_PORT},
            "initialDelaySeconds": 3,
            "periodSeconds": 3,
            "timeoutSeconds": 5,
            "failureThreshold": 20,
        },
        # Long, because a training leaves Ray little time to answer; a dead Ray ends the container anyway.
        "livenessProbe": {
            "httpGet": {"path": "/api/local_raylet_healthz", "port": AGENT_PORT},
            "initialDelaySeconds": 60,
            "periodSeconds": 30,
            "timeoutSeconds": 10,
            "failureThreshold": 20,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shared-mem", "mountPath": "/dev/shm"},
        ],
    }
    return {
        "metadata": {"labels": dict(labels)},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": ENDING_SECONDS,
            "securityContext": {
                "runAsNonRoot": True,
                "fsGroup": _GROUP,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [head],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "shared-mem", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
            ],
        },
    }


def _resources(spec: JobSpec) -> Body:
    """Ask for what the job needs, and for Ray's own memory on top of that.

    A job that needs less than a CPU may use a whole one, since Ray starts on it.
    """
    requests = {"cpu": _cpus(max(spec.cpus, LEAST_CPUS))}
    limits = {"cpu": _cpus(max(spec.cpus, 1.0))}
    both: dict[str, str] = {}
    if spec.memory_bytes is not None:
        both["memory"] = str(spec.memory_bytes + RAY_MEMORY_BYTES)
    if spec.gpus:
        both["nvidia.com/gpu"] = str(math.ceil(spec.gpus))
    return {"requests": requests | both, "limits": limits | both}


def _cpus(count: float) -> str:
    return f"{math.ceil(count * 1000)}m"


def _environment(population: Population) -> list[Body]:
    """List what a job's process is given besides its intent; secrets by reference, so none is read here."""
    store, serving = population.spec.store, population.spec.serving
    found: list[Body] = []
    if store.s3 is not None and store.s3.credentials_secret_ref is not None:
        secret = store.s3.credentials_secret_ref.name
        found += [_secret(key, secret, key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    if serving.token_secret_ref is not None:
        token = serving.token_secret_ref
        found.append(_secret("MODELECOLOGY_ENGINE_TOKEN", token.name, token.key))
    return found


def _secret(variable: str, secret: str, key: str) -> Body:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
