"""The population's table, laid out for a screen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modelecology.api.vocabulary import State

from .port import Snapshot
from .rows import PopulationHead, SpecialistRow, population_head, specialist_row

STATE_STYLES = {
    State.PENDING: "dim",
    State.TRAINING: "cyan",
    State.EVALUATING: "cyan",
    State.SHADOW: "blue",
    State.CANARY: "bright_blue",
    State.LIVE: "green",
    State.RETIRED: "dim",
    State.REJECTED: "red",
    State.SHELVED: "yellow",
    State.QUARANTINED: "magenta",
    State.FAILED: "bold red",
    State.DELETED: "dim",
}
# Below these widths, in columns, the least telling columns give way to the one that says why.
_WIDTH_WITH_COST = 110
_WIDTH_WITH_LIVE = 90


def render_status(snapshot: Snapshot, population: str | None, now: datetime, width: int) -> RenderableType:
    """Lay out the populations of a snapshot, or the one that is asked for, for `width` columns."""
    blocks: list[RenderableType] = []
    for pop in snapshot.populations:
        if population is not None and pop.metadata.name != population:
            continue
        rows = [specialist_row(s, now) for s in snapshot.members(pop.metadata.name)]
        blocks += [render_head(population_head(pop)), Text(), render_rows(rows, width), Text()]
    orphans = snapshot.orphans() if population is None else snapshot.members(population) if not blocks else ()
    if orphans:
        rows = [specialist_row(s, now) for s in orphans]
        blocks += [Text("Specialists whose population does not exist", style="bold yellow"), Text()]
        blocks += [render_rows(rows, width), Text()]
    blocks += [Text(f"note: {note}", style="yellow") for note in snapshot.notes]
    if snapshot.trouble:
        blocks.append(Text(f"This may be old: {snapshot.trouble}", style="yellow"))
    while blocks and isinstance(blocks[-1], Text) and not blocks[-1].plain:
        blocks.pop()
    return Group(*blocks)


def render_head(head: PopulationHead) -> RenderableType:
    """Lay out what stands above the table."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for index, (label, value) in enumerate(_facts(head)):
        grid.add_row(Text(head.name, style="bold") if index == 0 else Text(), label, value)
    return grid


def _facts(head: PopulationHead) -> Iterator[tuple[str, Text]]:
    yield "generalist", Text(head.generalist)
    yield "suite", Text(head.suite)
    yield "looks", Text(head.looks)
    yield "value", Text(head.value)
    for engine in head.engines:
        yield "engine", Text(engine)
    yield "spent", Text(head.spent)
    if head.trouble:
        yield "not ready", Text(head.trouble, style="yellow")


def render_rows(rows: list[SpecialistRow], width: int) -> RenderableType:
    """Lay out one line per specialist; what it is doing wraps, the rest does not."""
    if not rows:
        return Text("No specialists yet.", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    with_live, with_cost = width >= _WIDTH_WITH_LIVE, width >= _WIDTH_WITH_COST
    for title in ("NAME", "TASK", "STATE"):
        table.add_column(title, no_wrap=True)
    table.add_column("DOING, OR WHY", overflow="fold", min_width=24)
    table.add_column("SCORE VS INCUMBENT", no_wrap=True)
    if with_live:
        table.add_column("LIVE REVISION", no_wrap=True)
    if with_cost:
        table.add_column("COST", no_wrap=True, justify="right")
    table.add_column("AGE", no_wrap=True, justify="right")
    for row in rows:
        cells: list[str | Text] = [row.name, row.task, Text(row.state, style=STATE_STYLES[row.state])]
        cells += [Text(row.doing), row.score]
        cells += [row.live] if with_live else []
        cells += [row.cost] if with_cost else []
        table.add_row(*cells, row.age)
    return table
