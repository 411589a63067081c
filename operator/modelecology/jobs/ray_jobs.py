"""Runs jobs through the Jobs API of a Ray cluster, over HTTP and without Ray itself.

The submission id is the job's name, so a repeated submit meets the first one and adopts it. Traps of the API
that this file takes care of: "already exists" arrives as HTTP 500; Ray expands `$NAME` in environment
variables; a log goes on where an earlier run of the same name ended.
"""

import asyncio
import shlex
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from modelecology.api.reasons import Reason
from modelecology.jobs.job_log import cleaned, failure_of, tail_of
from modelecology.jobs.port import (
    MAX_MESSAGE_LENGTH,
    JobFailure,
    JobPhase,
    JobSpec,
    JobStatus,
    RunnerError,
    RunnerUnavailable,
    bounded,
)
from modelecology.jobs.ray_http import RayHttp, TokenProvider, token_from_file

__all__ = ["RayJobsRunner", "TokenProvider", "token_from_file"]

ENTRYPOINT: Final = ("-m", "modelecology.workloads")
INTENT_VARIABLE: Final = "MODELECOLOGY_INTENT"

CALL_SECONDS: Final = 20.0
"""Time limit of one request; the first submission to a fresh Ray takes some seconds."""

SETTLE_SECONDS: Final = 5.0
"""How long after a job's end its name may be used again.

Ray looks after an ended job for a second or two. A new one of that name gets no such care: it is declared
dead at once, and its process, which nobody ends any more, holds its CPUs for ever (seen with Ray 2.60).
"""

_CONFLICTS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.INTERNAL_SERVER_ERROR})
_KILLED: Final = frozenset({-9, 137})
_ENDED_BY_ITSELF: Final = "JOB_ENTRYPOINT_COMMAND_ERROR"
"""The only error type of Ray that means: the job ran, and ended badly by its own fault."""

_NO_ROOM: Final = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
"""The error type of a job that got neither its CPUs nor its memory in time."""


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
        entrypoint: Sequence[str] = ENTRYPOINT,
        environment: Mapping[str, str] | None = None,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._http = RayHttp(address, token)
        self._command = shlex.join((python, *entrypoint))
        self._environment = dict(environment or {})
        self._seconds = call_seconds

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
        failure = _failure(details, await self._log(name))
        return _status(name, details, failure.message, failure)

    async def cancel(self, name: str) -> None:
        """Ask the job to end; one that waits for its CPUs ends when it gets them. See JobRunner."""
        answer = await self._http.request("POST", f"/api/jobs/{name}/stop", self._seconds)
        if not answer.ok and not answer.missing:
            raise self._http.error(answer, f"cancel job {name}")

    async def forget(self, name: str) -> None:
        """Delete the record of a finished job; waits a little if it has only just ended. See JobRunner."""
        details = await self._details(name)
        if details is None:
            return
        if not _PHASES[details.status].finished:
            raise RunnerUnavailable(f"Job {name} still runs and cannot be forgotten. Cancel it first.")
        await asyncio.sleep(_unsettled_seconds(details))
        answer = await self._http.request("DELETE", f"/api/jobs/{name}", self._seconds)
        if not answer.ok and not answer.missing:
            raise self._http.error(answer, f"forget job {name}")

    async def close(self) -> None:
        """Close the connections to Ray; jobs go on."""
        await self._http.close()

    def _submission(self, spec: JobSpec) -> dict[str, object]:
        variables = {
            "OMP_NUM_THREADS": str(max(1, int(spec.cpus))),
            **self._environment,
            INTENT_VARIABLE: unexpanded(spec.intent_json),
        }
        body: dict[str, object] = {
            "submission_id": spec.name,
            "entrypoint": self._command,
            "runtime_env": {"env_vars": variables},
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
    """Cut a log to the last run: a name that was forgotten and submitted again writes on in the same file."""
    start = max(log.rfind("Runtime env is setting up."), log.rfind(f"Running entrypoint for job {name}:"))
    return log if start < 0 else log[start:].partition("\n")[2]


def unexpanded(intent_json: str) -> str:
    """Keep Ray from expanding `$NAME`: in JSON a dollar sign stands in strings only and can be an escape."""
    return intent_json.replace("$", "\\u0024")


def _status(name: str, details: _Details, message: str, failure: JobFailure | None) -> JobStatus:
    phase = _PHASES[details.status]
    submitted = None if details.start_time is None else details.start_time / 1000
    ran = details.driver_node_id or phase in (JobPhase.Running, JobPhase.Succeeded)
    ended = details.end_time / 1000 if phase.finished and details.end_time is not None else None
    return JobStatus(name, phase, message, failure, submitted, submitted if ran else None, ended)


def _failure(details: _Details, log: str) -> JobFailure:
    message = details.message or ""
    stated = failure_of(log) or failure_of(message)
    if stated is not None:
        return stated
    if details.error_type == _NO_ROOM:
        # It may never find room, so it uses up an attempt.
        text = f"Ray had no room for the job in time. Add nodes, or lower resources. {tail_of(message)}"
        return JobFailure(Reason.DEADLINE_EXCEEDED, bounded(text), retry=True)
    if details.error_type not in (None, _ENDED_BY_ITSELF):
        # Ray could not start the job or lost it (a node died, no room for too long): not the job's fault.
        text = f"Ray could not run the job ({details.error_type}): {tail_of(message)}"
        return JobFailure(Reason.RUNNER_UNAVAILABLE, bounded(text), retry=True)
    head = f"The job ended {_ending(details.driver_exit_code)} without saying why. Its last lines:\n"
    text = tail_of(log) or tail_of(message) or "(no output)"
    return JobFailure(Reason.INTERNAL_ERROR, head + bounded(text, MAX_MESSAGE_LENGTH - len(head)), retry=True)


def _unsettled_seconds(details: _Details) -> float:
    age = time.time() - (details.end_time or 0) / 1000
    return min(max(SETTLE_SECONDS - age, 0.0), SETTLE_SECONDS)  # however wrong Ray's clock may be


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "badly"
    if exit_code in _KILLED:
        return "by SIGKILL (often: out of memory, raise spec.jobs.resources.memory)"
    return f"by signal {-exit_code}" if exit_code < 0 else f"with exit code {exit_code}"
