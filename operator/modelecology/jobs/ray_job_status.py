"""Reads a RayJob of KubeRay: where the job is, why it failed, and what keeps it from starting."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from modelecology.api.reasons import Reason
from modelecology.jobs.job_failure import failure_from_message
from modelecology.jobs.job_log import cleaned
from modelecology.jobs.port import JobFailure, JobPhase, JobStatus, bounded

_HEAD_READY: Final = "HeadPodReady"
_NO_HEAD: Final = "HeadPodNotFound"
_PROVISIONED: Final = "RayClusterProvisioned"
_POD_REFUSED: Final = "ReplicaFailure"
_UNSCHEDULED: Final = "no node has taken it yet"
# What the API server answers where Pod Security, a quota or another policy is against a pod.
_FORBIDDEN: Final = " is forbidden: "


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, validate_by_name=True)


class _Deployment(StrEnum):
    COMPLETE = "Complete"
    FAILED = "Failed"
    INVALID = "ValidationFailed"


class _RayState(StrEnum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class Owner(_Edge):
    """Who owns an object."""

    uid: str


class Meta(_Edge):
    """Metadata of an object, as far as it matters here."""

    name: str
    uid: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    owner_references: tuple[Owner, ...] = ()


class _Condition(_Edge):
    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class RayClusterStatus(_Edge):
    """What KubeRay says of a job's Ray cluster."""

    conditions: tuple[_Condition, ...] = ()

    def condition(self, kind: str) -> _Condition | None:
        """Find a condition by its type."""
        return next((each for each in self.conditions if each.type == kind), None)

    def head_lost(self) -> _Condition | None:
        """Find the proof that the one pod of a started cluster is gone; KubeRay makes no other one."""
        started, head = self.condition(_PROVISIONED), self.condition(_HEAD_READY)
        if started is None or started.status != "True" or head is None or head.reason != _NO_HEAD:
            return None
        return head

    @property
    def refused(self) -> bool:
        """Whether the API server does not let the pod in; KubeRay asks again and again."""
        found = self.condition(_POD_REFUSED)
        return found is not None and found.status == "True" and _FORBIDDEN in found.message

    def obstacle(self) -> str:
        """Say what keeps the pod from being ready, in the words of Kubernetes; empty if nothing is known."""
        for kind, trouble in ((_POD_REFUSED, "True"), (_HEAD_READY, "False")):
            found = self.condition(kind)
            if found is not None and found.status == trouble:
                reason = _UNSCHEDULED if found.reason == "Unknown" else found.reason
                return ": ".join(part for part in (reason, found.message) if part)
        return ""


class RayCluster(_Edge):
    """A RayCluster, as far as it matters here."""

    status: RayClusterStatus = RayClusterStatus()


class _Info(_Edge):
    start_time: datetime | None = None
    end_time: datetime | None = None


class _Status(_Edge):
    job_status: str = ""
    job_deployment_status: str = ""
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    ray_cluster_name: str = ""
    ray_job_info: _Info = _Info()
    ray_cluster_status: RayClusterStatus = RayClusterStatus()


class _Spec(_Edge):
    suspend: bool = False
    cluster_selector: dict[str, str] | None = None


class RayJob(_Edge):
    """A RayJob, as far as it matters here."""

    metadata: Meta
    spec: _Spec = _Spec()
    status: _Status = Field(default=_Status())

    @property
    def over(self) -> bool:
        """Whether KubeRay has done with it: it holds nothing any more."""
        return self.status.job_deployment_status in tuple(_Deployment)

    @property
    def may_run_on(self) -> bool:
        """Whether KubeRay gave it up in a cluster that it does not end, where the job itself goes on."""
        ended = self.status.job_status in (_RayState.SUCCEEDED, _RayState.STOPPED, _RayState.FAILED)
        return bool(self.spec.cluster_selector) and self.over and not ended

    @property
    def cluster_to_ask(self) -> str:
        """Name the RayCluster that knows whether the job's pod is still there; empty if nobody need ask."""
        own = self.status.ray_cluster_name if not self.spec.cluster_selector else ""
        return own if self.status.job_deployment_status == "Running" and self.phase is None else ""

    @property
    def phase(self) -> JobPhase | None:
        """How the job ended, or None while it has not."""
        status = self.status
        if status.job_status == _RayState.SUCCEEDED:
            return JobPhase.Succeeded
        if status.job_status == _RayState.STOPPED:
            return JobPhase.Cancelled
        ended = status.job_deployment_status in (_Deployment.FAILED, _Deployment.INVALID)
        return JobPhase.Failed if ended or status.job_status == _RayState.FAILED else None


