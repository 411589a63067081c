"""KubeRay and its part of the Kubernetes API in memory, for tests and trials of the KubeRay runner.

It keeps what the runner relies on: taken names, uids, strict fields, deletions that wait for KubeRay, the
statuses that KubeRay writes, and a watch. It runs no pod: what a job does is a function.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

Body: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[int, Body]
Work = Callable[[Body], "tuple[int, str] | None"]
"""What a RayJob does when it runs; it gives the exit code and the log, or None if it does not end."""

FINALIZER = "ray.io/rayjob-finalizer"


def succeed(_job: Body) -> tuple[int, str]:
    """Do nothing, and end well."""
    return 0, ""


@dataclass(slots=True)
class InMemoryRayJobs:
    """A RayJobClient whose RayJobs advance when `step` is called, or at each look with `automatic`.

    `down` makes every call fail, `forbidden` holds verbs that are not allowed, `unknown` fields that the
    installed KubeRay does not know. Without `installed` the API server knows no RayJobs; without `operating`
    KubeRay's operator is away, so that nothing advances and no deletion ends.
    """

    work: Work = succeed
    automatic: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    down: bool = False
    forbidden: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    installed: bool = True
    operating: bool = True
    jobs: dict[str, Body] = field(default_factory=dict)
    clusters: dict[str, Body] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    closed: bool = False
    _watchers: list[Callable[[str], None]] = field(default_factory=list)

    # The client.

    async def create(self, body: Body) -> Answer:
        """Create a RayJob; see RayJobClient."""
        if refused := self._refusal("create"):
            return refused
        for name in sorted(self.unknown):
            if _has(body, name.split(".")):
                return _answer(400, f'strict decoding error: unknown field "{name}"')
        made = copy.deepcopy(body)
        meta = made["metadata"]
        if meta["name"] in self.jobs:
            return _answer(409, f'rayjobs.ray.io "{meta["name"]}" already exists', meta["name"])
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._stamp(), "finalizers": []}
        self.jobs[meta["name"]] = made
        self._tell(meta["name"])
        return 201, copy.deepcopy(made)

    async def get(self, name: str) -> Answer:
        """Read a RayJob; see RayJobClient."""
        if refused := self._refusal("get"):
            return refused
        if self.automatic:
            self.step(name)
        return self._found(self.jobs, name, "rayjobs")

    async def get_cluster(self, name: str) -> Answer:
        """Read a RayCluster; see RayJobClient."""
        return self._refusal("get") or self._found(self.clusters, name, "rayclusters")

    async def list(self, labels: str) -> Answer:
        """List RayJobs; see RayJobClient."""
        if refused := self._refusal("list"):
            return refused
        label, _, value = labels.partition("=")
        found = [job for job in self.jobs.values() if job["metadata"].get("labels", {}).get(label) == value]
        return 200, {"items": copy.deepcopy(found)}

    async def delete(self, name: str, uid: str) -> Answer:
        """Delete a RayJob; see RayJobClient."""
        if refused := self._refusal("delete"):
            return refused
        job = self.jobs.get(name)
        if job is None:
            return self._found(self.jobs, name, "rayjobs")
        if job["metadata"]["uid"] != uid:
            return _answer(409, "the UID in the precondition does not match", name)
        job["metadata"].setdefault("deletionTimestamp", self._stamp())
        if not job["metadata"]["finalizers"]:
            self._remove(name)
        self._tell(name)
        return 200, {}

    async def watch(self, labels: str, changed: Callable[[str], None]) -> None:
        """Tell of changes; see RayJobClient."""
        self._watchers.append(changed)
        try:
            _, page = await self.list(labels)
            for job in page.get("items", ()):
                changed(job["metadata"]["name"])
            await asyncio.Event().wait()
        finally:
            self._watchers.remove(changed)

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    # What a test does with it.

    def step(self, name: str) -> None:
        """Let KubeRay do its next thing with a RayJob."""
        job = self.jobs.get(name)
        if job is None or not self.operating:
            return
        if "deletionTimestamp" in job["metadata"]:
            self._remove(name)
            self._tell(name)
            return
        status = job.setdefault("status", {})
        before = copy.deepcopy(status)
        self._advance(job, status)
        if status != before:
            self._tell(name)

    def finish(self, name: str) -> None:
        """Let KubeRay do all there is to do with a RayJob."""
        for _ in range(6):
            self.step(name)

    def resume(self, name: str) -> None:
        """Let a suspended RayJob go, as Kueue does."""
        self.jobs[name]["spec"]["suspend"] = False
        self._tell(name)

    def set_status(self, name: str, **fields: object) -> None:
        """Write fields of a RayJob's status."""
        self.jobs[name].setdefault("status", {}).update(fields)
        self._tell(name)

    def lose_pod(self, name: str) -> None:
        """Let the only pod of a RayJob vanish: KubeRay notes it of the RayCluster alone."""
        cluster = self.jobs[name]["status"]["rayClusterName"]
        self.clusters[cluster]["status"]["conditions"] = [
            _condition("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime"),
            _condition("HeadPodReady", "False", "HeadPodNotFound")
            | {"message": "Head Pod not found", "lastTransitionTime": self._stamp()},
        ]

    def _advance(self, job: Body, status: Body) -> None:
        spec, name = job["spec"], job["metadata"]["name"]
        job["metadata"]["finalizers"] = [FINALIZER]
        match status.get("jobDeploymentStatus", ""):
            case "" if spec.get("suspend"):
                status["jobDeploymentStatus"] = "Suspended"
            case "" | "Suspended" if not spec.get("suspend"):
                cluster = spec.get("clusterSelector", {}).get("ray.io/cluster", f"{name}-x7k2q")
                ready = [_condition("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime")]
                self.clusters.setdefault(cluster, {"status": {"conditions": ready}})
                status.update(
                    jobDeploymentStatus="Initializing", rayClusterName=cluster, startTime=self._stamp()
                )
            case "Initializing":
                status["jobDeploymentStatus"] = "Running"
            case "Running" if status.get("jobStatus") != "RUNNING":
                status.update(jobStatus="RUNNING", rayJobInfo={"startTime": self._stamp()})
            case "Running":
                self._run(job, status)

    def _run(self, job: Body, status: Body) -> None:
        done = self.work(copy.deepcopy(job))
        if done is None:
            return
        code, log = done
        status["rayJobInfo"]["endTime"] = status["endTime"] = self._stamp()
        if code == 0:
            status.update(jobStatus="SUCCEEDED", jobDeploymentStatus="Complete", message="Job finished.")
            return
        # The words of Ray, which keeps the last ten lines.
        kept = "\n".join(log.splitlines()[-10:])
        head = f"Job entrypoint command failed with exit code {code}, last available logs "
        status.update(
            jobStatus="FAILED",
            jobDeploymentStatus="Failed",
            reason="AppFailed",
            message=f"{head}(truncated to 20,000 chars):\n{kept}",
        )

    def _remove(self, name: str) -> None:
        job = self.jobs.pop(name)
        self.clusters.pop(job.get("status", {}).get("rayClusterName", ""), None)

    def _tell(self, name: str) -> None:
        for watcher in tuple(self._watchers):
            watcher(name)

    def _refusal(self, verb: str) -> Answer | None:
        self.calls.append(verb)
        if self.down:
            return 0, {"message": "it does not answer: the double is down"}
        if not self.installed:
            return 404, {"message": "404 page not found"}
        if verb in self.forbidden:
            said = f'rayjobs.ray.io is forbidden: User "operator" cannot {verb} resource "rayjobs"'
            return _answer(403, said)
        return None

    def _found(self, where: dict[str, Body], name: str, plural: str) -> Answer:
        if name not in where:
            return _answer(404, f'{plural}.ray.io "{name}" not found', name)
        return 200, copy.deepcopy(where[name])

    def _stamp(self) -> str:
        return self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _answer(status: int, message: str, name: str = "") -> Answer:
    return status, {"kind": "Status", "message": message, "details": {"name": name}}


def _condition(kind: str, status: str, reason: str) -> Body:
    return {"type": kind, "status": status, "reason": reason}


def _has(body: object, path: list[str]) -> bool:
    for part in path:
        if not isinstance(body, dict) or part not in body:
            return False
        body = body[part]
    return True
