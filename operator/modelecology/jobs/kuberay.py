"""Runs jobs as RayJobs of KubeRay: each in a Ray cluster of its own, or in one that is there.

The RayJob's name is the job's name, so a repeated submit meets the first one and adopts it. Traps that this
file takes care of: a KubeRay without `authOptions` would run Ray without a token, so unknown fields are
refused; a RayJob whose only pod is gone waits in silence, so its RayCluster is asked too; a deleted RayJob
keeps its name until KubeRay has let go of it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias

from pydantic import ValidationError

from modelecology.api.population import Population
from modelecology.jobs.pod_template import FIELD
from modelecology.jobs.port import JobSpec, JobStatus, RunnerError, RunnerRefused, RunnerUnavailable, bounded
from modelecology.jobs.ray_entry import WORKLOADS, command
from modelecology.jobs.ray_job_body import POPULATION_LABEL, ray_job
from modelecology.jobs.ray_job_status import RayCluster, RayClusterStatus, RayJob, read_status

_LOG = logging.getLogger(__name__)

OLDEST: Final = "KubeRay 1.5.1"
ASK_SECONDS: Final = 30.0
"""How often a status is asked for besides each change: the loss of a pod is no change of a RayJob."""

KEPT_SECONDS: Final = 86_400.0
"""How long the RayJob of a finished job is kept for people to look at."""

TIDY_SECONDS: Final = 3600.0

_BUSY: Final = frozenset({0, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT})

Body: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[int, Body]


class RayJobClient(Protocol):
    """RayJobs of one namespace in the Kubernetes API.

    An answer is its HTTP status and its body, whatever the status; 0 where none came, with a `message`.
    """

    async def create(self, body: Body) -> Answer:
        """Create a RayJob; one with a field that the API server does not know is refused."""
        ...

    async def get(self, name: str) -> Answer:
        """Read a RayJob."""
        ...

    async def get_cluster(self, name: str) -> Answer:
        """Read a RayCluster."""
        ...

    async def list(self, labels: str) -> Answer:
        """List all RayJobs with these labels."""
        ...

    async def delete(self, name: str, uid: str) -> Answer:
        """Delete a RayJob, and what it owns, unless another of that name has taken its place."""
        ...

    async def watch(self, labels: str, changed: Callable[[str], None]) -> None:
        """Call `changed` with the name of each RayJob that is there or changes; never returns."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class KubeRayRunner:
    """A JobRunner for the jobs of one population; `image` is for one that names none itself.

    `python` is the interpreter in that image, `entrypoint` what it runs, `now` gives unix seconds.
    """

    def __init__(
        self,
        client: RayJobClient,
        population: Population,
        image: str | None,
        python: str = "python",
        *,
        entrypoint: Sequence[str] = WORKLOADS,
        now: Callable[[], float] = time.time,
    ) -> None:
        how = population.spec.jobs.kube_ray
        self._client = client
        self._population = population
        self._shared = how is not None and how.cluster_selector is not None
        self._image = (how.image if how is not None else None) or image
        self._command = command(python, entrypoint)
        self._labels = f"{POPULATION_LABEL}={population.metadata.name}"
        self._now = now

    @property
    def ask_seconds(self) -> float:
        """How often a status is worth asking for; see JobRunner."""
        return ASK_SECONDS

    async def changes(self, changed: Callable[[str], None]) -> None:
        """Watch the population's RayJobs, and delete those that ended long ago; see JobRunner."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._client.watch(self._labels, changed))
            group.create_task(self._tidy_forever())

    async def submit(self, spec: JobSpec) -> None:
        """Create the RayJob, or adopt the one of that name; see JobRunner."""
        if self._image is None and not self._shared:
            raise RunnerRefused(
                "No image is known for jobs. Name one in spec.jobs.kubeRay.image, or start the operator with "
                "--job-image."
            )
        body = ray_job(spec, self._population, self._image or "", self._command)
        status, answer = await self._client.create(body)
        if status == HTTPStatus.CONFLICT:
            await self._adopt(spec.name)
        elif status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise error_of(status, answer, f"create RayJob {spec.name}")

    async def status(self, name: str) -> JobStatus | None:
        """Say where the job is; one that is being deleted is not known any more. See JobRunner."""
        job = await self._find(name)
        if job is None or job.metadata.deletion_timestamp is not None:
            return None
        cluster = await self._cluster(job.cluster_to_ask) if job.cluster_to_ask else None
        return read_status(job, cluster)

    async def cancel(self, name: str) -> None:
        """Delete the RayJob unless it is over; see JobRunner."""
        job = await self._find(name)
        if job is None or job.metadata.deletion_timestamp is not None:
            return
        if not job.over or job.may_run_on:
            await self._delete(job)

    async def close(self) -> None:
        """Close the connections to the Kubernetes API; jobs go on."""
        await self._client.close()

    async def _adopt(self, name: str) -> None:
        job = await self._find(name)
        if job is None:
            raise RunnerUnavailable(f"RayJob {name} was there and is gone. It is created again.")
        if job.metadata.deletion_timestamp is not None:
            raise RunnerUnavailable(
                f"RayJob {name} is being deleted. Its name is free again when KubeRay has let go of it; if "
                "that takes long, see whether KubeRay's operator runs."
            )
        owner = self._population.metadata.uid
        if owner not in (each.uid for each in job.metadata.owner_references):
            raise RunnerUnavailable(
                f"RayJob {name} belongs to an earlier Population of this name and goes with it; if it stays, "
                "delete it."
            )

    async def _find(self, name: str) -> RayJob | None:
        status, answer = await self._client.get(name)
        if status == HTTPStatus.NOT_FOUND and _names_an_object(answer):
            return None
        if status != HTTPStatus.OK:
            raise error_of(status, answer, f"read RayJob {name}")
        return _parsed(answer)

    async def _cluster(self, name: str) -> RayClusterStatus | None:
        status, answer = await self._client.get_cluster(name)
        if status == HTTPStatus.NOT_FOUND:
            return None  # KubeRay makes it anew
        if status != HTTPStatus.OK:
            raise error_of(status, answer, f"read RayCluster {name}")
        try:
            return RayCluster.model_validate(answer).status
        except ValidationError as error:
            raise RunnerRefused(f"What Kubernetes says of RayCluster {name} cannot be read.") from error

    async def _delete(self, job: RayJob) -> None:
        status, answer = await self._client.delete(job.metadata.name, job.metadata.uid)
        # Not found or another uid: it is gone, which was wanted.
        if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise error_of(status, answer, f"delete RayJob {job.metadata.name}")

    async def _tidy_forever(self) -> None:
        while True:
            try:
                await self.tidy()
            except RunnerError as error:
                _LOG.warning("old RayJobs cannot be deleted: %s", error)
            await asyncio.sleep(TIDY_SECONDS)

    async def tidy(self) -> None:
        """Delete the RayJobs of jobs that ended more than a day ago. Raises RunnerError."""
        status, answer = await self._client.list(self._labels)
        if status != HTTPStatus.OK:
            raise error_of(status, answer, "list RayJobs")
        for item in answer.get("items", ()):
            job = _parsed(item)
            # One that KubeRay refused has no end, only a beginning.
            made = job.metadata.creation_timestamp
            ended = read_status(job).ended or (made.timestamp() if made is not None else None)
            if job.over and ended is not None and self._now() - ended > KEPT_SECONDS:
                await self._delete(job)


def error_of(status: int, answer: Body, what: str) -> RunnerError:
    """Turn an answer that is no success into the error to raise; `what` completes "could not ..."."""
    said = bounded(str(answer.get("message") or f"HTTP {status}"), 500)
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RunnerUnavailable(f"The Kubernetes API could not {what}: {said}")
    if status == HTTPStatus.NOT_FOUND:
        return RunnerRefused(
            f"Kubernetes knows no RayJobs, or the namespace is gone ({said}). Install {OLDEST} or newer, or "
            "set spec.jobs.runner to RayJobs."
        )
    if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and " cannot " in said):
        return RunnerRefused(
            f"The operator may not {what} ({said}). Set kubeRay.enabled in the chart's values, or grant it "
            "the rights on ray.io that manifests/components/kuberay lists."
        )
    if status == HTTPStatus.BAD_REQUEST and "unknown field" in said:
        return _unknown_field(said)
    return RunnerRefused(f"The Kubernetes API will not {what}: {said} Mend spec.jobs.kubeRay.")


def _unknown_field(said: str) -> RunnerRefused:
    if "headGroupSpec.template" in said:
        return RunnerRefused(f"{FIELD} has a field that KubeRay does not know ({said}). Mend it.")
    return RunnerRefused(
        f"The installed KubeRay is too old to run jobs with a token ({said}). Install {OLDEST} or newer, and "
        "its CustomResourceDefinitions with it."
    )


def _names_an_object(answer: Body) -> bool:
    """Say whether a 404 is about one object; without the kind, the API server names none."""
    details = answer.get("details")
    return isinstance(details, dict) and bool(details.get("name"))


def _parsed(body: Body) -> RayJob:
    try:
        return RayJob.model_validate(body)
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in each["loc"]) for each in error.errors())
        raise RunnerRefused(f"What Kubernetes says of a RayJob cannot be read ({fields}).") from error
