"""One look at one Specialist: observe, decide, record, act, and write one status."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime

from modelecology.api.reasons import Reason, named
from modelecology.api.specialist import Specialist, SpecialistStatus
from modelecology.api.vocabulary import Action, State, Target
from modelecology.governance.book import Account
from modelecology.governance.decide import decide
from modelecology.governance.facts import Cost, JobFailure, Residency, RevisionRecord, Verdict, Wait
from modelecology.governance.lifecycle import RESIDENT, STOPPED, WORKING
from modelecology.governance.log import LogBroken
from modelecology.governance.pins import waits
from modelecology.governance.residence import decide_live
from modelecology.governance.situations import Judgement, Made, Request
from modelecology.governance.succession import next_expiry, retry, succession
from modelecology.jobs.port import JobStatus, RunnerError
from modelecology.kube.cluster import SPECIALIST
from modelecology.kube.decisions import LogMoved
from modelecology.store import Progress, StoreError

from . import finalizer
from .accounts import Cut, at_least, ended_with, held, interrupted, unclaimed
from .act import drop_job, end_jobs, ended_well, job_status, run_job, seconds_until
from .deletion import delete_specialist, not_away, not_gone
from .failures import failure_of, late
from .frame import Frame
from .isolation import isolate
from .missing import wait_for_frame
from .observe import Observer, Sight
from .pauses import (
    ENVIRONMENT_SECONDS,
    MOMENT_SECONDS,
    WAIT_SECONDS,
    is_passing,
    may_run,
    pause,
    stands_alone,
)
from .people import acceptance, retry_asked
from .queue import WorkKey
from .record import entry_of, keep_inputs, record, subject_of
from .runtime import PopulationMissing, Runtime, SuiteMissing
from .status import PROGRESS_SECONDS, specialist_status, unmoved, write
from .succession import succession_of, with_pins
from .trials import Trial
from .trouble import ENVIRONMENT

_MOST_STEPS = 24
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """The outcome of observe and decide: what the verdict was made from, and what it is."""

    sight: Sight
    status: JobStatus | None
    verdict: Verdict | Wait


async def reconcile_specialist(runtime: Runtime, key: WorkKey) -> None:
    """Bring one Specialist a step further. Raises LogMoved, KubeError; the caller tries again."""
    specialist = runtime.cache.specialist(key.namespace, key.name)
    if specialist is None:
        runtime.forget_specialist(key)
        return
    try:
        frame = await runtime.frame(key.namespace, specialist.spec.population_ref.name)
    except (PopulationMissing, SuiteMissing, LogBroken) as error:
        await wait_for_frame(runtime, specialist, key, error)
        return
    if specialist.metadata.deletion_timestamp is not None:
        observer = Observer(frame, specialist, runtime.results, runtime.now())
        took: dict[str, Cut] = {}
        for revision in observer.log.in_state(*WORKING):
            took[revision.revision] = await ended_with(runtime, frame, observer, specialist, revision)
            await end_jobs(runtime, frame, observer, revision)
        await delete_specialist(runtime, frame, specialist, key, took)
        return
    await _Trial(runtime, specialist, key).run()


class _Trial:
    """The loop over one Specialist: verdicts are recorded until there is only waiting left."""

    def __init__(self, runtime: Runtime, specialist: Specialist, key: WorkKey) -> None:
        self._runtime = runtime
        self._specialist = specialist
        self._key = key
        self._where = (key.namespace, specialist.spec.population_ref.name)

    async def run(self) -> None:
        for _ in range(_MOST_STEPS):
            frame = await self._runtime.frame(*self._where)
            observer = Observer(
                frame,
                self._specialist,
                self._runtime.results,
                self._runtime.now(),
                self._runtime.cache.specialists(*self._where) if frame.policy.budget else (),
                self._runtime.residency.troubled(self._where, frame.population.spec.serving.endpoints),
            )
            try:
                if await self._step(frame, observer):
                    return
            except LogMoved:
                # Somebody decided meanwhile; what they decided may matter here, so all is looked at again.
                continue
        raise LogMoved(f"{self._key.name} made {_MOST_STEPS} steps in one look")

    async def _step(self, frame: Frame, observer: Observer) -> bool:
        """Record one verdict, or finish with waiting; says whether the look is over. Raises LogMoved."""
        if await isolate(self._runtime, frame.population, self._specialist):
            return False
        if self._is_early(frame, observer):
            return True
        if await self._tidy(frame, observer):
            return False
        seen = await self._observe(frame, observer)
        verdict = seen.verdict
        if isinstance(verdict, Verdict):
            try:
                await self._record(frame, observer.record, seen, verdict)
                return False
            except StoreError as error:
                # What a verdict was made from must be kept first, so that anyone can make it again.
                verdict = Wait(named(error.reason), str(error))
        if await self._watch_others(frame, observer, seen.sight):
            return False
        wait = await self._act(frame, seen, verdict)
        await self._finish(frame, observer, seen, wait)
        return True

    def _is_early(self, frame: Frame, observer: Observer) -> bool:
        """Say whether the engines were not looked at since the start; until then the status stands."""
        engines = frame.population.spec.serving.endpoints
        settled = observer.record.state in (*RESIDENT, State.RETIRED)
        if not settled or self._runtime.residency.looked(self._where, engines):
            return False
        self._runtime.queue.add(WorkKey("Population", *self._where))
        self._runtime.queue.add(self._key, ENVIRONMENT_SECONDS)
        return True

    async def _tidy(self, frame: Frame, observer: Observer) -> bool:
        """Record what is due about other revisions, or a person's request; says whether something was."""
        now = self._runtime.now()
        seen = await succession_of(frame, self._specialist, observer.log, observer.record.revision, now)
        made: Made = seen
        due = succession(seen)
        asked = retry_asked(self._specialist, observer.log)
        if due is None and asked and observer.record.state in STOPPED:
            due = (observer.record, retry(observer.record, asked))
            made = Request(observer.record, asked)
        if due is None:
            return False
        cut = await ended_with(self._runtime, frame, observer, self._specialist, due[0])
        extra = cut.cost + held(frame.log, observer.log.uid, due[0].revision, now, frame.counted)
        inputs = await keep_inputs(frame, made, extra, wait=False)
        await self._record_other(frame, observer, *due, inputs, Cut(extra, cut.results))
        if due[0].revision != observer.record.revision:
            await end_jobs(self._runtime, frame, observer, due[0])
        return True

    async def _watch_others(self, frame: Frame, observer: Observer, sight: Sight) -> bool:
        """Judge what an older revision that still serves answers; says whether it had to go."""
        for other in observer.log.in_state(State.LIVE):
            if other.revision == observer.record.revision:
                continue
            claim = replace(
                sight.situation.claim,
                revision=other.revision,
                served_name=other.served_name,
                wanted=Target.LIVE,
            )
            served = await asyncio.to_thread(observer.served, other)
            situation = replace(
                sight.situation,
                record=other,
                claim=claim,
                evidence=replace(sight.situation.evidence, served=served),
                residency=self._residency(frame, other),
                acceptance=acceptance(self._specialist, other),
                policy=frame.policy,
                policy_digest=frame.policy_digest,
            )
            verdict = decide_live(situation)
            if isinstance(verdict, Verdict):
                extra = held(frame.log, observer.log.uid, other.revision, self._runtime.now(), frame.counted)
                inputs = None
                if sight.with_store:
                    inputs = await keep_inputs(frame, Judgement(situation), extra, wait=False)
                await self._record_other(frame, observer, other, verdict, inputs, Cut(extra))
                return True
        return False

    async def _record_other(
        self,
        frame: Frame,
        observer: Observer,
        revision: RevisionRecord,
        verdict: Verdict,
        inputs: str | None,
        cut: Cut,
    ) -> None:
        subject = subject_of(observer.log.name, observer.log.uid, revision)
        entry = entry_of(frame, subject, verdict, cut.cost, None, inputs=inputs, now=self._runtime.now())
        await record(self._runtime, frame, replace(entry, account=Account(results=cut.results)))
        self._runtime.wake(*self._where)

    async def _observe(self, frame: Frame, observer: Observer) -> Seen:
        """Gather all facts and judge them; what cannot be asked now is waited for."""
        status, blocked = None, None
        try:
            sight = await asyncio.to_thread(observer.see)
            if sight.order is not None:
                status = await job_status(self._runtime, frame, sight.order, self._key)
                if await ended_well(frame, sight.order, status):
                    sight, status = await asyncio.to_thread(observer.see), None
        except RunnerError as error:
            blocked = Wait(named(error.reason), str(error))
        except StoreError as error:
            blocked = Wait(named(error.reason), str(error))
            sight = observer.without_store()
        situation = replace(
            sight.situation,
            failure=self._failure(frame, status, sight),
            residency=self._residency(frame, observer.record),
        )
        sight = replace(sight, situation=situation)
        verdict = await asyncio.to_thread(decide, situation)
        if blocked is not None and not stands_alone(observer.record.state, verdict):
            verdict = blocked
        return Seen(sight, status, verdict)

    def _failure(self, frame: Frame, status: JobStatus | None, sight: Sight) -> JobFailure | None:
        if sight.order is None:
            return None
        job = sight.order.spec
        deadline = frame.population.spec.jobs.deadline
        return failure_of(status, job.cpus, job.gpus) or late(
            status, self._runtime.now(), deadline, sight.order
        )

    def _residency(self, frame: Frame, revision: RevisionRecord) -> Residency | None:
        if revision.state not in RESIDENT:
            return None
        endpoints = frame.population.spec.serving.endpoints
        return self._runtime.residency.residency(self._where, endpoints, revision.served_name)

    async def _record(self, frame: Frame, revision: RevisionRecord, seen: Seen, verdict: Verdict) -> None:
        meta = self._specialist.metadata
        leaves = verdict.transition.target is not verdict.transition.source
        now = self._runtime.now()
        extra = held(frame.log, meta.log_uid, revision.revision, now, frame.counted)
        # A screen that was survived is paid when its proof is opened.
        pays = leaves or verdict.transition.action is Action.PROVE
        cut = await self._cut(frame, seen, verdict) if pays else Cut()
        if pays:
            extra += at_least(seen.sight.evaluation_cost, cut.cost)
        inputs = await self._kept(frame, seen.sight, verdict, extra)
        if verdict.transition.target in WORKING:
            self._specialist = await finalizer.hold(self._runtime, self._specialist)
        subject = subject_of(meta.name, meta.log_uid, revision, seen.sight.key)
        evidence = seen.sight.situation.evidence.digest
        policy = seen.sight.situation.policy_digest
        entry = entry_of(frame, subject, verdict, extra, evidence, policy=policy, inputs=inputs, now=now)
        if pays:
            entry = replace(entry, account=Account(results=(*seen.sight.charged, *cut.results)))
        elif verdict.transition.action is Action.RETRY and seen.sight.trial is not None:
            # The failed try is charged whole, with what it has committed.
            done = await asyncio.to_thread(_committed, frame, seen.sight.trial)
            entry = replace(entry, account=Account(results=done))
        await record(self._runtime, frame, entry)
        states = (verdict.transition.source, verdict.transition.target)
        if leaves and any(state in (*RESIDENT, State.RETIRED, State.DELETED) for state in states):
            # Engines and store follow from this, and for some others the incumbent or a free place.
            self._runtime.queue.add(WorkKey("Population", *self._where))
            self._runtime.wake_specialists(*self._where, self._is_concerned)
        elif leaves and frame.policy.budget is not None:
            # What a trial is expected to take has become what it took.
            self._runtime.wake_specialists(*self._where, self._waits_for_budget)

    async def _cut(self, frame: Frame, seen: Seen, verdict: Verdict) -> Cut:
        """Say what the job has taken that this verdict ends; one that ended badly was charged for that."""
        edge, order = verdict.transition, seen.sight.order
        if edge.source is State.TRAINING and seen.sight.situation.artifact is not None:
            return unclaimed(seen.sight.situation.artifact, edge.action)
        if order is None or edge.action in (Action.RETRY, Action.FAIL):
            return Cut()
        job = order.spec
        now = self._runtime.now()
        return Cut(await interrupted(frame, seen.status, job.cpus, job.gpus, order.progress_key, now))

    async def _kept(self, frame: Frame, sight: Sight, verdict: Verdict, extra: Cost) -> str | None:
        """Keep what a verdict was made from. Raises StoreError, unless people or engines have the say."""
        alone = stands_alone(sight.situation.record.state, verdict)
        if alone and not sight.with_store:
            return None
        return await keep_inputs(frame, Judgement(sight.situation), extra, wait=not alone)

    def _is_concerned(self, other: Specialist) -> bool:
        if other.spec.contract.task == self._specialist.spec.contract.task:
            return True
        short = (Reason.CAPACITY_FULL, Reason.BUDGET_SPENT, Reason.PIN_NOT_HELD)
        return any(c.reason in short for c in other.status.conditions)

    def _waits_for_budget(self, other: Specialist) -> bool:
        return any(c.reason == Reason.BUDGET_SPENT for c in other.status.conditions)

    async def _act(self, frame: Frame, seen: Seen, wait: Wait) -> Wait:
        """Let the job run that this state needs; a job that nobody needs any more is ended."""
        order, state = seen.sight.order, seen.sight.situation.record.state
        if wait.reason is Reason.RETIRED:
            wait = await self._away(frame, seen.sight.situation.record, wait)
        if wait.reason not in ENVIRONMENT:
            await drop_job(self._runtime, frame, self._key, order)
        if wait.reason is Reason.BASELINE_RUNNING:
            # It is not running if something keeps the population from running it.
            wait = self._runtime.in_the_way.get(self._where, wait)
        if order is None and state is State.TRAINING:
            # It lies in the archive, or has just been committed.
            self._runtime.queue.add(WorkKey("Population", *self._where))
        if order is None or not may_run(wait):
            return wait
        try:
            queued = await run_job(self._runtime, frame, order, seen.status, self._key)
        except (RunnerError, StoreError) as error:
            return Wait(named(error.reason), str(error))
        return queued or wait

    async def _away(self, frame: Frame, revision: RevisionRecord, wait: Wait) -> Wait:
        """Wait on until what is retired has gone, with proof."""
        try:
            left = await not_away(self._runtime, frame, revision)
        except StoreError as error:
            return Wait(named(error.reason), str(error))
        return Wait(Reason.UNLOADING, f"To go yet: {', '.join(left)}.", wait.until) if left else wait

    async def _finish(self, frame: Frame, observer: Observer, seen: Seen, wait: Wait) -> None:
        now = self._runtime.now()
        if is_passing(wait, observer.record, now):
            self._runtime.queue.add(self._key, MOMENT_SECONDS)
            return
        progress = await asyncio.to_thread(_progress, frame, seen, wait)
        after = specialist_status(
            self._specialist, frame, observer.log, observer.record, wait, progress=progress, now=now
        )
        others = await succession_of(frame, self._specialist, observer.log, observer.record.revision, now)
        after = with_pins(self._specialist, after, others)
        await self._write(after, now)
        await self._let_go(frame, observer)
        self._runtime.queue.forgive(self._key)
        watched = frame.policy.quarantine is not None and bool(observer.log.in_state(State.LIVE))
        longest = pause(wait, observer.record, now, watched=watched)
        expires = next_expiry(observer.log, observer.record.revision, frame.policy.undo_window)
        if waits(others):
            longest = min(longest, WAIT_SECONDS)  # for a place that may be free again
        self._runtime.queue.add(self._key, min(longest, seconds_until(expires, now, longest)))

    async def _write(self, after: SpecialistStatus, now: datetime) -> None:
        last = self._runtime.progress_at.get(self._key)
        fresh = last is not None and (now - last).total_seconds() < PROGRESS_SECONDS
        if fresh and unmoved(self._specialist, after):
            return
        if await write(self._runtime, SPECIALIST, self._specialist, after):
            self._runtime.progress_at[self._key] = now

    async def _let_go(self, frame: Frame, observer: Observer) -> None:
        """Take the finalizer off when nothing is owned any more. Raises Conflict, KubeError."""
        revisions = observer.log.revisions.values()
        held = self._runtime.cache.specialist(self._key.namespace, self._key.name)
        if held is None or finalizer.FINALIZER not in held.metadata.finalizers:
            return
        if any(r.state is not State.DELETED for r in revisions):
            return
        if not await not_gone(self._runtime, frame, observer.log):
            await finalizer.release(self._runtime, held)


def _committed(frame: Frame, trial: Trial) -> tuple[str, ...]:
    paid = frame.log.book.paid
    keys = (frame.order(asked).key for asked in trial.asked)
    return tuple(key for key in keys if key not in paid and frame.store.commit_of(key) is not None)


def _progress(frame: Frame, seen: Seen, wait: Wait) -> Progress | None:
    if seen.sight.order is None or not may_run(wait):
        return None
    try:
        return frame.store.progress(seen.sight.order.progress_key)
    except StoreError:
        return None
