"""What the watches have shown: the newest known version of every object of ours, parsed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from pydantic import ValidationError

from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite

from .cluster import POPULATION, SPECIALIST, SUITE, Body, Kind
from .endpoint_slices import Behind

Object = Population | Specialist | EvaluationSuite
Where = tuple[Kind, str, str]
_MODELS: dict[Kind, type[Object]] = {
    POPULATION: Population,
    SPECIALIST: Specialist,
    SUITE: EvaluationSuite,
}
_T = TypeVar("_T", Population, Specialist, EvaluationSuite)
_GONE_REMEMBERED = 4096


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
    """The newest known objects by kind, namespace and name.

    Two sources feed it, the watches and the answers to our own writes, and either may be behind the other:
    what is older than what is known, or was seen to be gone, is not taken in.
    """

    def __init__(self) -> None:
        self._objects: dict[Where, Object] = {}
        self._unreadable: dict[Where, str] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()  # uids
        self._behind: dict[tuple[str, str], Behind] = {}

    def put(self, kind: Kind, body: Body) -> Object:
        """Take in an object and give the one that is known then. Raises InvalidObject."""
        found = self._taken(kind, body)
        return self._with_engines(found) if isinstance(found, Population) else found

    def _taken(self, kind: Kind, body: Body) -> Object:
        meta = body["metadata"]
        where = (kind, str(meta.get("namespace", "")), str(meta["name"]))
        try:
            found = parse(kind, body)
        except InvalidObject:
            self._objects.pop(where, None)
            self._unreadable[where] = str(meta.get("resourceVersion", ""))
            raise
        if found.metadata.uid in self._gone:
            return found
        if found.metadata.deletion_timestamp is not None and not found.metadata.finalizers:
            # The answer to taking off the last finalizer: the object is gone, whatever the watch says yet.
            self.drop(*where)
            return found
        known = self._objects.get(where)
        if known is not None and _is_older(found, known):
            return known
        self._unreadable.pop(where, None)
        self._objects[where] = found
        return found

    def drop(self, kind: Kind, namespace: str, name: str) -> None:
        """Forget an object that is gone; a late answer does not bring it back."""
        where = (kind, namespace, name)
        self._unreadable.pop(where, None)
        found = self._objects.pop(where, None)
        if found is not None and found.metadata.uid:
            self._gone[found.metadata.uid] = None
            while len(self._gone) > _GONE_REMEMBERED:
                self._gone.popitem(last=False)

    def version(self, kind: Kind, namespace: str, name: str) -> str | None:
        """Give the resourceVersion that is known of an object, one that could not be read included."""
        where = (kind, namespace, name)
        found = self._objects.get(where)
        return found.metadata.resource_version if found else self._unreadable.get(where)

    def population(self, namespace: str, name: str) -> Population | None:
        """Find a population; the engines of one that selects them are the pods that are ready now."""
        found = self._get(POPULATION, namespace, name, Population)
        return self._with_engines(found) if found is not None else None

    def put_behind(self, namespace: str, service: str, found: Behind | None) -> None:
        """Take in what is behind a Service; None is not known, or not any more."""
        if found is None:
            self._behind.pop((namespace, service), None)
        else:
            self._behind[namespace, service] = found

    def behind(self, namespace: str, service: str) -> Behind | None:
        """Say what is behind a Service; None while that is not known."""
        return self._behind.get((namespace, service))

    def unready(self, population: Population) -> tuple[str, ...]:
        """Give the addresses of a population's engines that are there and not ready."""
        selector = population.spec.serving.selector
        found = self.behind(population.metadata.namespace, selector.service) if selector else None
        return selector.addresses(found.unready) if selector and found else ()

    def _with_engines(self, population: Population) -> Population:
        serving = population.spec.serving
        if serving.selector is None:
            return population
        found = self.behind(population.metadata.namespace, serving.selector.service)
        endpoints = serving.selector.addresses(found.ready) if found is not None else ()
        seen = serving.model_copy(update={"endpoints": endpoints})
        return population.model_copy(update={"spec": population.spec.model_copy(update={"serving": seen})})

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
        found = (o for o in self._objects.values() if isinstance(o, Population))
        return tuple(self._with_engines(population) for population in found)

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

    def known(self) -> frozenset[Where]:
        """List what is known."""
        return frozenset(self._objects) | frozenset(self._unreadable)


def _is_older(found: Object, known: Object) -> bool:
    """Compare two versions of one object; a version that is no number says nothing."""
    if found.metadata.uid != known.metadata.uid:
        return False
    ours, theirs = found.metadata.resource_version, known.metadata.resource_version
    return ours.isdecimal() and theirs.isdecimal() and int(ours) < int(theirs)
