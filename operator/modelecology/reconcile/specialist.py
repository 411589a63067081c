"""One look at one Specialist: observe, decide, record, act, and write one status."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime

from modelecology.api.reasons import Reason, named
from modelecology.api.specialist import Specialist, SpecialistStatus
from modelecology.api.vocabulary import State
from modelecology.governance.decide import decide
from modelecology.governance.facts import (
    Cost,
    JobFailure,
    Residency,
    RevisionRecord,
    Verdict,
    Wait,
)
from modelecology.governance.lifecycle import RESIDENT, STOPPED, WORKING
from modelecology.governance.log import LogBroken, SpecialistRecord, pending
from modelecology.governance.succession import retry, succession
from modelecology.jobs.port import JobStatus, RunnerError
from modelecology.kube.cluster import SPECIALIST
from modelecology.store import Progress, StoreError

from . import finalizer
from .act import cancel, ended_well, job_status, run_job, seconds_until, settle
from .deletion import delete_specialist
from .frame import Frame
from .observe import Observer, Sight, failure_of
from .queue import WorkKey
from .record import entry_of, record, subject_of
from .runtime import PopulationMissing, Runtime, SuiteMissing
from .status import PROGRESS_SECONDS, specialist_status, unmoved, write

RETRY_ANNOTATION = "modelecology.io/retry"
WAIT_SECONDS = 30.0
ENVIRONMENT_SECONDS = 3.0
_MOST_STEPS = 16
_ENVIRONMENT = (
    Reason.RUNNER_UNAVAILABLE,
    Reason.STORE_UNAVAILABLE,
    Reason.STORE_FULL,
    Reason.ENGINE_UNREACHABLE,
)
_SETTLED = (Reason.SERVING, Reason.RETIRED, Reason.SHADOW_HELD)


@dataclass(frozen=True, slots=True)
class Seen:
    """The outcome of observe and decide: what the verdict was made from, and what it is."""

    sight: Sight
    status: JobStatus | None
    verdict: Verdict | Wait


async def reconcile_specialist(runtime: Runtime, key: WorkKey) -> None:
    """Bring one Specialist a step further. Raises LogMoved, KubeError; the caller tries again."""
    specialist = runtime.cache.specialist(key.namespace, key.name)
    if specialist is None:
        return
    try:
        frame = await runtime.frame(key.namespace, specialist.spec.population_ref.name)
    except (PopulationMissing, SuiteMissing, LogBroken) as error:
        await _wait_for_frame(runtime, specialist, key, error)
        return
    if specialist.metadata.deletion_timestamp is not None:
        await delete_specialist(runtime, frame, specialist, key)
        return
    await _Trial(runtime, specialist, key).run()


class _Trial:
    """The loop over one Specialist: verdicts are recorded until there is only waiting left."""

    def __init__(self, runtime: Runtime, specialist: Specialist, key: WorkKey) -> None:
        self._runtime = runtime
        self._specialist = specialist
        self._key = key
        self._where = (key.namespace, specialist.spec.population_ref.name)

    async def run(self) -> None:
        for _ in range(_MOST_STEPS):
            frame = await self._runtime.frame(*self._where)
            observer = Observer(frame, self._specialist, self._runtime.results, self._runtime.now())
            if await self._tidy(frame, observer):
                continue
            try:
                seen = await self._observe(frame, observer)
            except (StoreError, RunnerError) as error:
                await self._finish(frame, observer, None, Wait(named(error.reason), str(error)))
                return
            if isinstance(seen.verdict, Wait):
                wait = await self._act(frame, seen, seen.verdict)
                await self._finish(frame, observer, seen, wait)
                return
            await self._record(frame, observer.record, seen, seen.verdict)
        raise RuntimeError(
            f"{self._key.name} made {_MOST_STEPS} decisions in one look; the rules turn in a circle"
        )

    async def _tidy(self, frame: Frame, observer: Observer) -> bool:
        """Record what is due about other revisions, or a person's request; says whether something was."""
        now = self._runtime.now()
        due = succession(observer.log, observer.record.revision, now, frame.policy.undo_window)
        actor = "operator"
        asked = self._specialist.metadata.annotations.get(RETRY_ANNOTATION, "")
        if due is None and asked and asked != observer.log.retried_by and observer.record.state in STOPPED:
            due, actor = (observer.record, retry(observer.record, asked[:200])), asked[:200]
        if due is None:
            return False
        revision, verdict = due
        subject = subject_of(observer.log.name, self._specialist.metadata.uid, revision)
        entry = entry_of(frame, subject, verdict, Cost(), None, now, actor)
        await record(self._runtime, frame, entry)
        self._runtime.wake(*self._where)
        return True

    async def _observe(self, frame: Frame, observer: Observer) -> Seen:
        """Gather all facts and judge them. Raises StoreError, RunnerError."""
        sight = await asyncio.to_thread(observer.see)
        status = None
        if sight.order is not None:
            status = await job_status(self._runtime, frame.population, sight.order)
            if await ended_well(frame, sight.order, status):
                sight, status = await asyncio.to_thread(observer.see), None
        situation = replace(
            sight.situation,
            failure=self._failure(observer.record, status, sight),
            residency=self._residency(frame, observer.record),
        )
        return Seen(replace(sight, situation=situation), status, decide(situation))

    def _failure(self, revision: RevisionRecord, status: JobStatus | None, sight: Sight) -> JobFailure | None:
        elapsed = (self._runtime.now() - revision.since).total_seconds()
        return failure_of(status, elapsed, sight.situation.claim.cpus)

    def _residency(self, frame: Frame, revision: RevisionRecord) -> Residency | None:
        if revision.state not in RESIDENT:
            return None
        endpoints = frame.population.spec.serving.endpoints
        return self._runtime.residency.residency(self._where, endpoints, revision.served_name)

    async def _record(self, frame: Frame, revision: RevisionRecord, seen: Seen, verdict: Verdict) -> None:
        meta = self._specialist.metadata
        if verdict.transition.target in WORKING:
            self._specialist = await finalizer.hold(self._runtime, self._specialist)
        leaves = verdict.transition.target is not verdict.transition.source
        extra = seen.sight.evaluation_cost if leaves else Cost()
        subject = subject_of(meta.name, meta.uid, revision, seen.sight.key)
        evidence = seen.sight.situation.evidence.digest
        entry = entry_of(frame, subject, verdict, extra, evidence, self._runtime.now())
        await record(self._runtime, frame, entry)
        states = (verdict.transition.source, verdict.transition.target)
        if leaves and any(state in (*RESIDENT, State.RETIRED, State.DELETED) for state in states):
            # The engines, the store and the others' incumbents follow from this.
            self._runtime.wake(*self._where)

    async def _act(self, frame: Frame, seen: Seen, wait: Wait) -> Wait:
        """Let the job run that this state needs; a job that nobody needs any more is ended."""
        order = seen.sight.order
        wanted = order.spec.name if order else None
        old = settle(self._runtime, frame.population, self._key, wanted)
        if old is not None and seen.sight.situation.record.state not in WORKING:
            await cancel(self._runtime, frame.population, old)
        if order is None or not _may_run(wait):
            return wait
        try:
            queued = await run_job(
                self._runtime, frame.population, frame.store, order, seen.status, self._key
            )
        except RunnerError as error:
            return Wait(named(error.reason), str(error))
        return queued or wait

    async def _finish(self, frame: Frame, observer: Observer, seen: Seen | None, wait: Wait) -> None:
        now = self._runtime.now()
        progress = await asyncio.to_thread(_progress, frame, seen, wait)
        after = specialist_status(self._specialist, frame, observer.log, observer.record, wait, progress, now)
        await self._write(after, now)
        self._runtime.queue.forgive(self._key)
        self._runtime.queue.add(self._key, _pause(wait, observer.record, now))

    async def _write(self, after: SpecialistStatus, now: datetime) -> None:
        last = self._runtime.progress_at.get(self._key)
        fresh = last is not None and (now - last).total_seconds() < PROGRESS_SECONDS
        if fresh and unmoved(self._specialist, after):
            return
        if await write(self._runtime, SPECIALIST, self._specialist, after):
            self._runtime.progress_at[self._key] = now


