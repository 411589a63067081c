"""What the operator knows between two looks and may forget: job slots, engine proofs, progress, log lines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from modelecology.api.routing import RoutingTable
from modelecology.governance.facts import Residency

PopulationKey = tuple[str, str]


class Slots:
    """Which jobs of a population run now, so that no more than `parallelism` do."""

    def __init__(self) -> None:
        self._held: dict[PopulationKey, set[str]] = {}

    def take(self, population: PopulationKey, job: str, limit: int) -> bool:
        """Take a slot for a job, or say that none is free; taking it twice is once."""
        held = self._held.setdefault(population, set())
        if job in held:
            return True
        if len(held) >= limit:
            return False
        held.add(job)
        return True

    def adopt(self, population: PopulationKey, job: str) -> None:
        """Count a job that is found running, whatever the limit says."""
        self._held.setdefault(population, set()).add(job)

    def free(self, population: PopulationKey, job: str) -> bool:
        """Give a slot back; says whether it was held."""
        held = self._held.get(population, set())
        if job in held:
            held.discard(job)
            return True
        return False

    def drop(self, population: PopulationKey) -> None:
        """Forget a population that is gone."""
        self._held.pop(population, None)

    def held(self, population: PopulationKey) -> int:
        """Number of jobs that hold a slot."""
        return len(self._held.get(population, ()))


class Standing(StrEnum):
    """How one engine stands towards one adapter."""

    PENDING = "Pending"
    PROVED = "Proved"
    MISMATCHED = "Mismatched"
    REFUSED = "Refused"


@dataclass(slots=True)
class EngineView:
    """One engine as last seen."""

    looked: bool = False  # at least once, with or without an answer
    reachable: bool = False
    message: str = "not asked yet"
    listed: frozenset[str] = frozenset()  # the adapters that it said it has, proved or not
    standing: dict[str, Standing] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    refused: bool = False  # it answered, and will not say what it serves
    refusals: dict[str, int] = field(default_factory=dict)  # in a row, by name
    again: dict[str, datetime] = field(default_factory=dict)  # when a refused name is tried again
    stepped: datetime | None = None  # when it last answered, or was last given up
    troubled: datetime | None = None  # when it was first looked at, last was away, or had lost an adapter
    leaving: datetime | None = None  # since when it is not in serving.endpoints any more
    proved_at: dict[str, datetime] = field(default_factory=dict)  # when a name was last proved
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # one look at a time


def unreachable(views: Mapping[str, EngineView]) -> list[str]:
    """Say of every engine that does not answer, or not as an engine would, what it said last."""
    return [_said(e, v.message) for e, v in views.items() if not v.reachable]


def silent(views: Mapping[str, EngineView]) -> list[str]:
    """Say of every engine that does not answer at all what was seen last."""
    return [_said(e, v.message) for e, v in views.items() if not v.reachable and not v.refused]


def refusals(views: Mapping[str, EngineView]) -> list[str]:
    """Say what engines that answer refuse to do, in their own words."""
    found = [_said(e, v.message) for e, v in views.items() if v.refused]
    for endpoint, view in views.items():
        if view.reachable:
            names = sorted(n for n, s in view.standing.items() if s is Standing.REFUSED)
            found += [_said(endpoint, f"{n}: {view.messages.get(n, '')}") for n in names]
    return found


def _said(endpoint: str, said: str) -> str:
    return said if endpoint in said else f"{endpoint}: {said}"


@dataclass(slots=True)
class KeptRoutes:
    """The routing table of a population as it was last read or written; one task at a time writes it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read: datetime | None = None  # when the ConfigMap was last looked at
    there: bool = False
    table: RoutingTable | None = None  # None also where the ConfigMap holds none that can be read
    told: str = ""  # the last trouble that was logged
    foreign: bool = False  # the ConfigMap is somebody else's, so none of ours is in use
    left: dict[tuple[str, str], datetime] = field(default_factory=dict)  # engine and name: when it went


class ResidencyBoard:
    """What the engines of each population have proved."""

    def __init__(self) -> None:
        self._views: dict[PopulationKey, dict[str, EngineView]] = {}
        self._begun: set[PopulationKey] = set()  # of which every engine was looked at, once

    def view(self, population: PopulationKey, endpoint: str) -> EngineView:
        """Find the view of one engine, or start it."""
        return self._views.setdefault(population, {}).setdefault(endpoint, EngineView())

    def views(self, population: PopulationKey, endpoints: tuple[str, ...]) -> Mapping[str, EngineView]:
        """List the views of the engines which the population has now."""
        return {endpoint: self.view(population, endpoint) for endpoint in endpoints}

    def residency(self, population: PopulationKey, endpoints: tuple[str, ...], name: str) -> Residency:
        """Sum up what all engines proved of one served name; a new one counts when it was looked at."""
        views = self.views(population, endpoints)
        views = {e: v for e, v in views.items() if v.looked} or views
        messages = unreachable(views)
        messages += [
            f"{e}: {v.messages[name]}" for e, v in views.items() if v.reachable and name in v.messages
        ]
        standing = [v.standing.get(name, Standing.PENDING) for v in views.values() if v.reachable]
        return Residency(
            replicas=len(views),
            proved=standing.count(Standing.PROVED),
            mismatched=standing.count(Standing.MISMATCHED),
            unreachable=sum(not v.reachable for v in views.values()),
            message="; ".join(messages),
            refused=standing.count(Standing.REFUSED),
        )

    def troubled(self, population: PopulationKey, endpoints: tuple[str, ...]) -> datetime | None:
        """Say when any engine last was in trouble; what users got before may be its fault."""
        views = self.views(population, endpoints).values()
        return max((v.troubled for v in views if v.troubled is not None), default=None)

    def drop(self, population: PopulationKey) -> None:
        """Forget a population that is gone."""
        self._views.pop(population, None)
        self._begun.discard(population)

    def looked(self, population: PopulationKey, endpoints: tuple[str, ...]) -> bool:
        """Say whether every engine was looked at since the start; nothing waits for one that comes later."""
        looked = [view.looked for view in self.views(population, endpoints).values()]
        if all(looked):
            self._begun.add(population)
        return population in self._begun and (any(looked) or not looked)

    def absent(self, population: PopulationKey, endpoints: tuple[str, ...], name: str) -> bool:
        """Say whether every engine has proved that a name is gone, those that leave included."""
        self.views(population, endpoints)
        return all(name in v.absent for v in self._views.get(population, {}).values())

    def known(self, population: PopulationKey) -> tuple[str, ...]:
        """Name the engines of a population that were looked at, those that leave included."""
        return tuple(self._views.get(population, ()))

    def leave(self, population: PopulationKey, endpoint: str) -> None:
        """Forget an engine that the population has no more."""
        self._views.get(population, {}).pop(endpoint, None)

    def stepped(self) -> datetime | None:
        """Say when any engine last got a step further; a look at many adapters makes many steps."""
        moments = (v.stepped for views in self._views.values() for v in views.values())
        return max((m for m in moments if m is not None), default=None)
