"""Stage 4: bring jobs to where the log says they should be. Everything here may be repeated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from modelecology.api.population import Population
from modelecology.api.reasons import Reason
from modelecology.governance.facts import RevisionRecord, Wait
from modelecology.jobs.port import JobPhase, JobStatus, RunnerError
from modelecology.jobs.watch import PROBE_SECONDS
from modelecology.store import ArtifactStore, StoreError

from .counting import attach, count_running
from .frame import Frame
from .observe import Observer
from .orders import Order
from .queue import WorkKey
from .runtime import Runtime, root_of

_LOG = logging.getLogger(__name__)
_BUCKET_SECONDS = 0.25


def committed(store: ArtifactStore, keys: tuple[str, ...]) -> Callable[[], bool]:
    """Say whether all keys are committed; this is what ends the wait for a job."""
    return lambda: all(store.commit_of(key) is not None for key in keys)


async def job_status(runtime: Runtime, frame: Frame, order: Order, waiter: WorkKey) -> JobStatus | None:
    """Ask where a job is; one that runs is the waiter's from now on. Raises RunnerError."""
    status = await runtime.runner(frame.population).runner.status(order.spec.name)
    if status is not None and not status.phase.finished:
        attach(runtime, frame, order, waiter)
    return status


async def ended_well(frame: Frame, order: Order, status: JobStatus | None) -> bool:
    """Say whether a job has ended and all is committed, though it was not when the facts were gathered.

    Raises StoreError.
    """
    if status is None or not status.phase.finished:
        return False
    return await asyncio.to_thread(committed(frame.store, order.commits))


async def run_job(
    runtime: Runtime, frame: Frame, order: Order, status: JobStatus | None, waiter: WorkKey
) -> Wait | None:
    """See to it that a job runs and that its end wakes the waiter; a Wait says that it must queue first.

    Raises RunnerError, StoreError.
    """
    where = (frame.namespace, frame.name)
    name = order.spec.name
    line = runtime.runner(frame.population)
    if status is None:
        await count_running(runtime, frame)
        limit = frame.population.spec.jobs.parallelism
        if (maker := await _maker(runtime, frame, order)) is not None:
            runtime.queued.setdefault(where, set()).add(waiter)
            return Wait(Reason.QUEUED, f"The same is being made for {maker.name}; this one waits for it.")
        if order.takes_slot and not runtime.slots.take(where, name, limit):
            runtime.queued.setdefault(where, set()).add(waiter)
            return Wait(Reason.QUEUED, f"All {limit} job slots are taken; this one waits for the next.")
        # Before the submission, so that nobody orders the same while it is under way.
        attach(runtime, frame, order, waiter)
        try:
            await line.runner.submit(order.spec)
        except RunnerError:
            settle(runtime, frame.population, waiter, None)
            raise
    attach(runtime, frame, order, waiter)
    # It may be another line since the submission.
    line = runtime.runner(frame.population)
    line.watch.watch(name, committed(frame.store, order.commits), probe_seconds(frame.population))
    if status is not None and status.phase is JobPhase.Pending and status.message:
        return Wait(Reason.RUNNER_REFUSED if status.refused else Reason.QUEUED, status.message)
    return None


def probe_seconds(population: Population) -> float:
    """Say how often a commit is looked for: a look into a bucket is a request."""
    return _BUCKET_SECONDS if population.spec.store.uri.startswith("s3:") else PROBE_SECONDS


async def _maker(runtime: Runtime, frame: Frame, order: Order) -> WorkKey | None:
    """Find who has a job at work that commits some of the same keys to the same store. Raises RunnerError."""
    root, wanted = root_of(frame.population), set(order.commits)
    for other, job in tuple(runtime.running.items()):
        store, keys = runtime.makes.get(job, ("", ()))
        if job == order.spec.name or store != root or wanted.isdisjoint(keys):
            continue
        status = await runtime.runner(frame.population).runner.status(job)
        # One that is not known yet may be on its way; one that has ended keeps nobody waiting.
        if (status is None or not status.phase.finished) and runtime.running.get(other) == job:
            return other
    return None


def settle(runtime: Runtime, population: Population, waiter: WorkKey, wanted: str | None) -> str | None:
    """Give back the slot of the waiter's last job, unless it is still wanted; returns that job's name."""
    job = runtime.running.get(waiter)
    if job is None or job == wanted:
        return None
    del runtime.running[waiter]
    others = runtime.waiting.get(job, set())
    others.discard(waiter)
    if others:
        return None
    where = (population.metadata.namespace, population.metadata.name)
    runtime.waiting.pop(job, None)
    runtime.makes.pop(job, None)
    if runtime.slots.free(where, job):
        # A moment later, so that the one whose job ended takes the next step of its own trial first.
        for queued in runtime.queued.pop(where, ()):
            runtime.queue.add(queued, delay=0.05)
    return job


async def drop_job(runtime: Runtime, frame: Frame, waiter: WorkKey, wanted: Order | None) -> str | None:
    """Let go of the waiter's last job, unless it is still wanted, and end it if it has not done its work.

    Returns the name of a job that was ended.
    """
    job = runtime.running.get(waiter)
    _, keys = runtime.makes.get(job or "", ("", ()))
    job = settle(runtime, frame.population, waiter, wanted.spec.name if wanted else None)
    if job is None:
        return None
    try:
        done = await asyncio.to_thread(committed(frame.store, keys)) if keys else False
        if done:
            runtime.runner(frame.population).watch.unwatch(job)
        else:
            await cancel(runtime, frame.population, job)
            return job
    except (RunnerError, StoreError) as error:
        _LOG.warning("%s: job %s ends by its own deadline: %s", waiter.name, job, error)
    return None


async def end_jobs(runtime: Runtime, frame: Frame, observer: Observer, revision: RevisionRecord) -> None:
    """End what a revision that nobody wants any more has at work, also if an earlier process began it."""
    for job in await asyncio.to_thread(observer.job_names, revision):
        try:
            await cancel(runtime, frame.population, job)
        except RunnerError as error:
            _LOG.warning("%s: job %s ends by its own deadline: %s", observer.log.name, job, error)


async def cancel(runtime: Runtime, population: Population, job: str) -> None:
    """End a job that nobody waits for any more. Raises RunnerError."""
    line = runtime.runner(population)
    line.watch.unwatch(job)
    await line.runner.cancel(job)


def seconds_until(moment: datetime | None, now: datetime, default: float) -> float:
    """Say how long to wait for a moment, in seconds, and never less than a tenth."""
    if moment is None:
        return default
    return max(0.1, (moment - now).total_seconds())