def _may_run(wait: Wait) -> bool:
    return wait.reason in (Reason.TRAINING, Reason.IMPORTING, Reason.EVALUATING, Reason.SHADOWING)


def _progress(frame: Frame, seen: Seen | None, wait: Wait) -> Progress | None:
    if seen is None or seen.sight.order is None or not _may_run(wait):
        return None
    try:
        return frame.store.progress(seen.sight.order.progress_key)
    except StoreError:
        return None


def _pause(wait: Wait, revision: RevisionRecord, now: datetime) -> float:
    if wait.until is not None:
        return min(seconds_until(wait.until, now, WAIT_SECONDS), 3600.0)
    if wait.reason in _SETTLED:
        return 3600.0
    if wait.reason in _ENVIRONMENT:
        return ENVIRONMENT_SECONDS
    return float(PROGRESS_SECONDS) if revision.state in WORKING else WAIT_SECONDS


async def _wait_for_frame(
    runtime: Runtime,
    specialist: Specialist,
    key: WorkKey,
    error: PopulationMissing | SuiteMissing | LogBroken,
) -> None:
    """Say what is missing; what appears later wakes this Specialist again."""
    if specialist.metadata.deletion_timestamp is not None and isinstance(error, PopulationMissing):
        # The population took engines and log with it: nothing is left to wait for.
        await finalizer.release(runtime, specialist)
        return
    if isinstance(error, PopulationMissing):
        wait = Wait(Reason.POPULATION_NOT_FOUND, f"spec.populationRef names {error}, which does not exist.")
    elif isinstance(error, SuiteMissing):
        wait = Wait(Reason.SUITE_NOT_FOUND, f"The population's suiteRef names {error}, which does not exist.")
    else:
        wait = Wait(Reason.LOG_BROKEN, f"{error}.")
    meta = specialist.metadata
    now = runtime.now()
    unseen = pending("", meta.name, meta.creation_timestamp or now)
    after = specialist_status(
        specialist, None, SpecialistRecord(meta.name, meta.uid), unseen, wait, None, now
    )
    kept = {"live", "candidate", "previous", "ledger", "last_decision", "state", "score"}
    after = after.model_copy(update={name: getattr(specialist.status, name) for name in kept})
    await write(runtime, SPECIALIST, specialist, after)
    runtime.queue.add(key, WAIT_SECONDS)
