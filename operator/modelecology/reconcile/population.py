"""One look at one Population: the generalist's results, the engines, the store, and one status."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from modelecology.api.meta import ConditionType
from modelecology.api.population import Population
from modelecology.api.reasons import Reason, named
from modelecology.governance.facts import Wait
from modelecology.governance.log import LogBroken
from modelecology.governance.succession import residents, served_names
from modelecology.jobs.port import RunnerError
from modelecology.store import StoreError

from . import finalizer
from .act import cancel, settle
from .engines import reconcile_engine
from .evaluation import evaluate
from .frame import Frame
from .metrics import ADAPTERS, JOBS
from .population_status import population_status, waiting_status, write_population
from .queue import WorkKey
from .runtime import Runtime, SuiteMissing
from .service import serve
from .trouble import OUTSIDE

ENGINE_SECONDS = 2.0
IDLE_SECONDS = 15.0
GRACE = timedelta(seconds=60)
_LOG = logging.getLogger(__name__)


async def reconcile_population(runtime: Runtime, key: WorkKey) -> None:
    """Bring one population a step further. Raises LogMoved, KubeError; the caller tries again."""
    population = runtime.cache.population(key.namespace, key.name)
    if population is None:
        runtime.forget_population(key)
        runtime.wake_specialists(key.namespace, key.name)
        return
    if population.metadata.deletion_timestamp is not None:
        await _delete(runtime, population, key)
        return
    try:
        frame = await runtime.frame(key.namespace, key.name)
    except (SuiteMissing, LogBroken) as error:
        await write_population(
            runtime, population, waiting_status(population, _missing(error), runtime.now())
        )
        runtime.queue.add(key, IDLE_SECONDS)
        return
    evaluating = await _evaluating(runtime, frame, key)
    _note_trouble(runtime, (key.namespace, key.name), evaluating)
    waiting = await serve(runtime, frame) or evaluating
    await _report(runtime, frame, waiting)
    runtime.queue.forgive(key)
    busy = bool(residents(frame.log)) or waiting is not None
    runtime.queue.add(key, ENGINE_SECONDS if busy else IDLE_SECONDS)


def _missing(error: SuiteMissing | LogBroken) -> Wait:
    if isinstance(error, SuiteMissing):
        return Wait(Reason.SUITE_NOT_FOUND, f"spec.suiteRef names {error}, which does not exist.")
    return Wait(Reason.LOG_BROKEN, f"{error}.")


async def _evaluating(runtime: Runtime, frame: Frame, key: WorkKey) -> Wait | None:
    try:
        return await evaluate(runtime, frame, key)
    except (StoreError, RunnerError) as error:
        return Wait(named(error.reason), str(error))


def _note_trouble(runtime: Runtime, where: tuple[str, str], wait: Wait | None) -> None:
    """Let those who wait for the results know what keeps them from being made."""
    known = runtime.in_the_way.get(where)
    now = wait if wait is not None and wait.reason in OUTSIDE else None
    if now is None:
        runtime.in_the_way.pop(where, None)
    else:
        runtime.in_the_way[where] = now
    if (known and known.reason) != (now and now.reason):
        runtime.wake_specialists(*where)


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


async def _delete(runtime: Runtime, population: Population, key: WorkKey) -> None:
    """Unload what this population loaded, and release it; an engine that is gone keeps nobody waiting.

    Raises Conflict, KubeError.
    """
    await _end_evaluation(runtime, population, key)
    if finalizer.FINALIZER not in population.metadata.finalizers:
        return
    where = (key.namespace, key.name)
    endpoints = population.spec.serving.endpoints
    views = runtime.residency.views(where, endpoints)
    left = list(endpoints)
    try:
        names = served_names(await runtime.log_state(population))
    except LogBroken as error:
        _LOG.warning("%s/%s: what it loaded is not known: %s", *where, error)
    else:
        await asyncio.gather(*(reconcile_engine(runtime.engine(e), views[e], {}, names) for e in endpoints))
        left = [e for e, v in views.items() if names - v.absent]
    since = population.metadata.deletion_timestamp
    if left and since is not None and runtime.now() - since < GRACE:
        runtime.queue.add(key, ENGINE_SECONDS)
        return
    if left:
        _LOG.warning("%s/%s is let go without proof that %s hold nothing of it", *where, ", ".join(left))
    await finalizer.release(runtime, population)


async def _end_evaluation(runtime: Runtime, population: Population, key: WorkKey) -> None:
    job = settle(runtime, population, key, None)
    if job is None:
        return
    try:
        await cancel(runtime, population, job)
    except RunnerError as error:
        _LOG.warning("%s/%s: job %s ends by its own deadline: %s", key.namespace, key.name, job, error)
