"""What the ledger adds to a decision: what was held until then, what an ended job took, what is shared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import Action, State
from modelecology.governance.book import Account, Holding, Spent
from modelecology.governance.facts import Artifact, Cost, RevisionRecord
from modelecology.governance.ledger import full_hour, holding, spent, uncharged
from modelecology.governance.lifecycle import WORKING
from modelecology.governance.log import Entry, LogState
from modelecology.governance.rules import Prices
from modelecology.jobs.port import JobPhase, JobStatus, RunnerError
from modelecology.store import StoreError
from modelecology.translation import policy

from .dues import shared
from .failures import cost_of_run
from .frame import Frame
from .observe import Observer
from .results import cost_of
from .rivals import WEIGHTS
from .runtime import Runtime
from .usage import Counted


def held(log: LogState, uid: str, revision: str, now: datetime, counted: Counted | None) -> Cost:
    """Sum what a revision holds since its last decision, and what it has served since."""
    accrued = log.book.accrued(uid, revision, _second(now))
    return accrued + Cost(served_tokens=_served(log, uid, revision, counted))


def _served(log: LogState, uid: str, revision: str, counted: Counted | None) -> int:
    known, specialist = log.book.held.get((uid, revision)), log.specialists.get(uid)
    record = specialist.revisions.get(revision) if specialist is not None else None
    if counted is None or known is None or record is None or not record.was_resident:
        return 0
    return counted.tokens(record.served_name, known.since)


def totals(
    log: LogState, closed: Spent, uids: Iterable[str], prices: Prices, now: datetime, counted: Counted | None
) -> tuple[Spent, datetime | None]:
    """Add to what decisions have charged what is held and served up to the last full hour; gives it too."""
    until, book = full_hour(now), log.book
    owners = {uid for uid, _ in book.held}.intersection(uids)
    total = sum((uncharged(book, uid, until, prices) for uid in sorted(owners)), closed)
    served = sum(_served(log, uid, each, counted) for uid, each in book.held if uid in owners)
    return total + spent(Cost(served_tokens=served), prices), until if owners else None


async def posted(runtime: Runtime, frame: Frame, entry: Entry) -> Entry:
    """Give an entry its account; results that its cost includes are in it already."""
    dues = await asyncio.to_thread(runtime.dues.of, frame)
    known = await asyncio.to_thread(_sizes, frame, entry)
    account = replace(
        entry.account or Account(),
        holds=holding(known, entry.to, frame.policy.replicas),
        population=shared(dues, frame.policy.prices) if dues else None,
        population_results=tuple(sorted(dues)),
    )
    return replace(entry, account=account)


def posted_bare(population: Population, log: LogState, entry: Entry, counted: Counted | None) -> Entry:
    """Give an entry that rests on the log alone what is to be charged with it."""
    uid, revision = entry.subject.uid, entry.subject.revision
    known = log.book.held.get((uid, revision))
    cost = spent(held(log, uid, revision, entry.time, counted), policy(population).prices)
    holds = holding(known.holds if known else None, entry.to, policy(population).replicas)
    return replace(entry, cost=cost, account=Account(holds=holds))


def _sizes(frame: Frame, entry: Entry) -> Holding | None:
    """Find how large the artifact of a revision is: as it was told before, else as its manifest says."""
    subject = entry.subject
    known = frame.log.book.held.get((subject.uid, subject.revision))
    if known is not None and subject.key in ("", known.key):
        return known.holds
    if entry.to in (State.PENDING, State.TRAINING) or not subject.key:
        return None
    try:
        files = frame.store.manifest(subject.key).files
    except StoreError:
        return None  # archived by now, or not there: nothing can be told of it
    weights = files.get(WEIGHTS)
    return Holding(sum(f.size for f in files.values()), weights.size if weights else 0, 0)


def at_least(one: Cost, other: Cost) -> Cost:
    """Take the greater of two accounts of the same work, resource by resource."""
    return Cost(
        max(one.cpu_seconds, other.cpu_seconds),
        max(one.gpu_seconds, other.gpu_seconds),
        max(one.tokens, other.tokens),
        max(one.resident_gib_hours, other.resident_gib_hours),
        max(one.stored_gib_hours, other.stored_gib_hours),
        max(one.served_tokens, other.served_tokens),
    )


@dataclass(frozen=True, slots=True)
class Cut:
    """What was under way for a revision and is cut short: the cost, and the keys that are paid with it."""

    cost: Cost = field(default_factory=Cost)
    results: tuple[str, ...] = ()


def unclaimed(artifact: Artifact | None, action: Action) -> Cut:
    """Charge an adapter that was made, and that no evaluation follows; a failure has charged it already."""
    if artifact is None or artifact.adopted or action is Action.EVALUATE:
        return Cut()
    return Cut(Cost() if action is Action.FAIL else artifact.cost, (artifact.key,))


async def interrupted(
    frame: Frame, status: JobStatus | None, cpus: float, gpus: float, progress_key: str, now: datetime
) -> Cost:
    """Say what a job has taken that is ended before its work is done.

    That is what it has reported, and never more than all its CPUs and GPUs for all the time that it ran.
    """
    if status is None or status.started is None or status.phase is JobPhase.Succeeded:
        return Cost()
    ran = status.ran_seconds if status.phase.finished else now.timestamp() - status.started
    most = cost_of_run(ran, cpus, gpus)
    try:
        progress = await asyncio.to_thread(frame.store.progress, progress_key) if progress_key else None
    except StoreError:
        progress = None
    if progress is None or progress.cost is None:
        return most
    told = cost_of(progress.cost)
    # An older try may have reported under the same key.
    return Cost(min(told.cpu_seconds, most.cpu_seconds), min(told.gpu_seconds, most.gpu_seconds), told.tokens)


async def ended_with(
    runtime: Runtime, frame: Frame, observer: Observer, specialist: Specialist, revision: RevisionRecord
) -> Cut:
    """Say what the jobs of a revision have taken that nobody wants any more, by its record alone."""
    if revision.state not in WORKING:
        return Cut()
    if revision.state is State.TRAINING and revision.key not in frame.log.made:
        made = await asyncio.to_thread(_made, frame, revision.key)
        if made is not None:
            return Cut(made, (revision.key,))
    resources = specialist.spec.resources or frame.population.spec.jobs.resources
    # Asking a served model keeps no CPU from others.
    idle = revision.state is State.SHADOW
    cpus, gpus = (0.0, 0.0) if idle else (resources.cpus, float(resources.gpu))
    key = revision.key if revision.state is State.TRAINING else ""
    total = Cost()
    for job in await asyncio.to_thread(observer.job_names, revision):
        try:
            status = await runtime.runner(frame.population).runner.status(job)
        except RunnerError:
            continue  # it cannot be ended now either; its own deadline does
        total += await interrupted(frame, status, cpus, gpus, key, runtime.now())
    return Cut(total)


def _made(frame: Frame, key: str) -> Cost | None:
    try:
        if frame.store.commit_of(key) is None:
            return None
        return cost_of(frame.store.manifest(key).cost)
    except StoreError:
        return None


def _second(now: datetime) -> datetime:
    """Cut a time as a decision's time is cut."""
    return now.astimezone(UTC).replace(microsecond=0)
