"""The routing table in use: offered by a source, refused if unreadable, another population's, or older."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from modelecology.api.routing import RoutingTable, TableUnreadable, read_table

from .metrics import GatewayMetrics
from .plan import Plan, plan

_LOG = logging.getLogger(__name__)
_PREFIX: Final = len("sha256:") + 12


class Offer(StrEnum):
    """What became of a table that was offered."""

    TAKEN = "taken"
    SAME = "same"
    UNREADABLE = "unreadable"
    OLDER = "older"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Held:
    """A table in use, ready for routing; `mark` is the beginning of its digest, as answers carry it."""

    table: RoutingTable
    plan: Plan
    digest: str

    @property
    def mark(self) -> str:
        """sha256: and 12 hex digits."""
        return self.digest[:_PREFIX]


class TableSource(Protocol):
    """Where tables come from."""

    async def follow(self, tables: Tables) -> None:
        """Offer the table, and each that follows it; never returns."""


class Tables:
    """Holds the newest table. Whoever listens is told at once, before any later request is routed."""

    def __init__(self, population: str, namespace: str | None, metrics: GatewayMetrics) -> None:
        self._population = population
        self._namespace = namespace
        self._metrics = metrics
        self._listeners: list[Callable[[Held], None]] = []
        self._told = ""
        self.held: Held | None = None

    def listen(self, listener: Callable[[Held], None]) -> None:
        """Call `listener` with each table that is taken."""
        self._listeners.append(listener)

    def offer(self, text: str | bytes) -> Offer:
        """Take a table, or keep the old one and say why."""
        try:
            table = read_table(text)
        except TableUnreadable as error:
            return self._refuse(Offer.UNREADABLE, str(error))
        if table.population != self._population or self._namespace not in (None, table.namespace):
            return self._refuse(
                Offer.FOREIGN, f"it is of population {table.namespace}/{table.population}; look at its source"
            )
        digest = table.digest()
        old = self.held
        if old is not None and digest == old.digest:
            return Offer.SAME
        if old is not None and table.uid == old.table.uid and table.version < old.table.version:
            return self._refuse(
                Offer.OLDER, f"version {table.version} is older than {old.table.version}, which is in use"
            )
        self._take(Held(table, plan(table), digest))
        return Offer.TAKEN

    def _take(self, held: Held) -> None:
        self.held = held
        self._told = ""
        table = held.table
        self._metrics.table_taken(
            table.population, table.version, held.mark, held.plan.names(), table.engines
        )
        _LOG.info("routing table %s, version %d", held.mark, table.version)
        for listener in self._listeners:
            listener(held)

    def _refuse(self, offer: Offer, why: str) -> Offer:
        self._metrics.table_refused(offer.value)
        if why != self._told:
            kept = "the old one stays" if self.held is not None else "there is none yet"
            _LOG.warning("the routing table is refused, %s: %s", kept, why)
        self._told = why
        return offer
