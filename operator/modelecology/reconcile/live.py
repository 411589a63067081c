"""Stage 1, live requests: reads what gateways wrote down, joins it with feedback, and scores it.

The records of a population lie in one folder of a volume or a bucket (store/live_files.py). Each look reads
what is new. The newest MOST_EXCHANGES are remembered, so that the operator's memory stays bounded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from pydantic import ValidationError

from modelecology.api.live_records import (
    Answered,
    Arm,
    Exchange,
    Feedback,
    LiveRecord,
    Preference,
    Usage,
    read_line,
)
from modelecology.api.routing import RouteReason
from modelecology.api.suite import Task
from modelecology.api.vocabulary import Scorer
from modelecology.governance import scoring
from modelecology.governance.facts import Live
from modelecology.store import ArtifactStore
from modelecology.store.live_files import LiveFiles
from modelecology.store.places import relative_place

from .judged import Pair, judged
from .usage import UsageLog

MOST_EXCHANGES = 50_000
"""Requests of one population that are remembered; of more, the oldest go."""
_BUSY = ("HTTP 408", "HTTP 429")
_UNSERVED = (RouteReason.NOT_RESIDENT, RouteReason.WRONG_MODEL_ANSWERED)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    """A request of which somebody has said how good its answer was."""

    at: float  # when that was said, in seconds since 1970
    exchange: Exchange
    feedback: Feedback

    @property
    def unit(self) -> str:
        """Who asked, or else the request itself."""
        return self.exchange.asker or self.exchange.request_id


class LiveLedger:
    """What the gateways of one population wrote down, as far as it was read."""

    def __init__(self, files: LiveFiles) -> None:
        self._files = files
        self._exchanges: OrderedDict[str, Exchange] = OrderedDict()
        self._feedback: OrderedDict[str, Feedback] = OrderedDict()
        self._ids: defaultdict[str, dict[str, None]] = defaultdict(dict)  # of a task's requests
        self._words: OrderedDict[tuple[str, str], Preference] = OrderedDict()  # by judge and request
        self._usage: dict[str, UsageLog] = {}  # by population
        self._lock = threading.Lock()  # looks run in threads
        # Of its own: a bucket may take long, and what is known is asked for meanwhile.
        self._reading = threading.Lock()
        self.has_read = False
        self.version = 0  # of the requests and what is said of them

    def read(self) -> None:
        """Read what is new. Raises StoreError."""
        with self._reading:
            for line in self._files.lines():
                try:
                    record = read_line(line)
                except ValidationError:
                    _LOG.warning("%s: a record cannot be read; it is left out", self._files.where)
                    continue
                with self._lock:
                    self._take(record)
                    self._forget()
            self.has_read = True

    def _forget(self) -> None:
        while len(self._exchanges) > MOST_EXCHANGES:
            old, exchange = self._exchanges.popitem(last=False)
            del self._ids[exchange.task][old]
        while len(self._feedback) > MOST_EXCHANGES:
            self._feedback.popitem(last=False)
        while len(self._words) > MOST_EXCHANGES:
            self._words.popitem(last=False)

    def _take(self, record: LiveRecord) -> None:
        if isinstance(record, Usage):
            self._usage.setdefault(record.population, UsageLog()).add(record)
            return
        self.version += 1
        if isinstance(record, Exchange):
            # A copy is written down after its answer: the later one knows more.
            self._exchanges[record.request_id] = record.model_copy(update={"prompt": None})
            self._ids[record.task][record.request_id] = None
        elif isinstance(record, Preference):
            self._words.setdefault((record.judge, record.request_id), record)
        elif isinstance(record, Feedback):
            first = self._feedback.get(record.request_id)
            if first is None or record.time < first.time:
                self._feedback[record.request_id] = record

    def usage(self, population: str) -> UsageLog:
        """Give what was counted for a population."""
        with self._lock:
            return self._usage.setdefault(population, UsageLog())

    def exchanges(self, task: str, since: float) -> tuple[Exchange, ...]:
        """List the requests of a task from a time on, in their order."""
        with self._lock:
            found = [e for i in self._ids.get(task, ()) if (e := self._exchanges[i]).time >= since]
        return tuple(sorted(found, key=lambda e: (e.time, e.request_id)))

    def word(self, judge: str, request_id: str) -> Preference | None:
        """Find what a judge said first of a request."""
        with self._lock:
            return self._words.get((judge, request_id))

    def feedback(self, request_id: str) -> Feedback | None:
        """Find what was said of a request."""
        with self._lock:
            return self._feedback.get(request_id)


class LiveLedgers:
    """The ledger of each place, opened once. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[tuple[ArtifactStore | None, str], LiveLedger] = {}
        self._lock = threading.Lock()

    def at(self, store: ArtifactStore, uri: str) -> LiveLedger:
        """Open the ledger of a `file:///` directory, or of a `store:///` folder of a store.

        Raises StoreError.
        """
        folder = relative_place(uri)
        # A store has its own: who may not read the bucket must not read what somebody else may.
        key = (None if folder is None else store, uri)
        with self._lock:
            if key not in self._open:
                files = LiveFiles.open(uri) if folder is None else LiveFiles(store.files, folder, self._clock)
                self._open[key] = LiveLedger(files)
            return self._open[key]

    def read(self, store: ArtifactStore, uri: str) -> None:
        """Read what is new at a place. Raises StoreError."""
        self.at(store, uri).read()


