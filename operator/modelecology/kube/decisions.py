"""The decision log of one population, kept as Decision objects: creating the next name is the compare-and-swap."""

from __future__ import annotations

from dataclasses import replace

from pydantic import TypeAdapter

from modelecology.api.decision import DecisionSpec, decision_name
from modelecology.api.meta import API_VERSION
from modelecology.governance.log import Entry, LogState, apply, fold, sealed

from .cluster import DECISION, Body, Cluster
from .errors import AlreadyExists

POPULATION_LABEL = "modelecology.io/population"
SPECIALIST_LABEL = "modelecology.io/specialist"
_ENTRY = TypeAdapter(Entry)


class LogMoved(Exception):
    """Raised when somebody else wrote the next decision first: look again, then decide again."""


def to_body(entry: Entry, owner_uid: str) -> Body:
    """Render an entry as a Decision object that its population owns."""
    spec = DecisionSpec.model_validate(entry, from_attributes=True)
    return {
        "metadata": {
            "name": decision_name(entry.population, entry.sequence),
            "labels": {
                POPULATION_LABEL: entry.population,
                SPECIALIST_LABEL: entry.subject.specialist,
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "Population",
                    "name": entry.population,
                    "uid": owner_uid,
                }
            ],
        },
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def to_entry(body: Body) -> Entry:
    """Read an entry from a Decision object."""
    spec = DecisionSpec.model_validate(body["spec"])
    return _ENTRY.validate_python(spec.model_dump(by_alias=False))


class DecisionLog:
    """Reads and extends the log of one population; holds the fold of what it has seen."""

    def __init__(self, cluster: Cluster, namespace: str, population: str, uid: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._population = population
        self.uid = uid
        self._state: LogState | None = None

    async def state(self) -> LogState:
        """Give the fold, reading the log first if it was not read yet. Raises LogBroken, KubeError."""
        if self._state is None:
            self._state = await self._read()
        return self._state

    async def _read(self) -> LogState:
        selector = f"{POPULATION_LABEL}={self._population}"
        bodies = await self._cluster.list(DECISION, self._namespace, selector)
        owned = [b for b in bodies if self._owns(b)]
        entries = sorted((to_entry(b) for b in owned), key=lambda e: e.sequence)
        return fold(entries)

    def _owns(self, body: Body) -> bool:
        # A population of the same name, deleted before, leaves decisions that wait for garbage collection.
        owners = body["metadata"].get("ownerReferences", ())
        return any(o.get("uid") == self.uid for o in owners)

    async def append(self, entry: Entry) -> Entry:
        """Record the next decision; its place and digests are filled in here. Raises LogMoved, KubeError."""
        state = await self.state()
        final = sealed(replace(entry, sequence=state.sequence + 1, previous=state.digest))
        after = apply(state, final)
        try:
            await self._cluster.create(DECISION, self._namespace, to_body(final, self.uid))
        except AlreadyExists as error:
            self.forget()
            raise LogMoved(f"decision {final.sequence} of {self._population} was written before") from error
        except Exception:
            # The answer may have been lost after the write: only the log itself can tell.
            self.forget()
            raise
        self._state = after
        return final

    def forget(self) -> None:
        """Drop the fold, so that the log is read again."""
        self._state = None
