"""Where the money went: a population's log, summed by specialist, revision, lineage or action."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modelecology.api.decision import Decision
from modelecology.api.ledger import Ledger
from modelecology.api.meta import Duration, render_decimal
from modelecology.api.policy import Prices as ApiPrices
from modelecology.api.population import Population
from modelecology.api.vocabulary import Action
from modelecology.governance.book import Book, Spent
from modelecology.governance.facts import Cost
from modelecology.governance.ledger import spent
from modelecology.governance.log import Entry, Subject, served_name
from modelecology.governance.rules import Prices

from . import words
from .port import CliError
from .replays import entry

OWN = "(population)"
HELD = "(held, in no decision yet)"
SERVED = "(served, in no decision yet)"
SEALED = "(in older decisions)"
EARLIER = " (deleted)"
_TITLES = (
    "COST",
    "CPU-HOURS",
    "GPU-HOURS",
    "TOKENS",
    "SERVED TOKENS",
    "RESIDENT GIB-HOURS",
    "STORED GIB-HOURS",
)
_WINDOW: TypeAdapter[timedelta] = TypeAdapter(Duration)
_HOUR = 3600


class By(StrEnum):
    """What the sums are of."""

    SPECIALIST = "specialist"
    REVISION = "revision"
    LINEAGE = "lineage"
    ACTION = "action"


class Form(StrEnum):
    """The forms of the ledger."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was spent, in how many decisions."""

    name: str
    spent: Spent
    decisions: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """The lines of one population, dearest first, then what belongs to no specialist."""

    population: str
    rows: tuple[Row, ...]
    until: datetime | None  # up to when is counted what is held

    @property
    def total(self) -> Row:
        """The sum of all lines."""
        total = sum((row.spent for row in self.rows), Spent())
        return Row("total", total, sum(row.decisions for row in self.rows))


def window_of(text: str | None) -> timedelta | None:
    """Read a length of time such as 168h; raises `CliError`."""
    if text is None:
        return None
    try:
        return _WINDOW.validate_python(text)
    except ValidationError as error:
        raise CliError(f"{text!r} is no length of time.", "Write it like 90s, 30m or 168h.") from error


def sheet_of(
    population: Population,
    decisions: Iterable[Decision],
    by: By,
    *,
    name: str | None = None,
    start: datetime | None = None,
    older: Iterable[Entry] = (),
) -> Sheet:
    """Sum a population's log, or the part of it since a moment, perhaps of one specialist alone.

    `older` are those that are no objects any more. Without `start` the lines sum to the totals of the
    status, up to the hour that it names.
    """
    log = sorted((*older, *(entry(decision) for decision in decisions)), key=lambda e: e.sequence)
    lines = _Lines({e.subject.specialist: e.subject.uid for e in log}, by, name)
    book = Book()
    for each in log:
        book = book.after(each)
        if start is None or each.time > start:
            lines.add(each.subject, each.cost, each.action)
    until = population.status.ledger.until
    if until is not None:
        prices = _prices(population.spec.policy.prices)
        subjects = {(e.subject.uid, e.subject.revision): e.subject for e in log}
        for owner in book.held:
            lines.add(subjects[owner], spent(book.accrued(*owner, until, start), prices))
    rows = lines.rows()
    if name is None:
        rows += _own(population, log, start)
        if start is None:
            rows += _sealed(population, log, rows) or _served(population, rows)
    return Sheet(population.metadata.name, tuple(rows), until)


def reaches_back(decisions: Sequence[Decision], start: datetime | None) -> bool:
    """Say whether a window begins among decisions that are no objects any more."""
    if start is None or not decisions:
        return False
    oldest = decisions[0].spec
    return oldest.sequence > 1 and oldest.time > start


class _Lines:
    """Sums by label; `newest` is the uid of each name's newest object."""

    def __init__(self, newest: dict[str, str], by: By, name: str | None) -> None:
        self._newest = newest
        self._by = by
        self._name = name
        self._sums: dict[str, tuple[Spent, int]] = {}

    def add(self, subject: Subject, amounts: Spent, action: Action | None = None) -> None:
        """Add what a decision charges, or without an action what is held and in no decision yet."""
        if self._name not in (None, subject.specialist):
            return
        label = self._label(subject, action)
        before, count = self._sums.get(label, (Spent(), 0))
        self._sums[label] = (before + amounts, count + (action is not None))

    def rows(self) -> list[Row]:
        """Give the lines, dearest first."""
        rows = (Row(label, *sums) for label, sums in self._sums.items())
        return sorted(rows, key=lambda row: (-row.spent.cost, row.name))

    def _label(self, subject: Subject, action: Action | None) -> str:
        if self._by is By.ACTION:
            return action.value if action is not None else HELD
        if self._by is By.LINEAGE:
            return subject.specialist
        gone = EARLIER if self._newest[subject.specialist] != subject.uid else ""
        if self._by is By.REVISION:
            return served_name(subject.specialist, subject.revision) + gone
        return subject.specialist + gone


