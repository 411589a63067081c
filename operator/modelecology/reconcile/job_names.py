"""Names jobs after their owner and their try, and knows what an earlier revision may have at work."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from modelecology.api.vocabulary import State
from modelecology.governance.facts import RevisionRecord
from modelecology.jobs.port import job_name

from .frame import Asked, Frame
from .orders import Order, Phase, ask


def name_of(frame: Frame, phase: Phase, key: str, uid: str, tries: int) -> str:
    """Name a job after its owner and its try: the record of one that ended long ago is never this one's.

    Two stores may want the same key of one Ray, so the store is in the name as well.
    """
    place = hashlib.sha256(f"{uid} {frame.population.spec.store.uri} {key}".encode()).hexdigest()
    return job_name(phase, place, tries)


def of_owner(frame: Frame, order: Order, uid: str, tries: int) -> Order:
    """Give an order the name of its owner's job."""
    name = name_of(frame, order.phase, order.progress_key, uid, tries)
    return replace(order, spec=replace(order.spec, name=name))


def at_work(
    frame: Frame, task: str, revision: RevisionRecord, uid: str, trial: str | None = None
) -> tuple[str, ...]:
    """Name the jobs that a revision which is not the current one may have at work, by its record alone.

    `trial` is the key of the course that it would be asked now.
    """
    if revision.state is State.TRAINING:
        # Whether it was trained or imported, its spec knew, which is gone.
        phases: tuple[Phase, ...] = ("Train", "Import")
        return tuple(name_of(frame, phase, revision.key, uid, revision.tries) for phase in phases)
    if revision.state is State.EVALUATING and trial is not None:
        return (name_of(frame, "Evaluate", trial, uid, revision.tries),)
    if revision.state is State.SHADOW and frame.suite.spec.task(task) is not None:
        served = Asked(task, "Shadow", revision.key, revision.served_name)
        order = ask(frame, (served,), revision.tries)
        return (name_of(frame, order.phase, order.progress_key, uid, revision.tries),)
    return ()