@dataclass(frozen=True, slots=True)
class Trial:
    """What is asked of a ledger: a revision, since when it is in its state, and in its step."""

    task: Task
    served: str
    entered: datetime
    since: datetime
    unit_is_request: bool
    latest: float | None  # seconds after which an answer is late
    judge: str | None = None  # whose word on a shadow's copies is read


def of_shadow(ledger: LiveLedger, trial: Trial) -> Live:
    """Hold each copy that a shadow answered beside what the user got."""
    score = _score_of(trial.task)
    found = [
        e
        for e in ledger.exchanges(trial.task.name, trial.entered.timestamp())
        if e.shadow is not None
        and e.shadow.served == trial.served
        # That no engine had it just then is no fault of its answers; nobody missed them.
        and e.shadow.error not in _UNSERVED
        and not _clients_fault(e.shadow)
    ]
    pairs: dict[str, Pair] = {}
    for each in _scored(ledger, found):
        ours = score(each.exchange.shadow, each.feedback, served=False)
        theirs = score(each.exchange.answer, each.feedback, served=True)
        if ours is not None and theirs is not None:
            pairs[each.exchange.request_id] = (each.at, each.unit, ours - theirs)
    kept = list(pairs.values() if trial.unit_is_request else _first_of_each(pairs.values()))
    answers = [e.shadow for e in found if e.shadow is not None]
    live = _live(trial, tuple((at, difference) for at, _, difference in kept), answers)
    if trial.judge is None:
        return live
    word, since = partial(ledger.word, trial.judge), trial.since.timestamp()
    return replace(live, judged=judged(found, pairs, word, since, unit_is_request=trial.unit_is_request))


def of_canary(ledger: LiveLedger, trial: Trial) -> Live:
    """Hold what the canary's users got beside what the others got in the same time.

    A unit is the mean of the canary's scores less that of the others', each since the unit before it: there
    is one as soon as both sides have one. Which scores those are depends on when they came, and not on what
    they are. A failed answer is judged by its own limit, and is a score only where somebody says so: scores
    come for few of the answers, and failures for all.
    """
    score = _score_of(trial.task)
    found = [
        e
        for e in ledger.exchanges(trial.task.name, trial.entered.timestamp())
        if not _clients_fault(e.answer)
    ]
    told: list[tuple[float, str, float, bool]] = []
    for each in _scored(ledger, found):
        value = score(each.exchange.answer, each.feedback, served=True)
        if value is not None:
            told.append((each.at, each.unit, value, _is_canary(each.exchange, trial.served)))
    # Where nothing serves the others and the population has no fallback, that is what they got.
    told += [(e.time, e.asker or e.request_id, 0.0, False) for e in found if not e.answer.served]
    told.sort()
    if not trial.unit_is_request:
        told = list(_first_told(told))
    answers = [e.answer for e in found if _is_canary(e, trial.served)]
    return _live(trial, tuple(_matched(told)), answers)