def _own(population: Population, log: list[Entry], start: datetime | None) -> list[Row]:
    """Tell what the population spent itself; the status has what waits for the next decision too."""
    inside = (e.account for e in log if start is None or e.time > start)
    told = [a.population for a in inside if a is not None and a.population is not None]
    own = population.status.own_ledger
    total = _spent(own) if start is None and own is not None else sum(told, Spent())
    return [Row(OWN, total)]


def _sealed(population: Population, log: list[Entry], rows: list[Row]) -> list[Row]:
    """Tell what decisions charged that are not among the objects any more; the status knows their sum."""
    if log and log[0].sequence == 1:
        return []
    rest = _less(_spent(population.status.ledger), sum((row.spent for row in rows), Spent()))
    return [Row(SEALED, rest)] if rest != Spent() else []


def _served(population: Population, rows: list[Row]) -> list[Row]:
    """Tell what was served and is in no decision yet: only the status knows it."""
    told = sum(row.spent.served_tokens or 0 for row in rows)
    rest = Cost(served_tokens=max((population.status.ledger.served_tokens or 0) - told, 0))
    return [Row(SERVED, spent(rest, _prices(population.spec.policy.prices)))] if rest != Cost() else []


def _less(one: Spent, other: Spent) -> Spent:
    zero = Decimal(0)
    return Spent(
        max(one.cpu_seconds - other.cpu_seconds, zero),
        max(one.gpu_seconds - other.gpu_seconds, zero),
        max(one.tokens - other.tokens, 0),
        max(one.cost - other.cost, zero),
        max((one.resident_gib_hours or zero) - (other.resident_gib_hours or zero), zero) or None,
        max((one.stored_gib_hours or zero) - (other.stored_gib_hours or zero), zero) or None,
        max((one.served_tokens or 0) - (other.served_tokens or 0), 0) or None,
    )


def _spent(ledger: Ledger) -> Spent:
    return Spent(
        ledger.cpu_seconds,
        ledger.gpu_seconds,
        ledger.tokens,
        ledger.cost,
        ledger.resident_gib_hours,
        ledger.stored_gib_hours,
        ledger.served_tokens,
    )


def _prices(prices: ApiPrices) -> Prices:
    return Prices(
        prices.gpu_hour,
        prices.cpu_hour,
        prices.gib_hour,
        token_million=prices.token_million,
        stored_gib_hour=prices.stored_gib_hour,
    )


def render_ledger(sheets: Iterable[Sheet], by: By) -> RenderableType:
    """Lay out the sheets, each with its sum."""
    blocks: list[RenderableType] = []
    for sheet in sheets:
        if blocks:
            blocks.append(Text())
        held = f"; what is held is counted until {words.moment(sheet.until)}" if sheet.until else ""
        blocks += [Text.assemble((sheet.population, "bold"), (held, "dim")), _table(sheet, by)]
    return Group(*blocks)


def _table(sheet: Sheet, by: By) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(by.value.upper(), overflow="fold")
    for title in _TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("DECISIONS", justify="right", no_wrap=True)
    for row in (*sheet.rows, sheet.total):
        amounts = row.spent
        cells = (
            row.name,
            words.amount(amounts.cost),
            words.amount(amounts.cpu_seconds / _HOUR),
            words.amount(amounts.gpu_seconds / _HOUR),
            f"{amounts.tokens:,}",
            f"{amounts.served_tokens or 0:,}",
            words.amount(amounts.resident_gib_hours or Decimal(0)),
            words.amount(amounts.stored_gib_hours or Decimal(0)),
            str(row.decisions) if row.decisions else words.NONE,
        )
        table.add_row(*cells, style="bold" if row.name == "total" else None)
    return table


def ledger_record(sheets: Iterable[Sheet], namespace: str, by: By, start: datetime | None) -> dict[str, Any]:
    """Record the sheets, for programs."""
    return {
        "namespace": namespace,
        "by": by.value,
        "since": _stamp(start),
        "populations": [
            {
                "name": sheet.population,
                "heldUntil": _stamp(sheet.until),
                "rows": [_plain(row) for row in sheet.rows],
                "total": _plain(sheet.total),
            }
            for sheet in sheets
        ],
    }


def ledger_csv(sheets: Iterable[Sheet]) -> str:
    """Write the lines as CSV, without sums."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("population", *_plain(Row("", Spent()))))
    for sheet in sheets:
        for row in sheet.rows:
            writer.writerow((sheet.population, *_plain(row).values()))
    return written.getvalue().rstrip("\n")


def _stamp(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else None


def _plain(row: Row) -> dict[str, Any]:
    amounts = row.spent
    return {
        "name": row.name,
        "cost": render_decimal(amounts.cost),
        "cpuSeconds": render_decimal(amounts.cpu_seconds),
        "gpuSeconds": render_decimal(amounts.gpu_seconds),
        "tokens": amounts.tokens,
        "servedTokens": amounts.served_tokens or 0,
        "residentGibHours": render_decimal(amounts.resident_gib_hours or Decimal(0)),
        "storedGibHours": render_decimal(amounts.stored_gib_hours or Decimal(0)),
        "decisions": row.decisions,
    }
