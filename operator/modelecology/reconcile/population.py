"""One look at one Population: the generalist's results, the engines, the store, and one status."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from modelecology.api.meta import ConditionType
from modelecology.api.population import Population
from modelecology.api.reasons import Reason, named
from modelecology.api.vocabulary import State
from modelecology.governance.work import backoff
from modelecology.governance.facts import Wait
from modelecology.governance.log import LogBroken
from modelecology.governance.succession import Place, places, residents, served_names
from modelecology.jobs.port import JobPhase, RunnerError
from modelecology.store import ArtifactMissing, StoreError

from . import finalizer
from .act import ended_well, job_status, run_job, settle
from .engines import Resident, reconcile_engine
from .frame import Asked, Frame
from .metrics import ADAPTERS, JOBS
from .observe import failure_of, rivals
from .orders import Order, ask
from .population_status import population_status, waiting_status, write_population
from .queue import WorkKey
from .runtime import Runtime, SuiteMissing

ENGINE_SECONDS = 2.0
IDLE_SECONDS = 15.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failed:
    """The last failure of the population's own evaluation job."""

    reason: str
    message: str


async def reconcile_population(runtime: Runtime, key: WorkKey) -> None:
    """Bring one population a step further. Raises LogMoved, KubeError; the caller tries again."""
    population = runtime.cache.population(key.namespace, key.name)
    if population is None:
        return
    if population.metadata.deletion_timestamp is not None:
        await _delete(runtime, population)
        return
    try:
        frame = await runtime.frame(key.namespace, key.name)
    except SuiteMissing as error:
        wait = Wait(Reason.SUITE_NOT_FOUND, f"spec.suiteRef names {error}, which does not exist.")
        await write_population(runtime, population, waiting_status(population, wait, runtime.now()))
        return
    except LogBroken as error:
        wait = Wait(Reason.LOG_BROKEN, f"{error}.")
        await write_population(runtime, population, waiting_status(population, wait, runtime.now()))
        runtime.queue.add(key, IDLE_SECONDS)
        return
    try:
        evaluating = await _evaluate(runtime, frame, key)
        waiting = await _serve(runtime, frame) or evaluating
    except (StoreError, RunnerError) as error:
        waiting = Wait(named(error.reason), str(error))
    await _report(runtime, frame, waiting)
    runtime.queue.forgive(key)
    busy = bool(residents(frame.log)) or waiting is not None
    runtime.queue.add(key, ENGINE_SECONDS if busy else IDLE_SECONDS)


async def _evaluate(runtime: Runtime, frame: Frame, key: WorkKey) -> Wait | None:
    """Have everything evaluated that verdicts compare with. Raises StoreError, RunnerError."""
    where = (frame.namespace, frame.name)
    missing = await asyncio.to_thread(_missing, frame)
    attempts = runtime.attempts.get(where, 0)
    order = ask(frame, missing, attempts) if missing else None
    settle(runtime, frame.population, key, order.spec.name if order else None)
    if order is None:
        if runtime.baseline_ready(where):
            runtime.wake_specialists(*where)
        return None
    runtime.ready.discard(where)
    status = await job_status(runtime, frame.population, order)
    if await ended_well(frame, order, status):
        runtime.queue.add(key)
        return Wait(Reason.BASELINE_RUNNING, "The results have just been committed.")
    failure = failure_of(status, 0.0, 0.0)
    if failure is not None:
        return await _evaluation_failed(runtime, frame, order, Failed(failure.reason, failure.message))
    wait = await run_job(runtime, frame.population, frame.store, order, status, key)
    running = status is not None and status.phase is JobPhase.Running
    n = len(missing)
    return wait or Wait(
        Reason.BASELINE_RUNNING,
        f"{n} results of the generalist or of live specialists are {'being made' if running else 'ordered'}.",
    )


async def _evaluation_failed(runtime: Runtime, frame: Frame, order: Order, failed: Failed) -> Wait:
    """Try a failed evaluation again after a pause, for as long as it takes: nothing can be judged without it."""
    where = (frame.namespace, frame.name)
    now = runtime.now()
    due = runtime.retry_at.get(order.spec.name)
    attempts = runtime.attempts.get(where, 0)
    if due is None:
        due = now + backoff(attempts)
        runtime.retry_at[order.spec.name] = due
    if now >= due:
        del runtime.retry_at[order.spec.name]
        runtime.attempts[where] = attempts + 1
        settle(runtime, frame.population, WorkKey("Population", *where), None)
        runtime.queue.add(WorkKey("Population", *where))
    seconds = max(0, round((due - now) / timedelta(seconds=1)))
    return Wait(
        named(failed.reason),
        f"The evaluation failed: {failed.message} It is tried again in {seconds} s.",
        due,
    )


