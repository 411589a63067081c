"""Deleting a Specialist: its adapters are unloaded and its bytes deleted, with proof, or it is let go in time."""

from __future__ import annotations

from datetime import timedelta

from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import Action
from modelecology.governance.facts import Cost
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.succession import Place, deletion, places
from modelecology.jobs.port import RunnerError
from modelecology.kube.cluster import EventText
from modelecology.store import StoreError

from .act import cancel, settle
from .finalizer import FINALIZER, release
from .frame import Frame
from .observe import record_of
from .queue import WorkKey
from .record import entry_of, record, subject_of, tell
from .runtime import Runtime

GRACE = timedelta(seconds=60)
_LOOK_AGAIN_SECONDS = 1.0


async def delete_specialist(runtime: Runtime, frame: Frame, specialist: Specialist, key: WorkKey) -> None:
    """Record what goes, wait for the proof that it is gone, then release. Raises LogMoved, KubeError."""
    if FINALIZER not in specialist.metadata.finalizers:
        return
    meta = specialist.metadata
    where = (meta.namespace, frame.name)
    while due := deletion(record_of(frame, meta.uid, meta.name)):
        revision, verdict = due
        subject = subject_of(meta.name, meta.uid, revision)
        await record(runtime, frame, entry_of(frame, subject, verdict, Cost(), None, runtime.now()))
        frame = await runtime.frame(*where)
    await _end_job(runtime, frame, key)
    runtime.queue.add(WorkKey("Population", *where))
    left = _left(runtime, frame, record_of(frame, meta.uid, meta.name))
    if left and not _grace_is_over(runtime, specialist):
        runtime.queue.add(key, _LOOK_AGAIN_SECONDS)
        return
    if left:
        message = f"Released after {GRACE.seconds} s without proof that this is gone: {', '.join(left)}."
        event = EventText(True, Reason.DELETED, Action.DELETE, message)
        await tell(runtime, meta.namespace, meta.name, meta.uid, event)
    await release(runtime, specialist)


async def _end_job(runtime: Runtime, frame: Frame, key: WorkKey) -> None:
    job = settle(runtime, frame.population, key, None)
    if job is None:
        return
    try:
        await cancel(runtime, frame.population, job)
    except RunnerError:
        # Without its runner nobody can end the job; it ends by its own deadline.
        return


def _grace_is_over(runtime: Runtime, specialist: Specialist) -> bool:
    since = specialist.metadata.deletion_timestamp
    return since is not None and runtime.now() - since > GRACE


def _left(runtime: Runtime, frame: Frame, log: SpecialistRecord) -> list[str]:
    """List what is not proved to be gone."""
    endpoints = frame.population.spec.serving.endpoints
    where = (frame.namespace, frame.name)
    left: list[str] = []
    for revision in log.revisions.values():
        if revision.was_live and not runtime.residency.absent(where, endpoints, revision.served_name):
            left.append(f"{revision.served_name} on the engines")
        if revision.key and _in_store(frame, revision.key):
            left.append(f"artifact {revision.key[:12]} in the store")
    return left


def _in_store(frame: Frame, key: str) -> bool:
    if places(frame.log).get(key) is not Place.DELETED:
        return False
    try:
        return frame.store.commit_of(key) is not None or frame.store.is_archived(key)
    except StoreError:
        return True
