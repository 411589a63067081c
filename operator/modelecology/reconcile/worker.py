"""The workers: take a key from the queue, look at it, and turn every error into a later look."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from typing import NoReturn

from modelecology.api.vocabulary import QUARANTINE_ANNOTATION
from modelecology.kube.cluster import POPULATION, SPECIALIST, SUITE, Kind
from modelecology.kube.decisions import LogMoved
from modelecology.kube.errors import Conflict, KubeError, NotFound

from .isolation import ISOLATION, reconcile_isolation
from .metrics import ERRORS, QUEUE, RECONCILES
from .population import reconcile_population
from .queue import WorkKey
from .replicas import REPLICAS, reconcile_replicas
from .routes import ROUTES, reconcile_routes
from .runtime import Runtime
from .specialist import reconcile_specialist

_LOG = logging.getLogger(__name__)
_SOON_SECONDS = 0.05
_STAGES: dict[str, Callable[[Runtime, WorkKey], Awaitable[None]]] = {
    POPULATION.kind: reconcile_population,
    SPECIALIST.kind: reconcile_specialist,
    ISOLATION: reconcile_isolation,
    ROUTES: reconcile_routes,
    REPLICAS: reconcile_replicas,
}


LONG = frozenset({POPULATION.kind})
"""Kinds of keys whose looks may wait for engines, for minutes."""


async def work(runtime: Runtime, leave: AbstractSet[str] = frozenset()) -> NoReturn:
    """Work until cancelled, on all kinds but those to `leave`. No error of one object ever ends it."""
    while True:
        key = await runtime.queue.get(leave)
        QUEUE.set(runtime.queue.ready())
        started = time.perf_counter()
        try:
            await look(runtime, key)
        finally:
            RECONCILES.labels(key.kind).observe(time.perf_counter() - started)
            runtime.queue.done(key)


async def look(runtime: Runtime, key: WorkKey) -> None:
    """Look at one object; every error becomes a later look."""
    try:
        await _STAGES[key.kind](runtime, key)
    except (Conflict, LogMoved) as error:
        # Our view is old: the watch or the log will show the newer one in a moment.
        _LOG.debug("%s/%s: %s", key.namespace, key.name, error)
        ERRORS.labels(key.kind, type(error).__name__).inc()
        runtime.queue.add(key, _SOON_SECONDS)
    except NotFound as error:
        _LOG.debug("%s/%s: something is gone: %s", key.namespace, key.name, error)
        if _is_there(runtime, key):
            # Not the object itself is gone, or the watch has yet to say so: without a later look it is stuck.
            runtime.queue.retry(key)
    except KubeError as error:
        delay = runtime.queue.retry(key)
        ERRORS.labels(key.kind, type(error).__name__).inc()
        _LOG.warning("%s/%s: %s; again in %.1f s", key.namespace, key.name, error, delay)
    except asyncio.CancelledError:
        raise
    except Exception:
        delay = runtime.queue.retry(key)
        ERRORS.labels(key.kind, "InternalError").inc()
        _LOG.exception("%s/%s: a fault of this software; again in %.1f s", key.namespace, key.name, delay)


def _is_there(runtime: Runtime, key: WorkKey) -> bool:
    of_population = key.kind in (POPULATION.kind, ROUTES, REPLICAS)
    find = runtime.cache.population if of_population else runtime.cache.specialist
    return find(key.namespace, key.name) is not None


def seen(runtime: Runtime, kind: Kind, namespace: str, name: str) -> None:
    """Queue what a change of an object concerns: the level, not the edge."""
    if kind is SUITE:
        for population in runtime.cache.populations():
            meta = population.metadata
            if meta.namespace == namespace and population.spec.suite_ref.name == name:
                runtime.wake(namespace, meta.name)
    elif kind is POPULATION:
        runtime.wake(namespace, name)
    else:
        specialist = runtime.cache.specialist(namespace, name)
        if specialist is not None and QUARANTINE_ANNOTATION in specialist.metadata.annotations:
            runtime.queue.add(WorkKey(ISOLATION, namespace, name))
        runtime.queue.add(WorkKey(kind.kind, namespace, name))
        if specialist is not None and not specialist.status.conditions:
            # A new one is counted in its population's status.
            runtime.queue.add(WorkKey(POPULATION.kind, namespace, specialist.spec.population_ref.name))
        if specialist is not None and specialist.status.observed_generation != specialist.metadata.generation:
            # What it claims may have changed, and with it where requests go.
            runtime.queue.add(WorkKey(ROUTES, namespace, specialist.spec.population_ref.name))
