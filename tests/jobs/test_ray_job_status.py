"""What is read from a RayJob: its phase, its failure, its times, and what keeps it from starting."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from modelecology.jobs.port import JobPhase, JobStatus
from modelecology.jobs.ray_job_status import RayCluster, RayJob, read_status

Body = dict[str, Any]
_MADE, _BEGUN, _RAN = "2026-03-01T12:00:00Z", "2026-03-01T12:00:05Z", "2026-03-01T12:01:00Z"
_OVER = "2026-03-01T12:11:00Z"


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).astimezone(UTC).timestamp()


def _job(spec: Body | None = None, **status: object) -> RayJob:
    body = {
        "metadata": {"name": "train-a", "uid": "u", "creationTimestamp": _MADE},
        "spec": spec or {},
        "status": status,
    }
    return RayJob.model_validate(body)


def _read(spec: Body | None = None, **status: object) -> JobStatus:
    return read_status(_job(spec, **status))


def _condition(kind: str, status: str, reason: str, message: str = "") -> Body:
    moment = {"lastTransitionTime": _OVER}
    return {"type": kind, "status": status, "reason": reason, "message": message, **moment}


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({}, JobPhase.Pending),
        ({"jobDeploymentStatus": "Initializing"}, JobPhase.Pending),
        ({"jobDeploymentStatus": "Running"}, JobPhase.Pending),
        ({"jobDeploymentStatus": "Running", "jobStatus": "PENDING"}, JobPhase.Pending),
        ({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, JobPhase.Running),
        ({"jobDeploymentStatus": "Suspended"}, JobPhase.Pending),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, JobPhase.Succeeded),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, JobPhase.Cancelled),
        ({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}, JobPhase.Failed),
        ({"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}, JobPhase.Failed),
        ({"jobDeploymentStatus": "ValidationFailed"}, JobPhase.Failed),
        ({"jobDeploymentStatus": "SomethingNew"}, JobPhase.Pending),
    ],
)
def test_each_status_of_kuberay_is_a_phase(status: Body, phase: JobPhase) -> None:
    found = _read(**status)
    assert found.phase is phase
    assert (found.failure is not None) == (phase is JobPhase.Failed)


def test_the_times_are_those_of_ray_where_it_knows_them() -> None:
    info = {"startTime": _RAN, "endTime": _OVER}
    found = _read(
        jobDeploymentStatus="Complete",
        jobStatus="SUCCEEDED",
        startTime=_BEGUN,
        endTime=_OVER,
        rayJobInfo=info,
    )
    assert (found.submitted, found.started, found.ended) == (
        _seconds(_BEGUN),
        _seconds(_RAN),
        _seconds(_OVER),
    )
    assert found.ran_seconds == 600


def test_a_job_that_a_queue_holds_back_does_not_wait_for_room_yet() -> None:
    found = _read({"suspend": True}, jobDeploymentStatus="Suspended")
    assert found.submitted is None
    assert "waits for its queue" in found.message


def test_a_job_that_kuberay_has_taken_up_waits_since_then() -> None:
    assert _read(jobDeploymentStatus="Initializing", startTime=_BEGUN).submitted == _seconds(_BEGUN)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (_condition("HeadPodReady", "False", "ImagePullBackOff", "ray-head: Back-off"), "ImagePullBackOff"),
        (_condition("HeadPodReady", "False", "Unknown"), "no node has taken it yet"),
        (
            _condition("ReplicaFailure", "True", "FailedCreateHeadPod", "violates PodSecurity"),
            "FailedCreateHeadPod: violates PodSecurity",
        ),
    ],
)
def test_a_job_that_does_not_start_says_what_its_pod_lacks(condition: Body, said: str) -> None:
    found = _read(jobDeploymentStatus="Initializing", rayClusterStatus={"conditions": [condition]})
    assert found.phase is JobPhase.Pending
    assert said in found.message


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ('pods "train-a-head" is forbidden: violates PodSecurity "restricted:latest"', True),
        ('pods "train-a-head" is forbidden: exceeded quota: small, requested: pods=1', True),
        ("etcdserver: request timed out", False),
    ],
)
def test_a_pod_that_kubernetes_does_not_let_in_is_told_from_one_that_waits(said: str, refused: bool) -> None:
    condition = _condition("ReplicaFailure", "True", "FailedCreateHeadPod", said)
    found = _read(jobDeploymentStatus="Initializing", rayClusterStatus={"conditions": [condition]})
    assert (found.phase, found.refused) == (JobPhase.Pending, refused)
    assert said in found.message
    assert ("Kubernetes refuses" in found.message) is refused


def test_a_failure_that_the_job_states_is_found_in_rays_message() -> None:
    stated = {"modelecologyFailure": {"reason": "DataInvalid", "message": "Line 7.", "retry": False}}
    message = (
        "Job entrypoint command failed with exit code 3, last available logs (truncated to 20,000 chars):\n"
        f"a line\n{json.dumps(stated)}\n"
    )
    failure = _read(jobDeploymentStatus="Failed", jobStatus="FAILED", message=message).failure
    assert failure is not None
    assert (failure.reason, failure.message, failure.retry) == ("DataInvalid", "Line 7.", False)


def test_a_job_that_says_nothing_is_given_its_exit_code_and_last_lines() -> None:
    message = (
        "Job entrypoint command failed with exit code -9, last available logs (truncated to 20,000 chars):\n"
        "step 7\n"
    )
    failure = _read(jobDeploymentStatus="Failed", jobStatus="FAILED", message=message).failure
    assert failure is not None
    assert (failure.reason, failure.retry) == ("InternalError", True)
    assert "SIGKILL" in failure.message
    assert failure.message.endswith("step 7")


def test_a_job_that_ray_had_no_room_for_is_late() -> None:
    message = "Job supervisor actor failed to start within 900 seconds. This may be because ..."
    failure = _read(jobDeploymentStatus="Failed", jobStatus="FAILED", message=message).failure
    assert failure is not None
    assert (failure.reason, failure.retry) == ("DeadlineExceeded", True)


def test_a_job_that_ray_could_not_run_is_not_at_fault() -> None:
    message = "runtime_env setup failed: the agent did not answer"
    failure = _read(jobDeploymentStatus="Failed", jobStatus="FAILED", message=message).failure
    assert failure is not None
    assert (failure.reason, failure.retry) == ("RunnerUnavailable", True)


def test_a_job_that_never_started_says_what_its_pod_lacked() -> None:
    conditions = [_condition("HeadPodReady", "False", "ErrImagePull", "no such image")]
    failure = _read(
        jobDeploymentStatus="Failed",
        reason="DeadlineExceeded",
        message="The RayJob has passed the activeDeadlineSeconds.",
        rayClusterStatus={"conditions": conditions},
    ).failure
    assert failure is not None
    assert (failure.reason, failure.retry) == ("DeadlineExceeded", True)
    assert "ErrImagePull: no such image" in failure.message


def test_a_ray_job_that_kuberay_refuses_names_the_field_to_mend() -> None:
    failure = _read(jobDeploymentStatus="ValidationFailed", message="The RayJob spec is invalid.").failure
    assert failure is not None
    assert (failure.reason, failure.retry) == ("RunnerRefused", True)
    assert "Mend spec.jobs.kubeRay" in failure.message


def test_a_job_whose_pod_is_gone_has_failed_although_its_ray_job_says_nothing() -> None:
    conditions = [
        _condition("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime"),
        _condition("HeadPodReady", "False", "HeadPodNotFound"),
    ]
    cluster = RayCluster.model_validate({"status": {"conditions": conditions}}).status
    job = _job(jobDeploymentStatus="Running", jobStatus="RUNNING", rayJobInfo={"startTime": _RAN})
    found = read_status(job, cluster)
    assert found.phase is JobPhase.Failed
    assert found.failure is not None
    assert found.failure.retry
    # It is charged until its pod was gone.
    assert found.ran_seconds == 600


def test_a_cluster_that_has_not_started_yet_has_lost_nothing() -> None:
    conditions = [
        _condition("RayClusterProvisioned", "False", "RayClusterPodsProvisioning"),
        _condition("HeadPodReady", "False", "HeadPodNotFound"),
    ]
    cluster = RayCluster.model_validate({"status": {"conditions": conditions}}).status
    assert read_status(_job(jobDeploymentStatus="Running"), cluster).phase is JobPhase.Pending


def test_only_a_running_job_in_a_cluster_of_its_own_is_worth_asking_its_cluster() -> None:
    running: Body = {"jobDeploymentStatus": "Running", "rayClusterName": "train-a-x"}
    assert _job(**running).cluster_to_ask == "train-a-x"
    assert _job({"clusterSelector": {"ray.io/cluster": "shared"}}, **running).cluster_to_ask == ""
    assert _job(jobDeploymentStatus="Initializing", rayClusterName="train-a-x").cluster_to_ask == ""
    assert _job(**{**running, "jobStatus": "SUCCEEDED"}).cluster_to_ask == ""


@pytest.mark.parametrize("state", ["", "Suspending", "Suspended"])
def test_time_in_a_queue_or_without_kuberay_is_no_time_of_the_job(state: str) -> None:
    # KubeRay sets the start time of a suspended job too.
    assert _read(jobDeploymentStatus=state, startTime=_BEGUN).submitted is None
    assert _read({"suspend": True}, jobDeploymentStatus="Running", startTime=_BEGUN).submitted is None


def test_a_job_that_kuberay_gave_up_in_a_shared_cluster_may_run_on() -> None:
    shared = {"clusterSelector": {"ray.io/cluster": "shared"}}
    late = {"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}
    assert _job(shared, **late, jobStatus="RUNNING").may_run_on
    assert not _job(shared, jobDeploymentStatus="Failed", jobStatus="FAILED").may_run_on
    assert not _job(None, **late, jobStatus="RUNNING").may_run_on
