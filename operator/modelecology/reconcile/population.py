"""One look at one Population: the generalist's results, the engines, the store, and one status."""

from __future__ import annotations

import asyncio
import logging

from modelecology.api.meta import ConditionType
from modelecology.api.population import Population
from modelecology.api.reasons import Reason, named
from modelecology.api.vocabulary import Action
from modelecology.governance.facts import Wait
from modelecology.governance.log import LogBroken
from modelecology.governance.succession import residents, served_names
from modelecology.jobs.port import RunnerError
from modelecology.kube.cluster import POPULATION, SPECIALIST, EventText
from modelecology.store import StoreError

from . import finalizer
from .act import cancel, settle
from .deletion import GRACE, delete_orphans
from .drains import drains
from .evaluation import evaluate
from .fleet import left_behind, reconcile_engines
from .frame import Frame
from .metrics import ADAPTERS, JOBS, tell_members
from .population_status import population_status, waiting_status, write_population
from .queue import WorkKey
from .replicas import REPLICAS, SOON_SECONDS
from .routes import tend_routes
from .runtime import Runtime, SuiteMissing
from .sealing import tend_log
from .selected import EnginesUnknown
from .service import serve
from .tell import tell
from .trouble import OUTSIDE

ENGINE_SECONDS = 2.0
IDLE_SECONDS = 15.0
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
    # The look before may have ended between a quarantine and the table, and what follows may take long.
    await tend_routes(runtime, population, whole=False)
    try:
        await delete_orphans(runtime, population)
        frame = await runtime.frame(key.namespace, key.name)
    except (SuiteMissing, LogBroken, EnginesUnknown) as error:
        loaded = isinstance(error, SuiteMissing) and await _serve_without_suite(runtime, population)
        await _write_waiting(runtime, key, _missing(error))
        runtime.queue.add(key, ENGINE_SECONDS if loaded else IDLE_SECONDS)
        return
    await runtime.read_usage(population)
    await tend_log(runtime, frame.population)
    evaluating = await _evaluating(runtime, frame, key)
    _note_trouble(runtime, (key.namespace, key.name), evaluating)
    # At once: what is quarantined meanwhile must not wait until the slowest engine was looked at.
    tend_replicas = WorkKey(REPLICAS, key.namespace, key.name)
    if residents(frame.log):
        runtime.queue.add(tend_replicas, SOON_SECONDS)
    waiting = await serve(runtime, frame) or evaluating
    await tend_routes(runtime, frame.population)
    await _report(runtime, frame, waiting)
    runtime.queue.forgive(key)
    held = bool(residents(frame.log)) or bool(drains(frame.population, frame.log, runtime.now()))
    busy = held or waiting is not None or bool(left_behind(runtime, frame.population))
    runtime.queue.add(key, ENGINE_SECONDS if busy else IDLE_SECONDS)
    if held:
        runtime.queue.add(tend_replicas, SOON_SECONDS)


async def _serve_without_suite(runtime: Runtime, population: Population) -> bool:
    """Unload what has to go, which needs no suite; says whether there is anything. Raises KubeError."""
    try:
        log = await runtime.log_state(population)
    except LogBroken as error:
        _LOG.warning("%s/%s: %s", population.metadata.namespace, population.metadata.name, error)
        return False
    names = served_names(log)
    if names:
        # What serves goes on serving as it is: without the suite nothing can be proved anew.
        await reconcile_engines(runtime, population, log, {}, {r.served_name for r in residents(log)})
    await tend_routes(runtime, population)
    return bool(names)


async def _write_waiting(runtime: Runtime, key: WorkKey, wait: Wait) -> None:
    current = runtime.cache.population(key.namespace, key.name)
    if current is None:
        return
    after = waiting_status(current, wait, runtime.now())
    known = (*current.spec.serving.endpoints, *runtime.residency.known((key.namespace, key.name)))
    # Those of a Service that was not looked at yet stand as they are.
    unknown = not current.spec.serving.endpoints
    endpoints = tuple(e for e in after.endpoints if unknown or e.endpoint in known)
    await write_population(runtime, current, after.model_copy(update={"endpoints": endpoints}))


def _missing(error: SuiteMissing | LogBroken | EnginesUnknown) -> Wait:
    if isinstance(error, EnginesUnknown):
        return Wait(Reason.ENGINE_UNREACHABLE, f"{error}.")
    if isinstance(error, SuiteMissing):
        return Wait(Reason.SUITE_NOT_FOUND, f"spec.suiteRef names {error}, which does not exist.")
    return Wait(error.reason, f"{error}.")


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
    endpoints = frame.population.spec.serving.endpoints
    known = (e for e in runtime.residency.known(where) if e not in endpoints)
    views = runtime.residency.views(where, (*endpoints, *known))
    for endpoint, view in views.items():
        ADAPTERS.labels(*where, endpoint).set(len(view.standing))
    JOBS.labels(*where).set(runtime.slots.held(where))
    current = runtime.cache.population(*where)
    if current is None:
        return
    after = await asyncio.to_thread(population_status, runtime, frame, current, views, wait)
    tell_members(where, after.members)
    if await write_population(runtime, current, after):
        before = {c.type: c.status for c in current.status.conditions}
        if before.get(ConditionType.READY) != after.conditions[0].status:
            runtime.wake_specialists(*where)


async def _delete(runtime: Runtime, population: Population, key: WorkKey) -> None:
    """Unload what this population loaded, and release it; an engine that is gone keeps nobody waiting.

    Raises Conflict, KubeError.
    """
    await _end_jobs(runtime, population, key)
    if finalizer.FINALIZER not in population.metadata.finalizers:
        return
    where = (key.namespace, key.name)
    left = list(population.spec.serving.endpoints) or ["its engines"]
    said = ""
    try:
        await runtime.selected.require(population)
        population = runtime.cache.population(*where) or population
        log = await runtime.log_state(population)
    except (LogBroken, EnginesUnknown) as error:
        said = f" What it loaded is not known: {error}."
    else:
        names = served_names(log)
        await reconcile_engines(runtime, population, log, {})
        views = runtime.residency.views(where, runtime.residency.known(where))
        left = [e for e, v in views.items() if names - v.absent]
    since = population.metadata.deletion_timestamp
    if left and since is not None and runtime.now() - since < GRACE:
        runtime.queue.add(key, ENGINE_SECONDS)
        return
    if left:
        nothing = f"{', '.join(left)} serve nothing of it"
        message = f"Released after {GRACE.seconds} s without proof that {nothing}.{said}"
        _LOG.warning("%s/%s: %s", *where, message)
        event = EventText(True, Reason.DELETED, Action.DELETE, message)
        tell(runtime, POPULATION, *where, uid=population.metadata.uid, event=event)
    await finalizer.release(runtime, population)


async def _end_jobs(runtime: Runtime, population: Population, key: WorkKey) -> None:
    """End the evaluation and the jobs of all specialists: nothing of them will be judged any more."""
    specialists = runtime.cache.specialists(key.namespace, key.name)
    waiters = (key, *(WorkKey(SPECIALIST.kind, key.namespace, s.metadata.name) for s in specialists))
    for waiter in waiters:
        job = settle(runtime, population, waiter, None)
        if job is None:
            continue
        try:
            await cancel(runtime, population, job)
        except RunnerError as error:
            _LOG.warning("%s/%s: job %s ends by its own deadline: %s", key.namespace, key.name, job, error)
