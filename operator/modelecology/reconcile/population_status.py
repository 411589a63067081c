"""The status of a Population: a fold of its log, the generalist's results, and the engines as last seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from modelecology.api.ledger import Tip
from modelecology.api.meta import ConditionType
from modelecology.api.population import Baseline, EndpointStatus, Population, PopulationStatus
from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import State
from modelecology.governance import portfolio
from modelecology.governance.facts import Wait
from modelecology.kube.cluster import POPULATION
from modelecology.store import StoreError

from .boards import EngineView, Standing
from .conditions import said, with_remedy
from .frame import Asked, Frame
from .metrics import SPECIALISTS
from .rivals import resident_bytes, rivals
from .runtime import Runtime
from .status import ledger_of, write

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
    baseline = _baseline(runtime, frame)
    return PopulationStatus(
        observed_generation=generation,
        conditions=tuple(
            said(known, kind, on, reason, message, generation=generation, now=now) for kind, on in states
        ),
        suite_digest=frame.suite_digest,
        policy_digest=frame.policy_digest,
        specialists=len(specialists),
        live=len(rivals(frame)),
        value=_value(frame, baseline),
        baseline=baseline,
        endpoints=tuple(_endpoint(e, v) for e, v in views.items())[:_MOST_ENDPOINTS],
        ledger=ledger_of(frame.log.spent),
        last_decision=Tip(sequence=frame.log.sequence, digest=frame.log.digest)
        if frame.log.sequence
        else None,
    )


def _endpoint(endpoint: str, view: EngineView) -> EndpointStatus:
    proved = sorted(name for name, standing in view.standing.items() if standing is Standing.PROVED)
    wrong = [view.messages.get(n, "") for n, s in sorted(view.standing.items()) if s is not Standing.PROVED]
    leaves = "It left serving.endpoints and is being unloaded." if view.leaving else ""
    message = "; ".join(m for m in (leaves, view.message, *wrong) if m)
    answers = view.reachable or view.refused
    return EndpointStatus(
        endpoint=endpoint, reachable=answers, adapters=tuple(proved[:256]), message=message[:500]
    )


def _baseline(runtime: Runtime, frame: Frame) -> tuple[Baseline, ...]:
    found = []
    for task in frame.tasks:
        try:
            recorded = runtime.results.read(frame.store, frame.order(Asked(task.name, "Main")))
        except StoreError:
            recorded = None
        if recorded is not None:
            score = round(recorded.results.mean, 6)
            found.append(Baseline(task=task.name, score=score, n=len(recorded.results.items)))
    return tuple(found)


def _count(frame: Frame, states: list[State]) -> None:
    for state in State:
        SPECIALISTS.labels(frame.namespace, frame.name, state).set(states.count(state))


def _value(frame: Frame, baseline: tuple[Baseline, ...]) -> Decimal | None:
    """Value of the population above the generalist alone; None until the suite is evaluated."""
    if len(baseline) < len(frame.tasks):
        return None
    alone = {b.task: b.score for b in baseline}
    best = dict(alone)
    size = 0
    for rival in rivals(frame):
        best[rival.task] = max(best.get(rival.task, 0.0), rival.quality)
        size += resident_bytes(frame, rival.record.key)
    with_members = portfolio.value(portfolio.Population(best, size), frame.tasks, frame.policy)
    without = portfolio.value(portfolio.Population(alone, 0), frame.tasks, frame.policy)
    return (with_members - without).quantize(Decimal("0.01"))


async def write_population(runtime: Runtime, before: Population, after: PopulationStatus) -> bool:
    """Patch the status if it changed. Raises Conflict, KubeError."""
    return await write(runtime, POPULATION, before, after)