def of_live(
    ledger: LiveLedger, task: Task, served: str, entered: datetime, *, unit_is_request: bool
) -> tuple[float, ...]:
    """Score what users got of a revision since it is live, in the order in which that was said of it."""
    score = _score_of(task)
    found = [
        e
        for e in ledger.exchanges(task.name, entered.timestamp())
        if e.arm is Arm.LIVE and e.answer.served == served and not _clients_fault(e.answer)
    ]
    told: list[tuple[float, str, float]] = []
    for each in _scored(ledger, found):
        value = score(each.exchange.answer, each.feedback, served=True)
        if value is not None:
            told.append((each.at, each.unit, value))
    return tuple(value for *_, value in (told if unit_is_request else _first_of_each(told)))


def _matched(told: list[tuple[float, str, float, bool]]) -> Iterator[tuple[float, float]]:
    ours: list[float] = []
    theirs: list[float] = []
    for at, _, value, canary in told:
        (ours if canary else theirs).append(value)
        if ours and theirs:
            yield at, sum(ours) / len(ours) - sum(theirs) / len(theirs)
            ours.clear()
            theirs.clear()


def _live(trial: Trial, differences: tuple[tuple[float, float], ...], answers: list[Answered]) -> Live:
    since = trial.since.timestamp()
    ended = [a for a in answers if a.error is None]
    return Live(
        differences=tuple(round(value, 9) for _, value in differences),
        in_step=sum(at >= since for at, _ in differences),
        answered=len(answers),
        failed=len(answers) - len(ended),
        late=0 if trial.latest is None else sum(a.seconds > trial.latest for a in ended),
    )


def _scored(ledger: LiveLedger, exchanges: list[Exchange]) -> list[Scored]:
    found = (
        Scored(max(e.time, said.time), e, said)
        for e in exchanges
        if (said := ledger.feedback(e.request_id)) is not None
    )
    return sorted(found, key=lambda each: (each.at, each.exchange.request_id))


def _first_of_each(pairs: Iterable[Pair]) -> Iterator[Pair]:
    seen: set[str] = set()
    for pair in pairs:
        if pair[1] not in seen:
            seen.add(pair[1])
            yield pair


def _first_told(
    told: list[tuple[float, str, float, bool]],
) -> Iterator[tuple[float, str, float, bool]]:
    # The canary's askers are the witnesses, so each counts once. The others are what these are held beside:
    # each counts once for each of the canary's, or soon none of them would be left.
    ours, theirs = set[str](), set[str]()
    for each in told:
        seen = ours if each[3] else theirs
        if each[1] in seen:
            continue
        seen.add(each[1])
        if each[3]:
            theirs.clear()
        yield each


def _is_canary(exchange: Exchange, served: str) -> bool:
    return exchange.arm is Arm.CANARY and exchange.answer.served == served


def _clients_fault(answer: Answered) -> bool:
    return answer.error is not None and answer.error.startswith("HTTP 4") and answer.error not in _BUSY


_Score = Callable[..., float | None]


def _score_of(task: Task) -> _Score:
    """Make what scores an answer by what was said of the request; None where that says nothing of it."""

    def score(answer: Answered | None, said: Feedback, *, served: bool) -> float | None:
        if answer is None:
            return None
        if said.score is not None:
            # A score is of what the user got, and of no other answer.
            return said.score if served else None
        if answer.error is not None:
            return 0.0 if _judges(task.scorer, said) else None
        return _by_label(task.scorer, answer, said)

    return score


def _judges(scorer: Scorer, said: Feedback) -> bool:
    """Whether a label could score an answer, if there were one."""
    if scorer is Scorer.EXACT:
        return said.label_sha256 is not None
    return scorer is Scorer.CONTAINS and said.label is not None


def _by_label(scorer: Scorer, answer: Answered, said: Feedback) -> float | None:
    if answer.text is not None and said.label is not None:
        if scorer is Scorer.EXACT:
            return scoring.exact((said.label,), answer.text)
        return scoring.contains((said.label,), answer.text) if scorer is Scorer.CONTAINS else None
    if scorer is Scorer.EXACT and answer.sha256 is not None and said.label_sha256 is not None:
        return float(answer.sha256 == said.label_sha256)
    return None
