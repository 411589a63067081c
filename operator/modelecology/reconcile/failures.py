"""Reads failures from what a runner says of a job: one that ended badly, and one that should have ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from modelecology.api.reasons import Reason
from modelecology.governance.facts import Cost, JobFailure
from modelecology.jobs.port import JobPhase, JobStatus

from .orders import Order

SLACK = timedelta(minutes=5)  # for the end of a job that keeps its own deadline, and for clocks that differ


def late(status: JobStatus | None, now: datetime, deadline: timedelta, order: Order) -> JobFailure | None:
    """Judge a job that should have ended: a job keeps its own deadline, unless it never starts or hangs."""
    if status is None or status.phase.finished or status.submitted is None:
        return None
    age = now.timestamp() - status.submitted
    if status.phase is JobPhase.Pending and age > deadline.total_seconds():
        message = (
            f"Ray has no room for {order.spec.cpus:g} CPUs and {order.spec.gpus:g} GPUs: the job waited for "
            f"{age / 60:.0f} min, longer than jobs.deadline. Add nodes, or lower resources. {status.message}"
        ).rstrip()
        return JobFailure(Reason.DEADLINE_EXCEEDED, message, True)
    # A runner may know only when it was submitted, so the time that it may have waited is allowed as well.
    if age > (2 * deadline + SLACK).total_seconds():
        message = f"The job still runs {age / 60:.0f} min after it was submitted, in spite of jobs.deadline."
        started = status.submitted if status.started is None else status.started
        ran = now.timestamp() - started
        cost = cost_of_run(ran, order.spec.cpus, order.spec.gpus)
        return JobFailure(Reason.DEADLINE_EXCEEDED, message, True, cost)
    return None


def cost_of_run(seconds: float, cpus: float, gpus: float) -> Cost:
    """Charge all that a job asks for, for so many seconds."""
    return Cost(
        cpu_seconds=Decimal(str(round(max(seconds, 0.0) * cpus, 3))),
        gpu_seconds=Decimal(str(round(max(seconds, 0.0) * gpus, 3))),
    )


def failure_of(status: JobStatus | None, cpus: float = 0.0, gpus: float = 0.0) -> JobFailure | None:
    """Read a failure from a job's status. A finished job without its commit has failed, whatever it says.

    It is charged the time that it ran, not the time that it waited.
    """
    if status is None or not status.phase.finished:
        return None
    cost = cost_of_run(status.ran_seconds, cpus, gpus)
    if status.failure is not None:
        return JobFailure(status.failure.reason, status.failure.message, status.failure.retry, cost)
    if status.phase is JobPhase.Cancelled:
        return JobFailure(Reason.INTERNAL_ERROR, "The job was cancelled by somebody else.", True, cost)
    return JobFailure(Reason.INTERNAL_ERROR, "The job ended, but nothing was committed.", True, cost)
