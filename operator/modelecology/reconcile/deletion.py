"""Deleting a Specialist: its adapters and bytes go, with proof, or it is let go in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from modelecology.api.meta import ObjectMeta
from modelecology.api.population import Population
from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import Action
from modelecology.governance.book import Account
from modelecology.governance.facts import RevisionRecord, Verdict
from modelecology.governance.log import LogBroken, LogState, Premises, SpecialistRecord, Subject
from modelecology.governance.succession import Place, deletion
from modelecology.jobs.port import RunnerError
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, EventText
from modelecology.store import StoreError

from .accounts import Cut, held, posted_bare
from .act import cancel, settle
from .finalizer import FINALIZER, release
from .frame import Frame
from .metrics import TRANSITIONS, WRITES
from .observe import record_of
from .queue import WorkKey
from .record import bare_entry, entry_of, record, subject_of
from .routes import tend_routes
from .runtime import Runtime
from .tell import tell

_LOG = logging.getLogger(__name__)
GRACE = timedelta(seconds=60)
_LOOK_AGAIN_SECONDS = 1.0


async def delete_specialist(
    runtime: Runtime, frame: Frame, specialist: Specialist, key: WorkKey, took: Mapping[str, Cut]
) -> None:
    """Record what goes, wait for the proof that it is gone, then release. Raises LogMoved, KubeError.

    `took` is what the ended jobs of its revisions have taken.
    """
    if FINALIZER not in specialist.metadata.finalizers:
        return
    meta = specialist.metadata
    where = (meta.namespace, frame.name)
    while due := deletion(record_of(frame, meta.log_uid, meta.name)):
        revision, verdict = due
        subject = subject_of(meta.name, meta.log_uid, revision)
        now = runtime.now()
        cut = took.get(revision.revision, Cut())
        extra = cut.cost + held(frame.log, meta.log_uid, revision.revision, now, frame.counted)
        entry = entry_of(frame, subject, verdict, extra, None, now=now)
        await record(runtime, frame, replace(entry, account=Account(results=cut.results)))
        frame = await runtime.frame(*where)
    await _end_job(runtime, frame, key)
    runtime.queue.add(WorkKey("Population", *where))
    left = await not_gone(runtime, frame, record_of(frame, meta.log_uid, meta.name))
    if left and not grace_is_over(runtime, specialist):
        runtime.queue.add(key, _LOOK_AGAIN_SECONDS)
        return
    if left:
        tell_release(runtime, specialist, f"without proof that this is gone: {', '.join(left)}")
    await release(runtime, specialist)


async def delete_orphans(runtime: Runtime, population: Population) -> None:
    """Record that what is left of Specialists goes whose objects are not there any more.

    Such an object was let go without proof, or somebody took its finalizer off by hand.
    Raises LogMoved, LogBroken, KubeError.
    """
    namespace = population.metadata.namespace
    log = await runtime.log_state(population)
    suspects = [s for s in log.specialists.values() if deletion(s) and _is_unseen(runtime, namespace, s)]
    if not suspects:
        return
    # Weights that are deleted do not come back, so the API itself is asked and not only what was watched.
    bodies = await runtime.cluster.list(SPECIALIST, namespace)
    there = {ObjectMeta.model_validate(b["metadata"]).log_uid for b in bodies}
    for orphan in suspects:
        if orphan.uid not in there:
            await record_deletion(runtime, population, orphan.uid, orphan.name)


async def record_deletion(runtime: Runtime, population: Population, uid: str, name: str) -> SpecialistRecord:
    """Record that all revisions of a Specialist go; neither suite nor rules are needed for that.

    Gives its record as it is then. Raises LogMoved, LogBroken, KubeError.
    """
    while True:
        log = await runtime.log_state(population)
        found = log.specialists.get(uid) or SpecialistRecord(name, uid)
        due = deletion(found)
        if due is None:
            return found
        await record_bare(runtime, population, log, subject_of(name, uid, due[0]), due[1])


async def record_bare(
    runtime: Runtime, population: Population, log: LogState, subject: Subject, verdict: Verdict
) -> None:
    """Write down a verdict that rests on nothing but the log, and tell it of the population.

    Raises LogMoved, KubeError.
    """
    meta = population.metadata
    entry = replace(
        bare_entry(meta.name, log, subject, verdict, now=runtime.now()),
        premises=Premises(code=runtime.code),
    )
    entry = posted_bare(population, log, entry, runtime.usage(population))
    await runtime.log(population).append(entry)
    await tend_routes(runtime, population)
    WRITES.labels("create", DECISION.kind).inc()
    TRANSITIONS.labels(meta.namespace, meta.name, entry.action, entry.to, entry.reason).inc()
    _LOG.info("%s/%s %s: %s", meta.namespace, subject.specialist, entry.action, entry.message)
    # About the population: the Specialist itself may be gone.
    event = EventText(False, entry.reason, entry.action, entry.message or entry.reason)
    tell(runtime, POPULATION, meta.namespace, meta.name, uid=meta.uid, event=event)


def _is_unseen(runtime: Runtime, namespace: str, log: SpecialistRecord) -> bool:
    """Say whether the watch knows no object of a record; one that cannot be read is there all the same."""
    found = runtime.cache.specialist(namespace, log.name)
    if found is not None:
        return found.metadata.log_uid != log.uid
    return runtime.cache.version(SPECIALIST, namespace, log.name) is None


def tell_release(runtime: Runtime, specialist: Specialist, why: str) -> None:
    """Say by an Event that an object is let go although not everything is known to be gone."""
    meta = specialist.metadata
    message = f"Released after {GRACE.seconds} s {why}."
    event = EventText(True, Reason.DELETED, Action.DELETE, message)
    tell(runtime, SPECIALIST, meta.namespace, meta.name, uid=meta.uid, event=event)


def grace_is_over(runtime: Runtime, specialist: Specialist) -> bool:
    """Say whether a deletion has waited long enough for a proof."""
    since = specialist.metadata.deletion_timestamp
    return since is not None and runtime.now() - since > GRACE


async def not_gone(runtime: Runtime, frame: Frame, log: SpecialistRecord) -> list[str]:
    """List what is not proved to be gone. Raises KubeError."""
    try:
        belongs = await runtime.places(frame)
    except LogBroken as error:
        return [f"what another population of this store keeps ({error})"]
    endpoints = frame.population.spec.serving.endpoints
    where = (frame.namespace, frame.name)
    left: list[str] = []
    for revision in log.revisions.values():
        if revision.was_resident and not runtime.residency.absent(where, endpoints, revision.served_name):
            left.append(f"{revision.served_name} on the engines")
        if belongs.get(revision.key) is Place.DELETED and await asyncio.to_thread(
            _in_store, frame, revision.key
        ):
            left.append(f"artifact {revision.key[:12]} in the store")
    return left


async def not_away(runtime: Runtime, frame: Frame, revision: RevisionRecord) -> list[str]:
    """List where a retired revision still is, though it has to be archived. Raises StoreError, KubeError."""
    where = (frame.namespace, frame.name)
    endpoints = frame.population.spec.serving.endpoints
    left: list[str] = []
    if revision.was_resident and not runtime.residency.absent(where, endpoints, revision.served_name):
        left.append(f"{revision.served_name} on the engines")
    try:
        archived = (await runtime.places(frame)).get(revision.key) is Place.ARCHIVED
    except LogBroken:
        return left
    if archived and await asyncio.to_thread(frame.store.commit_of, revision.key) is not None:
        left.append(f"artifact {revision.key[:12]} outside the archive")
    return left


async def _end_job(runtime: Runtime, frame: Frame, key: WorkKey) -> None:
    job = settle(runtime, frame.population, key, None)
    if job is None:
        return
    try:
        await cancel(runtime, frame.population, job)
    except RunnerError:
        # Without its runner nobody can end the job; it ends by its own deadline.
        return


def _in_store(frame: Frame, key: str) -> bool:
    try:
        return frame.store.commit_of(key) is not None or frame.store.is_archived(key)
    except StoreError:
        return True
