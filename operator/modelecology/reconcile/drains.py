"""Until when what leaves the engines may finish its requests; the log says it, so a restart forgets none."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.population import Population
from modelecology.api.routing import Isolation
from modelecology.api.vocabulary import State
from modelecology.governance.facts import RevisionRecord
from modelecology.governance.lifecycle import RESIDENT
from modelecology.governance.log import LogState

from .deletion import GRACE

MOST_OF_A_DELETION = GRACE / 2
"""What is deleted must be gone, with proof, within the grace."""


def drains(
    population: Population, log: LogState, now: datetime, gone: datetime | None = None
) -> dict[str, datetime]:
    """Say for each served name that leaves until when it may finish, if that is not over.

    `gone` says since when residents have to go too: their engine is not one of the population's any more. Of
    a population that is deleted all go.
    """
    gone = population.metadata.deletion_timestamp or gone
    found = {}
    for specialist in log.specialists.values():
        for record in specialist.revisions.values():
            left = gone if record.state in RESIDENT else record.entered
            if left is None or not record.was_resident or _is_cut(population, record):
                continue
            time = population.spec.serving.drain
            if record.state in (*RESIDENT, State.DELETED):
                time = min(time, MOST_OF_A_DELETION)
            if now < left + time:
                found[record.served_name] = left + time
    return found


def _is_cut(population: Population, record: RevisionRecord) -> bool:
    """Say whether a quarantine ends what runs: without a gateway nothing but its unload keeps users away."""
    gateway = population.spec.serving.gateway
    finishes = gateway is not None and gateway.isolate is Isolation.FINISH
    return record.state is State.QUARANTINED and not finishes
