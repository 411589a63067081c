"""How a population's training and evaluation jobs run."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from .meta import ANYTHING, Duration, Model, cel, validated
from .quantities import Cpu, Endpoint, ImageName, LabelValue, Memory, SecretKeyRef, bytes_of


class Ray(Model):
    """Where Ray's Jobs API answers."""

    address: Endpoint = Field(description="Ray's dashboard address, such as http://ray-head:8265.")
    token_secret_ref: SecretKeyRef | None = Field(
        default=None, description="The token of Ray's token authentication."
    )


class KubeRay(Model):
    """How a job runs as a RayJob of KubeRay: in a Ray cluster of its own, or in one that is there."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.clusterSelector) || "
                "!(has(self.image) || has(self.podTemplate) || has(self.queue))",
                "clusterSelector runs jobs in a Ray cluster that is there; leave out image, podTemplate "
                "and queue",
                ".clusterSelector",
            )
        )
    )

    image: ImageName | None = Field(
        default=None, description="The workload image; the operator's own default if it is left out."
    )
    pod_template: dict[str, Any] | None = Field(
        default=None,
        description="A core/v1 PodTemplateSpec which is laid over the one that jobs run in: lists of named "
        "items are merged by name, and the container is called ray-head. Here go volumes, tolerations, node "
        "selectors and service accounts.",
        json_schema_extra=ANYTHING,
    )
    queue: LabelValue | None = Field(
        default=None,
        description="Kueue's LocalQueue: jobs are created suspended, and Kueue starts them.",
    )
    cluster_selector: Annotated[dict[str, LabelValue], Field(min_length=1, max_length=8)] | None = Field(
        default=None, description="Labels of a RayCluster that is there, such as ray.io/cluster."
    )


class Resources(Model):
    """What one job asks for."""

    cpu: Cpu = Field(default="1", description="CPUs, such as 2 or 500m.")
    memory: Memory | None = Field(default=None, description="Memory, such as 4Gi.")
    gpu: int = Field(default=0, ge=0, le=64, description="GPUs.")

    @property
    def cpus(self) -> float:
        """CPUs as a number."""
        return int(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu)

    @property
    def memory_bytes(self) -> int | None:
        """Memory in bytes."""
        return None if self.memory is None else bytes_of(self.memory)


class Jobs(Model):
    """How training and evaluation jobs run."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "self.runner != 'RayJobs' || has(self.ray)",
                "runner RayJobs needs jobs.ray.address; give it, or set jobs.runner to KubeRay",
                ".ray",
            ),
            cel(
                "self.runner == 'RayJobs' || !has(self.ray)",
                "jobs.ray belongs to runner RayJobs; leave it out",
                ".ray",
            ),
            cel(
                "self.runner == 'KubeRay' || !has(self.kubeRay)",
                "jobs.kubeRay belongs to runner KubeRay; leave it out, or set jobs.runner to KubeRay",
                ".kubeRay",
            ),
        )
    )

    runner: Literal["RayJobs", "KubeRay"] = Field(
        default="RayJobs",
        description="RayJobs submits to a running Ray through its Jobs API. KubeRay creates RayJob objects.",
    )
    ray: Ray | None = Field(default=None, description="The running Ray, for runner RayJobs.")
    kube_ray: KubeRay | None = Field(default=None, description="The pods of jobs, for runner KubeRay.")
    resources: Resources = Field(default=Resources(), description="What one job asks for.")
    parallelism: int = Field(default=1, ge=1, le=64, description="Jobs of this population that run at once.")
    deadline: Duration = Field(default=timedelta(hours=2), description="A job that runs longer is ended.")
    retries: int = Field(default=3, ge=0, le=10, description="Further tries after a failure that may pass.")
