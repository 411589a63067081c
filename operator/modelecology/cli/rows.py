"""What a population's table says, line by line, before it is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from modelecology.api.meta import Condition, ConditionStatus, ConditionType
from modelecology.api.population import EndpointStatus, Population
from modelecology.api.reasons import Reason
from modelecology.api.specialist import RevisionStatus, Specialist
from modelecology.api.vocabulary import State

from . import words

UNSEEN = "waits for the operator to see it"
UNSAID = "the operator has not said why yet"


@dataclass(frozen=True, slots=True)
class SpecialistRow:
    """One line of the table."""

    name: str
    task: str
    state: State
    doing: str
    score: str
    live: str
    cost: str
    age: str

    @property
    def change(self) -> str:
        """The line without what changes by itself, to tell whether anything happened."""
        return "  ".join(
            part for part in (self.name, self.state, self.doing, self.score, self.live) if part != words.NONE
        )


@dataclass(frozen=True, slots=True)
class PopulationHead:
    """What stands above the table."""

    name: str
    generalist: str
    suite: str
    looks: str
    value: str
    engines: tuple[str, ...]
    spent: str
    trouble: str


def specialist_row(specialist: Specialist, now: datetime) -> SpecialistRow:
    """Say in one line where a specialist stands."""
    status = specialist.status
    newest = newest_revision(specialist)
    card = newest.scorecard if newest is not None else None
    return SpecialistRow(
        name=specialist.metadata.name,
        task=specialist.spec.contract.task,
        state=status.state,
        doing=doing(specialist),
        score=words.score(card) if card is not None else status.score or words.NONE,
        live=status.live.served_name if status.live is not None else words.NONE,
        cost=words.amount(status.ledger.cost),
        age=words.age(specialist.metadata.creation_timestamp, now),
    )


def population_head(population: Population) -> PopulationHead:
    """Say what a population rests on and what it spent."""
    spec, status = population.spec, population.status
    model = spec.generalist.model.rstrip("/").rpartition("/")[2]
    value = words.NONE
    if status.value is not None:
        value = f"{words.amount(status.value)} over {words.per(spec.policy.viability.horizon)}"
    return PopulationHead(
        name=population.metadata.name,
        generalist=f"{model} ({words.short(spec.generalist.digest)})",
        suite=f"{spec.suite_ref.name} ({words.short(status.suite_digest)})",
        looks=looks(population),
        value=value,
        engines=tuple(map(engine, status.endpoints))
        or tuple(f"{e} (not seen yet)" for e in spec.serving.endpoints),
        spent=words.ledger(status.ledger),
        trouble=population_trouble(population),
    )


def looks(population: Population) -> str:
    """Say what is left of the suite's budget and, when nothing is, what fresh items would buy."""
    status = population.status
    exhausted = find(status.conditions, ConditionType.SUITE_EXHAUSTED)
    told = words.suite_life(status.suite_life)
    if exhausted is None or exhausted.status is not ConditionStatus.TRUE:
        return told
    return f"{told}. {exhausted.message}" if exhausted.message else told


def population_trouble(population: Population) -> str:
    """Say why a population is not ready; nothing when it is."""
    ready = find(population.status.conditions, ConditionType.READY)
    if ready is None:
        return UNSEEN
    return "" if ready.status is ConditionStatus.TRUE else because(ready)


def engine(endpoint: EndpointStatus) -> str:
    """Say how an engine does: its address, and the adapters it holds or what is wrong."""
    if not endpoint.reachable:
        return f"{endpoint.endpoint} (unreachable{': ' + endpoint.message if endpoint.message else ''})"
    count = len(endpoint.adapters)
    return f"{endpoint.endpoint} ({count} adapter{'' if count == 1 else 's'})"


def doing(specialist: Specialist) -> str:
    """Say what a specialist is doing, or why it ended where it did."""
    status = specialist.status
    if status.observed_generation == 0:
        return UNSEEN
    degraded = find(status.conditions, ConditionType.DEGRADED)
    if degraded is not None and degraded.status is ConditionStatus.TRUE:
        return because(degraded)
    if status.progress is not None:
        return words.progress(status.progress)
    ready = find(status.conditions, ConditionType.READY)
    if ready is not None:
        return because(ready)
    newest = newest_revision(specialist)
    return newest.reason if newest is not None and newest.reason else UNSAID


def awaits_approval(specialist: Specialist) -> bool:
    """Say whether a person has the last word now."""
    ready = find(specialist.status.conditions, ConditionType.READY)
    return ready is not None and ready.reason == Reason.AWAITING_APPROVAL


def retirement_proposed(specialist: Specialist) -> Condition | None:
    """Find the condition that proposes the retirement of the live revision."""
    found = find(specialist.status.conditions, ConditionType.RETIREMENT_PROPOSED)
    return found if found is not None and found.status is ConditionStatus.TRUE else None


def newest_revision(specialist: Specialist) -> RevisionStatus | None:
    """Find the revision that the specialist's state is of."""
    status = specialist.status
    return status.candidate or status.live or status.previous


def because(condition: Condition) -> str:
    """Write a condition's reason and message."""
    return f"{condition.reason}: {condition.message}" if condition.message else condition.reason


def find(conditions: tuple[Condition, ...], kind: ConditionType) -> Condition | None:
    """Find a condition by type."""
    return next((c for c in conditions if c.type == kind), None)
