"""Says why a Ray job failed: in its own words, or else from what Ray says of it."""

import re
from typing import Final

from modelecology.api.reasons import Reason
from modelecology.jobs.job_log import failure_of, tail_of
from modelecology.jobs.port import MAX_MESSAGE_LENGTH, JobFailure, bounded

_KILLED: Final = frozenset({-9, 137})
ENDED_BY_ITSELF: Final = "JOB_ENTRYPOINT_COMMAND_ERROR"
"""The only error type of Ray that means: the job ran, and ended badly by its own fault."""

NO_ROOM: Final = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
"""The error type of a job that got neither its CPUs nor its memory in time."""

# How Ray begins the message of such a job; the last lines of its log follow.
_ENDED = re.compile(r"Job entrypoint command failed with exit code (-?\d+)[,.][^\n]*\n?")
_LATE = re.compile(r"Job supervisor actor failed to start within ")


def failure_from(log: str, message: str, error_type: str | None, exit_code: int | None) -> JobFailure:
    """Read the failure of a job from its log (empty where there is none) and from Ray's record of it."""
    stated = failure_of(log) or failure_of(message)
    if stated is not None:
        return stated
    if error_type == NO_ROOM:
        # It may never find room, so it uses up an attempt.
        text = f"Ray had no room for the job in time. Add nodes, or lower resources. {tail_of(message)}"
        return JobFailure(Reason.DEADLINE_EXCEEDED, bounded(text), retry=True)
    if error_type not in (None, ENDED_BY_ITSELF):
        # Ray could not start the job or lost it (a node died, no room for too long): not the job's fault.
        text = f"Ray could not run the job ({error_type}): {tail_of(message)}"
        return JobFailure(Reason.RUNNER_UNAVAILABLE, bounded(text), retry=True)
    head = f"The job ended {_ending(exit_code)} without saying why. Its last lines:\n"
    text = tail_of(log) or tail_of(message) or "(no output)"
    return JobFailure(Reason.INTERNAL_ERROR, head + bounded(text, MAX_MESSAGE_LENGTH - len(head)), retry=True)


def failure_from_message(message: str) -> JobFailure:
    """Read the failure of a job from Ray's message alone, which holds the last lines of the log."""
    ended = _ENDED.match(message)
    if ended is not None:
        return failure_from(message[ended.end() :], message, ENDED_BY_ITSELF, int(ended.group(1)))
    return failure_from("", message, NO_ROOM if _LATE.match(message) else "it gave no exit code", None)


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "badly"
    if exit_code in _KILLED:
        return "by SIGKILL (often: out of memory, raise spec.jobs.resources.memory)"
    return f"by signal {-exit_code}" if exit_code < 0 else f"with exit code {exit_code}"
