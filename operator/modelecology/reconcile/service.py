"""Brings store and engines to what the log says: residents are proved, and so is that the rest is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from modelecology.api.reasons import Reason, named
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.governance.facts import Wait
from modelecology.governance.log import LogBroken
from modelecology.governance.succession import Place, residents, served_names
from modelecology.store import ArtifactMissing, StoreError

from . import finalizer
from .boards import unreachable
from .engines import Resident, reconcile_engine
from .frame import Asked, Frame
from .runtime import Runtime

_LOG = logging.getLogger(__name__)


async def serve(runtime: Runtime, frame: Frame) -> Wait | None:
    """Bring store and engines a step further, and say what is in the way. Raises Conflict, KubeError."""
    where = (frame.namespace, frame.name)
    population = frame.population
    if residents(frame.log):
        population = await finalizer.hold(runtime, population)
    trouble: Wait | None = None
    wanted: dict[str, Resident] = {}
    belongs: dict[str, Place] = {}
    changed = False
    try:
        belongs = await runtime.places(frame)
    except LogBroken as error:
        # Another population of this store: nothing is archived or deleted until its log can be read.
        _LOG.warning("%s/%s: a population with the same store: %s", *where, error)
    try:
        changed = await asyncio.to_thread(_restore, frame, belongs)
        wanted = await asyncio.to_thread(_wanted, runtime, frame)
    except StoreError as error:
        # Without the store nothing can be loaded; what has to go can go all the same.
        trouble = Wait(named(error.reason), str(error))
    # A resident of which the store or the suite cannot tell the fingerprint now is left as it is.
    kept = {r.served_name for r in residents(frame.log)} - wanted.keys()
    endpoints = population.spec.serving.endpoints
    views = runtime.residency.views(where, endpoints)
    ours = served_names(frame.log) - kept
    changes = await asyncio.gather(
        *(reconcile_engine(runtime.engine(e), views[e], wanted, ours) for e in endpoints)
    )
    if trouble is None:
        try:
            changed = await asyncio.to_thread(_clear, runtime, frame, endpoints, belongs) or changed
        except StoreError as error:
            trouble = Wait(named(error.reason), str(error))
    if not residents(frame.log) and all(served_names(frame.log) <= v.absent for v in views.values()):
        await finalizer.release(runtime, population)
    names = frozenset[str]().union(*(c.adapters for c in changes))
    if changed or any(c.engine for c in changes):
        runtime.wake_specialists(*where)
    elif names:
        runtime.wake_specialists(*where, lambda s: _holds(frame, s, names))
    down = unreachable(views)
    return trouble or (Wait(Reason.ENGINE_UNREACHABLE, "; ".join(down)) if down else None)


def _holds(frame: Frame, specialist: Specialist, names: frozenset[str]) -> bool:
    """Say whether one of some served names is a revision of a specialist."""
    record = frame.log.specialists.get(specialist.metadata.uid)
    return record is not None and any(r.served_name in names for r in record.revisions.values())


def _restore(frame: Frame, belongs: Mapping[str, Place]) -> bool:
    restored = False
    for key, place in belongs.items():
        if place is Place.ACTIVE and frame.store.commit_of(key) is None and frame.store.is_archived(key):
            frame.store.restore(key)
            restored = True
    return restored


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


def _clear(runtime: Runtime, frame: Frame, endpoints: tuple[str, ...], belongs: Mapping[str, Place]) -> bool:
    """Archive and delete what the log says is over, once every engine has proved that it is gone."""
    where = (frame.namespace, frame.name)
    cleared = False
    ours = {record.key for s in frame.log.specialists.values() for record in s.revisions.values()}
    for key, place in belongs.items():
        if place is Place.ACTIVE or key not in ours:
            continue
        names = served_names(frame.log, key)
        if not all(runtime.residency.absent(where, endpoints, name) for name in names):
            continue
        active = frame.store.commit_of(key) is not None
        try:
            if place is Place.ARCHIVED and active:
                frame.store.archive(key)
                _LOG.info("artifact %s is archived", key[:12])
                cleared = True
            elif place is Place.DELETED and (active or frame.store.is_archived(key)):
                absence = frame.store.delete(key)
                _LOG.info("artifact %s is gone; %d bytes are free", key[:12], absence.freed_bytes)
                cleared = True
        except ArtifactMissing:
            continue
    return cleared
