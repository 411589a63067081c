"""Stage 1: gather the facts about one revision into a Situation. Reads; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.governance.courses import life_of, told
from modelecology.governance.facts import (
    GENERALIST,
    Artifact,
    Charge,
    Claim,
    Cost,
    Evidence,
    Live,
    Member,
    Results,
    RevisionRecord,
    Served,
    Situation,
    Standing,
    TakenLook,
)
from modelecology.governance.lifecycle import RESIDENT
from modelecology.governance.log import SpecialistRecord, pending
from modelecology.governance.looks import SuiteLife
from modelecology.governance.proposal import trial_cost
from modelecology.governance.succession import placed
from modelecology.governance.trial import Stage
from modelecology.store import StoreError

from .experience import seconds_per_step
from .frame import Asked, Frame
from .job_names import at_work, of_owner
from .live import Trial as LiveTrial
from .live import of_canary, of_shadow
from .live_limits import served
from .members import standing
from .orders import Order, artifact_key, ask, make_adapter
from .people import acceptance, approval, promoting, release, undoing
from .results import Recorded, ResultsReader, cost_of, joined
from .rivals import WEIGHTS, Rival, resident_bytes, rivals
from .terms import claim, digest_of_json
from .trials import Trial, trial_of

_PARKED = (Reason.SUITE_EXHAUSTED, Reason.CAPACITY_FULL)


@dataclass(frozen=True, slots=True)
class Sight:
    """One revision as seen: the situation for the verdict, the order that would be next, what was spent."""

    situation: Situation
    key: str
    order: Order | None
    evaluation_cost: Cost
    charged: tuple[str, ...] = ()  # keys of the results in it; none of them was paid before
    with_store: bool = True
    trial: Trial | None = None  # the course under way


def record_of(frame: Frame, uid: str, name: str) -> SpecialistRecord:
    """Find what the log says of a Specialist object."""
    return frame.log.specialists.get(uid) or SpecialistRecord(name, uid)


class Observer:
    """Looks at one revision within a frame. Blocking reads of the store: run it in a thread.

    `others` are the Specialists whose trials under way count against the budget; this one's own does not.
    `troubled` is when engines last were in trouble: live limits count what users asked since.
    """

    def __init__(
        self,
        frame: Frame,
        specialist: Specialist,
        reader: ResultsReader,
        now: datetime,
        others: Sequence[Specialist] = (),
        troubled: datetime | None = None,
    ) -> None:
        self._others = others
        self._troubled = troubled
        self._frame = frame
        self._specialist = specialist
        self._reader = reader
        self._now = now
        self._claim: Claim = claim(specialist, frame.population)
        self.log = record_of(frame, specialist.metadata.log_uid, specialist.metadata.name)
        known = self.log.revisions.get(self._claim.revision)
        since = specialist.metadata.creation_timestamp or now
        self.record = known or pending(self._claim.revision, self._claim.served_name, since)
        self._cost = Cost()
        self._charged: list[str] = []
        self._read_keys: list[str] = []  # keys of all results that were read: the evidence
        self._incumbent_asked = Asked(self._claim.task, "Main")
        self._rules = (frame.policy, frame.policy_digest)

    def see(self) -> Sight:
        """Gather everything but job and engine facts. Raises StoreError."""
        self._cost = Cost()
        self._charged = []
        self._read_keys = []
        self._rules = self._reader.rules(self._frame, self.record)
        key = self._artifact_key()
        artifact = self._artifact(key)
        situation = replace(
            self._bare(),
            evidence=self._evidence(key),
            members=self._members(),
            replaces=self._own_live(),
            residents=self._residents(),
            artifact=artifact,
            charges=self._charges(),
            standing=self._standing(),
            seconds_per_step=seconds_per_step(self._frame) if self.record.state is State.PENDING else None,
        )
        if self._frame.policy.budget is not None and self.record.state is State.PENDING:
            situation = replace(situation, under_way=self._under_way(situation))
        trial = None
        if self.record.state is State.EVALUATING and situation.evidence.incumbent is not None:
            trial = trial_of(self._frame, situation, key, self._incumbent_asked)
            situation = self._with_answers(situation, trial)
        digest = digest_of_json(sorted(set(self._read_keys))) if situation.evidence.incumbent else None
        situation = replace(situation, evidence=replace(situation.evidence, digest=digest))
        order = self._order(key, trial)
        return Sight(situation, key, order, self._cost, tuple(self._charged), trial=trial)

    def without_store(self) -> Sight:
        """Give what is known without the store; enough to retire or to quarantine, and for nothing else."""
        # The records may well be there: without the store a limit is no less broken.
        bare = replace(self._bare(), evidence=Evidence(served=self.served(self.record)))
        return Sight(bare, self.record.key, None, Cost(), with_store=False)

    def _bare(self) -> Situation:
        return Situation(
            now=self._now,
            policy=self._rules[0],
            policy_digest=self._rules[1],
            suite_digest=self._frame.suite_digest,
            tasks=self._frame.tasks,
            claim=self._claim,
            record=self.record,
            approval=approval(self._specialist, self.record),
            promoting=promoting(self._specialist, self.record),
            acceptance=acceptance(self._specialist, self.record),
            undoing=undoing(self._specialist, self.record),
            release=release(self._specialist, self.record),
            life=self._frame.log.lives.get(self._frame.suite_digest),
        )

    def _artifact_key(self) -> str:
        # A recorded key stays: an upgrade of the code must not retrain what the log already knows.
        if self.record.key and self.record.state is not State.PENDING:
            return self.record.key
        return artifact_key(self._frame, self._specialist)

    def _artifact(self, key: str) -> Artifact | None:
        store = self._frame.store
        if self.record.state is State.PENDING or store.commit_of(key) is None:
            return None
        manifest = store.manifest(key)
        rank = manifest.meta.get("rank")
        weights = manifest.files.get(WEIGHTS)
        return Artifact(
            key=key,
            resident_bytes=weights.size if weights else 0,
            rank=rank if isinstance(rank, int) else self._claim.rank,
            adopted=key in self._frame.log.made,
            cost=cost_of(manifest.cost),
        )

    def _read(self, asked: Asked, model: str = GENERALIST) -> Recorded | None:
        order = self._frame.order(asked)
        found = self._reader.read(self._frame.store, order, model)
        if found is not None:
            self._read_keys.append(order.key)
        return found

    def _evidence(self, key: str) -> Evidence:
        if self._frame.suite.spec.task(self._claim.task) is None:
            return Evidence()
        baseline = {}
        for asked in self._frame.baseline():
            if asked.split == "Main" and (found := self._read(asked)) is not None:
                baseline[asked.task] = found.results
        if len(baseline) < len(self._frame.tasks):
            return Evidence(baseline=baseline, live=self._live(), served=self.served(self.record))
        rival = self._pinned() or self._incumbent(baseline[self._claim.task])
        return Evidence(
            baseline=baseline,
            incumbent=self._incumbent_results(rival),
            shadow=self._shadow(key),
            shadow_incumbent=self._incumbent_shadow(rival),
            live=self._live(),
            served=self.served(self.record),
        )

    def _pinned(self) -> Rival | None:
        """Find the incumbent that the proof under way was opened against, whatever has become of it."""
        look = self._look()
        if look is None:
            return None
        records = ((s, r) for s in self._frame.log.specialists.values() for r in s.revisions.values())
        return next(
            (Rival(r, s.name, self._claim.task, 0.0) for s, r in records if r.served_name == look.incumbent),
            None,
        )

    def _incumbent(self, base: Results) -> Rival | None:
        """Find the live revision that serves the claim's task today; None is the generalist."""
        look = self._look()
        if look is not None and look.incumbent == GENERALIST:
            return None
        own = [r for r in rivals(self._frame) if r.task == self._claim.task]
        own = [r for r in own if r.record.revision != self.record.revision or r.specialist != self.log.name]
        scored = [(self._told(rival), rival.record.served_name, rival) for rival in own]
        score, _, best = max(scored, key=lambda each: each[:2], default=(0.0, "", None))
        base_score = told(base, self._life(), self._frame.suite_digest).mean
        return best if best is not None and score > base_score else None

    def _life(self) -> SuiteLife:
        return life_of(self._bare())

    def _look(self) -> TakenLook | None:
        """Give the proof under way, if it is one on today's suite."""
        look = self.record.look
        if self.record.state is not State.EVALUATING or look is None:
            return None
        return look if look.suite == self._frame.suite_digest else None

    def _told(self, rival: Rival) -> float:
        """Score a rival on the screen, as all others; until it has answered, as it was judged."""
        order = self._frame.order(Asked(rival.task, "Main", rival.record.key))
        found = self._reader.read(self._frame.store, order, rival.record.served_name)
        if found is None:
            return rival.quality
        return told(found.results, self._life(), self._frame.suite_digest).mean

    def _incumbent_results(self, rival: Rival | None) -> Results | None:
        self._incumbent_asked = Asked(self._claim.task, "Main", rival.record.key if rival else None)
        found = self._read(self._incumbent_asked, rival.record.served_name if rival else GENERALIST)
        return found.results if found else None

    def _incumbent_shadow(self, rival: Rival | None) -> Results | None:
        # What a verdict does not weigh is not read: it would make the same evidence look like another.
        if self.record.state is not State.SHADOW:
            return None
        if rival is None:
            found = self._read(Asked(self._claim.task, "Shadow"))
        else:
            asked = Asked(self._claim.task, "Shadow", rival.record.key, rival.record.served_name)
            found = self._read(asked, rival.record.served_name)
        return found.results if found else None

    def _with_answers(self, situation: Situation, trial: Trial | None) -> Situation:
        """Add what the candidate has answered, once its course has ended."""
        parts = self._reader.parts(self._frame.store, trial.key) if trial is not None else None
        if trial is None or parts is None:
            return situation
        for part in parts:
            self._read_keys.append(part.key)
            self._charge(part, State.EVALUATING)
        name = self._claim.served_name
        tasks = dict.fromkeys(part.results.task for part in parts)
        found = {task: both.results for task in tasks if (both := joined(parts, task, name)) is not None}
        evidence = replace(situation.evidence, trial=trial.key)
        if trial.course.stage is Stage.PROOF:
            return replace(situation, evidence=replace(evidence, proof=found))
        return replace(situation, evidence=replace(evidence, screen=found))

    def _shadow(self, key: str) -> Results | None:
        if self.record.state not in RESIDENT or self.record.state is State.CANARY:
            return None
        recorded = self._read(self._served(key), self._claim.served_name)
        if recorded is None:
            return None
        self._charge(recorded, State.SHADOW)
        return recorded.results

    def _live(self) -> Live | None:
        """Read what live requests have shown of it, where a rule asks for that. Raises StoreError."""
        state, policy = self.record.state, self._rules[0]
        gateway = self._frame.population.spec.serving.gateway
        asked = policy.live_shadow if state is State.SHADOW else policy.canary
        if state not in (State.SHADOW, State.CANARY) or asked is None:
            return None
        if gateway is None or gateway.records is None:
            return None
        ledger = self._reader.live.at(self._frame.store, gateway.records)
        ledger.read()
        trial = LiveTrial(
            self._frame.name,
            self._frame.task(self._claim.task),
            self._claim.served_name,
            self.record.entered,
            self.record.since,
            policy.unit_is_request,
            policy.limits.latency,
            policy.live_shadow.judge.name if policy.live_shadow and policy.live_shadow.judge else None,
        )
        return of_shadow(ledger, trial) if state is State.SHADOW else of_canary(ledger, trial)

    def served(self, revision: RevisionRecord) -> Served | None:
        """Say what users got of a revision that is live, where the policy limits that; blocking."""
        return served(self._frame, self._reader.live, revision, self._claim.task, self._troubled)

    def _charge(self, recorded: Recorded, stage: State) -> None:
        new = recorded.key not in self._frame.log.book.paid and recorded.key not in self._charged
        if self.record.state is stage and new:
            self._cost += recorded.cost
            self._charged.append(recorded.key)

    def job_names(self, revision: RevisionRecord) -> tuple[str, ...]:
        """Name the jobs that another revision of this Specialist may have at work, by its record alone."""
        trial = self._trial_now(revision) if revision.state is State.EVALUATING else None
        key = trial.key if trial is not None else None
        return at_work(self._frame, self._claim.task, revision, self._specialist.metadata.log_uid, key)

    def _trial_now(self, revision: RevisionRecord) -> Trial | None:
        """Lay out what an older revision would be asked now; blocking, and None where the store is silent."""
        older = Observer(self._frame, self._specialist, self._reader, self._now)
        older.record = revision
        older._claim = replace(self._claim, revision=revision.revision, served_name=revision.served_name)
        try:
            return older.see().trial
        except StoreError:
            return None

    def _served(self, key: str) -> Asked:
        return Asked(self._claim.task, "Shadow", key, self._claim.served_name)

    def _members(self) -> tuple[Member, ...]:
        return tuple(
            Member(r.record.served_name, r.task, r.quality, resident_bytes(self._frame, r.record.key))
            for r in rivals(self._frame)
            if r.record.served_name != self._claim.served_name
        )

    def _standing(self) -> Standing:
        return standing(self._frame, self._reader, self.record)

    def _own_live(self) -> str | None:
        live = self.log.live
        if live is None or live == self.record.revision:
            return None
        return self.log.revisions[live].served_name

    def _residents(self) -> int:
        return sum(r.served_name != self._claim.served_name for r in placed(self._frame.log))

    def _charges(self) -> tuple[Charge, ...]:
        budget = self._frame.policy.budget
        if budget is None or self.record.state is not State.PENDING:
            return ()
        found = self._frame.log.book.charges_after(self._now - budget.window)
        return tuple(c for c in found if c.cost.cpu_seconds or c.cost.gpu_seconds)

    def _under_way(self, situation: Situation) -> Cost:
        """Estimate what the trials of others will still take: their spendings are in the log only later."""
        expected = Cost()
        for other in self._others:
            known = self._frame.log.specialists.get(other.metadata.log_uid)
            if known is None or known.uid == self.log.uid:
                continue
            if not known.in_state(State.TRAINING, State.EVALUATING):
                continue
            if any(c.reason in _PARKED for c in other.status.conditions):
                continue  # its screen is paid, and nothing runs until something else changes
            asked = claim(other, self._frame.population)
            record = known.revisions.get(asked.revision)
            if record is None:
                continue
            if record.state is State.TRAINING:
                expected += trial_cost(replace(situation, claim=asked))
            elif record.state is State.EVALUATING:
                # What made the adapter is in the log already.
                expected += trial_cost(replace(situation, claim=replace(asked, steps=0)))
        return expected

    def _order(self, key: str, trial: Trial | None) -> Order | None:
        """Write the order of the job that this state needs, if its result is not there yet."""
        order = self._next(key, trial)
        if order is None:
            return None
        return of_owner(self._frame, order, self._specialist.metadata.log_uid, self.record.tries)

    def _next(self, key: str, trial: Trial | None) -> Order | None:
        state, tries = self.record.state, self.record.tries
        resources = self._specialist.spec.resources
        if state is State.TRAINING:
            # An archived one of the same key is taken back, not made again.
            store = self._frame.store
            if store.commit_of(key) is None and not store.is_archived(key):
                return make_adapter(self._frame, self._specialist, key, tries)
        elif state is State.EVALUATING:
            if trial is not None and self._frame.store.commit_of(trial.key) is None:
                return ask(self._frame, trial.asked, tries, resources, trial.order)
        elif state is State.SHADOW and (missing := self._frame.unfinished((self._served(key),))):
            return ask(self._frame, missing, tries, resources)
        return None