def read_status(job: RayJob, cluster: RayClusterStatus | None = None) -> JobStatus:
    """Say where a job is; `cluster` is newer than what the RayJob says of it. The clock is the cluster's."""
    status, name = job.status, job.metadata.name
    started = _seconds(status.ray_job_info.start_time)
    phase = job.phase
    if phase is None and cluster is not None and (lost := cluster.head_lost()) is not None:
        failure = _lost()
        submitted, ended = _submitted(job), _seconds(lost.last_transition_time)
        return JobStatus(name, JobPhase.Failed, failure.message, failure, submitted, started, ended)
    if phase is None:
        running = status.job_status == _RayState.RUNNING
        if running:
            return JobStatus(name, JobPhase.Running, submitted=_submitted(job), started=started)
        return JobStatus(
            name,
            JobPhase.Pending,
            bounded(cleaned(_waits_for(job))),
            submitted=_submitted(job),
            refused=status.ray_cluster_status.refused,
        )
    ended = _seconds(status.ray_job_info.end_time) or _seconds(status.end_time)
    stated = _failure(job) if phase is JobPhase.Failed else None
    message = stated.message if stated is not None else bounded(cleaned(status.message))
    return JobStatus(name, phase, message, stated, _submitted(job), started, ended)


_HELD: Final = frozenset({"", "Suspending", "Suspended"})


def _submitted(job: RayJob) -> float | None:
    """Give the moment since which the job might run; None while a queue or KubeRay itself holds it back."""
    # KubeRay sets the start time of a suspended job too, and leaves it where it was at a preemption.
    if job.spec.suspend or job.status.job_deployment_status in _HELD:
        return None
    return _seconds(job.status.start_time)


def _waits_for(job: RayJob) -> str:
    if job.spec.suspend:
        return "The job is suspended and waits for its queue (spec.jobs.kubeRay.queue)."
    if not job.status.job_deployment_status:
        return "KubeRay has not taken up the job yet; see whether its operator runs."
    cluster = job.status.ray_cluster_status
    obstacle = cluster.obstacle()
    if cluster.refused:
        return f"Kubernetes refuses the job's pod: {obstacle}. Mend spec.jobs, or the policy or quota."
    return f"The job's pod is not ready: {obstacle}" if obstacle else ""


def _failure(job: RayJob) -> JobFailure:
    status = job.status
    said = cleaned(status.message)
    if status.job_deployment_status == _Deployment.INVALID:
        text = f"KubeRay will not run the job: {said} Mend spec.jobs.kubeRay."
        return JobFailure(Reason.RUNNER_REFUSED, bounded(text), retry=True)
    if status.reason == "DeadlineExceeded":
        obstacle = _waits_for(job) if status.ray_job_info.start_time is None else ""
        text = f"KubeRay ended the job after its deadline. {obstacle} {said}"
        return JobFailure(Reason.DEADLINE_EXCEEDED, bounded(text), retry=True)
    if status.job_status == _RayState.FAILED:
        return failure_from_message(status.message)
    text = f"KubeRay gave the job up ({status.reason or 'no reason given'}): {said}"
    return JobFailure(Reason.RUNNER_UNAVAILABLE, bounded(text), retry=True)


def _lost() -> JobFailure:
    # It may be the job's own fault, so it uses up an attempt.
    text = (
        "The job's pod is gone: it was deleted or evicted, its node failed, or the kernel ended it (often: "
        "out of memory, raise spec.jobs.resources.memory)."
    )
    return JobFailure(Reason.INTERNAL_ERROR, text, retry=True)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
