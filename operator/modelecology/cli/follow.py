"""`status --watch`: a table that follows the cluster on a terminal, or a line per change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from rich.console import Console
from rich.live import Live

from .port import Snapshot
from .rows import population_trouble, specialist_row
from .table import render_status

Clock = Callable[[], datetime]


def follow_on_terminal(
    snapshots: Iterator[Snapshot], population: str | None, console: Console, clock: Clock
) -> None:
    """Keep one table up to date until the snapshots end or the user presses Ctrl-C."""
    # The snapshots bring their own rhythm, so nothing is redrawn between them.
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        try:
            for snapshot in snapshots:
                live.update(render_status(snapshot, population, clock(), console.width), refresh=True)
        except KeyboardInterrupt:
            return


def follow_in_lines(
    snapshots: Iterator[Snapshot], population: str | None, console: Console, clock: Clock
) -> None:
    """Print every population's and specialist's line, and again when it changes, with the time of day."""
    known: dict[str, str] = {}
    trouble = ""
    try:
        for snapshot in snapshots:
            now = clock()
            lines = dict(_lines(snapshot, population, now))
            news = [line for name, line in lines.items() if known.get(name) != line]
            news += [f"{name}  is gone" for name in known if name not in lines]
            if snapshot.trouble != trouble:
                news.append(f"This may be old: {snapshot.trouble}" if snapshot.trouble else "Watching again.")
            for line in news:
                console.print(f"{now:%H:%M:%S}  {line}", markup=False, highlight=False, soft_wrap=True)
            known, trouble = lines, snapshot.trouble
    except KeyboardInterrupt:
        return


def _lines(snapshot: Snapshot, population: str | None, now: datetime) -> Iterator[tuple[str, str]]:
    for pop in snapshot.populations:
        if population in (None, pop.metadata.name):
            trouble = population_trouble(pop)
            yield (
                f"population {pop.metadata.name}",
                f"population {pop.metadata.name}  {trouble or 'is ready'}",
            )
    for specialist in snapshot.specialists:
        if population in (None, specialist.spec.population_ref.name):
            row = specialist_row(specialist, now)
            yield row.name, row.change
