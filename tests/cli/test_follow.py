"""`status --watch`."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console

from modelecology.cli.follow import follow_in_lines, follow_on_terminal
from modelecology.cli.port import Snapshot

from .desk import NOW, population, progress, specialist

READY = (population(),)


def training(step: int) -> Snapshot:
    return Snapshot(
        "team", READY, (specialist("cron", state="Training", progress=progress("train", step, 60, None, 9)),)
    )


def interrupted(*snapshots: Snapshot) -> Iterator[Snapshot]:
    yield from snapshots
    raise KeyboardInterrupt


def lines(*snapshots: Snapshot, population: str | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=60, color_system=None)
    follow_in_lines(interrupted(*snapshots), population, console, lambda: NOW)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_line_is_printed_only_when_it_changes() -> None:
    assert lines(training(1), training(1), training(2)) == [
        "12:00:00  population desk  is ready",
        "12:00:00  cron  Training  train 1/60, 9s left",
        "12:00:00  cron  Training  train 2/60, 9s left",
    ]


def test_what_goes_away_is_said() -> None:
    assert lines(training(1), Snapshot("team", READY))[-1] == "12:00:00  cron  is gone"


def test_trouble_is_said_once_and_so_is_its_end() -> None:
    troubled = Snapshot("team", READY, training(1).specialists, (), "The API server does not answer.")
    assert lines(training(1), troubled, troubled, training(1))[2:] == [
        "12:00:00  This may be old: The API server does not answer.",
        "12:00:00  Watching again.",
    ]


def test_only_the_population_that_is_asked_for_is_followed() -> None:
    assert lines(training(1), population="other") == []


def test_the_terminal_keeps_the_last_table_after_ctrl_c() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    follow_on_terminal(interrupted(training(1), training(2)), None, console, lambda: NOW)
    assert isinstance(console.file, io.StringIO)
    assert "train 2/60" in console.file.getvalue()
