"""The port for work that runs elsewhere: what the operator asks of a job runner, and nothing more.

Two runners fit it: Ray's Jobs API and KubeRay's RayJob. So a name obeys the stricter of both worlds, a job's
phase is a hint (the commit marker in the store is the truth), and every call may be repeated after a crash.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from modelecology.api.reasons import Reason

MAX_NAME_LENGTH: Final = 47
"""KubeRay refuses a longer RayJob name, because it derives Service and Pod names from it."""

MAX_MESSAGE_LENGTH: Final = 1000
"""Longest message of a failure, in characters: it ends in a condition, which people read."""

MAX_INTENT_BYTES: Final = 96 * 1024
"""Longest intent: Linux takes at most 128 KiB in one environment variable."""

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class JobPhase(StrEnum):
    """Where a job is, in the words that every runner can give."""

    Pending = "Pending"
    Running = "Running"
    Succeeded = "Succeeded"
    Failed = "Failed"
    Cancelled = "Cancelled"

    @property
    def finished(self) -> bool:
        """Whether the phase never changes again."""
        return self in _FINISHED


_FINISHED: Final = frozenset({JobPhase.Succeeded, JobPhase.Failed, JobPhase.Cancelled})


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job: its name, the intent it is told (canonical JSON) and what it needs.

    The name is a lower-case DNS label of at most 47 characters. `cpus` and `gpus` are counts.
    Raises ValueError for anything out of bounds.
    """

    name: str
    intent_json: str
    cpus: float
    gpus: float = 0.0
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME_LENGTH or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"job name {self.name!r} must be a lower-case DNS label of at most {MAX_NAME_LENGTH} letters"
            )
        if len(self.intent_json.encode()) > MAX_INTENT_BYTES:
            raise ValueError(
                f"job {self.name}: the intent is longer than {MAX_INTENT_BYTES} bytes; use fewer tasks"
            )
        if self.cpus < 0 or self.gpus < 0 or (self.memory_bytes is not None and self.memory_bytes <= 0):
            raise ValueError(f"job {self.name}: cpus and gpus must not be negative, memory must be positive")


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed, and whether another try can help."""

    reason: str
    message: str
    retry: bool


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What the runner says of a job now; `failure` is set exactly when the phase is Failed.

    `refused` tells of a Pending job that is not let in: its `message` says why, and a person has to act.
    The times are unix seconds by the runner's clock. `started` is None for a job that never ran, and may
    be as early as `submitted` where the runner does not know better; `ended` is None while it is unfinished.
    """

    name: str
    phase: JobPhase
    message: str = ""
    failure: JobFailure | None = None
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    refused: bool = False

    @property
    def ran_seconds(self) -> float:
        """How long a finished job ran, in seconds; 0 for one that never ran."""
        if self.started is None or self.ended is None:
            return 0.0
        return max(0.0, self.ended - self.started)


class JobRunner(Protocol):
    """Runs jobs by name.

    Every method raises RunnerUnavailable when the runner cannot be asked now (repeat later) and RunnerRefused
    when it will not do it (a person has to act). All of them may be repeated safely.
    """

    @property
    def ask_seconds(self) -> float:
        """How often a watched job is worth asking for, in seconds: seldom, if its changes are told."""
        ...

    async def changes(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the name of a job whenever its status may be another; never returns.

        It may tell too much, never too little for longer than `ask_seconds`. A runner that can only be asked
        tells nothing. An outage is waited out; only a fault in the code ends it.
        """
        ...

    async def submit(self, spec: JobSpec) -> None:
        """Start the job, or do nothing if one of that name is known, finished ones included."""
        ...

    async def status(self, name: str) -> JobStatus | None:
        """Say where the job is, or None if the runner does not know it."""
        ...

    async def cancel(self, name: str) -> None:
        """Ask the job to end; a finished or unknown job is left as it is.

        Once it has ended it is Cancelled, or not known any more.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; running jobs go on."""
        ...


class RunnerError(Exception):
    """A job runner did not do what it was asked; `retry` says whether asking again can help."""

    retry: bool = False
    reason: str = Reason.RUNNER_REFUSED

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class RunnerUnavailable(RunnerError):
    """The runner cannot be asked now: it is down, slow, or not ready. Ask again."""

    retry = True
    reason = Reason.RUNNER_UNAVAILABLE


class RunnerRefused(RunnerError):
    """The runner answered and will not do it, for example without a valid token. A person has to act."""

    retry = False
    reason = Reason.RUNNER_REFUSED


def job_name(kind: str, key: str, attempt: int = 0) -> str:
    """Name the job of an intent by its kind and key (64 hex), so that a repeat meets the first one.

    128 bits of the key are kept: enough against collision, short enough for every runner. A retry has its own
    number, because a runner may take a moment to let go of a name, and so that each try keeps its log.
    """
    name = f"{kind.lower()}-{key[:32]}"
    return f"{name}-{attempt}" if attempt else name


def bounded(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    """Shorten a text to `limit` characters; the end is kept, because errors stand at the end of a log."""
    return text if len(text) <= limit else "..." + text[-(limit - 3) :]
