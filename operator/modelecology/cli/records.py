"""What `--output json` and `--output yaml` write: the same facts as the screen, for programs."""

from __future__ import annotations

import json
from typing import Any

import yaml
from pydantic import BaseModel

from modelecology.api.decision import Decision
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite

from .port import Snapshot
from .rows import doing, population_trouble

Record = dict[str, Any]


def write(record: Record, form: str) -> str:
    """Write a record as `json` or `yaml`."""
    if form == "json":
        return json.dumps(record, indent=2, ensure_ascii=False)
    return yaml.safe_dump(record, sort_keys=False, allow_unicode=True).rstrip("\n")


def status_record(snapshot: Snapshot, population: str | None) -> Record:
    """Record the populations of a snapshot, or the one that is asked for."""
    chosen = [p for p in snapshot.populations if population in (None, p.metadata.name)]
    lost = snapshot.orphans() if population is None else snapshot.members(population) if not chosen else ()
    return {
        "namespace": snapshot.namespace,
        "populations": [population_record(p, snapshot.members(p.metadata.name)) for p in chosen],
        "withoutPopulation": [specialist_record(s) for s in lost],
        "notes": list(snapshot.notes),
    }


def population_record(
    population: Population, members: tuple[Specialist, ...], suite: EvaluationSuite | None = None
) -> Record:
    """Record a population with its specialists."""
    spec = population.spec
    record: Record = {
        "name": population.metadata.name,
        "generalist": _plain(spec.generalist),
        "suite": spec.suite_ref.name,
        "notReady": population_trouble(population),
        "status": _plain(population.status),
        "specialists": [specialist_record(s) for s in members],
    }
    if suite is not None:
        record["tasks"] = [_plain(task) for task in suite.spec.tasks]
    return record


def specialist_record(specialist: Specialist) -> Record:
    """Record where a specialist stands."""
    return {
        "name": specialist.metadata.name,
        "population": specialist.spec.population_ref.name,
        "task": specialist.spec.contract.task,
        "target": specialist.spec.lifecycle.target.value,
        "doing": doing(specialist),
        "status": _plain(specialist.status),
    }


def explanation_record(
    specialist: Specialist, decisions: tuple[Decision, ...], chosen: Decision | None
) -> Record:
    """Record one verdict and the history behind it, oldest first."""
    return {
        "specialist": specialist_record(specialist),
        "decision": None if chosen is None else _plain(chosen.spec),
        "history": [
            {
                "sequence": d.spec.sequence,
                "time": _plain(d.spec)["time"],
                "action": d.spec.action.value,
                "from": d.spec.from_state.value,
                "to": d.spec.to.value,
                "outcome": d.spec.outcome.value,
                "reason": d.spec.reason,
                "actor": d.spec.actor,
            }
            for d in decisions
        ],
    }


def _plain(model: BaseModel) -> Record:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