def _missing(frame: Frame) -> tuple[Asked, ...]:
    """List the results to make next, all of one model: the generalist's first, then each live specialist's."""
    baseline = frame.missing(frame.baseline())
    if baseline:
        return baseline
    for rival in rivals(frame):
        if frame.suite.spec.task(rival.task) is None:
            continue
        record = rival.record
        for asked in (
            Asked(rival.task, "Main", record.key),
            Asked(rival.task, "Shadow", record.key, record.served_name),
        ):
            if missing := frame.missing((asked,)):
                return missing
    return ()


async def _serve(runtime: Runtime, frame: Frame) -> Wait | None:
    """Bring store and engines to what the log says. Raises StoreError."""
    where = (frame.namespace, frame.name)
    population = frame.population
    if residents(frame.log):
        population = await finalizer.hold(runtime, population)
    await asyncio.to_thread(_restore, frame)
    wanted = await asyncio.to_thread(_wanted, runtime, frame)
    ours = served_names(frame.log)
    endpoints = population.spec.serving.endpoints
    views = runtime.residency.views(where, endpoints)
    changes = await asyncio.gather(
        *(reconcile_engine(runtime.engine(e), views[e], wanted, ours) for e in endpoints)
    )
    cleared = await asyncio.to_thread(_clear, runtime, frame, endpoints)
    if any(changes) or cleared:
        runtime.wake_specialists(*where)
    down = [f"{e}: {v.message}" for e, v in views.items() if not v.reachable]
    return Wait(Reason.ENGINE_UNREACHABLE, "; ".join(down)) if down else None


def _restore(frame: Frame) -> None:
    for key, place in places(frame.log).items():
        if place is Place.ACTIVE and frame.store.commit_of(key) is None and frame.store.is_archived(key):
            frame.store.restore(key)


def _wanted(runtime: Runtime, frame: Frame) -> dict[str, Resident]:
    found: dict[str, Resident] = {}
    for specialist in frame.log.specialists.values():
        for record in specialist.in_state(State.SHADOW, State.LIVE):
            task = record.scorecard.task if record.scorecard else ""
            if frame.suite.spec.task(task) is None:
                continue
            order = frame.order(Asked(task, "Main", record.key))
            candidate = runtime.results.read(frame.store, order, record.served_name)
            base = runtime.results.read(frame.store, frame.order(Asked(task, "Main")))
            if candidate is None or base is None:
                continue
            fingerprint = runtime.results.fingerprint(
                frame.store, frame.population.spec.store.uri, order, candidate, base
            )
            path = frame.store.local_path(record.key)
            found[record.served_name] = Resident(record.served_name, path, fingerprint)
    return found


def _clear(runtime: Runtime, frame: Frame, endpoints: tuple[str, ...]) -> bool:
    """Archive and delete what the log says is over, once every engine has proved that it is gone."""
    where = (frame.namespace, frame.name)
    cleared = False
    for key, place in places(frame.log).items():
        if place is Place.ACTIVE:
            continue
        names = served_names(frame.log, key)
        if not all(runtime.residency.absent(where, endpoints, name) for name in names):
            continue
        active = frame.store.commit_of(key) is not None
        try:
            if place is Place.ARCHIVED and active:
                frame.store.archive(key)
                cleared = True
            elif place is Place.DELETED and (active or frame.store.is_archived(key)):
                absence = frame.store.delete(key)
                _LOG.info("artifact %s is gone; %d bytes are free", key[:12], absence.freed_bytes)
                cleared = True
        except ArtifactMissing:
            continue
    return cleared


async def _report(runtime: Runtime, frame: Frame, wait: Wait | None) -> None:
    where = (frame.namespace, frame.name)
    views = runtime.residency.views(where, frame.population.spec.serving.endpoints)
    for endpoint, view in views.items():
        ADAPTERS.labels(*where, endpoint).set(len(view.standing))
    JOBS.labels(*where).set(runtime.slots.held(where))
    current = runtime.cache.population(*where)
    if current is None:
        return
    after = await asyncio.to_thread(population_status, runtime, frame, current, views, wait)
    if await write_population(runtime, current, after):
        before = {c.type: c.status for c in current.status.conditions}
        if before.get(ConditionType.READY) != after.conditions[0].status:
            runtime.wake_specialists(*where)


async def _delete(runtime: Runtime, population: Population) -> None:
    """Unload what this population loaded, and release it; an engine that is gone keeps nobody waiting."""
    if finalizer.FINALIZER not in population.metadata.finalizers:
        return
    state = await runtime.log_state(population)
    names = served_names(state)
    where = (population.metadata.namespace, population.metadata.name)
    endpoints = population.spec.serving.endpoints
    views = runtime.residency.views(where, endpoints)
    await asyncio.gather(*(reconcile_engine(runtime.engine(e), views[e], {}, names) for e in endpoints))
    left = [e for e, v in views.items() if names - v.absent]
    since = population.metadata.deletion_timestamp
    if left and since is not None and runtime.now() - since < timedelta(seconds=60):
        runtime.queue.add(WorkKey("Population", *where), ENGINE_SECONDS)
        return
    await finalizer.release(runtime, population)
