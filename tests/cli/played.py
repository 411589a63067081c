"""What a played desk has left: its objects, its log and its store, for commands that read them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelecology.api.decision import Decision
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import Target
from modelecology.cli.port import Snapshot
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST
from tests.reconcile.stage import NAMESPACE, Stage
from tests.upgrade.scenario import play


@dataclass
class PlayedCluster:
    """A fake of the port over the objects of a desk."""

    populations: tuple[Population, ...]
    specialists: tuple[Specialist, ...]
    decided: tuple[Decision, ...]
    namespace: str = NAMESPACE
    annotations: dict[tuple[str, str], str] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.namespace, self.populations, self.specialists)

    def specialist(self, name: str) -> Specialist:
        return next(s for s in self.specialists if s.metadata.name == name)

    def decisions(self, specialist: Specialist) -> tuple[Decision, ...]:
        return tuple(d for d in self.decided if d.spec.subject.uid == specialist.metadata.log_uid)

    def log(self, population: Population) -> tuple[Decision, ...]:
        return tuple(d for d in self.decided if d.spec.population == population.metadata.name)

    def annotate(self, specialist: str, annotation: str, value: str, target: Target | None = None) -> None:
        self.annotations[specialist, annotation] = value
        if target is not None:
            self.targets[specialist] = target

    def annotate_population(self, population: str, annotation: str, value: str) -> None:
        self.annotations[population, annotation] = value

    def create_decision(self, body: dict[str, Any]) -> None:
        made = (*self.decided, Decision.model_validate(body))
        self.decided = tuple(sorted(made, key=lambda d: d.spec.sequence))


def played(directory: Path) -> PlayedCluster:
    """Play a desk with a specialist in every state; its store is in `directory`/store."""
    stage = Stage(directory)

    async def run() -> PlayedCluster:
        try:
            await play(stage)
            bodies = {k: await stage.cluster.list(k, NAMESPACE) for k in (POPULATION, SPECIALIST, DECISION)}
        finally:
            await stage.runtime.close()
        decided = (Decision.model_validate(b) for b in bodies[DECISION])
        return PlayedCluster(
            tuple(Population.model_validate(b) for b in bodies[POPULATION]),
            tuple(Specialist.model_validate(b) for b in bodies[SPECIALIST]),
            tuple(sorted(decided, key=lambda d: d.spec.sequence)),
        )

    return asyncio.run(run())
