"""Brings store and engines to what the log says: residents are proved, and so is that the rest is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from modelecology.api.population import Population
from modelecology.api.reasons import Reason, named
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.governance.facts import RevisionRecord, Wait
from modelecology.governance.lifecycle import RESIDENT
from modelecology.governance.log import LogBroken, LogState
from modelecology.governance.succession import Place, residents, served_names
from modelecology.store import ArtifactMissing, StoreError

from . import finalizer
from .boards import refusals, silent
from .engines import Change, Resident
from .fleet import reconcile_engines, source_of
from .frame import Asked, Frame
from .results import Recorded, joined
from .runtime import Runtime

_FIRST = (State.LIVE, State.CANARY, State.SHADOW)
_LOG = logging.getLogger(__name__)


async def serve(runtime: Runtime, frame: Frame) -> Wait | None:
    """Bring store and engines a step further, and say what is in the way. Raises Conflict, KubeError."""
    where = (frame.namespace, frame.name)
    population = frame.population
    if residents(frame.log):
        population = await finalizer.hold(runtime, population)
    faults: list[StoreError] = []
    belongs = await _places(runtime, frame)
    changed = await asyncio.to_thread(_restore, frame, belongs, faults)
    wanted = await asyncio.to_thread(_wanted, runtime, frame, faults)
    if faults:
        # What the store cannot tell now it has told before: a replica that restarts must not wait for it.
        names = {r.served_name for r in residents(frame.log)}
        before = runtime.residents.get(where, {})
        wanted = {name: before[name] for name in before.keys() & names} | wanted
    wanted = _by_worth(frame, wanted)
    runtime.residents[where] = wanted
    # A resident of which the store or the suite cannot tell the fingerprint now is left as it is.
    kept = {r.served_name for r in residents(frame.log)} - wanted.keys()
    changes = await reconcile_engines(runtime, population, frame.log, wanted, kept)
    changed = await _clear(runtime, frame, faults) or changed
    known = runtime.residency.views(where, runtime.residency.known(where))
    if not residents(frame.log) and all(served_names(frame.log) <= v.absent for v in known.values()):
        await finalizer.release(runtime, population)
    if changed:
        runtime.wake_specialists(*where)
    else:
        wake_concerned(runtime, population, frame.log, changes)
    return _fault(faults) or _engine_trouble(runtime, population)


def wake_concerned(
    runtime: Runtime, population: Population, log: LogState, changes: Iterable[Change]
) -> None:
    """Look again at the specialists that something found out at the engines concerns."""
    where = (population.metadata.namespace, population.metadata.name)
    found = tuple(changes)
    names = frozenset[str]().union(*(c.adapters for c in found))
    if any(c.engine for c in found):
        runtime.wake_specialists(*where)
    elif names:
        runtime.wake_specialists(*where, lambda s: _holds(log, s, names))


def _endpoints(population: Population) -> tuple[str, ...]:
    return population.spec.serving.endpoints


def _fault(faults: list[StoreError]) -> Wait | None:
    """Tell of the first that went wrong, and of how many more did."""
    if not faults:
        return None
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Wait(named(faults[0].reason), f"{faults[0]}{more}")


def _engine_trouble(runtime: Runtime, population: Population) -> Wait | None:
    meta = population.metadata
    views = runtime.residency.views((meta.namespace, meta.name), _endpoints(population))
    if said := runtime.selected.trouble(population):
        return Wait(Reason.ENGINE_UNREACHABLE, f"{said}.")
    if not views:
        return Wait(Reason.ENGINE_UNREACHABLE, f"No pod of {source_of(population)} is ready.")
    if down := silent(views):
        return Wait(Reason.ENGINE_UNREACHABLE, "; ".join(down))
    if refused := refusals(views):
        return Wait(Reason.ENGINE_REFUSED, "; ".join(refused))
    return None


async def _places(runtime: Runtime, frame: Frame) -> dict[str, Place]:
    try:
        return await runtime.places(frame)
    except LogBroken as error:
        # Another population of this store: nothing is archived or deleted until its log can be read.
        _LOG.warning("%s/%s: a population with the same store: %s", frame.namespace, frame.name, error)
        return {}


def _holds(log: LogState, specialist: Specialist, names: frozenset[str]) -> bool:
    """Say whether one of some served names is a revision of a specialist."""
    record = log.specialists.get(specialist.metadata.log_uid)
    return record is not None and any(r.served_name in names for r in record.revisions.values())


def _restore(frame: Frame, belongs: Mapping[str, Place], faults: list[StoreError]) -> bool:
    restored = False
    for key, place in belongs.items():
        try:
            if place is Place.ACTIVE and frame.store.commit_of(key) is None and frame.store.is_archived(key):
                frame.store.restore(key)
                restored = True
        except StoreError as error:
            faults.append(error)
    return restored


def _wanted(runtime: Runtime, frame: Frame, faults: list[StoreError]) -> dict[str, Resident]:
    """Find what the engines must hold. One that the store cannot give now keeps no other away."""
    found: dict[str, Resident] = {}
    for specialist in frame.log.specialists.values():
        for record in specialist.in_state(*RESIDENT):
            try:
                resident = _resident(runtime, frame, record)
            except StoreError as error:
                faults.append(error)
                continue
            if resident is not None:
                found[resident.name] = resident
    return found


def _by_worth(frame: Frame, wanted: Mapping[str, Resident]) -> dict[str, Resident]:
    """Put first what an empty engine is to hold first: what is live, by its worth as the status tells it."""
    worth = {member.served_name: place for place, member in enumerate(frame.population.status.members)}
    order = {r.served_name: _FIRST.index(r.state) for r in residents(frame.log)}
    names = sorted(wanted, key=lambda name: (order[name], worth.get(name, len(worth)), name))
    return {name: wanted[name] for name in names}


def _resident(runtime: Runtime, frame: Frame, record: RevisionRecord) -> Resident | None:
    task = record.scorecard.task if record.scorecard else ""
    if frame.suite.spec.task(task) is None:
        return None
    order = frame.order(Asked(task, "Main", record.key))
    candidate = _answers(runtime, frame, record, task) or runtime.results.read(
        frame.store, order, record.served_name
    )
    base = runtime.results.read(frame.store, frame.order(Asked(task, "Main")))
    if candidate is None or base is None:
        return None
    fingerprint = runtime.results.fingerprint(frame.store, order, candidate, base)
    path = frame.store.engine_path(record.key, frame.population.spec.serving.adapter_root)
    return Resident(record.served_name, path, fingerprint)


def _answers(runtime: Runtime, frame: Frame, record: RevisionRecord, task: str) -> Recorded | None:
    """Give what the revision answered in the proof that it passed."""
    if record.proven is None or record.proven.suite != frame.suite_digest:
        return None  # its questions are not those of this suite
    parts = runtime.results.parts(frame.store, record.proven.trial)
    return joined(parts, task, record.served_name) if parts else None


async def _clear(runtime: Runtime, frame: Frame, faults: list[StoreError]) -> bool:
    """Archive and delete what the log says is over, once every engine has proved that it is gone."""
    cleared = False
    # The engines may have taken a minute, and each artifact takes its time too: the log is asked again.
    now = await _again(runtime, frame)
    due = await asyncio.to_thread(_due, runtime, now, await _places(runtime, now), faults) if now else ()
    for key in due:
        now = await _again(runtime, frame)
        if now is None:
            break
        place = (await _places(runtime, now)).get(key, Place.ACTIVE)
        if not _is_off(runtime, now, key):
            continue
        try:
            cleared = await asyncio.to_thread(_take_away, now, key, place) or cleared
        except ArtifactMissing:
            continue
        except StoreError as error:
            faults.append(error)
    return cleared


async def _again(runtime: Runtime, frame: Frame) -> Frame | None:
    """See the frame's population and its log as they are now; None when it is gone or cannot be read."""
    population = runtime.cache.population(frame.namespace, frame.name)
    if population is None or population.metadata.uid != frame.population.metadata.uid:
        return None
    try:
        return replace(frame, population=population, log=await runtime.log_state(population))
    except LogBroken:
        return None


