"""Has everything evaluated that verdicts compare with: the generalist, and the live specialists."""

from __future__ import annotations

import asyncio

from modelecology.api.reasons import Reason, named
from modelecology.governance.facts import JobFailure, Wait
from modelecology.governance.verdict import clock
from modelecology.governance.work import backoff
from modelecology.jobs.port import JobPhase

from .act import drop_job, ended_well, job_status, run_job
from .conditions import sentence
from .failures import failure_of, late
from .frame import Frame
from .job_names import of_owner
from .orders import Order, ask
from .queue import WorkKey
from .rivals import results_due
from .runtime import Runtime


async def evaluate(runtime: Runtime, frame: Frame, key: WorkKey) -> Wait | None:
    """Order the results that are due, one model after the other; None when the generalist's are there.

    Raises StoreError, RunnerError.
    """
    where = (frame.namespace, frame.name)
    attempts = runtime.attempts.get(where, 0)
    due = await asyncio.to_thread(results_due, frame, attempts)
    order = ask(frame, due, attempts) if due else None
    if order is not None:
        order = of_owner(frame, order, frame.population.metadata.uid, attempts)
    ended = await drop_job(runtime, frame, key, order)
    withdrawn = runtime.withdrawn.setdefault(where, set())
    if ended is not None:
        withdrawn.add(ended)
    if order is None:
        runtime.attempts.pop(where, None)
        if runtime.baseline_ready(where):
            runtime.wake_specialists(*where)
        return None
    runtime.ready.discard(where)
    status = await job_status(runtime, frame, order, key)
    if await ended_well(frame, order, status):
        runtime.queue.add(key)
        committed = Wait(Reason.BASELINE_RUNNING, "The results have just been committed.")
        return committed if due[0].adapter_key is None else None
    if status is not None and status.phase is JobPhase.Cancelled and order.spec.name in withdrawn:
        # It was not wanted for a while. It has not failed, and Ray does not run a name twice.
        runtime.attempts[where] = attempts + 1
        await drop_job(runtime, frame, key, None)
        runtime.queue.add(key)
        again = Wait(Reason.BASELINE_RUNNING, "Results that were not wanted for a while are made again.")
        return again if due[0].adapter_key is None else None
    failure = failure_of(status, order.spec.cpus, order.spec.gpus) or late(
        status, runtime.now(), frame.population.spec.jobs.deadline, order
    )
    if failure is not None:
        return await _failed(runtime, frame, order, failure, key)
    wait = await run_job(runtime, frame, order, status, key)
    if due[0].adapter_key is not None:
        return None  # a live specialist answers the rest of the suite; what serves and what is judged goes on
    running = status is not None and status.phase is JobPhase.Running
    made = "being made" if running else "ordered"
    return wait or Wait(Reason.BASELINE_RUNNING, f"{len(due)} results of the generalist are {made}.")


async def _failed(runtime: Runtime, frame: Frame, order: Order, failure: JobFailure, key: WorkKey) -> Wait:
    """Try a failed evaluation again after a pause, for as long as it takes: all judging rests on it."""
    where = (frame.namespace, frame.name)
    now = runtime.now()
    name = order.spec.name
    attempts = runtime.attempts.get(where, 0)
    # A failure that an earlier process saw has had its pause.
    ours = runtime.running.get(key) == name or name in runtime.retry_at
    runtime.dues.note_failure(where, name, failure.cost)
    due = runtime.retry_at.setdefault(name, now + backoff(attempts) if ours else now)
    if now >= due:
        del runtime.retry_at[name]
        runtime.attempts[where] = attempts + 1
        await drop_job(runtime, frame, key, None)
        runtime.queue.add(key)
    said = sentence(f"The evaluation failed: {failure.message}")
    return Wait(named(failure.reason), f"{said} The next try starts at {clock(due)}.", due)
