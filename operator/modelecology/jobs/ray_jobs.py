"""Runs jobs through the Jobs API of a Ray cluster, over HTTP and without Ray itself.

The submission id is the job's name, so a repeated submit meets the first one and adopts it. Traps of the API
that this file takes care of: "already exists" arrives as HTTP 500; Ray expands `$NAME` in environment
variables; a log goes on where an earlier run of the same name ended.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from modelecology.jobs.job_failure import failure_from
from modelecology.jobs.job_log import cleaned
from modelecology.jobs.port import (
    JobFailure,
    JobPhase,
    JobSpec,
    JobStatus,
    RunnerError,
    bounded,
)
from modelecology.jobs.ray_entry import WORKLOADS, command, variables
from modelecology.jobs.ray_http import RayHttp, TokenProvider, token_from_file

__all__ = ["RayJobsRunner", "TokenProvider", "token_from_file"]

CALL_SECONDS: Final = 20.0
"""Time limit of one request; the first submission to a fresh Ray takes some seconds."""

ASK_SECONDS: Final = 1.0
"""How often a job's status is asked for."""

_CONFLICTS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.INTERNAL_SERVER_ERROR})


class _RayState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


_PHASES: Final[Mapping[_RayState, JobPhase]] = {
    _RayState.PENDING: JobPhase.Pending,
    _RayState.RUNNING: JobPhase.Running,
    _RayState.STOPPED: JobPhase.Cancelled,
    _RayState.SUCCEEDED: JobPhase.Succeeded,
    _RayState.FAILED: JobPhase.Failed,
}


class _Details(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: _RayState
    message: str | None = None
    error_type: str | None = None
    driver_exit_code: int | None = None
    driver_node_id: str | None = None  # set once the job runs
    start_time: int | None = None  # of the submission, in milliseconds since 1970
    end_time: int | None = None  # milliseconds since 1970


class _Logs(BaseModel):
    model_config = ConfigDict(extra="ignore")

    logs: str


class RayJobsRunner:
    """A JobRunner on the Jobs API of the Ray cluster at `address`, its dashboard's http or https URL.

    `token` is asked before every request; None means that the cluster asks for none. `python` is the
    interpreter on Ray's nodes, `entrypoint` what it runs, `environment` what the job gets besides its intent.
    """

    def __init__(
        self,
        address: str,
        token: TokenProvider | None = None,
        python: str = "python",
        *,
        entrypoint: Sequence[str] = WORKLOADS,
        environment: Mapping[str, str] | None = None,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._http = RayHttp(address, token)
        self._command = command(python, entrypoint)
        self._environment = dict(environment or {})
        self._seconds = call_seconds

    @property
    def ask_seconds(self) -> float:
        """How often a status is worth asking for; see JobRunner."""
        return ASK_SECONDS

    async def changes(self, changed: Callable[[str], None]) -> None:
        """Tell nothing: Ray's Jobs API can only be asked; see JobRunner."""
        await asyncio.Event().wait()

    async def submit(self, spec: JobSpec) -> None:
        """Start the job, or adopt the one of that name; see JobRunner."""
        answer = await self._http.request("POST", "/api/jobs/", self._seconds, self._submission(spec))
        if answer.ok:
            return
        # Ray says "already exists" with HTTP 500 and a traceback. Asking whether the job is there does not
        # depend on how that is worded.
        if answer.status in _CONFLICTS and await self._details(spec.name) is not None:
            return
        raise self._http.error(answer, f"submit job {spec.name}")

    async def status(self, name: str) -> JobStatus | None:
        """Say where the job is; of a failed one the log is read, too. See JobRunner."""
        details = await self._details(name)
        if details is None:
            return None
        phase = _PHASES[details.status]
        if phase is not JobPhase.Failed:
            return _status(name, details, bounded(cleaned(details.message or "")), None)
        log = await self._log(name)
        failure = failure_from(log, details.message or "", details.error_type, details.driver_exit_code)
        return _status(name, details, failure.message, failure)

    async def cancel(self, name: str) -> None:
        """Ask the job to end; one that waits for its CPUs ends when it gets them. See JobRunner."""
        answer = await self._http.request("POST", f"/api/jobs/{name}/stop", self._seconds)
        if not answer.ok and not answer.missing:
            raise self._http.error(answer, f"cancel job {name}")

    async def close(self) -> None:
        """Close the connections to Ray; jobs go on."""
        await self._http.close()

    def _submission(self, spec: JobSpec) -> dict[str, object]:
        body: dict[str, object] = {
            "submission_id": spec.name,
            "entrypoint": self._command,
            "runtime_env": {"env_vars": variables(spec, self._environment)},
            "entrypoint_num_cpus": spec.cpus,
            "entrypoint_num_gpus": spec.gpus,
        }
        if spec.memory_bytes is not None:
            body["entrypoint_memory"] = spec.memory_bytes
        return body

    async def _details(self, name: str) -> _Details | None:
        answer = await self._http.request("GET", f"/api/jobs/{name}", self._seconds)
        # A Ray that does not know a job says so in words; without them it is somebody else's 404.
        if answer.missing and name in answer.text:
            return None
        if not answer.ok:
            raise self._http.error(answer, f"find job {name}")
        try:
            return _Details.model_validate_json(answer.text)
        except ValidationError as error:
            raise self._http.foreign(f"the answer about job {name} cannot be read") from error

    async def _log(self, name: str) -> str:
        """Read the log of the job's last run; empty where it cannot be had, since its node may be gone."""
        try:
            answer = await self._http.request("GET", f"/api/jobs/{name}/logs", self._seconds)
            log = _Logs.model_validate_json(answer.text).logs if answer.ok else ""
        except (RunnerError, ValidationError):
            return ""
        return last_run_of(log, name)


def last_run_of(log: str, name: str) -> str:
    """Cut a log to the last run: a name that runs again, after Ray lost it, writes on in the same file."""
    start = max(log.rfind("Runtime env is setting up."), log.rfind(f"Running entrypoint for job {name}:"))
    return log if start < 0 else log[start:].partition("\n")[2]


def _status(name: str, details: _Details, message: str, failure: JobFailure | None) -> JobStatus:
    phase = _PHASES[details.status]
    submitted = None if details.start_time is None else details.start_time / 1000
    ran = details.driver_node_id or phase in (JobPhase.Running, JobPhase.Succeeded)
    ended = details.end_time / 1000 if phase.finished and details.end_time is not None else None
    return JobStatus(name, phase, message, failure, submitted, submitted if ran else None, ended)
