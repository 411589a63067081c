"""What may serve the tasks of a population today, as the portfolio weighs it: quality with bounds, and costs.

Only answers that may be told are weighed, that is the screen's: what the portfolio says of a member stands in
statuses and Decisions. Reads the store: run it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache

from modelecology.api.vocabulary import Role, State
from modelecology.governance.courses import told
from modelecology.governance.evidence import EvidenceError, difference, mean
from modelecology.governance.facts import (
    GENERALIST,
    Cost,
    Interval,
    Member,
    Results,
    RevisionRecord,
    Standing,
)
from modelecology.governance.invariants import measured
from modelecology.governance.lifecycle import CAUSES
from modelecology.governance.live import live_quality
from modelecology.governance.looks import SuiteLife
from modelecology.governance.succession import placed
from modelecology.store import StoreError

from .frame import Asked, Frame
from .live import LiveRevision, of_live
from .live_ledger import LiveLedger
from .results import ResultsReader, cost_of
from .rivals import Rival, resident_bytes, rivals

_RESIDENT = (State.SHADOW, State.CANARY)  # and not live
NOTHING = Interval(0.0, 1.0, 1.0)  # tells nothing


@dataclass(frozen=True, slots=True)
class _Told:
    """The answers of one result that may be told; equal keys have equal answers."""

    key: tuple[str, ...]
    results: Results = field(compare=False)
    life: SuiteLife = field(compare=False)
    seed: str = field(compare=False)

    def cut(self) -> Results:
        return told(self.results, self.life, self.seed)


def standing(frame: Frame, reader: ResultsReader, own: RevisionRecord | None = None) -> Standing:
    """Gather what may serve today; `own` is the revision that is looked at, with its costs once in shadow."""
    found = _Readings(frame, reader)
    live = rivals(frame)
    members = tuple(found.member(rival, live) for rival in live)
    tasks = [t.name for t in frame.tasks if t.role is Role.TASK]
    generalist = (found.generalist(task) for task in tasks)
    name = own.served_name if own is not None else ""
    return Standing(
        generalist=tuple(g for g in generalist if g is not None),
        members=members,
        requests=_requests(frame, live),
        candidate=found.in_shadow(own) if own is not None and own.state in _RESIDENT else None,
        shadow_bytes=sum(resident_bytes(frame, r.key) for r in _beside(frame, live) if r.served_name != name),
    )


def _requests(frame: Frame, live: tuple[Rival, ...]) -> dict[str, int] | None:
    """Count what was asked of each task whose members have all been live for so long."""
    over, counted = frame.policy.idle_after, frame.counted
    traffic = counted.traffic(over) if counted is not None and over is not None else None
    if traffic is None or counted is None:
        return None
    begun = counted.begun(traffic.over)
    young = {rival.task for rival in live if rival.record.entered > begun}
    tasks = dict.fromkeys(rival.task for rival in live if rival.task not in young)
    return {task: traffic.requests.get(task, 0) for task in tasks}


def _beside(frame: Frame, live: tuple[Rival, ...]) -> Iterable[RevisionRecord]:
    members = {rival.record.served_name for rival in live}
    return (r for r in placed(frame.log) if r.served_name not in members)


class _Readings:
    """Reads results within one frame; what cannot be read tells nothing."""

    def __init__(self, frame: Frame, reader: ResultsReader) -> None:
        self._frame = frame
        self._reader = reader
        self._life = frame.life

    def generalist(self, task: str) -> Member | None:
        asked = Asked(task, "Main")
        answers = self._told(asked)
        if answers is None:
            return None
        point, bounds = _mean(answers, self._frame.policy.confidence)
        return self._priced(Member(GENERALIST, task, point, 0, bounds.low, bounds.high), asked)

    def member(self, rival: Rival, live: tuple[Rival, ...]) -> Member:
        frame, record = self._frame, rival.record
        asked = Asked(rival.task, "Main", record.key)
        answers = self._told(asked)
        # The scorecard is of the items that were met until the verdict; all of the screen tells more.
        quality, bounds = rival.quality, NOTHING
        if answers is not None:
            quality, bounds = _mean(answers, frame.policy.confidence)
        over, lead = self._lead(rival, live, answers)
        found = Member(
            record.served_name,
            rival.task,
            quality,
            resident_bytes(frame, record.key),
            bounds.low,
            bounds.high,
            over,
            lead,
            live_quality=self._live_quality(rival),
            unviable_since=record.since if record.reason in CAUSES else None,
        )
        return self._reviewed(self._priced(found, asked), asked)

    def _live_quality(self, rival: Rival) -> Interval | None:
        """Say what users got of it, by what was said of the answers that were written down."""
        frame, gateway = self._frame, self._frame.population.spec.serving.gateway
        if gateway is None or gateway.records is None or frame.suite.spec.task(rival.task) is None:
            return None
        try:
            ledger = self._reader.live.at(frame.store, gateway.records)
        except StoreError:
            return None
        record, policy = rival.record, frame.policy
        asked = LiveRevision(
            frame.name, frame.task(rival.task), record.served_name, record.entered, policy.unit_is_request
        )
        return live_quality(_scores(ledger, ledger.version, asked), policy.confidence)

    def in_shadow(self, own: RevisionRecord) -> Member | None:
        """The costs of a candidate, as the endpoint has shown them."""
        card = own.scorecard
        if card is None or self._frame.suite.spec.task(card.task) is None:
            return None
        asked = Asked(card.task, "Shadow", own.key, own.served_name)
        if self._read(asked) is None:
            return None
        bare = Member(own.served_name, card.task, card.score, resident_bytes(self._frame, own.key))
        return self._reviewed(self._priced(bare, asked), asked)

    def _lead(
        self, rival: Rival, live: tuple[Rival, ...], answers: _Told | None
    ) -> tuple[str, Interval | None]:
        """Compare with the best of the others who may serve the task, item by item."""
        others = [r for r in live if r.task == rival.task and r is not rival]
        best = max(others, key=lambda r: (r.quality, r.record.served_name), default=None)
        base = self._told(Asked(rival.task, "Main"))
        theirs, name = base, GENERALIST
        if best is not None and (base is None or best.quality > base.cut().mean):
            theirs, name = self._told(Asked(rival.task, "Main", best.record.key)), best.record.served_name
        if answers is None or theirs is None:
            return name, None
        return name, _difference(answers, theirs, self._frame.policy.confidence)

    def _told(self, asked: Asked) -> _Told | None:
        found, life = self._read(asked), self._life
        if found is None:
            return None
        seed = self._frame.suite_digest
        # The items are counted in, so that a test double may answer otherwise under the same key.
        key = (self._frame.order(asked).key, seed, life.disclosure, str(life.screen), str(len(found.items)))
        return _Told(key, found, life, seed)

    def _read(self, asked: Asked) -> Results | None:
        if self._frame.suite.spec.task(asked.task) is None:
            return None
        try:
            recorded = self._reader.read(self._frame.store, self._frame.order(asked))
        except StoreError:
            return None
        return recorded.results if recorded is not None and recorded.results.items else None

    def _priced(self, found: Member, asked: Asked) -> Member:
        """Add what an answer takes."""
        if self._read(asked) is None:
            return found
        try:
            manifest = self._frame.store.manifest(self._frame.order(asked).key)
        except StoreError:
            return found
        count = manifest.meta.get("n")
        if not isinstance(count, int) or count <= 0:
            return found
        return replace(
            found,
            tokens=round(manifest.cost.tokens / count, 3),
            seconds=round(manifest.cost.wall_seconds / count, 6),
        )

    def _reviewed(self, found: Member, asked: Asked) -> Member:
        """Add what an evaluation takes: all answers, each as dear as these."""
        answers = self._read(asked)
        if answers is None:
            return found
        names = dict.fromkeys((found.task, *(t.name for t in measured(self._frame.tasks, found.task))))
        base = (self._read(Asked(name, "Main")) for name in names)
        times = Decimal(sum(len(results.items) for results in base if results is not None))
        try:
            cost = cost_of(self._frame.store.manifest(self._frame.order(asked).key).cost)
        except StoreError:
            return found
        times /= len(answers.items)
        return replace(
            found, review=Cost(round(cost.cpu_seconds * times, 3), round(cost.gpu_seconds * times, 3))
        )


@lru_cache(maxsize=512)
def _scores(ledger: LiveLedger, _version: int, asked: LiveRevision) -> tuple[float, ...]:
    return of_live(ledger, asked)


@lru_cache(maxsize=512)
def _mean(answers: _Told, confidence: float) -> tuple[float, Interval]:
    try:
        found = mean(answers.cut(), confidence)
    except EvidenceError:
        return answers.results.mean, NOTHING
    return found.mean, found.interval


@lru_cache(maxsize=512)
def _difference(ours: _Told, theirs: _Told, confidence: float) -> Interval | None:
    try:
        return difference(ours.cut(), theirs.cut(), confidence).interval
    except EvidenceError:
        return None
