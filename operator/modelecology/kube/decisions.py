"""The decision log of one population as objects: creating the next name is the compare-and-swap."""

from __future__ import annotations

import asyncio

from pydantic import TypeAdapter

from modelecology.api.decision import DecisionSpec, decision_name
from modelecology.api.meta import API_VERSION
from modelecology.governance.log import Entry, LogBroken, LogState, NameTaken, apply, fold, sealed

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
        self._looked_for = 0
        self._taken = ""  # name of the next decision, as long as a decision which is not ours may have it
        # One writer at a time: of two that decide at once, the second must see what the first decided.
        self._lock = asyncio.Lock()

    async def state(self) -> LogState:
        """Give the fold, reading the log first if it was not read yet. Raises LogBroken, KubeError."""
        async with self._lock:
            return await self._known()

    async def _known(self) -> LogState:
        if self._state is None:
            self._state = await self._read()
        return self._state

    async def _read(self) -> LogState:
        # Whoever took our name need not carry our label.
        selector = "" if self._taken else f"{POPULATION_LABEL}={self._population}"
        bodies = await self._cluster.list(DECISION, self._namespace, selector)
        owned = [b for b in bodies if self._owns(b)]
        for body in bodies:
            if body["metadata"]["name"] == self._taken and not self._owns(body):
                raise NameTaken(_taken_by(body))
        self._taken = ""
        return await asyncio.to_thread(_folded, owned)

    def _owns(self, body: Body) -> bool:
        # A population of the same name, deleted before, leaves decisions that wait for garbage collection.
        owners = body["metadata"].get("ownerReferences", ())
        return any(o.get("uid") == self.uid for o in owners)

    async def append(self, entry: Entry) -> Entry:
        """Record the next decision. Raises LogMoved when it was not made from the newest state, KubeError.

        Raises AlreadyExists when somebody else's object has the name; while it is there, the log is broken.
        """
        async with self._lock:
            state = await self._known()
            if (entry.sequence, entry.previous) != (state.sequence + 1, state.digest):
                raise LogMoved(f"decision {entry.sequence} of {self._population} rests on an older state")
            final = sealed(entry)
            after = apply(state, final)
            try:
                await self._cluster.create(DECISION, self._namespace, to_body(final, self.uid))
            except AlreadyExists as error:
                self._state = None
                self._taken = decision_name(self._population, final.sequence)
                try:
                    self._state = await self._read()
                except LogBroken as broken:
                    if self._taken:
                        raise AlreadyExists(str(broken)) from error
                raise LogMoved(
                    f"decision {final.sequence} of {self._population} was written before"
                ) from error
            except BaseException:
                # The answer may have been lost after the write: only the log itself can tell.
                self._state = None
                raise
            self._state = after
            return final

    def forget(self) -> None:
        """Drop the fold, so that the log is read again."""
        self._state = None

    async def reach(self, sequence: int, *, ours: bool) -> LogState:
        """Give a fold that has at least the decision which somebody has seen, reading again once for it.

        With `ours` it was seen in the status of this very population, so a shorter log has lost its end.
        Raises LogBroken, KubeError.
        """
        state = await self.state()
        if state.sequence >= sequence:
            return state
        if self._looked_for < sequence or ours:
            self._looked_for = sequence
            self.forget()
            state = await self.state()
        if ours and state.sequence < sequence:
            raise LogBroken(f"the status names decision {sequence}, but the log ends with {state.sequence}")
        return state


def _taken_by(body: Body) -> str:
    meta = body["metadata"]
    owners = ", ".join(str(o.get("uid")) for o in meta.get("ownerReferences", ())) or "nobody"
    return f"the name {meta['name']} is taken by a Decision that belongs to {owners}"


def _folded(bodies: list[Body]) -> LogState:
    return fold(sorted((to_entry(b) for b in bodies), key=lambda e: e.sequence))