def _due(
    runtime: Runtime, frame: Frame, belongs: Mapping[str, Place], faults: list[StoreError]
) -> tuple[str, ...]:
    """List the artifacts that are not where they belong."""
    found = []
    ours = {record.key for s in frame.log.specialists.values() for record in s.revisions.values()}
    for key, place in belongs.items():
        if place is Place.ACTIVE or key not in ours or not _is_off(runtime, frame, key):
            continue
        try:
            archived = place is Place.DELETED and frame.store.is_archived(key)
            if archived or frame.store.commit_of(key) is not None:
                found.append(key)
        except StoreError as error:
            faults.append(error)
    return tuple(found)


def _is_off(runtime: Runtime, frame: Frame, key: str) -> bool:
    where = (frame.namespace, frame.name)
    endpoints = _endpoints(frame.population)
    return all(runtime.residency.absent(where, endpoints, name) for name in served_names(frame.log, key))


def _take_away(frame: Frame, key: str, place: Place) -> bool:
    """Put an artifact where it belongs; says whether that was another place. Raises StoreError."""
    if place is Place.ARCHIVED and frame.store.commit_of(key) is not None:
        frame.store.archive(key)
        _LOG.info("artifact %s is archived", key[:12])
        return True
    if place is Place.DELETED:
        absence = frame.store.delete(key)
        _LOG.info("artifact %s is gone; %d bytes are free", key[:12], absence.freed_bytes)
        return True
    return False
