"""Where the commands write: results on stdout, hints and failures on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from enum import StrEnum

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# What is piped is wide enough that no name is cut, as kubectl does.
_PIPE_WIDTH = 160

# What a model, an engine or an API server says may hold sequences that a terminal obeys.
_COMMANDS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})


class Output(StrEnum):
    """The forms of a result."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class QuietConsole(Console):
    """A console whose texts command no terminal: a pipe gets them as they are."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, and take control characters out of what is text."""
        for segment in super().render(renderable, options):
            if segment.control is None and self.is_terminal:
                yield Segment(segment.text.translate(_COMMANDS), segment.style)
            else:
                yield segment


class Screen:
    """The two streams; `hints` forces or forbids what to do next (None: on a terminal only)."""

    def __init__(
        self, hints: bool | None = None, out: Console | None = None, err: Console | None = None
    ) -> None:
        self.out = out if out is not None else _console(stderr=False)
        self.err = err if err is not None else _console(stderr=True)
        self._hints = self.out.is_terminal if hints is None else hints

    def show(self, result: RenderableType) -> None:
        """Write a result."""
        self.out.print(result, highlight=False)

    def lines(self, text: Text) -> None:
        """Write lines that are styled but never wrapped, so that a program can read them too."""
        self.out.print(text, highlight=False, soft_wrap=True)

    def text(self, text: str) -> None:
        """Write a result that is already text, as it is."""
        self.out.print(text, highlight=False, markup=False, soft_wrap=True)

    def hint(self, *lines: str) -> None:
        """Say what to do next."""
        if self._hints:
            for line in lines:
                self.err.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)

    def fail(self, message: str, remedy: str) -> None:
        """Say what went wrong, and what to do."""
        self.err.print(f"Error: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
        if remedy:
            self.err.print(remedy, highlight=False, markup=False, soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    plain_pipe = not stream.isatty() and "COLUMNS" not in os.environ
    return QuietConsole(stderr=stderr, width=_PIPE_WIDTH if plain_pipe else None)
