"""The status of a Population: a fold of its log, the generalist's results, and the engines as last seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from modelecology.api.ledger import Ledger, Tip
from modelecology.api.meta import Condition, ConditionType
from modelecology.api.population import (
    Baseline,
    EndpointStatus,
    Population,
    PopulationStatus,
    SuiteLifeStatus,
    TaskTraffic,
    TrafficStatus,
)
from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Role, State
from modelecology.governance.courses import told
from modelecology.governance.evidence import EvidenceError
from modelecology.governance.facts import Results, Wait
from modelecology.kube.cluster import POPULATION
from modelecology.store import StoreError

from .accounts import totals
from .boards import EngineView, Standing
from .classifier import classifier_status
from .conditions import said, with_remedy
from .dues import shared
from .frame import Asked, Frame
from .members import standing
from .metrics import SPECIALISTS
from .rivals import rivals
from .runtime import Runtime
from .status import ledger_of, write
from .suite_life import exhaustion, suite_life
from .worth import members_of, population_of, routes_of, value_of

_MOST_TASKS = 32
_MOST_ENDPOINTS = 16  # as the CRD says; those that leave come last


def waiting_status(before: Population, wait: Wait, now: datetime) -> PopulationStatus:
    """Write the status of a population that cannot be judged yet, keeping what was known."""
    message = with_remedy(wait.reason, wait.message, before.metadata.name)
    generation = before.metadata.generation
    known = before.status.conditions
    states = (
        (ConditionType.READY, False),
        (ConditionType.PROGRESSING, False),
        (ConditionType.DEGRADED, True),
    )
    conditions = tuple(
        said(known, kind, on, wait.reason, message, generation=generation, now=now) for kind, on in states
    )
    return before.status.model_copy(
        update={"observed_generation": generation, "conditions": conditions},
    )


def population_status(
    runtime: Runtime,
    frame: Frame,
    before: Population,
    views: Mapping[str, EngineView],
    wait: Wait | None,
) -> PopulationStatus:
    """Write the status that a population has now. Reads the store: run it in a thread."""
    now = runtime.now()
    known = before.status.conditions
    generation = before.metadata.generation
    reason = str(wait.reason) if wait else str(Reason.READY)
    message = (
        with_remedy(reason, wait.message, frame.name)
        if wait
        else "The suite is evaluated and every engine answers."
    )
    working = wait is not None and wait.reason in (Reason.BASELINE_RUNNING, Reason.QUEUED)
    states = (
        (ConditionType.READY, wait is None),
        (ConditionType.PROGRESSING, working),
        (ConditionType.DEGRADED, wait is not None and not working),
    )
    specialists = runtime.cache.specialists(frame.namespace, frame.name)
    _count(frame, [s.status.state for s in specialists])
    answers = _answers(runtime, frame)
    baseline, life = _baseline(frame, answers), suite_life(frame, answers)
    weighed = population_of(standing(frame, runtime.results))
    unready = runtime.cache.unready(frame.population)
    prices = frame.policy.prices
    dues = shared(runtime.dues.of(frame), prices)
    spent, until = totals(
        frame.log, frame.log.spent + dues, frame.log.specialists, prices, now, frame.counted
    )
    return PopulationStatus(
        observed_generation=generation,
        conditions=(
            *(said(known, kind, on, reason, message, generation=generation, now=now) for kind, on in states),
            *_exhausted(frame, life, known, generation, now),
        ),
        suite_digest=frame.suite_digest,
        policy_digest=frame.policy_digest,
        suite_life=life,
        specialists=len(specialists),
        live=len(rivals(frame)),
        value=value_of(frame, weighed) if len(baseline) == len(frame.tasks) else None,
        members=members_of(frame, weighed),
        routes=routes_of(weighed),
        baseline=baseline,
        traffic=_traffic(frame),
        classifier=classifier_status(frame.classifier, frame.tasks),
        endpoints=tuple(_endpoint(e, v, ready=e not in unready) for e, v in views.items())[:_MOST_ENDPOINTS],
        ledger=ledger_of(spent, until),
        own_ledger=Ledger.model_validate(frame.log.book.own + dues, from_attributes=True),
        last_decision=Tip(sequence=frame.log.sequence, digest=frame.log.digest)
        if frame.log.sequence
        else None,
    )


def _traffic(frame: Frame) -> TrafficStatus | None:
    if not frame.rules.measured:
        return None
    shares = (TaskTraffic(task=t.name, share=t.traffic) for t in frame.tasks if t.role is Role.TASK)
    return TrafficStatus(requests_per_day=frame.policy.requests_per_day, tasks=tuple(shares)[:_MOST_TASKS])


def _endpoint(endpoint: str, view: EngineView, *, ready: bool) -> EndpointStatus:
    proved = sorted(name for name, standing in view.standing.items() if standing is Standing.PROVED)
    wrong = [view.messages.get(n, "") for n, s in sorted(view.standing.items()) if s is not Standing.PROVED]
    leaves = "It left the population's engines and is being unloaded." if view.leaving else ""
    waits = "" if ready else "It is not ready, so it gets no requests."
    message = "; ".join(m for m in (leaves, waits, view.message, *wrong) if m)
    answers = view.reachable or view.refused
    return EndpointStatus(
        endpoint=endpoint, reachable=answers, adapters=tuple(proved[:256]), message=message[:500]
    )


def _answers(runtime: Runtime, frame: Frame) -> dict[str, Results]:
    found = {}
    for task in frame.tasks:
        try:
            recorded = runtime.results.read(frame.store, frame.order(Asked(task.name, "Main")))
        except StoreError:
            recorded = None
        if recorded is not None:
            found[task.name] = recorded.results
    return found


def _baseline(frame: Frame, answers: Mapping[str, Results]) -> tuple[Baseline, ...]:
    """Give the generalist's scores on what may be told of the suite."""
    life, found = frame.life, []
    for task, results in answers.items():
        try:
            some = told(results, life, frame.suite_digest)
        except EvidenceError:
            continue
        found.append(Baseline(task=task, score=round(some.mean, 6), n=len(some.items)))
    return tuple(found)


def _exhausted(
    frame: Frame,
    life: SuiteLifeStatus | None,
    known: tuple[Condition, ...],
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    found = exhaustion(frame, life)
    if found is None:
        return ()
    kind = ConditionType.SUITE_EXHAUSTED
    return (said(known, kind, True, *found, generation=generation, now=now),)


def _count(frame: Frame, states: list[State]) -> None:
    for state in State:
        SPECIALISTS.labels(frame.namespace, frame.name, state).set(states.count(state))


async def write_population(runtime: Runtime, before: Population, after: PopulationStatus) -> bool:
    """Patch the status if it changed. Raises Conflict, KubeError."""
    return await write(runtime, POPULATION, before, after)
