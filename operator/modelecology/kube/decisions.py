"""The decision log of one population as objects: creating the next name is the compare-and-swap."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pydantic import TypeAdapter

from modelecology.api.decision import (
    POPULATION_LABEL,
    SPECIALIST_LABEL,
    DecisionSpec,
    decision_name,
    decision_object,
)
from modelecology.api.reasons import Reason
from modelecology.governance.log import Entry, LogBroken, LogState, NameTaken, apply, fold, sealed

from .cluster import DECISION, Body, Cluster
from .errors import AlreadyExists

__all__ = ["POPULATION_LABEL", "SPECIALIST_LABEL", "DecisionLog", "LogMoved", "to_body", "to_entry"]
_ENTRY = TypeAdapter(Entry)
_REMEMBERED = 256


class LogOutOfReach(LogBroken):
    """Raised while the part of a log that lies outside the cluster cannot be read; a retry can help."""

    reason = Reason.STORE_UNAVAILABLE


class Archive(Protocol):
    """What is kept of a log outside the cluster. Calls block; they raise LogOutOfReach and LogBroken."""

    def length(self) -> int:
        """Give the last sequence that is kept; 0 where nothing is."""

    def before(self, sequence: int) -> list[Entry]:
        """Read all sealed entries before a sequence."""


class Recorded(NamedTuple):
    """A Decision as it is in the cluster."""

    entry: Entry
    uid: str


class LogMoved(Exception):
    """Raised when somebody else wrote the next decision first: look again, then decide again."""


def to_body(entry: Entry, owner_uid: str) -> Body:
    """Render an entry as a Decision object that its population owns."""
    return decision_object(DecisionSpec.model_validate(entry, from_attributes=True), owner_uid)


def to_entry(body: Body) -> Entry:
    """Read an entry from a Decision object."""
    spec = DecisionSpec.model_validate(body["spec"])
    return _ENTRY.validate_python(spec.model_dump(by_alias=False))


class DecisionLog:
    """Reads and extends the log of one population; holds the fold of what it has seen.

    What was pruned is read from the archive. Without one the log must begin with its first decision; a log
    that was `rebuilt` is not read without it, because a rebuild may not have come to its end.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        population: str,
        uid: str,
        archive: Archive | None = None,
        *,
        rebuilt: bool = False,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._population = population
        self._archive = archive
        self._rebuilt = rebuilt
        self._compared = False  # with the archive's length, once
        self.uid = uid
        self.oldest = 1  # first sequence that is an object
        self._recent: deque[Entry] = deque(maxlen=_REMEMBERED)
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
        entries, state = await asyncio.to_thread(self._folded, owned)
        self.oldest = entries[0].sequence if entries else state.sequence + 1
        self._recent = deque(entries, maxlen=_REMEMBERED)
        return state

    def _folded(self, bodies: list[Body]) -> tuple[list[Entry], LogState]:
        entries = sorted((to_entry(b) for b in bodies), key=lambda e: e.sequence)
        older: list[Entry] = []
        if self._archive is not None and entries and entries[0].sequence > 1:
            older = self._archive.before(entries[0].sequence)
        state = fold([*older, *entries])
        if self._archive is not None and not self._compared:
            self._compare(self._archive, state)
        return entries, state

    def _compare(self, archive: Archive, state: LogState) -> None:
        """See that the archive does not know a longer log. Raises LogBroken."""
        try:
            length = archive.length()
        except LogOutOfReach:
            if self._rebuilt:
                raise
            return
        if length > state.sequence:
            raise LogBroken(
                f"the store keeps {length} decisions, but the log ends with {state.sequence}; run "
                f"kubectl ecology log rebuild {self._population}"
            )
        self._compared = True

    async def objects(self) -> list[Recorded]:
        """Read the decisions that are objects, oldest first. Raises KubeError."""
        selector = f"{POPULATION_LABEL}={self._population}"
        bodies = await self._cluster.list(DECISION, self._namespace, selector)
        return await asyncio.to_thread(_recorded, [b for b in bodies if self._owns(b)])

    async def after(self, sequence: int) -> Sequence[Entry]:
        """Give the entries after a sequence, as far as they are objects. Raises LogBroken, KubeError."""
        if (await self.state()).sequence <= sequence:
            return ()
        known = tuple(self._recent)
        if not known or known[0].sequence > sequence + 1:
            known = tuple(each.entry for each in await self.objects())
        return tuple(entry for entry in known if entry.sequence > sequence)

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
            self._recent.append(final)
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


def _recorded(bodies: list[Body]) -> list[Recorded]:
    found = (Recorded(to_entry(b), str(b["metadata"].get("uid", ""))) for b in bodies)
    return sorted(found, key=lambda each: each.entry.sequence)
