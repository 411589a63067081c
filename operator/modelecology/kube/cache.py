"""What the watches have shown: the newest known version of every object of ours, parsed."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite

from .cluster import POPULATION, SPECIALIST, SUITE, Body, Kind

Object = Population | Specialist | EvaluationSuite
_MODELS: dict[Kind, type[Object]] = {
    POPULATION: Population,
    SPECIALIST: Specialist,
    SUITE: EvaluationSuite,
}
_T = TypeVar("_T", Population, Specialist, EvaluationSuite)


class InvalidObject(ValueError):
    """Raised for a stored object that this version cannot read: CRD and operator differ."""


def parse(kind: Kind, body: Body) -> Object:
    """Parse an object. Raises InvalidObject, which names the field."""
    try:
        return _MODELS[kind].model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise InvalidObject(f"{path}: {first['msg']}; install the CRDs of this version") from error


class ObjectCache:
    """The newest known objects by kind, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[tuple[Kind, str, str], Object] = {}

    def put(self, kind: Kind, body: Body) -> Object:
        """Take in an object from a watch or from the answer to a write. Raises InvalidObject."""
        found = parse(kind, body)
        self._objects[kind, found.metadata.namespace, found.metadata.name] = found
        return found

    def drop(self, kind: Kind, namespace: str, name: str) -> None:
        """Forget an object that is gone."""
        self._objects.pop((kind, namespace, name), None)

    def version(self, kind: Kind, namespace: str, name: str) -> str | None:
        """Give the resourceVersion that is known of an object."""
        found = self._objects.get((kind, namespace, name))
        return found.metadata.resource_version if found else None

    def population(self, namespace: str, name: str) -> Population | None:
        """Find a population."""
        return self._get(POPULATION, namespace, name, Population)

    def specialist(self, namespace: str, name: str) -> Specialist | None:
        """Find a specialist."""
        return self._get(SPECIALIST, namespace, name, Specialist)

    def suite(self, namespace: str, name: str) -> EvaluationSuite | None:
        """Find a suite."""
        return self._get(SUITE, namespace, name, EvaluationSuite)

    def _get(self, kind: Kind, namespace: str, name: str, model: type[_T]) -> _T | None:
        found = self._objects.get((kind, namespace, name))
        return found if isinstance(found, model) else None

    def populations(self) -> tuple[Population, ...]:
        """List all populations."""
        return tuple(o for o in self._objects.values() if isinstance(o, Population))

    def specialists(self, namespace: str, population: str) -> tuple[Specialist, ...]:
        """List the specialists of a population, by name."""
        found = (
            o
            for o in self._objects.values()
            if isinstance(o, Specialist)
            and o.metadata.namespace == namespace
            and o.spec.population_ref.name == population
        )
        return tuple(sorted(found, key=lambda s: s.metadata.name))

    def known(self) -> frozenset[tuple[Kind, str, str]]:
        """List what is known."""
        return frozenset(self._objects)
