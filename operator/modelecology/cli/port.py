"""The port to a cluster: what the commands may ask, what they get, and how it fails."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

from modelecology.api.decision import Decision
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.api.vocabulary import Target

SPECIALIST_LABEL = "modelecology.io/specialist"
POPULATION_LABEL = "modelecology.io/population"


class CliError(Exception):
    """A failure that a person can act on: what happened, and what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ClusterError(CliError):
    """The API server, or the way to it, said no; `retry` tells whether trying again may help."""

    def __init__(self, message: str, remedy: str = "", *, retry: bool = False) -> None:
        super().__init__(message, remedy)
        self.retry = retry


class NotFoundError(ClusterError):
    """The object, or its kind, is not there."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The populations and specialists of one namespace, sorted by name, at one moment.

    `notes` names objects that this version cannot read; `trouble` says why the snapshot may be old.
    """

    namespace: str
    populations: tuple[Population, ...] = ()
    specialists: tuple[Specialist, ...] = ()
    notes: tuple[str, ...] = ()
    trouble: str = ""

    def members(self, population: str) -> tuple[Specialist, ...]:
        """Find the specialists of a population."""
        return tuple(s for s in self.specialists if s.spec.population_ref.name == population)

    def orphans(self) -> tuple[Specialist, ...]:
        """Find the specialists whose population does not exist."""
        known = {p.metadata.name for p in self.populations}
        return tuple(s for s in self.specialists if s.spec.population_ref.name not in known)


class Cluster(Protocol):
    """One namespace of a cluster, with the caller's own rights. Every method may raise `ClusterError`."""

    @property
    def namespace(self) -> str:
        """The namespace that is looked at."""

    def snapshot(self) -> Snapshot:
        """Read all populations and specialists."""

    def follow(self, tick: float) -> Generator[Snapshot, None, None]:
        """Yield the snapshot after each burst of changes, and again after `tick` seconds without one."""

    def specialist(self, name: str) -> Specialist:
        """Read one specialist; raises `NotFoundError`."""

    def suite(self, name: str) -> EvaluationSuite | None:
        """Read one suite, or give None when there is none of that name."""

    def decisions(self, specialist: Specialist) -> tuple[Decision, ...]:
        """Read the decisions about this object, oldest first; not those about an earlier one of its name."""

    def log(self, population: Population) -> tuple[Decision, ...]:
        """Read all decisions of this population that are objects still, oldest first."""

    def annotate(self, specialist: str, annotation: str, value: str, target: Target | None = None) -> None:
        """Set one annotation of a specialist, and with it its lifecycle.target; raises `NotFoundError`."""

    def annotate_population(self, population: str, annotation: str, value: str) -> None:
        """Set one annotation of a population; raises `NotFoundError`."""

    def create_decision(self, body: dict[str, Any]) -> None:
        """Create a Decision object."""

    def user(self) -> str:
        """Say who the API server takes the caller for."""
