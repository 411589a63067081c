"""Stage 1, live requests: what they show of a shadow, of a canary, and of what is live.

live_ledger.py remembers what gateways wrote down, live_scores.py joins it with feedback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from modelecology.api.live_records import Answered, Arm, Exchange
from modelecology.api.suite import Task
from modelecology.governance.facts import Live

from .judged import Pair, judged
from .live_ledger import LiveLedger
from .live_scores import GONE, UNSERVED, clients_fault, own_fault, score_of, scored

_DAY = 24 * 3600
_Unit = TypeVar("_Unit")


@dataclass(frozen=True, slots=True)
class Trial:
    """What is asked of a ledger: a revision, since when it is in its state, and in its step."""

    population: str
    task: Task
    served: str
    entered: datetime
    since: datetime
    unit_is_request: bool
    latest: float | None  # seconds after which an answer is late
    judge: str | None = None  # whose word on a shadow's copies is read


def of_shadow(ledger: LiveLedger, trial: Trial) -> Live:
    """Hold each copy that a shadow answered beside what the user got."""
    score = score_of(trial.task)
    found = [
        e
        for e in ledger.exchanges(trial.population, trial.task.name, trial.entered.timestamp())
        if e.shadow is not None
        and e.shadow.served == trial.served
        # That no engine had it just then is no fault of its answers; nobody missed them.
        and e.shadow.error not in UNSERVED
        and not clients_fault(e.shadow)
    ]
    pairs: dict[str, Pair] = {}
    for each in scored(ledger, found):
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
    come for few of the answers, and failures for all. Who went away when the answer was late already has seen
    a late one, so that a canary that hangs cannot hide behind those who give up.
    """
    score = score_of(trial.task)
    asked = ledger.exchanges(trial.population, trial.task.name, trial.entered.timestamp())
    found = [e for e in asked if not clients_fault(e.answer)]
    told: list[tuple[float, str, float, bool]] = []
    for each in scored(ledger, found):
        value = score(each.exchange.answer, each.feedback, served=True)
        if value is not None:
            told.append((each.at, each.unit, value, _is_canary(each.exchange, trial.served)))
    # Where nothing serves the others and the population has no fallback, that is what they got.
    told += [(e.time, e.asker or e.request_id, 0.0, False) for e in found if not e.answer.served]
    told.sort()
    if not trial.unit_is_request:
        told = list(_first_told(told))
    answers = [
        e.answer
        for e in asked
        if _is_canary(e, trial.served) and (not clients_fault(e.answer) or _waited_in_vain(e.answer, trial))
    ]
    return _live(trial, tuple(_matched(told)), answers)


@dataclass(frozen=True, slots=True)
class LiveRevision:
    """A revision that users of a population get, and since when they count."""

    population: str
    task: Task
    served: str
    since: datetime
    unit_is_request: bool


def of_live(ledger: LiveLedger, asked: LiveRevision) -> tuple[float, ...]:
    """Score what users got of a revision since it is live, in the order in which that was said of it.

    An asker counts once for each day (UTC) on which they asked: if each of some regulars counted once for
    all, nothing could ever show that it drifts. One asker's days are alike, and the bound on these scores
    (governance/live.py) holds all the same, however often one looks: for any number q it bets on each unit
    with stakes that were fixed before. So the chance that it ever says "below q" while the units, each as it
    was to be expected after those before it, came to q or more on average, is its level at most; "above q"
    likewise. It bounds the mean of asker-days: a regular weighs as much as their days that were scored.
    """
    score = score_of(asked.task)
    found = [
        e
        for e in ledger.exchanges(asked.population, asked.task.name, asked.since.timestamp())
        if e.arm is Arm.LIVE and e.answer.served == asked.served
        # Where engines were without it, users got somebody else's answer.
        if e.answer.error is None or own_fault(e.answer)
    ]
    told: list[tuple[float, tuple[str, int], float]] = []
    for each in scored(ledger, found):
        value = score(each.exchange.answer, each.feedback, served=True)
        if value is not None:
            day = int(each.exchange.time // _DAY)
            told.append((each.at, (each.unit, day), value))
    return tuple(value for *_, value in (told if asked.unit_is_request else _first_of_each(told)))


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
    late = 0 if trial.latest is None else sum(a.seconds > trial.latest for a in answers if not _failed(a))
    return Live(
        differences=tuple(round(value, 9) for _, value in differences),
        in_step=sum(at >= since for at, _ in differences),
        answered=len(answers),
        failed=sum(map(_failed, answers)),
        late=late,
    )


def _failed(answer: Answered) -> bool:
    return answer.error is not None and answer.error != GONE


def _waited_in_vain(answer: Answered, trial: Trial) -> bool:
    return answer.error == GONE and trial.latest is not None and answer.seconds > trial.latest


def _first_of_each(told: Iterable[tuple[float, _Unit, float]]) -> Iterator[tuple[float, _Unit, float]]:
    seen: set[_Unit] = set()
    for each in told:
        if each[1] not in seen:
            seen.add(each[1])
            yield each


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
